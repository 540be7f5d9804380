//! Cameras of the kernel's real drivers, captured and listed inside a virtual machine: vivid, and a USB webcam.

#[expect(
    dead_code,
    reason = "webcams that hang are for the test of what is done then"
)]
mod vm;

use fanlight::capture::camera::{Camera, Claims};
use fanlight::capture::pattern::read_counter;
use fanlight::capture::{CaptureError, ErrorKind, Opener, Request, Source};
use fanlight::codec::convert::Converter;
use fanlight::config::{Backend, Device};
use fanlight::media::{FrameRate, I420, PixelFormat, Size};
use nix::unistd::{Gid, Uid, setegid, seteuid, setgroups};
use std::cmp::Ordering;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use vm::listing::{format_name, listed, offers};
use vm::wait_for;
use vm::webcam::{Clips, Webcam};

const DEVICE: &str = "/dev/video0";
const SIZE: Size = Size::new(320, 180);
const FIFTEEN: FrameRate = FrameRate::whole(15);
const BACKENDS: [Backend; 2] = [Backend::V4l, Backend::Nokhwa];

#[test]
fn vivid_is_captured_and_listed() {
    vm::inside("vivid_is_captured_and_listed", &[vm::VIVID], || {
        for backend in BACKENDS {
            captures_each_format(backend);
        }
        takes_rates_that_are_no_whole_numbers();
        tells_who_is_in_the_way();
    });
}

fn captures_each_format(backend: Backend) {
    // A format and a rate that nokhwa knows nothing of: another program may leave a camera like that.
    v4l2(&["--set-fmt-video=pixelformat=UYVY", "--set-parm=12.5"]);
    let cheapest = match backend {
        Backend::Nokhwa => PixelFormat::Nv12,
        _ => PixelFormat::I420,
    };
    for (format, expected) in [
        (None, cheapest),
        (Some(PixelFormat::Yuyv), PixelFormat::Yuyv),
        (Some(PixelFormat::Nv12), PixelFormat::Nv12),
    ] {
        let mut source = camera(backend, FIFTEEN, format).open().unwrap();
        let granted = source.granted().clone();
        assert_eq!((granted.format, granted.size), (expected, SIZE));
        assert_eq!(granted.rate, FIFTEEN);
        let pictures = capture(source.as_mut(), 15);
        assert!(pictures.windows(2).all(|pair| pair[0] != pair[1]));
    }
    let mjpeg = camera(backend, FIFTEEN, Some(PixelFormat::Mjpeg)).open();
    let error = mjpeg.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("does not offer mjpeg"), "{error}");

    // While a camera captures it is busy for others, but can be listed.
    let mut source = camera(backend, FIFTEEN, None).open().unwrap();
    capture(source.as_mut(), 3);
    for other in BACKENDS {
        let error = camera(other, FIFTEEN, None).open().err().unwrap();
        assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    }
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
    assert_eq!(format_name(camera, "UYVY"), "uyvy");
    assert!(format_name(camera, "NV16").is_null());
    capture(source.as_mut(), 10);

    // The doctor names who has it, and watches it when it is free.
    let found = doctor();
    assert_eq!(outcomes(&found, "camera"), ["ok", "warn"], "{found:#}");
    let who = format!("(process {})", std::process::id());
    assert!(found.to_string().contains(&who), "{found:#}");
    assert_eq!(outcomes(&found, "session"), ["fail"], "{found:#}");
    assert!(found.to_string().contains("is using it"), "{found:#}");
    drop(source);
    let found = doctor();
    assert_eq!(outcomes(&found, "camera"), ["ok"], "{found:#}");
    assert_eq!(outcomes(&found, "session"), ["ok"], "{found:#}");
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

fn takes_rates_that_are_no_whole_numbers() {
    let rate = |fps| FrameRate::from_f64(fps).unwrap();
    let mut source = camera(Backend::Auto, rate(12.5), None).open().unwrap();
    assert_eq!(source.granted().rate.as_f64(), 12.5);
    capture(source.as_mut(), 10);
    drop(source);

    v4l2(&["--set-input=1"]);
    v4l2(&["--set-standard=ntsc"]);
    let ntsc = FrameRate {
        numerator: 30_000,
        denominator: 1001,
    };
    for asked in [29.97, 15.0] {
        let mut source = camera(Backend::V4l, rate(asked), None).open().unwrap();
        assert_eq!(source.granted().rate, ntsc, "{}", source.granted().reason);
        capture(source.as_mut(), 10);
    }
    let error = camera(Backend::Nokhwa, ntsc, None).open().err().unwrap();
    assert!(error.detail.contains("whole number of frames"), "{error}");
    v4l2(&["--set-input=0"]);
}

