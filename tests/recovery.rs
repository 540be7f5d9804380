//! Cameras that are pulled out, plugged in and fail in every way, with one viewer connected throughout, in a virtual machine: a slate is
//! seen while there is nothing else, and then the camera again.

#[path = "viewing/daemon.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod daemon;
#[path = "viewing/picture.rs"]
mod picture;
#[path = "viewing/viewer.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;
#[expect(dead_code, reason = "other tests list cameras, or have them hang")]
mod vm;

use daemon::Running;
use fanlight::config::{Backend, Source, Stream};
use fanlight::media::{FrameRate, PixelFormat, Size};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use std::cell::RefCell;
use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use str0m::media::KeyframeRequestKind;
use tokio::runtime::Runtime;
use viewer::Viewer;
use vm::wait_for;
use vm::webcam::{Clips, Webcam};

const DEVICE: &str = "/dev/video0";
const SIZE: Size = Size::new(320, 180);
/// How often a camera is unplugged, unless [`CYCLES_VARIABLE`] says another number.
const CYCLES: usize = 10;
/// `make soak` sets it.
const CYCLES_VARIABLE: &str = "FANLIGHT_UNPLUG_CYCLES";
const LIVE: &str = "fanlight_stream_transitions_total{stream=\"camera\",state=\"live\"}";
const DOWN: &str = "fanlight_stream_transitions_total{stream=\"camera\",state=\"down\"}";
const UNSUPPORTED: &str = "fanlight_stream_failures_total{stream=\"camera\",kind=\"unsupported\"}";
const LOST: &str = "fanlight_frames_lost_total{stream=\"camera\"}";
const BAD: &str = "fanlight_frames_bad_total{stream=\"camera\"}";
const SESSIONS: &str = "fanlight_sessions_total";
/// However slow the machine is, by then it must have happened.
const PATIENCE: Duration = Duration::from_secs(90);

const BACKENDS: [Backend; 2] = [Backend::V4l, Backend::Nokhwa];

#[test]
fn vivid_is_unplugged_and_plugged_in_again_under_a_viewer() {
    let test = "vivid_is_unplugged_and_plugged_in_again_under_a_viewer";
    vm::inside(test, &[vm::VIVID], || {
        for backend in BACKENDS {
            let mut watch = Watch::start(&stream(DEVICE, PixelFormat::Yuyv, backend));
            watch.cycle(cycles(), unplug, plug_in);
            watch.end();
            plug_in();
        }
    });
}

#[test]
fn a_usb_webcam_is_unplugged_and_plugged_in_again_under_a_viewer() {
    let test = "a_usb_webcam_is_unplugged_and_plugged_in_again_under_a_viewer";
    with_a_webcam(test, |webcam| {
        cycle(webcam, PixelFormat::Mjpeg, Backend::V4l, cycles());
        // Passed through, with slates that are encoded in between.
        cycle(webcam, PixelFormat::H264, Backend::V4l, 10);
    });
}

#[test]
fn a_usb_webcam_is_unplugged_and_plugged_in_again_with_nokhwa() {
    let test = "a_usb_webcam_is_unplugged_and_plugged_in_again_with_nokhwa";
    with_a_webcam(test, |webcam| {
        cycle(webcam, PixelFormat::Mjpeg, Backend::Nokhwa, cycles());
    });
}

fn cycles() -> usize {
    env::var(CYCLES_VARIABLE).map_or(CYCLES, |number| {
        number.parse().expect("the number of cycles is a number")
    })
}

fn with_a_webcam(test: &str, act: impl FnOnce(&mut Webcam)) {
    // Clips of its own, for another test may run beside this one.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    if !vm::is_inside() {
        fs::create_dir_all(&folder).unwrap();
    }
    let clips = Clips::in_folder(&folder, SIZE);
    vm::inside(test, &vm::USB, || act(&mut Webcam::plug_in(&clips, DEVICE)));
}

/// Begins and ends with the webcam plugged in.
fn cycle(webcam: &mut Webcam, format: PixelFormat, backend: Backend, cycles: usize) {
    let webcam = RefCell::new(webcam);
    let unplug = || webcam.borrow_mut().unplug();
    let plug_in = || webcam.borrow_mut().plug_in_again(DEVICE);
    let mut watch = Watch::start(&stream(DEVICE, format, backend));
    watch.cycle(cycles, unplug, plug_in);
    watch.end();
    plug_in();
}

#[test]
fn every_fault_of_a_camera_is_survived_under_a_viewer() {
    let test = "every_fault_of_a_camera_is_survived_under_a_viewer";
    vm::inside(test, &[vm::VIVID], || {
        unplug();
        for backend in BACKENDS {
            every_fault_is_survived(backend);
        }
    });
}

