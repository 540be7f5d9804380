//! The set-up of the WebRTC core for one session.

use super::identity::Identity;
use crate::rtc::sdp::offer::{Offer, Setup};
use crate::rtc::wire::credentials::Credentials;
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::RTCConfigurationBuilder;
use rtc::peer_connection::configuration::media_engine::{MIME_TYPE_H264, MediaEngine};
use rtc::peer_connection::configuration::setting_engine::{SettingEngine, SettingEngineBuilder};
use rtc::peer_connection::transport::{
    CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate, RTCIceCandidateInit,
};
use rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters,
    RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::shared::error::Error as CoreError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The parameters that the core is configured with and offered. It matches codecs by the text of their parameters, so both
/// are this text; the parameters for the viewer stand in `answer`.
pub const CODEC_PARAMETERS: &str =
    "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";

/// How often the core looks at its connection.
const ICE_INTERVAL: Duration = Duration::from_secs(2);

/// The settings of a session: a lite agent with these credentials, and the part in DTLS that the offer leaves to it.
pub fn settings(
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
        .with_ice_credentials(
            credentials.ufrag.clone(),
            credentials.password.as_str().to_owned(),
        )
        // It knows no path; that a viewer is gone is found by the session.
        .with_ice_timeouts(Some(Duration::ZERO), Some(Duration::ZERO), None)
        .with_ice_connection_attempts(Some(ICE_INTERVAL), None)
        .build()
}

/// The core of a session.
pub fn build(
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

/// H.264 as the core knows it, with these kinds of feedback.
pub fn codec(feedback: &[&str]) -> RTCRtpCodec {
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

/// The track of the video.
pub fn track(ssrc: u32, codec: RTCRtpCodec) -> MediaStreamTrack {
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

/// A candidate at that address.
pub fn candidate(address: SocketAddr) -> Result<RTCIceCandidateInit, CoreError> {
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
