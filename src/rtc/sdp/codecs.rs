//! The payload types that a section offers, indexed once, and the choice among them (RFC 6184, 8.2.2; RFC 4588, 8.6).

use super::offer::OfferError;
use super::text::Attributes;
use crate::media::{Profile, ProfileLevelId, Profiles};

/// Why no payload type can be answered with.
pub const NO_H264: &str = "the offer has no H.264 for video, the only codec this server sends: \
     offer H264/90000, profile Constrained Baseline (42e01f)";
/// See [`NO_H264`].
pub const NO_FRAGMENTS: &str = "the offer has H.264 only with packetization-mode=0: \
     offer it with packetization-mode=1 as well";
/// See [`NO_H264`].
pub const NO_PROFILE: &str = "the offer has no H.264 profile that can decode Constrained Baseline: \
     offer profile-level-id=42e01f";
/// See [`NO_H264`].
pub const NO_PASSED_PROFILE: &str = "the stream is the camera's own H.264, passed through (encode = \"never\", or a camera that has nothing else), \
     in a profile that the offer does not have: offer profile-level-id=4d001f and 640c1f as well, or configure encode = \"auto\"";

/// Payload types have seven bits (RFC 3550, 5.1).
const PAYLOAD_TYPES: usize = 128;

/// The feedback of `a=rtcp-fb` that matters, each with its bit in [`PayloadType::feedback`].
const FEEDBACK: [&str; 4] = ["nack", "nack pli", "ccm fir", TRANSPORT_CC];
/// Feedback on arrival times, which belongs to a header extension.
const TRANSPORT_CC: &str = "transport-cc";

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
    /// `packetization-mode=1` was offered; otherwise no mode was.
    pub names_mode: bool,
    /// The payload type that retransmissions of it have (RFC 4588).
    pub retransmission: Option<u8>,
    /// The feedback that was offered for it and that we act on, as in `a=rtcp-fb`.
    pub feedback: Vec<&'static str>,
    /// Feedback on arrival times was offered for it.
    pub has_transport_cc: bool,
}

/// What the lines of a section say of one payload type. Of several lines of a kind the first counts.
#[derive(Clone, Copy, Default)]
struct PayloadType<'a> {
    encoding: Option<&'a str>,
    parameters: Option<&'a str>,
    feedback: u8,
}

/// The payload types of a section.
pub struct Codecs<'a> {
    types: [PayloadType<'a>; PAYLOAD_TYPES],
    /// Those that have an encoding, in the offer's order.
    order: Vec<u8>,
    /// The feedback for all of them.
    feedback: u8,
}

impl<'a> Codecs<'a> {
    /// Reads each line once.
    pub fn index(attributes: &Attributes<'a>) -> Self {
        let mut codecs = Self {
            types: [PayloadType::default(); PAYLOAD_TYPES],
            order: Vec::new(),
            feedback: 0,
        };
        for (number, encoding) in numbered(attributes.values("rtpmap")) {
            let payload_type = &mut codecs.types[usize::from(number)];
            if payload_type.encoding.is_none() {
                payload_type.encoding = Some(encoding);
                codecs.order.push(number);
            }
        }
        for (number, parameters) in numbered(attributes.values("fmtp")) {
            let first = &mut codecs.types[usize::from(number)].parameters;
            first.get_or_insert(parameters);
        }
        for value in attributes.values("rtcp-fb") {
            let Some((number, kind)) = value.split_once(' ') else {
                continue;
            };
            if number == "*" {
                codecs.feedback |= bit(kind);
            } else if let Some(number) = payload_type(number) {
                codecs.types[usize::from(number)].feedback |= bit(kind);
            }
        }
        codecs
    }

