//! What the guard decides, over every kind of proof.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::*;
use ring::hmac;

mod cookies;

const NOW: u64 = 2_000_000_000;

fn now() -> Now {
    Now {
        unix: NOW,
        instant: Instant::now(),
    }
}

fn guard() -> (Guard, String, String) {
    let token = Token::generate();
    let key = ShareKey::new(&ShareKey::material());
    let scopes = Scopes::from_iter([Scope::View]);
    let share = Share::new(scopes, vec!["cam".into()], NOW + 60);
    let mut shares = Ledger::default();
    let link = key.sign(&share);
    shares.add(share, NOW).unwrap();
    let secret = token.reveal().to_owned();
    let policy = Policy {
        origins: vec!["https://friend.example".into(), "*".into()],
        ..Policy::default()
    };
    let proof = Proof::Token { token, key, shares };
    (Guard { policy, proof }, secret, link)
}

/// From that address, with these headers.
fn from<'a>(peer: &str, headers: &[(&'a str, &'a str)]) -> Request<'a> {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    Request {
        peer: Some(peer.parse().unwrap()),
        headers: headers.collect(),
        cookie: "fanlight-0123",
        ..Request::default()
    }
}

fn view(guard: &Guard, request: &Request<'_>, stream: &str) -> Result<(), Refusal> {
    let judged = guard.judge(request, Scope::View, Target::Stream(stream), now());
    judged.map(|_| ())
}

#[test]
fn a_proof_is_needed_from_everywhere_and_every_way_to_bring_it_works() {
    let (guard, token, _) = guard();
    let host = ("host", "192.168.1.5:8080");
    let of = |header: &[(&str, &str)]| {
        let headers = [&[host], header].concat();
        view(&guard, &from("192.168.1.9", &headers), "cam")
    };
    let bearer = format!("Bearer {token}");
    let cookie = format!("fanlight-0123={token}");
    assert_eq!(of(&[]), Err(Refusal::Missing));
    assert_eq!(of(&[("authorization", &bearer)]), Ok(()));
    assert_eq!(of(&[("cookie", &cookie)]), Ok(()));
    let query = format!("token={token}");
    let request = Request {
        query: Some(&query),
        ..from("192.168.1.9", &[host])
    };
    assert_eq!(view(&guard, &request, "cam"), Ok(()));
    let unknown = Err(Refusal::Invalid(Flaw::Unknown));
    assert_eq!(of(&[("authorization", "Bearer x")]), unknown);
    // Nobody typed a cookie.
    assert_eq!(of(&[("cookie", "fanlight-0123=x")]), Err(Refusal::Missing));
    // A wrong proof beside a good cookie is not made up for: whoever sent it wants to know.
    assert_eq!(
        of(&[("authorization", "Bearer x"), ("cookie", &cookie)]),
        unknown
    );
}

#[test]
fn nobody_is_let_in_by_where_they_seem_to_come_from() {
    let (guard, token, _) = guard();
    let bearer = format!("Bearer {token}");
    for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.9"] {
        for host in ["localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"] {
            let bare = from(peer, &[("host", host)]);
            for (scope, target) in [(Scope::View, Target::Any), (Scope::Admin, Target::Daemon)] {
                let judged = guard.judge(&bare, scope, target, now());
                assert_eq!(judged, Err(Refusal::Missing), "{peer} {host}");
            }
        }
    }
    let proven = [("host", "localhost"), ("authorization", &*bearer)];
    assert_eq!(view(&guard, &from("127.0.0.1", &proven), "cam"), Ok(()));
}

/// Names of headers: those that something is concluded from, those of proxies, and any.
fn name() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 22] = [
        "host",
        "origin",
        "authorization",
        "cookie",
        "referer",
        "sec-fetch-site",
        "sec-fetch-mode",
        "sec-fetch-dest",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-server",
        "x-original-forwarded-for",
        "x-envoy-external-address",
        "x-cluster-client-ip",
        "fastly-client-ip",
        "x-proxyuser-ip",
        "x_forwarded_for",
        "x-real-ip",
        "cf-connecting-ip",
        "forwarded",
        "via",
    ];
    prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        "[a-z0-9_-]{1,20}"
    ]
}

/// Values: words that mean something, and any bytes that a header may have.
fn value() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: [&[u8]; 14] = [
        b"",
        b"\xff",
        b"localhost",
        b"127.0.0.1:8080",
        b"cam.lan",
        b"http://cam.lan",
        b"https://friend.example",
        b"null",
        b"same-origin",
        b"none",
        b"navigate",
        b"document",
        b"https",
        b"fanlight-0123=x; fanlight-0123.v.0=y",
    ];
    let byte = prop_oneof![Just(b'\t'), b' '..=b'~', 0x80..=0xff_u8];
    prop_oneof![
        proptest::sample::select(&KNOWN[..]).prop_map(<[u8]>::to_vec),
        vec(byte, 0..30)
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    vec((name(), value()), 0..6)
}

