//! How far apart viewers get the same frame.

use crate::frames::Arrived;
use crate::histogram::{Histogram, Summary};
use std::collections::VecDeque;
use std::time::Duration;

/// Frames of which the first and last viewer may still be unknown.
const OPEN: usize = 8;

/// One frame as it reached all viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fan {
    captured: Duration,
    first: Arrived,
    last: Arrived,
}

/// Frames told apart by the time of their capture: their timestamps and numbers differ from viewer to viewer.
#[derive(Debug, Clone, Default)]
pub struct Spread {
    closed: Vec<Fan>,
    /// In order of capture; viewers are not read in the order of arrival.
    open: VecDeque<Fan>,
    /// Half an interval: what is known of the time of capture may be that inexact.
    within: Duration,
}

impl Spread {
    /// Takes in a frame as one viewer got it, in a stream with that interval.
    pub fn add(&mut self, captured: Duration, arrived: Arrived, interval: Duration) {
        self.within = interval / 2;
        self.join(Fan {
            captured,
            first: arrived,
            last: arrived,
        });
    }

    fn join(&mut self, fan: Fan) {
        let near = |open: &&mut Fan| open.captured.abs_diff(fan.captured) <= self.within;
        if let Some(open) = self.open.iter_mut().rev().find(near) {
            open.first = open.first.min(fan.first);
            open.last = open.last.max(fan.last);
            return;
        }
        let place = self
            .open
            .partition_point(|open| open.captured < fan.captured);
        self.open.insert(place, fan);
        if self.open.len() > OPEN {
            self.closed.extend(self.open.pop_front());
        }
    }

    /// Adds what other viewers got.
    pub fn merge(&mut self, other: Self) {
        self.within = self.within.max(other.within);
        let mut all = std::mem::take(&mut self.closed);
        all.extend(std::mem::take(&mut self.open));
        all.extend(other.closed);
        all.extend(other.open);
        all.sort_unstable_by_key(|fan| fan.captured);
        for fan in all {
            self.join(fan);
        }
    }

    /// From the first viewer's last packet of a frame to the last viewer's.
    pub fn summary(&self) -> Option<Summary> {
        let mut sums = Histogram::default();
        for fan in self.closed.iter().chain(&self.open) {
            sums.add(fan.last.saturating_sub(fan.first));
        }
        sums.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_spread_is_from_the_first_viewer_to_the_last_however_long_it_is() {
        // Two threads with two viewers each, read in any order; the last gets a frame when the next is captured.
        let mut threads = [Spread::default(), Spread::default()];
        for n in 0..50 {
            for (thread, after) in [(0, 46), (1, 3), (0, 5), (1, 2)] {
                let captured = ms(1000 + n * 30);
                let inexact = captured + Duration::from_micros(after * 100);
                threads[thread].add(inexact, captured + ms(after), ms(30));
            }
        }
        let [mut all, other] = threads;
        all.merge(other);
        let spread = all.summary().unwrap();
        assert_eq!((spread.count, spread.min, spread.max), (50, 44.0, 44.0));
    }
}
