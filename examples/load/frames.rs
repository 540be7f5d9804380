//! When frames arrive: the interval between a viewer's frames, its jitter, their age, and how far apart viewers get
//! the same one.

use crate::histogram::{Histogram, Summary};
use crate::spread::Spread;
use std::time::Duration;

/// Ticks of a video timestamp in a second (RFC 6184, 8.2.1).
const CLOCK: u64 = 90_000;
/// A longer interval is a pause of the stream, not its rate.
const MAX_INTERVAL: Duration = Duration::from_secs(10);

/// A time of arrival, since the Unix epoch.
pub type Arrived = Duration;

/// The frames of one viewer.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    /// Timestamp of the newest frame.
    newest: Option<u32>,
    /// Timestamp and arrival of the last packet of the newest frame that is whole.
    ended: Option<(u32, Arrived)>,
    count: u64,
}

/// A frame's last packet, seen by one viewer after that of an earlier frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Since the frame before.
    pub interval: Duration,
    /// What the timestamps say that it should have been.
    pub nominal: Duration,
    pub arrived: Arrived,
    /// When it was captured, by the server's clock, if the server said.
    pub captured: Option<Duration>,
}

impl Frames {
    /// Takes in a packet that is no duplicate.
    pub fn packet(&mut self, timestamp: u32, marker: bool, arrived: Arrived) -> Option<Ended> {
        if self.newest.is_none_or(|newest| is_after(timestamp, newest)) {
            self.newest = Some(timestamp);
            self.count += 1;
        }
        if !marker {
            return None;
        }
        let before = self.ended;
        if before.is_some_and(|(before, _)| !is_after(timestamp, before)) {
            return None;
        }
        self.ended = Some((timestamp, arrived));
        let (ticks, at) = before?;
        let ticks = u64::from(timestamp.wrapping_sub(ticks));
        let nominal = Duration::from_micros(ticks * 1_000_000 / CLOCK);
        let interval = arrived.saturating_sub(at);
        let is_pause = nominal > MAX_INTERVAL || interval > MAX_INTERVAL;
        (!is_pause).then_some(Ended {
            interval,
            nominal,
            arrived,
            captured: None,
        })
    }

    /// Different timestamps so far.
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// Whether a timestamp comes after another; they wrap around.
const fn is_after(timestamp: u32, other: u32) -> bool {
    timestamp.wrapping_sub(other).cast_signed() > 0
}

/// The frames of many viewers, summed up.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// From frame to frame.
    pub intervals: Histogram,
    /// How much the intervals differ from what the timestamps say.
    pub jitter: Histogram,
    ages: Histogram,
    /// Frames that arrived before they were captured: the server's clock is not ours.
    too_young: u64,
    by_capture: Spread,
    by_arrival: Spread,
}

impl Times {
    pub fn add(&mut self, ended: Ended) {
        self.intervals.add(ended.interval);
        self.jitter.add(ended.interval.abs_diff(ended.nominal));
        if let Some(captured) = ended.captured {
            match ended.arrived.checked_sub(captured) {
                Some(age) => self.ages.add(age),
                None => self.too_young += 1,
            }
            self.by_capture.add(captured, ended.arrived, ended.nominal);
        }
        self.by_arrival
            .add(ended.arrived, ended.arrived, ended.nominal);
    }

    /// Adds those of other viewers.
    pub fn merge(&mut self, other: Self) {
        self.intervals.merge(&other.intervals);
        self.jitter.merge(&other.jitter);
        self.ages.merge(&other.ages);
        self.too_young += other.too_young;
        self.by_capture.merge(other.by_capture);
        self.by_arrival.merge(other.by_arrival);
    }

    /// From capture to arrival, if the server's clock is ours.
    pub fn ages(&self) -> Option<Summary> {
        let ages = self.ages.summary()?;
        (self.too_young == 0).then_some(ages)
    }

    /// From the first viewer's last packet of a frame to the last viewer's, as far as captures tell frames apart.
    pub fn spread(&self) -> Option<Summary> {
        self.by_capture.summary()
    }

    /// The same where captures are not known: what comes within half an interval of a frame is the same frame.
    pub fn spread_by_arrival(&self) -> Option<Summary> {
        self.by_arrival.summary()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn frames_are_counted_by_timestamp_and_timed_by_their_last_packet() {
        let mut frames = Frames::default();
        let start = u32::MAX - 2000;
        assert_eq!(frames.packet(start, false, ms(0)), None);
        assert_eq!(frames.packet(start, true, ms(1)), None);
        let next = start.wrapping_add(2700);
        assert_eq!(frames.packet(next, false, ms(30)), None);
        // Late, of the frame before.
        assert_eq!(frames.packet(start, false, ms(31)), None);
        let ended = frames.packet(next, true, ms(36)).unwrap();
        assert_eq!((ended.interval, ended.nominal), (ms(35), ms(30)));
        assert_eq!(frames.count(), 2);
        // A pause is no interval.
        assert_eq!(
            frames.packet(next.wrapping_add(90_000 * 11), true, ms(11_036)),
            None
        );
        assert_eq!(frames.count(), 3);
    }

    #[test]
    fn jitter_is_what_the_timestamps_do_not_explain() {
        let mut frames = Frames::default();
        let mut times = Times::default();
        for n in 0..100_u32 {
            let late = u64::from(n % 2) * 4;
            let ended = frames.packet(n * 2700, true, ms(u64::from(n) * 30 + late));
            ended.into_iter().for_each(|ended| times.add(ended));
        }
        let jitter = times.jitter.summary().unwrap();
        assert_eq!(jitter.count, 99);
        assert!((jitter.median - 4.0).abs() < 0.15, "{jitter:?}");
    }

    #[test]
    fn ages_by_another_clock_are_not_told() {
        let mut times = Times::default();
        let ended = |arrived| Ended {
            interval: ms(30),
            nominal: ms(30),
            arrived: ms(arrived),
            captured: Some(ms(50)),
        };
        times.add(ended(60));
        assert!(times.ages().is_some());
        times.add(ended(49));
        assert_eq!(times.ages(), None);
    }
}
