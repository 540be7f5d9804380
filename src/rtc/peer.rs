//! One viewer: a sans-I/O peer connection of the WebRTC core that answers an offer and sends one video track.

use super::answer::core_offer;
use super::contain::core_is_called;
use super::delivery::Report;
use super::demux::{Kind, has_forged_cipher_change, is_binding_success, kind, request_ufrag};
use super::early::Early;
use super::egress::{Egress, Parameters};
use super::feedback::Ingress;
use super::identity::{Credentials, Identity, Sources};
use super::keys::KeyTap;
use super::offer::{Offer, Setup};
use super::restart::{self, Outcome, Restarts};
use super::srtcp::Opener;
use super::srtp::Profile;
use crate::stream::Terms;
use bytes::{Bytes, BytesMut};
use rtc::crypto::{CryptoError, RTCCryptoProvider};
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::{SettingEngine, SettingEngineBuilder};
use rtc::peer_connection::event::RTCPeerConnectionEvent as CoreEvent;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::{
    CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCDtlsTransportState, RTCIceCandidate,
};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error as CoreError;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc::statistics::StatsSelector;
use rtc::stun::message::{BINDING_REQUEST, Message};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the core is configured with and offered. It matches codecs by the text of their parameters, so both
/// are this text; what the viewer is told stands in `answer`.
const CODEC_PARAMETERS: &str =
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// The core knows our side by these two addresses, one for each family, whatever address a datagram really came
/// to: so it needs no list of interfaces, and no change of one concerns it. They are reserved for documentation
/// (RFC 5737, RFC 3849) and never leave the process.
const LOCAL_V4: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    LOCAL_PORT,
);
const LOCAL_V6: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    LOCAL_PORT,
);
const LOCAL_PORT: u16 = 9;

/// How often the core looks at its connection.
const ICE_INTERVAL: Duration = Duration::from_secs(2);

/// What a viewer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The keys are there: media can be sent.
    Connected,
    /// The viewer nominated a pair of its newest ICE session: the one before is over.
    Restarted,
    /// The session is over, and why.
    Ended(&'static str),
}

/// A viewer's peer connection.
pub struct Peer {
    core: RTCPeerConnection,
    sender: RTCRtpSenderId,
    keys: Arc<KeyTap>,
    parameters: Parameters,
    we_are_client: bool,
    early: Early,
    /// Of the ICE session that the core knows: our side, and the viewer's user name fragment and password.
    first: (Credentials, (String, String)),
    restarts: Restarts,
    /// What is sent without the core.
    own: VecDeque<(SocketAddr, BytesMut)>,
    events: Vec<Event>,
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
        for address in [LOCAL_V4, LOCAL_V6] {
            core.add_local_candidate(candidate(address)?)?;
        }
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
            early: Early::default(),
            first: (credentials.clone(), video.ice.clone()),
            restarts: Restarts::default(),
            own: VecDeque::new(),
            events: Vec::new(),
        })
    }

    /// Takes in a datagram. `false` if it can be told not to be the viewer's: nothing has changed then.
    pub fn receive(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) -> bool {
        let crypto = self.keys.crypto();
        match self.restarts.answer(datagram, remote, crypto) {
            Outcome::NotOurs => {}
            Outcome::Refused => return false,
            Outcome::Reply {
                message,
                takes_over,
            } => {
                self.own.push_back((remote, message));
                if takes_over {
                    self.events.push(Event::Restarted);
                    self.connect_core(now, remote);
                }
                return true;
            }
        }
        if kind(datagram) == Some(Kind::Stun) && !self.is_viewers(datagram) {
            return false;
        }
        let is_dtls = kind(datagram) == Some(Kind::Dtls);
        if is_dtls && has_forged_cipher_change(datagram) {
            return false;
        }
        let datagram = from(remote, now, BytesMut::from(datagram));
        if let Some(datagram) = self.early.filter(datagram) {
            self.read(datagram);
        }
        if let Some(nomination) = self.early.due.take() {
            self.read(nomination);
        }
        self.collect();
        if is_dtls && self.is_closed_by_viewer() {
            self.events.push(Event::Ended("closed"));
        }
        true
    }

    /// Whether a STUN message is one that a lite agent has a use for, a check or the answer to one, and the viewer's. The
    /// core must see no other: it changes its role for whoever says so, before it looks at the message's integrity.
    fn is_viewers(&self, message: &[u8]) -> bool {
        let (local, (_, remote_password)) = &self.first;
        let password = match request_ufrag(message) {
            Some(_) => &local.password,
            None if is_binding_success(message) => remote_password,
            None => return false,
        };
        restart::authentic(message, password, self.keys.crypto()).is_ok()
    }

    /// Begins a further ICE session.
    pub fn restart(&mut self, local: Credentials, remote_ufrag: String) {
        self.restarts.begin(local, remote_ufrag);
    }

    /// A viewer may restart ICE before its first session got anywhere, say to use a relay. The core passes DTLS on only
    /// when its own, the first session has a pair: it is given one, by the checks that the viewer would have made.
    fn connect_core(&mut self, now: Instant, remote: SocketAddr) {
        if self.early.is_over() {
            return;
        }
        for _ in 0..2 {
            let (local, (remote_ufrag, remote_password)) = &self.first;
            let check = restart::nomination(local, remote_ufrag, self.keys.crypto());
            let Ok(check) = check else { return };
            let password = remote_password.clone();
            self.read(from(remote, now, check));
            while let Some(transmit) = self.core.poll_write() {
                let (to, message) = (transmit.transport.peer_addr, transmit.message);
                if kind(&message) != Some(Kind::Stun) {
                    self.own.push_back((to, message));
                } else if let Some(reply) = self.reply_for(&message, &password) {
                    self.read(from(remote, now, reply));
                }
            }
        }
        self.collect();
    }

    /// The viewer's answer to a check of the core's.
    fn reply_for(&self, check: &[u8], password: &str) -> Option<BytesMut> {
        let mut request = Message {
            raw: check.to_vec(),
            ..Message::default()
        };
        request.decode().ok()?;
        let is_request = request.typ == BINDING_REQUEST;
        let crypto = self.keys.crypto();
        is_request.then(|| restart::success(&request, LOCAL_V4, password, crypto).ok())?
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

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, BytesMut)> {
        if let Some(own) = self.own.pop_front() {
            return Some(own);
        }
        let transmit = self.core.poll_write()?;
        Some((transmit.transport.peer_addr, transmit.message))
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    fn read(&mut self, datagram: TaggedBytesMut) {
        core_is_called();
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
                let (local, (remote_ufrag, _)) = &self.first;
                self.restarts.take_first(local, remote_ufrag);
                for datagram in self.early.release() {
                    self.read(datagram);
                }
            }
            CoreEvent::OnConnectionStateChangeEvent(state) => {
                let event = match state {
                    RTCPeerConnectionState::Connected => Event::Connected,
                    RTCPeerConnectionState::Failed => Event::Ended("lost"),
                    RTCPeerConnectionState::Closed => Event::Ended("closed"),
                    _ => return,
                };
                self.events.push(event);
            }
            _ => {}
        }
    }
}

