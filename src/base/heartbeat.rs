//! The sign of life of a part of the daemon: a watcher asks for a beat, and the part beats if it is not stuck.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// A counter of beats, shared by the part and its watcher.
#[derive(Debug, Default)]
pub struct Heartbeat {
    asked: Notify,
    beats: AtomicU64,
}

impl Heartbeat {
    /// The number of beats so far. Asks for one more, so that the next call returns a larger number unless the part is stuck.
    pub fn ask(&self) -> u64 {
        self.asked.notify_one();
        self.beats.load(Ordering::Relaxed)
    }

    /// Beats once for each time that it is asked to, as long as the part polls this.
    pub async fn answer(&self) -> Infallible {
        loop {
            self.asked.notified().await;
            self.beats.fetch_add(1, Ordering::Relaxed);
        }
    }
}
