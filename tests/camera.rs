//! Cameras of the kernel's real drivers, captured and listed inside a virtual machine: vivid, and a USB webcam.

mod vm;

use fanlight::capture::camera::Camera;
use fanlight::capture::pattern::read_counter;
use fanlight::capture::{CaptureError, ErrorKind, Opener, Request, Source};
use fanlight::convert::Converter;
use fanlight::media::{FrameRate, I420, PixelFormat, Size};
use std::cmp::Ordering;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use vm::listing::{format_name, listed, offers};
use vm::wait_for;
use vm::webcam::{Clips, Webcam};

const DEVICE: &str = "/dev/video0";
const SIZE: Size = Size::new(320, 180);

#[test]
fn vivid_is_captured_and_listed() {
    vm::inside("vivid_is_captured_and_listed", &[vm::VIVID], || {
        // A format and a rate that the camera library knows nothing of: another program may leave a camera like that.
        v4l2(&["--set-fmt-video=pixelformat=UYVY", "--set-parm=12.5"]);
        for (format, expected) in [
            (None, PixelFormat::Nv12),
            (Some(PixelFormat::Yuyv), PixelFormat::Yuyv),
            (Some(PixelFormat::Nv12), PixelFormat::Nv12),
        ] {
            let mut source = camera(15, format).open().unwrap();
            let granted = source.granted().clone();
            assert_eq!((granted.format, granted.size), (expected, SIZE));
            assert_eq!(granted.rate, FrameRate::whole(15));
            let pictures = capture(source.as_mut(), 30);
            assert!(pictures.windows(2).all(|pair| pair[0] != pair[1]));
        }
        let error = camera(15, Some(PixelFormat::Mjpeg)).open().err().unwrap();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.contains("does not offer mjpeg"), "{error}");

        // While a camera captures it is busy for others, but can be listed.
        let mut source = camera(15, None).open().unwrap();
        capture(source.as_mut(), 3);
        let error = camera(15, None).open().err().unwrap();
        assert_eq!(error.kind, ErrorKind::Busy, "{error}");
        let [camera] = &listed()[..] else {
            panic!("one camera was expected")
        };
        assert_eq!(
            (&camera["device"], &camera["driver"]),
            (&DEVICE.into(), &"vivid".into())
        );
        assert!(offers(camera, "YUYV").contains(&(320, 180, 60.0)));
        assert!(offers(camera, "YUYV").contains(&(1280, 720, 12.5)));
        assert_eq!(format_name(camera, "YUYV"), "yuyv");
        assert!(format_name(camera, "UYVY").is_null());
        capture(source.as_mut(), 10);

        // The doctor names who has it, and watches it when it is free.
        let found = doctor();
        assert_eq!(outcomes(&found, "camera"), ["ok", "warn"], "{found:#}");
        let who = format!("(process {})", std::process::id());
        assert!(found.to_string().contains(&who), "{found:#}");
        assert_eq!(outcomes(&found, "session"), ["fail"], "{found:#}");
        assert!(
            found.to_string().contains("another program is using it"),
            "{found:#}"
        );
        drop(source);
        let found = doctor();
        assert_eq!(outcomes(&found, "camera"), ["ok"], "{found:#}");
        assert_eq!(outcomes(&found, "session"), ["ok"], "{found:#}");
    });
}

/// What `fanlight doctor` finds of the camera.
fn doctor() -> serde_json::Value {
    let file = std::env::temp_dir().join("doctor.toml");
    let stream =
        format!("[[stream]]\nname = \"cam\"\ndevice = {DEVICE:?}\nsize = \"{SIZE}\"\nfps = 15\n");
    fs::write(&file, stream).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args(["doctor", "--json", "--config"]).arg(file);
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// How bad the findings of a check are.
fn outcomes<'a>(found: &'a serde_json::Value, check: &str) -> Vec<&'a str> {
    let findings = found["findings"].as_array().unwrap().iter();
    let of_check = findings.filter(|finding| finding["check"] == check);
    of_check
        .map(|finding| finding["outcome"].as_str().unwrap())
        .collect()
}

#[test]
fn each_fault_of_a_camera_has_its_kind_and_is_survived() {
    let test = "each_fault_of_a_camera_has_its_kind_and_is_survived";
    vm::inside(test, &[vm::VIVID], || {
        let camera = camera(15, None);
        let open = || camera.open().unwrap();
        let fails = |kind: ErrorKind, error: CaptureError| {
            println!("{:?}: {error}", error.kind);
            assert_eq!(error.kind, kind, "{error}");
        };

        let mut source = open();
        v4l2(&["-c", "percentage_of_dropped_buffers=100"]);
        let silent = || source.next_frame().unwrap().is_none();
        wait_for(silent);
        v4l2(&["-c", "percentage_of_dropped_buffers=0"]);
        drop(source);

        let mut source = open();
        v4l2(&["-c", "inject_fatal_streaming_error=1"]);
        fails(ErrorKind::Lost, failure(source.as_mut()));
        drop(source);

        for control in [
            "inject_vidioc_reqbufs_error=1",
            "inject_vidioc_streamon_error=1",
        ] {
            v4l2(&["-c", control]);
            fails(ErrorKind::Unsupported, camera.open().err().unwrap());
        }

        let mut source = open();
        let driver = Path::new("/sys/bus/platform/drivers/vivid");
        fs::write(driver.join("unbind"), "vivid.0").unwrap();
        fails(ErrorKind::Lost, failure(source.as_mut()));
        drop(source);
        fails(ErrorKind::NotFound, camera.open().err().unwrap());
        fs::write(driver.join("bind"), "vivid.0").unwrap();
        wait_for(|| Path::new(DEVICE).exists());
        capture(open().as_mut(), 5);
    });
}

