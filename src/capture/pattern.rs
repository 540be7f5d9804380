//! The built-in test pattern.
