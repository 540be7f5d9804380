//! Reading a viewer's SDP offer (RFC 8866, RFC 9429): what it wants, and whether that is what we send.

use super::extensions::Extensions;
use crate::media::{Profile, ProfileLevelId, Profiles};
use rtc::sdp::SessionDescription;
use rtc::sdp::description::media::MediaDescription;
use std::io::Cursor;

/// Why an offer can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// Not SDP at all.
    #[error("the offer is not valid SDP: {0}")]
    Malformed(String),
    /// Valid, but of no use here; the sentence says why.
    #[error("{0}")]
    Unusable(&'static str),
}

impl OfferError {
    /// That of an offer which the core could not stand.
    pub fn unreadable() -> Self {
        Self::Malformed("it can't be read".to_owned())
    }
}

const UNREADABLE: &str = "it is not written as RFC 8866 has it; it begins with v=0, and each line is a letter, = and a value";
const NO_VIDEO: &str = "the offer has no video section (m=video) to receive the stream with: \
     add a recvonly video transceiver";
const NOT_RECEIVING: &str = "the offer's video section does not receive: \
     its direction must be recvonly or sendrecv";
const NO_H264: &str = "the offer has no H.264 for video, the only codec this server sends: \
     offer H264/90000, profile Constrained Baseline (42e01f)";
const NO_FRAGMENTS: &str = "the offer has H.264 only with packetization-mode=0: \
     offer it with packetization-mode=1 as well";
const NO_PROFILE: &str = "the offer has no H.264 profile that can decode Constrained Baseline: \
     offer profile-level-id=42e01f";
const NO_PASSED_PROFILE: &str = "the stream is the camera's own H.264, passed through (encode = \"never\", or a camera that has nothing else), \
     in a profile that the offer does not have: offer profile-level-id=4d001f and 640c1f as well, or configure encode = \"auto\"";
const NO_ICE: &str = "the offer has no ICE credentials (a=ice-ufrag and a=ice-pwd)";
const NO_DTLS: &str = "the offer has no certificate fingerprint (a=fingerprint): \
     only DTLS-SRTP is served";
const NO_MUX: &str = "the offer does not multiplex RTCP with RTP (a=rtcp-mux)";

/// The H.264 payload type to answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// As the offer numbers it.
    pub payload_type: u8,
    /// As offered, 42e01f if it was left out.
    pub profile: ProfileLevelId,
    /// What the viewer plays under this payload type.
    pub plays: Profile,
    /// `level-asymmetry-allowed=1` was offered.
    pub level_asymmetry: bool,
    /// The payload type that retransmissions of it have (RFC 4588).
    pub retransmission: Option<u8>,
    /// The feedback that was offered for it and that we act on, as in `a=rtcp-fb`.
    pub feedback: Vec<&'static str>,
}

/// Which side begins the DTLS handshake (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// The viewer begins, or leaves it to us; we wait.
    Passive,
    /// The viewer waits; we begin.
    Active,
}

/// The section that is answered with video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// Position among the offer's sections.
    pub index: usize,
    /// `a=mid`; made up if the offer has none.
    pub mid: String,
    /// What to send.
    pub codec: Codec,
    /// The viewer's ICE user name fragment and password.
    pub ice: (String, String),
    /// Hash function and value, as in `a=fingerprint`.
    pub fingerprint: String,
    /// Our part in the DTLS handshake.
    pub setup: Setup,
    /// `a=rtcp-rsize` was offered.
    pub reduced_size_rtcp: bool,
    /// What packets may carry in their headers.
    pub extensions: Extensions,
    /// The values of `a=extmap` that say so in the answer.
    pub extmaps: Vec<String>,
}

/// A section as far as an answer must repeat it that does not serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `audio`, `application`…
    pub media: String,
    /// `UDP/TLS/RTP/SAVPF`…
    pub protocol: String,
    /// The preferred payload type, or `webrtc-datachannel`.
    pub format: String,
    /// Values of `a=rtpmap` and `a=fmtp` for that payload type.
    pub mapping: Option<String>,
    /// See `mapping`.
    pub parameters: Option<String>,
    /// `a=mid`.
    pub mid: Option<String>,
    /// `a=rtcp-mux` was offered.
    pub rtcp_mux: bool,
}

/// An offer that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Every section in order.
    pub sections: Vec<Section>,
    /// The one that gets video.
    pub video: Video,
    /// The sections of the answer's BUNDLE group (RFC 9143), the one first whose transport all of them use. None if
    /// the offer has no such group.
    pub bundle: Vec<usize>,
}

