//! Capture threads that have not ended yet. Some drivers block for good when a device stalls: such a thread can't be ended, only
//! left. Nobody waits for it but for a moment, and there are never many.

use super::capture::Capture;
use crate::metrics;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// The threads of one stream that were told to end.
pub struct Stuck {
    threads: Vec<Thread>,
    metrics: metrics::Stream,
}

struct Thread {
    /// Disconnected when it has dropped the source.
    closed: Receiver<()>,
    told_at: Instant,
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

    pub const fn new(metrics: metrics::Stream) -> Self {
        Self {
            threads: Vec::new(),
            metrics,
        }
    }

    /// Tells a capture to end, without waiting for it.
    pub fn end(&mut self, capture: Capture, now: Instant) {
        self.add(capture.end(), now);
    }

    fn add(&mut self, closed: Receiver<()>, told_at: Instant) {
        self.threads.push(Thread { closed, told_at });
    }

    /// Whether one more capture may be started.
    pub fn room(&mut self, now: Instant) -> Room {
        self.threads
            .retain(|thread| thread.closed.try_recv() == Err(TryRecvError::Empty));
        let patience = |thread: &Thread| thread.told_at + Self::PATIENCE;
        let latest = self.threads.iter().map(patience).max();
        let stuck = self.threads.iter().filter(|thread| patience(thread) <= now);
        let (before, stuck) = (self.metrics.stuck.get(), stuck.count());
        self.metrics.stuck.set(stuck as i64);
        if stuck as i64 > before {
            tracing::warn!(
                stuck,
                "the source does not close; its thread is left behind"
            );
        }
        match latest {
            Some(latest) if latest > now => Room::From(latest.min(now + Self::LOOK)),
            _ if stuck >= Self::MOST => Room::Never,
            _ => Room::Now,
        }
    }

    /// Waits for those that were told to end lately.
    pub fn settle(&mut self) {
        for thread in &self.threads {
            let until = thread.told_at + Self::PATIENCE;
            let wait = until.saturating_duration_since(Instant::now());
            // Whether it has ended is for `room` to find.
            let _ = thread.closed.recv_timeout(wait);
        }
        self.room(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_thread_that_does_not_end_is_waited_for_a_moment_and_few_are_left() {
        let metrics = Metrics::new().stream("camera");
        let mut stuck = Stuck::new(metrics.clone());
        let mut now = Instant::now();
        assert_eq!(stuck.room(now), Room::Now);
        let mut open = Vec::new();
        for n in 1..=Stuck::MOST {
            let (thread, closed) = sync_channel(0);
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
        assert_eq!(stuck.room(now), Room::Now);
        assert_eq!(metrics.stuck.get(), Stuck::MOST as i64 - 1);
    }

    #[test]
    fn one_that_ends_in_time_holds_nobody_up() {
        let mut stuck = Stuck::new(Metrics::new().stream("camera"));
        let now = Instant::now();
        let (thread, closed) = sync_channel(0);
        stuck.add(closed, now);
        drop(thread);
        assert_eq!(stuck.room(now), Room::Now);
        stuck.settle();
        assert!(stuck.threads.is_empty());
    }
}
