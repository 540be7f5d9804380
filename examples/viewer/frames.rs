//! RTP packets to pictures: puts packets in order, waits for retransmissions, and hands out whole H.264 access units.
//!
//! A picture that misses a packet can't be decoded, nor can those that refer to it. So after a loss that no
//! retransmission mended, nothing is handed out until the next keyframe, and a keyframe is asked for.

use rtc::rtp;
use rtc::rtp::codec::h264::H264Packet;
use rtc::rtp::packetizer::Depacketizer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a missing packet is waited for: the gap is reported within 100 ms, and then a round trip goes by.
const PATIENCE: Duration = Duration::from_millis(400);
/// Packets that may wait behind a gap. When there are more, the gap is given up.
const MAX_WAITING: usize = 2048;

/// An access unit in Annex B form: NAL units, each with a start code before it.
pub struct Picture {
    /// The bytes for a file or a decoder.
    pub data: Vec<u8>,
    /// It can be decoded by itself: parameter sets and an IDR picture.
    pub keyframe: bool,
}

/// What was seen on the wire.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Packets received, without duplicates.
    pub packets: u64,
    /// Payload bytes in them.
    pub bytes: u64,
    /// Packets given up.
    pub lost: u64,
    /// Packets that came after one with a higher sequence number, retransmissions among them.
    pub reordered: u64,
    /// Pictures left out: incomplete, or without the pictures that they refer to.
    pub skipped: u64,
}

/// The packets of one video track on their way to pictures.
#[derive(Default)]
pub struct Frames {
    depacketizer: H264Packet,
    /// Packets behind a gap, by their sequence number without wrap-around.
    waiting: BTreeMap<u64, (Instant, rtp::Packet)>,
    /// Sequence numbers without wrap-around: the next one to use, and the highest seen.
    next: Option<u64>,
    highest: u64,
    unit: Vec<u8>,
    /// The unit has had every packet so far.
    is_whole: bool,
    /// Everything since the last keyframe was whole.
    is_synchronized: bool,
    counts: Counts,
}

impl Frames {
    /// Nothing received yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was seen so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether only a keyframe helps now.
    pub const fn needs_keyframe(&self) -> bool {
        !self.is_synchronized
    }

    /// Takes in a packet and returns the pictures that it completes.
    pub fn push(&mut self, now: Instant, packet: rtp::Packet) -> Vec<Picture> {
        let number = packet.header.sequence_number;
        let next = match self.next {
            Some(next) => next,
            None => {
                // Far from 0, so that packets just before the first have a number, too.
                let first = u64::from(number) + (1 << 16);
                self.highest = first;
                *self.next.insert(first)
            }
        };
        let at = extend(number, self.highest);
        // A retransmission may cross the packet that it replaces.
        let is_news = at >= next && !self.waiting.contains_key(&at);
        if is_news {
            self.counts.packets += 1;
            self.counts.bytes += packet.payload.len() as u64;
            self.counts.reordered += u64::from(at < self.highest);
            self.highest = self.highest.max(at);
            self.waiting.insert(at, (now, packet));
        }
        self.collect(now)
    }

    /// Uses every packet whose turn it is, and gives up gaps that were waited for long enough.
    fn collect(&mut self, now: Instant) -> Vec<Picture> {
        let mut pictures = Vec::new();
        while let Some(first) = self.waiting.first_entry() {
            let (at, arrived) = (*first.key(), first.get().0);
            let gap = self.next.map_or(0, |next| at - next);
            if gap > 0 {
                let is_late = now.saturating_duration_since(arrived) >= PATIENCE;
                if !is_late && self.waiting.len() <= MAX_WAITING {
                    break;
                }
                self.counts.lost += gap;
                self.lose();
            }
            if let Some((_, (_, packet))) = self.waiting.pop_first() {
                self.next = Some(at + 1);
                pictures.extend(self.depacketize(&packet));
            }
        }
        pictures
    }

    fn depacketize(&mut self, packet: &rtp::Packet) -> Option<Picture> {
        let payload = &packet.payload;
        // Two bytes hold no slice: padding, or the end of a sequence.
        if payload.len() > 2 {
            // After a loss, the rest of a fragmented NAL unit is of no use.
            self.is_whole |= self.unit.is_empty() && self.depacketizer.is_partition_head(payload);
            if self.is_whole {
                match self.depacketizer.depacketize(payload) {
                    Ok(bytes) => self.unit.extend_from_slice(&bytes),
                    Err(_) => self.lose(),
                }
            }
        }
        if !packet.header.marker {
            return None;
        }
        let data = std::mem::take(&mut self.unit);
        let is_whole = std::mem::take(&mut self.is_whole);
        let keyframe = is_whole && is_keyframe(&data);
        self.is_synchronized |= keyframe;
        if !is_whole || !self.is_synchronized {
            self.counts.skipped += 1;
            return None;
        }
        Some(Picture { data, keyframe })
    }

    fn lose(&mut self) {
        self.depacketizer = H264Packet::default();
        self.unit.clear();
        self.is_whole = false;
        self.is_synchronized = false;
    }
}

/// The number with the low bits `number` that is nearest to `reference`.
fn extend(number: u16, reference: u64) -> u64 {
    let ahead = number.wrapping_sub(reference as u16).cast_signed();
    reference.saturating_add_signed(i64::from(ahead))
}

/// Whether an access unit has a sequence and a picture parameter set and an IDR picture.
fn is_keyframe(unit: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const PPS: u8 = 8;
    let has = |wanted| {
        unit.windows(4)
            .any(|bytes| bytes[..3] == [0, 0, 1] && bytes[3] & 0x1f == wanted)
    };
    has(SPS) && has(PPS) && has(IDR)
}