impl Offer {
    /// Reads an offer and decides what to answer; `profiles` are those of the stream's video.
    ///
    /// # Errors
    /// When it is not SDP, or asks for nothing that is served here.
    pub fn parse(text: &str, profiles: Profiles) -> Result<Self, OfferError> {
        if text.trim().is_empty() {
            return Err(OfferError::Malformed("it is empty".into()));
        }
        // RFC 8866, 9: no value has them, and some values are repeated in the answer.
        let has_stray = |c| text.split("\r\n").any(|line| line.contains(c));
        if has_stray('\0') || has_stray('\r') {
            let problem = "it has a NUL, or a carriage return without a line feed";
            return Err(OfferError::Malformed(problem.into()));
        }
        let session = SessionDescription::unmarshal(&mut Cursor::new(text))
            .map_err(|_| OfferError::Malformed(UNREADABLE.into()))?;
        let sections = session.media_descriptions.iter().map(section).collect();
        let video = video(&session, profiles).map_err(OfferError::Unusable)?;
        let bundle = bundle(&session, &video);
        Ok(Self {
            sections,
            video,
            bundle,
        })
    }
}

fn section(media: &MediaDescription) -> Section {
    let name = &media.media_name;
    let format = name.formats.first().cloned().unwrap_or_default();
    let of_format = |key| {
        let mut values = values(media, key);
        let found = values.find(|value| value.split(' ').next() == Some(&format));
        found.map(str::to_owned)
    };
    Section {
        media: name.media.clone(),
        protocol: name.protos.join("/"),
        mapping: of_format("rtpmap"),
        parameters: of_format("fmtp"),
        mid: value(media, "mid").map(str::to_owned),
        rtcp_mux: media.has_attribute("rtcp-mux"),
        format,
    }
}

/// Who is in the answer's BUNDLE group: the video, and before it the section whose transport the offer wants used
/// for all (RFC 9143, 7.3.1). To reject that one would pull the transport from under the video: Chromium takes no
/// such answer. A data channel can't be kept and left unused, as other media can.
fn bundle(session: &SessionDescription, video: &Video) -> Vec<usize> {
    let groups = session.attributes.iter().filter_map(|attribute| {
        let mut words = attribute.value.as_deref()?.split_ascii_whitespace();
        (attribute.key == "group" && words.next()? == "BUNDLE").then(|| words.collect::<Vec<_>>())
    });
    let Some(mids) = groups.into_iter().find(|mids| mids.contains(&&*video.mid)) else {
        return Vec::new();
    };
    let sections = &session.media_descriptions;
    let index = |mid| sections.iter().position(|m| value(m, "mid") == Some(mid));
    let mut indices = mids.into_iter().filter_map(index);
    let tagged = indices.find(|index| sections[*index].media_name.port.value != 0);
    let can_be_idle = |index: &usize| sections[*index].media_name.media != "application";
    let tagged = tagged.filter(can_be_idle).unwrap_or(video.index);
    let mut bundle = vec![tagged, video.index];
    bundle.dedup();
    bundle
}

fn value<'a>(media: &'a MediaDescription, key: &str) -> Option<&'a str> {
    media.attribute(key).flatten()
}

fn values<'a>(media: &'a MediaDescription, key: &'a str) -> impl Iterator<Item = &'a str> + Clone {
    media
        .attributes
        .iter()
        .filter(move |attribute| attribute.key == key)
        .filter_map(|attribute| attribute.value.as_deref())
}

/// The first video section that we can serve; else what is wrong with the best of the others.
fn video(session: &SessionDescription, profiles: Profiles) -> Result<Video, &'static str> {
    let mut problem = NO_VIDEO;
    for (index, media) in session.media_descriptions.iter().enumerate() {
        // Port 0 rejects a section, except in a bundle, where `bundle-only` says that it is meant.
        let is_off = media.media_name.port.value == 0 && !media.has_attribute("bundle-only");
        if media.media_name.media != "video" || is_off {
            continue;
        }
        match section_video(session, index, media, profiles) {
            Ok(video) => return Ok(video),
            Err(reason) => problem = reason,
        }
    }
    Err(problem)
}

fn section_video(
    session: &SessionDescription,
    index: usize,
    media: &MediaDescription,
    profiles: Profiles,
) -> Result<Video, &'static str> {
    let does_not_receive =
        |key| media.has_attribute(key) || session.has_attribute(key) && !has_direction(media);
    if does_not_receive("sendonly") || does_not_receive("inactive") {
        return Err(NOT_RECEIVING);
    }
    let codec = codec(media, profiles)?;
    if !media.has_attribute("rtcp-mux") {
        return Err(NO_MUX);
    }
    // Transport attributes stand in the section, for the whole session, or, in a bundle, in another section.
    let transport = |key: &str| {
        value(media, key)
            .or_else(|| session.attribute(key).map(String::as_str))
            .or_else(|| {
                session
                    .media_descriptions
                    .iter()
                    .find_map(|m| value(m, key))
            })
            .map(str::to_owned)
    };
    let ice = transport("ice-ufrag").zip(transport("ice-pwd"));
    let setup = match transport("setup").as_deref() {
        Some("passive") => Setup::Active,
        _ => Setup::Passive,
    };
    let has_feedback = offers_feedback(media, codec.payload_type, "transport-cc");
    let (extensions, extmaps) = Extensions::choose(values(media, "extmap"), has_feedback);
    Ok(Video {
        index,
        mid: value(media, "mid").map_or_else(|| index.to_string(), str::to_owned),
        codec,
        ice: ice.ok_or(NO_ICE)?,
        fingerprint: transport("fingerprint").ok_or(NO_DTLS)?,
        setup,
        reduced_size_rtcp: media.has_attribute("rtcp-rsize"),
        extensions,
        extmaps,
    })
}

