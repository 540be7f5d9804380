//! What requests say, honest ones and others.

use super::*;

fn request<'a>(headers: &[(&'a str, &'a str)]) -> Request<'a> {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    Request {
        headers: headers.collect(),
        cookie: "fanlight-0123",
        ..Request::default()
    }
}

fn policy(origins: &[&str], may_be_framed: bool) -> Policy {
    Policy {
        origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
        may_be_framed,
        ..Policy::default()
    }
}

#[test]
fn a_proof_is_found_in_header_and_url() {
    let bearer = ("authorization", "bearer abc");
    let basic = ("authorization", "Basic YTpi");
    let query = Some("x=1&token=ghi");
    for (headers, query, presented) in [
        (&[] as &[_], None, Ok(None)),
        (&[bearer], None, Ok(Some("abc"))),
        (&[basic], query, Ok(Some("ghi"))),
        (&[bearer], query, Err(Refusal::Ambiguous)),
        (&[], Some("token=a&token=b"), Err(Refusal::Ambiguous)),
        (&[basic], None, Ok(None)),
        (&[], Some("tokens=1"), Ok(None)),
    ] {
        let request = Request {
            query,
            ..request(headers)
        };
        assert_eq!(request.presented(), presented, "{headers:?} {query:?}");
    }
}

#[test]
fn our_cookies_are_found_among_those_of_others() {
    let cookies = |headers: &[(&'static str, &'static str)]| {
        request(headers).cookies().collect::<Vec<_>>().join(" ")
    };
    let ours = "a=b; fanlight-0123=one; fanlight-4567=no; fanlight-0123.v.ab=two; ; =";
    assert_eq!(cookies(&[("cookie", ours)]), "one two");
    assert_eq!(
        cookies(&[("cookie", "x=y"), ("cookie", "fanlight-0123=z")]),
        "z"
    );
    assert_eq!(cookies(&[("cookie", "fanlight-8080=old; other=x")]), "");
    let https = ("x-forwarded-proto", "https");
    assert_eq!(cookies(&[("cookie", ours), https]), "");
    let strict = ("cookie", "__Host-fanlight-0123=three");
    assert_eq!(cookies(&[strict, https]), "three");
    assert_eq!(cookies(&[strict]), "");
    let mut others = request(&[]);
    others.headers = vec![("cookie", b"umlaut=\xe4; fanlight-0123=here; \xff=1")];
    assert_eq!(others.cookies().collect::<Vec<_>>(), ["here"]);
    let many = "fanlight-0123=x;".repeat(1000);
    others.headers = vec![("cookie", many.as_bytes())];
    assert_eq!(others.cookies().count(), MOST_COOKIES);
}

#[test]
fn what_a_decision_hangs_on_is_there_once_and_is_text() {
    assert_eq!(request(&[("host", "a"), ("origin", "b")]).malformed(), None);
    for name in DECISIVE {
        let twice = request(&[(name, "a"), ("x", "y"), (name, "a")]);
        assert_eq!(twice.malformed(), Some(name));
        for value in [&b"\xff"[..], b"a\xe4", b"\x7f", b"a\tb"] {
            let request = Request {
                headers: vec![(name, value)],
                ..Request::default()
            };
            assert_eq!(request.malformed(), Some(name), "{value:?}");
        }
    }
    let mut others = request(&[("x-forwarded-for", "a"), ("x-forwarded-for", "b")]);
    others.headers.push(("x-forwarded-for", b"\xff"));
    assert_eq!(others.malformed(), None, "nothing hangs on it");
}

#[test]
fn https_is_told_by_the_connection_and_by_proxies() {
    let is_secure = |headers: &[(&'static str, &'static str)]| request(headers).way().is_secure;
    assert!(!is_secure(&[]) && !is_secure(&[("x-forwarded-proto", "http")]));
    for value in ["https", "HTTPS", "https, http", "http,https"] {
        assert!(is_secure(&[("x-forwarded-proto", value)]), "{value}");
    }
    for value in [
        "for=1;proto=https",
        "for=1;Proto=\"https\"",
        "proto=http, proto=https",
    ] {
        assert!(is_secure(&[("forwarded", value)]), "{value}");
    }
    let tls = Request {
        is_tls: true,
        ..request(&[])
    };
    assert!(tls.way().is_secure);
}

