//! A watched stream's pictures of the last seconds, packetized once for all viewers: what newcomers begin with, and
//! what is sent again when it was lost.

use crate::media::AccessUnit;
use crate::rtc::wire::packetize::packetize;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// With how much of the past a newcomer begins.
struct Replay {
    /// Pictures from the last keyframe to now, at the most.
    pictures: u64,
    /// How old the keyframe may be. Of a source that has died since nothing is shown as if it lived.
    age: Duration,
    /// Of all these pictures, at the most.
    bytes: usize,
}

/// Where keyframes come when they are asked for: 0.4 s at 30 fps. With more, a fresh keyframe is smaller, and it is sooner on the screen.
const ON_DEMAND: Replay = Replay {
    pictures: 12,
    age: Duration::from_secs(1),
    bytes: usize::MAX,
};

/// Where they come when the camera likes: all of a group of 2 s at 30 fps, unless that is more than a slow path
/// carries in the time that the wait for the next would take.
const AS_THEY_COME: Replay = Replay {
    pictures: 60,
    age: Duration::from_millis(2200),
    bytes: 1_500_000,
};

/// Pictures that a viewer may be behind besides those that a newcomer begins with: a quarter second at 30 fps.
const SLACK: u64 = 8;

/// How long pictures are kept: longer than any player waits for a lost packet.
pub const MAX_AGE: Duration = Duration::from_millis(2500);

/// How many are kept at the most, [`MAX_AGE`] at 60 fps. The oldest goes.
const MAX_PICTURES: usize = 150;

/// One picture, packetized once for all viewers.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Decoding can begin here.
    pub keyframe: bool,
    /// 90 kHz ticks since the media thread's epoch.
    pub timestamp: u32,
    /// The same moment on the wall clock (NTP format).
    pub ntp: u64,
    /// RTP payloads in order.
    pub payloads: Arc<[Bytes]>,
    /// When the sensor delivered it.
    pub captured_at: Instant,
    /// When the encoder returned it.
    pub encoded_at: Instant,
}

impl Picture {
    /// Packetizes an access unit.
    pub fn new(now: Instant, unit: &AccessUnit, epoch: Instant) -> Self {
        Self {
            keyframe: unit.keyframe,
            timestamp: rtp_timestamp(unit.captured_at, epoch),
            ntp: ntp(now.saturating_duration_since(unit.captured_at)),
            payloads: packetize(&unit.data).into(),
            captured_at: unit.captured_at,
            encoded_at: unit.encoded_at,
        }
    }
}

/// The pictures, numbered in order from 0.
#[derive(Debug, Default)]
pub struct Cache {
    pictures: VecDeque<Picture>,
    /// Number of the next one.
    end: u64,
    /// Number of the last keyframe.
    keyframe: Option<u64>,
    /// Keyframes come when they come, not when they are asked for.
    pub waits_for_keyframes: bool,
}

impl Cache {
    /// The number that the next picture will have.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Adds a picture, and forgets those that are too old. Its time comes after the one before, whatever the camera says, or
    /// was captured when: players drop what they take for late.
    pub fn push(&mut self, mut picture: Picture) {
        if let Some(last) = self.last() {
            let since = picture.timestamp.wrapping_sub(last.timestamp);
            if since == 0 || since > u32::MAX / 2 {
                picture.timestamp = last.timestamp.wrapping_add(1);
            }
        }
        let now = picture.encoded_at;
        let is_stale = |old: &Picture| now.saturating_duration_since(old.encoded_at) > MAX_AGE;
        while self.pictures.len() == MAX_PICTURES || self.pictures.front().is_some_and(is_stale) {
            self.pictures.pop_front();
        }
        if picture.keyframe {
            self.keyframe = Some(self.end);
        }
        self.end += 1;
        self.pictures.push_back(picture);
    }

    /// A picture that is still kept.
    pub fn get(&self, number: u64) -> Option<&Picture> {
        let age = usize::try_from(self.end.checked_sub(number)?).ok()?;
        self.pictures.get(self.pictures.len().checked_sub(age)?)
    }

    /// Where a viewer can begin that was sent nothing past `after`: the last keyframe, if it is a few pictures old at the most.
    pub fn start(&self, now: Instant, after: Option<u64>) -> Option<u64> {
        let number = self.keyframe.filter(|number| Some(*number) > after)?;
        let picture = self.get(number)?;
        let replay = self.replay();
        // By the encoder's time: a camera may tell wrong when it captured.
        let is_fresh = now.saturating_duration_since(picture.encoded_at) <= replay.age;
        let len = |picture: &Picture| picture.payloads.iter().map(Bytes::len).sum::<usize>();
        let fits = || {
            let all = (number..self.end).filter_map(|number| self.get(number));
            all.map(len).sum::<usize>() <= replay.bytes
        };
        (is_fresh && self.end - number <= replay.pictures && fits()).then_some(number)
    }

