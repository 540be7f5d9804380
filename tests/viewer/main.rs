//! The example viewer, which is not built on the daemon's code: run as its users run it, and its parts.

#[path = "../viewing/daemon.rs"]
#[expect(dead_code, reason = "this test needs less of it than others")]
mod daemon;
#[path = "../../examples/viewer/frames.rs"]
mod frames;
mod order;
#[path = "../viewing/picture.rs"]
mod picture;

use daemon::{Running, pattern, start, until};
use fanlight::media::Orientation;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use openh264::nal_units;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The example, which `cargo test` builds beside the binary.
fn example() -> PathBuf {
    let binaries = Path::new(env!("CARGO_BIN_EXE_fanlight")).parent().unwrap();
    let example = binaries.join("examples/viewer");
    assert!(
        example.exists(),
        "a plain `cargo test` builds it; by itself: cargo build --example viewer"
    );
    example
}

fn viewer(daemon: &Running, path: &str, arguments: &[&str]) -> Child {
    let mut command = Command::new(example());
    command
        .arg(format!("http://{}{path}", daemon.address))
        .args(arguments);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits beside the daemon, which runs in this process.
fn finish(viewer: Child) -> Output {
    tokio::task::block_in_place(|| viewer.wait_with_output().unwrap())
}

fn sentence(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap().trim()
}

/// Pictures in the file's order, each by the counter that the pattern drew into it.
fn counters(file: &Path) -> Vec<u32> {
    let stream = fs::read(file).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let mut counters = Vec::new();
    for unit in nal_units(&stream) {
        if let Some(picture) = decoder.decode(unit).unwrap() {
            counters.push(counter(&picture));
        }
    }
    let rest = decoder.flush_remaining().unwrap();
    counters.extend(rest.iter().map(counter));
    counters
}

fn counter(picture: &impl YUVSource) -> u32 {
    picture::counter(picture, Orientation::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_file_holds_every_frame_that_was_sent_in_order() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let folder = std::env::temp_dir().join(format!("fanlight-viewer-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("camera.h264");
    let arguments = ["--frames", "60", "--json", "--output"];
    let output = finish(viewer(
        &daemon,
        "/whep",
        &[&arguments[..], &[file.to_str().unwrap()]].concat(),
    ));
    assert!(output.status.success(), "{}", sentence(&output));

    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    for step in ["answered", "connected", "first packet", "first keyframe"] {
        assert!(events.contains(&step), "{step} is not in {events:?}");
    }
    let end = lines.last().unwrap();
    assert_eq!((&end["event"], &end["frames"]), (&"end".into(), &60.into()));
    assert_eq!(end["lost"], 0);

    // Not by ones where the machine is too slow for the pattern's rate; that none is missing is the decoder's word,
    // which has all references.
    let counters = counters(&file);
    assert_eq!(counters.len(), 60);
    assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
    until("the session is forgotten", async || {
        daemon.metric("fanlight_sessions_active").await == 0.0
    })
    .await;
    fs::remove_dir_all(&folder).unwrap();
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_servers_words() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let output = finish(viewer(&daemon, "/garden/whep", &[]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        sentence(&output),
        "viewer: the server refuses: 404 Not Found: there is no stream \"garden\"; the streams are: camera"
    );
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_is_no_success() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let viewer = viewer(&daemon, "/whep", &[]);
    // The daemon's view of the handshake is ahead of the viewer's; with media under way both are done.
    until("the viewer is shown a second of video", async || {
        daemon.metric("fanlight_packets_sent_total").await >= 30.0
    })
    .await;
    daemon.stop().await.unwrap();
    let output = finish(viewer);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        sentence(&output),
        "viewer: the server has ended the session"
    );
}