/// A datagram of the viewer's, as the core takes it.
fn from(remote: SocketAddr, now: Instant, message: BytesMut) -> TaggedBytesMut {
    TaggedBytesMut {
        now,
        transport: TransportContext {
            local_addr: if remote.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 },
            peer_addr: remote,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        },
        message,
    }
}

fn settings(
    provider: Arc<dyn RTCCryptoProvider>,
    credentials: &Credentials,
    offer: &Offer,
) -> SettingEngine {
    let role = match offer.video.setup {
        Setup::Passive => RTCDtlsRole::Server,
        Setup::Active => RTCDtlsRole::Client,
    };
    SettingEngineBuilder::new()
        .with_crypto_provider(provider)
        .with_answering_dtls_role(role)
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        // Names of the form `.local` are never looked up.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_lite(true)
        .with_ice_credentials(credentials.ufrag.clone(), credentials.password.clone())
        // It knows only the path that it selected first; that a viewer is gone is found by `viewer`.
        .with_ice_timeouts(Some(Duration::ZERO), Some(Duration::ZERO), None)
        .with_ice_connection_attempts(Some(ICE_INTERVAL), None)
        .build()
}

fn build(
    now: Instant,
    identity: &Identity,
    settings: SettingEngine,
    offer: &Offer,
    codec: &RTCRtpCodec,
) -> Result<RTCPeerConnection, CoreError> {
    let mut media = MediaEngine::default();
    let parameters = RTCRtpCodecParameters {
        rtp_codec: codec.clone(),
        payload_type: offer.video.codec.payload_type,
    };
    media.register_codec(parameters, RtpCodecKind::Video)?;
    let configuration = RTCConfigurationBuilder::new()
        .with_certificates(vec![identity.certificate.clone()])
        .build();
    RTCPeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings)
        .with_media_engine(media)
        .with_interceptor_registry(Registry::new())
        .build(now)
}

fn codec(feedback: &[&str]) -> RTCRtpCodec {
    let feedback = feedback.iter().map(|kind| {
        let (typ, parameter) = kind.split_once(' ').unwrap_or((kind, ""));
        RTCPFeedback {
            typ: typ.to_owned(),
            parameter: parameter.to_owned(),
        }
    });
    RTCRtpCodec {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: CODEC_PARAMETERS.to_owned(),
        rtcp_feedback: feedback.collect(),
    }
}

fn track(ssrc: u32, codec: RTCRtpCodec) -> MediaStreamTrack {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..Default::default()
        },
        codec,
        ..Default::default()
    };
    let name = |text: &str| text.to_owned();
    MediaStreamTrack::new(
        name("fanlight"),
        name("video"),
        name("video"),
        RtpCodecKind::Video,
        vec![encoding],
    )
}

fn candidate(
    address: SocketAddr,
) -> Result<rtc::peer_connection::transport::RTCIceCandidateInit, CoreError> {
    let host = CandidateHostConfig {
        base_config: CandidateConfig {
            network: "udp".to_owned(),
            address: address.ip().to_string(),
            port: address.port(),
            component: 1,
            ..Default::default()
        },
        ..Default::default()
    };
    RTCIceCandidate::from(&host.new_candidate_host()?).to_json()
}

#[cfg(test)]
#[path = "peer_tests.rs"]
mod tests;
