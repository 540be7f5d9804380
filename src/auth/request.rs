//! What a request says of itself: the proof that it carries, whether it comes from this machine, and whether a page of
//! another site sent it.

use super::Refusal;
use std::net::IpAddr;

/// Headers that a proxy adds: behind one, the connection's address says nothing of who asks.
const ADDED_BY_PROXIES: [&str; 6] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
];

/// Among allowed origins: every one.
pub const ANY: &str = "*";

/// The parts of a request that matter here.
#[derive(Debug, Clone, Default)]
pub struct Request<'a> {
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// Our end of it.
    pub reached: Option<IpAddr>,
    /// Whether it is an HTTP/1.0 request.
    pub is_old: bool,
    /// Whether its method changes nothing: GET or HEAD (RFC 9110, 9.2.1).
    pub is_safe: bool,
    /// What follows the `?` of its target.
    pub query: Option<&'a str>,
    /// Names in lower case, and values; those that are not ASCII are left out.
    pub headers: Vec<(&'a str, &'a str)>,
    /// The name of our cookie.
    pub cookie: &'a str,
}

/// The proof in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// In the `Authorization` header (RFC 6750, 2.1) or in the URL: whoever made the request knows it.
    Deliberately(&'a str),
    /// In the cookie, which browsers add to any page's request.
    Cookie(&'a str),
}

/// The name of the cookie of a daemon at that port: cookies are the same for all ports of a host. With TLS the prefix has
/// browsers refuse one that was set without (draft-ietf-httpbis-rfc6265bis, 4.1.3.2).
pub fn cookie_name(port: u16, is_secure: bool) -> String {
    let prefix = if is_secure { "__Host-" } else { "" };
    format!("{prefix}fanlight-{port}")
}

impl<'a> Request<'a> {
    /// The values of a header, named in lower case.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let headers = self.headers.iter();
        headers.filter_map(move |(key, value)| (*key == name).then_some(*value))
    }

    /// A header that may be there once; `None` if it is there twice, which nobody honest sends.
    fn single(&self, name: &str) -> Option<&'a str> {
        let mut values = self.values(name);
        let first = values.next()?;
        values.next().is_none().then_some(first)
    }

    /// The proof, if there is one.
    ///
    /// # Errors
    /// [`Refusal::Ambiguous`] for more than one (RFC 6750, 2).
    pub fn presented(&self) -> Result<Option<Presented<'a>>, Refusal> {
        let bearer = self.values("authorization").filter_map(|value| {
            let (scheme, token) = value.trim().split_once(' ')?;
            // Other schemes are a proxy's affair.
            scheme
                .eq_ignore_ascii_case("bearer")
                .then_some(token.trim())
        });
        let mut deliberate = bearer.chain(self.in_query());
        let first = deliberate.next();
        if deliberate.next().is_some() {
            return Err(Refusal::Ambiguous);
        }
        let cookie = || self.in_cookies().map(Presented::Cookie);
        Ok(first.map(Presented::Deliberately).or_else(cookie))
    }

    /// The token in the URL.
    pub fn in_query(&self) -> Option<&'a str> {
        let mut parameters = self.query?.split('&');
        parameters.find_map(|parameter| parameter.strip_prefix("token="))
    }

    fn in_cookies(&self) -> Option<&'a str> {
        let mut pairs = self.values("cookie").flat_map(|value| value.split(';'));
        pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        })
    }

    /// Whether it was sent on this machine, by somebody who means this machine:
    ///
    /// - both ends of the connection are loopback addresses,
    /// - no proxy on this machine has passed it on: none has added a header, and it is HTTP/1.1, which the commonest proxy
    ///   does not speak unless told, and
    /// - `Host` names this machine: with DNS rebinding it is the name of the attacker's site, and with a port that is
    ///   forwarded from elsewhere it is another address.
    pub fn is_local(&self) -> bool {
        let is_loopback = |ip: Option<IpAddr>| ip.is_some_and(|ip| ip.to_canonical().is_loopback());
        let is_passed_on = self
            .headers
            .iter()
            .any(|(name, _)| name.starts_with("x-forwarded") || ADDED_BY_PROXIES.contains(name));
        is_loopback(self.peer)
            && is_loopback(self.reached)
            && !self.is_old
            && !is_passed_on
            && self.single("host").is_some_and(names_this_machine)
    }

    /// Whether a page of another site sent it, one that is not among `allowed`. Going to one of our pages from elsewhere is
    /// not meant: that shows the other site nothing.
    pub fn is_foreign(&self, allowed: &[String]) -> bool {
        let origin = self.values("origin").next();
        let is_allowed = |origin: &str| {
            allowed
                .iter()
                .any(|one| one == ANY || one.eq_ignore_ascii_case(origin))
        };
        if origin.is_some_and(is_allowed) {
            return false;
        }
        // Fetch Metadata Request Headers: pages can't set them. Browsers leave them out where they trust neither TLS nor
        // loopback.
        match self.single("sec-fetch-site") {
            Some("same-origin" | "none") => false,
            Some(_) => !(self.is_safe && self.single("sec-fetch-mode") == Some("navigate")),
            None => origin.is_some_and(|origin| !self.is_own(origin)),
        }
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
        let mut own = self.values("host").chain(self.values("x-forwarded-host"));
        own.any(|host| plain(host) == plain(authority))
    }
}

