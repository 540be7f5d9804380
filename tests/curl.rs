//! A viewer's offer by curl alone, from the command line and by the script among the examples.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use support::daemon::Daemon;

const CAM: &str = r#"
    [[stream]]
    name = "cam"
    pattern = true
"#;

fn run(program: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

/// What the script sends unless it is given an offer.
fn minimal_offer() -> String {
    let script = include_str!("../examples/whep.sh");
    let (_, rest) = script
        .split_once("minimal_offer() {\n    cat <<'END'\n")
        .unwrap();
    let (offer, _) = rest.split_once("END\n").unwrap();
    offer.replace('\n', "\r\n")
}

#[test]
fn curl_alone_makes_an_offer_in_json() {
    let daemon = Daemon::configured(CAM);
    let token = format!("Authorization: Bearer {}", daemon.token());
    let offer = serde_json::json!({ "type": "offer", "sdp": minimal_offer() });
    let url = daemon.bare_url("/cam/offer");
    let json = "Content-Type: application/json";
    let arguments = ["-sS", "--fail", "-H", json, "--data-binary", "@-", &url];
    let curl = Path::new("curl");
    let (ok, answer) = run(
        curl,
        &[&["-H", &token], &arguments[..]].concat(),
        &offer.to_string(),
    );
    assert!(ok, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["type"], "answer");
    let sdp = answer["sdp"].as_str().unwrap();
    assert!(sdp.contains("\r\na=sendonly\r\n"), "{sdp}");
    let (ok, _) = run(curl, &arguments, &offer.to_string());
    assert!(!ok, "without a token");
}

#[test]
fn the_example_posts_an_offer_shows_the_answer_and_ends_the_session() {
    let daemon = Daemon::configured(CAM);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/whep.sh");
    let url = daemon.url(&format!("/cam/whep?token={}", daemon.token()));
    let (ok, output) = run(&script, &[&url], "");
    assert!(ok, "{output}");
    assert!(
        output.contains(": 201\n") && output.contains("\na=sendonly\n"),
        "{output}"
    );
    assert!(output.trim_end().ends_with(": 200"), "{output}");
    let (ok, output) = run(&script, &[&daemon.bare_url("/attic/whep")], "");
    assert!(!ok && output.contains(": 401\n"), "{output}");
}
