//! One viewer: a sans-I/O peer connection of the WebRTC core that answers an offer and sends one video track.

mod core;
pub mod dtls_keys;
pub mod end_reason;
pub mod flight;
pub mod ice;
pub mod identity;
pub mod panic_guard;
#[cfg(test)]
mod tests;

use self::core::{CODEC_PARAMETERS, build, candidate, codec, settings, track};
use self::flight::Flight;
use super::net::demux::{Kind, kind};
use super::peer::dtls_keys::KeyTap;
use super::peer::identity::{Identity, Sources};
use super::peer::panic_guard::core_is_called;
use super::receive::feedback::Ingress;
use super::sdp::answer::core_offer;
use super::sdp::offer::{Offer, Setup};
use super::send::egress::{Egress, Parameters};
use super::send::sender::Report;
use super::wire::binding;
use super::wire::dtls::{fatal_alert, has_alert, has_forged_cipher_change, is_handshake};
use super::wire::srtcp::Opener;
use super::wire::srtp::Profile;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::dtls::HandshakeAlert;
use crate::stream::Terms;
use bytes::{Bytes, BytesMut};
use rtc::crypto::{CryptoError, RTCCrypto, RTCCryptoProvider};
use rtc::peer_connection::RTCPeerConnection;
use rtc::peer_connection::event::RTCPeerConnectionEvent as CoreEvent;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::sansio::Protocol;
use rtc::shared::error::Error as CoreError;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc::statistics::StatsSelector;
use rtc::stun::message::{BINDING_REQUEST, Message};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// The core knows both ends of the connection by these two addresses, whatever path a datagram takes: paths are not its
/// concern. They are reserved for documentation (RFC 5737) and never leave the process.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);

/// Datagrams of DTLS that are held until there is a path for the answers. A client's first flight is one datagram, with a
/// large certificate a few; of more, the later are dropped, and DTLS repeats them.
const MAX_HELD: usize = 4;

/// What a viewer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The keys are there: media can be sent.
    Connected,
    /// The session is over.
    Ended(EndReason),
}

/// A viewer's peer connection.
pub struct Peer {
    core: RTCPeerConnection,
    sender: RTCRtpSenderId,
    keys: Arc<KeyTap>,
    parameters: Parameters,
    we_are_client: bool,
    /// The core takes DTLS.
    has_started: bool,
    held: Vec<BytesMut>,
    /// Until there are keys.
    flight: Option<Flight>,
    /// Both sides of the ICE session that the core believes in: ours and the viewer's.
    believed: (Credentials, Credentials),
    /// The core's datagrams that were read before they were asked for.
    out: VecDeque<BytesMut>,
    events: Vec<Event>,
    alert: Option<HandshakeAlert>,
    /// The datagram read last had an alert.
    was_alerted: bool,
}

impl Peer {
    /// Takes an offer, ready to receive the viewer's first datagram.
    ///
    /// # Errors
    /// When the core refuses: a fingerprint of an unknown hash function, for one.
    pub fn new(
        now: Instant,
        identity: &Identity,
        credentials: &Credentials,
        offer: &Offer,
        sources: Sources,
        terms: Terms,
    ) -> Result<Self, CoreError> {
        core_is_called();
        let video = &offer.video;
        let codec = codec(&video.codec.feedback);
        let keys = Arc::new(KeyTap::new(identity.provider.clone()));
        let settings = settings(keys.clone(), credentials, offer);
        let mut core = build(now, identity, settings, offer, &codec)?;
        let sender = core.add_track(track(sources.video, codec))?;
        let text = core_offer(video, CODEC_PARAMETERS);
        core.set_remote_description(now, RTCSessionDescription::offer(text)?)?;
        core.add_local_candidate(candidate(LOCAL)?)?;
        let answer = core.create_answer(None)?;
        core.set_local_description(now, answer)?;
        Ok(Self {
            core,
            sender,
            keys,
            parameters: Parameters {
                payload_type: video.codec.payload_type,
                rtx_payload_type: video.codec.retransmission,
                ssrc: sources.video,
                rtx_ssrc: sources.rtx,
                extensions: video.extensions,
                terms,
            },
            we_are_client: video.setup == Setup::Active,
            has_started: false,
            held: Vec::new(),
            flight: Some(Flight::default()),
            believed: (credentials.clone(), video.ice.clone()),
            out: VecDeque::new(),
            events: Vec::new(),
            alert: None,
            was_alerted: false,
        })
    }

