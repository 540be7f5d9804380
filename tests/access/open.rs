//! What does not depend on a proof: an open daemon, a strict one, and the headers of every reply.

use super::*;

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
