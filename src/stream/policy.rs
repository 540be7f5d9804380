//! When a keyframe is due, when a source is broken, and how long to wait before it is opened again. Pure: time is an
//! argument.

use std::time::{Duration, Instant};

/// Decides which frames become keyframes.
#[derive(Debug)]
pub struct Keyframes {
    interval: Duration,
    last: Option<Instant>,
    requested: bool,
}

impl Keyframes {
    /// Shortest time between two keyframes, however many are asked for: a keyframe costs several delta
    /// pictures' worth of bits, so an unlimited stream of requests would ruin the picture for everyone.
    pub const MIN_GAP: Duration = Duration::from_millis(400);

    /// At least one keyframe each `interval`.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(Self::MIN_GAP),
            last: None,
            requested: false,
        }
    }

    /// Notes a request. Any number of them before the next keyframe count as one; none is lost.
    pub fn request(&mut self) {
        self.requested = true;
    }

    /// Whether the frame encoded now is to be a keyframe.
    pub fn is_due(&self, now: Instant) -> bool {
        let Some(last) = self.last else {
            return true;
        };
        let wait = if self.requested {
            Self::MIN_GAP
        } else {
            self.interval
        };
        now.saturating_duration_since(last) >= wait
    }

    /// Notes that the encoder made a keyframe.
    pub fn made(&mut self, now: Instant) {
        self.last = Some(now);
        self.requested = false;
    }
}

/// Tells a source that is broken from one that delivers an unusable frame now and then.
#[derive(Debug, Default)]
pub struct Unusable {
    since: Option<Instant>,
}

impl Unusable {
    /// Nothing but unusable frames for so long: that, or three frame intervals if they are longer. Shorter than a stall,
    /// which would not tell what is wrong.
    const LIMIT: Duration = Duration::from_secs(2);

    /// Notes a frame that can be used.
    pub fn end(&mut self) {
        self.since = None;
    }

    /// Notes one that can't, from a source of that frame interval. Whether the source is broken.
    pub fn is_too_long(&mut self, now: Instant, interval: Duration) -> bool {
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) >= Self::LIMIT.max(3 * interval)
    }
}

/// Doubling waits between attempts.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(10);

    /// How long to wait after one more failure: 0.5 s, doubling up to 10 s.
    pub fn next(&mut self) -> Duration {
        let wait = Self::FIRST * 2u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        wait.min(Self::LONGEST)
    }

    /// After a success, the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_frame_is_a_keyframe_and_then_one_each_interval() {
        let start = Instant::now();
        let mut keyframes = Keyframes::new(2 * SECOND);
        assert!(keyframes.is_due(start));
        keyframes.made(start);
        assert!(!keyframes.is_due(start + SECOND));
        assert!(keyframes.is_due(start + 2 * SECOND));
    }

    #[test]
    fn a_request_is_served_at_once_when_the_last_keyframe_is_old_enough() {
        let start = Instant::now();
        let mut keyframes = Keyframes::new(60 * SECOND);
        keyframes.made(start);
        keyframes.request();
        assert!(keyframes.is_due(start + SECOND));
    }

    #[test]
    fn requests_are_coalesced_and_rate_limited_but_not_lost() {
        let start = Instant::now();
        let mut keyframes = Keyframes::new(60 * SECOND);
        keyframes.made(start);
        let made = (0..100)
            .map(|n| start + n * SECOND / 100)
            .filter(|&now| {
                keyframes.request();
                let due = keyframes.is_due(now);
                if due {
                    keyframes.made(now);
                }
                due
            })
            .count();
        assert_eq!(made, 2, "one second of requests, one each 400 ms");
        assert!(keyframes.is_due(start + 2 * SECOND), "the last one waits");
    }

    #[test]
    fn a_source_is_broken_after_two_seconds_of_unusable_frames_or_three_if_it_is_slow() {
        let start = Instant::now();
        for (interval, frames) in [
            (SECOND / 25, 50),
            (SECOND / 4, 8),
            (SECOND, 3),
            (5 * SECOND, 3),
        ] {
            let mut unusable = Unusable::default();
            let at = |n: u32| start + interval * n;
            assert!(!unusable.is_too_long(at(0), interval));
            unusable.end();
            let broken = (1..).position(|n| unusable.is_too_long(at(n), interval));
            assert_eq!(broken, Some(frames), "{interval:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_limit_and_start_anew_after_a_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(), Duration::from_millis(500));
        (0..100).for_each(|_| assert!(backoff.next() <= 10 * SECOND));
    }
}
