//! How often one viewer's wish for a keyframe is passed on.

use std::time::{Duration, Instant};

/// At once at first, then less often, since each keyframe costs every other viewer of the stream picture quality; but
/// often enough that a link that is good again shows a picture within a second.
#[derive(Debug, Default)]
pub struct Wishes {
    last: Option<Instant>,
    gap: Duration,
    /// One that came too soon: it is passed on later, unless a keyframe comes before.
    is_pending: bool,
}

impl Wishes {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_millis(800);
    /// After so long without a wish, the next is the first again.
    const QUIET: Duration = Duration::from_secs(10);

    /// Whether a wish made now is passed on; else it is remembered.
    pub fn wish(&mut self, now: Instant) -> bool {
        self.is_pending = !self.grants(now);
        !self.is_pending
    }

    /// Whether a wish that was remembered is passed on now.
    pub fn retry(&mut self, now: Instant) -> bool {
        self.is_pending && self.wish(now)
    }

    /// The viewer was sent a keyframe.
    pub fn fulfilled(&mut self) {
        self.is_pending = false;
    }

    fn grants(&mut self, now: Instant) -> bool {
        let since = |last| now.saturating_duration_since(last);
        match self.last.map(since) {
            Some(since) if since < self.gap => return false,
            Some(since) if since < Self::QUIET => self.gap = (self.gap * 2).min(Self::LONGEST),
            _ => self.gap = Self::FIRST,
        }
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wish_for_a_keyframe_is_granted_and_then_fewer() {
        let start = Instant::now();
        let mut wishes = Wishes::default();
        let at = |ms| start + Duration::from_millis(ms);
        // A viewer that asks a hundred times a second for a minute.
        let granted: Vec<_> = (0..6000).filter(|n| wishes.wish(at(n * 10))).collect();
        assert_eq!(granted[..5], [0, 20, 60, 140, 220]);
        assert_eq!(granted.len(), 77);
        let later = 60_000 + Wishes::QUIET.as_millis() as u64;
        assert!(wishes.grants(at(later)));
        assert!(!wishes.grants(at(later + 100)));
        assert!(wishes.grants(at(later + 200)), "it begins anew");
    }

    #[test]
    fn a_wish_that_came_too_soon_is_not_forgotten() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut wishes = Wishes::default();
        assert!(wishes.wish(at(0)) && !wishes.retry(at(1000)));
        let mut wishes = Wishes::default();
        assert!(wishes.wish(at(0)) && !wishes.wish(at(100)));
        assert!(!wishes.retry(at(199)) && wishes.retry(at(200)));
        assert!(!wishes.retry(at(5000)), "it was passed on");
        assert!(!wishes.wish(at(300)));
        wishes.fulfilled();
        assert!(!wishes.retry(at(5000)));
    }
}
