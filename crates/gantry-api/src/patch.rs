//! JSON, merge and strategic-merge patches over trees.
