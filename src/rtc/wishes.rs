//! How often one viewer's wish for a keyframe is passed on.

use std::time::{Duration, Instant};

/// At once at first, then less often, since each keyframe costs every other viewer of the stream picture quality; but
/// often enough that a link that is good again shows a picture within a second.
#[derive(Debug, Default)]
pub struct Wishes {
    last: Option<Instant>,
    gap: Duration,
}

impl Wishes {
    const FIRST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_millis(800);
    /// After so long without a wish, the next is the first again.
    const QUIET: Duration = Duration::from_secs(10);

    /// Whether a wish made now is passed on.
    pub fn grants(&mut self, now: Instant) -> bool {
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
        let granted: Vec<_> = (0..6000).filter(|n| wishes.grants(at(n * 10))).collect();
        assert_eq!(granted[..5], [0, 20, 60, 140, 220]);
        assert_eq!(granted.len(), 77);
        let later = 60_000 + Wishes::QUIET.as_millis() as u64;
        assert!(wishes.grants(at(later)));
        assert!(!wishes.grants(at(later + 100)));
        assert!(wishes.grants(at(later + 200)), "it begins anew");
    }
}
