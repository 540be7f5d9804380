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

/// How old the keyframe may be that a newcomer begins with.
const MAX_REPLAY_AGE: Duration = Duration::from_secs(1);

/// Pictures kept for retransmission: two seconds at 30 fps.
const MAX_CACHE: usize = 64;

/// One picture, packetized once for all viewers.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Counts the feed's pictures.
    pub number: u64,
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
    fn new(number: u64, unit: &AccessUnit, epoch: Instant) -> Self {
        Self {
            number,
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
    cache: Cache,
}

impl Feed {
    /// Subscribes; `wake` is called for every picture, on the encoder's thread.
    pub fn new(stream: &Stream, epoch: Instant, wake: impl Fn() + Send + 'static) -> Self {
        Self {
            subscription: stream.subscribe(Box::new(wake)),
            epoch,
            viewers: Vec::new(),
            cache: Cache::default(),
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
        let picture = Picture::new(self.cache.end(), &unit, self.epoch);
        self.cache.push(picture.clone());
        Ok(Some(picture))
    }

    /// What a newcomer can begin with: a keyframe that is a few pictures old at the most, and all since.
    pub fn recent(&self, now: Instant) -> impl Iterator<Item = &Picture> {
        self.cache.since_keyframe(now)
    }

    /// A picture of the last seconds.
    pub fn picture(&self, number: u64) -> Option<&Picture> {
        self.cache.get(number)
    }
}

/// The pictures of the last seconds, numbered in order; the oldest goes. One for all viewers.
#[derive(Debug, Default)]
struct Cache {
    pictures: VecDeque<Picture>,
    /// Number of the next one.
    end: u64,
    /// How many pictures ago the last keyframe was, itself included.
    since_keyframe: usize,
}

impl Cache {
    const fn end(&self) -> u64 {
        self.end
    }

    fn push(&mut self, picture: Picture) {
        if self.pictures.len() == MAX_CACHE {
            self.pictures.pop_front();
        }
        self.since_keyframe = match (picture.keyframe, self.since_keyframe) {
            (true, _) => 1,
            // Without its keyframe a picture is of no use.
            (false, 0) => 0,
            (false, pictures) => pictures + 1,
        };
        self.end = picture.number + 1;
        self.pictures.push_back(picture);
    }

    fn get(&self, number: u64) -> Option<&Picture> {
        let age = self.end.checked_sub(number)?;
        let index = self
            .pictures
            .len()
            .checked_sub(usize::try_from(age).ok()?)?;
        self.pictures.get(index)
    }

    fn since_keyframe(&self, now: Instant) -> impl Iterator<Item = &Picture> {
        let wanted = match self.since_keyframe {
            pictures @ 1..=MAX_REPLAY => pictures,
            _ => 0,
        };
        let pictures = self.pictures.range(self.pictures.len() - wanted..);
        // A source that has died since is not shown as if it lived.
        let age = |picture: &Picture| now.saturating_duration_since(picture.captured_at);
        let is_fresh = |picture: &&Picture| age(picture) <= MAX_REPLAY_AGE;
        let oldest = pictures.clone().next().filter(is_fresh);
        pictures.take(if oldest.is_some() { wanted } else { 0 })
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

    fn picture(number: u64, keyframe: bool) -> Picture {
        Picture {
            number,
            keyframe,
            timestamp: 0,
            payloads: Arc::new([]),
            captured_at: Instant::now(),
        }
    }

    #[test]
    fn a_newcomer_begins_with_a_recent_keyframe_and_all_since() {
        let mut cache = Cache::default();
        let numbers = |cache: &Cache| {
            cache
                .since_keyframe(Instant::now())
                .map(|p| p.number)
                .collect::<Vec<_>>()
        };
        cache.push(picture(0, false));
        assert!(numbers(&cache).is_empty(), "no keyframe yet");
        cache.push(picture(1, true));
        cache.push(picture(2, false));
        assert_eq!(numbers(&cache), [1, 2]);
        cache.push(picture(3, true));
        assert_eq!(numbers(&cache), [3]);
        for n in 4..3 + MAX_REPLAY as u64 {
            cache.push(picture(n, false));
        }
        assert_eq!(numbers(&cache).len(), MAX_REPLAY);
        cache.push(picture(3 + MAX_REPLAY as u64, false));
        assert!(numbers(&cache).is_empty(), "too many since");
        cache.push(picture(100, true));
        let later = Instant::now() + 2 * MAX_REPLAY_AGE;
        assert_eq!(cache.since_keyframe(later).count(), 0, "too long ago");
    }

    #[test]
    fn pictures_are_found_by_number_until_they_are_old() {
        let mut cache = Cache::default();
        assert!(cache.get(0).is_none());
        for n in 0..100 {
            cache.push(picture(n, n == 0));
        }
        assert!(cache.get(100).is_none(), "not there yet");
        assert_eq!(cache.get(99).unwrap().number, 99);
        assert_eq!(cache.get(36).unwrap().number, 36);
        assert!(cache.get(35).is_none(), "gone");
    }
}
