//! Several cameras: the grid and what it says of them, and the way from one to the next.

use super::support::browser::Browser;
use super::support::daemon::Daemon;
use super::support::eventually;
use super::{DESKTOP, NO_CAMERA, ON_ITS_SIDE, UPRIGHT, streams};
use serde_json::{Value, json};

/// How many tiles stand in the first row, and whether the page scrolls.
const LAYOUT: &str = "
    const tiles = [...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect());
    const row = tiles.filter(({ top }) => top === tiles[0].top).length;
    const isWhole = tiles.every(({ bottom, right }) => bottom <= innerHeight && right <= innerWidth);
    return [row, isWhole]";

#[tokio::test]
async fn the_tiles_of_the_grid_fit_the_window() {
    let browser = Browser::start().await;
    let layout = async |names: &[&str], sizes: &[((u32, u32), Value)]| {
        let daemon = Daemon::configured(&streams(names));
        for (size, expected) in sizes {
            browser.look_like(*size, &[]).await;
            browser.open(&daemon.url("/")).await;
            browser.until_state("main", "ready").await;
            let found = browser.run(LAYOUT, &[]).await;
            assert_eq!(found, *expected, "{} in {size:?}", names.len());
        }
    };
    let two = [
        (DESKTOP, json!([2, true])),
        (ON_ITS_SIDE, json!([2, true])),
        (UPRIGHT, json!([1, true])),
    ];
    layout(&["one", "two"], &two).await;
    let nine: Vec<_> = (1..=9).map(|n| format!("room-{n}")).collect();
    let nine: Vec<_> = nine.iter().map(String::as_str).collect();
    let three_by_three = [
        (DESKTOP, json!([3, true])),
        (ON_ITS_SIDE, json!([2, false])),
    ];
    layout(&nine, &three_by_three).await;
    browser.screenshot("phone-grid").await;
}

/// How far the heading's edges are from those of the tiles below it, and whether the row is in the middle of the window.
const EDGES: &str = "
    const tiles = [...document.querySelectorAll('.tile')].map((tile) => tile.getBoundingClientRect());
    const [left, right] = [Math.min(...tiles.map((tile) => tile.left)), Math.max(...tiles.map((tile) => tile.right))];
    const top = document.querySelector('.top').getBoundingClientRect();
    const text = document.querySelector('.heading').getBoundingClientRect();
    return [text.left - left, top.right - right, left + right - document.documentElement.clientWidth].map(Math.round)";

#[tokio::test]
async fn the_heading_of_the_grid_begins_and_ends_with_the_tiles() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["one", "two", "three", "four"]));
    browser.open(&daemon.url("/")).await;
    browser.until_state("main", "ready").await;
    for width in [320, 768, 1280] {
        browser.look_like((width, 800), &[]).await;
        eventually("edges in line", async || {
            let found = browser.run(EDGES, &[]).await;
            (found == json!([0, 0, 0]))
                .then_some(())
                .ok_or(format!("{found} at {width}"))
        })
        .await;
        browser.screenshot(&format!("grid-{width}")).await;
    }
}

#[tokio::test]
async fn the_grid_says_how_many_cameras_are_live_and_a_failed_ones_tile_says_why_once() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&[&streams(&["porch", "garden"]), NO_CAMERA].concat());
    browser.open(&daemon.url("/")).await;
    browser.until_text(".summary", "2 live, 1 down").await;
    let tile = "a[href=attic]";
    let said = browser
        .until_text(tile, "The camera is not connected")
        .await;
    assert_eq!(said.matches("is not connected").count(), 1, "{said}");
    // The slate in the picture says the same: it is not shown as well.
    let seen = "
        const tile = document.querySelector('a[href=attic]');
        const [video, notice] = ['video', '.notice'].map((part) => getComputedStyle(tile.querySelector(part)));
        return ['slate' in tile.dataset, video.visibility, notice.opacity]";
    eventually("the slate to be known", async || {
        let found = browser.run(seen, &[]).await;
        (found == json!([true, "hidden", "1"]))
            .then_some(())
            .ok_or(found.to_string())
    })
    .await;
    browser.screenshot("grid-summary").await;
    // The dot tells the state also where the system chooses the colours; it is round.
    browser
        .look_like(DESKTOP, &[("forced-colors", "active")])
        .await;
    let dots = "
        const dots = [...document.querySelectorAll('.dot')].map((dot) => getComputedStyle(dot));
        const colors = new Set(dots.map(({ backgroundColor }) => backgroundColor));
        return [colors.size, dots.every(({ width, height, forcedColorAdjust }) => `${width} ${height} ${forcedColorAdjust}` === '10px 10px none')]";
    assert_eq!(browser.run(dots, &[]).await, json!([2, true]));
}

