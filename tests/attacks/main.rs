//! A daemon under attack, while somebody watches: its memory stays bounded, no picture is missing, and it answers.

#[path = "../viewing/daemon.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod daemon;
mod datagrams;
mod http;
mod offers;
#[path = "../viewing/picture.rs"]
mod picture;
#[path = "../support/mod.rs"]
mod support;
mod target;
#[path = "../viewing/viewer.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;
