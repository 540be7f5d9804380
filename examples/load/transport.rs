//! Transport-wide feedback: when each packet arrived, as congestion controllers want it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use crate::frames::Arrived;
use std::time::Duration;

/// Unit of the time between packets.
const TICK: Duration = Duration::from_micros(250);
/// Unit of the reference time.
const REFERENCE: Duration = Duration::from_millis(64);
/// Numbers that one feedback covers: a longer gap is no loss but a restart.
const MAX_SPAN: u64 = 2000;
/// Packets that one feedback reports, so that it fits in a datagram.
const MAX_PACKETS: usize = 400;

/// What arrived since the last feedback.
#[derive(Debug, Default)]
pub struct Transport {
    /// Extended numbers with their arrival, in order of arrival.
    pending: Vec<(u64, Arrived)>,
    highest: Option<u64>,
    /// The first number that was not reported yet; what comes later than its report stays reported as lost.
    next: u64,
    count: u8,
}

impl Transport {
    pub fn arrived(&mut self, number: u16, at: Arrived) {
        let highest = *self.highest.get_or_insert((1 << 16) + u64::from(number));
        let ahead = number.wrapping_sub(highest as u16) as i16;
        let number = highest.saturating_add_signed(i64::from(ahead));
        self.highest = Some(highest.max(number));
        if number >= self.next {
            self.pending.push((number, at));
        }
    }

    /// True if no more packets fit.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= MAX_PACKETS
    }

    /// Appends the feedback to an RTCP packet, if there is any.
    pub fn write(&mut self, sender: u32, media: u32, out: &mut Vec<u8>) {
        self.pending.sort_unstable();
        self.pending.dedup_by_key(|(number, _)| *number);
        let (Some(&(lowest, first)), Some(&(highest, _))) =
            (self.pending.first(), self.pending.last())
        else {
            return;
        };
        let base = if highest - self.next >= MAX_SPAN {
            lowest
        } else {
            self.next
        };
        let base = base.max((highest + 1).saturating_sub(MAX_SPAN));
        let reference = first.as_nanos() / REFERENCE.as_nanos();
        let mut symbols = vec![Symbol::Lost; (highest - base + 1) as usize];
        let mut deltas = Vec::with_capacity(self.pending.len());
        // Ticks are counted from the reference, so that rounding never adds up.
        let ticks = |at: Arrived| (at.as_nanos() / TICK.as_nanos()) as i64;
        let mut before = (reference * (REFERENCE.as_nanos() / TICK.as_nanos())) as i64;
        for &(number, at) in self.pending.iter().filter(|(number, _)| *number >= base) {
            let delta = ticks(at) - before;
            let slot = &mut symbols[(number - base) as usize];
            if let Ok(small) = u8::try_from(delta) {
                *slot = Symbol::Small;
                deltas.push(small);
            } else {
                // Longer than 8 s, or back: as much of it as can be said.
                let large = delta.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
                *slot = Symbol::Large;
                deltas.extend(large.to_be_bytes());
            }
            before = ticks(at);
        }
        let start = out.len();
        out.extend([0x8f, 205, 0, 0]);
        out.extend(sender.to_be_bytes());
        out.extend(media.to_be_bytes());
        out.extend((base as u16).to_be_bytes());
        out.extend((symbols.len() as u16).to_be_bytes());
        out.extend(&(reference as u32).to_be_bytes()[1..]);
        out.push(self.count);
        write_chunks(&symbols, out);
        out.extend(deltas);
        out.resize(start + (out.len() - start).next_multiple_of(4), 0);
        let words = ((out.len() - start) / 4 - 1) as u16;
        out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
        self.count = self.count.wrapping_add(1);
        self.next = highest + 1;
        self.pending.clear();
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Lost = 0,
    /// Arrived, with a delta of one byte.
    Small = 1,
    /// Arrived, with a delta of two bytes.
    Large = 2,
}

