//! A stream that somebody watches: its packetized pictures, and the few that a newcomer can begin with.

use super::demux::ViewerId;
use super::packetize::packetize;
use crate::hub::{Lagged, Subscription};
use crate::media::AccessUnit;
use crate::stream::Stream;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pictures since the last keyframe that a newcomer is still sent in one go: 0.4 s at 30 fps. With more, a fresh
/// keyframe is smaller, and it is sooner on the screen.
const MAX_REPLAY: usize = 12;

/// One picture, packetized once for all viewers.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Decoding can begin here.
    pub keyframe: bool,
    /// 90 kHz ticks since the media thread's epoch.
    pub timestamp: u32,
    /// RTP payloads in order.
    pub payloads: Arc<[Bytes]>,
    /// When the sensor delivered it.
    pub captured_at: Instant,
}

impl Picture {
    fn new(unit: &AccessUnit, epoch: Instant) -> Self {
        Self {
            keyframe: unit.keyframe,
            timestamp: rtp_timestamp(unit.captured_at, epoch),
            payloads: packetize(&unit.data).into(),
            captured_at: unit.captured_at,
        }
    }
}

/// A watched stream.
pub struct Feed {
    subscription: Subscription,
    /// Origin of the RTP timestamps.
    epoch: Instant,
    /// Who watches.
    pub viewers: Vec<ViewerId>,
    recent: Recent,
}

impl Feed {
    /// Subscribes; `wake` is called for every picture, on the encoder's thread.
    pub fn new(stream: &Stream, epoch: Instant, wake: impl Fn() + Send + 'static) -> Self {
        Self {
            subscription: stream.subscribe(Box::new(wake)),
            epoch,
            viewers: Vec::new(),
            recent: Recent::default(),
        }
    }

    /// The next picture, if there is one.
    ///
    /// # Errors
    /// When pictures were lost; the next one is a keyframe.
    pub fn next(&mut self) -> Result<Option<Picture>, Lagged> {
        let Some(unit) = self.subscription.try_next()? else {
            return Ok(None);
        };
        let picture = Picture::new(&unit, self.epoch);
        self.recent.push(picture.clone());
        Ok(Some(picture))
    }

    /// What a newcomer can begin with: a keyframe that is a few pictures old at the most, and all since.
    pub fn recent(&self) -> impl Iterator<Item = &Picture> {
        self.recent.0.iter()
    }
}

/// The pictures since a recent keyframe; empty when the last one is older than [`MAX_REPLAY`] pictures.
#[derive(Debug, Default)]
struct Recent(VecDeque<Picture>);

impl Recent {
    fn push(&mut self, picture: Picture) {
        if picture.keyframe || self.0.len() == MAX_REPLAY {
            self.0.clear();
        }
        // Without its keyframe a picture is of no use.
        if picture.keyframe || !self.0.is_empty() {
            self.0.push_back(picture);
        }
    }
}

/// The 90 kHz clock of RFC 6184, run by the capture times and wrapping at 32 bits.
fn rtp_timestamp(at: Instant, epoch: Instant) -> u32 {
    let ticks = |since: Duration| (since.as_micros() * 9 / 100) as u32;
    // A frame may have been captured before the thread was started.
    match at.checked_duration_since(epoch) {
        Some(since) => ticks(since),
        None => 0u32.wrapping_sub(ticks(epoch - at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rtp_clock_runs_at_90_khz_from_before_the_epoch_through_its_wrap() {
        let epoch = Instant::now() + Duration::from_secs(10);
        let at = |ms: u64| rtp_timestamp(epoch + Duration::from_millis(ms), epoch);
        assert_eq!(at(1000), 90_000);
        let before = rtp_timestamp(epoch - Duration::from_secs(1), epoch);
        assert_eq!(before.wrapping_add(90_000), 0);
        // 2^32 ticks take 13 hours and a quarter.
        let wrap = (1u64 << 32) * 1000 / 90_000;
        assert_eq!(at(wrap + 1000).wrapping_sub(at(wrap)), 90_000);
    }

    #[test]
    fn a_newcomer_begins_with_a_recent_keyframe_and_all_since() {
        let picture = |timestamp, keyframe| Picture {
            keyframe,
            timestamp,
            payloads: Arc::new([]),
            captured_at: Instant::now(),
        };
        let mut recent = Recent::default();
        let numbers = |recent: &Recent| recent.0.iter().map(|p| p.timestamp).collect::<Vec<_>>();
        recent.push(picture(0, false));
        assert!(numbers(&recent).is_empty(), "no keyframe yet");
        recent.push(picture(1, true));
        recent.push(picture(2, false));
        assert_eq!(numbers(&recent), [1, 2]);
        recent.push(picture(3, true));
        assert_eq!(numbers(&recent), [3]);
        for n in 4..3 + MAX_REPLAY as u32 {
            recent.push(picture(n, false));
        }
        assert_eq!(recent.0.len(), MAX_REPLAY);
        recent.push(picture(100, false));
        assert!(numbers(&recent).is_empty(), "too long ago");
    }
}
