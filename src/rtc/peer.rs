//! One viewer: a sans-I/O peer connection of the WebRTC core that answers an offer and sends one video track.

use super::answer::core_offer;
use super::demux::{Kind, is_binding_success, is_nomination, kind};
use super::feedback::{Feedback, Listener, Reports};
use super::offer::{Offer, Setup};
use bytes::{Bytes, BytesMut};
use rtc::crypto::providers::RingProvider;
use rtc::crypto::{RTCCryptoProvider, SignatureScheme};
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{NackResponderBuilder, Registry, SenderReportBuilder, Slot};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::certificate::RTCCertificate;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_RTX, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::RTCPeerConnectionEvent as CoreEvent;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use rtc::peer_connection::transport::{
    CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCDtlsTransportState, RTCIceCandidate,
};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp;
use rtc::rtp_transceiver::RTCRtpSenderId;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error as CoreError;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
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

/// Without a connectivity check from the viewer for so long, the core says disconnected, which is no end…
const ICE_DISCONNECTED: Duration = Duration::from_secs(5);
/// …and after so much more, failed, which is. Browsers check every 2.5 s (RFC 7675 allows 30 s without consent).
const ICE_FAILED: Duration = Duration::from_secs(20);
/// How often the core looks at these times.
const ICE_INTERVAL: Duration = Duration::from_secs(2);

/// Where the interceptor hears everything.
const NEXT_TO_THE_WIRE: Slot = Slot::Custom(0);

/// Packets kept for retransmission: two seconds at 2.5 Mbit/s. Payloads are shared, so it costs headers only.
const NACK_HISTORY: u16 = 512;

/// The daemon's side of every session: one certificate for all viewers.
pub struct Identity {
    certificate: RTCCertificate,
    provider: Arc<dyn RTCCryptoProvider>,
    /// Hash function and value, as in `a=fingerprint`.
    pub fingerprint: String,
}

impl Identity {
    /// A fresh certificate, ECDSA on P-256 as browsers use it.
    ///
    /// # Errors
    /// When the crypto library fails.
    pub fn generate() -> Result<Self, CoreError> {
        let provider: Arc<dyn RTCCryptoProvider> = Arc::new(RingProvider::new());
        let params = rcgen::CertificateParams::new(vec!["fanlight".to_owned()])
            .map_err(|error| CoreError::Other(error.to_string()))?;
        let scheme = SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(provider.crypto(), scheme, params)?;
        let fingerprints = certificate.get_fingerprints(provider.crypto())?;
        let fingerprint = fingerprints
            .first()
            .map(|f| format!("{} {}", f.algorithm, f.value.to_uppercase()))
            .ok_or_else(|| CoreError::Other("a certificate without a fingerprint".into()))?;
        Ok(Self {
            certificate,
            provider,
            fingerprint,
        })
    }
}

/// ICE credentials of our side (RFC 8445, 5.3: 24 and 128 bits at least).
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Names the session in STUN requests.
    pub ufrag: String,
    /// Proves that the sender knows the answer.
    pub password: String,
}

impl Credentials {
    /// Unguessable ones.
    pub fn generate() -> Self {
        Self {
            ufrag: format!("{:016x}", rand::random::<u64>()),
            password: format!("{:032x}", rand::random::<u128>()),
        }
    }
}

/// SSRCs of one session's streams, which differ (RFC 3550, 8.1).
#[derive(Debug, Clone, Copy)]
pub struct Sources {
    /// The video's.
    pub video: u32,
    /// That of its retransmissions.
    pub rtx: u32,
}

impl Sources {
    /// Random ones.
    pub fn generate() -> Self {
        let video = rand::random();
        Self {
            video,
            rtx: u32::wrapping_add(video, 1),
        }
    }
}

/// What a viewer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The keys are there: media can be sent.
    Connected,
    /// The session is over, and why.
    Ended(&'static str),
}

