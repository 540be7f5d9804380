//! When a keyframe is due, when a source is broken, and how long to wait before it is opened again. Pure: time is an
//! argument.

use crate::stream::status::State;
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

/// Decides when a slate is shown in place of the camera's pictures.
#[derive(Debug, Default)]
pub struct Slates {
    last: Option<Instant>,
}

impl Slates {
    /// From one slate to the next. They count seconds, and a viewer who joins waits for one.
    pub const INTERVAL: Duration = Duration::from_millis(500);

    /// A camera that starts within that time needs none.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Whether one is due in a stream that is in `state` since `since`.
    pub fn is_due(&self, now: Instant, state: State, since: Instant) -> bool {
        let is_shown = match state {
            State::Idle | State::Live => false,
            State::Starting => now.saturating_duration_since(since) >= Self::PATIENCE,
            State::Stalled | State::Down => true,
        };
        let is_next = |last| now.saturating_duration_since(last) >= Self::INTERVAL;
        is_shown && self.last.is_none_or(is_next)
    }

    /// Notes that one was shown.
    pub fn made(&mut self, now: Instant) {
        self.last = Some(now);
    }
}

/// Doubling waits between attempts.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(10);
    const HURRIED: Duration = Duration::from_millis(50);

    /// After so long without a failure a source is well again. The first frame alone does not prove it: some cameras send
    /// one and then stop, each time.
    pub const STEADY: Duration = Duration::from_secs(2);

    /// How long to wait after one more failure: 0.5 s, doubling up to 10 s; up to a quarter less, so that cameras that failed together are not
    /// opened together. `random` is in 0..1.
    pub fn next(&mut self, random: f64) -> Duration {
        let wait = self.0;
        self.0 = (2 * wait).min(Self::LONGEST);
        wait.mul_f64(1.0 - random / 4.0)
    }

    /// After a success, the next wait is the shortest again.
    pub fn reset(&mut self) {
        self.0 = Self::FIRST;
    }

    /// A camera was plugged in: the next waits are so short that nobody notices that its driver, or udev with its group and
    /// links, needed another moment.
    pub fn hurry(&mut self) {
        self.0 = Self::HURRIED;
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
        let mut waits = |random| [(); 7].map(|()| backoff.next(random).as_millis());
        assert_eq!(waits(0.0), [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        backoff.reset();
        let mut waits = |random| [(); 3].map(|()| backoff.next(random).as_millis());
        assert_eq!(waits(1.0), [375, 750, 1500]);
        (0..100).for_each(|_| assert!(backoff.next(0.5) <= 10 * SECOND));
    }

    #[test]
    fn a_camera_that_was_plugged_in_is_tried_often_at_first() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next(0.0);
        }
        backoff.hurry();
        let tries: Duration = (0..4).map(|_| backoff.next(0.0)).sum();
        assert!(tries < SECOND, "{tries:?}");
        for _ in 0..10 {
            backoff.next(0.0);
        }
        assert_eq!(backoff.next(0.0), 10 * SECOND);
    }

    #[test]
    fn a_slate_is_shown_of_what_failed_and_of_what_starts_slowly_and_never_of_pictures() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut slates = Slates::default();
        for state in [State::Idle, State::Live] {
            assert!(!slates.is_due(at(60_000), state, start));
        }
        assert!(!slates.is_due(at(1999), State::Starting, start));
        assert!(slates.is_due(at(2000), State::Starting, start));
        for state in [State::Down, State::Stalled] {
            assert!(slates.is_due(start, state, start), "at once");
        }
        slates.made(at(100));
        assert!(!slates.is_due(at(599), State::Down, start));
        assert!(slates.is_due(at(600), State::Down, start));
    }
}
