//! The latest time that the clock has shown: a board without a battery for its clock begins each start in the past, where what
//! has expired would be good again.

use super::Now;
use std::time::{Duration, Instant};

/// A clock that is behind for so long is believed: it is the latest time that was wrong.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The latest time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latest {
    /// Seconds since 1970.
    unix: u64,
    /// Since when the clock has been behind it.
    behind: Option<Instant>,
}

impl Latest {
    /// As an earlier run has kept it, in seconds since 1970.
    pub const fn new(unix: u64) -> Self {
        Self { unix, behind: None }
    }

    /// The time to judge by, in seconds since 1970: the clock's, or if the clock is behind, the latest time and the time that has passed since.
    pub fn judge_by(&mut self, now: Now) -> u64 {
        let since = *self.behind.get_or_insert(now.instant);
        let passed = now.instant.saturating_duration_since(since);
        if now.unix >= self.unix || passed >= BELIEVED_AFTER {
            *self = Self::new(now.unix);
            return now.unix;
        }
        self.unix.saturating_add(passed.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    #[test]
    fn the_time_does_not_go_back_until_the_clock_has_been_behind_for_a_day() {
        let start = Instant::now();
        let at = |unix, hours: u64| Now {
            unix,
            instant: start + Duration::from_secs(hours * HOUR),
        };
        let mut latest = Latest::new(2_000_000_000);
        assert_eq!(latest.judge_by(at(0, 0)), 2_000_000_000);
        assert_eq!(latest.judge_by(at(HOUR, 1)), 2_000_000_000 + HOUR);
        assert_eq!(latest.judge_by(at(2_000_009_000, 2)), 2_000_009_000, "set");
        assert_eq!(latest.judge_by(at(2_000_008_000, 2)), 2_000_009_000, "back");
        assert_eq!(
            latest.judge_by(at(2_000_000_000, 25)),
            2_000_009_000 + 23 * HOUR
        );
        assert_eq!(
            latest.judge_by(at(2_000_000_000, 26)),
            2_000_000_000,
            "believed"
        );
        assert_eq!(latest.judge_by(at(2_000_000_001, 26)), 2_000_000_001);
        assert_eq!(Latest::default().judge_by(at(5, 0)), 5);
    }
}
