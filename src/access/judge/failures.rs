//! How often an address may fail before it is told to wait.
//!
//! What is good is let through all the same: the secrets have too many bits to be found by trying, and behind one
//! address there may be many people. The limit is for the log, and for clients that don't stop by themselves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failures that are told as such in a row.
const BURST: u32 = 10;
/// After this time, one more.
const REFILL: Duration = Duration::from_secs(6);
/// Addresses that are remembered. When there are more, the one that failed longest ago is forgotten.
const MOST: usize = 4096;

/// Failures by the addresses that stand for clients.
#[derive(Debug, Default)]
pub struct Failures(HashMap<IpAddr, FailureBucket>);

#[derive(Debug)]
struct FailureBucket {
    count: u32,
    /// When the count was last true.
    at: Instant,
    last: Instant,
}

impl Failures {
    /// Notes a failure of the client that `address` stands for. `Err` with the time to wait if there were too many.
    ///
    /// # Errors
    /// How long until the next failure is told as such.
    pub fn note(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        if !self.0.contains_key(&address) && self.0.len() >= MOST {
            self.forget_one(now);
        }
        let bucket = self.0.entry(address).or_insert(FailureBucket {
            count: 0,
            at: now,
            last: now,
        });
        bucket.leak(now);
        bucket.last = now;
        if bucket.count < BURST {
            bucket.count += 1;
            return Ok(());
        }
        Err(REFILL.saturating_sub(now.saturating_duration_since(bucket.at)))
    }

    /// Those whose failures are all forgiven, or else the one that failed longest ago.
    fn forget_one(&mut self, now: Instant) {
        self.0.retain(|_, bucket| {
            bucket.leak(now);
            bucket.count > 0
        });
        if self.0.len() < MOST {
            return;
        }
        let oldest = self.0.iter().min_by_key(|(_, bucket)| bucket.last);
        if let Some(oldest) = oldest.map(|(address, _)| *address) {
            self.0.remove(&oldest);
        }
    }
}

impl FailureBucket {
    fn leak(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_secs();
        let leaked = u32::try_from(elapsed / REFILL.as_secs()).unwrap_or(u32::MAX);
        if leaked >= self.count {
            self.count = 0;
            self.at = now;
        } else {
            self.count -= leaked;
            self.at += REFILL * leaked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn after_some_failures_an_address_has_to_wait_and_others_have_not() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(failures.note(ip("192.0.2.1"), start), Ok(()));
        }
        let later = start + Duration::from_secs(2);
        let wait = Err(Duration::from_secs(4));
        assert_eq!(failures.note(ip("192.0.2.1"), later), wait);
        assert_eq!(failures.note(ip("192.0.2.2"), later), Ok(()));
        assert_eq!(failures.note(ip("192.0.2.1"), start + REFILL), Ok(()));
        assert!(failures.note(ip("192.0.2.1"), start + REFILL).is_err());
        let forgiven = start + REFILL * 100;
        for _ in 0..BURST {
            assert_eq!(failures.note(ip("192.0.2.1"), forgiven), Ok(()));
        }
        assert!(failures.note(ip("192.0.2.1"), forgiven).is_err());
    }

    #[test]
    fn ten_thousand_addresses_take_bounded_memory_and_the_latest_are_known() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let address = |n: u32| IpAddr::V4(n.into());
        for n in 0..10_000 {
            let now = start + Duration::from_micros(n.into());
            let _ = failures.note(address(n), now);
        }
        assert_eq!(failures.0.len(), MOST);
        assert!(failures.0.contains_key(&address(9_999)));
        assert!(!failures.0.contains_key(&address(0)));
        let _ = failures.note(address(10_000), start + REFILL * 2);
        assert_eq!(failures.0.len(), 1, "all others are forgiven");
    }
}
