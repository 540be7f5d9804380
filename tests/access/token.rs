//! The daemon's own token, as installed: its link, its cookie, wrong ones, and the commands that tell it.

use super::*;
use crate::support::eventually;
use crate::support::scratch::Scratch;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn as_installed_everybody_needs_a_token_on_this_machine_too() {
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
        for host in ["localhost", "127.0.0.1", "[::1]"] {
            let local = ask(&daemon, "GET", path, &[("host", host)]);
            assert_eq!(local.status, 400, "{path}: two hosts");
            let local = bare(daemon.address(), "GET", path, &[("host", host)], b"").unwrap();
            assert_eq!(local.status, 401, "{path} {host}");
        }
    }
    assert!(!daemon.log().contains(&daemon.token()), "{}", daemon.log());
}

#[test]
fn a_page_of_another_site_gets_nothing_by_the_browsers_cookie() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let cookie = opened(&daemon, &daemon.token());
    let with = |method, headers: &[(&str, &str)]| {
        let headers = [&[("cookie", cookie.as_str())], headers].concat();
        let path = if method == "GET" {
            "/api/streams"
        } else {
            "/whep"
        };
        ask(&daemon, method, path, &headers).status
    };
    assert_eq!(with("GET", &[]), 200);
    assert_eq!(with("POST", &[("origin", "https://evil.example")]), 403);
    let image = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "no-cors"),
    ];
    assert_eq!(with("GET", &image), 403);
}

/// The cookie that a browser has from then on, for opening a link with that token.
fn opened(daemon: &Daemon, token: &str) -> String {
    let reply = ask(daemon, "GET", &format!("/?token={token}"), &[]);
    let set = reply.header("set-cookie").unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn the_token_command_prints_the_token_alone() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let told = command(&daemon.state_dir(), &["token"]).unwrap();
    assert_eq!(told, daemon.token());
    assert_eq!(with(&daemon, "/metrics", &told).status, 200);
    let open = Daemon::configured(&format!("[auth]\nmode = \"none\"\n{TWO_STREAMS}"));
    let told = command(&open.state_dir(), &["token"]).unwrap_err();
    assert!(told.contains("has no token of its own"), "{told}");
}

#[test]
fn what_the_start_prints_has_the_token_on_a_terminal_only() {
    let daemon = Daemon::configured_at("0.0.0.0:0", TWO_STREAMS);
    let (log, token) = (daemon.log(), daemon.token());
    assert!(!log.contains(&token), "{log}");
    assert!(
        log.contains("`fanlight url`") && log.contains("`fanlight token`"),
        "{log}"
    );
    let scratch = Scratch::new();
    let told = on_a_terminal(scratch.path());
    let token = fs::read_to_string(scratch.path().join("token")).unwrap();
    let here = told.split("fanlight: on this machine open http://").nth(1);
    let here = here.unwrap_or_else(|| panic!("{told}"));
    let (address, rest) = here.split_once("/?token=").unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{told}");
    assert!(rest.starts_with(token.trim()), "{told}");
}

/// What a daemon with that state directory prints on a terminal, which `script` makes, before it ends.
fn on_a_terminal(state: &Path) -> String {
    let run = format!(
        "timeout -s TERM 2 {} --test-pattern --listen 127.0.0.1:0 --state-dir {}",
        env!("CARGO_BIN_EXE_fanlight"),
        state.display()
    );
    let mut script = Command::new("script");
    let output = script.args(["-q", "-c", &run, "/dev/null"]).output();
    let output = output.expect("script can be started: it is of bsdutils");
    String::from_utf8(output.stdout).unwrap()
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
        let identity = fs::read_to_string(daemon.state_dir().join("identity")).unwrap();
        let (pair, rest) = set.split_once(';').unwrap();
        assert_eq!(pair, format!("fanlight-{}={token}", identity.trim()));
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
    let local = format!("http://localhost:{port}/?token={first}");
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
