//! Who may watch: every kind of proof over real HTTP, the commands that make links, and what each refusal says.

#[path = "interop/offer.rs"]
#[expect(dead_code, reason = "this test needs one offer")]
mod offer;
mod support;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanlight::auth::{Ledger, Scope, Scopes, Share, ShareKey};
use ring::hmac;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use support::daemon::Daemon;
use support::http::{Reply, request};
use support::{eventually, scratch::Scratch};

const TWO_STREAMS: &str = r#"
[[stream]]
name = "porch"
pattern = true
size = "320x180"

[[stream]]
name = "garden"
pattern = true
size = "320x180"
"#;

/// A request as from another machine: what `Host` names is not this one.
fn ask(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let headers = [&[("host", "camera.lan")], headers].concat();
    request(daemon.address(), method, path, &headers, b"").unwrap()
}

fn with(daemon: &Daemon, path: &str, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    ask(daemon, "GET", path, &[("authorization", &bearer)])
}

/// Posts an offer with that token.
fn watch(daemon: &Daemon, stream: &str, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("host", "camera.lan"),
        ("authorization", &bearer),
        ("content-type", "application/sdp"),
    ];
    let path = format!("/{stream}/whep");
    let offer = offer::plain();
    request(daemon.address(), "POST", &path, &headers, offer.as_bytes()).unwrap()
}

/// Runs a command beside the daemon; what it prints, or what it says when it fails.
fn command(state: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .args(arguments)
        .arg("--state-dir")
        .arg(state)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// What the challenge of a refusal says (RFC 6750, 3).
fn challenge(reply: &Reply) -> &str {
    reply.header("www-authenticate").unwrap_or_default()
}

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

#[test]
fn a_link_is_shared_for_one_stream_listed_and_revoked_and_then_its_viewers_go() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let told = command(&state, &["share", "--stream", "garden", "--for", "2h"]).unwrap();
    let (link, about) = told.split_once('\n').unwrap();
    let (page, link) = link.split_once("?token=").unwrap();
    assert!(page.ends_with("/garden"), "{told}");
    let (id, rest) = about.split_once(": ").unwrap();
    assert!(rest.starts_with("view of garden, for 2 h; "), "{told}");

    let streams = with(&daemon, "/api/streams", link).json();
    let names = streams["streams"].as_array().unwrap().iter();
    assert_eq!(
        names.map(|s| s["name"].clone()).collect::<Vec<_>>(),
        ["garden"]
    );
    for (path, status) in [
        ("/", 200),
        ("/garden", 200),
        ("/api/streams/garden", 200),
        ("/porch", 403),
        ("/nowhere", 403),
        ("/api/streams/porch", 403),
        ("/api/streams/nowhere", 403),
        ("/metrics", 403),
        ("/api/viewers", 403),
        ("/api/streams/garden/controls", 403),
    ] {
        let reply = with(&daemon, path, link);
        assert_eq!(reply.status, status, "{path}");
        let is_for_admins = ["/metrics", "/api/viewers", "/api/streams/garden/controls"];
        let scope = if is_for_admins.contains(&path) {
            "admin"
        } else {
            "view"
        };
        let error = format!("error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(challenge(&reply).contains(&error), status == 403, "{path}");
    }
    assert_eq!(watch(&daemon, "porch", link).status, 403);
    let answer = watch(&daemon, "garden", link);
    assert_eq!(answer.status, 201, "{answer:?}");
    let session = format!("/garden/{}", answer.header("location").unwrap());
    // What is the matter with a session is told to who may watch its stream, and knows its name.
    let doctor = |location: &str| {
        format!(
            "/api/sessions/{}/doctor",
            location.rsplit('/').next().unwrap()
        )
    };
    let own = doctor(&session);
    assert_eq!(with(&daemon, &own, link).status, 200);
    assert_eq!(ask(&daemon, "GET", &own, &[]).status, 401);
    let other = watch(&daemon, "porch", &daemon.token());
    let other = doctor(other.header("location").unwrap());
    assert_eq!(with(&daemon, &other, link).status, 403);
    assert_eq!(with(&daemon, &doctor("0"), link).status, 404);
    // A reply without an end is over with the permission, as a session is.
    let images = std::thread::spawn({
        let (address, link) = (daemon.address(), link.to_owned());
        move || read_to_end(address, &format!("/garden/mjpeg?token={link}"))
    });
    let cookie = ask(&daemon, "GET", &format!("/garden?token={link}"), &[]);
    let cookie = cookie.header("set-cookie").unwrap();
    let age = cookie.split("Max-Age=").nth(1).unwrap().split(';').next();
    let age: u64 = age.unwrap().parse().unwrap();
    assert!((7100..=7200).contains(&age), "{cookie}");

    let list = command(&state, &["share", "--list"]).unwrap();
    assert!(
        list.starts_with(&format!("{id}: view of garden, for 1 h 59 min"))
            || list.ends_with("for 2 h"),
        "{list}"
    );
    command(&state, &["share", "--revoke", id]).unwrap();
    let again = command(&state, &["share", "--revoke", id]).unwrap_err();
    assert!(again.contains("there is no link"), "{again}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("the link to be worth nothing", async || {
        let status = with(&daemon, "/garden", link).status;
        (status == 401).then_some(()).ok_or(status.to_string())
    }));
    runtime.block_on(eventually("the session to end", async || {
        let log = daemon.log();
        let is_over = log.contains("a session ends with its permission");
        is_over.then_some(()).ok_or(log)
    }));
    let images = images.join().unwrap();
    assert!(images.contains("image/jpeg"), "{}", images.len());
    assert!(images.ends_with("0\r\n\r\n"), "it ends as it should");
    let bearer = format!("Bearer {}", daemon.token());
    assert!(session.starts_with("/garden/whep/"), "{session}");
    let ended = ask(&daemon, "DELETE", &session, &[("authorization", &bearer)]);
    assert_eq!(ended.status, 404, "it is over");
}

