//! The media thread: its loop, its rules, and its sessions.

pub mod diagnosis;
pub mod endpoint;
pub mod facts;
pub mod outcome;
pub mod reactor;
pub mod registry;
pub mod session;
pub mod session_id;
pub mod session_log;
pub mod timers;
pub mod watching;
