//! H.264 byte streams as they are, without decoding: NAL units, parameter sets, access units (ITU-T H.264, 7 and B).
//!
//! The camera's data is not trusted: every length is bounded, and data that makes no sense is refused or left out.

pub mod nal;
mod parameters;
mod units;

pub use parameters::{Sequence, Unusable};
pub use units::{Unit, Units};
