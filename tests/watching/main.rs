//! The daemon watched in a browser on another machine. Cameras of the kernel's real drivers: they and the daemon are in a
//! virtual machine, the browser is not. And networks between the two that lose
//! datagrams, some of them or all.
//!
//! Leaves screenshots of what the browser saw in `target/screenshots`.

mod blocked;
mod controls;
mod loss;
mod machine;
#[path = "../support/mod.rs"]
mod support;
#[path = "../vm/mod.rs"]
#[expect(dead_code, reason = "other tests are as a whole inside the machine")]
mod vm;

use fanlight::media::Size;
use machine::{Machine, obey};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use support::browser::Browser;
use support::daemon::Daemon;
use support::namespace;
use support::page::{decoded, note_states, stat, states, until_decoded};
use support::picture::{colours, shows_bars, until_moved, watch};
use support::{eventually, http};
use vm::listing::{format_name, listed, offers};
use vm::webcam::{Clips, Webcam};

const DAEMON: SocketAddr = SocketAddr::new(IpAddr::V4(machine::ADDRESS), 8080);

/// Whoever looks is on another machine. This one emulates its processors, so the pictures are small. Each webcam has a second node, for its metadata.
const STREAMS: &str = r#"
[auth]
mode = "none"

[[stream]]
name = "vivid"
device = "/dev/video0"
size = "640x360"
fps = 15
format = "yuyv"

[[stream]]
name = "webcam"
device = "/dev/video1"
size = "320x180"
fps = 15
format = "mjpeg"

[[stream]]
name = "raw-webcam"
device = "/dev/video3"
size = "320x180"
fps = 15
format = "yuyv"
"#;

/// One that has H.264, which nobody asks for: it is taken because it costs least.
const H264_STREAM: &str = r#"
[[stream]]
name = "h264-webcam"
device = "/dev/video5"
size = "320x180"
fps = 15
"#;

const WEBCAM: &str = "/dev/video1";
const RAW_WEBCAM: &str = "/dev/video3";
const H264_WEBCAM: &str = "/dev/video5";
/// Pictures between the daemon's count and that of the browser's decoder, at the most.
const ON_THE_WAY: u64 = 8;
const WEBCAM_SIZE: Size = Size::new(320, 180);

#[test]
fn cameras_are_watched_from_another_machine_and_survive_being_unplugged() {
    let test = "cameras_are_watched_from_another_machine_and_survive_being_unplugged";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("watching");
    if vm::is_inside() {
        return serve(&Clips::in_folder(&folder, WEBCAM_SIZE));
    }
    let prepare = || {
        let turn = vm::turn();
        machine::prepare();
        turn
    };
    namespace::inside(test, prepare, || {
        std::fs::create_dir_all(&folder).unwrap();
        Clips::in_folder(&folder, WEBCAM_SIZE);
        let machine = Machine::start(test, &[vm::VIVID, vm::USB[0], vm::USB[1]]);
        namespace::add_default_route(&machine::ADDRESS.to_string());
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime
            .enable_all()
            .build()
            .unwrap()
            .block_on(look(machine));
    });
}

/// Inside the machine: the daemon, and hands that plug webcams in and out.
fn serve(clips: &Clips) {
    let mut webcam = Some(Webcam::plug_in(clips, WEBCAM));
    let _raw_webcam = Webcam::plug_in(clips, RAW_WEBCAM);
    let _h264_webcam = Webcam::plug_in(clips, H264_WEBCAM);
    let _daemon = Daemon::configured_at(":8080", &[STREAMS, H264_STREAM].concat());
    obey(|command| match command {
        "list" => Value::from(listed()).to_string(),
        "unplug" => {
            webcam = None;
            String::new()
        }
        "plug in" => {
            webcam = Some(Webcam::plug_in(clips, WEBCAM));
            String::new()
        }
        _ => panic!("{command}?"),
    });
}

