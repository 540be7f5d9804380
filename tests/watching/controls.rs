//! A real camera's controls on the page: a slider is moved, and the camera is set; also after it was away.

use super::{DAEMON, url};
use crate::support::browser::Browser;
use crate::support::{eventually, http};
use serde_json::{Value, json};

/// Moves the slider of a control as a user's hand does.
const MOVE: &str = "
    const input = document.querySelector(`[data-name=${arguments[0]}] input`);
    for (const value of arguments[1]) {
        input.value = value;
        input.dispatchEvent(new Event('input'));
    }
    return input.labels[0].textContent;";

/// What the panel shows of a control, and whether it can be reset.
const SHOWN: &str = "
    const row = document.querySelector(`[data-name=${arguments[0]}]`);
    const reset = row.querySelector('.reset');
    return [row.querySelector('output').value, reset.style.visibility !== 'hidden'];";

/// Moves the webcam's slider, and puts it back by its button, and moves it again.
pub async fn a_webcam_is_set_on_the_page(browser: &Browser) {
    browser.open(&url("/webcam")).await;
    browser.until_state("main", "playing").await;
    until_offered(browser).await;
    browser.press("c").await;
    until_shown(browser, "brightness", &json!(["128", false])).await;

    let way: Vec<_> = (129..=180).collect();
    let label = browser.run(MOVE, &[json!("brightness"), json!(way)]).await;
    assert_eq!(label, "Brightness");
    until_set("webcam", "brightness", &json!(180)).await;
    until_shown(browser, "brightness", &json!(["180", true])).await;
    browser
        .run("document.querySelector('.reset').click()", &[])
        .await;
    until_set("webcam", "brightness", &json!(128)).await;
    until_shown(browser, "brightness", &json!(["128", false])).await;
    browser
        .run(MOVE, &[json!("brightness"), json!([170])])
        .await;
    until_set("webcam", "brightness", &json!(170)).await;
}

/// What was set is so again now that the webcam is back, which has forgotten it.
pub async fn it_is_set_again() {
    until_set("webcam", "brightness", &json!(170)).await;
}

async fn until_offered(browser: &Browser) {
    eventually("the button of the panel", async || {
        let hidden = "return document.querySelector('[data-panel=settings]').hidden";
        let hidden = browser.run(hidden, &[]).await;
        (hidden == false).then_some(()).ok_or(hidden.to_string())
    })
    .await;
}

async fn until_shown(browser: &Browser, name: &str, expected: &Value) {
    eventually("the panel to show it", async || {
        let is_there = "return document.querySelector(`[data-name=${arguments[0]}]`) !== null";
        if browser.run(is_there, &[json!(name)]).await == false {
            return Err("nothing".to_owned());
        }
        let shown = browser.run(SHOWN, &[json!(name)]).await;
        (shown == *expected).then_some(()).ok_or(shown.to_string())
    })
    .await;
}

async fn until_set(stream: &str, name: &str, expected: &Value) {
    eventually("the camera to be set", async || {
        let path = format!("/api/streams/{stream}/controls");
        let listing = http::get(DAEMON, &path).json();
        let mut controls = listing["controls"].as_array().cloned().unwrap_or_default();
        controls.retain(|control| control["name"] == name);
        let value = controls.first().map(|control| &control["value"]);
        (value == Some(expected))
            .then_some(())
            .ok_or(listing.to_string())
    })
    .await;
}