/// What comes until the daemon closes the connection.
fn read_to_end(server: std::net::SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: camera.lan\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn a_link_for_a_scraper_reads_metrics_and_an_unknown_stream_is_named() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let told = command(&state, &["share", "--scope", "admin", "--for", "520w"]).unwrap();
    let token = told.lines().next().unwrap().split("token=").nth(1).unwrap();
    assert_eq!(with(&daemon, "/metrics", token).status, 200);
    let controls = with(&daemon, "/api/streams/garden/controls", token);
    assert_eq!(controls.status, 200);
    assert_eq!(with(&daemon, "/garden", token).status, 403);
    let told = command(&state, &["share", "--stream", "attic"]).unwrap_err();
    assert_eq!(
        told,
        "there is no stream \"attic\"; there is: porch, garden"
    );
}

#[test]
fn a_link_that_expired_or_was_changed_is_refused() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let key = fs::read(state.join("share.key")).unwrap();
    let key = ShareKey::parse(&key).unwrap();
    let share = |expires| {
        let scopes = Scopes::from_iter([Scope::View]);
        Share::new(scopes, vec!["garden".into()], expires)
    };
    let (old, good) = (share(now()), share(now() + 60));
    let mut ledger = Ledger::default();
    ledger.add(old.clone(), 0).unwrap();
    ledger.add(good.clone(), 0).unwrap();
    fs::write(state.join("shares.json"), ledger.to_file()).unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let good = key.sign(&good);
    runtime.block_on(eventually("the link to be known", async || {
        let status = with(&daemon, "/garden", &good).status;
        (status == 200).then_some(()).ok_or(status.to_string())
    }));
    let expired = with(&daemon, "/api/streams", &key.sign(&old));
    assert_eq!(expired.status, 401);
    assert!(challenge(&expired).contains("has expired"), "{expired:?}");
    let longer = good.replace(".v.garden", ".va.garden");
    assert_eq!(with(&daemon, "/api/streams", &longer).status, 401);
    // A list that was damaged revokes nobody and admits nobody new.
    fs::write(state.join("shares.json"), "{").unwrap();
    assert_eq!(with(&daemon, "/garden", &good).status, 200);
    assert_eq!(
        with(&daemon, "/garden", &key.sign(&share(now() + 60))).status,
        401
    );
}

/// A JWT signed by HMAC-SHA256 with that secret, whatever its header says.
fn jwt(secret: &[u8], algorithm: &str, claims: &Value) -> String {
    let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
    let header = encode(json!({ "alg": algorithm }).to_string());
    let text = format!("{header}.{}", encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mac = hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac))
}

