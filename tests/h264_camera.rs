//! H.264 of a USB webcam, of the kernel's real driver inside a virtual machine: captured whole and decodable.

#[expect(dead_code, reason = "other tests use other cameras")]
mod vm;

use fanlight::capture::camera::{Camera, Claims};
use fanlight::capture::pattern::read_counter;
use fanlight::capture::{ErrorKind, Opener, Request, Source, Wanted};
use fanlight::codec::h264::{Unit, Units};
use fanlight::config::{Backend, Device};
use fanlight::media::{FrameRate, I420, PixelFormat, Size};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use std::path::Path;
use std::time::{Duration, Instant};
use vm::listing::{format_name, listed, offers};
use vm::wait_for;
use vm::webcam::{Clips, Webcam};

const DEVICE: &str = "/dev/video0";
const SIZE: Size = Size::new(320, 180);
const RATE: FrameRate = FrameRate::whole(15);

#[test]
fn h264_of_a_usb_webcam_is_captured_whole() {
    let test = "h264_of_a_usb_webcam_is_captured_whole";
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("h264");
    std::fs::create_dir_all(&folder).unwrap();
    let clips = Clips::in_folder(&folder, SIZE);
    vm::inside(test, &vm::USB, || {
        let _webcam = Webcam::plug_in(&clips, DEVICE);
        // The node for its metadata comes a moment after its own.
        wait_for(|| listed().len() == 2);
        let camera_node = &listed()[0];
        assert_eq!(format_name(camera_node, "H264"), "h264");
        assert!(offers(camera_node, "H264").contains(&(320, 180, 30.0)));

        let v4l = camera(Backend::V4l);
        for wanted in [Wanted::Either, Wanted::H264] {
            let mut source = v4l.open_for(wanted).unwrap();
            let granted = source.granted();
            println!("{}", granted.reason);
            assert_eq!((granted.format, granted.size), (PixelFormat::H264, SIZE));
            assert_eq!(granted.rate, RATE);
            assert!(!source.ask_for_keyframe(), "this camera has no controls");
            pass(source.as_mut(), 75);
        }
        let source = v4l.open_for(Wanted::Frames).unwrap();
        assert_ne!(source.granted().format, PixelFormat::H264);
        drop(source);

        // A library that doesn't know H.264.
        let nokhwa = camera(Backend::Nokhwa);
        let source = nokhwa.open_for(Wanted::Either).unwrap();
        assert_ne!(source.granted().format, PixelFormat::H264);
        drop(source);
        let error = nokhwa.open_for(Wanted::H264).err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotPassable);
        assert!(error.detail.contains("backend = "), "{error}");
    });
}

fn camera(backend: Backend) -> Camera {
    let request = Request {
        size: SIZE,
        rate: RATE,
        format: None,
    };
    let device: Device = DEVICE.parse().unwrap();
    Camera::new(Claims::new([]).slot(device), request, backend)
}

/// Takes pictures, and decodes all of them: the pattern's counter rises, and begins anew with the clip.
fn pass(source: &mut dyn Source, count: usize) {
    let start = Instant::now();
    let (mut units, mut taken): (_, Vec<Unit>) = (Units::default(), Vec::new());
    let mut lost = 0;
    while taken.len() < count {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", taken.len());
        if let Some(frame) = source.next_frame().unwrap() {
            lost += frame.lost;
            let now = std::time::Instant::now();
            units.cut(now, frame.data, |unit| taken.push(unit)).unwrap();
        }
    }
    println!(
        "{count} pictures in {:?}, {lost} lost, {} left out",
        start.elapsed(),
        units.take_left_out()
    );
    let mut decoder = Decoder::new().unwrap();
    let mut counters = Vec::new();
    for unit in &taken {
        assert_eq!(unit.sequence.size, SIZE);
        let picture = decoder.decode(&unit.data).unwrap();
        let picture = picture.expect("one picture a unit");
        counters.push(read_counter(&copy(&picture)).expect("a whole picture"));
    }
    println!("{counters:?}");
    assert!(taken[0].keyframe);
    assert!(taken.iter().filter(|unit| unit.keyframe).count() >= 2);
    let falls = counters.windows(2).filter(|pair| pair[1] <= pair[0]);
    assert!(falls.count() <= 1, "the clip is a loop, longer than this");
}

fn copy(decoded: &impl YUVSource) -> I420 {
    let mut picture = I420::new(SIZE);
    let width = SIZE.width as usize;
    let (stride, _, _) = decoded.strides();
    let rows = decoded.y().chunks(stride);
    for (row, out) in rows.zip(picture.y.chunks_exact_mut(width)) {
        out.copy_from_slice(&row[..width]);
    }
    picture
}
