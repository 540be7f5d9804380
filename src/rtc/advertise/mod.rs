//! The addresses that answers offer to viewers.

pub mod advertised;
pub mod candidates;
pub mod nat;
