//! The daemon and the browser on two machines, and between them a firewall that lets no UDP through.

use crate::support::browser::Browser;
use crate::support::daemon::Daemon;
use crate::support::namespace::{self, DAEMON, Host};
use crate::support::page::until_decoded;
use crate::support::{eventually, http};
use serde_json::Value;

const STREAM: &str = r#"
[auth]
mode = "none"

[[stream]]
name = "camera"
pattern = true
size = "640x360"
bitrate = "1M"
"#;

/// Plays with the daemon's client module, which tells more than the page.
const PLAY: &str = "
const { WhepClient } = await import('/assets/whep.js');
window.client = new WhepClient('/whep');
const video = document.createElement('video');
video.autoplay = video.muted = video.playsInline = true;
document.body.append(video);
video.srcObject = await window.client.connect();";

/// The way that media takes by the browser's word, its protocol and our candidate's role; and the pictures that it showed.
const STATS: &str = "
const report = await window.client.stats();
const all = [...report.values()];
const transport = all.find(({ type }) => type === 'transport');
const pair = report.get(transport?.selectedCandidatePairId);
const video = all.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
return [report.get(pair?.localCandidateId)?.protocol, report.get(pair?.remoteCandidateId)?.tcpType,
    video?.framesDecoded ?? 0];";

#[test]
fn where_udp_is_blocked_a_browser_watches_over_tcp() {
    let test = "blocked::where_udp_is_blocked_a_browser_watches_over_tcp";
    let inside = || {
        let host = namespace::two_machines();
        let daemon = host.run(|| Daemon::configured_at(&format!("{DAEMON}:8080"), STREAM));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime
            .enable_all()
            .build()
            .unwrap()
            .block_on(watch(&host, &daemon));
    };
    namespace::inside(test, crate::vm::turn, inside);
}

async fn watch(host: &Host, daemon: &Daemon) {
    block_udp(host, true);
    let browser = Browser::start().await;
    // By the module, which tells the way.
    browser.open(&daemon.url("/assets/trust.html")).await;
    browser.run(PLAY, &[]).await;
    let found = eventually("pictures over TCP", async || {
        let found = browser.run(STATS, &[]).await;
        let decoded = found[2].as_u64().unwrap_or(0);
        (decoded > 60)
            .then(|| found.clone())
            .ok_or(found.to_string())
    })
    .await;
    assert_eq!((&found[0], &found[1]), (&"tcp".into(), &"passive".into()));
    assert_eq!(transports(daemon), ["tcp"]);
    let session = browser.run("return window.client.session", &[]).await;
    let (_, id) = session.as_str().unwrap().rsplit_once('/').unwrap();
    let found = http::get(daemon.address(), &format!("/api/sessions/{id}/doctor")).json();
    assert_eq!(found["finding"], "udp_blocked", "{found}");

    // And the page, where nobody does anything.
    browser.open(&daemon.url("/camera")).await;
    browser.press("s").await;
    until_decoded(&browser, 60).await;
    let way = "return document.querySelector('main').dataset.way";
    assert_eq!(browser.run(way, &[]).await, "tcp");
    assert_eq!(transports(daemon).last().unwrap(), "tcp");
    browser.screenshot("udp-blocked").await;

    // What can go by UDP does, and goes on when it can't any more.
    block_udp(host, false);
    browser.open(&daemon.url("/assets/trust.html")).await;
    browser.open(&daemon.url("/camera")).await;
    browser.press("s").await;
    until_decoded(&browser, 30).await;
    assert_eq!(transports(daemon).last().unwrap(), "udp");
    block_udp(host, true);
    eventually("the page to go over to TCP", async || {
        let transports = transports(daemon);
        let last = transports.last().map(String::as_str);
        (last == Some("tcp"))
            .then_some(())
            .ok_or(format!("{transports:?}"))
    })
    .await;
    let decoded = until_decoded(&browser, 30).await;
    until_decoded(&browser, decoded + 30).await;
}

/// What carries media to each viewer, by the daemon, in the order in which they came.
fn transports(daemon: &Daemon) -> Vec<String> {
    let list: Value = http::get(daemon.address(), "/api/viewers").json();
    let viewers = list["viewers"].as_array().unwrap().iter();
    let transport = |viewer: &Value| viewer["transport"].as_str().unwrap().to_owned();
    viewers.map(transport).collect()
}

/// As firewalls do that let through what web pages need: both ways, and without a word.
fn block_udp(host: &Host, is_blocked: bool) {
    let block = |interface| {
        let rule = if is_blocked {
            format!("iifname {interface} meta l4proto udp drop")
        } else {
            String::new()
        };
        namespace::filter(&format!(
            "table ip blocked\ndelete table ip blocked\ntable ip blocked {{\n\
             chain incoming {{\ntype filter hook prerouting priority 0\n{rule}\n}}\n}}\n"
        ));
    };
    block("browser0");
    host.run(|| block("daemon0"));
}
