//! What one viewer received, counted from clear packet headers.

use crate::frames::{Arrived, Ended, Frames};
use crate::packet::Header;
use crate::sequence::{Arrival, Sequence};
use serde::Serialize;
use std::ops::{Add, Sub};

/// Sums over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// RTP packets, with duplicates and retransmissions.
    pub packets: u64,
    /// Their UDP payloads.
    pub bytes: u64,
    /// Packets that were sent, as far as the sequence numbers tell.
    pub expected: u64,
    /// Different packets among them that arrived.
    pub unique: u64,
    pub duplicates: u64,
    /// Packets that came after one with a higher number.
    pub reordered: u64,
    /// Packets of the retransmission payload type (RFC 4588).
    pub retransmitted: u64,
    /// Different timestamps.
    pub frames: u64,
    /// Sources that took another's place.
    pub restarts: u64,
}

impl Counts {
    /// Late packets of the time before can make it less than nothing.
    pub const fn lost(&self) -> i64 {
        self.expected.cast_signed() - self.unique.cast_signed()
    }

    fn each(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            packets: of(self.packets, other.packets),
            bytes: of(self.bytes, other.bytes),
            expected: of(self.expected, other.expected),
            unique: of(self.unique, other.unique),
            duplicates: of(self.duplicates, other.duplicates),
            reordered: of(self.reordered, other.reordered),
            retransmitted: of(self.retransmitted, other.retransmitted),
            frames: of(self.frames, other.frames),
            restarts: of(self.restarts, other.restarts),
        }
    }
}

impl Add for Counts {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.each(other, |a, b| a + b)
    }
}

impl Sub for Counts {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.each(other, u64::saturating_sub)
    }
}

/// A source of packets.
pub struct Source {
    pub ssrc: u32,
    pub sequence: Sequence,
    frames: Frames,
}

/// Counts one viewer's packets.
#[derive(Default)]
pub struct Counter {
    /// Of the retransmissions' payload types, bit by bit.
    retransmission: u128,
    /// All but what the present source's numbers tell.
    counts: Counts,
    source: Option<Source>,
}

/// What a packet was.
pub enum Counted {
    /// Of the video, and not seen before; perhaps a frame's last.
    Video(Option<Ended>),
    /// A duplicate or a retransmission.
    Again,
}

impl Counter {
    /// With the payload types that retransmissions have.
    pub fn new(retransmission: impl IntoIterator<Item = u8>) -> Self {
        let bits = retransmission.into_iter().map(|kind| 1 << (kind & 0x7f));
        Self {
            retransmission: bits.fold(0, |all, bit| all | bit),
            ..Self::default()
        }
    }

    /// Takes in a packet of that length.
    pub fn packet(&mut self, header: &Header<'_>, len: usize, arrived: Arrived) -> Counted {
        let counts = &mut self.counts;
        counts.packets += 1;
        counts.bytes += len as u64;
        if self.retransmission >> header.payload_type & 1 == 1 {
            counts.retransmitted += 1;
            return Counted::Again;
        }
        let source = match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => {
                match source.sequence.arrived(header.sequence) {
                    Arrival::Newer => {}
                    Arrival::Late => counts.reordered += 1,
                    Arrival::Duplicate => {
                        counts.duplicates += 1;
                        return Counted::Again;
                    }
                }
                source
            }
            other => {
                if let Some(old) = other.take() {
                    *counts = *counts + old.counts();
                    counts.restarts += 1;
                }
                other.insert(Source {
                    ssrc: header.ssrc,
                    sequence: Sequence::new(header.sequence),
                    frames: Frames::default(),
                })
            }
        };
        let ended = source
            .frames
            .packet(header.timestamp, header.marker, arrived);
        Counted::Video(ended)
    }

    /// The present source of video.
    pub const fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Everything so far.
    pub fn counts(&self) -> Counts {
        let present = self.source.as_ref().map(Source::counts);
        self.counts + present.unwrap_or_default()
    }
}

impl Source {
    fn counts(&self) -> Counts {
        Counts {
            expected: self.sequence.expected(),
            unique: self.sequence.unique(),
            frames: self.frames.count(),
            ..Counts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x80, kind];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) / 4 * 3000).to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.resize(100, 0);
        packet
    }

    #[test]
    fn each_packet_is_counted_as_what_it_is() {
        let mut counter = Counter::new([97]);
        let mut count = |kind, sequence, ssrc| {
            let packet = packet(kind, sequence, ssrc);
            let header = Header::parse(&packet).unwrap();
            counter.packet(&header, packet.len(), Arrived::ZERO);
            counter.counts()
        };
        for sequence in [0, 1, 3, 2, 2, 7] {
            count(96, sequence, 5);
        }
        let before = count(97, 1000, 6);
        let expected = Counts {
            packets: 7,
            bytes: 700,
            expected: 8,
            unique: 5,
            duplicates: 1,
            reordered: 1,
            retransmitted: 1,
            frames: 2,
            restarts: 0,
        };
        assert_eq!(before, expected);
        assert_eq!(before.lost(), 3);
        // Another source begins anew, and what was lost of the old one stays lost.
        count(96, 60_000, 8);
        let window = count(96, 60_002, 8) - before;
        assert_eq!((window.packets, window.lost(), window.restarts), (2, 1, 1));
    }
}
