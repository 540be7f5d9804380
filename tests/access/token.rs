//! The daemon's own token, as installed: its link, its cookie, wrong ones, and what this machine may do without.

use super::*;
use crate::support::eventually;
use crate::support::scratch::Scratch;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn as_installed_other_machines_need_a_token_and_this_one_does_not() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let file = daemon.state_dir().join("token");
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for path in [
        "/api/streams",
        "/api/streams/camera",
        "/metrics",
        "/api/viewers",
        "/api/streams/none",
    ] {
        let reply = ask(&daemon, "GET", path, &[]);
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(challenge(&reply), "Bearer realm=\"fanlight\"", "{path}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/problem+json")
        );
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains("fanlight url"), "{detail}");
    }
    for (method, path) in [
        ("POST", "/whep"),
        ("POST", "/camera/whep"),
        ("POST", "/nowhere/whep"),
        ("POST", "/offer"),
        ("DELETE", "/camera/whep/0"),
    ] {
        assert_eq!(ask(&daemon, method, path, &[]).status, 401, "{path}");
    }
    // People get the page, which is the same whether there is such a stream or not.
    for path in ["/", "/camera", "/nowhere"] {
        let reply = ask(&daemon, "GET", path, &[]);
        assert_eq!(reply.status, 401, "{path}");
        assert!(reply.body.starts_with("<!doctype html>"), "{path}");
    }
    // Nothing of these is a secret, and a browser's preflight request carries no proof (Fetch, 4.8).
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/assets/main.js", 200),
        ("OPTIONS", "/whep", 204),
        ("OPTIONS", "/metrics", 204),
    ] {
        assert_eq!(ask(&daemon, method, path, &[]).status, status, "{path}");
    }
    for path in ["/", "/api/streams", "/metrics"] {
        let local = request(daemon.address(), "GET", path, &[], b"").unwrap();
        assert_eq!(local.status, 200, "{path}");
    }
    assert!(!daemon.log().contains(&daemon.token()), "{}", daemon.log());
}

#[test]
fn a_proxy_on_this_machine_does_not_make_everybody_local() {
    let daemon = Daemon::start(&["--test-pattern"]);
    for header in [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
    ] {
        let reply = request(daemon.address(), "GET", "/api/streams", &[header], b"").unwrap();
        assert_eq!(reply.status, 401, "{header:?}");
    }
    let foreign = ("origin", "https://evil.example");
    let reply = request(daemon.address(), "POST", "/whep", &[foreign], b"").unwrap();
    assert_eq!(reply.status, 403, "{reply:?}");
    let image = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "no-cors"),
    ];
    let reply = request(daemon.address(), "GET", "/api/streams", &image, b"").unwrap();
    assert_eq!(reply.status, 403, "{reply:?}");
}

#[test]
fn the_token_opens_everything_and_its_link_becomes_a_cookie() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let token = daemon.token();
    for path in ["/", "/camera", "/api/streams", "/metrics"] {
        assert_eq!(with(&daemon, path, &token).status, 200, "{path}");
    }
    assert_eq!(with(&daemon, "/nowhere", &token).status, 404);
    let answer = watch(&daemon, "camera", &token);
    assert_eq!(answer.status, 201, "{answer:?}");

    for (path, place) in [
        (format!("/?token={token}"), "./"),
        (format!("/camera?token={token}"), "./camera"),
        (format!("/camera/?token={token}"), "../camera"),
        (format!("/camera?a=1&token={token}&b"), "./camera?a=1&b"),
    ] {
        let reply = ask(&daemon, "GET", &path, &[]);
        assert_eq!(reply.status, 303, "{path}");
        assert_eq!(reply.header("location"), Some(place));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let set = reply.header("set-cookie").unwrap();
        let name = format!("fanlight-{}", daemon.address().port());
        let (pair, rest) = set.split_once(';').unwrap();
        assert_eq!(pair, format!("{name}={token}"));
        assert_eq!(rest, " Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax");
        let cookie = [("cookie", pair)];
        assert_eq!(ask(&daemon, "GET", "/api/streams", &cookie).status, 200);
        let elsewhere = [cookie[0], ("origin", "https://evil.example")];
        assert_eq!(ask(&daemon, "POST", "/whep", &elsewhere).status, 403);
        let own = [cookie[0], ("origin", "http://camera.lan")];
        assert_eq!(ask(&daemon, "POST", "/whep", &own).status, 415, "let in");
    }
    let programs = format!("/api/streams?token={token}");
    assert_eq!(ask(&daemon, "GET", &programs, &[]).status, 200);
    let bearer = format!("Bearer {token}");
    let twice = ask(&daemon, "GET", &programs, &[("authorization", &bearer)]);
    assert_eq!(twice.status, 400);
    assert!(challenge(&twice).contains("error=\"invalid_request\""));
}

#[test]
fn a_wrong_token_is_told_so_then_told_to_wait_and_never_logged() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let wrong = "dGhpcy1pcy1ub3QtdGhlLXRva2Vu";
    let mut statuses = Vec::new();
    for _ in 0..200 {
        let reply = with(&daemon, "/api/streams", wrong);
        match reply.status {
            401 => assert!(challenge(&reply).contains("error=\"invalid_token\"")),
            _ => assert!(reply.header("retry-after").is_some()),
        }
        statuses.push(reply.status);
    }
    let told = statuses.iter().filter(|status| **status == 401).count();
    assert!((10..20).contains(&told), "{told}");
    assert_eq!(statuses.last(), Some(&429));
    // Behind one address there may be many people.
    assert_eq!(with(&daemon, "/api/streams", &daemon.token()).status, 200);
    let log = daemon.log();
    assert!(!log.contains(wrong), "{log}");
    let lines = log.matches("a token or link was refused").count();
    assert_eq!(lines, told);
    let metrics = with(&daemon, "/metrics", &daemon.token()).body;
    let counted = "fanlight_auth_failures_total{reason=\"unknown\"} 200";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn the_url_command_prints_links_and_renews_the_token() {
    let daemon = Daemon::configured_at("0.0.0.0:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let port = daemon.address().port();
    let links = command(&state, &["url", "--qr"]).unwrap();
    let first = daemon.token();
    let mut lines = links.lines();
    let local = format!("http://localhost:{port}/");
    assert_eq!(lines.next(), Some(local.as_str()));
    let others: Vec<_> = lines.filter(|line| line.starts_with("http://")).collect();
    let is_whole = |link: &&str| link.ends_with(&format!(":{port}/?token={first}"));
    assert!(others.iter().all(is_whole), "{links}");
    assert_eq!(others.is_empty(), !links.contains('█'), "{links}");

    assert_eq!(with(&daemon, "/api/streams", &first).status, 200);
    assert_eq!(watch(&daemon, "garden", &first).status, 201);
    command(&state, &["url", "--renew"]).unwrap();
    let second = daemon.token();
    assert_ne!(first, second);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("the new token to be known", async || {
        let old = with(&daemon, "/api/streams", &first).status;
        let new = with(&daemon, "/api/streams", &second).status;
        let is_new = new == 200 && old != 200;
        is_new.then_some(()).ok_or(format!("{old} {new}"))
    }));
    runtime.block_on(eventually("the session to end", async || {
        let log = daemon.log();
        let is_over = log.contains("a session ends with its permission");
        is_over.then_some(()).ok_or(log)
    }));
    let nowhere = Scratch::new();
    let told = command(nowhere.path(), &["url"]).unwrap_err();
    assert!(told.contains("start it first"), "{told}");
}
