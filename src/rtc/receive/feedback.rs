//! What viewers report by RTCP: how media arrives, lost packets, and wishes for a keyframe.
//!
//! The core is not asked: it hands the application a compound packet only if its first part names the video's SSRC, and
//! one that begins with an empty receiver report, or reports on retransmissions first, would take a PLI with it.

use super::twcc::History;
use crate::rtc::wire::srtcp::Opener;
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Lost packets that one packet may name.
const MAX_LOST: usize = 256;

/// Reports of arrival times that are taken from one packet. Viewers send ten to twenty a second, each in a packet of its
/// own; of more, the later are dropped: an estimate can do without some.
const MAX_ARRIVALS: usize = 8;

/// What a viewer reported at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feedback {
    /// PLI and FIR: it can't decode.
    pub keyframe_requests: u64,
    /// Sequence numbers of packets it misses; more than [`MAX_LOST`] are left for a keyframe to mend.
    pub lost: Vec<u16>,
    /// When packets arrived, by their transport-wide sequence numbers, in the order that it was reported; at most
    /// [`MAX_ARRIVALS`].
    pub arrivals: Vec<TransportLayerCc>,
    /// How the video arrives, by the latest report.
    pub reception: Option<Reception>,
}

/// What a viewer says of a stream of packets (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reception {
    /// Packets lost of those expected since the last report, in 256ths.
    pub fraction_lost: u8,
    /// Variance of the packets' travel times, in 90 kHz ticks.
    pub jitter: u32,
    /// The middle 32 bits of the NTP timestamp of our last sender report that arrived; 0 if none did.
    pub last_report: u32,
    /// For how long it had that report, in 65536ths of a second.
    pub delay: u32,
}

impl From<&ReceptionReport> for Reception {
    fn from(report: &ReceptionReport) -> Self {
        Self {
            fraction_lost: report.fraction_lost,
            jitter: report.jitter,
            last_report: report.last_sender_report,
            delay: report.delay,
        }
    }
}

impl Feedback {
    /// Reads a compound RTCP packet (RFC 3550, 6.1), or one of reduced size (RFC 5506). Parts of kinds that tell us
    /// nothing, and parts that can't be read, take nothing from the others.
    fn read(rtcp: &[u8], video: u32) -> Self {
        let mut feedback = Self::default();
        for part in parts(rtcp).filter(|part| is_of_use(part)) {
            for packet in rtcp::packet::unmarshal(&mut &*part).unwrap_or_default() {
                feedback.note(&*packet, video);
            }
        }
        feedback
    }

    /// `video` is the SSRC that a reception is of interest for.
    fn note(&mut self, packet: &dyn rtcp::Packet, video: u32) {
        let packet = packet.as_any();
        if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
            self.keyframe_requests += 1;
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let room = MAX_LOST - self.lost.len();
            self.lost
                .extend(nack.nacks.iter().flat_map(lost).take(room));
        } else if let Some(arrivals) = packet.downcast_ref::<TransportLayerCc>() {
            if self.arrivals.len() < MAX_ARRIVALS {
                self.arrivals.push(arrivals.clone());
            }
        } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
            self.note_reception(&report.reports, video);
        } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
            self.note_reception(&report.reports, video);
        }
    }

    fn note_reception(&mut self, reports: &[ReceptionReport], video: u32) {
        if let Some(report) = reports.iter().find(|report| report.ssrc == video) {
            self.reception = Some(report.into());
        }
    }
}

/// The packets that a compound packet consists of, by the lengths in their headers (RFC 3550, 6.4.1).
fn parts(mut rtcp: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let words = u16::from_be_bytes([*rtcp.get(2)?, *rtcp.get(3)?]);
        let (part, rest) = rtcp.split_at_checked(4 * (usize::from(words) + 1))?;
        rtcp = rest;
        Some(part)
    })
}

/// Whether a part is one that [`Feedback`] notes.
fn is_of_use(part: &[u8]) -> bool {
    const FORMAT: u8 = 0x1f;
    match (part[1], part[0] & FORMAT) {
        // Reports; FIR and PLI; NACK (RFC 3550, 4585, 5104).
        (200 | 201, _) | (206, 1 | 4) | (205, 1) => true,
        // Arrival times, of no more packets than are remembered: reading costs time for each, even if few bytes tell of many.
        (205, 15) => {
            let count = part.get(14..16).map(|b| u16::from_be_bytes([b[0], b[1]]));
            count.is_some_and(|count| usize::from(count) <= History::KEPT)
        }
        _ => false,
    }
}

/// When our last sender reports left, by which a round trip is measured. The times are our own: neither a step of the
/// wall clock nor what the reports call the time can spoil it.
#[derive(Debug, Default)]
pub struct SentReports(VecDeque<(u32, Instant)>);

impl SentReports {
    /// Longer than viewers wait between two reports of theirs; of more, the oldest is forgotten.
    const KEPT: usize = 8;

