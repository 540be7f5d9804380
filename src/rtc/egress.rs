//! Media from us to one viewer: pictures sealed straight into the socket's buffer, and lost packets sealed anew.
//!
//! Payloads are shared by all viewers; a viewer has its own numbers and keys. What was sent is remembered by one small
//! entry a picture, so that a NACK finds the payload in the feed's cache.

use super::feed::{Feed, Picture};
use super::srtp::{Header, MasterKey, Profile, Protector};
use super::udp::{Path, UdpSocket};
use rtc::crypto::{CryptoError, RTCCrypto};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pictures that can be asked for again: two seconds at 30 fps, longer than any player waits.
const MAX_SENT: usize = 64;

const RTP_HEADER: usize = 12;

/// What was negotiated, and the numbers of the session.
#[derive(Debug, Clone, Copy)]
pub struct Parameters {
    /// Of the video.
    pub payload_type: u8,
    /// Of its retransmissions, where they are negotiated.
    pub rtx_payload_type: Option<u8>,
    /// SSRC of the video.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx_ssrc: u32,
}

/// Counts for a sender report (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets.
    pub packets: u32,
    /// Bytes of their payloads.
    pub octets: u32,
}

/// One viewer's outgoing media.
pub struct Egress {
    parameters: Parameters,
    tag: usize,
    video: Protector,
    rtx: Option<Protector>,
    timestamp_offset: u32,
    /// Sequence number of a picture's first packet, and the picture's number; the oldest is forgotten.
    pictures: VecDeque<(u16, u64)>,
    budget: Budget,
    sent: Sent,
}

impl Egress {
    /// Begins to send under a key.
    ///
    /// # Errors
    /// When the crypto library lacks the cipher.
    pub fn new(
        crypto: &dyn RTCCrypto,
        profile: Profile,
        key: &MasterKey,
        parameters: Parameters,
    ) -> Result<Self, CryptoError> {
        // RFC 3550, 5.1: anywhere; low, so that the first wrap-around, which a receiver must guess, is far.
        let first = || rand::random::<u16>() >> 1;
        let video = Protector::new(crypto, key, parameters.ssrc, first())?;
        let rtx = parameters.rtx_payload_type;
        let rtx = rtx.map(|_| Protector::new(crypto, key, parameters.rtx_ssrc, first()));
        Ok(Self {
            parameters,
            tag: profile.tag_len(),
            video,
            rtx: rtx.transpose()?,
            timestamp_offset: rand::random(),
            pictures: VecDeque::with_capacity(MAX_SENT),
            budget: Budget::default(),
            sent: Sent::default(),
        })
    }

    /// What was sent so far.
    pub const fn sent(&self) -> Sent {
        self.sent
    }

    /// This viewer's timestamp for a time of the feed's clock.
    pub const fn timestamp(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.timestamp_offset)
    }

    /// Queues a picture's packets.
    pub fn show(&mut self, picture: &Picture, path: Path, socket: &mut UdpSocket) {
        if self.pictures.len() == MAX_SENT {
            self.pictures.pop_front();
        }
        let first = self.video.next_sequence_number();
        self.pictures.push_back((first, picture.number));
        let mut header = Header {
            payload_type: self.parameters.payload_type,
            marker: false,
            timestamp: self.timestamp(picture.timestamp),
        };
        for (n, payload) in picture.payloads.iter().enumerate() {
            header.marker = n + 1 == picture.payloads.len();
            let len = RTP_HEADER + payload.len() + self.tag;
            socket.push(path, len, |buffer| {
                self.video.seal(buffer, &header, [payload, &[][..]])
            });
            self.sent.packets = self.sent.packets.wrapping_add(1);
            self.sent.octets = self.sent.octets.wrapping_add(payload.len() as u32);
        }
    }

    /// Queues a lost packet again (RFC 4588), if it is known, young and within the budget. Whether it is.
    pub fn repeat(
        &mut self,
        now: Instant,
        sequence_number: u16,
        feed: &Feed,
        path: Path,
        socket: &mut UdpSocket,
    ) -> bool {
        let (Some(rtx), Some(payload_type)) = (&mut self.rtx, self.parameters.rtx_payload_type)
        else {
            return false;
        };
        // The picture that began last at or before the number; newer ones begin within half a cycle after it.
        let offset = |first: u16| sequence_number.wrapping_sub(first);
        let entry = self.pictures.iter().rev();
        let Some(&(first, number)) = entry.clone().find(|(first, _)| offset(*first) < 0x8000)
        else {
            return false;
        };
        let Some(picture) = feed.picture(number) else {
            return false;
        };
        let index = usize::from(offset(first));
        let Some(payload) = picture.payloads.get(index) else {
            return false;
        };
        if !self.budget.allows(now) {
            return false;
        }
        let header = Header {
            payload_type,
            marker: index + 1 == picture.payloads.len(),
            timestamp: picture.timestamp.wrapping_add(self.timestamp_offset),
        };
        let original = sequence_number.to_be_bytes();
        let len = RTP_HEADER + original.len() + payload.len() + self.tag;
        socket.push(path, len, |buffer| {
            rtx.seal(buffer, &header, [&original[..], payload])
        });
        true
    }
}

/// Limits retransmissions to what a viewer that lost a lot can use; more would only fill its link further.
#[derive(Debug, Default)]
struct Budget {
    used: u32,
    since: Option<Instant>,
}

impl Budget {
    const PERIOD: Duration = Duration::from_millis(200);
    /// Half of a 5 Mbit/s stream.
    const PACKETS: u32 = 50;

    fn allows(&mut self, now: Instant) -> bool {
        let is_over = |since| now.saturating_duration_since(since) >= Self::PERIOD;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.used = 0;
        }
        self.used += 1;
        self.used <= Self::PACKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_used_up_and_renewed() {
        let start = Instant::now();
        let mut budget = Budget::default();
        let allowed = |budget: &mut Budget, at| (0..80).filter(|_| budget.allows(at)).count();
        assert_eq!(allowed(&mut budget, start), 50);
        assert_eq!(allowed(&mut budget, start + Budget::PERIOD / 2), 0);
        assert_eq!(allowed(&mut budget, start + Budget::PERIOD), 50);
    }
}