#[test]
fn a_usb_webcam_is_captured_listed_unplugged_and_plugged_in_again() {
    let test = "a_usb_webcam_is_captured_listed_unplugged_and_plugged_in_again";
    let clips = Clips::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), SIZE);
    vm::inside(test, &vm::USB, || {
        let mut webcam = Webcam::plug_in(&clips, DEVICE);
        let mut source = camera(15, Some(PixelFormat::Mjpeg)).open().unwrap();
        let pictures = capture(source.as_mut(), 30);
        let counters = pictures.iter().map(read_counter);
        let counters: Option<Vec<_>> = counters.collect();
        let counters = counters.expect("the counter of the test pattern in each picture");
        println!("{counters:?}");
        // A slow machine may lose frames, but none is doubled or late. The clip is a loop, longer than the capture.
        let steps = || counters.windows(2).map(|pair| pair[1].cmp(&pair[0]));
        assert!(steps().all(Ordering::is_ne), "{counters:?}");
        assert!(
            steps().filter(|step| step.is_lt()).count() <= 1,
            "{counters:?}"
        );
        drop(source);

        let mut source = camera(15, Some(PixelFormat::Yuyv)).open().unwrap();
        capture(source.as_mut(), 30);

        let [camera_node, metadata_node] = &listed()[..] else {
            panic!("a camera and its metadata were expected")
        };
        assert_eq!(camera_node["driver"], "uvcvideo");
        assert_eq!(format_name(camera_node, "MJPG"), "mjpeg");
        assert!(offers(camera_node, "MJPG").contains(&(320, 180, 30.0)));
        assert!(format_name(camera_node, "H264").is_null());
        let note = metadata_node["note"].as_str().unwrap();
        assert!(note.contains("metadata"), "{note}");

        webcam.unplug();
        let error = failure(source.as_mut());
        println!("{error}");
        assert_eq!(error.kind, ErrorKind::Lost);
        drop(source);
        wait_for(|| !Path::new(DEVICE).exists());
        let error = camera(15, None).open().err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound);
        webcam.plug_in_again(DEVICE);
        capture(camera(15, None).open().unwrap().as_mut(), 5);
    });
}

fn camera(fps: u32, format: Option<PixelFormat>) -> Camera {
    let rate = FrameRate::whole(fps);
    Camera::new(
        DEVICE,
        Request {
            size: SIZE,
            rate,
            format,
        },
    )
}

/// Takes frames, checks of each what is true of every camera's frames, and converts them.
fn capture(source: &mut dyn Source, count: usize) -> Vec<I420> {
    let granted = source.granted().clone();
    let start = Instant::now();
    let mut converter = Converter::new();
    let mut pictures: Vec<I420> = Vec::new();
    let (mut previous, mut late) = (None, 0);
    while pictures.len() < count {
        let Some(frame) = source.next_frame().unwrap() else {
            assert!(start.elapsed() < Duration::from_secs(60), "no frame");
            continue;
        };
        assert!(frame.captured_at <= Instant::now());
        assert!(previous.is_none_or(|previous| frame.captured_at > previous));
        previous = Some(frame.captured_at);
        late += u32::from(frame.is_late);
        assert_eq!((frame.format, frame.size), (granted.format, granted.size));
        let mut picture = I420::new(granted.size);
        converter.convert(&frame, &mut picture).unwrap();
        let (low, high) = (picture.y.iter().min(), picture.y.iter().max());
        assert!(low < high, "a picture of one grey");
        pictures.push(picture);
    }
    println!(
        "{}: {}: {count} frames in {:.1} s, {late} late",
        granted.device,
        granted.reason,
        start.elapsed().as_secs_f64()
    );
    pictures
}

/// The error that ends a capture.
fn failure(source: &mut dyn Source) -> CaptureError {
    let start = Instant::now();
    loop {
        match source.next_frame() {
            Err(error) if error.kind != ErrorKind::BadFrame => return error,
            _ => assert!(start.elapsed() < Duration::from_secs(60), "it never fails"),
        }
    }
}

fn v4l2(arguments: &[&str]) {
    let status = Command::new("v4l2-ctl")
        .args(["-d", DEVICE])
        .args(arguments)
        .status();
    assert!(status.unwrap().success(), "v4l2-ctl {arguments:?}");
}
