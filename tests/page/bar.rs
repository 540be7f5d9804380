//! The buttons and the keys: what they offer, when they offer nothing, and when they leave the picture alone.

use super::support::browser::Browser;
use super::support::daemon::Daemon;
use super::support::eventually;
use super::{NO_CAMERA, streams};
use serde_json::{Value, json};

const PRESS: &str = "dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0] }))";

/// The classes of all elements over the picture that are not transparent.
const OVER_THE_PICTURE: &str = "
    const isSeen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && element.offsetWidth > 0;
    const parts = document.querySelectorAll('.badge *, .controls, .controls *, .notice');
    return [...parts].filter(isSeen).map(({ className, localName }) => String(className || localName))";

async fn until_seen(browser: &Browser, what: &str, is_so: impl Fn(&[Value]) -> bool) {
    eventually(what, async || {
        let seen = browser.run(OVER_THE_PICTURE, &[]).await;
        let is_so = is_so(seen.as_array().unwrap());
        is_so.then_some(()).ok_or(seen.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_live_picture_that_is_left_alone_has_nothing_over_it_until_the_pointer_moves() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["porch", "garden"]));
    browser.open(&daemon.url("/porch")).await;
    browser.until_state("main[data-idle]", "playing").await;
    until_seen(&browser, "nothing over the picture", <[Value]>::is_empty).await;
    browser.screenshot("left-alone").await;
    let stir = "dispatchEvent(new Event('pointermove'))";
    browser.run(stir, &[]).await;
    until_seen(&browser, "name, dot and buttons", |seen| {
        ["dot", "name", "controls"]
            .iter()
            .all(|part| seen.contains(&json!(part)))
    })
    .await;
}

/// Whether these buttons can be pressed.
const OFFERED: &str = "
    const buttons = ['snapshot', 'pip', 'fullscreen'].map((action) => document.querySelector(`[data-action=${action}]`));
    return buttons.map((button) => !button.disabled && !button.hidden)";

#[tokio::test]
async fn without_a_picture_none_can_be_saved_or_enlarged() {
    let browser = Browser::start().await;
    browser.note_failures().await;
    let daemon = Daemon::configured(&[&streams(&["porch"]), NO_CAMERA].concat());
    browser.open(&daemon.url("/porch")).await;
    browser.until_state("main", "playing").await;
    let all = json!([true, true, true]);
    assert_eq!(browser.run(OFFERED, &[]).await, all);

    browser.open(&daemon.url("/attic")).await;
    browser.until_state("main", "camera-down").await;
    let none = json!([false, false, false]);
    assert_eq!(browser.run(OFFERED, &[]).await, none);
    for key in ["i", "p", "f"] {
        browser.press(key).await;
    }
    let done = "
        const { hidden, textContent } = document.querySelector('.told');
        return [hidden, textContent, document.fullscreenElement === null]";
    assert_eq!(browser.run(done, &[]).await, json!([true, "", true]));
    assert_eq!(browser.run("return failures", &[]).await, json!([]));
}

#[tokio::test]
async fn full_screen_can_be_left_also_when_the_picture_is_gone() {
    let browser = Browser::start().await;
    let mut daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main", "playing").await;
    browser.press("f").await;
    let is_full = "return document.fullscreenElement !== null";
    let until_full = async |expected: bool| {
        eventually("full screen to change", async || {
            let found = browser.run(is_full, &[]).await;
            (found == expected).then_some(()).ok_or(found.to_string())
        })
        .await;
    };
    until_full(true).await;
    daemon.kill();
    browser.until_state("main", "offline").await;
    browser.press("f").await;
    until_full(false).await;
}

#[tokio::test]
async fn a_single_camera_offers_no_way_to_others_and_several_do() {
    let browser = Browser::start().await;
    for (names, expected) in [(&["porch"] as &[_], false), (&["porch", "garden"], true)] {
        let daemon = Daemon::configured(&streams(names));
        browser.open(&daemon.url("/porch")).await;
        browser.until_state("main", "playing").await;
        browser.run(PRESS, &[json!("?")]).await;
        let offered = "
            const keys = document.querySelector('#keys').innerText;
            const buttons = [...document.querySelectorAll('.home, .beside')];
            return [keys.includes('all cameras'), keys.includes('next camera'), buttons.every(({ hidden }) => !hidden)]";
        eventually("the keys and buttons that go elsewhere", async || {
            let found = browser.run(offered, &[]).await;
            let all = json!([expected, expected, expected]);
            (found == all).then_some(()).ok_or(found.to_string())
        })
        .await;
        browser.run(PRESS, &[json!("g")]).await;
        let view = if expected { "grid" } else { "player" };
        let found = browser
            .run("return document.querySelector('main').dataset.view", &[])
            .await;
        assert_eq!(found, view);
    }
}

#[tokio::test]
async fn the_key_for_controls_says_that_a_camera_has_none() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&[&streams(&["porch"]), NO_CAMERA].concat());
    browser.open(&daemon.url("/porch")).await;
    browser.until_state("main", "playing").await;
    browser.press("c").await;
    let said = "This camera has no controls that you can set";
    browser.until_text(".told", said).await;
    browser.open(&daemon.url("/attic")).await;
    browser.until_state("main", "camera-down").await;
    browser.press("c").await;
    browser.until_text(".told", "while it works").await;
}
