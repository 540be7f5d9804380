//! What the guard decides, over every kind of proof.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use std::net::IpAddr;

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
        trust_loopback: true,
        origins: vec!["https://friend.example".into(), "*".into()],
    };
    let proof = Proof::Token { token, key, shares };
    (Guard { policy, proof }, secret, link)
}

/// From elsewhere, with these headers.
fn from<'a>(peer: &str, headers: &[(&'a str, &'a str)]) -> Request<'a> {
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    Request {
        peer: Some(peer.parse().unwrap()),
        reached: Some(loopback),
        headers: headers.to_vec(),
        cookie: "fanlight-8080",
        ..Request::default()
    }
}

fn view(guard: &Guard, request: &Request<'_>, stream: &str) -> Result<(), Refusal> {
    let judged = guard.judge(request, Scope::View, Target::Stream(stream), now());
    judged.map(|_| ())
}

#[test]
fn from_elsewhere_a_proof_is_needed_and_every_way_to_bring_it_works() {
    let (guard, token, _) = guard();
    let host = ("host", "192.168.1.5:8080");
    let of = |header: &[(&str, &str)]| {
        let headers = [&[host], header].concat();
        view(&guard, &from("192.168.1.9", &headers), "cam")
    };
    let bearer = format!("Bearer {token}");
    let cookie = format!("fanlight-8080={token}");
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
    assert_eq!(of(&[("cookie", "fanlight-8080=x")]), unknown);
    // A wrong proof beside a good cookie is not made up for: whoever sent it wants to know.
    assert_eq!(
        of(&[("authorization", "Bearer x"), ("cookie", &cookie)]),
        unknown
    );
}

#[test]
fn this_machine_needs_no_proof_unless_that_is_switched_off() {
    let (mut guard, token, _) = guard();
    let local = from("127.0.0.1", &[("host", "localhost:8080")]);
    assert_eq!(view(&guard, &local, "cam"), Ok(()));
    assert!(
        guard
            .judge(&local, Scope::Admin, Target::Daemon, now())
            .is_ok()
    );
    let stale = [("host", "localhost"), ("cookie", "fanlight-8080=old")];
    assert_eq!(view(&guard, &from("127.0.0.1", &stale), "cam"), Ok(()));
    let wrong = [("host", "localhost"), ("authorization", "Bearer wrong")];
    let unknown = Err(Refusal::Invalid(Flaw::Unknown));
    assert_eq!(view(&guard, &from("127.0.0.1", &wrong), "cam"), unknown);
    guard.policy.trust_loopback = false;
    assert_eq!(view(&guard, &local, "cam"), Err(Refusal::Missing));
    let bearer = format!("Bearer {token}");
    let proven = [("host", "localhost"), ("authorization", &*bearer)];
    assert_eq!(view(&guard, &from("127.0.0.1", &proven), "cam"), Ok(()));
}

#[test]
fn a_page_of_another_site_can_lean_on_nothing_that_the_browser_adds() {
    let (guard, token, _) = guard();
    let cookie = format!("fanlight-8080={token}");
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
    assert_eq!(of("127.0.0.1", "localhost", &[friend]), Ok(()));
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
        policy: Policy::default(),
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
    let stale = [("authorization", "Bearer old")];
    assert_eq!(view(&guard, &from("10.0.0.9", &stale), "cam"), Ok(()));
}