/// A viewer's peer connection.
pub struct Peer {
    core: RTCPeerConnection,
    sender: RTCRtpSenderId,
    header: rtp::Header,
    timestamp_offset: u32,
    early: Early,
    reports: Reports,
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
    ) -> Result<Self, CoreError> {
        let video = &offer.video;
        let codec = codec(&video.codec.feedback);
        let reports = Reports::default();
        let listener = Listener::new(reports.clone());
        let mut core = build(now, identity, credentials, offer, &codec, listener)?;
        let rtx = video.codec.retransmission.map(|_| sources.rtx);
        let sender = core.add_track(track(sources.video, rtx, codec))?;
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
            header: rtp::Header {
                version: 2,
                payload_type: video.codec.payload_type,
                // RFC 3550, 5.1: both start anywhere; a low sequence number keeps the first wrap-around,
                // which the viewer's SRTP must guess, away from the start.
                sequence_number: rand::random::<u16>() >> 1,
                ssrc: sources.video,
                ..Default::default()
            },
            timestamp_offset: rand::random(),
            early: Early::default(),
            reports,
            events: Vec::new(),
        })
    }

    /// Takes in a datagram of the viewer's.
    pub fn receive(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) {
        let is_dtls = kind(datagram) == Some(Kind::Dtls);
        let datagram = TaggedBytesMut {
            now,
            transport: TransportContext {
                local_addr: if remote.is_ipv4() { LOCAL_V4 } else { LOCAL_V6 },
                peer_addr: remote,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: BytesMut::from(datagram),
        };
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
    }

    /// Whether the viewer said goodbye: the core's connection state does not tell.
    fn is_closed_by_viewer(&mut self) -> bool {
        let sender = self.core.rtp_sender(self.sender);
        let state = sender.and_then(|sender| Some(sender.transport()?.state()));
        state == Some(RTCDtlsTransportState::Closed)
    }

    /// Lets the core's timers run.
    pub fn timeout(&mut self, now: Instant) {
        if let Err(error) = self.core.handle_timeout(now) {
            tracing::debug!(%error, "the core's timer");
        }
        self.collect();
    }

    /// When [`timeout`](Self::timeout) is due.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    /// Sends the payloads of one access unit; `timestamp` counts 90 kHz ticks from any common origin.
    pub fn send(&mut self, now: Instant, timestamp: u32, payloads: &[Bytes]) {
        self.header.timestamp = timestamp.wrapping_add(self.timestamp_offset);
        for (n, payload) in payloads.iter().enumerate() {
            let header = &mut self.header;
            header.marker = n + 1 == payloads.len();
            header.sequence_number = header.sequence_number.wrapping_add(1);
            let packet = rtp::Packet {
                header: header.clone(),
                payload: payload.clone(),
            };
            let Some(mut sender) = self.core.rtp_sender(self.sender) else {
                return;
            };
            if let Err(error) = sender.write_rtp(now, packet) {
                tracing::debug!(%error, "not sent");
                return;
            }
        }
    }

    /// Says goodbye to the viewer. What is to be sent comes from [`poll_transmit`](Self::poll_transmit).
    pub fn close(&mut self, now: Instant) {
        // The core stamps its farewell with the time it last heard of.
        let _ = self.core.handle_timeout(now);
        if let Err(error) = self.core.close() {
            tracing::debug!(%error, "close");
        }
    }

    /// The next datagram to send, and where to.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, BytesMut)> {
        let transmit = self.core.poll_write()?;
        Some((transmit.transport.peer_addr, transmit.message))
    }

    /// What the viewer reported since the last call.
    pub fn feedback(&self) -> Feedback {
        self.reports.take()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    fn read(&mut self, datagram: TaggedBytesMut) {
        if let Err(error) = self.core.handle_read(datagram) {
            tracing::debug!(%error, "datagram refused");
        }
    }

    fn collect(&mut self) {
        while let Some(event) = self.core.poll_event() {
            self.note(&event);
        }
        // What the core hands over is RTCP that was heard already.
        while self.core.poll_read().is_some() {}
    }

    fn note(&mut self, event: &CoreEvent) {
        match event {
            CoreEvent::OnIceConnectionStateChangeEvent(RTCIceConnectionState::Connected) => {
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

fn build(
    now: Instant,
    identity: &Identity,
    credentials: &Credentials,
    offer: &Offer,
    codec: &RTCRtpCodec,
    listener: Listener,
) -> Result<RTCPeerConnection, CoreError> {
    let mut media = MediaEngine::default();
    let parameters = RTCRtpCodecParameters {
        rtp_codec: codec.clone(),
        payload_type: offer.video.codec.payload_type,
    };
    media.register_codec(parameters, RtpCodecKind::Video)?;
    if let Some(payload_type) = offer.video.codec.retransmission {
        let parameters = RTCRtpCodecParameters {
            rtp_codec: RTCRtpCodec {
                mime_type: MIME_TYPE_RTX.to_owned(),
                clock_rate: 90_000,
                channels: 0,
                sdp_fmtp_line: format!("apt={}", offer.video.codec.payload_type),
                rtcp_feedback: vec![],
            },
            payload_type,
        };
        media.register_codec(parameters, RtpCodecKind::Video)?;
    }
    let responder = NackResponderBuilder::new().with_size(NACK_HISTORY).build();
    let interceptors = Registry::new()
        .with(NEXT_TO_THE_WIRE, listener)
        .with(Slot::NackResponder, responder)
        .with(Slot::SenderReport, SenderReportBuilder::new().build());
    let role = match offer.video.setup {
        Setup::Passive => RTCDtlsRole::Server,
        Setup::Active => RTCDtlsRole::Client,
    };
    let settings = SettingEngineBuilder::new()
        .with_crypto_provider(identity.provider.clone())
        .with_answering_dtls_role(role)
        // Names of the form `.local` are never looked up.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_lite(true)
        .with_ice_credentials(credentials.ufrag.clone(), credentials.password.clone())
        .with_ice_timeouts(Some(ICE_DISCONNECTED), Some(ICE_FAILED), None)
        .with_ice_connection_attempts(Some(ICE_INTERVAL), None)
        .build();
    let configuration = RTCConfigurationBuilder::new()
        .with_certificates(vec![identity.certificate.clone()])
        .build();
    RTCPeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_setting_engine(settings)
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
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

fn track(ssrc: u32, rtx: Option<u32>, codec: RTCRtpCodec) -> MediaStreamTrack {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: rtx.map(|ssrc| RTCRtpRtxParameters { ssrc }),
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

/// Datagrams that come too early for the core, until it can use them.
///
/// It drops DTLS that arrives before ICE has selected a pair, and it forgets a nomination that arrives before its
/// own check of the pair has succeeded. The viewer would repeat both, but up to a second later.
#[derive(Default)]
struct Early {
    is_over: bool,
    dtls: Vec<TaggedBytesMut>,
    nomination: Option<TaggedBytesMut>,
    /// The nomination, when it is to be repeated now.
    due: Option<TaggedBytesMut>,
}

impl Early {
    /// A client's first flight is one datagram, with a large certificate a few. More than these are dropped.
    const MAX_DTLS: usize = 4;

    /// Takes in a datagram and returns it if the core is to have it now.
    fn filter(&mut self, datagram: TaggedBytesMut) -> Option<TaggedBytesMut> {
        if self.is_over {
            return Some(datagram);
        }
        let message = &datagram.message;
        if kind(message) == Some(Kind::Dtls) {
            if self.dtls.len() < Self::MAX_DTLS {
                self.dtls.push(datagram);
            }
            return None;
        }
        if is_nomination(message) {
            self.nomination = Some(TaggedBytesMut {
                now: datagram.now,
                transport: datagram.transport,
                message: message.clone(),
            });
        } else if is_binding_success(message) {
            // Once the core has read this one, its check has succeeded.
            self.due = self.nomination.take();
        }
        Some(datagram)
    }

    /// A pair is selected: hands over what was held, and holds nothing more.
    fn release(&mut self) -> Vec<TaggedBytesMut> {
        self.is_over = true;
        self.nomination = None;
        std::mem::take(&mut self.dtls)
    }
}
