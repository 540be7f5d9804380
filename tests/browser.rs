//! The page in a real browser: headless Chromium watches the test pattern from the daemon as users run it.
//!
//! Leaves screenshots of what it saw in `target/screenshots`.

mod support;

use serde_json::{Value, json};
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
    // Either the pictures are missed first, or the daemon when the connection is to be mended.
    let noticed = ["stalled", "offline"].contains(&&after_kill[1][..]);
    assert!(after_kill[0] == "playing" && noticed, "{after_kill:?}");

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
async fn pictures_go_on_while_nobody_answers_over_http() {
    let browser = Browser::start().await;
    // So few of them that the page asks whether they are a slate's.
    let config = "[[stream]]\nname = \"camera\"\npattern = true\nsize = \"320x180\"\nfps = 3\n";
    let daemon = Daemon::configured(config);
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;
    note_states(&browser).await;
    let deafen = "
        window.asked = 0;
        window.fetch = async () => {
          window.asked += 1;
          throw new TypeError('nobody answers');
        };";
    browser.run(deafen, &[]).await;
    eventually("the page to ask again and again", async || {
        let asked = browser.run("return window.asked", &[]).await;
        (asked.as_u64() >= Some(3))
            .then_some(())
            .ok_or(asked.to_string())
    })
    .await;
    assert_eq!(states(&browser).await, ["playing"]);
}

#[tokio::test]
async fn the_front_page_shows_all_streams_and_what_is_wrong_with_one() {
    let browser = Browser::start().await;
    let room = |n| {
        format!("[[stream]]\nname = \"room-{n}\"\npattern = true\nsize = \"320x180\"\nfps = 15\n")
    };
    let rooms: String = (1..=6).map(room).collect();
    let daemon = Daemon::configured(&[THREE_STREAMS, &rooms].concat());
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "ready").await;
    // A tile plays while it can be seen.
    let rooms = (1..=6).map(|n| format!("room-{n}"));
    for name in ["porch".to_owned(), "garden".to_owned()]
        .into_iter()
        .chain(rooms)
    {
        let tile = format!("a[href={name}]");
        let script = "document.querySelector(arguments[0])?.scrollIntoView()";
        browser.run(script, &[json!(tile)]).await;
        browser.until_state(&tile, "playing").await;
    }
    browser.run("scrollTo(0, 0)", &[]).await;
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
        "The camera is not connected",
        "/dev/video99: no such device.",
        "Plug the camera in, or choose another device: “fanlight cameras” lists them.",
    ] {
        assert!(said.contains(sentence), "{sentence} is not in {said}");
    }

    browser.open(&daemon.url("/nowhere")).await;
    browser.until_state("main", "unknown").await;
    let said = browser.text(".notice").await;
    assert!(said.contains("There is no stream “nowhere”."), "{said}");
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
        let is_refused = said.contains("invalid or has expired");
        assert_eq!(is_refused, path.contains("token="), "{said}");
        assert_eq!(browser.run("return location.search", &[]).await, "");
    }
    browser.screenshot("locked").await;
    let width = "return document.querySelector('input').offsetWidth > 100";
    assert_eq!(browser.run(width, &[]).await, true, "there is a field");
    let paste = "
        document.querySelector('input').value = arguments[0];
        document.querySelector('form button').click()";
    let link = format!("http://camera.lan/camera?token={}", daemon.token());
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
    assert!(said.contains("You need a link to watch"), "{said}");
}

