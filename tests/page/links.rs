//! Links and tokens that people paste: where they lead, and what is wrong with them.

use super::streams;
use super::support::browser::Browser;
use super::support::daemon::Daemon;
use super::support::eventually;
use serde_json::json;
use std::process::Command;

/// Pastes into the field and sends it.
const PASTE: &str = "
    const field = document.querySelector('input');
    field.value = arguments[0];
    document.querySelector('form button').click();";

/// The field, and what is said of it.
const FIELD: &str = "
    const field = document.querySelector('input');
    const wrong = document.getElementById(field.getAttribute('aria-describedby'));
    return [field.value, field.getAttribute('aria-invalid'), wrong.textContent]";

#[tokio::test]
async fn a_pasted_link_leads_to_its_own_camera() {
    let browser = Browser::start().await;
    browser.note_failures().await;
    let daemon = Daemon::configured(&streams(&["porch", "garden"]));
    let share = share(&daemon, "garden");
    // No page stumbles over the login that takes its place, however often it is opened.
    for _ in 0..4 {
        browser.open(&daemon.lan_url("/porch")).await;
        browser.until_state("main", "locked").await;
        assert_eq!(browser.run("return failures", &[]).await, json!([]));
    }
    let said = browser.text("main").await;
    let first = said.find("Ask the person who runs this camera");
    let operator = said.find("“fanlight url” prints the link");
    assert!(first.is_some() && first < operator, "{said}");

    let link = format!("{}?token={share}", daemon.lan_url("/garden"));
    browser.run(PASTE, &[json!(link)]).await;
    browser.until_state("main", "playing").await;
    let path = "return location.pathname + location.search";
    assert_eq!(browser.run(path, &[]).await, "/garden");

    // It opens nothing else, and the page says what it does open.
    browser.open(&daemon.lan_url("/porch")).await;
    browser.until_state("main", "locked").await;
    let said = browser.until_text("main", "Your link opens:").await;
    assert!(
        said.contains("Your link does not open this camera") && said.contains("garden"),
        "{said}"
    );
    browser.screenshot("another-camera").await;
    browser.click(".choices a").await;
    browser.until_state("main", "playing").await;
    assert_eq!(browser.run(path, &[]).await, "/garden");
}

#[tokio::test]
async fn a_wrong_token_is_called_that_and_stays_in_its_field() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.open(&daemon.lan_url("/camera")).await;
    browser.until_state("main", "locked").await;
    for (text, expected) in [
        ("no link at all", "That is neither a link nor a token."),
        ("not-the-token", "This token is invalid or has expired."),
        (
            "http://camera.lan/camera?token=old",
            "This link is invalid or has expired.",
        ),
    ] {
        browser.run(PASTE, &[json!(text)]).await;
        eventually("what is wrong", async || {
            let found = browser.run(FIELD, &[]).await;
            (found == json!([text, "true", expected]))
                .then_some(())
                .ok_or(found.to_string())
        })
        .await;
    }
    browser.screenshot("wrong-token").await;
    browser.run(PASTE, &[json!(daemon.token())]).await;
    browser.until_state("main", "playing").await;
}

#[tokio::test]
async fn the_login_can_be_scrolled_to_at_four_times_the_size() {
    let browser = Browser::start().await;
    let daemon = Daemon::configured(&streams(&["camera"]));
    browser.look_like((320, 256), &[]).await;
    browser.open(&daemon.lan_url("/camera")).await;
    browser.until_state("main", "locked").await;
    let reach = "
        scrollTo(0, 0);
        const top = document.querySelector('.title').getBoundingClientRect().top;
        document.querySelector('.operator').scrollIntoView();
        const { bottom, right } = document.querySelector('.operator').getBoundingClientRect();
        return [top >= 0, bottom <= innerHeight, right <= innerWidth]";
    assert_eq!(browser.run(reach, &[]).await, json!([true, true, true]));
}

/// A token that is good for one stream, as the command makes it.
fn share(daemon: &Daemon, stream: &str) -> String {
    let fanlight = env!("CARGO_BIN_EXE_fanlight");
    let made = Command::new(fanlight)
        .args(["share", "--stream", stream])
        .env("STATE_DIRECTORY", daemon.state_dir())
        .output()
        .unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    let token = said.split("token=").nth(1).map(|rest| {
        let end = rest.find(|c: char| c.is_whitespace()).unwrap_or(rest.len());
        rest[..end].to_owned()
    });
    token.unwrap_or_else(|| panic!("no link in {said}{:?}", made.stderr))
}
