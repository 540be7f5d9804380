//! The cookie that stands for a proof: its name, and how long and for whom a browser keeps it.
//!
//! Browsers share a host's cookies among all its ports and paths. So a cookie's name names the daemon, and what the proof is good
//! for: a link never replaces the cookie of another link for something else, nor that of the token.

use super::{Basis, Grant, Now, Streams};
use ring::digest;
use std::fmt::Write;

/// The longest that browsers keep a cookie, in seconds: 400 days (draft-ietf-httpbis-rfc6265bis, 5.5).
const LONGEST: u64 = 400 * 24 * 3600;
/// Has browsers refuse a cookie that plain HTTP or another host sets (draft-ietf-httpbis-rfc6265bis, 4.1.3.2).
const PREFIX: &str = "__Host-";
/// Between the daemon's part of a name and that of the proof.
const SEPARATOR: char = '.';

/// How a request reached the daemon, as far as it matters for a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Whether the browser speaks HTTPS, to the daemon or to a proxy before it.
    pub is_secure: bool,
    /// Whether the page is shown in a frame of another site.
    pub is_framed: bool,
}

/// What of a cookie's name names the daemon with that identity.
pub fn of_daemon(id: &str) -> String {
    format!("fanlight-{id}")
}

/// Whether a cookie of that name is one of the daemon whose part of the name is `own`.
pub fn is_own(name: &str, own: &str, is_secure: bool) -> bool {
    let bare = match is_secure {
        true => name.strip_prefix(PREFIX),
        false => Some(name),
    };
    let rest = bare.and_then(|bare| bare.strip_prefix(own));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
}

/// The value of `Set-Cookie` for a token that was granted that. Scripts can't read the cookie. Other sites' requests do not carry it,
/// but for links that lead here; in a frame of another site only requests of that frame carry it.
pub fn set(own: &str, token: &str, grant: &Grant, now: Now, way: Way) -> String {
    let left = grant
        .expires
        .map(|expires| expires.saturating_sub(now.unix));
    let age = left.unwrap_or(LONGEST).min(LONGEST);
    let name = name(own, grant);
    let (prefix, attributes) = match (way.is_secure, way.is_framed) {
        (true, true) => (PREFIX, "SameSite=None; Secure; Partitioned"),
        (true, false) => (PREFIX, "SameSite=Lax; Secure"),
        (false, _) => ("", "SameSite=Lax"),
    };
    format!("{prefix}{name}={token}; Path=/; Max-Age={age}; HttpOnly; {attributes}")
}

/// One name for each set of scopes and streams. The daemon's token alone has the bare one, since it outlasts every link.
fn name(own: &str, grant: &Grant) -> String {
    if matches!(grant.basis, Basis::Token(_)) {
        return own.to_owned();
    }
    let Streams::Only(streams) = &grant.streams else {
        return format!("{own}{SEPARATOR}{}", grant.scopes.letters());
    };
    let mut streams = streams.clone();
    streams.sort();
    let digest = digest::digest(&digest::SHA256, streams.join(" ").as_bytes());
    let mut name = format!("{own}{SEPARATOR}{}{SEPARATOR}", grant.scopes.letters());
    for byte in &digest.as_ref()[..4] {
        // Writing to a `String` can't fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::super::{Scope, Token};
    use super::*;
    use std::time::Instant;

    const OWN: &str = "fanlight-0123";
    const LAX: Way = Way {
        is_secure: false,
        is_framed: false,
    };

    fn link(streams: &[&str], scopes: &[Scope]) -> Grant {
        Grant {
            scopes: scopes.iter().copied().collect(),
            streams: Streams::Only(streams.iter().map(|&name| name.to_owned()).collect()),
            expires: Some(1060),
            basis: Basis::Nothing,
            besides: Vec::new(),
        }
    }

    fn of_token() -> Grant {
        Grant::all(Basis::Token(Token::generate()))
    }

    fn set_by(grant: &Grant, way: Way) -> String {
        let now = Now {
            unix: 1000,
            instant: Instant::now(),
        };
        set(OWN, "T", grant, now, way)
    }

    fn name_of(grant: &Grant) -> String {
        let set = set_by(grant, LAX);
        set.split('=').next().unwrap().to_owned()
    }

    #[test]
    fn each_thing_that_a_proof_is_good_for_has_a_cookie_of_its_own() {
        let token = name_of(&of_token());
        let cam = name_of(&link(&["cam"], &[Scope::View]));
        let names = [
            token.clone(),
            // A link for everything.
            name_of(&Grant::everything()),
            cam.clone(),
            name_of(&link(&["door"], &[Scope::View])),
            name_of(&link(&["cam"], &[Scope::View, Scope::Admin])),
            name_of(&Grant {
                streams: Streams::All,
                ..link(&[], &[Scope::View])
            }),
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(is_own(name, OWN, false), "{name}");
            assert!(!names[..at].contains(name), "{names:?}");
        }
        assert_eq!(token, OWN);
        let both = |a, b| name_of(&link(&[a, b], &[Scope::View]));
        assert_eq!(both("cam", "door"), both("door", "cam"));
    }

    #[test]
    fn another_daemons_cookie_is_not_ours_and_https_takes_its_own_only() {
        for name in [
            "fanlight-01234",
            "fanlight-012",
            "fanlight-8080",
            "x",
            "",
            ".",
        ] {
            assert!(!is_own(name, OWN, false), "{name}");
        }
        assert!(is_own("__Host-fanlight-0123", OWN, true));
        assert!(!is_own("fanlight-0123", OWN, true));
        assert!(!is_own("__Host-fanlight-0123", OWN, false));
    }

    #[test]
    fn a_cookie_lasts_as_long_as_its_proof_and_is_as_strict_as_the_way_allows() {
        let forever = set_by(&of_token(), LAX);
        assert_eq!(
            forever,
            "fanlight-0123=T; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"
        );
        let cam = link(&["cam"], &[Scope::View]);
        assert!(set_by(&cam, LAX).contains("; Max-Age=60; "));
        let secure = Way {
            is_secure: true,
            ..LAX
        };
        let lax = set_by(&cam, secure);
        assert!(
            lax.starts_with("__Host-fanlight-0123.v.") && lax.ends_with("; SameSite=Lax; Secure")
        );
        let framed = Way {
            is_framed: true,
            ..secure
        };
        assert!(set_by(&cam, framed).ends_with("; SameSite=None; Secure; Partitioned"));
        let plain = Way {
            is_secure: false,
            ..framed
        };
        assert!(
            set_by(&cam, plain).ends_with("; SameSite=Lax"),
            "browsers refuse the other"
        );
    }
}
