//! What the player's page tells: its statistics and its states.

use super::browser::Browser;
use super::eventually;
use serde_json::Value;

/// A value of the statistics overlay.
pub async fn stat(browser: &Browser, key: &str) -> String {
    browser.text(&format!("dd[data-stat={key}]")).await
}

/// Waits until the statistics overlay counts more than that many decoded pictures, and returns their number.
pub async fn until_decoded(browser: &Browser, more_than: u64) -> u64 {
    eventually("more pictures", async || {
        let text = stat(browser, "frames").await;
        let (decoded, _) = text.split_once(" decoded").ok_or(&*text)?;
        let decoded = decoded.replace(',', "").parse().map_err(|_| &*text)?;
        (decoded > more_than).then_some(decoded).ok_or(text)
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