    /// Pictures that a viewer may be behind before it goes on at a keyframe.
    pub const fn max_behind(&self) -> u64 {
        self.replay().pictures + SLACK
    }

    const fn replay(&self) -> &'static Replay {
        if self.waits_for_keyframes {
            &AS_THEY_COME
        } else {
            &ON_DEMAND
        }
    }

    /// The newest picture.
    pub fn last(&self) -> Option<&Picture> {
        self.pictures.back()
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

/// The wall clock that long ago as an NTP timestamp: seconds since 1900, 32 bits of fraction (RFC 5905, 6).
fn ntp(ago: Duration) -> u64 {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(ago);
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (since_1970.as_secs() + FROM_1900_TO_1970) << 32 | fraction
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

    fn picture(at: Instant, keyframe: bool) -> Picture {
        Picture {
            keyframe,
            timestamp: 0,
            ntp: 0,
            payloads: Arc::new([]),
            captured_at: at,
            encoded_at: at,
        }
    }

    #[test]
    fn a_newcomer_begins_at_a_recent_keyframe() {
        let now = Instant::now();
        let mut cache = Cache::default();
        cache.push(picture(now, false));
        assert_eq!(cache.start(now, None), None, "no keyframe yet");
        cache.push(picture(now, true));
        cache.push(picture(now, false));
        assert_eq!(cache.start(now, None), Some(1));
        assert_eq!(cache.start(now, Some(0)), Some(1));
        assert_eq!(cache.start(now, Some(1)), None, "it was sent that one");
        cache.push(picture(now, true));
        assert_eq!(cache.start(now, None), Some(3));
        (1..ON_DEMAND.pictures).for_each(|_| cache.push(picture(now, false)));
        assert_eq!(cache.start(now, None), Some(3));
        let later = now + 2 * ON_DEMAND.age;
        assert_eq!(cache.start(later, None), None, "too long ago");
        cache.push(picture(now, false));
        assert_eq!(cache.start(now, None), None, "too many since");
    }

    #[test]
    fn where_no_keyframe_can_be_asked_for_a_newcomer_begins_with_more() {
        let start = Instant::now();
        let at = |n: u64| start + Duration::from_millis(n * 33);
        let payload = Bytes::from_static(&[0; 1000]);
        let mut cache = Cache {
            waits_for_keyframes: true,
            ..Cache::default()
        };
        let push = |cache: &mut Cache, n: u64, packets| {
            cache.push(Picture {
                payloads: vec![payload.clone(); packets].into(),
                ..picture(at(n), n.is_multiple_of(60))
            });
            cache.start(at(n), None)
        };
        // Every moment of a group of two seconds, and of the next.
        for n in 0..120 {
            assert_eq!(push(&mut cache, n, 10), Some(n / 60 * 60), "{n}");
        }
        // Too long ago.
        assert_eq!(cache.start(at(120) + Duration::from_secs(1), None), None);
        // Too much for a path: half a megabyte more than that.
        for n in 120..130 {
            let expected = (n < 123).then_some(120);
            assert_eq!(push(&mut cache, n, 500), expected, "{n}");
        }
        cache.waits_for_keyframes = false;
        assert_eq!(cache.max_behind(), 20);
    }

    #[test]
    fn a_camera_whose_time_stamps_are_old_is_watched_all_the_same() {
        let now = Instant::now();
        let mut cache = Cache::default();
        cache.push(Picture {
            encoded_at: now + Duration::from_secs(10),
            ..picture(now, true)
        });
        assert_eq!(cache.start(now + Duration::from_secs(10), None), Some(0));
    }

    #[test]
    fn pictures_are_found_by_number_until_they_are_old() {
        let start = Instant::now();
        let at = |n: u64| start + Duration::from_millis(10 * n);
        let mut cache = Cache::default();
        assert!(cache.get(0).is_none());
        for n in 0..300 {
            cache.push(picture(at(n), n == 0));
        }
        assert!(cache.get(300).is_none(), "not there yet");
        assert_eq!(cache.get(299).unwrap().captured_at, at(299));
        let oldest = 300 - MAX_PICTURES as u64;
        assert_eq!(cache.get(oldest).unwrap().captured_at, at(oldest));
        assert!(cache.get(oldest - 1).is_none(), "too many since");
        let later = at(299) + MAX_AGE;
        cache.push(picture(later, false));
        assert_eq!(cache.get(299).unwrap().captured_at, at(299));
        assert!(cache.get(298).is_none(), "too long ago");
    }
}
