//! Every call by which a camera is captured, failed in every way: the program goes on, says what it is, and leaves nothing behind.

#![expect(
    clippy::disallowed_methods,
    reason = "the made-up device paces its frames as a driver does, and a stream tells nobody of its state"
)]

mod device;
mod kernel;
mod model;
mod streams;

use device::{lock, plug_in};
use fanlight::capture::camera::{Camera, Claims};
use fanlight::capture::{CaptureError, ErrorKind, Opener, Request, Wanted};
use fanlight::codec::convert::Converter;
use fanlight::config::{Backend, Device};
use fanlight::media::{FrameRate, I420, PixelFormat, Size};
use kernel::NODE;
use model::{Call, Fault, MULTI_PLANAR, Model, SINGLE_PLANAR};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a call may plausibly fail with.
const ERRORS: [i32; 15] = [
    libc::EIO,
    libc::ENODEV,
    libc::ENOENT,
    libc::EBUSY,
    libc::EINVAL,
    libc::ENOMEM,
    libc::EMFILE,
    libc::EACCES,
    libc::EPERM,
    libc::ENOTTY,
    libc::ENOSPC,
    libc::EPROTO,
    libc::EAGAIN,
    libc::EINTR,
    libc::ETIMEDOUT,
];

/// Frames of a session.
const FRAMES: usize = 3;

/// There is one device, so tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn camera(backend: Backend, format: Option<PixelFormat>) -> Camera {
    let slot = Claims::new([]).slot(Device::Path(NODE.into()));
    let request = Request {
        size: Size::new(64, 48),
        rate: FrameRate::whole(30),
        format,
    };
    Camera::new(slot, request, backend)
}

/// Opens the camera, converts some of its frames, and closes it.
fn session(camera: &Camera) -> Result<I420, CaptureError> {
    let mut picture = I420::new(Size::new(2, 2));
    let mut source = camera.open_for(Wanted::Frames)?;
    let mut frames = 0;
    for _ in 0..100 {
        if let Some(frame) = source.next_frame()? {
            Converter::new().convert(&frame, &mut picture).unwrap();
            frames += 1;
        }
        if frames == FRAMES {
            return Ok(picture);
        }
    }
    panic!("no frames");
}

fn assert_nothing_is_left(of: &dyn std::fmt::Debug) {
    let device = lock();
    let left = (
        device.descriptors,
        device.mappings.len(),
        device.is_streaming,
    );
    assert_eq!(left, (0, 0, false), "{of:?}");
}

/// The kinds of failure that may be told of a call that failed while the camera was opened. Empty if it is no failure.
fn kinds(call: Call, errno: i32) -> &'static [ErrorKind] {
    let is_unknown = [libc::EINVAL, libc::ENOTTY].contains(&errno);
    match (call, errno) {
        // A signal, and what is closed already, harm nobody.
        (_, libc::EINTR) | (Call::Close | Call::Stop, _) => &[],
        (Call::Dequeue, libc::EAGAIN) => &[],
        (Call::Poll, _) => &[ErrorKind::Lost],
        // Drivers end lists like that, and have no rates to set.
        (Call::ListSizes | Call::ListIntervals | Call::SetRate, _) if is_unknown => &[],
        (_, libc::ENODEV | libc::ENOENT) => &[ErrorKind::NotFound],
        (_, libc::EBUSY) => &[ErrorKind::Busy],
        (_, libc::EACCES | libc::EPERM) => &[ErrorKind::NoPermission],
        (_, libc::ENOSPC) => &[ErrorKind::NoUsbBandwidth],
        (_, libc::ENOMEM | libc::EMFILE) => &[ErrorKind::NoResources],
        (_, libc::EINVAL | libc::ENOTTY) => &[ErrorKind::Unsupported],
        _ => &[ErrorKind::Lost],
    }
}

/// Every fault of the calls that a session makes.
fn faults(camera: &Camera, lasts: bool) -> Vec<Fault> {
    lock().fail(None);
    session(camera).unwrap();
    let counts = lock().counts();
    let mut faults = Vec::new();
    for (call, count) in counts {
        for nth in 1..=count {
            faults.extend(ERRORS.map(|errno| Fault {
                call,
                nth,
                errno,
                lasts,
            }));
        }
    }
    faults
}

/// What a session says with a fault, after which another one without it is well.
fn with(fault: Fault, camera: &Camera) -> Option<CaptureError> {
    lock().fail(Some(fault));
    let outcome = session(camera);
    assert_nothing_is_left(&fault);
    lock().fail(None);
    if let Err(error) = session(camera) {
        panic!("after {fault:?}: {error}");
    }
    assert_nothing_is_left(&fault);
    outcome.err()
}

#[test]
fn each_call_that_fails_once_is_told_by_its_name_and_costs_one_opening_at_the_most() {
    let _turn = turn();
    for capabilities in [SINGLE_PLANAR, MULTI_PLANAR] {
        plug_in(Model {
            capabilities,
            ..Model::default()
        });
        let camera = camera(Backend::V4l, None);
        let faults = faults(&camera, false);
        assert!(faults.len() > 400, "{}", faults.len());
        for fault in faults {
            let Fault { call, errno, .. } = fault;
            let Some(error) = with(fault, &camera) else {
                // What the bus has no room for is tried in another way; lists may end early.
                let is_harmless = kinds(call, errno).is_empty()
                    || errno == libc::ENOSPC
                    || call == Call::RequestBuffers
                    || (call == Call::ListFormats && [libc::EINVAL, libc::ENOTTY].contains(&errno));
                assert!(is_harmless, "{fault:?} is not told");
                continue;
            };
            assert!(error.detail.starts_with(NODE), "{error}");
            assert!(!error.cure().is_empty());
            let is_known = kinds(call, errno).contains(&error.kind)
                // A capture that runs and breaks is lost, whatever the driver says.
                || ([Call::Queue, Call::Dequeue].contains(&call) && error.kind == ErrorKind::Lost)
                // Without a first format there is none.
                || (call == Call::ListFormats && error.kind == ErrorKind::Unsupported);
            assert!(is_known, "{fault:?}: {:?} {error}", error.kind);
        }
    }
}

