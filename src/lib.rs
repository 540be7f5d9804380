//! fanlight: one camera, a fan of viewers.

pub mod capture;
pub mod config;
pub mod convert;
pub mod encode;
pub mod hub;
pub mod latest;
pub mod media;
pub mod metrics;
pub mod rtc;
pub mod shutdown;
pub mod stream;
