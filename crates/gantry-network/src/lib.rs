//! Service proxy, pod network and DNS of one node.
