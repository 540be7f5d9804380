//! A viewer's reports to the server, made from packet headers alone: receiver reports, and transport-wide feedback
//! where it was negotiated.
//!
//! They are sent when packets come and a report is due, so that no timer is needed.

use crate::frames::Arrived;
use crate::keys::Contexts;
use crate::packet::Header;
use crate::sequence::Sequence;
use crate::transport::Transport;
use std::time::Duration;

/// Between receiver reports, as browsers have it for video.
const RECEIVER_REPORT: Duration = Duration::from_secs(1);
/// Between transport-wide feedbacks, as libwebrtc begins with.
const TRANSPORT: Duration = Duration::from_millis(100);
const CLOCK: u64 = 90_000;

/// What the server says of its clock (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SenderReport {
    /// Seconds since 1900, with 32 bits of fraction.
    ntp: u64,
    /// The timestamp of that moment.
    timestamp: u32,
    arrived: Arrived,
}

/// One viewer's reports on one source.
pub struct Reports {
    contexts: Contexts,
    /// Our own source; not the stack's, whose reports are sealed with the same key.
    ssrc: u32,
    /// The number that transport-wide sequence numbers were negotiated under.
    transport_id: Option<u8>,
    transport: Transport,
    transport_due: Arrived,
    report_due: Arrived,
    /// Expected and arrived at the last report.
    before: (u64, u64),
    sender_report: Option<SenderReport>,
    /// How much two of them disagreed on when a frame was captured.
    pub clock_error: Duration,
    transit: Option<u32>,
    /// RFC 3550, 6.4.1, in sixteenths of a tick.
    jitter: u64,
    buffer: Vec<u8>,
    /// Reports sent.
    pub sent: u64,
}

impl Reports {
    pub fn new(contexts: Contexts, transport_id: Option<u8>) -> Self {
        Self {
            contexts,
            ssrc: rand::random(),
            transport_id,
            transport: Transport::default(),
            transport_due: Arrived::ZERO,
            report_due: Arrived::ZERO,
            before: (0, 0),
            sender_report: None,
            clock_error: Duration::ZERO,
            transit: None,
            jitter: 0,
            buffer: Vec::new(),
            sent: 0,
        }
    }

    /// Takes in a packet of any source.
    pub fn packet(&mut self, header: &Header<'_>, arrived: Arrived) {
        if let Some(number) = self.transport_id.and_then(|id| header.extension(id)) {
            self.transport.arrived(number, arrived);
        }
    }

    /// Takes in a packet of the source that is reported on.
    pub fn media(&mut self, timestamp: u32, arrived: Arrived) {
        let ticks = (arrived.as_nanos() * u128::from(CLOCK) / 1_000_000_000) as u32;
        let transit = ticks.wrapping_sub(timestamp);
        let before = self.transit.replace(transit).unwrap_or(transit);
        let difference = transit.wrapping_sub(before).cast_signed().unsigned_abs();
        self.jitter = self.jitter + u64::from(difference) - ((self.jitter + 8) >> 4);
    }

    /// Takes in the server's RTCP.
    pub fn rtcp(&mut self, media: u32, datagram: &[u8], arrived: Arrived) {
        const SENDER_REPORT: u8 = 200;
        let Ok(packet) = self.contexts.incoming.decrypt_rtcp(datagram) else {
            return;
        };
        let mut rest = &packet[..];
        while let [_, kind, high, low, ..] = *rest {
            let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
            let Some((part, tail)) = rest.split_at_checked(len) else {
                return;
            };
            if kind == SENDER_REPORT
                && let Some(report) = SenderReport::parse(part, media, arrived)
            {
                let before = self.captured(report.timestamp);
                let now = report.captured(report.timestamp);
                if let (Some(before), Some(now)) = (before, now) {
                    self.clock_error = self.clock_error.max(now.abs_diff(before));
                }
                self.sender_report = Some(report);
            }
            rest = tail;
        }
    }

    /// When what has that timestamp was captured, by the server's clock, since the Unix epoch.
    pub fn captured(&self, timestamp: u32) -> Option<Duration> {
        self.sender_report?.captured(timestamp)
    }

    /// The report that is due, sealed.
    pub fn due(&mut self, now: Arrived, media: u32, sequence: &Sequence) -> Option<Vec<u8>> {
        let is_transport_due = now >= self.transport_due || self.transport.is_full();
        let is_report_due = now >= self.report_due;
        if !is_transport_due && !is_report_due {
            return None;
        }
        self.buffer.clear();
        if is_report_due {
            self.report_due = now + RECEIVER_REPORT;
            self.receiver_report(now, media, sequence);
        }
        self.transport_due = now + TRANSPORT;
        self.transport.write(self.ssrc, media, &mut self.buffer);
        if self.buffer.is_empty() {
            return None;
        }
        let sealed = self.contexts.outgoing.encrypt_rtcp(&self.buffer).ok()?;
        self.sent += 1;
        Some(sealed.to_vec())
    }

