//! fanlight: one camera, a fan of viewers.

pub mod access;
pub mod addresses;
pub mod auth;
pub mod cameras;
pub mod capture;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod config;
pub mod controls;
pub mod convert;
pub mod daemon;
pub mod doctor;
pub mod encode;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod h264;
pub mod hotplug;
pub mod http;
pub mod hub;
pub mod identity;
pub mod latest;
pub mod links;
pub mod logging;
pub mod media;
pub mod metrics;
pub mod process;
pub mod rtc;
pub mod shutdown;
pub mod slate;
pub mod state;
pub mod stream;
pub mod tls;
pub mod upkeep;
pub mod watchdog;
pub mod watched;