#[test]
fn a_device_that_breaks_for_good_at_any_call_is_given_up_without_a_trace() {
    let _turn = turn();
    for capabilities in [SINGLE_PLANAR, MULTI_PLANAR] {
        plug_in(Model {
            capabilities,
            ..Model::default()
        });
        let camera = camera(Backend::V4l, None);
        for fault in faults(&camera, true) {
            let error = with(fault, &camera);
            assert!(
                error.is_none_or(|error| error.detail.starts_with(NODE)),
                "{fault:?}"
            );
        }
    }
}

#[test]
fn the_portable_library_survives_a_call_that_fails_and_a_capture_that_breaks_for_good() {
    let _turn = turn();
    plug_in(Model::default());
    let camera = camera(Backend::Nokhwa, None);
    for fault in faults(&camera, false) {
        with(fault, &camera);
    }
    let mut faults = faults(&camera, true);
    // Before there is a capture the library only fails, and of a fault while it holds its lock it never recovers. What breaks in the
    // moment in which it is closed ends the process.
    faults.retain(|fault| [Call::Queue, Call::Dequeue, Call::Poll].contains(&fault.call));
    for fault in faults {
        lock().fail(Some(fault));
        let _ = session(&camera);
        lock().fail(None);
        // The library keeps what it could not give back.
        lock().take_back();
        if let Err(error) = session(&camera) {
            panic!("after {fault:?}: {error}");
        }
    }
    lock().take_back();
}

#[test]
fn a_driver_that_tells_of_frames_and_has_none_is_a_camera_that_stalls() {
    let _turn = turn();
    for lies_after in [0, 2] {
        plug_in(Model {
            lies_after: Some(lies_after),
            ..Model::default()
        });
        let camera = camera(Backend::V4l, None);
        let error = match camera.open_for(Wanted::Frames) {
            Ok(mut source) => (0..1000)
                .find_map(|_| source.next_frame().err())
                .expect("it is told in the end"),
            Err(error) => error,
        };
        assert_eq!(error.kind, ErrorKind::Stalled, "{error}");
        assert!(error.to_string().contains("tells of frames"), "{error}");
    }
    assert_nothing_is_left(&"a driver that lies");
}

/// A picture that the device sends as JPEG.
fn jpeg(size: Size) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let image = turbojpeg::Image {
        pixels: &vec![128; 3 * width * height][..],
        width,
        pitch: 3 * width,
        height,
        format: turbojpeg::PixelFormat::RGB,
    };
    turbojpeg::compress(image, 80, turbojpeg::Subsamp::Sub2x1)
        .unwrap()
        .to_vec()
}

#[test]
fn each_format_is_captured_by_either_interface() {
    let _turn = turn();
    for (capabilities, offset) in [(SINGLE_PLANAR, 0), (MULTI_PLANAR, 0), (MULTI_PLANAR, 64)] {
        for format in PixelFormat::ALL
            .into_iter()
            .filter(|format| *format != PixelFormat::H264)
        {
            for code in format.codes() {
                let model = Model {
                    capabilities,
                    offset,
                    codes: vec![**code],
                    jpeg: jpeg(Size::new(64, 48)),
                    ..Model::default()
                };
                plug_in(model);
                for asked in [None, Some(format)] {
                    let picture = session(&camera(Backend::Auto, asked)).unwrap();
                    assert_eq!(picture.size(), Size::new(64, 48), "{format}");
                    // Bytes of 0x80 are grey in every format and range, but that ten bits can't be so many.
                    let grey = if format == PixelFormat::Y10 {
                        0x20
                    } else {
                        0x80_u8
                    };
                    let far = picture.y.iter().find(|y| y.abs_diff(grey) > 4);
                    assert_eq!(far, None, "{format}");
                }
                assert_nothing_is_left(&format);
            }
        }
    }
}

#[test]
fn a_frame_in_several_pieces_of_memory_is_refused_with_a_cure() {
    let _turn = turn();
    plug_in(Model {
        capabilities: MULTI_PLANAR,
        codes: vec![*b"NV12"],
        pieces: 2,
        ..Model::default()
    });
    let error = session(&camera(Backend::V4l, None)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("into 2 pieces of memory"), "{error}");
    assert!(error.cure().contains("`format`"), "{}", error.cure());
    let error = session(&camera(Backend::Nokhwa, None)).unwrap_err();
    assert!(
        error.cure().contains("backend"),
        "{error}: {}",
        error.cure()
    );
    assert_nothing_is_left(&"pieces");
}

#[test]
fn what_the_portable_library_does_not_know_is_refused_with_a_cure() {
    let _turn = turn();
    plug_in(Model {
        codes: vec![*b"UYVY"],
        ..Model::default()
    });
    let error = session(&camera(Backend::Nokhwa, None)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(
        error.cure().contains("backend"),
        "{error}: {}",
        error.cure()
    );
    assert!(session(&camera(Backend::Auto, None)).is_ok());
}