/// A request from this machine with those headers, which has every right but a proof.
fn with_headers<'a>(headers: &'a [(String, Vec<u8>)], is_safe: bool) -> Request<'a> {
    let pairs = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()));
    Request {
        headers: pairs.collect(),
        is_safe,
        is_for_page: true,
        ..from("127.0.0.1", &[])
    }
}

proptest! {
    #[test]
    fn no_header_makes_a_request_without_a_proof_a_granted_one(
        headers in headers(), name in name(), value in value(), at: usize, is_safe: bool,
    ) {
        let (guard, ..) = guard();
        let mut headers = headers;
        for _ in 0..2 {
            let request = with_headers(&headers, is_safe);
            for (scope, target) in [(Scope::View, Target::Any), (Scope::Admin, Target::Daemon)] {
                prop_assert!(guard.judge(&request, scope, target, now()).is_err());
            }
            headers.insert(at % (headers.len() + 1), (name.clone(), value.clone()));
        }
    }

    /// With a good cookie: the browser's, which another site's page uses. Two headers say that a page is our own, and no page of
    /// another site can set them: `Sec-Fetch-Site` is the browser's, and `X-Forwarded-Host` needs a preflight, which is
    /// refused. Neither counts if it is there twice. And no page can name itself as another origin.
    #[test]
    fn no_header_makes_a_page_of_another_site_our_own(
        name in name(), value in value(), comes_first: bool, is_told_by_origin: bool,
    ) {
        let (guard, token, _) = guard();
        let origin = ("origin".to_owned(), b"https://evil.example".to_vec());
        let site = ("sec-fetch-site".to_owned(), b"cross-site".to_vec());
        let cookie = format!("fanlight-0123={token}");
        let mut headers = vec![
            ("host".to_owned(), b"cam.lan".to_vec()),
            ("cookie".to_owned(), cookie.into_bytes()),
            if is_told_by_origin { origin } else { site },
        ];
        let is_the_browsers_own = is_told_by_origin && name == "sec-fetch-site"
            || !is_told_by_origin && name == "origin";
        let is_preflighted = name == "x-forwarded-host";
        prop_assume!(!is_the_browsers_own && !is_preflighted);
        prop_assert!(view(&guard, &with_headers(&headers, false), "cam").is_err());
        headers.insert(if comes_first { 0 } else { headers.len() }, (name, value));
        prop_assert!(view(&guard, &with_headers(&headers, false), "cam").is_err());
    }
}

#[test]
fn a_page_of_another_site_can_lean_on_nothing_that_the_browser_adds() {
    let (guard, token, _) = guard();
    let cookie = format!("fanlight-0123={token}");
    let bearer = format!("Bearer {token}");
    let of = |peer, host, headers: &[(&str, &str)]| {
        let headers = [&[("host", host)], headers].concat();
        view(&guard, &from(peer, &headers), "cam")
    };
    let evil = ("origin", "https://evil.example");
    let foreign = Err(Refusal::Foreign);
    assert_eq!(of("127.0.0.1", "localhost", &[evil]), foreign);
    assert_eq!(
        of("10.0.0.9", "cam.lan", &[evil, ("cookie", &cookie)]),
        foreign
    );
    assert_eq!(
        of("10.0.0.9", "cam.lan", &[evil, ("authorization", &bearer)]),
        Ok(())
    );
    let friend = ("origin", "https://friend.example");
    let own = [friend, ("cookie", &*cookie)];
    assert_eq!(of("127.0.0.1", "localhost", &own), Ok(()));
    // DNS rebinding: the page's own origin leads to this machine.
    let rebound = [
        ("origin", "http://evil.example:8080"),
        ("sec-fetch-site", "same-origin"),
    ];
    assert_eq!(
        of("127.0.0.1", "evil.example:8080", &rebound),
        Err(Refusal::Missing)
    );
}

#[test]
fn a_link_opens_its_stream_with_its_scope_until_it_ends() {
    let (mut guard, _, link) = guard();
    let bearer = format!("Bearer {link}");
    let request = from("10.0.0.9", &[("authorization", &bearer)]);
    let of = |guard: &Guard, scope, stream| guard.judge(&request, scope, stream, now());
    let grant = of(&guard, Scope::View, Target::Stream("cam")).unwrap();
    for (scope, stream) in [
        (Scope::View, Target::Stream("door")),
        (Scope::View, Target::Daemon),
        (Scope::Publish, Target::Stream("cam")),
        (Scope::Admin, Target::Daemon),
    ] {
        assert_eq!(of(&guard, scope, stream), Err(Refusal::Scope(scope)));
    }
    assert!(guard.still_holds(&grant, now()));
    let later = Now {
        unix: NOW + 60,
        ..now()
    };
    assert!(!guard.still_holds(&grant, later));
    let expired = guard.judge(&request, Scope::View, Target::Stream("cam"), later);
    assert_eq!(expired, Err(Refusal::Invalid(Flaw::Expired)));
    let Proof::Token { key, .. } = &mut guard.proof else {
        unreachable!()
    };
    let Basis::Share { share, .. } = &grant.basis else {
        panic!("{grant:?}")
    };
    let used = key.clone();
    *key = ShareKey::new(&ShareKey::material());
    assert!(!guard.still_holds(&grant, now()), "with its key");
    let Proof::Token { key, shares, .. } = &mut guard.proof else {
        unreachable!()
    };
    *key = used;
    shares.revoke(&share.id).unwrap();
    let revoked = of(&guard, Scope::View, Target::Stream("cam"));
    assert_eq!(revoked, Err(Refusal::Invalid(Flaw::Revoked)));
    assert!(!guard.still_holds(&grant, now()));
    assert!(guard.still_holds(&Grant::everything(), later));
}

