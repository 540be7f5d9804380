//! What a request says of itself: the proof that it carries, and whether a page of another site sent it.
//!
//! No right follows from the absence of a header, since anybody on the way may have taken it away; a proof is what gives one. Values
//! are bytes as they came.

use super::{Host, Policy, Refusal, cookie};
use std::net::IpAddr;

/// Among allowed origins: every one.
pub const ANY: &str = "*";

/// The headers that a decision hangs on. Each may be there once, in printable ASCII; nobody honest sends another.
const DECISIVE: [&str; 6] = [
    "host",
    "origin",
    "authorization",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
];

/// Cookies that are looked at: one for each link that was opened. The others are those of other programs on the same host.
const MOST_COOKIES: usize = 16;

/// The parts of a request that matter here.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub is_tls: bool,
    /// Whether its method changes nothing: GET or HEAD (RFC 9110, 9.2.1).
    pub is_safe: bool,
    /// Whether it is for a page, which people open from wherever they are.
    pub is_for_page: bool,
    /// What follows the `?` of its target.
    pub query: Option<&'a str>,
    /// Names in lower case, and values.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// What of the name of our cookies names us; see [`cookie::of_daemon`].
    pub cookie: &'a str,
}

impl<'a> Request<'a> {
    /// The values of a header, named in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let headers = self.headers.iter();
        headers.filter_map(move |(key, value)| (*key == name).then_some(*value))
    }

    /// The value of a header that is there once, as text.
    fn text(&self, name: &str) -> Option<&'a str> {
        let mut values = self.values(name);
        let first = values.next().filter(|value| is_text(value))?;
        let is_alone = values.next().is_none();
        std::str::from_utf8(first).ok().filter(|_| is_alone)
    }

    /// The first header that a decision hangs on and that nobody honest sends like that.
    pub fn malformed(&self) -> Option<&'static str> {
        let is_wrong =
            |name: &&&str| self.values(name).next().is_some() && self.text(name).is_none();
        DECISIVE.iter().find(is_wrong).copied()
    }

    /// The proof in the `Authorization` header (RFC 6750, 2.1) or in the URL: the sender knows it. A cookie is no such proof, since
    /// browsers add it to any page's request.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] for more than one (RFC 6750, 2).
    pub fn presented(&self) -> Result<Option<&'a str>, Refusal> {
        let bearer = self.text("authorization").and_then(|value| {
            let (scheme, token) = value.trim().split_once(' ')?;
            // Other schemes are a proxy's affair.
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        let mut all = bearer.into_iter().chain(self.in_query());
        let first = all.next();
        match all.next() {
            None => Ok(first),
            Some(_) => Err(Refusal::Ambiguous),
        }
    }

    /// The tokens in the URL.
    fn in_query(&self) -> impl Iterator<Item = &'a str> {
        let parameters = self.query.unwrap_or_default().split('&');
        parameters.filter_map(|parameter| parameter.strip_prefix("token="))
    }

    /// The values of our cookies, which browsers add to any page's request.
    pub fn cookies(&self) -> impl Iterator<Item = &'a str> {
        let (own, is_secure) = (self.cookie, self.is_secure());
        let pairs = self
            .values("cookie")
            .flat_map(|value| value.split(|byte| *byte == b';'));
        let ours = pairs.filter_map(move |pair| {
            // Another program's cookie may be anything.
            let (name, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
            cookie::is_own(name, own, is_secure).then_some(value)
        });
        ours.take(MOST_COOKIES)
    }

    /// How the request came here. A proxy says that the browser speaks HTTPS; a client that lies about it gets a stricter cookie.
    pub fn way(&self) -> cookie::Way {
        cookie::Way {
            is_secure: self.is_secure(),
            is_framed: self.text("sec-fetch-dest") == Some("iframe")
                && self.text("sec-fetch-site") == Some("cross-site"),
        }
    }

    fn is_secure(&self) -> bool {
        let says = |name, words: &[u8]| {
            let mut values = self.values(name);
            values.any(|value| contains(value, words))
        };
        // RFC 7239, 5.4, with and without quotes.
        self.is_tls
            || says("x-forwarded-proto", b"https")
            || says("forwarded", b"proto=https")
            || says("forwarded", b"proto=\"https")
    }

    /// Whether it is for a host that is ours: an IP address, `localhost`, or one of `names`. After DNS rebinding it is the name of
    /// another's site.
    pub fn is_for_us(&self, names: &[String]) -> bool {
        let host = self.text("host").and_then(Host::parse);
        host.is_some_and(|host| {
            let mut names = names.iter();
            host.is_address() || host.is("localhost") || names.any(|name| host.is(name))
        })
    }

    /// Whether a page of another site sent it, one whose origin the policy does not name; `*` there counts if `takes_any`. Going
    /// to one of our pages from elsewhere is not meant: that shows the other site nothing.
    pub fn is_foreign(&self, policy: &Policy, takes_any: bool) -> bool {
        let origin = self.text("origin");
        let is_allowed = |origin: &str| {
            let mut origins = policy.origins.iter();
            origins.any(|one| (takes_any && one == ANY) || one.eq_ignore_ascii_case(origin))
        };
        if origin.is_some_and(is_allowed) {
            return false;
        }
        // Fetch Metadata Request Headers: pages can't set them. Browsers leave them out where they trust neither TLS nor
        // loopback.
        match self.text("sec-fetch-site") {
            Some("same-origin" | "none") => false,
            Some(_) => !self.opens_page(policy.may_be_framed),
            None => origin.is_some_and(|origin| !self.is_own(origin)),
        }
    }

    /// Whether a browser goes to one of our pages with it, in a tab or, if pages may be framed, in a frame.
    fn opens_page(&self, may_be_framed: bool) -> bool {
        let is_shown = match self.text("sec-fetch-dest") {
            Some("document") => true,
            Some("iframe") => may_be_framed,
            _ => false,
        };
        let is_navigation = self.text("sec-fetch-mode") == Some("navigate");
        self.is_safe && self.is_for_page && is_navigation && is_shown
    }

    /// Whether an origin (RFC 6454) is the one that the request is for. Its scheme is not compared: behind a proxy that
    /// does TLS it is not ours.
    fn is_own(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let default = if scheme == "https" { ":443" } else { ":80" };
        let plain = |authority: &str| {
            let authority = authority.trim().to_ascii_lowercase();
            match authority.strip_suffix(default) {
                Some(host) => host.to_owned(),
                None => authority,
            }
        };
        // A page can't add the second one without asking first, and it is told no.
        let own = ["host", "x-forwarded-host"].map(|name| self.text(name));
        own.into_iter()
            .flatten()
            .any(|host| plain(host) == plain(authority))
    }
}

/// Printable ASCII, or nothing.
fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Without regard to case.
fn contains(value: &[u8], words: &[u8]) -> bool {
    let mut windows = value.windows(words.len());
    windows.any(|window| window.eq_ignore_ascii_case(words))
}

#[cfg(test)]
mod tests;