/// Runs where they are longer than a vector of seven.
fn write_chunks(symbols: &[Symbol], out: &mut Vec<u8>) {
    const VECTOR: usize = 7;
    const MAX_RUN: usize = 0x1fff;
    let mut rest = symbols;
    while let Some(first) = rest.first() {
        let run = rest
            .iter()
            .take(MAX_RUN)
            .take_while(|s| *s == first)
            .count();
        let (chunk, len) = if run > VECTOR {
            ((*first as u16) << 13 | run as u16, run)
        } else {
            let len = rest.len().min(VECTOR);
            let place = |(at, symbol): (usize, &Symbol)| (*symbol as u16) << (12 - 2 * at);
            let vector = rest[..len].iter().enumerate().map(place);
            (0xc000 | vector.fold(0, |all, bits| all | bits), len)
        };
        out.extend(chunk.to_be_bytes());
        rest = &rest[len..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
    };
    use rtc::shared::marshal::Unmarshal;

    /// What an independent reader makes of it: numbers and arrivals, in ticks of 250 µs.
    fn read(packet: &[u8]) -> (TransportLayerCc, Vec<(u16, i64)>) {
        let feedback = TransportLayerCc::unmarshal(&mut Bytes::copy_from_slice(packet)).unwrap();
        let mut symbols = Vec::new();
        for chunk in &feedback.packet_chunks {
            match chunk {
                PacketStatusChunk::RunLengthChunk(run) => {
                    let run = vec![run.packet_status_symbol; run.run_length.into()];
                    symbols.extend(run);
                }
                PacketStatusChunk::StatusVectorChunk(vector) => {
                    symbols.extend(vector.symbol_list.iter().copied());
                }
            }
        }
        let mut at = i64::from(feedback.reference_time) * 256;
        let mut deltas = feedback.recv_deltas.iter();
        let mut arrivals = Vec::new();
        for (n, symbol) in (0..feedback.packet_status_count).zip(symbols) {
            if symbol != SymbolTypeTcc::PacketNotReceived {
                at += deltas.next().unwrap().delta / 250;
                arrivals.push((feedback.base_sequence_number.wrapping_add(n), at));
            }
        }
        assert_eq!(deltas.next(), None);
        (feedback, arrivals)
    }

    fn ticks(ticks: u64) -> Duration {
        TICK * u32::try_from(ticks).unwrap()
    }

    #[test]
    fn arrivals_are_read_as_they_were_with_gaps_disorder_and_wrap_around() {
        let mut transport = Transport::default();
        let numbers: Vec<u16> = (0..40).map(|n| 65_520_u16.wrapping_add(n)).collect();
        let mut expected = Vec::new();
        for (n, number) in numbers.iter().enumerate() {
            // Frames of eight packets, some of which were lost, one late.
            let at = 1_000_003 + n as u64 / 8 * 133 + if n == 9 { 400 } else { 0 };
            if n % 11 != 5 {
                transport.arrived(*number, ticks(at));
                expected.push((*number, at as i64));
            }
        }
        let mut packet = Vec::new();
        transport.write(1, 2, &mut packet);
        let (feedback, arrivals) = read(&packet);
        assert_eq!((feedback.sender_ssrc, feedback.media_ssrc), (1, 2));
        assert_eq!(arrivals, expected);
    }

    #[test]
    fn each_packet_is_reported_once_and_what_lies_between_as_lost() {
        let mut transport = Transport::default();
        let mut packet = Vec::new();
        transport.write(1, 2, &mut packet);
        assert!(packet.is_empty());
        for round in 0..3_u16 {
            packet.clear();
            // The last three of each ten are lost.
            for n in 0..7 {
                transport.arrived(round * 10 + n, ticks(u64::from(round * 400 + n)));
            }
            transport.write(1, 2, &mut packet);
            let (feedback, arrivals) = read(&packet);
            assert_eq!(feedback.fb_pkt_count, round as u8);
            let first = (round * 10).saturating_sub(3);
            assert_eq!(feedback.base_sequence_number, first);
            assert_eq!(arrivals.len(), 7);
            // Too late.
            transport.arrived(round * 10, ticks(5));
        }
    }

    #[test]
    fn a_leap_is_no_loss() {
        let mut transport = Transport::default();
        transport.arrived(1, ticks(1));
        transport.write(1, 2, &mut Vec::new());
        transport.arrived(30_000, ticks(2));
        let mut packet = Vec::new();
        transport.write(1, 2, &mut packet);
        assert_eq!(read(&packet).1, [(30_000, 2)]);
    }
}
