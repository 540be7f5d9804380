//! The way of a picture to each viewer: packetized once, numbered and sealed for each.

pub mod cache;
pub mod egress;
pub mod feed;
pub mod keyframe_throttle;
pub mod liveness;
pub mod sender;