#[test]
fn with_the_token_goes_what_it_granted() {
    let (mut guard, token, _) = guard();
    let bearer = format!("Bearer {token}");
    let request = from("10.0.0.9", &[("authorization", &bearer)]);
    let judged = guard.judge(&request, Scope::Admin, Target::Daemon, now());
    let grant = judged.unwrap();
    assert!(grant.may_end() && guard.still_holds(&grant, now()));
    let Proof::Token { token, .. } = &mut guard.proof else {
        unreachable!()
    };
    *token = Token::generate();
    assert!(!guard.still_holds(&grant, now()));
}

#[test]
fn with_the_key_of_an_issuer_go_those_whose_tokens_it_signed() {
    let jwt_keys = |names: &[&str]| {
        let keys = names.iter().map(|name| {
            let secret = URL_SAFE_NO_PAD.encode(name.repeat(32));
            serde_json::json!({ "kty": "oct", "kid": name, "k": secret })
        });
        let set = serde_json::json!({ "keys": keys.collect::<Vec<_>>() }).to_string();
        Proof::Jwt(JwtKeys::parse(set.as_bytes(), None, None).unwrap())
    };
    let part = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let text = format!(
        "{}.{}",
        part(r#"{"alg":"HS256","kid":"a"}"#),
        part(&format!(r#"{{"exp":{},"scope":"view"}}"#, NOW + 9)),
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, "a".repeat(32).as_bytes());
    let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    let bearer = format!("Bearer {text}.{mac}");
    let mut guard = Guard {
        policy: Policy::default(),
        proof: jwt_keys(&["a", "b"]),
    };
    let request = from("10.0.0.9", &[("authorization", &bearer)]);
    let judged = guard.judge(&request, Scope::View, Target::Daemon, now());
    let grant = judged.unwrap();
    for (names, is_good) in [
        (&["b", "a"][..], true),
        (&["b"], false),
        (&["a"], true),
        (&[], false),
    ] {
        guard.proof = match names {
            [] => Proof::Jwt(JwtKeys::default()),
            names => jwt_keys(names),
        };
        let is_admitted = guard.judge(&request, Scope::View, Target::Daemon, now());
        assert_eq!(is_admitted.is_ok(), is_good, "{names:?}");
        assert_eq!(guard.still_holds(&grant, now()), is_good, "{names:?}");
    }
}

#[test]
fn an_open_daemon_lets_everybody_in_but_takes_no_orders_from_other_sites() {
    let mut guard = Guard {
        policy: Policy {
            hosts: vec!["cam.lan".into()],
            ..Policy::default()
        },
        proof: Proof::None,
    };
    let evil = [("host", "cam.lan"), ("origin", "https://evil.example")];
    let mut request = from("10.0.0.9", &evil);
    assert_eq!(view(&guard, &request, "cam"), Err(Refusal::Foreign));
    guard.policy.origins.push("*".into());
    assert_eq!(view(&guard, &request, "cam"), Ok(()));
    guard.policy.origins.clear();
    request.is_safe = true;
    assert_eq!(view(&guard, &request, "cam"), Ok(()));
    let stale = [("host", "10.0.0.1"), ("authorization", "Bearer old")];
    assert_eq!(view(&guard, &from("10.0.0.9", &stale), "cam"), Ok(()));
}

#[test]
fn an_open_daemon_is_not_found_under_another_sites_name() {
    let guard = Guard {
        policy: Policy {
            origins: vec!["*".into()],
            ..Policy::default()
        },
        proof: Proof::None,
    };
    // DNS rebinding: to the browser the daemon is the page's own site.
    let rebound = [
        ("host", "evil.test"),
        ("origin", "http://evil.test"),
        ("sec-fetch-site", "same-origin"),
    ];
    for is_safe in [false, true] {
        let request = Request {
            is_safe,
            ..from("127.0.0.1", &rebound)
        };
        assert_eq!(view(&guard, &request, "cam"), Err(Refusal::Host));
    }
    assert_eq!(
        view(&guard, &from("127.0.0.1", &[]), "cam"),
        Err(Refusal::Host)
    );
    let twice = [("host", "localhost"), ("host", "evil.test")];
    let twice = from("127.0.0.1", &twice);
    assert_eq!(view(&guard, &twice, "cam"), Err(Refusal::Malformed("host")));
}