#[test]
fn tokens_of_another_issuer_are_checked_in_all_they_say() {
    let set = |secret: &[u8]| {
        json!({ "keys": [{ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) }] }).to_string()
    };
    let (secret, next) = ([7; 32], [8; 32]);
    let scratch = Scratch::new();
    let keys = scratch.write("jwks.json", &set(&secret));
    let config = format!(
        "[auth]\nmode = \"jwt\"\njwt_keys = {keys:?}\njwt_audience = \"cams\"\n{TWO_STREAMS}"
    );
    let daemon = Daemon::configured(&config);
    let claims = json!({ "exp": now() + 60, "aud": "cams", "scope": "view", "stream": "garden" });
    let changed = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        jwt(&secret, "HS256", &claims)
    };
    let good = jwt(&secret, "HS256", &claims);
    for (token, path, status, says) in [
        (&good, "/garden", 200, ""),
        (&good, "/porch", 403, "insufficient_scope"),
        (&good, "/metrics", 403, "insufficient_scope"),
        (
            &changed("scope", json!("admin")),
            "/garden",
            403,
            "insufficient_scope",
        ),
        (
            &changed("scope", json!("admin")),
            "/metrics",
            403,
            "insufficient_scope",
        ),
        (
            &changed("exp", json!(now() - 100)),
            "/garden",
            401,
            "has expired",
        ),
        (
            &changed("nbf", json!(now() + 200)),
            "/garden",
            401,
            "not valid yet",
        ),
        (
            &changed("aud", json!("doors")),
            "/garden",
            401,
            "not for this server",
        ),
        (
            &jwt(&secret, "none", &claims),
            "/garden",
            401,
            "invalid_token",
        ),
        (
            &jwt(&secret, "HS512", &claims),
            "/garden",
            401,
            "another algorithm",
        ),
        (
            &jwt(&next, "HS256", &claims),
            "/garden",
            401,
            "invalid_token",
        ),
    ] {
        let reply = with(&daemon, path, token);
        assert_eq!(reply.status, status, "{path} {says}");
        assert!(challenge(&reply).contains(says), "{says}: {reply:?}");
    }
    assert_eq!(watch(&daemon, "garden", &good).status, 201);
    let told = command(&daemon.state_dir(), &["share"]).unwrap_err();
    assert!(told.contains("needs no token of its own"), "{told}");

    // New keys without a restart; a file that is no use changes nothing.
    let renewed = jwt(&next, "HS256", &claims);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    scratch.write("jwks.json", "half a fi");
    runtime.block_on(eventually("the damage to be noticed", async || {
        assert_eq!(with(&daemon, "/garden", &good).status, 200);
        let log = daemon.log();
        let is_told = log.contains("who may watch stays as it was");
        is_told.then_some(()).ok_or(log)
    }));
    scratch.write("jwks.json", &set(&next));
    runtime.block_on(eventually("the new key to be known", async || {
        let status = with(&daemon, "/garden", &renewed).status;
        (status == 200).then_some(()).ok_or(status.to_string())
    }));
    assert_ne!(with(&daemon, "/garden", &good).status, 200);
}

#[test]
fn an_open_daemon_asks_for_nothing_a_strict_one_asks_this_machine_too_and_friends_are_named() {
    let open = Daemon::configured(&format!("[auth]\nmode = \"none\"\n{TWO_STREAMS}"));
    assert_eq!(ask(&open, "GET", "/garden", &[]).status, 200);
    assert_eq!(watch(&open, "garden", "anything").status, 201);
    let evil = [("origin", "https://evil.example")];
    assert_eq!(ask(&open, "POST", "/whep", &evil).status, 403);
    assert!(!open.state_dir().join("token").exists());
    let named = "[http]\ncors_origins = [\"*\", \"https://friend.example\"]\n";
    let named = Daemon::configured(&format!("{named}{TWO_STREAMS}"));
    let from = |origin| {
        let headers = [("origin", origin)];
        let reply = request(named.address(), "POST", "/whep", &headers, b"");
        reply.unwrap().status
    };
    assert_eq!(
        (from("https://friend.example"), from("https://evil.example")),
        (415, 403)
    );

    let strict = Daemon::configured(&format!("[auth]\nloopback = false\n{TWO_STREAMS}"));
    let local = request(strict.address(), "GET", "/garden", &[], b"").unwrap();
    assert_eq!(local.status, 401);
    assert_eq!(with(&strict, "/garden", &strict.token()).status, 200);
    let links = command(&strict.state_dir(), &["url"]).unwrap();
    assert!(links.contains("?token="), "{links}");
}

#[test]
fn every_reply_is_hardened_and_the_page_is_framed_by_whom_the_configuration_names() {
    let frames = "[http]\nframe_ancestors = [\"https://home.example\"]\n";
    let daemon = Daemon::configured(&format!("{frames}{TWO_STREAMS}"));
    for path in [
        "/",
        "/garden",
        "/api/streams",
        "/metrics",
        "/healthz",
        "/assets/main.js",
        "/a/b",
    ] {
        let reply = request(daemon.address(), "GET", path, &[], b"").unwrap();
        assert_eq!(
            reply.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            reply.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe-"), "{path}: {policy}");
        let is_page = reply.body.starts_with("<!doctype html>");
        let frames = if is_page {
            "'self' https://home.example"
        } else {
            "'none'"
        };
        assert!(
            policy.ends_with(&format!("frame-ancestors {frames}")),
            "{path}: {policy}"
        );
    }
}

#[test]
fn nothing_of_the_page_is_inline() {
    let page = include_str!("../src/web/index.html");
    for tag in page
        .split('<')
        .filter(|tag| tag.starts_with("script") || tag.starts_with("style"))
    {
        let (tag, content) = tag.split_once('>').unwrap();
        assert!(tag.contains("src="), "{tag}");
        assert!(content.trim().is_empty(), "{content}");
    }
    for inline in [" style=", " onclick=", " onload=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
}
