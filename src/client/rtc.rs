//! A viewer: the WebRTC core as a client that receives one H.264 video, for the daemon's own examination.

use bytes::BytesMut;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Registry;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::peer_connection::event::{RTCPeerConnectionEvent, RTCTrackEvent};
use rtc::peer_connection::message::RTCMessage;
use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::state::RTCPeerConnectionState;
use rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCIceCandidate};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp::Packet;
use rtc::rtp::codec::h264::H264Packet;
use rtc::rtp::packetizer::Depacketizer;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpReceiverId, RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc::sansio::Protocol;
use rtc::shared::error::Error as CoreError;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

/// Checks that close together bring the first picture sooner: the core's own pace is 200 ms, and the first ones come before
/// the server knows us.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
const MAX_CHECKS: u16 = 50;
/// A keyframe that has not come by then is asked for, again and again: what comes right behind the handshake may be lost in
/// the core.
const KEYFRAME_PATIENCE: Duration = Duration::from_millis(500);
/// How long at the most the core is left alone.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Larger than any datagram on an Ethernet.
const DATAGRAM: usize = 2048;

/// Why nothing is received.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The machine refuses a socket.
    #[error("no socket for media: {0}")]
    Socket(#[from] io::Error),
    /// The core refuses the answer, or fails.
    #[error("the answer is of no use: {0}")]
    Core(#[from] CoreError),
    /// ICE or DTLS failed.
    #[error("no connection came about")]
    Failed,
}

/// A peer connection that receives.
pub struct Client {
    core: RTCPeerConnection,
    socket: UdpSocket,
    local: SocketAddr,
    receiver: Option<RTCRtpReceiverId>,
    is_connected: bool,
    assembly: Assembly,
    keyframe_asked: Instant,
}

/// A whole picture.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    /// An access unit in Annex B form, which can be decoded after those before it.
    pub data: Vec<u8>,
    /// Where it came from; the server's address.
    pub from: SocketAddr,
}

