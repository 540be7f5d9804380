//! What the tests of the whole daemon share: the daemon as a child process, plain HTTP, scratch folders, a browser.
//!
//! Whatever a test starts ends with it, also when it fails: every process and folder has a guard.

#![allow(
    dead_code,
    reason = "each test binary has its own copy and uses a part of it"
)]

pub mod browser;
pub mod daemon;
pub mod http;
pub mod namespace;
pub mod page;
pub mod picture;
pub mod scratch;
pub mod site;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Nothing takes nearly as long, unless it is broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two looks at something that has no way to report.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looks until there is a value. `Err` tells what was there instead, for the message when it never comes.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match look().await {
            Ok(value) => return value,
            Err(found) if Instant::now() > deadline => {
                panic!("waited in vain for {what}; last seen: {found}")
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
