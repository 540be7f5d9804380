//! The page in a frame of another site, opened by a link: no cookie comes back from there.

use super::streams;
use super::support::browser::Browser;
use super::support::daemon::Daemon;
use super::support::page::link;
use super::support::{picture::watch, site};
use serde_json::json;

const CONFIG: &str = "[http]\nframe_ancestors = [\"*\"]\n";

/// A page of another site with a frame.
fn embedding(source: &str) -> String {
    format!(
        "<!doctype html><title>Home</title><iframe width=800 height=500 src=\"{source}\"></iframe>"
    )
}

#[tokio::test]
async fn a_frame_of_another_site_plays_by_the_token_in_its_url_over_plain_http() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&format!("{CONFIG}{}", streams(&["porch", "garden"])));
    // By a name to which Chromium tells nothing of frames, as in any network at home.
    let front = format!("{}?token={}", daemon.lan_url("/"), daemon.token());
    browser.open(&site::serve(embedding(&front)).await).await;
    browser.enter_frame().await;
    browser.until_state("main", "ready").await;
    browser.until_state("a[href=garden]", "playing").await;
    let address = "return [location.pathname + location.search, document.cookie]";
    assert_eq!(browser.run(address, &[]).await, json!(["/", ""]));
    browser.screenshot("framed").await;

    // From one view to another, and through a reload of the frame.
    browser
        .run("document.querySelector('a[href=garden]').click()", &[])
        .await;
    browser
        .until_state("main[data-view=player]", "playing")
        .await;
    watch(&browser, 5).await;
    browser
        .run("setTimeout(() => location.reload(), 0)", &[])
        .await;
    browser
        .until_state("main[data-view=player]", "playing")
        .await;
    assert_eq!(browser.run(address, &[]).await, json!(["/garden", ""]));
}

#[tokio::test]
async fn a_frame_plays_where_the_browser_says_that_it_is_one() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&format!("{CONFIG}{}", streams(&["camera"])));
    let page = embedding(&link(&daemon, "/camera"));
    let site = site::serve(page).await.replace("127.0.0.1", "camera.lan");
    browser.open(&site).await;
    browser.enter_frame().await;
    browser.until_state("main", "playing").await;
    let search = "return location.search";
    assert_eq!(browser.run(search, &[]).await, "");
}

#[tokio::test]
async fn a_frame_without_a_link_plays_once_one_is_pasted() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&format!("{CONFIG}{}", streams(&["camera"])));
    let bad = format!("{}?token=an-old-one", daemon.lan_url("/camera"));
    browser.open(&site::serve(embedding(&bad)).await).await;
    browser.enter_frame().await;
    browser.until_state("main", "locked").await;
    let said = browser.text("main").await;
    assert!(said.contains("is invalid or has expired"), "{said}");
    let paste = "
        document.querySelector('input').value = arguments[0];
        document.querySelector('form button').click()";
    browser.run(paste, &[json!(daemon.token())]).await;
    browser.until_state("main", "playing").await;
    watch(&browser, 5).await;
}
