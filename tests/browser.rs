//! The page in a real browser: headless Chromium watches the test pattern from the daemon as users run it.
//!
//! Leaves screenshots of what it saw in `target/screenshots`.

mod support;

use serde_json::json;
use support::browser::Browser;
use support::daemon::Daemon;
use support::page::{note_states, stat, states, until_decoded};
use support::picture::{shows_bars, watch};
use support::{eventually, http, site};

/// Small pictures, since a browser without a graphics card decodes and draws three of them at once.
const THREE_STREAMS: &str = r#"
[[stream]]
name = "porch"
pattern = true
size = "640x360"

[[stream]]
name = "garden"
pattern = true
size = "320x180"

[[stream]]
name = "attic"
device = "/dev/video99"
"#;

/// What a page of another site needs: this, the address of the daemon, and a token.
const OTHER_SITE: &str = r#"<!doctype html>
<title>Another site</title>
<main data-state="connecting"><video autoplay muted playsinline></video></main>
<script type="module">
  import { WhepClient } from 'http://DAEMON/assets/whep.js';
  const main = document.querySelector('main');
  const client = new WhepClient('http://DAEMON/whep', {
    headers: { authorization: 'Bearer TOKEN' },
    onstate: (state) => { main.dataset.state = state; },
  });
  window.leave = () => client.close();
  document.querySelector('video').srcObject = await client.connect();
</script>
"#;

#[tokio::test]
async fn the_page_plays_every_picture_once_in_order_and_in_its_colours() {
    let browser = Browser::start().await;
    let daemon = Daemon::start(&["--test-pattern"]);
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "playing").await;

    let pictures = watch(&browser, 60).await;
    let is_next = |pair: &[_]| pair[0] < pair[1];
    let counters: Option<Vec<_>> = pictures.iter().map(|picture| picture.counter).collect();
    let counters = counters.unwrap_or_else(|| panic!("a picture has no counter: {pictures:?}"));
    assert!(counters.windows(2).all(is_next), "{counters:?}");

    let middles: Vec<_> = (0..7).map(|bar| (1280 * (2 * bar + 1) / 14, 280)).collect();
    shows_bars(&browser, &middles).await;
}

#[tokio::test]
async fn the_statistics_tell_what_is_played() {
    let browser = Browser::start().await;
    let daemon = Daemon::start(&["--test-pattern"]);
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;

    browser.press("s").await;
    let before = until_decoded(&browser, 0).await;
    until_decoded(&browser, before).await;
    browser.screenshot("playing").await;
    let server = format!("{} udp", daemon.address());
    for (key, expected) in [
        ("size", "1280 × 720"),
        ("codec", "H.264 Constrained Baseline 3.1"),
        ("lost", "0 (0.00 %)"),
        ("remote", &server),
    ] {
        assert_eq!(stat(&browser, key).await, expected, "{key}");
    }
    let all = browser.text(".stats").await;
    assert!(!all.contains("NaN") && !all.contains("undefined"), "{all}");

    let is_hidden = "return document.querySelector('.stats').hidden";
    assert_eq!(browser.run(is_hidden, &[]).await, false);
    browser.press("s").await;
    assert_eq!(browser.run(is_hidden, &[]).await, true);
}

#[tokio::test]
async fn a_page_says_that_the_daemon_is_gone_and_plays_again_when_it_is_back() {
    let browser = Browser::start().await;
    let mut daemon = Daemon::start(&["--test-pattern"]);
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "playing").await;
    note_states(&browser).await;

    daemon.kill();
    browser.until_state("main", "offline").await;
    let said = browser.text(".notice").await;
    assert!(said.contains("not reachable"), "{said}");
    daemon.start_again();
    browser.until_state("main", "playing").await;
    let after_kill = states(&browser).await;
    assert_eq!(after_kill[..2], ["playing", "stalled"], "{after_kill:?}");

    // Who is told goodbye need not find out.
    note_states(&browser).await;
    assert_eq!(daemon.terminate().code(), Some(0), "{}", daemon.log());
    browser.until_state("main", "offline").await;
    let after_goodbye = states(&browser).await;
    assert_eq!(after_goodbye[..2], ["playing", "connecting"]);
    assert!(!after_goodbye.contains(&"stalled".to_owned()));

    daemon.start_again();
    browser.until_state("main", "playing").await;
    watch(&browser, 5).await;
}

#[tokio::test]
async fn the_front_page_shows_all_streams_and_what_is_wrong_with_one() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(THREE_STREAMS);
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "ready").await;
    browser.until_state("a[href=porch]", "playing").await;
    browser.until_state("a[href=garden]", "playing").await;
    browser.until_state("a[href=attic]", "camera-down").await;
    browser.screenshot("grid").await;

    browser
        .run("document.querySelector('a[href=attic]').click()", &[])
        .await;
    browser
        .until_state("main[data-view=player]", "camera-down")
        .await;
    browser.screenshot("camera-down").await;
    let said = browser.text(".notice").await;
    for sentence in [
        "The camera is not there",
        "/dev/video99: no such device.",
        "Plug the camera in, or name another device; “fanlight cameras” lists them.",
    ] {
        assert!(said.contains(sentence), "{sentence} is not in {said}");
    }

    browser.open(&daemon.url("/nowhere")).await;
    browser.until_state("main", "unknown").await;
    let said = browser.text(".notice").await;
    let sentence = "There is no stream \"nowhere\"; there is: porch, garden, attic.";
    assert!(said.contains(sentence), "{said}");
}

