//! The flaws of a stream's pictures, which the capture finds and everybody else reads.

use crate::base::sync::Mutex;
use crate::codec::health::{Checks, Flaw, Look};
use crate::media::I420;
use crate::metrics;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

/// The current flaws of a stream's pictures.
#[derive(Debug, Default)]
pub struct Flaws(Mutex<LatestFlaw>);

#[derive(Debug, Default)]
struct LatestFlaw {
    /// The number of the watch that tells: the newest. One before may belong to a thread that a driver holds.
    watch: u64,
    /// The result of the watch; `None` while nobody looks.
    found: Option<Option<Flaw>>,
}

impl Flaws {
    /// A word for the flaw that they have, "ok" without one; `None` while nobody looks at them.
    pub fn told(&self) -> Option<&'static str> {
        let found = self.lock().found?;
        Some(found.map_or("ok", Flaw::name))
    }

    fn lock(&self) -> MutexGuard<'_, LatestFlaw> {
        // Every critical section leaves it whole.
        self.0.lock()
    }
}

/// Looks at the pictures of one capture. With it, or with the beginning of the next, ends what it found.
pub struct Watch {
    number: u64,
    checks: Checks,
    flaws: Arc<Flaws>,
    metrics: metrics::StreamMetrics,
}

impl Watch {
    /// Tells `flaws` and the metrics what it finds.
    pub fn new(flaws: Arc<Flaws>, metrics: metrics::StreamMetrics) -> Self {
        let mut known = flaws.lock();
        known.watch += 1;
        let number = known.watch;
        drop(known);
        let watch = Self {
            number,
            checks: Checks::default(),
            flaws,
            metrics,
        };
        watch.tell(None);
        watch
    }

    /// Looks at a picture if it is time for that.
    pub fn see(&mut self, picture: &I420, now: Instant) {
        if !self.checks.is_due(now) {
            return;
        }
        let found = self.checks.add(&Look::at(picture), now);
        let before = self.tell(Some(found));
        match found {
            _ if before == Some(found) => {}
            Some(flaw) => tracing::warn!(flaw = flaw.name(), "{}", flaw.sentence()),
            None if before.flatten().is_some() => tracing::info!("the pictures are normal again"),
            None => {}
        }
    }

    /// Stores the result, if this is the newest watch. Returns the previous result.
    fn tell(&self, found: Option<Option<Flaw>>) -> Option<Option<Flaw>> {
        let mut known = self.flaws.lock();
        if known.watch != self.number {
            return found;
        }
        let before = std::mem::replace(&mut known.found, found);
        let now = found.flatten();
        for flaw in [before.flatten(), now].into_iter().flatten() {
            self.metrics.set_flaw(flaw.name(), now == Some(flaw));
        }
        before
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::health::{BLANK, CLEAR, INTERVAL};
    use crate::media::Size;
    use crate::metrics::Metrics;

    #[test]
    fn a_flaw_is_told_everywhere_until_it_is_gone_or_the_capture_is() {
        let (metrics, flaws) = (Metrics::new(), Arc::new(Flaws::default()));
        let gauge = |value| {
            let line = "fanlight_stream_flaw{stream=\"garden\",flaw=\"black\"}";
            metrics
                .render(crate::metrics::Format::Text)
                .contains(&format!("{line} {value}\n"))
        };
        assert_eq!(flaws.told(), None);
        let mut watch = Watch::new(flaws.clone(), metrics.stream("garden"));
        let black = I420::new(Size::new(320, 180));
        let mut bars = black.clone();
        let start = Instant::now();
        let mut number = 0_u8;
        let mut see = |watch: &mut Watch, from: Instant, picture: &mut I420, is_black: bool| {
            for step in 0..=(BLANK + CLEAR).as_millis() / INTERVAL.as_millis() {
                number = number.wrapping_add(1);
                if !is_black {
                    for (at, sample) in picture.y.iter_mut().enumerate() {
                        *sample = ((at / 40 % 8) as u8 * 25).wrapping_add(number);
                    }
                }
                watch.see(picture, from + INTERVAL * step as u32);
            }
        };
        see(&mut watch, start, &mut black.clone(), true);
        assert_eq!(flaws.told(), Some("black"));
        assert!(gauge(1));
        let later = start + 3 * BLANK;
        see(&mut watch, later, &mut bars, false);
        assert_eq!(flaws.told(), Some("ok"));
        assert!(gauge(0));
        see(&mut watch, later + 3 * BLANK, &mut black.clone(), true);
        assert_eq!((flaws.told(), gauge(1)), (Some("black"), true));
        // A driver holds its thread, and another capture has begun.
        let mut next = Watch::new(flaws.clone(), metrics.stream("garden"));
        assert_eq!((flaws.told(), gauge(0)), (None, true));
        see(&mut next, start, &mut black.clone(), true);
        drop(watch);
        assert_eq!((flaws.told(), gauge(1)), (Some("black"), true));
        drop(next);
        assert_eq!((flaws.told(), gauge(0)), (None, true));
    }
}