/// Begins and ends with the camera unplugged.
fn every_fault_is_survived(backend: Backend) {
    // Missing at the start.
    let link = "/dev/camera";
    symlink(DEVICE, link).unwrap();
    let mut watch = Watch::open(&stream(link, PixelFormat::Yuyv, backend));
    watch.until_slate("not_found");
    plug_in();
    watch.until_live();

    // The driver gives up, or its stream; the device can be opened again, though perhaps not at once.
    for fault in ["disconnect=1", "inject_fatal_streaming_error=1"] {
        watch.until_live_after(|| v4l2(&[fault]));
    }
    for set_up in [
        "inject_vidioc_reqbufs_error=1",
        "inject_vidioc_streamon_error=1",
    ] {
        // It lasts until the next attempt, which may be over before anybody looks.
        let refused = watch.count(UNSUPPORTED);
        watch.until_live_after(|| v4l2(&[set_up, "inject_fatal_streaming_error=1"]));
        assert!(watch.count(UNSUPPORTED) > refused);
    }

    if backend == Backend::V4l {
        // Gaps and damage alone are no failure. nokhwa tells of neither.
        let failures = watch.count(DOWN);
        let lost = watch.count(LOST);
        v4l2(&["percentage_of_dropped_buffers=50"]);
        watch.until(|watch, _| watch.count(LOST) > lost + 5.0);
        v4l2(&["percentage_of_dropped_buffers=0"]);
        let bad = watch.count(BAD);
        v4l2(&["inject_v4l2_buf_flag_error=1"]);
        watch.until(|watch, _| watch.count(BAD) > bad);
        assert_eq!(watch.count(DOWN), failures);
    }

    // Neither a frame nor an error. With nokhwa the thread waits in the driver until there is a frame again.
    v4l2(&["percentage_of_dropped_buffers=100"]);
    watch.until_slate("stalled");
    assert_eq!(watch.stream()["state"], "stalled");
    watch.until_live_after(|| v4l2(&["percentage_of_dropped_buffers=0"]));

    // Another program is faster.
    unplug();
    watch.until_slate("not_found");
    fs::remove_file(link).unwrap();
    plug_in();
    let mut other = hold();
    symlink(DEVICE, link).unwrap();
    watch.until_slate("busy");
    other.kill().unwrap();
    other.wait().unwrap();
    watch.until_live();

    // Who still holds the old device makes the new one have another name.
    let old = File::open(DEVICE).unwrap();
    unplug();
    watch.until_slate("not_found");
    fs::remove_file(link).unwrap();
    plug_in_as("/dev/video1");
    symlink("/dev/video1", link).unwrap();
    watch.until_live();
    drop(old);

    unplug_from("/dev/video1");
    watch.until_slate("not_found");
    fs::remove_file(link).unwrap();
    assert_eq!(watch.count(SESSIONS), 1.0);
    assert!(!watch.viewer.is_closed);
    watch.end();
}

fn stream(device: &str, format: PixelFormat, backend: Backend) -> Stream {
    Stream {
        size: SIZE,
        fps: FrameRate::whole(15),
        format: Some(format),
        bitrate: 500_000,
        backend,
        ..Stream::new("camera", Source::Device(device.parse().unwrap()))
    }
}

/// A daemon with one camera, and its viewer.
struct Watch {
    daemon: Running,
    viewer: Viewer,
    decoder: Decoder,
    run: Runtime,
}

impl Watch {
    /// Returns once the camera is seen.
    fn start(stream: &Stream) -> Self {
        let mut watch = Self::open(stream);
        watch.until_live();
        watch
    }

    fn open(stream: &Stream) -> Self {
        let run = Runtime::new().unwrap();
        let (daemon, viewer) = run.block_on(async {
            let daemon = daemon::start("127.0.0.1", vec![stream.clone()]);
            let viewer = Viewer::connect(daemon.address, "/whep").await;
            (daemon, viewer)
        });
        let decoder = Decoder::new().unwrap();
        Self {
            daemon,
            viewer,
            decoder,
            run,
        }
    }

    /// Has the daemon end, and waits for it.
    fn end(self) {
        self.run.block_on(self.daemon.stop()).unwrap();
    }

    /// Whether the next picture is a slate.
    fn next_is_slate(&mut self) -> bool {
        loop {
            let mut unit = None;
            self.viewer
                .receive(|data| unit.replace(data.data.clone()).is_none());
            let unit = unit.expect("a picture, not the end of the session");
            match self.decoder.decode(&unit) {
                Ok(Some(picture)) => {
                    assert_eq!(picture.dimensions(), (320, 180));
                    return is_slate(&picture);
                }
                Ok(None) => {}
                // It was not read for as long as the test did something else, and has missed pictures by that.
                Err(_) => self.viewer.ask_for_keyframe(KeyframeRequestKind::Pli),
            }
        }
    }

    fn until_live(&mut self) {
        self.until(|_, is_slate| !is_slate);
    }

