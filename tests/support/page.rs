//! What the player's page tells: its statistics and its states.

use super::browser::Browser;
use super::daemon::Daemon;
use super::eventually;
use serde_json::{Value, json};

/// The link to a page, with the daemon's token; `path` begins with a slash.
pub fn link(daemon: &Daemon, path: &str) -> String {
    let url = daemon.url(path);
    if url.contains("token=") {
        return url;
    }
    format!("{url}?token={}", daemon.token())
}

/// A value of the statistics, also where they are folded.
pub async fn stat(browser: &Browser, key: &str) -> String {
    let script =
        "return document.querySelector(`dd[data-stat=${arguments[0]}]`)?.textContent ?? ''";
    let text = browser.run(script, &[json!(key)]).await;
    text.as_str().unwrap_or_default().to_owned()
}

/// How many pictures the browser has decoded, as the statistics overlay counts them; else what it says instead.
pub async fn decoded(browser: &Browser) -> Result<u64, String> {
    let text = stat(browser, "frames").await;
    let number = text.split_once(" decoded").map(|(number, _)| number);
    let number = number.and_then(|number| number.replace(',', "").parse().ok());
    number.ok_or(text)
}

/// Waits until the statistics overlay counts more than that many decoded pictures, and returns their number.
pub async fn until_decoded(browser: &Browser, more_than: u64) -> u64 {
    eventually("more pictures", async || {
        let decoded = decoded(browser).await?;
        let is_more = decoded > more_than;
        is_more.then_some(decoded).ok_or(decoded.to_string())
    })
    .await
}

/// Begins to note each state that the page is in, from the present one on.
pub async fn note_states(browser: &Browser) {
    let script = "
        const main = document.querySelector('main');
        const states = [main.dataset.state];
        const note = () => { if (states.at(-1) !== main.dataset.state) states.push(main.dataset.state); };
        new MutationObserver(note).observe(main, { attributeFilter: ['data-state'] });
        window.states = states;";
    browser.run(script, &[]).await;
}

/// What was noted, without repetitions.
pub async fn states(browser: &Browser) -> Vec<String> {
    let states: Value = browser.run("return window.states", &[]).await;
    serde_json::from_value(states).unwrap()
}
