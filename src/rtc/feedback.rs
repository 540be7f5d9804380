//! What viewers report by RTCP: lost packets and wishes for a keyframe.
//!
//! Read by an interceptor of ours, since the core hands the application a compound packet only if its first part
//! names the video's SSRC: one that begins with an empty receiver report, or reports on retransmissions first,
//! would take a PLI with it.

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Packets that one look at the reports may name.
const MAX_LOST: usize = 256;

/// What a viewer reported since it was last asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Feedback {
    /// It sent RTCP, which the session's keys opened.
    pub heard: bool,
    /// PLI and FIR: it can't decode.
    pub keyframe_requests: u64,
    /// Sequence numbers of packets it misses; more than [`MAX_LOST`] are left for a keyframe to mend.
    pub lost: Vec<u16>,
}

impl Feedback {
    fn note(&mut self, packet: &dyn rtcp::Packet) {
        let packet = packet.as_any();
        if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
            self.keyframe_requests += 1;
        } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
            let room = MAX_LOST - self.lost.len();
            self.lost
                .extend(nack.nacks.iter().flat_map(lost).take(room));
        }
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

/// Shared by a peer and its interceptor, which run on one thread; the core wants its parts `Sync`.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<Feedback>>);

impl Reports {
    fn lock(&self) -> MutexGuard<'_, Feedback> {
        // Counting can't leave it broken.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was reported.
    pub fn take(&self) -> Feedback {
        std::mem::take(&mut self.lock())
    }
}

/// Counts what passes and lets everything pass.
#[derive(Default)]
pub struct Listener {
    reports: Reports,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Listener {
    /// Reports to `reports`.
    pub fn new(reports: Reports) -> Self {
        Self {
            reports,
            ..Self::default()
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &message.message.packet {
            let mut feedback = self.reports.lock();
            feedback.heard = true;
            packets.iter().for_each(|packet| feedback.note(&**packet));
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_report_is_counted() {
        let mut feedback = Feedback::default();
        feedback.note(&PictureLossIndication::default());
        feedback.note(&FullIntraRequest::default());
        feedback.note(&rtcp::receiver_report::ReceiverReport::default());
        let pair = |lost_packets| NackPair {
            packet_id: u16::MAX,
            lost_packets,
        };
        feedback.note(&TransportLayerNack {
            nacks: vec![pair(0), pair(0b101)],
            ..Default::default()
        });
        let expected = Feedback {
            heard: false,
            keyframe_requests: 2,
            lost: vec![u16::MAX, u16::MAX, 0, 2],
        };
        assert_eq!(feedback, expected);
    }
}