#[tokio::test]
async fn in_place_of_a_slate_the_page_names_the_camera_and_says_that_it_continues_by_itself() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(NO_CAMERA);
    let seen = "
        const main = document.querySelector('main');
        const notice = main.querySelector('.notice');
        const { left, right, top, bottom } = notice.getBoundingClientRect();
        const isCentred = Math.abs(left + right - innerWidth) < 2 && Math.abs(top + bottom - innerHeight) < 2;
        const video = getComputedStyle(main.querySelector('video'));
        return [video.visibility, getComputedStyle(notice).opacity, isCentred]";
    for size in [DESKTOP, UPRIGHT] {
        browser.look_like(size, &[]).await;
        browser.open(&daemon.url("/attic")).await;
        browser.until_state("main[data-slate]", "camera-down").await;
        let found = browser.run(seen, &[]).await;
        assert_eq!(found, json!(["hidden", "1", true]), "{size:?}");
        let said = browser.text(".notice").await;
        for part in [
            "attic",
            "/dev/video99: no such device.",
            "This page continues by itself as soon as the camera is back.",
            "Trying again",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}

#[tokio::test]
async fn arrows_and_swipes_go_to_the_next_and_the_previous_camera_without_a_new_page() {
    let browser = Browser::start().await;
    browser.note_failures().await;
    let daemon = Daemon::configured(&streams(&["porch", "garden", "attic"]));
    browser.open(&daemon.url("/porch")).await;
    browser.until_state("main", "playing").await;
    let until_at = async |name: &str| {
        let path = "return [location.pathname, document.querySelector('.next')?.hidden ?? document.body.innerText]";
        eventually(name, async || {
            let found = browser.run(path, &[]).await;
            let is_there = found == json!([format!("/{name}"), false]);
            is_there.then_some(()).ok_or(found.to_string())
        })
        .await;
        browser.until_state("main", "playing").await;
    };
    browser.run("window.isSamePage = true", &[]).await;
    let press = "dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0] }))";
    until_at("porch").await;
    browser.run(press, &[json!("ArrowRight")]).await;
    until_at("garden").await;
    browser.run(press, &[json!("ArrowLeft")]).await;
    until_at("porch").await;
    browser.run(press, &[json!("ArrowLeft")]).await;
    until_at("attic").await;
    swipe(&browser, (300, 400), (60, 410)).await;
    until_at("porch").await;
    // One that goes down means something else.
    swipe(&browser, (300, 100), (220, 400)).await;
    swipe(&browser, (60, 400), (300, 410)).await;
    until_at("attic").await;
    browser.run("history.back()", &[]).await;
    until_at("porch").await;
    assert_eq!(browser.run("return isSamePage", &[]).await, true);
    // Of the streams that were left, none is watched any more.
    eventually("one viewer", async || {
        let viewers =
            ["porch", "garden", "attic"].map(|name| daemon.stream(name)["viewers"].clone());
        (viewers == [1, 0, 0])
            .then_some(())
            .ok_or(format!("{viewers:?}"))
    })
    .await;
    browser
        .run("document.querySelector('.home').click()", &[])
        .await;
    browser.until_state("main", "ready").await;
    assert_eq!(browser.run("return failures", &[]).await, json!([]));
}

async fn swipe(browser: &Browser, from: (u32, u32), to: (u32, u32)) {
    let at = |(x, y)| json!([{ "x": x, "y": y }]);
    for (kind, points) in [
        ("touchStart", at(from)),
        ("touchMove", at(to)),
        ("touchEnd", json!([])),
    ] {
        let touch = json!({ "type": kind, "touchPoints": points });
        browser.devtools("Input.dispatchTouchEvent", touch).await;
    }
}

#[tokio::test]
async fn a_mistyped_name_leads_to_the_cameras_that_there_are() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["porch", "garden"]));
    browser.open(&daemon.url("/nosuch")).await;
    browser.until_state("main", "unknown").await;
    let said = browser.until_text(".notice .choices", "garden").await;
    assert!(said.contains("porch"), "{said}");
    let said = browser.text(".notice").await;
    assert!(said.contains("There is no stream “nosuch”."), "{said}");
    assert!(!said.contains("Trying again"), "{said}");
    let title = "return document.title";
    assert_eq!(browser.run(title, &[]).await, "Not found – fanlight");
    browser
        .run("document.querySelector('.choices a').click()", &[])
        .await;
    browser.until_state("main", "playing").await;
    assert_eq!(browser.run(title, &[]).await, "porch");

    // Both pages of this kind look alike.
    let look = "
        const { view } = document.querySelector('main').dataset;
        const notice = getComputedStyle(document.querySelector('.notice'));
        const title = getComputedStyle(document.querySelector('h1.title'));
        const links = document.querySelectorAll('.choices a').length;
        return [view, notice.backgroundColor, notice.width, notice.padding, title.fontSize, links > 0]";
    browser.open(&daemon.url("/nosuch")).await;
    browser.until_text(".choices", "garden").await;
    let unknown = browser.run(look, &[]).await;
    assert_eq!(
        browser
            .run("return document.querySelectorAll('.controls').length", &[])
            .await,
        0
    );
    browser.open(&daemon.url("/porch/nowhere")).await;
    assert_eq!(browser.run(look, &[]).await, unknown);
    let said = browser.text("main").await;
    assert!(
        said.contains("There is no camera at this address"),
        "{said}"
    );
    browser.screenshot("missing").await;
    browser.click("a").await;
    browser.until_state("main", "ready").await;
}

#[tokio::test]
async fn a_camera_that_is_configured_later_is_shown_by_itself() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["porch"]));
    browser.open(&daemon.url("/nosuch")).await;
    browser.until_state("main", "unknown").await;
    // The list is asked for each ten seconds: here at once.
    let shown = "
        const { showMissing } = await import('/assets/missing.js');
        const real = window.setTimeout;
        window.setTimeout = (act, wait) => real(act, wait / 100);
        const main = document.querySelector('main');
        const status = { state: 'unknown', title: 'No', detail: '' };
        return new Promise((resolve) => showMissing(main, 'porch', status, new AbortController().signal, () => resolve(true)))";
    assert_eq!(browser.run(shown, &[]).await, true);
}