fn has_direction(media: &MediaDescription) -> bool {
    ["sendrecv", "recvonly", "sendonly", "inactive"]
        .iter()
        .any(|key| media.has_attribute(key))
}

/// The offered H.264 payload type that fits best what the stream may be.
fn codec(media: &MediaDescription, profiles: Profiles) -> Result<Codec, &'static str> {
    let mut problem = NO_H264;
    let mut best: Option<(Rank, Codec)> = None;
    for (payload_type, number, encoding) in mappings(media) {
        if !encoding.eq_ignore_ascii_case("H264/90000") {
            continue;
        }
        let parameters = parameters(media, payload_type);
        if parameter(parameters, "packetization-mode") != Some("1") {
            problem = NO_FRAGMENTS;
            continue;
        }
        // RFC 6184, 8.1: Baseline at level 1 where the parameter is left out; browsers mean 42e01f.
        let profile = parameter(parameters, "profile-level-id").unwrap_or("42e01f");
        let profile = profile.parse::<ProfileLevelId>().ok();
        let played = profile.and_then(|id| Some((id, Profile::of(id)?)));
        let Some((profile, played)) = played else {
            problem = NO_PROFILE;
            continue;
        };
        if played < profiles.least {
            problem = NO_PASSED_PROFILE;
            continue;
        }
        let rank = rank(profile, played, profiles.most);
        if best.as_ref().is_none_or(|(other, _)| rank < *other) {
            let retransmission = retransmission(media, payload_type);
            let codec = Codec {
                payload_type: number,
                profile,
                plays: played,
                level_asymmetry: parameter(parameters, "level-asymmetry-allowed") == Some("1"),
                retransmission,
                feedback: feedback(media, number, retransmission.is_some()),
            };
            best = Some((rank, codec));
        }
    }
    best.map(|(_, codec)| codec).ok_or(problem)
}

/// Names and payload types of the section's codecs.
fn mappings(media: &MediaDescription) -> impl Iterator<Item = (&str, u8, &str)> {
    values(media, "rtpmap").filter_map(|mapping| {
        let (text, encoding) = mapping.split_once(' ')?;
        let number = text.parse().ok().filter(|number| *number < 128)?;
        Some((text, number, encoding.trim()))
    })
}

/// The payload type whose packets repeat those of `payload_type` (RFC 4588, 8.6).
fn retransmission(media: &MediaDescription, payload_type: &str) -> Option<u8> {
    mappings(media)
        .filter(|(.., encoding)| encoding.eq_ignore_ascii_case("rtx/90000"))
        .find(|(text, ..)| parameter(parameters(media, text), "apt") == Some(payload_type))
        .map(|(_, number, _)| number)
}

/// The lower, the better: decoders that play all that may come, then those that fall least short, the nearest profile first,
/// and Constrained Baseline said plainly (ITU-T H.264, A.2; RFC 6184, table 5).
type Rank = (bool, u8, bool);

fn rank(id: ProfileLevelId, played: Profile, most: Profile) -> Rank {
    let distance = (played as u8).abs_diff(most as u8);
    let is_plain_baseline = id.profile == 66 && !id.is_constrained_baseline();
    (played < most, distance, is_plain_baseline)
}

fn parameters<'a>(media: &'a MediaDescription, payload_type: &str) -> &'a str {
    values(media, "fmtp")
        .filter_map(|value| value.split_once(' '))
        .find(|(number, _)| *number == payload_type)
        .map_or("", |(_, parameters)| parameters)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// Without retransmission there is no answer to `nack`: who waits for one would be late to ask for a keyframe.
fn feedback(
    media: &MediaDescription,
    payload_type: u8,
    has_retransmission: bool,
) -> Vec<&'static str> {
    ["nack", "nack pli", "ccm fir"]
        .into_iter()
        .filter(|wanted| has_retransmission || *wanted != "nack")
        .filter(|wanted| offers_feedback(media, payload_type, wanted))
        .collect()
}

fn offers_feedback(media: &MediaDescription, payload_type: u8, wanted: &str) -> bool {
    values(media, "rtcp-fb").any(|value| {
        value.split_once(' ').is_some_and(|(number, kind)| {
            (number == "*" || number.parse() == Ok(payload_type)) && kind.trim() == wanted
        })
    })
}

#[cfg(test)]
#[path = "offer_tests.rs"]
mod tests;