#[test]
fn a_host_is_ours_if_it_is_an_address_localhost_or_a_name_of_ours() {
    let names = ["box".to_owned(), "box.local".to_owned()];
    let is_ours = |host| request(&[("host", host)]).is_for_us(&names);
    for host in [
        "localhost:8080",
        "127.0.0.1",
        "192.168.1.5:8080",
        "[fd00::5]:8080",
        "BOX:8080",
        "box.local",
        "box.local.:80",
    ] {
        assert!(is_ours(host), "{host}");
    }
    for host in [
        "evil.test",
        "localhost.evil.test",
        "box.evil.test",
        "192.168.1.5.nip.io",
        "127.1",
        "[evil",
        "",
    ] {
        assert!(!is_ours(host), "{host}");
    }
    assert!(!request(&[]).is_for_us(&names), "none");
    assert!(!request(&[("host", "box"), ("host", "box")]).is_for_us(&names));
}

#[test]
fn pages_of_other_sites_are_told_from_our_own_and_from_programs() {
    let host = ("host", "cam.lan:8080");
    let foreign = |headers: &[(&'static str, &'static str)]| {
        let headers = [&[host], headers].concat();
        request(&headers).is_foreign(&policy(&["https://friend.example", "*"], true), false)
    };
    for origin in [
        "http://cam.lan:8080",
        "https://CAM.lan:8080",
        "https://friend.example",
    ] {
        assert!(!foreign(&[("origin", origin)]), "{origin}");
    }
    for origin in [
        "null",
        "",
        "http://cam.lan",
        "http://cam.lan:80",
        "http://evil.example",
        "https://friend.example.evil",
    ] {
        assert!(foreign(&[("origin", origin)]), "{origin}");
    }
    assert!(!foreign(&[]), "a program");
    // Behind a proxy that passes on another Host than the browser's.
    let site = |site| ("sec-fetch-site", site);
    assert!(!foreign(&[
        site("same-origin"),
        ("origin", "https://proxy.example")
    ]));
    assert!(foreign(&[site("cross-site")]), "an image");
    assert!(foreign(&[site("same-site")]), "another port");
    let forwarded = [
        ("origin", "https://a.example"),
        ("x-forwarded-host", "a.example"),
    ];
    assert!(!foreign(&forwarded));
    let any = request(&[host, ("origin", "http://evil.example")]);
    assert!(!any.is_foreign(&policy(&["*"], false), true));
}

#[test]
fn a_link_elsewhere_leads_to_our_pages_and_to_nothing_else() {
    let is_foreign = |dest, is_for_page, is_safe, may_be_framed| {
        let headers = [
            ("host", "cam.lan"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", dest),
        ];
        let request = Request {
            is_for_page,
            is_safe,
            ..request(&headers)
        };
        request.is_foreign(&policy(&[], may_be_framed), false)
    };
    assert!(!is_foreign("document", true, true, false), "a link");
    assert!(is_foreign("document", false, true, true), "to a picture");
    assert!(is_foreign("document", true, false, true), "a form");
    assert!(is_foreign("iframe", true, true, false), "nobody may");
    assert!(!is_foreign("iframe", true, true, true));
    for dest in ["object", "embed", "frame", "fencedframe", "image", ""] {
        assert!(is_foreign(dest, true, true, true), "{dest}");
    }
}

#[test]
fn default_ports_may_be_left_out() {
    let none = policy(&[], false);
    let own = |origin, host| {
        let request = request(&[("origin", origin), ("host", host)]);
        !request.is_foreign(&none, false)
    };
    assert!(own("http://a", "a:80") && own("https://a", "a:443") && own("http://[::1]", "[::1]"));
    assert!(!own("http://a", "a:443") && !own("https://a:8443", "a"));
}
