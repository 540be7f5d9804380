//! Reading a viewer's SDP offer (RFC 8866, RFC 9429): which section is served, and how.

pub use super::codecs::Codec;
use super::codecs::Codecs;
use super::sdpfrag::{is_password, is_ufrag};
use super::text::{self, Attributes, Description};
use crate::media::Profiles;
use crate::rtc::wire::credentials::Credentials;
use crate::rtc::wire::extensions::Extensions;
use std::collections::HashMap;

/// Why an offer can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// It is not SDP, or some value in it can't be.
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

    fn malformed(problem: &str) -> Self {
        Self::Malformed(problem.to_owned())
    }
}

const NO_VIDEO: &str = "the offer has no video section (m=video) to receive the stream with: \
     add a recvonly video transceiver";
const NOT_RECEIVING: &str = "the offer's video section does not receive: \
     its direction must be recvonly or sendrecv";
const NO_ICE: &str = "the offer has no ICE credentials (a=ice-ufrag and a=ice-pwd)";
const NO_DTLS: &str = "the offer has no certificate fingerprint (a=fingerprint): \
     only DTLS-SRTP is served";
const NO_SHA_256: &str = "the offer has no certificate fingerprint by sha-256, the only hash function that is checked here: \
     offer a=fingerprint:sha-256";
const NO_MUX: &str = "the offer does not multiplex RTCP with RTP (a=rtcp-mux)";

const BAD_UFRAG: &str = "a=ice-ufrag is not 4 to 256 letters, digits, + and /";
const BAD_PASSWORD: &str = "a=ice-pwd is not 22 to 256 letters, digits, + and /";
const BAD_FINGERPRINT: &str = "a=fingerprint:sha-256 is not 32 hexadecimal bytes joined by colons";
const BAD_MID: &str = "an a=mid is longer than 256 bytes";

/// Most bytes of a section's name, which a session keeps.
const MAX_MID: usize = 256;

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
    /// The viewer's credentials in its first ICE session.
    pub ice: Credentials,
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
    /// Reads an offer and decides what to answer; `profiles` are those of the stream's video. The work is linear in the
    /// offer's length.
    ///
    /// # Errors
    /// When it is not SDP, or asks for nothing that is served here.
    pub fn parse(text: &str, profiles: Profiles) -> Result<Self, OfferError> {
        let description = Description::parse(text).map_err(OfferError::malformed)?;
        let sections = description.sections.iter().map(section);
        let sections: Vec<_> = sections.collect::<Result<_, _>>()?;
        let video = video(&description, profiles)?;
        let bundle = bundle(&description, &video);
        Ok(Self {
            sections,
            video,
            bundle,
        })
    }
}

fn section(section: &text::Section<'_>) -> Result<Section, OfferError> {
    let of_format = |key| {
        let mut values = section.attributes.values(key);
        let found = values.find(|value| value.split(' ').next() == Some(section.format));
        found.map(str::to_owned)
    };
    let mid = mid(section);
    if mid.is_some_and(|mid| mid.len() > MAX_MID) {
        return Err(OfferError::malformed(BAD_MID));
    }
    Ok(Section {
        media: section.media.to_owned(),
        protocol: section.protocol.to_owned(),
        format: section.format.to_owned(),
        mapping: of_format("rtpmap"),
        parameters: of_format("fmtp"),
        mid: mid.map(str::to_owned),
        rtcp_mux: section.attributes.has("rtcp-mux"),
    })
}

fn mid<'a>(section: &text::Section<'a>) -> Option<&'a str> {
    let mid = section.attributes.value("mid");
    mid.filter(|mid| !mid.is_empty())
}

/// The sections of the answer's BUNDLE group: the video, and before it the section whose transport the offer wants used
/// for all (RFC 9143, 7.3.1). To reject that one would pull the transport from under the video: Chromium takes no
/// such answer. A data channel can't be kept and left unused, as other media can.
fn bundle(description: &Description<'_>, video: &Video) -> Vec<usize> {
    let sections = &description.sections;
    let mut by_mid = HashMap::new();
    for (index, section) in sections.iter().enumerate() {
        if let Some(mid) = mid(section) {
            by_mid.entry(mid).or_insert(index);
        }
    }
    let groups = description.session.values("group").filter_map(|group| {
        let mut words = group.split_ascii_whitespace();
        (words.next()? == "BUNDLE").then_some(words)
    });
    let has_video = |words: &std::str::SplitAsciiWhitespace<'_>| {
        let mut words = words.clone();
        words.any(|mid| mid == video.mid)
    };
    let Some(mids) = groups.into_iter().find(has_video) else {
        return Vec::new();
    };
    let mut indices = mids.filter_map(|mid| by_mid.get(mid).copied());
    let tagged = indices.find(|index| sections[*index].port != 0);
    let can_be_idle = |index: &usize| sections[*index].media != "application";
    let tagged = tagged.filter(can_be_idle).unwrap_or(video.index);
    let mut bundle = vec![tagged, video.index];
    bundle.dedup();
    bundle
}

