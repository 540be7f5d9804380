//! What does not depend on a proof: an open daemon, sites that are named, and the headers of every reply.

use super::*;
use std::fs;

#[test]
fn an_open_daemon_asks_for_nothing_but_a_host_of_its_own_and_friends_are_named() {
    let config = "[http]\nhosts = [\"camera.lan\"]\n[auth]\nmode = \"none\"\n";
    let open = Daemon::configured(&format!("{config}{TWO_STREAMS}"));
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (host, status) in [
        ("localhost", 200),
        ("127.0.0.1:8080", 200),
        ("CAMERA.lan:80", 200),
        (hostname.trim(), 200),
        (&format!("{}.local", hostname.trim()), 200),
        ("evil.test", 421),
        ("camera.lan.evil.test", 421),
    ] {
        // To the browser a page of evil.test asks its own server.
        let origin = format!("http://{host}");
        let headers = [
            ("host", host),
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
        ];
        for path in ["/garden", "/api/streams", "/metrics"] {
            let reply = bare(open.address(), "GET", path, &headers, b"").unwrap();
            assert_eq!(reply.status, status, "{host} {path}");
            if status == 421 {
                let detail = reply.json()["detail"].to_string();
                assert!(detail.contains("[http] hosts"), "{detail}");
            }
        }
        let post = bare(open.address(), "POST", "/whep", &headers, b"").unwrap();
        assert_eq!(post.status == 421, status == 421, "{host}");
    }
    assert_eq!(ask(&open, "GET", "/garden", &[]).status, 200);
    assert_eq!(watch(&open, "garden", "anything").status, 201);
    let evil = [("origin", "https://evil.example")];
    assert_eq!(ask(&open, "POST", "/whep", &evil).status, 403);
    assert!(!open.state_dir().join("token").exists());
    let named = "[http]\ncors_origins = [\"*\", \"https://friend.example\"]\n";
    let named = Daemon::configured(&format!("{named}{TWO_STREAMS}"));
    let reply = ask(&named, "GET", &format!("/?token={}", named.token()), &[]);
    let cookie = reply.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let from = |origin| {
        let headers = [("origin", origin), ("cookie", cookie)];
        ask(&named, "POST", "/whep", &headers).status
    };
    assert_eq!(
        (from("https://friend.example"), from("https://evil.example")),
        (415, 403)
    );
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
        let reply = with(&daemon, path, &daemon.token());
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
    let page = include_str!("../../src/web/index.html");
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
