//! Connections: accepted, told apart, limited in time and number.

pub mod bucket;
pub mod clients;
pub mod deadlines;
pub mod listen;
pub mod panics;
pub mod places;
pub mod sniff;