    /// A sender report with this NTP timestamp leaves.
    pub fn sent(&mut self, now: Instant, ntp: u64) {
        if self.0.len() == Self::KEPT {
            self.0.pop_front();
        }
        self.0.push_back(((ntp >> 16) as u32, now));
    }

    /// The time that packets take to the viewer and back, by a reception that arrives `now`. `None` if it answers none
    /// of the reports.
    pub fn round_trip(&self, now: Instant, reception: &Reception) -> Option<Duration> {
        let known = self.0.iter().rev();
        let (_, sent) = known
            .clone()
            .find(|(ntp, _)| *ntp == reception.last_report)?;
        let delay = Duration::from_secs_f64(f64::from(reception.delay) / 65_536.0);
        // Both clocks count: a short trip may come out as less than none.
        Some(now.saturating_duration_since(*sent).saturating_sub(delay))
    }
}

/// The packets of a pair: one, and by a bit mask up to 16 that follow (RFC 4585, 6.2.1).
fn lost(pair: &NackPair) -> impl Iterator<Item = u16> + use<> {
    let NackPair {
        packet_id,
        lost_packets,
    } = *pair;
    let following = (0..16u16).filter(move |bit| lost_packets >> bit & 1 == 1);
    std::iter::once(packet_id).chain(following.map(move |bit| packet_id.wrapping_add(bit + 1)))
}

/// Packet types by which RTCP is told from RTP on one port (RFC 5761, 4).
const RTCP: RangeInclusive<u8> = 192..=223;

/// Reads what one viewer reports.
pub struct Ingress {
    opener: Opener,
    /// SSRC of the video.
    video: u32,
    buffer: Vec<u8>,
}

impl Ingress {
    /// Opens reports with `opener`; `video` is the SSRC that a reception is of interest for.
    pub const fn new(opener: Opener, video: u32) -> Self {
        Self {
            opener,
            video,
            buffer: Vec::new(),
        }
    }

    /// Reads an SRTCP packet. `None` if it is not the viewer's, or no RTCP.
    pub fn read(&mut self, packet: &[u8]) -> Option<Feedback> {
        packet.get(1).filter(|kind| RTCP.contains(kind))?;
        self.buffer.clear();
        self.buffer.extend_from_slice(packet);
        if !self.opener.open(&mut self.buffer) {
            return None;
        }
        Some(Feedback::read(&self.buffer, self.video))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rtc::rtcp::payload_feedbacks::full_intra_request::FirEntry;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::SymbolTypeTcc;

    const VIDEO: u32 = 7;

    fn heard(datagram: &[u8]) -> Feedback {
        Feedback::read(datagram, VIDEO)
    }

    fn report(ssrc: u32, fraction_lost: u8) -> ReceptionReport {
        ReceptionReport {
            ssrc,
            fraction_lost,
            jitter: 90,
            last_sender_report: 0x5678_9abc,
            delay: 0x0001_8000,
            ..Default::default()
        }
    }

    #[test]
    fn each_kind_of_report_is_counted() {
        let pair = |lost_packets| NackPair {
            packet_id: u16::MAX,
            lost_packets,
        };
        let packets: [Box<dyn rtcp::Packet>; 4] = [
            Box::new(ReceiverReport::default()),
            Box::new(PictureLossIndication::default()),
            Box::new(FullIntraRequest {
                fir: vec![FirEntry::default()],
                ..Default::default()
            }),
            Box::new(TransportLayerNack {
                nacks: vec![pair(0), pair(0b101)],
                ..Default::default()
            }),
        ];
        let expected = Feedback {
            keyframe_requests: 2,
            lost: vec![u16::MAX, u16::MAX, 0, 2],
            ..Default::default()
        };
        let datagram = rtcp::packet::marshal(&packets).unwrap();
        assert_eq!(heard(&datagram), expected);
    }

    #[test]
    fn the_reception_of_the_video_counts_and_no_other() {
        let packets: [Box<dyn rtcp::Packet>; 2] = [
            Box::new(SenderReport {
                reports: vec![report(VIDEO, 1)],
                ..Default::default()
            }),
            Box::new(ReceiverReport {
                reports: vec![report(8, 255), report(VIDEO, 64), report(9, 255)],
                ..Default::default()
            }),
        ];
        let reception = |count| {
            let datagram = rtcp::packet::marshal(&packets[..count]).unwrap();
            heard(&datagram).reception
        };
        let expected = |fraction_lost| Reception {
            fraction_lost,
            jitter: 90,
            last_report: 0x5678_9abc,
            delay: 0x0001_8000,
        };
        assert_eq!(reception(1), Some(expected(1)));
        assert_eq!(reception(2), Some(expected(64)), "the latest");
    }

    /// By hand from draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1.
    const ARRIVALS: [u8; 32] = [
        0x8f, 205, 0, 7, // FMT 15, eight words
        0, 0, 0, 1, 0, 0, 0, 7, // from 1, on 7
        0xff, 0xfe, 0, 5, // five packets from 65534
        0x01, 0x02, 0x03, 9, // reference time, tenth feedback
        0x20, 0x02, // run length: two with small deltas
        0xc9, 0x00, // two-bit symbols: lost, large delta, small delta
        4, 0, 0xff, 0xfc, 8, // 1 ms, 0 ms, -1 ms, 2 ms
        0, 0, 0,
    ];

    #[test]
    fn arrival_times_are_read() {
        let feedback = heard(&ARRIVALS);
        let [arrivals] = &feedback.arrivals[..] else {
            panic!("{feedback:?}");
        };
        assert_eq!(arrivals.base_sequence_number, 65_534);
        assert_eq!(arrivals.packet_status_count, 5);
        assert_eq!(arrivals.reference_time, 0x0001_0203);
        let deltas: Vec<_> = arrivals.recv_deltas.iter().map(|d| d.delta).collect();
        assert_eq!(deltas, [1000, 0, -1000, 2000]);
        let kinds = arrivals.recv_deltas.iter().map(|d| d.type_tcc_packet);
        let small = SymbolTypeTcc::PacketReceivedSmallDelta;
        let large = SymbolTypeTcc::PacketReceivedLargeDelta;
        assert_eq!(kinds.collect::<Vec<_>>(), [small, small, large, small]);
    }

    #[test]
    fn what_can_not_be_read_takes_nothing_from_the_rest() {
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7];
        let unknown = [0x8f, 206, 0, 1, 0, 0, 0, 1];
        let broken = [0x81, 205, 0, 0];
        let mut many = ARRIVALS;
        many[14..16].copy_from_slice(&2000u16.to_be_bytes());
        let datagram = [&unknown[..], &many, &broken, &pli, &[0x80, 201, 9]].concat();
        let expected = Feedback {
            keyframe_requests: 1,
            ..Default::default()
        };
        assert_eq!(heard(&datagram), expected);
    }