fn tells_who_is_in_the_way() {
    let camera = camera(Backend::V4l, FIFTEEN, None);
    let mut other = Command::new("v4l2-ctl")
        .args(["-d", DEVICE, "--stream-mmap", "--stream-count=100000"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let expected = format!("v4l2-ctl (process {}) is using it", other.id());
    wait_for(|| match camera.open() {
        Ok(_) => false,
        Err(error) if error.kind == ErrorKind::Busy => error.detail.contains(&expected),
        Err(error) => panic!("{error}"),
    });
    other.kill().unwrap();
    other.wait().unwrap();

    // As the service's user, who is in no group.
    let video = Gid::from_raw(44);
    fs::set_permissions(DEVICE, fs::Permissions::from_mode(0o660)).unwrap();
    chown(DEVICE, None, Some(video.as_raw())).unwrap();
    let nobody = 65534;
    setgroups(&[]).unwrap();
    setegid(Gid::from_raw(nobody)).unwrap();
    seteuid(Uid::from_raw(nobody)).unwrap();
    let error = camera.open().err();
    seteuid(Uid::from_raw(0)).unwrap();
    setegid(Gid::from_raw(0)).unwrap();
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::NoPermission);
    let group = "permission denied; it belongs to the group `video`, which this process is not in";
    assert!(error.detail.contains(group), "{error}");
    capture(camera.open().unwrap().as_mut(), 3);
}

#[test]
fn each_fault_of_a_camera_has_its_kind_and_is_survived() {
    let test = "each_fault_of_a_camera_has_its_kind_and_is_survived";
    vm::inside(test, &[vm::VIVID], || {
        for backend in BACKENDS {
            survives_each_fault(backend);
        }
    });
}

fn survives_each_fault(backend: Backend) {
    let camera = camera(backend, FIFTEEN, None);
    let open = || camera.open().unwrap();
    let fails = |kind: ErrorKind, error: CaptureError| {
        println!("{:?}: {error}", error.kind);
        assert_eq!(error.kind, kind, "{error}");
    };

    let mut source = open();
    if backend == Backend::V4l {
        // nokhwa tells neither.
        v4l2(&["-c", "inject_v4l2_buf_flag_error=1"]);
        let mut is_damaged =
            || matches!(source.next_frame(), Err(error) if error.kind == ErrorKind::BadFrame);
        wait_for(&mut is_damaged);
        v4l2(&["-c", "percentage_of_dropped_buffers=50"]);
        wait_for(|| {
            source
                .next_frame()
                .unwrap()
                .is_some_and(|frame| frame.lost > 0)
        });
    }
    v4l2(&["-c", "percentage_of_dropped_buffers=100"]);
    wait_for(|| source.next_frame().unwrap().is_none());
    v4l2(&["-c", "percentage_of_dropped_buffers=0"]);
    capture(source.as_mut(), 3);
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
}

#[test]
fn a_usb_webcam_is_captured_listed_unplugged_and_plugged_in_again() {
    let test = "a_usb_webcam_is_captured_listed_unplugged_and_plugged_in_again";
    let clips = Clips::in_folder(Path::new(env!("CARGO_TARGET_TMPDIR")), SIZE);
    vm::inside(test, &vm::USB, || {
        for backend in BACKENDS {
            is_captured_listed_unplugged_and_plugged_in_again(backend, &clips);
        }
    });
}

fn is_captured_listed_unplugged_and_plugged_in_again(backend: Backend, clips: &Clips) {
    let mut webcam = Webcam::plug_in(clips, DEVICE);
    let mjpeg = camera(backend, FIFTEEN, Some(PixelFormat::Mjpeg));
    let mut source = mjpeg.open().unwrap();
    let pictures = capture(source.as_mut(), 20);
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

    // The node for its metadata comes a moment after its own.
    wait_for(|| listed().len() == 2);
    let [camera_node, metadata_node] = &listed()[..] else {
        panic!("a camera and its metadata were expected")
    };
    assert_eq!(camera_node["driver"], "uvcvideo");
    assert_eq!(format_name(camera_node, "MJPG"), "mjpeg");
    assert!(offers(camera_node, "MJPG").contains(&(320, 180, 30.0)));
    assert_eq!(format_name(camera_node, "H264"), "h264");
    let note = metadata_node["note"].as_str().unwrap();
    assert!(note.contains("metadata"), "{note}");
    assert!(metadata_node["lasting_name"].is_null());

    // By every name that it has. The name that lasts has the serial number in it.
    let lasting = camera_node["lasting_name"].as_str().unwrap();
    assert!(lasting.starts_with("usb:1d6b:0102:"), "{lasting}");
    let named = format!("name:{}", camera_node["name"].as_str().unwrap());
    for name in ["auto", "usb:1d6b:0102", &named, lasting] {
        let camera = camera_named(name, backend, FIFTEEN, None);
        capture(camera.open().unwrap().as_mut(), 2);
    }
    let camera = camera_named(lasting, backend, FIFTEEN, Some(PixelFormat::Yuyv));
    let mut source = camera.open().unwrap();
    capture(source.as_mut(), 10);

    webcam.unplug();
    let error = failure(source.as_mut());
    println!("{error}");
    assert_eq!(error.kind, ErrorKind::Lost);
    drop(source);
    wait_for(|| !Path::new(DEVICE).exists());
    // The kernel takes the node away before it takes what it tells of the camera.
    let expected = format!("{lasting}: no such camera; no camera is connected");
    wait_for(|| {
        let error = camera.open().err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        error.detail == expected
    });
    webcam.plug_in_again(DEVICE);
    capture(camera.open().unwrap().as_mut(), 5);
    drop(webcam);
    wait_for(|| !Path::new(DEVICE).exists());
}

fn camera(backend: Backend, rate: FrameRate, format: Option<PixelFormat>) -> Camera {
    camera_named(DEVICE, backend, rate, format)
}

fn camera_named(
    name: &str,
    backend: Backend,
    rate: FrameRate,
    format: Option<PixelFormat>,
) -> Camera {
    let size = SIZE;
    let request = Request { size, rate, format };
    let device: Device = name.parse().unwrap();
    Camera::new(Claims::new([]).slot(device), request, backend)
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
