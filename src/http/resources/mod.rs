//! The resources, a file each.

pub mod controls;
pub mod doctor;
pub mod link_header;
pub mod mjpeg;
pub mod patches;
pub mod session;
pub mod session_events;
pub mod stream_events;
pub mod streams;
pub mod viewers;
pub mod whep;
