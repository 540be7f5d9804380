//! The page where WebRTC does not get through, or by another way than it should: images over HTTP take its place, a badge
//! and a diagnosis say so, and WebRTC is back when it can be.
//!
//! Leaves screenshots of what it saw in `target/screenshots`.

mod support;

use serde_json::{Value, json};
use support::browser::Browser;
use support::daemon::Daemon;
use support::eventually;
use support::page::{stat, until_decoded};
use support::picture::{read_canvas, watch};

/// A daemon that offers an address for media which leads nowhere (RFC 5737), and no other.
fn unreachable(config: &str) -> Daemon {
    let external = "[rtc]\ntcp_listen = \"off\"\nexternal_addresses = [\"192.0.2.1\"]\n";
    Daemon::configured_with_media_at("127.0.0.2:0", &format!("{external}{config}"))
}

/// These streams, for everybody: some tests use the player's modules without its page, which would make a link a cookie.
fn streams(names: &[&str]) -> String {
    let stream = |name: &&str| {
        format!("[[stream]]\nname = \"{name}\"\npattern = true\nsize = \"640x360\"\n")
    };
    let each: String = names.iter().map(stream).collect();
    format!("[auth]\nmode = \"none\"\n{each}")
}

/// How the page says that its picture comes.
async fn until_way(browser: &Browser, selector: &str, way: &str) {
    let script = "return document.querySelector(arguments[0])?.dataset.way ?? ''";
    eventually(&format!("{selector} by {way}"), async || {
        let found = browser.run(script, &[json!(selector)]).await;
        if found == way {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn where_no_datagram_gets_through_images_are_shown_and_the_reason_is_told() {
    let browser = Browser::start().await;
    let daemon = unreachable(&streams(&["camera"]));
    browser.open(&daemon.url("/")).await;
    until_way(&browser, "main", "mjpeg").await;
    browser.until_state("main", "playing").await;
    assert_eq!(browser.text("button.way").await, "JPEG");

    // What is shown are the newest pictures, in their colours.
    let first = read_canvas(&browser).await;
    eventually("another picture", async || {
        let next = read_canvas(&browser).await;
        if next > first {
            Ok(())
        } else {
            Err(format!("{next:?}"))
        }
    })
    .await;
    assert_eq!(daemon.stream("camera")["viewers"], 1);

    browser.press("s").await;
    let decoded = until_decoded(&browser, 0).await;
    until_decoded(&browser, decoded).await;
    assert_eq!(stat(&browser, "way").await, "JPEG images over HTTP");
    assert_eq!(stat(&browser, "size").await, "640 × 360");
    let all = browser.text(".stats").await;
    assert!(!all.contains("NaN") && !all.contains("undefined"), "{all}");
    browser.screenshot("mjpeg").await;

    // By now a check would have come, and both ends know why none did.
    browser.click("button.way").await;
    let said = browser.until_text(".doctor", "192.0.2.1").await;
    for sentence in [
        "The server offered only 192.0.2.1, which this browser cannot reach; the page came from 127.0.0.1.",
        "Set external_addresses = [\"127.0.0.1\"] under [rtc]",
        "UDP 192.0.2.1:",
        "In use\nJPEG images over HTTP",
        "H.264 in this browser\nyes",
        "Checks that reached the server\nnone",
    ] {
        assert!(said.contains(sentence), "{sentence} is not in {said}");
    }
    browser.screenshot("why").await;
    let link =
        "return fetch(document.querySelector('.doctor a').href).then((reply) => reply.json())";
    let told = browser.run(link, &[]).await;
    assert_eq!(told["finding"], "unreachable_address", "{told}");
    assert_eq!(
        browser.text("button.way").await,
        "JPEG",
        "it goes on meanwhile"
    );
}

#[tokio::test]
async fn without_images_the_page_tells_the_reason_itself() {
    let browser = Browser::start().await;
    let daemon = unreachable(&format!("[http]\nmjpeg_fps = 0\n{}", streams(&["camera"])));
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "unreachable").await;
    let said = browser.text(".notice").await;
    let sentence = "The server offered only 192.0.2.1, which this browser cannot reach; the page came from 127.0.0.1.";
    assert!(said.contains(sentence), "{said}");
    browser.screenshot("unreachable").await;
    browser.click(".notice .why").await;
    browser
        .until_text(".doctor", "Checks sent by this browser")
        .await;
    browser.screenshot("unreachable-why").await;
}

#[tokio::test]
async fn a_browser_without_webrtc_shows_images_until_it_has_it() {
    let browser = Browser::start().await;
    let mut daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.url("/")).await;
    until_way(&browser, "main", "udp").await;
    assert_eq!(
        browser.text("button.way").await,
        "",
        "no badge for what is as it should be"
    );
    let take = "window.kept = RTCPeerConnection; delete window.RTCPeerConnection";
    browser.run(take, &[]).await;
    daemon.kill();
    browser.until_state("main", "offline").await;
    daemon.start_again();
    until_way(&browser, "main", "mjpeg").await;
    read_canvas(&browser).await;
    browser.click("button.way").await;
    browser
        .until_text(".doctor", "This browser has no WebRTC.")
        .await;

    browser
        .run("window.RTCPeerConnection = window.kept", &[])
        .await;
    until_way(&browser, "main", "udp").await;
    browser.until_state("main", "playing").await;
    assert_eq!(browser.text("button.way").await, "");
    watch(&browser, 5).await;
    let canvas = "return document.querySelector('canvas').hidden";
    assert_eq!(
        browser.run(canvas, &[]).await,
        true,
        "nothing lies over the video"
    );
    eventually("the images to end", async || {
        let viewers = daemon.stream("camera")["viewers"].clone();
        if viewers == 1 {
            Ok(())
        } else {
            Err(viewers.to_string())
        }
    })
    .await;
}

#[tokio::test]
async fn every_tile_of_the_grid_shows_images_though_connections_are_few() {
    let browser = Browser::start().await;
    let names = [
        "one", "two", "three", "four", "five", "six", "seven", "eight",
    ];
    let daemon = unreachable(&streams(&names));
    browser.open(&daemon.url("/")).await;
    for name in names {
        let tile = format!("a[href={name}]");
        let show = "
            const tile = document.querySelector(arguments[0]);
            tile?.scrollIntoView();
            return tile !== null";
        eventually("the tile", async || {
            let is_there = browser.run(show, &[json!(tile)]).await;
            (is_there == true).then_some(()).ok_or_else(|| tile.clone())
        })
        .await;
        until_way(&browser, &tile, "mjpeg").await;
        browser.until_text(&tile, "JPEG").await;
    }
    browser.run("scrollTo(0, 0)", &[]).await;
    browser.screenshot("mjpeg-grid").await;
}

#[tokio::test]
async fn a_session_takes_the_servers_named_to_it_and_goes_on_after_an_ice_restart() {
    let browser = Browser::start().await;
    let config = "[whep]\nice_servers = [{ url = \"turn:127.0.0.1:9\", username = \"a, \\\"b\\\"\", credential = \"c;d\" }]\n";
    // An ICE restart is no news at the level that daemons have unless told.
    let filter = "info,fanlight::rtc=debug";
    let config = config.to_owned() + &streams(&["camera"]);
    let daemon = Daemon::configured_that_logs(filter, &config);
    // For its cookie, and without a session.
    browser.open(&daemon.url("/nosuch")).await;
    browser.open(&daemon.url("/assets/trust.html")).await;
    let watching = "
        const { WhepClient } = await import('/assets/whep.js');
        document.body.innerHTML = '<video muted autoplay></video>';
        const client = window.client = new WhepClient('/whep');
        const set = RTCPeerConnection.prototype.setConfiguration;
        let servers;
        RTCPeerConnection.prototype.setConfiguration = function (given) {
          servers = given.iceServers;
          return set.call(this, given);
        };
        document.querySelector('video').srcObject = await client.connect();
        return servers;";
    let servers = browser.run(watching, &[]).await;
    let expected =
        json!([{"urls": "turn:127.0.0.1:9", "username": "a, \"b\"", "credential": "c;d"}]);
    assert_eq!(servers, expected);
    watch(&browser, 5).await;
    for _ in 0..2 {
        let restarted = browser.run("return client.restart()", &[]).await;
        assert_eq!(restarted, true);
        watch(&browser, 20).await;
    }
    eventually("both restarts to be told", async || {
        match daemon.log().matches("goes on after an ICE restart").count() {
            2 => Ok(()),
            restarts => Err(restarts.to_string()),
        }
    })
    .await;
    assert_eq!(browser.run("return client.state", &[]).await, "connected");
    let doctor = "
        const id = client.session.split('/').pop();
        return fetch(`/api/sessions/${id}/doctor`).then((reply) => reply.json())";
    let told = browser.run(doctor, &[]).await;
    assert_eq!(told["ended"], Value::Null, "{told}");

    // A reply that gets lost does not keep later ones from coming.
    let lost = "
        const real = window.fetch;
        window.fetch = async (...request) => {
          window.fetch = real;
          await real(...request);
          throw new TypeError('the reply is lost');
        };
        return [await client.restart(), await client.restart()]";
    assert_eq!(browser.run(lost, &[]).await, json!([false, true]));
    watch(&browser, 20).await;

    // A session that is gone is not restarted, and that is not kept from whoever watches.
    let gone = "
        await fetch(client.session, { method: 'DELETE' });
        return [await client.restart(), client.state]";
    assert_eq!(browser.run(gone, &[]).await, json!([false, "failed"]));
}

/// A page of its own that watches, with a browser that decodes nothing as far as it tells; what is found out about that.
const FROZEN: &str = "
    history.replaceState(null, '', '/camera');
    const { Live } = await import('/assets/live.js');
    RTCPeerConnection.prototype.getStats = async () => new Map();
    document.body.innerHTML = '<video muted autoplay></video><canvas hidden></canvas>';
    const [video, still] = document.body.children;
    return new Promise((resolve) => {
      const onstatus = async ({ title }) => {
        if (title !== 'No picture arrives') return;
        resolve(await live.examine());
        live.stop();
      };
      const live = new Live({ name: 'camera', video, still, pause: null, onstatus, onway() {} });
    });";

#[tokio::test]
async fn where_no_picture_arrives_in_a_session_that_is_connected_the_server_is_asked_before_it_ends()
 {
    let browser = Browser::start().await;
    // Nothing is to be shown in place of the reason.
    let daemon = Daemon::configured(&format!("[http]\nmjpeg_fps = 0\n{}", streams(&["camera"])));
    // For its cookie, and without a session.
    browser.open(&daemon.url("/nosuch")).await;
    browser.open(&daemon.url("/assets/trust.html")).await;
    let found = browser.run(FROZEN, &[]).await;
    let told = &found["told"];
    assert_eq!(told["handshake"]["done"], true, "{found}");
    assert_eq!(told["ended"], Value::Null, "{found}");
}

#[tokio::test]
async fn the_statistics_tell_how_many_watch_and_by_which_way() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "playing").await;
    browser.press("s").await;
    browser.until_text("dd[data-stat=viewers]", "1").await;
    assert_eq!(stat(&browser, "way").await, "WebRTC over UDP");
    browser.press("s").await;
    let examine = "document.querySelector('button.way').click()";
    browser.run(examine, &[]).await;
    let said = browser.until_text(".doctor", "In use").await;
    assert!(
        said.contains("Connected over UDP from 127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("In use\nWebRTC over UDP"), "{said}");
}