#[tokio::test]
async fn a_certificate_of_the_daemons_own_is_trusted_once_its_authority_is() {
    let config = "[tls]\nself_signed = true\n[[stream]]\nname = \"camera\"\npattern = true\n";
    let daemon = Daemon::configured(config);
    let browser = Browser::start_trusting(&daemon.state_dir().join("ca.pem")).await;
    // By address, and from plain HTTP.
    browser
        .open(&daemon.bare_url("/").replace("https:", "http:"))
        .await;
    browser.until_state("main", "locked").await;
    browser.open(&daemon.url("/")).await;
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

/// A camera whose controls the page sees in place of the test pattern's, which has none; real ones are in `tests/watching/`.
const FAKE_CAMERA: &str = r#"
    const plain = { inactive: false, read_only: false, kept: false };
    const integer = { ...plain, kind: 'integer', minimum: 0, maximum: 255, step: 1 };
    const controls = [
      { ...integer, name: 'brightness', label: 'Brightness', value: 128, default: 128 },
      { ...plain, name: 'gain_automatic', label: 'Gain, Automatic', kind: 'boolean', value: true, default: true },
      { ...integer, name: 'gain', label: 'Gain', value: 40, default: 64, inactive: true },
      { ...plain, name: 'auto_exposure', label: 'Auto Exposure', kind: 'menu', value: 3, default: 3,
        menu: [{ value: 1, label: 'Manual Mode' }, { value: 3, label: 'Aperture Priority Mode' }] },
      { ...integer, name: 'zoom_absolute', label: 'Zoom, Absolute', value: 100, default: 100, minimum: 100, maximum: 500 },
      { ...plain, name: 'pan_reset', label: 'Pan, Reset', kind: 'button', value: null, default: null },
    ];
    window.puts = [];
    const real = window.fetch;
    window.fetch = async (url, init = {}) => {
      const { pathname } = new URL(url, location);
      if (pathname.endsWith('/controls')) {
        const values = init.method === 'PUT' ? JSON.parse(init.body) : {};
        if (init.method === 'PUT') window.puts.push(values);
        if (values.zoom_absolute > 400) {
          const problem = { title: 'Unprocessable Content', detail: 'zoom_absolute: the camera refuses this value; nothing was changed' };
          const headers = { 'content-type': 'application/problem+json' };
          return new Response(JSON.stringify(problem), { status: 422, headers });
        }
        for (const control of controls) {
          const value = values[control.name];
          if (value === undefined) continue;
          control.kept = value !== null;
          control.value = control.kind === 'button' ? null : value ?? control.default;
        }
        controls[2].inactive = controls[1].value;
        return Response.json({ camera: 'usb:046d:0825', controls });
      }
      const reply = await real(url, init);
      if (pathname !== '/api/streams/camera') return reply;
      return Response.json({ ...await reply.json(), controls: true });
    };
    const { offerControls } = await import('/assets/controls.js');
    const { Panels } = await import('/assets/panel.js');
    const main = document.querySelector('main');
    const { signal } = new AbortController();
    await offerControls(main, 'camera', new Panels(main, signal), signal);
"#;

/// What the panel shows of a control: its value, whether it can be changed, and whether it can be reset.
const SHOWN: &str = "
    const row = document.querySelector(`[data-name=${arguments[0]}]`);
    const input = row.querySelector('input, select');
    const value = input.type === 'checkbox' ? input.checked : input.value;
    return [value, !input.disabled, row.querySelector('.reset').style.visibility !== 'hidden'];";

/// Moves a slider as a hand does.
const MOVE: &str = "
    const input = document.querySelector(`[data-name=${arguments[0]}] input`);
    for (const value of arguments[1]) {
      input.value = value;
      input.dispatchEvent(new Event('input'));
    }";

#[tokio::test]
async fn a_cameras_controls_are_shown_and_set_and_what_is_refused_is_told() {
    let browser = Browser::start().await;
    let daemon = Daemon::start(&["--test-pattern"]);
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;
    let hidden = "return document.querySelector('[data-panel=settings]').hidden";
    assert_eq!(browser.run(hidden, &[]).await, true, "a pattern has none");
    browser.run(FAKE_CAMERA, &[]).await;
    assert_eq!(browser.run(hidden, &[]).await, false);
    browser.press("c").await;
    let until = async |name: &str, expected: Value| {
        eventually("the panel to show it", async || {
            let is_there = "return document.querySelector(`[data-name=${arguments[0]}]`) !== null";
            if browser.run(is_there, &[json!(name)]).await == false {
                return Err("nothing".to_owned());
            }
            let shown = browser.run(SHOWN, &[json!(name)]).await;
            (shown == expected).then_some(()).ok_or(shown.to_string())
        })
        .await;
    };
    until("brightness", json!(["128", true, false])).await;
    until("gain", json!(["40", false, false])).await;
    until("auto_exposure", json!(["3", true, false])).await;
    browser.screenshot("controls").await;

    // Of a slider that moves the last value counts, and few between are sent.
    let way: Vec<_> = (129..=200).collect();
    browser.run(MOVE, &[json!("brightness"), json!(way)]).await;
    until("brightness", json!(["200", true, true])).await;
    let puts = "return window.puts.map((values) => values.brightness)";
    eventually("the last value to be sent", async || {
        let puts = browser.run(puts, &[]).await;
        let sent = puts.as_array().unwrap();
        let is_so = sent.last() == Some(&json!(200)) && sent.len() <= 3;
        is_so.then_some(()).ok_or(puts.to_string())
    })
    .await;
    let click = "document.querySelector(arguments[0]).click()";
    browser
        .run(click, &[json!("[data-name=brightness] .reset")])
        .await;
    until("brightness", json!(["128", true, false])).await;
    browser
        .run(click, &[json!("[data-name=gain_automatic] input")])
        .await;
    until("gain_automatic", json!([false, true, true])).await;
    until("gain", json!(["40", true, true])).await;

    // What the camera refuses is told, and the slider goes back.
    browser
        .run(MOVE, &[json!("zoom_absolute"), json!([450])])
        .await;
    until("zoom_absolute", json!(["100", true, false])).await;
    let wrong = browser.text(".settings .wrong").await;
    assert!(wrong.contains("the camera refuses this value"), "{wrong}");
    browser.screenshot("controls-refused").await;

    // A letter chooses in a menu, and is no key of the player.
    let press = "
        const menu = document.querySelector('[data-name=auto_exposure] select');
        menu.dispatchEvent(new KeyboardEvent('keydown', { key: 's', bubbles: true }));
        return document.querySelector('.stats').hidden";
    assert_eq!(browser.run(press, &[]).await, true);
    let unnamed = "
        const inputs = [...document.querySelectorAll('.settings :is(input, select)')];
        return inputs.filter((input) => !input.labels[0]?.textContent).length";
    assert_eq!(browser.run(unnamed, &[]).await, 0);
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
        .filter(|ended| ended.starts_with('{') && !ended.ends_with(" 0"))
        .collect();
    // DELETE comes by HTTP and the farewell of DTLS by UDP: either may be first.
    let by_the_page = ["{reason=\"deleted\"} 1", "{reason=\"closed\"} 1"];
    assert!(
        ended.len() == 1 && by_the_page.contains(&ended[0]),
        "{ended:?}"
    );
}
