//! Looks at the files for changes, off the threads that serve requests: a disk may hang, and then what was read last goes on to decide.

use super::Access;
use crate::base::sync::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a change of a file may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a request waits for a look. Disks answer within microseconds, or milliseconds when they are busy.
const PATIENCE: Duration = Duration::from_millis(250);

/// When it was looked last, and whether it is at the moment.
pub(super) struct Looking {
    last: Mutex<Instant>,
    /// One look at a time: of a disk that hangs one thread waits, not one for each request.
    turn: Arc<Semaphore>,
}

impl Looking {
    /// It was looked just now.
    pub fn new(now: Instant) -> Self {
        Self {
            last: Mutex::new(now),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Whether it is time for another look, whoever asks first.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut last = self.last.lock();
        let is_due = now.saturating_duration_since(*last) >= LOOK_AGAIN;
        if is_due {
            *last = now;
        }
        is_due
    }
}

impl Access {
    /// Takes up changes on disk if it was not looked within the last second. Returns soon even if the disk hangs.
    pub async fn look_if_due(self: &Arc<Self>, now: Instant) {
        if !self.looking.is_due(now) {
            return;
        }
        // Another look that goes on now sees the same.
        if let Ok(turn) = self.looking.turn.clone().try_acquire_owned() {
            self.look_in(turn, now).await;
        }
    }

    /// Takes up changes on disk. True if there was one. Returns soon even if the disk hangs.
    pub(super) async fn look_now(self: &Arc<Self>, now: Instant) -> bool {
        let turn = timeout(PATIENCE, self.looking.turn.clone().acquire_owned()).await;
        match turn {
            Ok(Ok(turn)) => self.look_in(turn, now).await,
            _ => false,
        }
    }

    async fn look_in(self: &Arc<Self>, turn: OwnedSemaphorePermit, now: Instant) -> bool {
        let access = self.clone();
        let look = spawn_blocking(move || {
            let _turn = turn;
            access.look(now)
        });
        matches!(timeout(PATIENCE, look).await, Ok(Ok(true)))
    }
}