/// Whether a `Host` is a loopback address or `localhost`, which browsers look up nowhere else (RFC 6761, 6.3).
fn names_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn request<'a>(headers: &[(&'a str, &'a str)]) -> Request<'a> {
        Request {
            peer: LOOPBACK,
            reached: LOOPBACK,
            headers: headers.to_vec(),
            cookie: "fanlight-8080",
            ..Request::default()
        }
    }

    #[test]
    fn a_proof_is_found_in_header_url_and_cookie() {
        use Presented::{Cookie, Deliberately};
        let bearer = ("authorization", "bearer abc");
        let basic = ("authorization", "Basic YTpi");
        let cookies = ("cookie", "a=b; fanlight-8080=def; fanlight-80=no");
        let others = ("cookie", "other-8080=x; ; =");
        let query = Some("x=1&token=ghi");
        let abc = Ok(Some(Deliberately("abc")));
        for (headers, query, presented) in [
            (&[] as &[_], None, Ok(None)),
            (&[bearer], None, abc),
            (&[bearer, cookies], None, abc),
            (&[cookies], None, Ok(Some(Cookie("def")))),
            (&[cookies], query, Ok(Some(Deliberately("ghi")))),
            (&[bearer], query, Err(Refusal::Ambiguous)),
            (&[bearer, bearer], None, Err(Refusal::Ambiguous)),
            (&[basic], None, Ok(None)),
            (&[others], Some("tokens=1"), Ok(None)),
        ] {
            let request = Request {
                query,
                ..request(headers)
            };
            assert_eq!(request.presented(), presented, "{headers:?} {query:?}");
        }
    }

    #[test]
    fn local_is_who_is_on_this_machine_and_means_it() {
        for host in [
            "localhost",
            "LocalHost:80",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(request(&[("host", host)]).is_local(), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "192.168.1.5:8080",
            "127.0.0.1.nip.io",
            "[::2]",
        ] {
            assert!(!request(&[("host", host)]).is_local(), "{host}");
        }
        assert!(!request(&[]).is_local());
        assert!(!request(&[("host", "localhost"), ("host", "localhost")]).is_local());
        for proxy in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-proto",
            "via",
            "x-real-ip",
            "cf-connecting-ip",
        ] {
            assert!(
                !request(&[("host", "localhost"), (proxy, "1")]).is_local(),
                "{proxy}"
            );
        }
        let lan = Some("192.168.1.5".parse().unwrap());
        let mapped = Some("::ffff:127.0.0.1".parse().unwrap());
        let local = request(&[("host", "localhost")]);
        assert!(
            Request {
                peer: mapped,
                ..local.clone()
            }
            .is_local()
        );
        assert!(
            !Request {
                peer: lan,
                ..local.clone()
            }
            .is_local()
        );
        assert!(
            !Request {
                reached: lan,
                ..local.clone()
            }
            .is_local()
        );
        assert!(
            !Request {
                peer: None,
                ..local.clone()
            }
            .is_local()
        );
        assert!(
            !Request {
                is_old: true,
                ..local
            }
            .is_local()
        );
    }

    #[test]
    fn pages_of_other_sites_are_told_from_our_own_and_from_programs() {
        let host = ("host", "cam.lan:8080");
        let foreign = |headers: &[(&'static str, &'static str)], is_safe| {
            let headers = [&[host], headers].concat();
            let request = Request {
                is_safe,
                ..request(&headers)
            };
            request.is_foreign(&["https://friend.example".to_owned()])
        };
        for origin in [
            "http://cam.lan:8080",
            "https://CAM.lan:8080",
            "https://friend.example",
        ] {
            assert!(!foreign(&[("origin", origin)], false), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://cam.lan",
            "http://cam.lan:80",
            "http://evil.example",
            "https://friend.example.evil",
        ] {
            assert!(foreign(&[("origin", origin)], false), "{origin}");
        }
        assert!(!foreign(&[], false), "a program");
        let site = |site| ("sec-fetch-site", site);
        let navigate = ("sec-fetch-mode", "navigate");
        assert!(!foreign(
            &[site("same-origin"), ("origin", "https://proxy.example")],
            false
        ));
        assert!(!foreign(&[site("none"), navigate], true));
        assert!(!foreign(&[site("cross-site"), navigate], true), "a link");
        assert!(foreign(&[site("cross-site"), navigate], false), "a form");
        assert!(foreign(&[site("cross-site")], true), "an image");
        assert!(foreign(&[site("same-site")], true), "another port");
        let forwarded = [
            ("origin", "https://a.example"),
            ("x-forwarded-host", "a.example"),
        ];
        assert!(!foreign(&forwarded, false));
    }

    #[test]
    fn default_ports_may_be_left_out() {
        let own = |origin, host| !request(&[("origin", origin), ("host", host)]).is_foreign(&[]);
        assert!(
            own("http://a", "a:80") && own("https://a", "a:443") && own("http://[::1]", "[::1]")
        );
        assert!(!own("http://a", "a:443") && !own("https://a:8443", "a"));
    }
}
