//! What clients of every kind do beside WHEP as it is written: odd sessions, the exchange in JSON, bad connections.

mod api;
mod controls;
#[path = "../viewing/daemon.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod daemon;
mod doctor;
mod documented;
mod exchange;
mod json;
mod limits;
mod media;
mod metrics;
mod mjpeg;
#[expect(dead_code, reason = "these tests need less of it than others")]
mod offer;
#[path = "../viewing/picture.rs"]
mod picture;
mod raw;
#[path = "../viewing/viewer.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;