async fn look(mut machine: Machine) {
    all_are_listed(&machine.tell("list"));
    let browser = Browser::start().await;
    all_play_on_the_front_page(&browser).await;
    vivid_plays_in_its_colours(&browser).await;
    a_raw_webcam_plays_in_grey(&browser).await;
    what_a_webcam_encodes_plays_as_it_is(&browser).await;
    controls::a_webcam_is_set_on_the_page(&browser).await;
    a_webcam_plays_in_order(&browser).await;
    a_webcam_may_be_unplugged(&browser, &mut machine).await;
    controls::it_is_set_again().await;
    drop(browser);
    machine.end();
}

fn all_are_listed(answer: &str) {
    let cameras: Vec<Value> = serde_json::from_str(answer).unwrap();
    let found: Vec<_> = cameras
        .iter()
        .map(|camera| (camera["device"].clone(), camera["driver"].clone()))
        .collect();
    let expected = [
        ("/dev/video0", "vivid"),
        ("/dev/video1", "uvcvideo"),
        ("/dev/video2", "uvcvideo"),
        ("/dev/video3", "uvcvideo"),
        ("/dev/video4", "uvcvideo"),
        ("/dev/video5", "uvcvideo"),
        ("/dev/video6", "uvcvideo"),
    ];
    assert_eq!(
        found,
        expected.map(|(device, driver)| (json!(device), json!(driver)))
    );
    assert!(offers(&cameras[0], "YUYV").contains(&(640, 360, 15.0)));
    assert!(offers(&cameras[1], "MJPG").contains(&(320, 180, 15.0)));
    assert_eq!(format_name(&cameras[1], "MJPG"), "mjpeg");
    assert!(cameras[2]["note"].as_str().unwrap().contains("metadata"));
    assert!(offers(&cameras[3], "YUYV").contains(&(320, 180, 15.0)));
}

async fn all_play_on_the_front_page(browser: &Browser) {
    browser.open(&url("/")).await;
    browser.until_state("main", "ready").await;
    for name in ["vivid", "webcam", "raw-webcam", "h264-webcam"] {
        let tile = format!("a[href={name}]");
        browser.until_state(&tile, "playing").await;
    }
    browser.screenshot("cameras").await;
}

async fn vivid_plays_in_its_colours(browser: &Browser) {
    plays(browser, "vivid", "640 × 360", "yuyv").await;
    // The text with the time, at the top.
    until_moved(browser, 20).await;
    let middles: Vec<_> = (0..8).map(|bar| (640 * (2 * bar + 1) / 16, 300)).collect();
    shows_bars(browser, &middles).await;
}

async fn a_raw_webcam_plays_in_grey(browser: &Browser) {
    plays(browser, "raw-webcam", "320 × 180", "yuyv").await;
    // Bars from black to white that wander through the whole picture.
    until_moved(browser, 320 * 180 / 20).await;
    for shown in colours(browser, &[(40, 90), (160, 90), (280, 90)]).await {
        let is_near = |channel: &f64| (channel - shown[1]).abs() < 6.0;
        assert!(shown.iter().all(is_near), "{shown:?} is not grey");
    }
}

async fn a_webcam_plays_in_order(browser: &Browser) {
    plays(browser, "webcam", "320 × 180", "mjpeg").await;
    pictures_are_in_order(browser).await;
}

/// Passed through: in its own size, all its pictures and no others.
async fn what_a_webcam_encodes_plays_as_it_is(browser: &Browser) {
    plays(browser, "h264-webcam", "320 × 180", "h264").await;
    let passed = || metric("fanlight_frames_passed_total{stream=\"h264-webcam\"}");
    // The front page may have had it encoded for its images.
    let encoded = || metric("fanlight_frames_encoded_total{stream=\"h264-webcam\"}");
    let before = encoded();
    // The page counts once a second: what is compared is counted between two looks at it, before and after its number changes.
    let first = until_decoded(browser, 0).await;
    let look = async |more_than| {
        let mut begin = passed();
        let decoded = eventually("more pictures", async || {
            let earlier = passed();
            let decoded = decoded(browser).await?;
            if decoded > more_than {
                return Ok(decoded);
            }
            begin = earlier;
            Err(format!("{decoded} pictures"))
        });
        (decoded.await, begin, passed())
    };
    let (decoded, begin, end) = look(first).await;
    let (now, last_begin, last_end) = look(decoded + 120).await;
    let (shown, most, least) = (now - decoded, last_end - begin, last_begin - end);
    println!("{shown} pictures decoded of {least} to {most} passed through");
    // A few are on their way.
    assert!(
        (least.saturating_sub(ON_THE_WAY)..=most + ON_THE_WAY).contains(&shown),
        "{shown} of {least} to {most}"
    );
    pictures_are_in_order(browser).await;
    assert_eq!(encoded(), before);
    let lost = stat(browser, "lost").await;
    assert!(lost.starts_with("0 "), "{lost}");
}