    #[test]
    fn of_too_many_reports_of_arrival_times_the_first_are_kept() {
        let many = (0..20).flat_map(|n| {
            let mut datagram = ARRIVALS;
            datagram[19] = n;
            datagram
        });
        let feedback = heard(&many.collect::<Vec<_>>());
        let counts = feedback.arrivals.iter().map(|a| a.fb_pkt_count);
        assert_eq!(counts.collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_round_trip_is_the_time_since_the_report_without_that_at_the_viewer() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut reports = SentReports::default();
        let mut reception = Reception {
            last_report: 0x5678_9abc,
            delay: 0x0001_8000,
            ..Default::default()
        };
        assert_eq!(reports.round_trip(at(0), &reception), None);
        reports.sent(at(0), 0x1234_5678_9abc_def0);
        reports.sent(at(1000), 0x1234_5679_9abc_def0);
        let round_trip = |now, reception: &_| reports.round_trip(now, reception);
        let expected = Some(Duration::from_millis(40));
        assert_eq!(round_trip(at(1540), &reception), expected);
        assert_eq!(round_trip(at(1499), &reception), Some(Duration::ZERO));
        reception.last_report += 1;
        assert_eq!(round_trip(at(1540), &reception), None);
        reception.last_report = 0x5678_9abc;
        (2..=8).for_each(|n| reports.sent(at(n * 1000), n << 32));
        assert_eq!(reports.round_trip(at(9000), &reception), None, "too old");
        assert_eq!(reports.0.len(), SentReports::KEPT);
    }

    proptest! {
        #[test]
        fn no_report_of_arrival_times_makes_it_panic(
            head in any::<[u8; 16]>(), rest in vec(prop_oneof![any::<u8>(), Just(0x20), Just(0x3f), Just(0xff)], 0..400),
            count: u16, cut in 0..8usize,
        ) {
            let mut datagram = [&[0x8f, 205, 0, 0][..], &head, &rest].concat();
            datagram[14..16].copy_from_slice(&count.to_be_bytes());
            datagram.resize(datagram.len().next_multiple_of(4), 0);
            let words = (datagram.len() / 4 - 1) as u16;
            datagram[2..4].copy_from_slice(&words.to_be_bytes());
            datagram.truncate(datagram.len().saturating_sub(cut).max(1));
            let _ = heard(&datagram);
        }

        #[test]
        fn no_rtcp_makes_it_panic(kind in 200..208u8, format in 0..32u8, rest in vec(any::<u8>(), 0..200)) {
            let words = (rest.len() / 4) as u16;
            let head = [0x80 | format, kind, (words >> 8) as u8, words as u8];
            let _ = heard(&[&head[..], &rest[..usize::from(words) * 4]].concat());
        }
    }
}