    /// The H.264 payload type that fits best what the stream may be.
    ///
    /// # Errors
    /// Why none fits.
    pub fn choose(&self, profiles: Profiles) -> Result<Codec, OfferError> {
        let mut problem = NO_H264;
        let mut best: Option<(Rank, CodecCandidate)> = None;
        for &number in &self.order {
            if !self.is(number, "H264") {
                continue;
            }
            match CodecCandidate::read(number, self.parameters(number), profiles.least) {
                Ok(candidate) => {
                    let rank = candidate.rank(profiles.most);
                    if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                        best = Some((rank, candidate));
                    }
                }
                Err(reason) => problem = reason,
            }
        }
        let (_, chosen) = best.ok_or(OfferError::Unusable(problem))?;
        Ok(self.complete(&chosen))
    }

    fn complete(&self, chosen: &CodecCandidate) -> Codec {
        let number = chosen.payload_type;
        let feedback = self.feedback | self.types[usize::from(number)].feedback;
        let retransmission = self.retransmission(number);
        // Without retransmission there is no answer to `nack`: a viewer who waits for one asks late for a keyframe.
        let is_acted_on =
            |kind: &str| kind != TRANSPORT_CC && (kind != "nack" || retransmission.is_some());
        let kinds = FEEDBACK.into_iter();
        Codec {
            payload_type: number,
            profile: chosen.profile,
            plays: chosen.plays,
            level_asymmetry: parameter(self.parameters(number), "level-asymmetry-allowed")
                == Some("1"),
            names_mode: chosen.names_mode,
            retransmission,
            feedback: kinds
                .filter(|kind| feedback & bit(kind) != 0 && is_acted_on(kind))
                .collect(),
            has_transport_cc: feedback & bit(TRANSPORT_CC) != 0,
        }
    }

    /// The payload type whose packets repeat those of `payload_type`.
    fn retransmission(&self, payload_type: u8) -> Option<u8> {
        let repeats = |number: &u8| {
            let repeated = parameter(self.parameters(*number), "apt");
            repeated.and_then(self::payload_type) == Some(payload_type)
        };
        let mut order = self.order.iter().copied();
        order.find(|number| self.is(*number, "rtx") && repeats(number))
    }

    /// Whether a payload type is that of an encoding with the clock of video. Some stacks add a number of channels.
    fn is(&self, number: u8, name: &str) -> bool {
        let encoding = self.types[usize::from(number)].encoding;
        let mut parts = encoding.unwrap_or_default().split('/');
        parts
            .next()
            .is_some_and(|part| part.eq_ignore_ascii_case(name))
            && parts.next() == Some("90000")
    }

    fn parameters(&self, number: u8) -> &'a str {
        let parameters = self.types[usize::from(number)].parameters;
        parameters.unwrap_or_default()
    }
}

/// A payload type that can be answered with.
struct CodecCandidate {
    payload_type: u8,
    profile: ProfileLevelId,
    plays: Profile,
    names_mode: bool,
}

/// The lower, the better: those that name the mode; then decoders that play all that may come; then those that fall least
/// short, the nearest profile first, and Constrained Baseline said plainly (ITU-T H.264, A.2; RFC 6184, table 5).
type Rank = (bool, bool, u8, bool);

impl CodecCandidate {
    fn read(payload_type: u8, parameters: &str, least: Profile) -> Result<Self, &'static str> {
        // RFC 6184, 8.1: the mode is 0 where it is left out, and mode 0 has no fragments. Clients that leave it out mean
        // nothing by it: their depacketizers read fragments. One that writes 0 may mean it.
        let names_mode = match parameter(parameters, "packetization-mode") {
            Some("1") => true,
            None => false,
            Some(_) => return Err(NO_FRAGMENTS),
        };
        // RFC 6184, 8.1: Baseline at level 1 where the parameter is left out; browsers mean 42e01f.
        let profile = parameter(parameters, "profile-level-id").unwrap_or("42e01f");
        let profile: ProfileLevelId = profile.parse().map_err(|_| NO_PROFILE)?;
        let plays = Profile::of(profile).ok_or(NO_PROFILE)?;
        if plays < least {
            return Err(NO_PASSED_PROFILE);
        }
        Ok(Self {
            payload_type,
            profile,
            plays,
            names_mode,
        })
    }

    fn rank(&self, most: Profile) -> Rank {
        let distance = (self.plays as u8).abs_diff(most as u8);
        let is_plain_baseline =
            self.profile.profile == 66 && !self.profile.is_constrained_baseline();
        (
            !self.names_mode,
            self.plays < most,
            distance,
            is_plain_baseline,
        )
    }
}

/// Of lines that begin with a payload type, that and the rest.
fn numbered<'a>(lines: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (u8, &'a str)> {
    lines.filter_map(|line| {
        let (number, rest) = line.split_once(' ')?;
        Some((payload_type(number)?, rest.trim()))
    })
}

fn payload_type(text: &str) -> Option<u8> {
    let number = text.parse().ok();
    number.filter(|number| usize::from(*number) < PAYLOAD_TYPES)
}

fn bit(kind: &str) -> u8 {
    let at = FEEDBACK.iter().position(|known| *known == kind.trim());
    at.map_or(0, |at| 1 << at)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}
