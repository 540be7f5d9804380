//! The daemon and the browser on two machines, and between them a network that loses datagrams both ways.

use crate::support::browser::Browser;
use crate::support::daemon::Daemon;
use crate::support::namespace::{self, DAEMON, Host};
use crate::support::{eventually, http};
use serde_json::Value;
use std::process::Command;

/// About six packets a picture. No keyframe by which a browser could skip what it waits for.
const STREAM: &str = r#"
[auth]
mode = "none"

[[stream]]
name = "camera"
pattern = "noise"
size = "640x360"
bitrate = "1.5M"
keyframe_interval = "60s"
"#;

/// Datagrams lost of a hundred, in each direction.
const LOSS: u32 = 5;
/// Pictures that are received meanwhile: ten seconds' worth, or two thousand packets.
const PICTURES: u64 = 300;
/// Of a hundred that are lost on average; the standard deviation is ten.
const LOST_AT_LEAST: u64 = 50;
/// The browser asks ten times for a packet, so none should be; some may be on their way.
const PICTURES_MISSING_AT_MOST: u64 = 5;
/// A picture is late enough for that when its packet, or the request for it, is lost two times more: about one is.
const FREEZES_AT_MOST: u64 = 15;

/// Plays with the daemon's client module, which unlike the page does nothing when pictures are missing.
const PLAY: &str = "
const { WhepClient } = await import('/assets/whep.js');
window.client = new WhepClient('/whep');
const video = document.createElement('video');
video.autoplay = video.muted = video.playsInline = true;
document.body.append(video);
video.srcObject = await window.client.connect();";

/// What the browser says of the video it receives.
const STATS: &str = "
const report = await window.client.stats();
return [...report.values()].find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');";

#[test]
fn a_network_that_loses_every_twentieth_datagram_costs_no_picture() {
    let test = "loss::a_network_that_loses_every_twentieth_datagram_costs_no_picture";
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
    let browser = Browser::start().await;
    // Any page of the daemon's does, as long as it plays nothing by itself.
    browser.open(&daemon.url("/assets/trust.html")).await;
    browser.run(PLAY, &[]).await;
    until_received(&browser, 30).await;
    let before = Figures::take(&browser, daemon).await;

    lose("browser0", LOSS);
    host.run(|| lose("daemon0", LOSS));
    until_received(&browser, before.received + PICTURES).await;
    let lost = lost();
    lose("browser0", 0);
    host.run(|| lose("daemon0", 0));

    let most = before.missing() + PICTURES_MISSING_AT_MOST;
    let after = eventually("the pictures that were sent to be decoded", async || {
        let now = Figures::take(&browser, daemon).await;
        // Some more than what was missing last, and the last of it has come.
        let is_over = now.missing() <= most && now.received > before.received + PICTURES + 30;
        is_over
            .then_some(now)
            .ok_or(format!("{now:?} after {before:?}"))
    })
    .await;
    println!(
        "{lost} datagrams lost on the way to the browser\nbefore: {before:?}\nafter: {after:?}"
    );
    assert!(lost >= LOST_AT_LEAST, "{lost}");
    // The others were themselves repetitions, or no media.
    assert!(after.repeated - before.repeated >= lost / 2, "{after:?}");
    assert!(after.asked > before.asked, "{after:?}");
    assert!(
        after.freezes - before.freezes <= FREEZES_AT_MOST,
        "{after:?}"
    );
    assert_eq!(after.sessions, 1);
}

/// What the browser and the daemon have counted so far.
#[derive(Debug, Clone, Copy)]
struct Figures {
    /// Pictures, by the browser.
    received: u64,
    decoded: u64,
    freezes: u64,
    /// Its requests for packets, one of which may name several, and the packets that it received again.
    asked: u64,
    repeated: u64,
    /// By the daemon.
    encoded: u64,
    sessions: u64,
}

impl Figures {
    async fn take(browser: &Browser, daemon: &Daemon) -> Self {
        let stats = browser.run(STATS, &[]).await;
        // Chromium leaves out what it has not seen yet.
        let browsers = |name: &str| stats[name].as_u64().unwrap_or(0);
        // Asked second: the pictures that are made meanwhile count as missing, never the other way round.
        let metrics = http::get(daemon.address(), "/metrics").body;
        let daemons = |name: &str| {
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap().parse().unwrap()
        };
        Self {
            received: browsers("framesReceived"),
            decoded: browsers("framesDecoded"),
            freezes: browsers("freezeCount"),
            asked: browsers("nackCount"),
            repeated: browsers("retransmittedPacketsReceived"),
            encoded: daemons("fanlight_frames_encoded_total{stream=\"camera\"}"),
            sessions: daemons("fanlight_sessions_total"),
        }
    }

    /// Pictures that were sent and not decoded, or not yet.
    fn missing(&self) -> u64 {
        self.encoded.saturating_sub(self.decoded)
    }
}

async fn until_received(browser: &Browser, pictures: u64) {
    eventually("pictures to be received", async || {
        let stats = browser.run(STATS, &[]).await;
        let received = stats["framesReceived"].as_u64().unwrap_or(0);
        (received >= pictures)
            .then_some(())
            .ok_or(stats.to_string())
    })
    .await;
}

/// Loses that many of a hundred datagrams that come to an interface of this network, at random. Until the next call they
/// are counted.
fn lose(interface: &str, percent: u32) {
    let rule = match percent {
        0 => String::new(),
        _ => format!(
            "iifname {interface} meta l4proto udp numgen random mod 100 < {percent} counter name lost drop"
        ),
    };
    let rules = format!(
        "table ip loss\ndelete table ip loss\ntable ip loss {{\ncounter lost {{ }}\n\
         chain incoming {{\ntype filter hook prerouting priority 0\n{rule}\n}}\n}}\n"
    );
    namespace::filter(&rules);
}

/// How many datagrams this network has lost since [`lose`].
fn lost() -> u64 {
    let list = ["--json", "list", "counter", "ip", "loss", "lost"];
    let output = Command::new("nft").args(list).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut items = list["nftables"].as_array().unwrap().iter();
    let packets = items.find_map(|item| item["counter"]["packets"].as_u64());
    packets.unwrap()
}
