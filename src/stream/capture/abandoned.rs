//! Capture threads that have not ended yet. Some drivers block for good when a device stalls: such a thread can't be ended, only
//! left. Nobody waits for it but for a moment, and there are never many.

use super::Capture;
use crate::metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::{Duration, Instant};

/// The threads of one stream that were told to end.
pub struct Stuck {
    threads: Vec<Thread>,
    metrics: metrics::StreamMetrics,
}

struct Thread {
    closed: Closed,
    told_at: Instant,
}

/// The token that a capture thread keeps until it has dropped its source.
pub struct Open {
    life: Arc<AtomicU8>,
    metrics: metrics::StreamMetrics,
    /// With it `Closed` is disconnected.
    _open: SyncSender<()>,
}

/// The end by which others see that the thread has dropped its source.
pub struct Closed {
    life: Arc<AtomicU8>,
    closed: Receiver<()>,
}

/// The lives of a capture thread.
const RUNS: u8 = 0;
/// It is counted as stuck.
const IS_STUCK: u8 = 1;
const HAS_ENDED: u8 = 2;

/// Makes the two ends for a thread of that stream.
pub fn life(metrics: metrics::StreamMetrics) -> (Open, Closed) {
    let life = Arc::new(AtomicU8::new(RUNS));
    let (open, closed) = sync_channel(0);
    let open = Open {
        life: life.clone(),
        metrics,
        _open: open,
    };
    (open, Closed { life, closed })
}

impl Drop for Open {
    fn drop(&mut self) {
        // The worker that left it behind may look only when the stream is watched again.
        if self.life.swap(HAS_ENDED, Ordering::Relaxed) == IS_STUCK {
            self.metrics.stuck.dec();
        }
    }
}

impl Closed {
    fn is_closed(&self) -> bool {
        self.closed.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Whether it is stuck from now on, and was not before.
    fn gets_stuck(&self) -> bool {
        let (from, to) = (RUNS, IS_STUCK);
        let change = (self.life).compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        change.is_ok()
    }
}

/// Whether there is room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Now,
    /// Not before then, unless the thread before ends earlier.
    From(Instant),
    /// Not until one of them ends.
    Never,
}

impl Stuck {
    /// With so many, no further one is started.
    pub const MOST: usize = 3;

    /// How long a source may take to notice that it is no longer read: a frame and the driver's closing.
    const PATIENCE: Duration = Duration::from_secs(2);
    /// How often it is looked whether a thread has ended.
    const LOOK: Duration = Duration::from_millis(100);

    pub const fn new(metrics: metrics::StreamMetrics) -> Self {
        Self {
            threads: Vec::new(),
            metrics,
        }
    }

    /// Tells a capture to end, without waiting for it.
    pub fn end(&mut self, capture: Capture, now: Instant) {
        self.add(capture.end(), now);
    }

    fn add(&mut self, closed: Closed, told_at: Instant) {
        self.threads.push(Thread { closed, told_at });
    }

    /// Whether one more capture may be started.
    pub fn room(&mut self, now: Instant) -> Room {
        self.threads.retain(|thread| !thread.closed.is_closed());
        let patience = |thread: &Thread| thread.told_at + Self::PATIENCE;
        let latest = self.threads.iter().map(patience).max();
        let stuck = self.threads.iter().filter(|thread| patience(thread) <= now);
        let stuck: Vec<_> = stuck.collect();
        for _ in stuck.iter().filter(|thread| thread.closed.gets_stuck()) {
            self.metrics.stuck.inc();
            tracing::warn!(
                stuck = stuck.len(),
                "the camera does not close; its thread is abandoned"
            );
        }
        match latest {
            Some(latest) if latest > now => Room::From(latest.min(now + Self::LOOK)),
            _ if stuck.len() >= Self::MOST => Room::Never,
            _ => Room::Now,
        }
    }

    /// Whether one of them, as far as [`room`](Self::room) knows, still has the source.
    pub const fn is_any(&self) -> bool {
        !self.threads.is_empty()
    }

    /// Waits for those that were told to end lately.
    pub fn settle(&mut self) {
        for thread in &self.threads {
            let until = thread.told_at + Self::PATIENCE;
            let wait = until.saturating_duration_since(Instant::now());
            // Whether it has ended is for `room` to find.
            let _ = thread.closed.closed.recv_timeout(wait);
        }
        self.room(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_thread_that_does_not_end_is_waited_for_a_moment_and_few_are_left() {
        let metrics = Metrics::new().stream("camera");
        let mut stuck = Stuck::new(metrics.clone());
        let mut now = Instant::now();
        assert_eq!(stuck.room(now), Room::Now);
        let mut open = Vec::new();
        for n in 1..=Stuck::MOST {
            let (thread, closed) = life(metrics.clone());
            open.push(thread);
            stuck.add(closed, now);
            assert!(matches!(stuck.room(now), Room::From(at) if at > now));
            assert_eq!(metrics.stuck.get(), n as i64 - 1);
            now += Stuck::PATIENCE;
            let room = if n < Stuck::MOST {
                Room::Now
            } else {
                Room::Never
            };
            assert_eq!(stuck.room(now), room);
            assert_eq!(metrics.stuck.get(), n as i64);
        }
        open.pop();
        // Also in a stream that nobody watches.
        assert_eq!(metrics.stuck.get(), Stuck::MOST as i64 - 1);
        assert_eq!(stuck.room(now), Room::Now);
        assert_eq!(metrics.stuck.get(), Stuck::MOST as i64 - 1);
    }

    #[test]
    fn one_that_ends_in_time_holds_nobody_up() {
        let metrics = Metrics::new().stream("camera");
        let mut stuck = Stuck::new(metrics.clone());
        let now = Instant::now();
        let (thread, closed) = life(metrics.clone());
        stuck.add(closed, now);
        drop(thread);
        assert_eq!(stuck.room(now), Room::Now);
        stuck.settle();
        assert!(stuck.threads.is_empty());
        assert_eq!(metrics.stuck.get(), 0);
    }
}
