//! Whether a viewer still receives: one that stops reporting is sent nothing until it is heard again.

use std::time::{Duration, Instant};

/// Viewers report by RTCP and check the connection, at intervals of their own.
#[derive(Debug, Default)]
pub struct Silence {
    last: Option<Instant>,
    longest: Duration,
    intervals: u8,
}

impl Silence {
    /// Silence that is none yet, however often the viewer reported before.
    const SHORTEST: Duration = Duration::from_secs(3);
    /// Intervals above this are no habit but an interruption: RTCP comes each five seconds, somewhat spread (RFC 3550,
    /// 6.3.1).
    const LONGEST_HABIT: Duration = Duration::from_millis(6500);
    /// Intervals by which a habit is known; until then it may be the longest.
    const FEW: u8 = 5;

    /// The viewer proved that it is there.
    pub fn heard(&mut self, now: Instant) {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        if let Some(since) = since.filter(|since| *since <= Self::LONGEST_HABIT) {
            self.longest = self.longest.max(since);
            self.intervals = self.intervals.saturating_add(1);
        }
        self.last = Some(now);
    }

    /// Nothing was heard for twice as long as is usual for this viewer.
    pub fn is_long(&self, now: Instant) -> bool {
        let habit = if self.intervals < Self::FEW {
            Self::LONGEST_HABIT
        } else {
            self.longest
        };
        let limit = Self::SHORTEST.max(2 * habit);
        self.last
            .is_some_and(|last| now.saturating_duration_since(last) > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_what_is_longer_than_usual() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut silence = Silence::default();
        assert!(!silence.is_long(at(100_000)), "never heard of");
        silence.heard(at(0));
        assert!(!silence.is_long(at(13_000)), "its habit is not known yet");
        assert!(silence.is_long(at(13_001)));
        (1..10).for_each(|n| silence.heard(at(n * 1000)));
        assert!(!silence.is_long(at(12_000)));
        assert!(silence.is_long(at(12_001)));
        // An interruption is not taken for a habit.
        silence.heard(at(60_000));
        assert!(silence.is_long(at(63_001)));
        // One that reports each five seconds is given twice as long.
        (0..4).for_each(|n| silence.heard(at(70_000 + n * 5000)));
        assert!(!silence.is_long(at(95_000)));
        assert!(silence.is_long(at(95_001)));
    }
}