async fn a_webcam_may_be_unplugged(browser: &Browser, machine: &mut Machine) {
    let sessions = metric("fanlight_sessions_total");
    note_states(browser).await;
    machine.tell("unplug");
    browser.until_state("main", "camera-down").await;
    let told = eventually("the page to say what the daemon says", async || {
        // The page makes sentences of the daemon's words, with quotation marks of its own.
        let said = browser.text(".notice").await.replace(['“', '”'], "`");
        let error = stream("webcam")["error"].clone();
        let is_said = |part| {
            let part = error[part].as_str().unwrap_or("nothing").to_lowercase();
            said.to_lowercase().contains(&part)
        };
        let all = error["kind"] == "not_found" && is_said("detail") && is_said("cure");
        all.then_some(said.clone())
            .ok_or_else(|| format!("{said:?} for {error}"))
    })
    .await;
    println!("{told}");
    assert!(told.contains("The camera is not connected"), "{told}");
    assert!(told.contains("/dev/video1: no such device"), "{told}");
    browser.screenshot("unplugged").await;
    assert!(stream("vivid")["error"].is_null());

    let before = until_decoded(browser, 0).await;
    machine.tell("plug in");
    browser.until_state("main", "playing").await;
    until_decoded(browser, before).await;
    pictures_are_in_order(browser).await;
    let states = states(browser).await;
    println!("{states:?}");
    assert!(!states.contains(&"connecting".to_owned()), "{states:?}");
    assert_eq!(metric("fanlight_sessions_total"), sessions);
}

/// Opens a stream's page and checks what is true of every playing one.
async fn plays(browser: &Browser, name: &str, size: &str, format: &str) {
    browser.open(&url(&format!("/{name}"))).await;
    browser.until_state("main", "playing").await;
    browser.press("s").await;
    let before = until_decoded(browser, 0).await;
    until_decoded(browser, before).await;
    browser.screenshot(name).await;
    assert_eq!(stat(browser, "size").await, size);
    // On a loaded machine images may come first, until WebRTC gets through.
    let server = format!("{DAEMON} udp");
    eventually("media comes over UDP", async || {
        let remote = stat(browser, "remote").await;
        (remote == server).then_some(()).ok_or(remote)
    })
    .await;
    let stream = stream(name);
    assert_eq!(
        (&stream["state"], &stream["format"], &stream["fps"]),
        (&json!("live"), &json!(format), &json!(15.0)),
        "{stream}"
    );
}

/// The pictures' counters rise; the webcam's clip is a loop, longer than what is watched here.
async fn pictures_are_in_order(browser: &Browser) {
    let pictures = watch(browser, 30).await;
    let counters: Option<Vec<_>> = pictures.iter().map(|picture| picture.counter).collect();
    let counters = counters.unwrap_or_else(|| panic!("a picture has no counter: {pictures:?}"));
    println!("{counters:?}");
    let steps = || counters.windows(2).map(|pair| pair[0].cmp(&pair[1]));
    assert!(steps().all(Ordering::is_ne), "{counters:?}");
    let starts = steps().filter(|step| step.is_gt()).count();
    assert!(starts <= 1, "{counters:?}");
}

fn url(path: &str) -> String {
    format!("http://{DAEMON}{path}")
}

/// What the daemon says of a stream.
fn stream(name: &str) -> Value {
    http::get(DAEMON, &format!("/api/streams/{name}")).json()
}

/// What the daemon counts.
fn metric(name: &str) -> u64 {
    let metrics = http::get(DAEMON, "/metrics").body;
    let mut values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    values.next().unwrap().parse().unwrap()
}
