//! The WebRTC side: one peer connection of the `webrtc` crate that receives one H.264 video.

use crate::Error;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::peer_connection::configuration::media_engine::MIME_TYPE_H264;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodec, RTCRtpCodecParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceGatheringState, RTCPeerConnectionState, RTCSessionDescription, Registry,
    SettingEngineBuilder, register_default_interceptors,
};

/// By default a check is sent every 200 ms, and the first ones come before the server knows us: checks this
/// close together bring the first picture sooner.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
const MAX_CHECKS: u16 = 50;

/// What happens in a session.
pub enum Event {
    /// All local candidates are known.
    Gathered,
    /// Media can flow.
    Connected,
    /// It can't, or can't any more.
    Failed,
    /// The video.
    Track(Arc<dyn TrackRemote>),
}

struct Handler(mpsc::Sender<Event>);

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.tell(Event::Gathered).await;
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.tell(Event::Connected).await,
            RTCPeerConnectionState::Failed => self.tell(Event::Failed).await,
            _ => {}
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        self.tell(Event::Track(track)).await;
    }
}

impl Handler {
    async fn tell(&self, event: Event) {
        // Who has stopped listening wants to know nothing more.
        let _ = self.0.send(event).await;
    }
}

/// A peer connection and its events.
pub struct Session {
    peer: Arc<dyn PeerConnection>,
    events: mpsc::Receiver<Event>,
    track: Option<Arc<dyn TrackRemote>>,
}

impl Session {
    /// A session that will send and receive at the given address of this machine: nothing is gathered
    /// from servers, since who reached the daemon by HTTP reaches its media, too.
    pub async fn new(local: IpAddr) -> Result<Self, Error> {
        let mut media = MediaEngine::default();
        for codec in h264() {
            media.register_codec(codec, RtpCodecKind::Video)?;
        }
        // Asks for retransmissions, and reports what was received.
        let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
        let settings = SettingEngineBuilder::new()
            // A server has an address, not a name on the local network; and this needs no multicast.
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS))
            .build();
        let (sender, events) = mpsc::channel(16);
        let peer = PeerConnectionBuilder::new()
            .with_media_engine(media)
            .with_setting_engine(settings)
            .with_interceptor_registry(interceptors)
            .with_handler(Arc::new(Handler(sender)))
            .with_udp_addrs(vec![SocketAddr::new(local, 0)])
            .build()
            .await?;
        let receive_only = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            ..Default::default()
        };
        peer.add_transceiver_from_kind(RtpCodecKind::Video, Some(receive_only))
            .await?;
        Ok(Self {
            peer: Arc::new(peer),
            events,
            track: None,
        })
    }

    /// The offer, with all candidates.
    pub async fn offer(&mut self) -> Result<String, Error> {
        let offer = self.peer.create_offer(None).await?;
        self.peer.set_local_description(offer).await?;
        while let Some(event) = self.events.recv().await {
            if matches!(event, Event::Gathered) {
                break;
            }
        }
        let offer = self.peer.local_description().await;
        Ok(offer.ok_or("there is no offer")?.sdp)
    }

    /// Takes the server's answer and begins to connect.
    pub async fn accept(&self, answer: String) -> Result<(), Error> {
        let answer = RTCSessionDescription::answer(answer)?;
        let accepted = self.peer.set_remote_description(answer).await;
        accepted.map_err(|error| format!("the server's answer is of no use: {error}").into())
    }

    /// The next event. May be cancelled.
    pub async fn event(&mut self) -> Event {
        let event = self.events.recv().await.unwrap_or(Event::Failed);
        if let Event::Track(track) = &event {
            self.track = Some(track.clone());
        }
        event
    }

    /// The video, as soon as there is one.
    pub fn track(&self) -> Option<Arc<dyn TrackRemote>> {
        self.track.clone()
    }

    /// Whether the server has said goodbye. It is no change of the connection's state, only of DTLS below it.
    pub async fn is_closed_by_server(&self) -> bool {
        for receiver in self.peer.get_receivers().await {
            if let Ok(Some(dtls)) = receiver.transport().await
                && let Ok(state) = dtls.state().await
            {
                return state == RTCDtlsTransportState::Closed;
            }
        }
        false
    }

    /// Says goodbye.
    pub async fn close(&self) -> Result<(), Error> {
        Ok(self.peer.close().await?)
    }
}

/// The next packet of a track, or of none: then it never comes. `None` at the end. May be cancelled.
pub async fn packet(track: Option<&Arc<dyn TrackRemote>>) -> Option<rtc::rtp::Packet> {
    let Some(track) = track else {
        return std::future::pending().await;
    };
    loop {
        if let TrackRemoteEvent::OnRtpPacket(packet) = track.poll().await? {
            return Some(packet);
        }
    }
}

/// Asks the server for a keyframe.
pub async fn request_keyframe(track: &Arc<dyn TrackRemote>, media_ssrc: u32) -> Result<(), Error> {
    let pli = PictureLossIndication {
        sender_ssrc: 0,
        media_ssrc,
    };
    Ok(track.write_rtcp(vec![Box::new(pli)]).await?)
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
