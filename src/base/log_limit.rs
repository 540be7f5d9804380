//! The rate limiter of log lines that strangers can cause. Pure: time is an argument.
//!
//! Each kind of line has a limiter of its own, in a `static` beside the place that logs it:
//!
//! ```
//! use fanlight::base::log_limit::LogLimit;
//! use std::time::{Duration, Instant};
//!
//! static REFUSED: LogLimit = LogLimit::new(10, Duration::from_secs(60));
//!
//! if let Some(left_out) = REFUSED.admit(Instant::now()) {
//!     tracing::warn!(left_out, "refused");
//! }
//! ```

use crate::base::sync::Mutex;
use std::time::{Duration, Instant};

/// Admits a number of lines in each period, and counts the rest.
#[derive(Debug)]
pub struct LogLimit {
    lines: u32,
    period: Duration,
    state: Mutex<Count>,
}

#[derive(Debug)]
struct Count {
    /// When the present period began.
    since: Option<Instant>,
    /// Lines that were admitted in it.
    admitted: u32,
    /// Lines that were left out since the last one that was admitted.
    left_out: u64,
}

impl LogLimit {
    /// Admits `lines` in each `period`, which begins with the first of them.
    pub const fn new(lines: u32, period: Duration) -> Self {
        Self {
            lines,
            period,
            state: Mutex::new(Count {
                since: None,
                admitted: 0,
                left_out: 0,
            }),
        }
    }

    /// Admits one line a minute: for a condition that lasts, whose lines are all alike.
    pub const fn once_a_minute() -> Self {
        Self::new(1, Duration::from_secs(60))
    }

    /// Whether a line may be logged now: the number of lines that were left out since the last one, which the line
    /// tells. `None` if this line is to be left out too.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        // Every critical section leaves the state whole.
        let mut state = self.state.lock();
        let is_over = |since| now.saturating_duration_since(since) >= self.period;
        if state.since.is_none_or(is_over) {
            state.since = Some(now);
            state.admitted = 0;
        }
        if state.admitted < self.lines {
            state.admitted += 1;
            Some(std::mem::take(&mut state.left_out))
        } else {
            state.left_out += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_few_lines_and_their_number() {
        let limit = LogLimit::new(3, Duration::from_secs(60));
        let start = Instant::now();
        // A line each tenth of a second, for two minutes and a half.
        let lines = (0..1500).map(|n| limit.admit(start + Duration::from_millis(100 * n)));
        let admitted: Vec<_> = lines.flatten().collect();
        assert_eq!(admitted, [0, 0, 0, 597, 0, 0, 597, 0, 0]);
        assert_eq!(limit.admit(start + Duration::from_secs(3600)), Some(297));
    }

    #[test]
    fn a_clock_that_does_not_advance_admits_no_more() {
        let limit = LogLimit::once_a_minute();
        let now = Instant::now();
        assert_eq!(limit.admit(now), Some(0));
        assert!((0..100).all(|_| limit.admit(now).is_none()));
    }
}
