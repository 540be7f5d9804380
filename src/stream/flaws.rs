//! What is wrong with a stream's pictures, as the capture finds it and everybody else sees it.

use crate::checks::{Checks, Flaw, Look};
use crate::media::I420;
use crate::metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// What is known of a stream's pictures now.
#[derive(Debug, Default)]
pub struct Flaws(AtomicUsize);

impl Flaws {
    const UNKNOWN: usize = 0;
    const NONE: usize = 1;

    /// A word for the flaw that they have, "ok" without one; `None` while nobody looks at them.
    pub fn told(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Relaxed) {
            Self::UNKNOWN => None,
            Self::NONE => Some("ok"),
            told => {
                let mut all = Flaw::ALL.into_iter();
                let flaw = all.find(|flaw| Self::NONE + 1 + *flaw as usize == told);
                flaw.map(Flaw::name)
            }
        }
    }

    fn tell(&self, flaw: Option<Flaw>) {
        let told = flaw.map_or(Self::NONE, |flaw| Self::NONE + 1 + flaw as usize);
        self.0.store(told, Ordering::Relaxed);
    }
}

/// Looks at the pictures of one capture. With it ends what it found.
pub struct Watch {
    checks: Checks,
    told: Option<Flaw>,
    flaws: Arc<Flaws>,
    metrics: metrics::Stream,
}

impl Watch {
    /// Tells `flaws` and the metrics what it finds.
    pub fn new(flaws: Arc<Flaws>, metrics: metrics::Stream) -> Self {
        Self {
            checks: Checks::default(),
            told: None,
            flaws,
            metrics,
        }
    }

    /// Looks at a picture if it is time for that.
    pub fn see(&mut self, picture: &I420, now: Instant) {
        if !self.checks.is_due(now) {
            return;
        }
        let found = self.checks.add(&Look::at(picture), now);
        self.flaws.tell(found);
        if found == self.told {
            return;
        }
        match found {
            Some(flaw) => tracing::warn!(flaw = flaw.name(), "{}", flaw.sentence()),
            None => tracing::info!("the pictures are well again"),
        }
        self.count(found);
        self.told = found;
    }

    fn count(&self, found: Option<Flaw>) {
        for flaw in [self.told, found].into_iter().flatten() {
            self.metrics.set_flaw(flaw.name(), found == Some(flaw));
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.count(None);
        self.flaws.0.store(Flaws::UNKNOWN, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::{BLANK, CLEAR, INTERVAL};
    use crate::media::Size;
    use crate::metrics::Metrics;

    #[test]
    fn a_flaw_is_told_everywhere_until_it_is_gone_or_the_capture_is() {
        let (metrics, flaws) = (Metrics::new(), Arc::new(Flaws::default()));
        let gauge = |value| {
            let line = "fanlight_stream_flaw{stream=\"garden\",flaw=\"black\"}";
            metrics.render().contains(&format!("{line} {value}\n"))
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
        drop(watch);
        assert_eq!((flaws.told(), gauge(0)), (None, true));
    }
}
