//! What transport-wide feedback tells: which packets arrived, how much in what time, and whether they queued.

use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The last packets sent: four seconds at 2.5 Mbit/s, half of one at 20 Mbit/s. The oldest is forgotten.
pub struct History {
    epoch: Instant,
    /// The last packet's time: those that leave together have it converted once.
    last: (Instant, u32),
    packets: Box<[Packet; Self::KEPT]>,
}

/// Eight bytes.
#[derive(Clone, Copy, Default)]
struct Packet {
    /// Microseconds since the epoch, which wrap around after an hour.
    at: u32,
    number: u16,
    /// With the flag [`LOST`](Self::LOST); 0 if there is nothing to learn of it.
    size: u16,
}

impl Packet {
    /// The viewer said that it is lost. It may still arrive.
    const LOST: u16 = 0x8000;
}

/// A packet of which the viewer says something new.
pub struct News {
    /// When it left, in microseconds from the beginning.
    pub departure: i64,
    /// Bytes.
    pub size: usize,
    /// The viewer called it lost before.
    pub was_lost: bool,
}

impl History {
    /// Packets.
    pub const KEPT: usize = 1024;

    /// Empty.
    pub fn new(epoch: Instant) -> Self {
        let packets = Box::new([Packet::default(); Self::KEPT]);
        Self {
            epoch,
            last: (epoch, 0),
            packets,
        }
    }

    #[cfg(test)]
    pub fn heap_size(&self) -> usize {
        size_of_val(&*self.packets)
    }

    /// Microseconds from the beginning to a moment on our clock.
    pub fn micros(&self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.epoch);
        since.as_secs() as i64 * 1_000_000 + i64::from(since.subsec_micros())
    }

    /// The moment that is so many microseconds from the beginning.
    pub fn instant(&self, micros: i64) -> Instant {
        self.epoch + Duration::from_micros(micros.try_into().unwrap_or(0))
    }

    /// A packet leaves, with the next number.
    pub fn add(&mut self, now: Instant, number: u16, bytes: usize) {
        if self.last.0 != now {
            self.last = (now, self.micros(now) as u32);
        }
        let most = usize::from(Packet::LOST - 1);
        self.packets[usize::from(number) % Self::KEPT] = Packet {
            at: self.last.1,
            number,
            size: bytes.min(most) as u16,
        };
    }

    /// A packet, if what is said of it is news: that it arrived, or, before that, that it is lost. `now` is in microseconds
    /// from the beginning.
    pub fn news(&mut self, now: i64, number: u16, has_arrived: bool) -> Option<News> {
        let packet = &mut self.packets[usize::from(number) % Self::KEPT];
        let size = packet.size & !Packet::LOST;
        let was_lost = packet.size != size;
        let is_news = has_arrived || !was_lost;
        if packet.number != number || size == 0 || !is_news {
            return None;
        }
        packet.size = if has_arrived { 0 } else { size | Packet::LOST };
        let age = (now as u32).wrapping_sub(packet.at);
        Some(News {
            departure: now - i64::from(age),
            size: size.into(),
            was_lost,
        })
    }
}

/// The viewer's clock, of which reports carry 24 bits: units of 64 ms, around in twelve days.
#[derive(Default)]
pub struct ViewerClock {
    /// Of the last report, and the turns before it; the first counts as one.
    units: Option<i64>,
}

impl ViewerClock {
    const UNIT: i64 = 64_000;
    const TURN: i64 = 1 << 24;

    /// A report's time in microseconds from some beginning.
    pub fn micros(&mut self, reference: u32) -> i64 {
        let reference = i64::from(reference);
        let last = *self.units.get_or_insert(reference + Self::TURN);
        // The nearest time that looks like this.
        let ahead = (reference - last + Self::TURN / 2).rem_euclid(Self::TURN) - Self::TURN / 2;
        let units = last + ahead;
        self.units = Some(units);
        units * Self::UNIT
    }
}

/// What arrived by when, on the viewer's clock.
#[derive(Default)]
pub struct Received {
    bytes: u64,
    /// Microseconds, and all bytes until then.
    marks: VecDeque<(i64, u64)>,
    rate: Option<f64>,
    /// The first packet that no report covers.
    next: Option<u16>,
}