    /// Watches until something is so, by what the daemon says and whether the last picture was a slate.
    fn until(&mut self, is_so: impl Fn(&Self, bool) -> bool) {
        let start = Instant::now();
        loop {
            let is_slate = self.next_is_slate();
            if is_so(self, is_slate) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "in vain: {}", self.stream());
        }
    }

    /// Until a slate is seen, and the failure is of that kind.
    fn until_slate(&mut self, kind: &str) {
        self.until(|watch, is_slate| is_slate && watch.stream()["error"]["kind"] == kind);
        let error = &self.stream()["error"];
        println!("{} for {} s", error["detail"], error["since_seconds"]);
    }

    /// Has it fail, until pictures come after that.
    fn until_live_after(&mut self, fail: impl FnOnce()) {
        let before = self.count(LIVE);
        fail();
        self.until(|watch, _| watch.count(LIVE) > before && watch.stream()["state"] == "live");
        self.until_live();
    }

    fn stream(&self) -> serde_json::Value {
        self.run.block_on(self.daemon.stream("camera"))
    }

    /// What the metric of that name counts; 0 before there was anything to count.
    fn count(&self, name: &str) -> f64 {
        let metrics = daemon::get(self.daemon.address, "/metrics");
        let metrics = self.run.block_on(metrics);
        let line = metrics.lines().find(|line| line.starts_with(name));
        line.map_or(0.0, |line| {
            line.rsplit_once(' ').unwrap().1.parse().unwrap()
        })
    }

    /// Unplugs the camera and plugs it in again, many times. It is seen again soon, nobody is disconnected, and nothing is left of it.
    fn cycle(&mut self, cycles: usize, unplug: impl Fn(), plug_in: impl Fn()) {
        let mut times = Vec::new();
        let mut before = None;
        for cycle in 0..cycles {
            unplug();
            self.until_slate("not_found");
            // By then memory, threads and descriptors are what they stay.
            if cycle == cycles * 2 / 5 {
                before = Some(Held::now());
            }
            plug_in();
            // The kernel has made the node then.
            let node = fs::metadata(DEVICE).unwrap();
            let nanos = node.ctime() as u64 * 1_000_000_000 + node.ctime_nsec() as u64;
            let plugged_in = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
            self.until_live();
            times.push(plugged_in.elapsed().unwrap_or_default().as_secs_f64());
        }
        unplug();
        self.until_slate("not_found");
        let before = before.unwrap();
        // The last request's connection may take a moment to close.
        wait_for(|| {
            let now = Held::now();
            now.threads <= before.threads && now.files <= before.files
        });
        let after = Held::now();
        times.sort_by(f64::total_cmp);
        let (p50, max) = (times[times.len() / 2], times[times.len() - 1]);
        println!("from plugging in to the first picture seen: p50 {p50:.2} s, max {max:.2} s");
        println!("before {before:?}, after {after:?}");
        assert_eq!(self.count(SESSIONS), 1.0);
        assert_eq!(self.count("fanlight_capture_threads_stuck"), 0.0);
        assert!(!self.viewer.is_closed);
        assert!(after.kilobytes < before.kilobytes + 8192, "it grows");
    }
}

/// What the process holds: viewer, daemon and all.
#[derive(Debug)]
struct Held {
    threads: usize,
    files: usize,
    kilobytes: u64,
}

impl Held {
    fn now() -> Self {
        let count = |folder: &str| fs::read_dir(folder).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let mut lines = status.lines();
        let resident = lines.find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.unwrap().split_whitespace().next().unwrap();
        Self {
            threads: count("/proc/self/task"),
            files: count("/proc/self/fd"),
            kilobytes: kilobytes.parse().unwrap(),
        }
    }
}

/// Most of a slate is its ground, which is darker than what the cameras show.
fn is_slate(picture: &impl YUVSource) -> bool {
    let rows = picture.y().chunks(picture.strides().0);
    let row = |row: &[u8]| row[..320].iter().filter(|y| (20..32).contains(*y)).count();
    rows.take(180).map(row).sum::<usize>() > 320 * 180 * 7 / 10
}

const VIVID: &str = "/sys/bus/platform/drivers/vivid";

fn unplug() {
    unplug_from(DEVICE);
}

fn unplug_from(device: &str) {
    fs::write(format!("{VIVID}/unbind"), "vivid.0").unwrap();
    wait_for(|| !Path::new(device).exists());
}

fn plug_in() {
    plug_in_as(DEVICE);
}

fn plug_in_as(device: &str) {
    fs::write(format!("{VIVID}/bind"), "vivid.0").unwrap();
    wait_for(|| Path::new(device).exists());
}

/// Sets controls.
fn v4l2(controls: &[&str]) {
    for control in controls {
        let mut v4l2 = Command::new("v4l2-ctl");
        let status = v4l2.args(["-d", "/dev/camera", "-c", control]).status();
        assert!(status.unwrap().success(), "{control}");
    }
}

/// Another program, which captures.
fn hold() -> Child {
    let child = Command::new("v4l2-ctl")
        .args(["-d", DEVICE, "--stream-mmap", "--stream-count=100000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let maps = format!("/proc/{}/maps", child.id());
    wait_for(|| fs::read_to_string(&maps).is_ok_and(|maps| maps.contains(DEVICE)));
    child
}
