//! fanlight: one camera, a fan of viewers.

pub mod cameras;
pub mod capture;
pub mod config;
pub mod convert;
pub mod media;
