//! Pictures as bytes: formats converted, H.264 encoded and read, slates drawn, and pictures judged.

pub mod convert;
pub mod encode;
pub mod h264;
pub mod health;
pub mod slate;
