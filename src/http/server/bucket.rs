//! A token bucket: so many requests at once, and so many a second in the long run. Pure: time is an argument.

use crate::config::Limits;
use std::time::{Duration, Instant};

/// How many requests there may be.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// A second, in the long run; 1 at least.
    pub per_second: u32,
    /// At once after a pause.
    pub burst: u32,
}

impl Rate {
    /// That of one address.
    pub const fn of(limits: &Limits) -> Self {
        Self {
            per_second: limits.request_rate,
            burst: limits.request_burst,
        }
    }
}

/// What is left of a burst.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    /// After a pause.
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self {
            tokens: f64::from(rate.burst),
            counted: now,
        }
    }

    /// Takes in a request.
    ///
    /// # Errors
    /// There are too many; the time until the next one may come.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.refill(rate, now);
        if self.tokens < 1.0 {
            let missing = 1.0 - self.tokens;
            let wait = missing / f64::from(rate.per_second);
            return Err(Duration::from_secs_f64(wait));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    /// Whether it is as if there had been no request yet.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.tokens >= f64::from(rate.burst)
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        let earned = passed * f64::from(rate.per_second);
        self.tokens = (self.tokens + earned).min(f64::from(rate.burst));
        self.counted = now;
    }
}
