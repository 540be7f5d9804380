//! Tests of requests with several cookies.

use super::*;

#[test]
fn of_several_cookies_the_one_that_covers_more_counts_and_links_do_not_exclude_each_other() {
    let (mut guard, token, cam) = guard();
    let Proof::Token { key, shares, .. } = &mut guard.proof else {
        unreachable!()
    };
    let share = Share::new(
        Scopes::from_iter([Scope::View]),
        vec!["door".into()],
        NOW + 60,
    );
    let door = key.sign(&share);
    shares.add(share, NOW).unwrap();
    let streams = |cookies: &str| {
        let request = from("10.0.0.9", &[("host", "cam.lan"), ("cookie", cookies)]);
        let may = |stream: &&str| view(&guard, &request, stream).is_ok();
        ["cam", "door", "attic"]
            .into_iter()
            .filter(may)
            .collect::<Vec<_>>()
    };
    let both = format!("fanlight-0123.a={cam}; fanlight-0123.b={door}");
    assert_eq!(streams(&both), ["cam", "door"]);
    for cookies in [
        format!("fanlight-0123.a={cam}; fanlight-0123={token}"),
        format!("fanlight-0123={token}; fanlight-0123.a={cam}; fanlight-0123.b=old"),
    ] {
        assert_eq!(streams(&cookies), ["cam", "door", "attic"], "{cookies}");
        let request = from("10.0.0.9", &[("cookie", &cookies)]);
        let judged = guard.judge(&request, Scope::View, Target::Any, now());
        assert_eq!(judged.unwrap().streams, Streams::All);
    }
    let request = from("10.0.0.9", &[("cookie", &both)]);
    let judged = guard.judge(&request, Scope::View, Target::Stream("attic"), now());
    assert_eq!(judged, Err(Refusal::Scope(Scope::View)));
}

/// A link for some streams, that is good for so many seconds, and its token.
fn link(guard: &mut Guard, streams: &[&str], scopes: &[Scope], seconds: u64) -> (Share, String) {
    let Proof::Token { key, shares, .. } = &mut guard.proof else {
        unreachable!()
    };
    let streams = streams.iter().map(|&name| name.to_owned()).collect();
    let share = Share::new(scopes.iter().copied().collect(), streams, NOW + seconds);
    let token = key.sign(&share);
    shares.add(share.clone(), NOW).unwrap();
    (share, token)
}

/// With these cookies.
fn with<T>(tokens: &[&str], act: impl FnOnce(&Request<'_>) -> T) -> T {
    let pairs = tokens.iter().enumerate();
    let pairs: Vec<_> = pairs
        .map(|(at, token)| format!("fanlight-0123.{at}={token}"))
        .collect();
    let cookies = pairs.join("; ");
    act(&from(
        "10.0.0.9",
        &[("host", "cam.lan"), ("cookie", &cookies)],
    ))
}

const VIEW: &[Scope] = &[Scope::View];

#[test]
fn what_is_about_every_stream_shows_what_all_cookies_allow_together() {
    let (mut guard, token, cam) = guard();
    let (share, door) = link(&mut guard, &["door"], VIEW, 30);
    let (_, yard) = link(&mut guard, &["yard"], &[Scope::View, Scope::Admin], 3000);
    let (_, talks) = link(&mut guard, &["attic"], &[Scope::Talk], 3000);
    let (_, old) = link(&mut guard, &["cellar"], VIEW, 0);
    let tokens = [
        &*cam,
        "of another daemon",
        &old,
        &door,
        &yard,
        &talks,
        &door,
    ];
    let judge = |guard: &Guard, now| {
        with(&tokens, |request| {
            guard.judge(request, Scope::View, Target::Any, now)
        })
    };
    let streams = |grant: &Grant, scope| {
        let allowed = ["cam", "door", "yard", "attic", "cellar"].into_iter();
        let allowed = allowed.filter(|name| grant.allows(scope, Target::Stream(name)));
        allowed.collect::<Vec<_>>()
    };
    let all = judge(&guard, now()).unwrap();
    assert_eq!(streams(&all, Scope::View), ["cam", "door", "yard"]);
    assert_eq!(streams(&all, Scope::Admin), ["yard"], "scopes do not mix");
    assert!(!all.allows(Scope::View, Target::Daemon));
    assert_eq!(all.besides.len(), 2, "what adds nothing is left out");
    // The grant ends with the first of its parts. The next request is granted the rest.
    assert!(all.may_end() && guard.still_holds(&all, now()));
    let later = Now {
        unix: NOW + 30,
        ..now()
    };
    assert!(!guard.still_holds(&all, later));
    let rest = judge(&guard, later).unwrap();
    assert_eq!(streams(&rest, Scope::View), ["cam", "yard"]);
    let Proof::Token { shares, .. } = &mut guard.proof else {
        unreachable!()
    };
    shares.revoke(&share.id).unwrap();
    assert!(!guard.still_holds(&all, now()));
    // The token covers everything, and does not end with a link beside it.
    let by_token = with(&[&cam, &token, &yard], |request| {
        guard.judge(request, Scope::View, Target::Any, now())
    });
    assert_eq!(by_token.unwrap().besides, []);
}

#[test]
fn of_two_cookies_for_the_same_the_longer_one_counts_and_is_not_replaced() {
    let (mut guard, token, short) = guard();
    let (share, long) = link(&mut guard, &["cam"], VIEW, 3600);
    for tokens in [[&*short, &long], [&*long, &short]] {
        for target in [Target::Stream("cam"), Target::Any] {
            let judged = with(&tokens, |request| {
                guard.judge(request, Scope::View, target, now())
            });
            assert_eq!(judged.unwrap().expires, Some(NOW + 3600));
        }
    }
    let granted = |token: &str| {
        let query = format!("token={token}");
        let request = Request {
            query: Some(&query),
            ..Request::default()
        };
        let judged = guard.judge(&request, Scope::View, Target::Stream("cam"), now());
        judged.unwrap()
    };
    let (by_short, by_long, by_token) = (granted(&short), granted(&long), granted(&token));
    let has_longer = |guard: &Guard, tokens: &[&str], granted| {
        with(tokens, |request| {
            guard.has_longer_cookie(request, granted, now())
        })
    };
    assert!(has_longer(&guard, &[&long], &by_short));
    assert!(!has_longer(&guard, &[&short], &by_long));
    assert!(!has_longer(&guard, &[&short], &by_short), "it is renewed");
    // Each has a name of its own.
    assert!(!has_longer(&guard, &[&token], &by_short));
    assert!(!has_longer(&guard, &[&long, &short], &by_token));
    assert!(!has_longer(&guard, &[], &by_short));
    let Proof::Token { shares, .. } = &mut guard.proof else {
        unreachable!()
    };
    shares.revoke(&share.id).unwrap();
    assert!(!has_longer(&guard, &[&long], &by_short), "it was revoked");
}
