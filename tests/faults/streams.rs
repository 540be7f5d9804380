//! A stream whose camera fails in every way: it says so, and goes on as soon as the camera does.

use super::device::{Call, Fault, Model, lock, plug_in};
use super::{camera, jpeg, turn};
use fanlight::capture::ErrorKind;
use fanlight::config::{self, Backend};
use fanlight::media::{PixelFormat, Profile, Size};
use fanlight::metrics::Metrics;
use fanlight::stream::{State, Status, Stream};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// However slow the machine is, by then it must have happened.
const DEADLINE: Duration = Duration::from_secs(30);

const PACE: Duration = Duration::from_millis(2);

fn start(format: Option<PixelFormat>) -> Arc<Stream> {
    let source = config::Source::Device(config::Device::Path(super::NODE.into()));
    let config = config::Stream {
        size: Size::new(64, 48),
        linger: Duration::ZERO,
        ..config::Stream::new("faults", source)
    };
    let metrics = Metrics::new().stream("faults");
    Stream::start(config, Arc::new(camera(Backend::V4l, format)), metrics).unwrap()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_live(status: &Status) -> bool {
    status.state == State::Live
}

/// The stream's threads, by name.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    let ours = names.filter(|name| name.contains("-faults"));
    ours.collect()
}

/// Ends a stream, of which nothing is left then.
fn end(stream: &Stream) {
    stream.signal();
    stream.join();
    wait_until("threads are left", || threads().is_empty());
    super::assert_nothing_is_left(&"the stream");
}

#[test]
fn a_stream_says_what_failed_and_is_live_again_when_it_is_past() {
    let _turn = turn();
    for (call, nth, errno, kind) in [
        (Call::Open, 1, libc::EACCES, ErrorKind::NoPermission),
        (Call::Open, 2, libc::ENODEV, ErrorKind::NotFound),
        (Call::Open, 1, libc::EMFILE, ErrorKind::NoResources),
        (Call::QueryCapabilities, 2, libc::EIO, ErrorKind::Lost),
        (Call::ListFormats, 1, libc::ENODEV, ErrorKind::NotFound),
        (Call::ListSizes, 1, libc::ETIMEDOUT, ErrorKind::Lost),
        (Call::ListIntervals, 1, libc::EPROTO, ErrorKind::Lost),
        (Call::SetFormat, 1, libc::EBUSY, ErrorKind::Busy),
        (Call::SetRate, 1, libc::EIO, ErrorKind::Lost),
        (
            Call::RequestBuffers,
            1,
            libc::ENOMEM,
            ErrorKind::NoResources,
        ),
        (Call::QueryBuffer, 3, libc::EINVAL, ErrorKind::Unsupported),
        (Call::Map, 2, libc::ENOMEM, ErrorKind::NoResources),
        (Call::Queue, 1, libc::EIO, ErrorKind::Lost),
        (Call::Queue, 9, libc::ENODEV, ErrorKind::Lost),
        (Call::Start, 1, libc::ENOSPC, ErrorKind::NoUsbBandwidth),
        (Call::Dequeue, 1, libc::EIO, ErrorKind::Lost),
        (Call::Dequeue, 9, libc::ENODEV, ErrorKind::Lost),
        (Call::Poll, 9, libc::EIO, ErrorKind::Lost),
    ] {
        plug_in(Model {
            pace: PACE,
            ..Model::default()
        });
        let fault = Fault {
            call,
            nth,
            errno,
            lasts: true,
        };
        lock().fail(Some(fault));
        let stream = start(None);
        let demand = stream.demand(Profile::ConstrainedBaseline);
        wait_until("it does not fail", || stream.status().failure.is_some());
        let failure = stream.status().failure.unwrap();
        assert_eq!(failure.kind, kind.name(), "{fault:?}: {}", failure.detail);
        assert!(
            failure.detail.starts_with(super::NODE),
            "{}",
            failure.detail
        );
        assert!(!failure.cure.is_empty());
        lock().fail(None);
        stream.plugged();
        wait_until("it is not live again", || is_live(&stream.status()));
        drop(demand);
        end(&stream);
    }
}

#[test]
fn a_stream_takes_the_size_that_the_jpegs_of_a_camera_have() {
    let _turn = turn();
    for (actual, shown) in [
        (Size::new(64, 48), Size::new(64, 48)),
        (Size::new(64, 56), Size::new(64, 48)),
        (Size::new(128, 96), Size::new(128, 96)),
        (Size::new(32, 32), Size::new(32, 32)),
    ] {
        plug_in(Model {
            codes: vec![*b"JPEG"],
            jpeg: jpeg(actual),
            pace: PACE,
            ..Model::default()
        });
        let stream = start(None);
        let demand = stream.demand(Profile::ConstrainedBaseline);
        wait_until("it is not live", || is_live(&stream.status()));
        assert_eq!(stream.status().granted.unwrap().size, shown);
        let before = stream.deliveries();
        wait_until("nothing is delivered", || stream.deliveries() > before + 5);
        assert_eq!(stream.status().failure.map(|failure| failure.detail), None);
        drop(demand);
        end(&stream);
    }
}
