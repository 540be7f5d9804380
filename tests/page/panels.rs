//! The panels over the picture: how they close, what they hide, and what has the focus.

use super::support::browser::Browser;
use super::support::daemon::Daemon;
use super::support::{eventually, page};
use super::{DESKTOP, ON_ITS_SIDE, UPRIGHT, streams};
use serde_json::json;

/// Which panels can be seen.
const OPEN: &str =
    "return [...document.querySelectorAll('.panel:not([hidden])')].map(({ id }) => id)";

/// What the buttons of a panel say of it.
const EXPANDED: &str = "
    const buttons = document.querySelectorAll(`[data-panel=${arguments[0]}]`);
    return [...buttons].map((button) => button.getAttribute('aria-expanded'))";

/// An attempt to connect is given up after ten seconds: here after four, so that what it says meanwhile can still be seen.
const HURRY: &str = "
    const real = window.setTimeout;
    window.setTimeout = (act, wait, ...rest) => real(act, wait === 10_000 ? 4000 : wait, ...rest);";

/// Whether the focus is in a panel.
const FOCUS: &str = "return document.activeElement.closest('.panel')?.id ?? ''";

#[tokio::test]
async fn a_panel_closes_by_its_button_by_escape_and_by_a_tap_beside_it_and_gives_the_focus_back() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;

    let tap = "document.querySelector('video').click()";
    let close = "document.querySelector('#stats .close').click()";
    let escape = "dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))";
    let focus = "
        const button = document.querySelector('.controls [data-panel=stats]');
        button.focus();
        button.click();";
    let has_focus = "return document.activeElement.dataset.panel ?? ''";
    for way in [close, escape, tap] {
        browser.run(focus, &[]).await;
        assert_eq!(browser.run(OPEN, &[]).await, json!(["stats"]), "{way}");
        assert_eq!(browser.run(FOCUS, &[]).await, "stats", "{way}");
        assert_eq!(
            browser.run(EXPANDED, &[json!("stats")]).await,
            json!(["true"])
        );
        browser.run(way, &[]).await;
        assert_eq!(browser.run(OPEN, &[]).await, json!([]), "{way}");
        assert_eq!(
            browser.run(EXPANDED, &[json!("stats")]).await,
            json!(["false"])
        );
        assert_eq!(browser.run(has_focus, &[]).await, "stats", "{way}");
    }
    // A tap in the panel is none beside it.
    browser.press("?").await;
    browser
        .run("document.querySelector('#keys dd').click()", &[])
        .await;
    assert_eq!(browser.run(OPEN, &[]).await, json!(["keys"]));
}

#[tokio::test]
async fn a_phone_shows_one_panel_at_a_time_and_every_panel_can_be_reached() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;
    let both = "
        const { Panels } = await import('/assets/panel.js');
        const main = document.querySelector('main');
        const panels = new Panels(main, new AbortController().signal);
        panels.add('settings', { place: 'middle' });
        panels.add('stats', { place: 'right' });
        panels.open('settings');
        panels.open('stats');
        const open = [...main.querySelectorAll('.panel:not([hidden])')].map(({ id }) => id);
        panels.closeAll();
        return open";
    for (size, expected) in [
        (DESKTOP, json!(["stats", "settings"])),
        (UPRIGHT, json!(["stats"])),
        (ON_ITS_SIDE, json!(["stats"])),
    ] {
        browser.look_like(size, &[]).await;
        assert_eq!(browser.run(both, &[]).await, expected, "{size:?}");
    }
    // Nothing lies over a panel's button, nor over those that a panel leaves in sight.
    let covered = "
        document.querySelector('.controls [data-panel=stats]').click();
        const buttons = document.querySelectorAll('.panel:not([hidden]) .close, .controls .button:not([hidden])');
        const covered = [...buttons].filter((button) => {
          const { left, top, width, height } = button.getBoundingClientRect();
          if (width === 0) return false;
          const found = document.elementFromPoint(left + width / 2, top + height / 2);
          return !button.contains(found);
        });
        document.querySelector('.panel:not([hidden]) .close').click();
        return covered.map((button) => button.ariaLabel)";
    for size in [DESKTOP, UPRIGHT, ON_ITS_SIDE] {
        browser.look_like(size, &[]).await;
        assert_eq!(browser.run(covered, &[]).await, json!([]), "{size:?}");
    }
}

#[tokio::test]
async fn why_is_answered_in_place_of_the_message_and_can_be_closed_on_a_phone() {
    let browser = Browser::start().await;
    let external = "[http]\nmjpeg_fps = 0\n[rtc]\ntcp_listen = \"off\"\nexternal_addresses = [\"192.0.2.1\"]\n";
    let config = format!("{external}{}", streams(&["camera"]));
    let daemon = Daemon::configured_with_media_at("127.0.0.2:0", &config);
    browser.look_like(UPRIGHT, &[]).await;
    browser.note_failures().await;
    browser.run_in_each_page(HURRY).await;
    browser.open(&daemon.url("/camera")).await;

    // While it connects, the page says what it tries.
    browser
        .until_text(".notice", "The server has answered. Trying UDP port")
        .await;
    browser.until_state("main", "unreachable").await;
    browser.click(".notice .why").await;
    browser.until_text(".doctor", "192.0.2.1").await;
    let seen = "
        const { visibility } = getComputedStyle(document.querySelector('main > .notice'));
        return [visibility, !document.querySelector('.doctor').hidden]";
    assert_eq!(browser.run(seen, &[]).await, json!(["hidden", true]));
    browser.screenshot("phone-why").await;
    browser.click(".doctor .close").await;
    assert_eq!(browser.run(seen, &[]).await, json!(["visible", false]));

    // A server that makes no images is asked for them once.
    let asked = "
        const entries = performance.getEntriesByType('resource');
        return entries.filter(({ name }) => name.endsWith('/mjpeg')).length";
    assert_eq!(browser.run(asked, &[]).await, 1);
    assert_eq!(browser.run("return failures", &[]).await, json!([]));
}

#[tokio::test]
async fn the_statistics_begin_with_a_verdict_and_the_delay_and_leave_protocols_to_the_details() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;
    browser.press("s").await;
    // A loaded machine may drop a picture; then the verdict is another for some seconds.
    browser.until_text(".verdict", "Good").await;
    eventually("the delay", async || {
        let delay = page::stat(&browser, "delay").await;
        delay
            .ends_with("\u{a0}s")
            .then_some(())
            .ok_or(delay.clone())
    })
    .await;
    browser.screenshot("statistics").await;
    let brief = "
        const lists = document.querySelectorAll('.stats dl');
        return [...lists].map((list) => list.textContent).map((text) => [text.includes('NACK'), text.includes('Frame rate')])";
    assert_eq!(
        browser.run(brief, &[]).await,
        json!([[false, true], [true, false]])
    );
    let folded = "return document.querySelector('.stats details').open";
    assert_eq!(browser.run(folded, &[]).await, false);
}
