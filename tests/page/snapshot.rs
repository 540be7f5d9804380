//! The picture as a file.

use super::streams;
use super::support::browser::Browser;
use super::support::daemon::Daemon;
use serde_json::{Value, json};

/// Presses the key, and brings back what the browser is asked to save: its name, how it begins, and its size.
const SAVE: &str = "
    const saved = new Promise((resolve) => {
      HTMLAnchorElement.prototype.click = async function () {
        const bytes = new Uint8Array(await (await blobOf(this.href)).arrayBuffer());
        const bitmap = await createImageBitmap(new Blob([bytes]));
        resolve([this.download, [...bytes.slice(0, 2)], bitmap.width, bitmap.height]);
      };
      const made = new Map();
      const real = URL.createObjectURL;
      URL.createObjectURL = (blob) => { const url = real.call(URL, blob); made.set(url, blob); return url; };
      const blobOf = async (url) => made.get(url);
    });
    dispatchEvent(new KeyboardEvent('keydown', { key: 'i' }));
    return saved";

#[tokio::test]
async fn a_key_saves_the_picture_as_a_file_with_its_camera_and_time() {
    let browser = Browser::start().await;
    // The page's own picture, where the server makes no images.
    for config in ["", "[http]\nmjpeg_fps = 0\n"] {
        let daemon = Daemon::configured(&format!("{config}{}", streams(&["camera"])));
        browser.open(&daemon.url("/camera")).await;
        browser.until_state("main", "playing").await;
        let saved = browser.run(SAVE, &[]).await;
        let name = saved[0].as_str().unwrap_or_default();
        let shape: String = name
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "camera-0000-00-00-00.00.00.jpg", "{saved}");
        let rest = [&saved[1], &saved[2], &saved[3]];
        assert_eq!(
            rest,
            [&json!([0xff, 0xd8]), &json!(640), &json!(360)],
            "{saved}"
        );
        let told = browser.until_text(".told", "Saved as").await;
        assert!(told.contains(name), "{told}");
    }
}

#[tokio::test]
async fn images_leave_no_button_for_a_picture_in_picture_that_could_show_nothing() {
    let browser = Browser::start().await;
    let external = "[rtc]\ntcp_listen = \"off\"\nexternal_addresses = [\"192.0.2.1\"]\n";
    let config = format!("{external}{}", streams(&["camera"]));
    let daemon = Daemon::configured_with_media_at("127.0.0.2:0", &config);
    browser.open(&daemon.url("/camera")).await;
    browser.until_state("main[data-way=mjpeg]", "playing").await;
    let width = "return document.querySelector('[data-action=pip]')?.offsetWidth ?? null";
    let found: Value = browser.run(width, &[]).await;
    assert_eq!(found, 0);
}
