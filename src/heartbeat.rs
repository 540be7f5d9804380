//! The sign of life of a part of the daemon that does nothing unless asked: whoever watches asks for a beat, and counts them.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Shared by the part that lives and by the one that watches.
#[derive(Debug, Default)]
pub struct Heartbeat {
    asked: Notify,
    beats: AtomicU64,
}

impl Heartbeat {
    /// How often it has beaten. Asks for one beat more, so that this is more the next time, unless the part is stuck.
    pub fn ask(&self) -> u64 {
        self.asked.notify_one();
        self.beats.load(Ordering::Relaxed)
    }

    /// Beats when it is asked to, as often as whoever lives polls this. Never completes.
    pub async fn answer(&self) {
        loop {
            self.asked.notified().await;
            self.beats.fetch_add(1, Ordering::Relaxed);
        }
    }
}