#[tokio::test]
async fn a_page_of_another_site_can_use_the_client_module() {
    let browser = Browser::start().await;
    let config = "[http]\ncors_origins = [\"*\"]\n[[stream]]\nname = \"camera\"\npattern = true\n";
    let daemon = Daemon::configured(config);
    let address = daemon.address().to_string();
    let page = OTHER_SITE.replace("DAEMON", &address);
    let site = site::serve(page.replace("TOKEN", &daemon.token())).await;
    browser.open(&site).await;
    browser.until_state("main", "connected").await;
    watch(&browser, 5).await;
    assert_eq!(daemon.stream("camera")["viewers"], 1);

    // Ending the session takes what a browser keeps from other sites unless told: the reply's Location, and DELETE.
    browser.run("leave()", &[]).await;
    until_left(&daemon).await;
}

#[tokio::test]
async fn a_page_without_a_link_says_what_to_do_and_plays_once_one_is_pasted() {
    let browser = Browser::start().await;
    let daemon = Daemon::start(&["--test-pattern"]);
    for path in ["/", "/camera", "/nowhere", "/?token=an-old-one"] {
        browser.open(&daemon.lan_url(path)).await;
        browser.until_state("main", "locked").await;
        let said = browser.text("main").await;
        assert!(said.contains("You need a link to watch"), "{said}");
        let is_refused = said.contains("not good, or not any more");
        assert_eq!(is_refused, path.contains("token="), "{said}");
        assert_eq!(browser.run("return location.search", &[]).await, "");
    }
    browser.screenshot("locked").await;
    let width = "return document.querySelector('input').offsetWidth > 100";
    assert_eq!(browser.run(width, &[]).await, true, "there is a field");
    let paste = "
        document.querySelector('input').value = arguments[0];
        document.querySelector('form button').click();
        return document.querySelector('.wrong').textContent";
    let said = browser.run(paste, &[json!("no link at all")]).await;
    assert_eq!(said, "That is neither a link nor a token.");
    let link = format!("http://camera.lan/garden?token={}", daemon.token());
    browser.run(paste, &[json!(link)]).await;
    browser.until_state("main", "playing").await;
    watch(&browser, 5).await;
}

#[tokio::test]
async fn a_link_is_opened_once_and_then_the_page_plays_without_it() {
    let browser = Browser::start().await;
    let daemon = Daemon::start(&["--test-pattern"]);
    let link = daemon.lan_url(&format!("/camera?token={}", daemon.token()));
    browser.open(&link).await;
    browser.until_state("main", "playing").await;
    let address = "return location.pathname + location.search + document.cookie";
    assert_eq!(
        browser.run(address, &[]).await,
        "/camera",
        "no token, no readable cookie"
    );
    browser.open(&daemon.lan_url("/")).await;
    browser.until_state("main", "playing").await;
    watch(&browser, 5).await;

    // The token is another now: whoever watches is asked for the new link when the session ends.
    std::fs::write(
        daemon.state_dir().join("token"),
        "another-one-that-is-long-enough",
    )
    .unwrap();
    browser.open(&daemon.lan_url("/camera")).await;
    browser.until_state("main", "locked").await;
    let said = browser.text("main").await;
    assert!(said.contains("not one of this server's"), "{said}");
}

#[tokio::test]
async fn a_certificate_of_the_daemons_own_is_trusted_once_its_authority_is() {
    let config = "[tls]\nself_signed = true\n[[stream]]\nname = \"camera\"\npattern = true\n";
    let daemon = Daemon::configured(config);
    let browser = Browser::start_trusting(Some(&daemon.state_dir().join("ca.pem"))).await;
    // By address, and from plain HTTP.
    browser
        .open(&daemon.url("/").replace("https:", "http:"))
        .await;
    browser.until_state("main", "playing").await;
    let is_secure = browser
        .run("return isSecureContext && location.protocol", &[])
        .await;
    assert_eq!(is_secure, "https:");
    watch(&browser, 5).await;
    browser.press("s").await;
    let trust = browser.text(".trust").await;
    assert!(trust.contains("Trust this server"), "{trust}");
    browser.open(&daemon.url("/assets/trust.html")).await;
    browser.screenshot("trust").await;
    let said = browser.text("main").await;
    assert!(said.contains("Download the certificate"), "{said}");
}

#[tokio::test]
async fn a_page_that_is_left_ends_its_session_and_with_the_last_one_the_camera_closes() {
    let config = "[[stream]]\nname = \"camera\"\npattern = true\nlinger = \"0s\"\n";
    let browser = Browser::start().await;
    let daemon = Daemon::configured(config);
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "playing").await;
    let stream = daemon.stream("camera");
    assert_eq!(
        (&stream["viewers"], &stream["state"]),
        (&json!(1), &json!("live"))
    );

    browser.open("about:blank").await;
    until_left(&daemon).await;
    eventually("the camera to be closed", async || {
        let stream = daemon.stream("camera");
        (stream["state"] == "idle")
            .then_some(())
            .ok_or(stream.to_string())
    })
    .await;
}

/// Waits until the only session is over because the page ended it, not because it fell silent.
async fn until_left(daemon: &Daemon) {
    eventually("the viewer to be gone", async || {
        let viewers = daemon.stream("camera")["viewers"].clone();
        (viewers == 0).then_some(()).ok_or(viewers.to_string())
    })
    .await;
    let metrics = http::get(daemon.address(), "/metrics").body;
    let lines = metrics.lines();
    let ended: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("fanlight_sessions_ended_total"))
        .collect();
    // DELETE comes by HTTP and the farewell of DTLS by UDP: either may be first.
    let by_the_page = ["{reason=\"deleted\"} 1", "{reason=\"closed\"} 1"];
    assert!(
        ended.len() == 1 && by_the_page.contains(&ended[0]),
        "{ended:?}"
    );
}