    /// Does the cryptography.
    pub fn crypto(&self) -> &dyn RTCCrypto {
        self.keys.crypto()
    }

    /// Takes in a datagram of DTLS. `false` if it can be told not to be the viewer's: nothing has changed then.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> bool {
        if has_forged_cipher_change(datagram) {
            return false;
        }
        let message = BytesMut::from(datagram);
        if !self.has_started {
            if self.held.len() < MAX_HELD {
                self.held.push(message);
            }
            return true;
        }
        self.was_alerted = has_alert(datagram);
        if let Some(description) = fatal_alert(datagram) {
            self.alert = Some(HandshakeAlert {
                is_viewers: true,
                description,
            });
        }
        self.read(now, message);
        self.collect();
        if !self.pull(now)
            && let Some(flight) = &mut self.flight
            && is_handshake(datagram)
        {
            self.out.extend(flight.repeat(now).iter().cloned());
        }
        if self.is_closed_by_viewer() {
            self.events.push(Event::Ended(EndReason::Closed));
        }
        true
    }

    /// The alert that ended the handshake, once it is known.
    pub const fn take_alert(&mut self) -> Option<HandshakeAlert> {
        self.alert.take()
    }

    /// There is a path: the handshake may begin.
    ///
    /// The core passes DTLS on only when its ICE session has a pair. It is given one, by the checks and answers that the
    /// viewer would have sent it; the viewer's own go to [`Ice`](super::peer::ice::Ice).
    pub fn start(&mut self, now: Instant) {
        if self.has_started {
            return;
        }
        // It forgets a nomination that comes before its own check of the pair was answered: the second one counts.
        for _ in 0..2 {
            let (local, remote) = &self.believed;
            let check = binding::nomination(local, remote, self.crypto());
            let Ok(check) = check else { return };
            self.read(now, check);
            while let Some(transmit) = self.core.poll_write() {
                let message = transmit.message;
                if kind(&message) != Some(Kind::Stun) {
                    self.out.push_back(message);
                } else if let Some(reply) = self.reply_for(&message) {
                    self.read(now, reply);
                }
            }
        }
        self.collect();
        for datagram in std::mem::take(&mut self.held) {
            self.receive(now, &datagram);
        }
    }

    /// The viewer's answer to a check of the core's.
    fn reply_for(&self, check: &[u8]) -> Option<BytesMut> {
        let mut request = Message {
            raw: check.to_vec(),
            ..Message::default()
        };
        request.decode().ok()?;
        let (_, remote) = &self.believed;
        let is_request = request.typ == BINDING_REQUEST;
        is_request
            .then(|| binding::success(&request, LOCAL, &remote.password, self.crypto()).ok())?
    }

    /// Whether the viewer said goodbye: the core's connection state does not tell.
    fn is_closed_by_viewer(&mut self) -> bool {
        let sender = self.core.rtp_sender(self.sender);
        let state = sender.and_then(|sender| Some(sender.transport()?.state()));
        state == Some(RTCDtlsTransportState::Closed)
    }

    /// Lets the core's timers run.
    pub fn timeout(&mut self, now: Instant) {
        core_is_called();
        if let Err(error) = self.core.handle_timeout(now) {
            tracing::debug!(%error, "the core's timer");
        }
        self.collect();
        self.pull(now);
    }

    /// Takes what the core has to send of the handshake. `false` if there is nothing.
    fn pull(&mut self, now: Instant) -> bool {
        let Some(flight) = &mut self.flight else {
            return true;
        };
        let messages = std::iter::from_fn(|| self.core.poll_write());
        // Its checks are of a path that does not exist.
        let messages: Vec<_> = messages
            .map(|transmit| transmit.message)
            .filter(|message| kind(message) != Some(Kind::Stun))
            .collect();
        let has_some = !messages.is_empty();
        self.out.extend(messages.iter().cloned());
        flight.sent(now, messages);
        has_some
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    /// Our outgoing media and the viewer's reports on it, once the handshake is done. There is one of each in a session:
    /// the keys are handed out once, and the core, which has the same keys, is given no RTP to send.
    ///
    /// # Errors
    /// When the negotiated profile is unknown, or the keys were not seen.
    pub fn media(&mut self, now: Instant) -> Result<(Egress, Ingress), CoreError> {
        let stats = self.core.get_stats(now, StatsSelector::None);
        let name = stats.transport().map_or("", |t| &t.srtp_cipher);
        let profile = match name {
            "SRTP_AEAD_AES_128_GCM" => Profile::Gcm,
            "SRTP_AES128_CM_HMAC_SHA1_80" => Profile::Cm,
            other => return Err(CoreError::Other(format!("SRTP profile {other:?}"))),
        };
        let keys = self.keys.take(profile, self.we_are_client);
        let (ours, theirs) =
            keys.ok_or_else(|| CoreError::Other("the SRTP keys were not seen".into()))?;
        let crypto = self.keys.crypto();
        let failed = |error: CryptoError| CoreError::Crypto(error.to_string());
        let egress = Egress::new(now, crypto, profile, ours, self.parameters).map_err(failed)?;
        let opener = Opener::new(crypto, &theirs).map_err(failed)?;
        Ok((egress, Ingress::new(opener, self.parameters.ssrc)))
    }

    /// Sends a sender report (RFC 3550, 6.4.1).
    pub fn report(&mut self, now: Instant, cname: &str, report: Report) {
        core_is_called();
        let report = SenderReport {
            ssrc: self.parameters.ssrc,
            ntp_time: report.ntp,
            rtp_time: report.timestamp,
            packet_count: report.sent.packets,
            octet_count: report.sent.octets,
            ..Default::default()
        };
        // RFC 3550, 6.1: a compound packet names its source.
        let name = SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: self.parameters.ssrc,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: Bytes::copy_from_slice(cname.as_bytes()),
                }],
            }],
        };
        let Some(mut sender) = self.core.rtp_sender(self.sender) else {
            return;
        };
        let packets: Vec<Box<dyn rtc::rtcp::Packet>> = vec![Box::new(report), Box::new(name)];
        if let Err(error) = sender.write_rtcp(now, packets) {
            tracing::debug!(%error, "no report sent");
        }
    }

    /// Says goodbye to the viewer. What is to be sent comes from [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        core_is_called();
        // The core stamps its farewell with the time it last heard of.
        let _ = self.core.handle_timeout(now);
        if let Err(error) = self.core.close() {
            tracing::debug!(%error, "close");
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<BytesMut> {
        let message = self.out.pop_front().or_else(|| {
            let messages = std::iter::from_fn(|| self.core.poll_write());
            let mut messages = messages.map(|transmit| transmit.message);
            // Its checks are of a path that does not exist.
            messages.find(|message| kind(message) != Some(Kind::Stun))
        })?;
        // It echoes an alert of the viewer's.
        if let Some(description) = fatal_alert(&message) {
            self.alert.get_or_insert(HandshakeAlert {
                is_viewers: self.was_alerted,
                description,
            });
        }
        Some(message)
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    fn read(&mut self, now: Instant, message: BytesMut) {
        core_is_called();
        let datagram = TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: LOCAL,
                peer_addr: REMOTE,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message,
        };
        if let Err(error) = self.core.handle_read(datagram) {
            tracing::debug!(%error, "datagram refused");
        }
    }

    fn collect(&mut self) {
        while let Some(event) = self.core.poll_event() {
            self.note(&event);
        }
        // It is given no media to hand over.
        while self.core.poll_read().is_some() {}
    }

    fn note(&mut self, event: &CoreEvent) {
        match event {
            CoreEvent::OnIceConnectionStateChangeEvent(RTCIceConnectionState::Connected) => {
                self.has_started = true;
            }
            CoreEvent::OnConnectionStateChangeEvent(state) => {
                let event = match state {
                    RTCPeerConnectionState::Connected => {
                        self.flight = None;
                        Event::Connected
                    }
                    RTCPeerConnectionState::Failed => Event::Ended(EndReason::Lost),
                    RTCPeerConnectionState::Closed => Event::Ended(EndReason::Closed),
                    _ => return,
                };
                self.events.push(event);
            }
            _ => {}
        }
    }
}
