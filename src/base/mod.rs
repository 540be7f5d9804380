//! Small parts that any module may use, and that use none but each other.

pub mod addresses;
pub mod colour;
pub mod file_stamps;
pub mod heartbeat;
pub mod holders;
pub mod latest;
pub mod log_limit;
pub mod os_error;
pub mod redact;
pub mod rounded;
pub mod shutdown;
pub mod state_dir;
pub mod sync;
