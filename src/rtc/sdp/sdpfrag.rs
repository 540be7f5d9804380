//! ICE fragments (`application/trickle-ice-sdpfrag`, RFC 8840, 9): what a viewer sends of its ICE session after the
//! offer, and the answer to a restart.

use super::answer::{Addresses, Lines, candidates, ice};
use super::offer::Offer;
use crate::rtc::wire::credentials::Credentials;
use std::ops::RangeInclusive;

/// Lengths of user name fragments and passwords (RFC 8839, 5.4).
const UFRAG: RangeInclusive<usize> = 4..=256;
const PASSWORD: RangeInclusive<usize> = 22..=256;

/// Whether a text can be a user name fragment (RFC 8839, 5.4).
pub fn is_ufrag(text: &str) -> bool {
    is_of(text, &UFRAG)
}

/// Whether a text can be a password (RFC 8839, 5.4).
pub fn is_password(text: &str) -> bool {
    is_of(text, &PASSWORD)
}

const NOT_LINES: &str = "the fragment is not SDP: each line must be of the form a=…";
const NO_ICE: &str = "the fragment has neither candidates nor ICE credentials";
const HALF: &str = "the fragment has only one of a=ice-ufrag and a=ice-pwd";
const BAD_UFRAG: &str = "the fragment's a=ice-ufrag is not 4 to 256 letters, digits, + and /";
const BAD_PASSWORD: &str = "the fragment's a=ice-pwd is not 22 to 256 letters, digits, + and /";

/// A viewer's fragment.
///
/// Its candidates are read over, as unusable ones must be (draft-ietf-wish-whep-03, 4.4.2): a lite agent learns where
/// a viewer is from its checks. So it is with the end of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// The credentials of the ICE session that it is about; none if it leaves that to `If-Match`.
    pub ice: Option<Credentials>,
}

impl Fragment {
    /// Reads a fragment.
    ///
    /// # Errors
    /// A sentence that says why it is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut lines = text.lines().filter(|line| !line.is_empty());
        let is_line = |line: &str| {
            let bytes = line.as_bytes();
            bytes[0].is_ascii_lowercase() && bytes.get(1) == Some(&b'=')
        };
        if text.trim().is_empty() || !lines.clone().all(is_line) {
            return Err(NOT_LINES);
        }
        // All sections share one transport, so the first value is that of all.
        let value = |key| {
            let mut values = lines.clone().filter_map(|line| line.strip_prefix(key));
            values.next().map(str::trim)
        };
        let (ufrag, password) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
        let is_about_candidates =
            |line: &str| line.starts_with("a=candidate:") || line == "a=end-of-candidates";
        let ice = match (ufrag, password) {
            (Some(ufrag), _) if !is_ufrag(ufrag) => return Err(BAD_UFRAG),
            (_, Some(password)) if !is_password(password) => return Err(BAD_PASSWORD),
            (Some(ufrag), Some(password)) => Some(Credentials::new(ufrag, password)),
            (None, None) if lines.any(is_about_candidates) => None,
            (None, None) => return Err(NO_ICE),
            _ => return Err(HALF),
        };
        Ok(Self { ice })
    }
}

fn is_of(text: &str, lengths: &RangeInclusive<usize>) -> bool {
    let is_ice = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    lengths.contains(&text.len()) && text.chars().all(is_ice)
}

/// What stays the same in the fragments of a session.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The answer's group.
    group: Vec<String>,
    /// The section whose transport all use, as `m=` and `a=mid` name it.
    media: String,
    mid: String,
}

impl Frame {
    /// That of the session which an offer makes.
    pub fn new(offer: &Offer) -> Self {
        let section = |index: usize| offer.sections.get(index);
        let mid = |index: &usize| section(*index)?.mid.clone();
        let tagged = offer.bundle.first().copied().unwrap_or(offer.video.index);
        let named = section(tagged);
        Self {
            group: offer.bundle.iter().filter_map(mid).collect(),
            media: named.map_or_else(String::new, |section| {
                let (media, protocol) = (&section.media, &section.protocol);
                format!("{media} 9 {protocol} {}", section.format)
            }),
            mid: mid(&tagged).unwrap_or_else(|| offer.video.mid.clone()),
        }
    }

    /// The answer to a restart.
    pub fn answer(&self, local: &Credentials, addresses: &Addresses) -> String {
        let mut sdp = Lines::default();
        // As in the answer to the offer (4.4.3).
        ice(&mut sdp);
        if !self.group.is_empty() {
            sdp.line(format_args!("a=group:BUNDLE {}", self.group.join(" ")));
        }
        sdp.line(format_args!("m={}", self.media));
        sdp.line(format_args!("a=mid:{}", self.mid));
        sdp.line(format_args!("a=ice-ufrag:{}", local.ufrag));
        sdp.line(format_args!("a=ice-pwd:{}", local.password.as_str()));
        candidates(&mut sdp, addresses);
        sdp.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ICE: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";

    #[test]
    fn fragments_of_every_kind_are_read() {
        let expected = Some(Credentials::new(
            "EsAw".to_owned(),
            "P2uYro0UCOQ4zxjKXaWCBui1".to_owned(),
        ));
        let candidate = "a=candidate:1 1 tcp 1518214911 198.51.100.2 9 typ host tcptype active\r\n";
        let odd = "a=candidate:x\r\n";
        let whole = format!(
            "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
             a=mid:0\r\n{ICE}{candidate}a=end-of-candidates\r\n"
        );
        for (text, ice) in [
            (whole.clone(), expected.clone()),
            (whole.replace("\r\n", "\n"), expected.clone()),
            (ICE.to_owned(), expected.clone()),
            (ICE.to_owned() + odd, expected),
            (candidate.to_owned(), None),
            ("a=end-of-candidates\r\n".to_owned(), None),
        ] {
            let fragment = Fragment::parse(&text);
            assert_eq!(fragment, Ok(Fragment { ice }), "{text}");
        }
    }

    #[test]
    fn what_is_no_fragment_is_told_why() {
        let ufrag = "a=ice-ufrag:EsAw\r\n";
        for (text, problem) in [
            (String::new(), NOT_LINES),
            ("\r\n".to_owned(), NOT_LINES),
            ("hello".to_owned(), NOT_LINES),
            (format!("{ICE}hello"), NOT_LINES),
            ("a=mid:0\r\n".to_owned(), NO_ICE),
            (ufrag.to_owned(), HALF),
            (ICE.replace(ufrag, ""), HALF),
            (ICE.replace("EsAw", "Es"), BAD_UFRAG),
            (ICE.replace("EsAw", "Es:w"), BAD_UFRAG),
            (ICE.replace("BCui1", "").replace("P2uY", ""), BAD_PASSWORD),
        ] {
            assert_eq!(Fragment::parse(&text), Err(problem), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(a=(ice-ufrag|ice-pwd|candidate|mid):|m=|[ -~é]{0,6}|\r?\n)*") {
            let _ = Fragment::parse(&text);
        }
    }
}