/// The first video section that we can serve; else what is wrong with the best of the others.
fn video(description: &Description<'_>, profiles: Profiles) -> Result<Video, OfferError> {
    let session = &description.session;
    let sections = description.sections.iter();
    // Transport attributes stand in the section, for the whole session, or, in a bundle, in another section.
    let elsewhere = sections
        .clone()
        .fold(Transport::of(session), |transport, section| {
            transport.or(&Transport::of(&section.attributes))
        });
    let mut problem = OfferError::Unusable(NO_VIDEO);
    for (index, section) in sections.enumerate() {
        // Port 0 rejects a section, except in a bundle, where `bundle-only` says that it is meant.
        let is_off = section.port == 0 && !section.attributes.has("bundle-only");
        if section.media != "video" || is_off {
            continue;
        }
        match section_video(session, index, section, &elsewhere, profiles) {
            Ok(video) => return Ok(video),
            Err(reason) => problem = reason,
        }
    }
    Err(problem)
}

fn section_video(
    session: &Attributes<'_>,
    index: usize,
    section: &text::Section<'_>,
    elsewhere: &Transport<'_>,
    profiles: Profiles,
) -> Result<Video, OfferError> {
    let own = &section.attributes;
    let does_not_receive = |key| own.has(key) || session.has(key) && !has_direction(own);
    if does_not_receive("sendonly") || does_not_receive("inactive") {
        return Err(OfferError::Unusable(NOT_RECEIVING));
    }
    let codec = Codecs::index(own).choose(profiles)?;
    if !own.has("rtcp-mux") && !session.has("rtcp-mux") {
        return Err(OfferError::Unusable(NO_MUX));
    }
    let transport = Transport::of(own).or(elsewhere);
    let (extensions, extmaps) = Extensions::choose(own.values("extmap"), codec.has_transport_cc);
    Ok(Video {
        index,
        mid: mid(section).map_or_else(|| index.to_string(), str::to_owned),
        codec,
        ice: transport.ice()?,
        fingerprint: transport.fingerprint()?,
        setup: match transport.setup {
            Some("passive") => Setup::Active,
            _ => Setup::Passive,
        },
        reduced_size_rtcp: own.has("rtcp-rsize"),
        extensions,
        extmaps,
    })
}

fn has_direction(attributes: &Attributes<'_>) -> bool {
    ["sendrecv", "recvonly", "sendonly", "inactive"]
        .iter()
        .any(|key| attributes.has(key))
}

/// What a section says of its transport.
struct Transport<'a> {
    ufrag: Option<&'a str>,
    password: Option<&'a str>,
    setup: Option<&'a str>,
    /// The first one by sha-256; if there is none, the first.
    fingerprint: Option<&'a str>,
}

impl<'a> Transport<'a> {
    fn of(attributes: &Attributes<'a>) -> Self {
        let fingerprints = attributes.values("fingerprint");
        Self {
            ufrag: attributes.value("ice-ufrag"),
            password: attributes.value("ice-pwd"),
            setup: attributes.value("setup"),
            fingerprint: fingerprints.reduce(better),
        }
    }

    /// With what `other` has besides.
    fn or(self, other: &Self) -> Self {
        let fingerprints = [self.fingerprint, other.fingerprint].into_iter();
        Self {
            ufrag: self.ufrag.or(other.ufrag),
            password: self.password.or(other.password),
            setup: self.setup.or(other.setup),
            fingerprint: fingerprints.flatten().reduce(better),
        }
    }

    fn ice(&self) -> Result<Credentials, OfferError> {
        let ice = self.ufrag.zip(self.password);
        match ice.ok_or(OfferError::Unusable(NO_ICE))? {
            (ufrag, _) if !is_ufrag(ufrag) => Err(OfferError::malformed(BAD_UFRAG)),
            (_, password) if !is_password(password) => Err(OfferError::malformed(BAD_PASSWORD)),
            (ufrag, password) => Ok(Credentials::new(ufrag, password)),
        }
    }

    /// As the core takes it: it knows sha-256, by that spelling, and no other hash function. A viewer may list others too, of the
    /// same certificate (RFC 8122, 5).
    fn fingerprint(&self) -> Result<String, OfferError> {
        let fingerprint = self.fingerprint.ok_or(OfferError::Unusable(NO_DTLS))?;
        let value = sha_256(fingerprint).ok_or(OfferError::Unusable(NO_SHA_256))?;
        let is_byte = |byte: &str| byte.len() == 2 && byte.bytes().all(|b| b.is_ascii_hexdigit());
        // Three characters for each byte, but for the last colon.
        if value.len() == 32 * 3 - 1 && value.split(':').all(is_byte) {
            Ok(format!("sha-256 {value}"))
        } else {
            Err(OfferError::malformed(BAD_FINGERPRINT))
        }
    }
}

/// The value of a fingerprint by sha-256. Names of hash functions are the same in capitals (RFC 8122, 5).
fn sha_256(fingerprint: &str) -> Option<&str> {
    let (name, value) = fingerprint.split_once(' ')?;
    name.eq_ignore_ascii_case("sha-256").then(|| value.trim())
}

fn better<'a>(first: &'a str, second: &'a str) -> &'a str {
    if sha_256(first).is_none() && sha_256(second).is_some() {
        second
    } else {
        first
    }
}

#[cfg(test)]
mod tests;
