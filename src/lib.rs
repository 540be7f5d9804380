//! fanlight: one camera, a fan of viewers.

pub mod access;
pub mod base;
pub mod capture;
pub mod cli;
pub mod client;
pub mod codec;
pub mod config;
pub mod controls;
pub mod daemon;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod http;
pub mod media;
pub mod metrics;
pub mod rtc;
pub mod stream;
pub mod tls;