impl Client {
    /// One at that address of this machine. To be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn new(local: IpAddr) -> Result<Self, ClientError> {
        let socket = UdpSocket::bind((local, 0)).await?;
        let local = socket.local_addr()?;
        let now = Instant::now();
        let mut media = MediaEngine::default();
        for codec in h264() {
            media.register_codec(codec, RtpCodecKind::Video)?;
        }
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS))
            .build();
        let mut core = RTCPeerConnectionBuilder::new()
            .with_setting_engine(settings)
            .with_media_engine(media)
            .with_interceptor_registry(Registry::new())
            .build(now)?;
        let receive_only = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        core.add_transceiver_from_kind(RtpCodecKind::Video, Some(receive_only))?;
        Ok(Self {
            core,
            socket,
            local,
            receiver: None,
            is_connected: false,
            assembly: Assembly::default(),
            keyframe_asked: now,
        })
    }

    /// What it offers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn offer(&mut self) -> Result<String, ClientError> {
        let offer = self.core.create_offer(None)?;
        self.core.set_local_description(Instant::now(), offer)?;
        let host = CandidateHostConfig {
            base_config: CandidateConfig {
                network: "udp".to_owned(),
                address: self.local.ip().to_string(),
                port: self.local.port(),
                component: 1,
                ..Default::default()
            },
            ..Default::default()
        };
        let candidate = RTCIceCandidate::from(&host.new_candidate_host()?).to_json()?;
        self.core.add_local_candidate(candidate)?;
        let offer = self.core.local_description();
        Ok(offer.map(|offer| offer.sdp).unwrap_or_default())
    }

    /// Takes the answer to that.
    ///
    /// # Errors
    /// When it makes no sense to the core.
    pub fn accept(&mut self, answer: &str) -> Result<(), ClientError> {
        let answer = RTCSessionDescription::answer(answer.to_owned())?;
        let accepted = self.core.set_remote_description(Instant::now(), answer);
        self.keyframe_asked = Instant::now();
        Ok(accepted?)
    }

    /// Whether media can flow.
    pub const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// The next picture; the first is a keyframe. May wait for ever.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn next(&mut self) -> Result<Unit, ClientError> {
        loop {
            self.write().await;
            self.note_events()?;
            self.ask_for_keyframe();
            self.write().await;
            let now = Instant::now();
            let wake = self.core.poll_timeout().unwrap_or(now + LONGEST_SLEEP);
            let mut datagram = [0; DATAGRAM];
            tokio::select! {
                () = sleep_until(wake.min(now + LONGEST_SLEEP).into()) => {
                    // What its timers come to is seen by its state.
                    let _ = self.core.handle_timeout(Instant::now());
                }
                received = self.socket.recv_from(&mut datagram) => {
                    // What the network reports of single datagrams is no end: not every address offered can be reached.
                    if let Ok((len, from)) = received
                        && let Some(unit) = self.read(from, &datagram[..len])
                    {
                        return Ok(unit);
                    }
                }
            }
        }
    }

    /// Says goodbye.
    pub async fn close(&mut self) {
        let _ = self.core.close();
        self.write().await;
    }

    async fn write(&mut self) {
        while let Some(transmit) = self.core.poll_write() {
            let to = transmit.transport.peer_addr;
            let _ = self.socket.send_to(&transmit.message, to).await;
        }
    }

    fn read(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<Unit> {
        let datagram = TaggedBytesMut {
            now: Instant::now(),
            transport: TransportContext {
                local_addr: self.local,
                peer_addr: from,
                ecn: None,
                transport_protocol: TransportProtocol::UDP,
            },
            message: BytesMut::from(datagram),
        };
        // What is wrong with one datagram is no fault of the next.
        let _ = self.core.handle_read(datagram);
        let mut unit = None;
        while let Some(message) = self.core.poll_read() {
            if let RTCMessage::RtpPacket(_, packet) = message.message {
                unit = self.assembly.push(&packet).or(unit);
            }
        }
        unit.map(|data| Unit { data, from })
    }

    fn note_events(&mut self) -> Result<(), ClientError> {
        while let Some(event) = self.core.poll_event() {
            match event {
                RTCPeerConnectionEvent::OnTrack(RTCTrackEvent::OnOpen(track)) => {
                    self.receiver = Some(track.receiver_id);
                }
                RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) => match state {
                    RTCPeerConnectionState::Connected => self.is_connected = true,
                    RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                        return Err(ClientError::Failed);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    fn ask_for_keyframe(&mut self) {
        let now = Instant::now();
        let is_due = self.assembly.needs_keyframe && now >= self.keyframe_asked + KEYFRAME_PATIENCE;
        if !is_due || !self.is_connected {
            return;
        }
        self.keyframe_asked = now;
        let receiver = self.receiver.and_then(|id| self.core.rtp_receiver(id));
        if let (Some(mut receiver), Some(media_ssrc)) = (receiver, self.assembly.ssrc) {
            let pli = PictureLossIndication {
                sender_ssrc: 0,
                media_ssrc,
            };
            let _ = receiver.write_rtcp(now, vec![Box::new(pli)]);
        }
    }
}

/// Packets on their way to pictures. Nothing is sent again on the way within a machine, so what is missing is not waited for.
struct Assembly {
    depacketizer: H264Packet,
    ssrc: Option<u32>,
    next: Option<u16>,
    unit: Vec<u8>,
    /// Nothing can be decoded until there is one.
    needs_keyframe: bool,
}

impl Default for Assembly {
    fn default() -> Self {
        Self {
            depacketizer: H264Packet::default(),
            ssrc: None,
            next: None,
            unit: Vec::new(),
            needs_keyframe: true,
        }
    }
}

impl Assembly {
    /// Takes a packet in, and returns the picture that it ends.
    fn push(&mut self, packet: &Packet) -> Option<Vec<u8>> {
        self.ssrc = Some(packet.header.ssrc);
        let number = packet.header.sequence_number;
        if self.next.is_some_and(|next| next != number) {
            self.depacketizer = H264Packet::default();
            self.unit.clear();
            self.needs_keyframe = true;
        }
        self.next = Some(number.wrapping_add(1));
        if let Ok(bytes) = self.depacketizer.depacketize(&packet.payload) {
            self.unit.extend_from_slice(&bytes);
        }
        if !packet.header.marker {
            return None;
        }
        let unit = std::mem::take(&mut self.unit);
        self.needs_keyframe &= !begins_with_parameters(&unit);
        (!self.needs_keyframe).then_some(unit)
    }
}

/// Whether an access unit begins with a sequence parameter set, as our keyframes do and nothing else.
fn begins_with_parameters(unit: &[u8]) -> bool {
    const SPS: u8 = 7;
    let start = unit.iter().position(|byte| *byte == 1);
    start.is_some_and(|at| unit.get(at + 1).is_some_and(|head| head & 0x1f == SPS))
}

/// Constrained Baseline, Main and High at level 3.1, in fragments: what every WebRTC implementation sends, and what cameras do,
/// which are encoded anew for all if one viewer does not play their profile.
fn h264() -> [RTCRtpCodecParameters; 3] {
    let profiles = [(102, "42e01f"), (104, "4d001f"), (106, "64001f")];
    profiles.map(|(payload_type, profile)| RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: MIME_TYPE_H264.to_owned(),
            clock_rate: 90_000,
            channels: 0,
            sdp_fmtp_line: format!(
                "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
            ),
            rtcp_feedback: vec![],
        },
        payload_type,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Profile, Profiles};
    use crate::rtc::Offer;
    use bytes::Bytes;

    #[tokio::test]
    async fn whatever_profile_a_camera_has_is_played() {
        let mut client = Client::new(IpAddr::from([127, 0, 0, 1])).await.unwrap();
        let offer = client.offer().unwrap();
        for profile in [Profile::ConstrainedBaseline, Profile::Main, Profile::High] {
            let profiles = Profiles {
                least: profile,
                most: profile,
            };
            let offer = Offer::parse(&offer, profiles).unwrap();
            assert!(offer.video.codec.plays >= profile);
        }
    }

    fn packet(number: u16, payload: &'static [u8], marker: bool) -> Packet {
        let mut packet = Packet {
            payload: Bytes::from_static(payload),
            ..Packet::default()
        };
        packet.header.sequence_number = number;
        packet.header.marker = marker;
        packet
    }

    #[test]
    fn pictures_begin_with_a_keyframe_and_again_after_a_loss() {
        const SPS: &[u8] = &[0x67, 1, 2, 3];
        const IDR: &[u8] = &[0x65, 4, 5, 6];
        const P: &[u8] = &[0x61, 7, 8, 9];
        let mut assembly = Assembly::default();
        assert_eq!(assembly.push(&packet(65_534, P, true)), None);
        assert_eq!(assembly.push(&packet(65_535, SPS, false)), None);
        let unit = assembly.push(&packet(0, IDR, true)).unwrap();
        assert!(unit.windows(4).any(|part| part == SPS) && unit.windows(4).any(|part| part == IDR));
        assert!(assembly.push(&packet(1, P, true)).is_some());
        assert_eq!(assembly.push(&packet(3, P, true)), None);
        assert!(assembly.needs_keyframe);
        assembly.push(&packet(4, SPS, false));
        assert!(assembly.push(&packet(5, IDR, true)).is_some());
    }
}
