//! What every field of every kind is: its type, list keys and patch strategy.