impl Received {
    /// Keyframes and pauses between pictures shall not show much.
    const WINDOW: i64 = 1_000_000;
    /// A rate over less says little.
    const SHORTEST: i64 = 400_000;
    /// After so long without anything it is measured anew.
    const PAUSE: i64 = 3_000_000;
    /// Between two marks, which bounds their number.
    const STEP: i64 = 50_000;

    /// A lost report leaves bytes uncounted: what comes behind the gap is measured anew, and until then the rate stays.
    pub fn follow(&mut self, feedback: &TransportLayerCc) {
        let (base, count) = (feedback.base_sequence_number, feedback.packet_status_count);
        let known = *self.next.get_or_insert(base);
        let is_ahead = |number: u16| (1..0x8000).contains(&number.wrapping_sub(known));
        if is_ahead(base) {
            self.marks.clear();
        }
        let next = base.wrapping_add(count);
        if is_ahead(next) {
            self.next = Some(next);
        }
    }

    /// So many bytes arrived.
    pub fn add(&mut self, at: i64, bytes: usize) {
        let is_before = |mark: &(i64, u64)| (mark.0 - Self::PAUSE..mark.0).contains(&at);
        if self.marks.front().is_some_and(is_before) {
            return;
        }
        self.bytes += bytes as u64;
        let since = self.marks.back().map_or(i64::MAX, |(last, _)| at - last);
        if !(-Self::PAUSE..=Self::PAUSE).contains(&since) {
            self.marks.clear();
            self.marks.push_back((at, self.bytes));
        } else if since >= Self::STEP {
            self.measure(at);
            self.marks.push_back((at, self.bytes));
            let is_over =
                |mark: Option<&(i64, u64)>| mark.is_some_and(|m| at - m.0 >= Self::WINDOW);
            while is_over(self.marks.get(1)) {
                self.marks.pop_front();
            }
        }
    }

    fn measure(&mut self, at: i64) {
        let Some((from, bytes)) = self.marks.front() else {
            return;
        };
        let span = at - from;
        if span >= Self::SHORTEST {
            self.rate = Some((self.bytes - bytes) as f64 * 8e6 / span as f64);
        }
    }

    #[cfg(test)]
    pub fn heap_size(&self) -> usize {
        self.marks.capacity() * size_of::<(i64, u64)>()
    }

    /// In bits per second, once there is one.
    pub const fn rate(&self) -> Option<f64> {
        self.rate
    }
}

/// Whether packets always wait in a queue: their travel times against the shortest of late. The clocks know nothing of
/// each other, so a single time tells nothing. All in microseconds, of departures on our clock.
pub struct Queue {
    stands: bool,
    since: i64,
    low: i64,
    base_since: i64,
    base: i64,
    base_before: i64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            stands: false,
            since: 0,
            low: i64::MAX,
            base_since: 0,
            base: i64::MAX,
            base_before: i64::MAX,
        }
    }
}

impl Queue {
    /// Whoever waits longer than this at the least is late by more than distance explains.
    const STANDING: i64 = 100_000;
    /// Longer than a keyframe takes to get through.
    const WINDOW: i64 = 500_000;
    /// The shortest of so long, or of twice as long, is taken for that of an empty path: a longer one is found in time.
    const BASE: i64 = 30_000_000;

    /// A packet arrived, by a clock that differs from ours by some constant.
    pub fn add(&mut self, departure: i64, travel: i64) {
        if departure - self.base_since >= Self::BASE {
            self.base_since = departure;
            self.base_before = std::mem::replace(&mut self.base, i64::MAX);
        }
        self.base = self.base.min(travel);
        if departure - self.since >= Self::WINDOW {
            let base = self.base.min(self.base_before);
            self.stands = self.low != i64::MAX && self.low - base > Self::STANDING;
            self.since = departure;
            self.low = i64::MAX;
        }
        self.low = self.low.min(travel);
    }

    /// Whether it was so for the last half second.
    pub const fn stands(&self) -> bool {
        self.stands
    }
}
