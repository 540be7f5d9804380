//! The frame rate and the bit rate that are measured: counted with each picture, averaged over the last four seconds.

use std::time::{Duration, Instant};

/// The time that is counted together.
const SLOT: Duration = Duration::from_millis(250);
/// Whole slots that a figure is averaged over: four seconds.
const WINDOW: u64 = 16;

/// Rates of the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Pictures a second.
    pub fps: f64,
    /// The rate of the pictures' data, without any network headers.
    pub bits_per_second: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct MeterSlot {
    number: u64,
    pictures: u32,
    bytes: u64,
}

/// Counts pictures. Its size is fixed, and so is the work for each picture.
#[derive(Debug)]
pub struct Meter {
    epoch: Instant,
    /// By their numbers, modulo; one more than the window, for the one that is being filled.
    slots: [MeterSlot; WINDOW as usize + 1],
    /// The slot of the first picture after a pause: it may be filled by a part only, and does not count.
    begun: Option<u64>,
    last: u64,
}

impl Meter {
    /// Nothing has passed yet.
    pub fn new(now: Instant) -> Self {
        Self {
            epoch: now,
            slots: Default::default(),
            begun: None,
            last: 0,
        }
    }

    /// Counts a picture of that many bytes.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        let number = self.number(now);
        if self.begun.is_none() || number > self.last + WINDOW {
            self.begun = Some(number);
        }
        self.last = number;
        let len = self.slots.len() as u64;
        let slot = &mut self.slots[(number % len) as usize];
        if slot.number != number {
            *slot = MeterSlot {
                number,
                ..MeterSlot::default()
            };
        }
        slot.pictures += 1;
        slot.bytes += bytes as u64;
    }

    /// The rates of the last four seconds, or since the first picture; `None` in the first second, and if no picture came.
    pub fn measure(&self, now: Instant) -> Option<Measured> {
        let end = self.number(now);
        let begin = (self.begun? + 1).max(end.saturating_sub(WINDOW));
        let slots = self.slots.iter();
        let counted = slots.filter(|slot| (begin..end).contains(&slot.number));
        let (mut pictures, mut bytes) = (0, 0);
        for slot in counted {
            pictures += u64::from(slot.pictures);
            bytes += slot.bytes;
        }
        let seconds = end.checked_sub(begin)? as f64 * SLOT.as_secs_f64();
        (pictures > 0 && seconds >= 1.0).then(|| Measured {
            fps: pictures as f64 / seconds,
            bits_per_second: bytes as f64 * 8.0 / seconds,
        })
    }

    fn number(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        (since.as_millis() / SLOT.as_millis()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_known_a_second_after_it_begins_and_until_it_ends() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut meter = Meter::new(start);
        assert_eq!(meter.measure(at(0)), None);
        let begin = 10_130;
        let run = |meter: &mut Meter, from: u64, until: u64, interval: u64, bytes: usize| {
            (from..until)
                .step_by(interval as usize)
                .for_each(|ms| meter.add(at(ms), bytes));
        };
        run(&mut meter, begin, begin + 900, 40, 1000);
        assert_eq!(meter.measure(at(begin + 900)), None, "too early");
        run(&mut meter, begin + 920, begin + 9_520, 40, 1000);
        for ms in [9_520, 9_800, 10_080] {
            let measured = meter.measure(at(begin + ms)).unwrap();
            assert!((measured.fps - 25.0).abs() < 0.5, "{measured:?}");
            let bits = measured.bits_per_second;
            assert!((bits - 200_000.0).abs() < 4_000.0, "{measured:?}");
            run(&mut meter, begin + ms, begin + ms + 280, 40, 1000);
        }
        // The camera goes down to five a second.
        run(&mut meter, begin + 10_400, begin + 20_000, 200, 500);
        let measured = meter.measure(at(begin + 20_000)).unwrap();
        assert!((measured.fps - 5.0).abs() <= 0.25, "{measured:?}");
        // It stops, and begins anew.
        let stopped = meter.measure(at(begin + 22_000)).unwrap();
        assert!(stopped.fps < 3.0, "{stopped:?}");
        assert_eq!(meter.measure(at(begin + 25_000)), None);
        run(&mut meter, begin + 60_000, begin + 61_600, 20, 1);
        let measured = meter.measure(at(begin + 61_600)).unwrap();
        assert!((measured.fps - 50.0).abs() < 1.0, "{measured:?}");
    }
}