    fn receiver_report(&mut self, now: Arrived, media: u32, sequence: &Sequence) {
        let all = (sequence.expected(), sequence.unique());
        let (expected, arrived) = (
            all.0.saturating_sub(self.before.0),
            all.1.saturating_sub(self.before.1),
        );
        self.before = all;
        let lost = expected.saturating_sub(arrived);
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8;
        let total = (all.0 - all.1).min(0x7f_ffff) as u32;
        let (last, delay) = self.sender_report.map_or((0, 0), |report| {
            let delay = now.saturating_sub(report.arrived);
            // The middle of the time, and sixteen bits of fraction.
            let delay = delay.as_nanos() * 65_536 / 1_000_000_000;
            ((report.ntp >> 16) as u32, delay as u32)
        });
        let out = &mut self.buffer;
        // One block, seven words behind the first.
        out.extend([0x81, 201, 0, 7]);
        out.extend(self.ssrc.to_be_bytes());
        out.extend(media.to_be_bytes());
        out.push(fraction);
        out.extend(&total.to_be_bytes()[1..]);
        for word in [sequence.highest(), (self.jitter >> 4) as u32, last, delay] {
            out.extend(word.to_be_bytes());
        }
    }
}

impl SenderReport {
    /// From a part of a compound packet, if it is of that source.
    fn parse(part: &[u8], media: u32, arrived: Arrived) -> Option<Self> {
        let word = |at: usize| -> Option<u32> {
            let word = part.get(at..at + 4)?;
            Some(u32::from_be_bytes(word.try_into().ok()?))
        };
        if word(4)? != media {
            return None;
        }
        Some(Self {
            ntp: u64::from(word(8)?) << 32 | u64::from(word(12)?),
            timestamp: word(16)?,
            arrived,
        })
    }

    fn captured(self, timestamp: u32) -> Option<Duration> {
        /// From 1900 to 1970.
        const UNIX: u64 = 2_208_988_800;
        let fraction = u128::from(self.ntp & 0xffff_ffff);
        let nanos = (fraction * 1_000_000_000) >> 32;
        let at = Duration::from_secs((self.ntp >> 32).checked_sub(UNIX)?);
        let at = at + Duration::from_nanos(nanos as u64);
        let ticks = timestamp.wrapping_sub(self.timestamp).cast_signed();
        let away = Duration::from_nanos(u64::from(ticks.unsigned_abs()) * 1_000_000_000 / CLOCK);
        if ticks < 0 {
            at.checked_sub(away)
        } else {
            at.checked_add(away)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;
    use bytes::Bytes;
    use rtc::rtcp;
    use rtc::rtcp::receiver_report::ReceiverReport;
    use rtc::rtcp::sender_report::SenderReport as Sent;
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
    use rtc::shared::marshal::Marshal;

    const MEDIA: u32 = 7;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A viewer's reports, and the server's ends of both directions.
    fn both() -> (Reports, Contexts) {
        let [viewer, server] = Keys::pair();
        let reports = Reports::new(viewer.contexts().unwrap(), Some(3));
        (reports, server.contexts().unwrap())
    }

    fn packet(sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x90, 96];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0x31]);
        packet.extend(sequence.to_be_bytes());
        packet.push(0);
        packet
    }

    #[test]
    fn the_server_reads_what_was_lost_and_when_packets_arrived() {
        let (mut reports, mut server) = both();
        let report = Sent {
            ssrc: MEDIA,
            ntp_time: (2_208_988_800 + 50) << 32 | 0x8000_0000,
            rtp_time: 9000,
            ..Default::default()
        };
        let sealed = server.outgoing.encrypt_rtcp(&report.marshal().unwrap());
        reports.rtcp(MEDIA, &sealed.unwrap(), ms(60_000));
        assert_eq!(reports.captured(9000), Some(ms(50_500)));
        assert_eq!(reports.captured(9000 + 45_000), Some(ms(51_000)));
        assert_eq!(reports.captured(0), Some(ms(50_400)));

        let mut sequence = Sequence::new(100);
        for number in [100, 101, 103, 104] {
            sequence.arrived(number);
            let packet = packet(number);
            reports.packet(&Header::parse(&packet).unwrap(), ms(60_900));
        }
        let sealed = reports.due(ms(61_000), MEDIA, &sequence).unwrap();
        assert_eq!(reports.due(ms(61_050), MEDIA, &sequence), None);
        let opened = server.incoming.decrypt_rtcp(&sealed).unwrap();
        let parts = rtcp::packet::unmarshal(&mut Bytes::from(opened)).unwrap();
        let [first, second] = &parts[..] else {
            panic!("{parts:?}");
        };
        let report = first.as_any().downcast_ref::<ReceiverReport>().unwrap();
        let block = &report.reports[0];
        assert_eq!((block.ssrc, block.last_sequence_number), (MEDIA, 104));
        assert_eq!((block.total_lost, block.fraction_lost), (1, 51));
        // 50.5 s since 1970, and one second ago.
        assert_eq!(
            block.last_sender_report,
            (2_208_988_850_u64 as u32) << 16 | 0x8000
        );
        assert_eq!(block.delay, 65_536);
        let feedback = second.as_any().downcast_ref::<TransportLayerCc>().unwrap();
        assert_eq!(feedback.base_sequence_number, 100);
        assert_eq!(feedback.packet_status_count, 5);
    }
}
