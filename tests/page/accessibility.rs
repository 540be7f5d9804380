//! Every state of the page, examined by axe-core: on a desktop and on a phone, light, dark, and in the system's few colours.

use super::contrast::{every_letter_can_be_read, every_target_can_be_tapped};
use super::support::browser::Browser;
use super::support::daemon::Daemon;
use super::{DESKTOP, NO_CAMERA, ON_ITS_SIDE, UPRIGHT, streams};
use serde_json::{Value, json};

/// axe-core 4.10.3 (MPL-2.0, see `LICENSE-axe-core` beside it).
const AXE: &str = include_str!("../support/vendor/axe.min.js");

/// What it finds wrong, a line for each element. The system's own colours replace the page's where they are forced, and axe-core
/// reads the page's: it can't judge them then.
const EXAMINE: &str = "
    const isForced = matchMedia('(forced-colors: active)').matches;
    const rules = isForced ? { 'color-contrast': { enabled: false } } : {};
    const { violations, passes } = await axe.run(document, { rules });
    const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)} ${failureSummary}`));
    return { found, passes: passes.length }";

/// A name, the window's size, and the media features that are emulated.
type Look = (
    &'static str,
    (u32, u32),
    &'static [(&'static str, &'static str)],
);

/// How a person may look at the page: the name for it, the window, and preferences.
const LOOKS: [Look; 5] = [
    ("light", DESKTOP, &[("prefers-color-scheme", "light")]),
    ("dark", DESKTOP, &[("prefers-color-scheme", "dark")]),
    ("phone", UPRIGHT, &[("prefers-color-scheme", "light")]),
    (
        "phone-on-its-side",
        ON_ITS_SIDE,
        &[("prefers-color-scheme", "dark")],
    ),
    ("forced-colors", DESKTOP, &[("forced-colors", "active")]),
];

/// Looks at the page as it is now in all those ways.
async fn examine(browser: &Browser, state: &str) {
    if browser.run("return 'axe' in window", &[]).await == false {
        browser.run(&format!("{AXE}; window.axe = axe"), &[]).await;
    }
    for (look, size, features) in LOOKS {
        browser.look_like(size, features).await;
        let is_touched = size != DESKTOP;
        let touch = json!({ "enabled": is_touched });
        browser
            .devtools("Emulation.setTouchEmulationEnabled", touch)
            .await;
        // The player shows its buttons again.
        browser
            .run("dispatchEvent(new Event('pointermove'))", &[])
            .await;
        // Colours and sizes change within 0.3 s; nothing of them is to be examined halfway.
        browser
            .run("await Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations !== Infinity).map((one) => one.finished.catch(() => {})))", &[])
            .await;
        let what = format!("{state}, {look}");
        browser.screenshot(&format!("{state}-{look}")).await;
        let found: Value = browser.run(EXAMINE, &[]).await;
        assert_eq!(found["found"], json!([]), "{what}");
        assert!(found["passes"].as_u64() > Some(0), "{what}: no rule");
        if look != "forced-colors" {
            every_letter_can_be_read(browser, &what).await;
        }
        if is_touched {
            every_target_can_be_tapped(browser, &what).await;
        }
    }
    browser.look_like(DESKTOP, &[]).await;
}

#[tokio::test]
async fn the_player_and_its_panels() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["porch", "garden"]));
    browser.open(&daemon.url("/porch")).await;
    browser.until_state("main", "playing").await;
    examine(&browser, "player").await;
    browser.press("s").await;
    browser.until_text(".verdict", "").await;
    browser.click(".stats summary").await;
    examine(&browser, "player-statistics").await;
    browser.press("?").await;
    examine(&browser, "player-keys").await;
    let settings = format!("{CONTROLS}{OPEN_CONTROLS}");
    browser.run(&settings, &[]).await;
    browser.until_text("#settings", "Zoom, Absolute").await;
    examine(&browser, "player-settings").await;
    browser
        .run("document.querySelector('.settings .wrong').textContent = 'The camera refuses this value.'", &[])
        .await;
    examine(&browser, "player-settings-refused").await;
}

#[tokio::test]
async fn the_grid_and_a_failed_camera() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&[&streams(&["porch", "garden"]), NO_CAMERA].concat());
    browser.open(&daemon.url("/")).await;
    browser.until_text(".summary", "2 live, 1 down").await;
    examine(&browser, "grid").await;
    browser.open(&daemon.url("/attic")).await;
    browser.until_state("main[data-slate]", "camera-down").await;
    examine(&browser, "slate").await;
    browser.open(&daemon.url("/nosuch")).await;
    browser.until_text(".choices", "garden").await;
    examine(&browser, "unknown").await;
    browser.open(&daemon.url("/no/such")).await;
    examine(&browser, "nothing-there").await;
    browser.open(&daemon.url("/assets/trust.html")).await;
    examine(&browser, "trust").await;
}

#[tokio::test]
async fn the_login() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.lan_url("/camera")).await;
    browser.until_state("main", "locked").await;
    examine(&browser, "login").await;
    let paste = "
        document.querySelector('input').value = 'a-wrong-one';
        document.querySelector('form button').click()";
    browser.run(paste, &[]).await;
    browser.until_text(".wrong", "invalid or has expired").await;
    examine(&browser, "login-refused").await;
}

#[tokio::test]
async fn what_is_shown_where_webrtc_does_not_get_through() {
    let browser = Browser::start().await;
    let external = "[rtc]\ntcp_listen = \"off\"\nexternal_addresses = [\"192.0.2.1\"]\n";
    let config = format!("{external}{}", streams(&["camera"]));
    let daemon = Daemon::configured_with_media_at("127.0.0.2:0", &config);
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main[data-way=mjpeg]", "playing").await;
    examine(&browser, "images").await;
    browser.click("button.way").await;
    browser.until_text(".doctor", "In use").await;
    examine(&browser, "images-why").await;

    let without = format!("[http]\nmjpeg_fps = 0\n{config}");
    let daemon = Daemon::configured_with_media_at("127.0.0.2:0", &without);
    browser.open(&daemon.url("/camera")).await;
    browser.until_text(".notice", "Trying UDP").await;
    examine(&browser, "connecting").await;
    browser.until_state("main", "unreachable").await;
    examine(&browser, "unreachable").await;
}

/// A camera's controls in place of the test pattern's, which has none.
const CONTROLS: &str = r#"
    const plain = { inactive: false, read_only: false, kept: false };
    const integer = { ...plain, kind: 'integer', minimum: 0, maximum: 255, step: 1 };
    const controls = [
      { ...integer, name: 'brightness', label: 'Brightness', value: 140, default: 128 },
      { ...plain, name: 'gain_automatic', label: 'Gain, Automatic', kind: 'boolean', value: true, default: false },
      { ...integer, name: 'gain', label: 'Gain', value: 40, default: 64, inactive: true },
      { ...plain, name: 'auto_exposure', label: 'Auto Exposure', kind: 'menu', value: 3, default: 3,
        menu: [{ value: 1, label: 'Manual Mode' }, { value: 3, label: 'Aperture Priority Mode' }] },
      { ...integer, name: 'zoom_absolute', label: 'Zoom, Absolute', value: 100, default: 100, minimum: 100, maximum: 500 },
      { ...plain, name: 'pan_reset', label: 'Pan, Reset', kind: 'button', value: null, default: null },
    ];
    const real = window.fetch;
    window.fetch = async (url, init = {}) => {
      const { pathname } = new URL(url, location);
      if (pathname.endsWith('/controls')) return Response.json({ camera: 'usb:046d:0825', controls });
      const reply = await real(url, init);
      if (pathname !== '/api/streams/porch') return reply;
      return Response.json({ ...await reply.json(), controls: true });
    };"#;

/// Opens their panel.
const OPEN_CONTROLS: &str = "
    const main = document.querySelector('main');
    const [{ Panels }, { offerControls }] = await Promise.all([import('/assets/panel.js'), import('/assets/controls.js')]);
    const signal = new AbortController().signal;
    const panels = new Panels(main, signal);
    document.querySelector('#keys .close').click();
    await offerControls(main, 'porch', panels, signal);
    panels.open('settings');";
