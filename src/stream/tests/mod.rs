//! A stream whose source comes and goes: what its viewers are sent meanwhile.

mod encoding;

use super::hub::Subscription;
use super::*;
use crate::capture::pattern::{Pattern, read_counter};
use crate::capture::{CaptureError, ErrorKind, Granted, Request, Source};
use crate::config::Source as Configured;
use crate::media::{AccessUnit, FrameRate, I420, RawFrame, Size, TestPicture};
use crate::metrics::Metrics;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, sync_channel};

const SIZE: Size = Size::new(640, 360);
/// However slow the machine is, by then it must have happened.
const DEADLINE: Duration = Duration::from_secs(60);

/// A camera that is plugged in and pulled out.
struct Camera {
    is_there: Arc<AtomicBool>,
    pattern: Pattern,
}

struct OpenCamera {
    is_there: Arc<AtomicBool>,
    source: Box<dyn Source>,
}

impl Opener for Camera {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        if !self.is_there.load(Ordering::Relaxed) {
            return Err(CaptureError::new(ErrorKind::NotFound, "no such device"));
        }
        Ok(Box::new(OpenCamera {
            is_there: self.is_there.clone(),
            source: self.pattern.open()?,
        }))
    }

    fn describe(&self) -> String {
        "camera".to_owned()
    }
}

impl Source for OpenCamera {
    fn granted(&self) -> &crate::capture::Granted {
        self.source.granted()
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        if !self.is_there.load(Ordering::Relaxed) {
            return Err(CaptureError::new(ErrorKind::Lost, "pulled out"));
        }
        self.source.next_frame()
    }
}

/// Somebody who watches.
struct Viewer {
    subscription: Subscription,
    published: Receiver<()>,
    decoder: Decoder,
    last: Option<Instant>,
    _demand: Demand,
}

/// The observed picture: the camera's counter, or none.
type Seen = Option<u32>;

impl Viewer {
    fn join(stream: &Arc<Stream>) -> Self {
        Self::join_playing(stream, Profile::ConstrainedBaseline)
    }

    fn join_playing(stream: &Arc<Stream>, plays: Profile) -> Self {
        let (sender, published) = sync_channel(1024);
        let notify = move || {
            let _ = sender.try_send(());
        };
        Self {
            subscription: stream.channel().subscribe(Box::new(notify)),
            published,
            decoder: Decoder::new().unwrap(),
            last: None,
            _demand: stream.demand(plays),
        }
    }

    /// The next picture. Its time is later than that of the one before.
    fn next(&mut self) -> (Arc<AccessUnit>, Seen) {
        loop {
            let unit = loop {
                match self.subscription.try_next() {
                    Ok(Some(unit)) => break unit,
                    Ok(None) => self.published.recv_timeout(DEADLINE).expect("a picture"),
                    Err(_) => self.decoder = Decoder::new().unwrap(),
                }
            };
            assert!(self.last < Some(unit.captured_at), "time stands still");
            self.last = Some(unit.captured_at);
            if let Some(picture) = self.decoder.decode(&unit.data).unwrap() {
                if picture.dimensions() == (320, 180) {
                    return (unit, None);
                }
                let mut copy = I420::new(SIZE);
                assert_eq!(picture.dimensions(), (640, 360));
                for (row, line) in copy.y.chunks_exact_mut(640).enumerate() {
                    let from = row * picture.strides().0;
                    line.copy_from_slice(&picture.y()[from..][..640]);
                }
                return (unit, read_counter(&copy));
            }
        }
    }

    /// Pictures up to the first that is as wanted, which is a keyframe if others came before.
    fn until(&mut self, is_camera: bool) {
        let mut others = 0;
        loop {
            let (unit, seen) = self.next();
            if seen.is_some() == is_camera {
                assert!(others == 0 || unit.keyframe);
                return;
            }
            others += 1;
        }
    }
}

fn stream(always_on: bool, slate: bool) -> (Arc<Stream>, Arc<AtomicBool>, Metrics) {
    let request = Request {
        size: SIZE,
        rate: FrameRate::whole(30),
        format: None,
    };
    let is_there = Arc::new(AtomicBool::new(false));
    let camera = Camera {
        is_there: is_there.clone(),
        pattern: Pattern::new("camera", TestPicture::Bars, request),
    };
    let config = config::Stream {
        size: SIZE,
        bitrate: 1_000_000,
        linger: Duration::ZERO,
        always_on,
        slate,
        ..config::Stream::new("camera", Configured::Pattern(TestPicture::Bars))
    };
    let metrics = Metrics::new();
    let stream = Stream::start(config, Arc::new(camera), metrics.stream("camera")).unwrap();
    (stream, is_there, metrics)
}

/// Waits until it is so.
fn until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE);
        std::thread::yield_now();
    }
}

fn end(stream: &Stream) {
    stream.signal();
    stream.join();
}

#[test]
fn viewers_see_a_slate_while_there_is_no_camera_and_its_pictures_in_the_same_video() {
    let (stream, is_there, metrics) = stream(false, true);
    let mut viewer = Viewer::join(&stream);
    for _ in 0..3 {
        viewer.until(false);
        let status = stream.status();
        assert_eq!(status.state, State::Down);
        let failure = status.failure.unwrap();
        let kind = failure.kind;
        assert!(["lost", "not_found"].contains(&kind), "{kind}");
        assert_eq!(failure.public_detail(), None, "it is the source's word");
        is_there.store(true, Ordering::Relaxed);
        stream.plugged();
        viewer.until(true);
        assert_eq!(stream.status().state, State::Live);
        assert!(stream.status().failure.is_none());
        is_there.store(false, Ordering::Relaxed);
    }
    // A viewer that joins now has a picture before the camera has one.
    let mut second = Viewer::join(&stream);
    viewer.until(false);
    second.until(false);
    let text = metrics.render(crate::metrics::Format::Text);
    assert!(text.contains("fanlight_stream_transitions_total{stream=\"camera\",state=\"live\"} 3"));
    assert_eq!(
        stream.channel().metrics().encoded.get(),
        stream.deliveries(),
        "slates are counted apart"
    );
    assert!(stream.channel().metrics().slates.get() >= 3);
    end(&stream);
}

#[test]
fn a_camera_that_was_plugged_in_is_not_waited_for() {
    let (stream, is_there, _metrics) = stream(false, true);
    let mut viewer = Viewer::join(&stream);
    // After some failures the waits are long.
    let retry_at = loop {
        viewer.until(false);
        let retry_at = stream.status().failure.unwrap().retry_at;
        if retry_at > Instant::now() + Duration::from_secs(5) {
            break retry_at;
        }
    };
    is_there.store(true, Ordering::Relaxed);
    stream.plugged();
    viewer.until(true);
    assert!(stream.status().since < retry_at, "it was tried before");
    end(&stream);
}

#[test]
fn no_slate_is_made_that_nobody_sees_or_wants() {
    let (stream, is_there, _metrics) = stream(true, true);
    while stream.status().state != State::Down {
        std::thread::yield_now();
    }
    is_there.store(true, Ordering::Relaxed);
    stream.plugged();
    while stream.deliveries() == 0 {
        std::thread::yield_now();
    }
    assert_eq!(stream.channel().metrics().slates.get(), 0);
    end(&stream);

    let (stream, is_there, _metrics) = self::stream(false, false);
    let mut viewer = Viewer::join(&stream);
    while stream.status().state != State::Down {
        std::thread::yield_now();
    }
    is_there.store(true, Ordering::Relaxed);
    stream.plugged();
    assert!(viewer.next().1.is_some());
    assert_eq!(stream.channel().metrics().slates.get(), 0);
    end(&stream);
}

#[test]
fn an_idle_stream_has_nothing_to_say_of_its_camera() {
    let (stream, _, _metrics) = stream(false, true);
    let mut viewer = Viewer::join(&stream);
    viewer.until(false);
    assert!(stream.is_wanted());
    drop(viewer);
    assert!(!stream.is_wanted());
    while stream.status().state != State::Idle {
        std::thread::yield_now();
    }
    assert!(stream.status().failure.is_none());
    assert!(stream.reset_source().unwrap_err().contains("camera"));
    end(&stream);
}

/// A camera whose driver lets nobody go as long as the sender lives, and lets nobody else in.
struct Holding(Mutex<Option<Receiver<()>>>);

impl Opener for Holding {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        let busy = || CaptureError::new(ErrorKind::Busy, "another program is using it");
        let held = self.0.lock().take().ok_or_else(busy)?;
        let _ = held.recv();
        Err(CaptureError::new(ErrorKind::Lost, "gone"))
    }

    fn describe(&self) -> String {
        "camera".to_owned()
    }
}

#[test]
fn a_camera_that_its_driver_holds_for_us_hangs_and_is_in_no_other_programs_hands() {
    let (driver, held) = sync_channel(0);
    let camera = Arc::new(Holding(Mutex::new(Some(held))));
    let config = config::Stream {
        linger: Duration::ZERO,
        ..config::Stream::new("camera", Configured::Device("/dev/video0".into()))
    };
    let metrics = Metrics::new().stream("camera");
    let stream = Stream::start(config, camera.clone(), metrics.clone()).unwrap();
    let demand = stream.demand(Profile::High);
    until(|| camera.0.lock().is_none());
    drop(demand);
    until(|| metrics.stuck.get() == 1);
    let _demand = stream.demand(Profile::High);
    until(|| stream.status().failure.is_some());
    let status = stream.status();
    let failure = status.failure.unwrap();
    assert_eq!((status.state, failure.kind), (State::Stalled, "stalled"));
    assert!(failure.has_camera, "{}", failure.detail);
    // Now it is another one's.
    drop(driver);
    let kind = || stream.status().failure.unwrap().kind;
    until(|| metrics.stuck.get() == 0 && kind() == "busy");
    end(&stream);
}
