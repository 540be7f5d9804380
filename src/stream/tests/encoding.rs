//! A stream whose camera encodes: when its H.264 is passed through, and what is asked of it.

use super::*;

/// Of 320 x 180 pixels, in Main profile.
const MAIN: &[u8] = include_bytes!("../../codec/h264/fixtures/main.h264");

/// A camera that encodes, and notes what is asked of it.
struct Encoding {
    asked: Arc<Mutex<Vec<Wanted>>>,
    camera: Camera,
    /// Its H.264, over and over; `None` if it can't be passed through.
    clip: Option<&'static [u8]>,
    has_frames: bool,
}

struct OpenEncoding {
    clip: &'static [u8],
    frames: Box<dyn Source>,
    granted: Granted,
}

impl Source for OpenEncoding {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        // At the pace of the frames.
        Ok(self.frames.next_frame()?.map(|frame| RawFrame {
            data: self.clip,
            format: PixelFormat::H264,
            ..frame
        }))
    }
}

impl Opener for Encoding {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        self.camera.open()
    }

    fn open_for(&self, wanted: Wanted) -> Result<Box<dyn Source>, CaptureError> {
        self.asked.lock().push(wanted);
        if wanted == Wanted::Frames {
            let frames = self.open()?;
            let none = || CaptureError::new(ErrorKind::OnlyH264, "nothing but H.264");
            return self.has_frames.then_some(frames).ok_or_else(none);
        }
        let no_use = || CaptureError::new(ErrorKind::NotPassable, "B-frames");
        let clip = self.clip.ok_or_else(no_use)?;
        let frames = self.open()?;
        Ok(Box::new(OpenEncoding {
            clip,
            granted: Granted {
                format: PixelFormat::H264,
                ..frames.granted().clone()
            },
            frames,
        }))
    }

    fn describe(&self) -> String {
        "camera".to_owned()
    }
}

/// Its stream, and what is asked of it.
fn encoding(
    always_on: bool,
    is_there: &Arc<AtomicBool>,
    clip: Option<&'static [u8]>,
) -> (Arc<Stream>, Arc<Mutex<Vec<Wanted>>>) {
    encoding_or_not(always_on, is_there, clip, true)
}

/// The same of a camera that may have nothing but H.264.
fn encoding_or_not(
    always_on: bool,
    is_there: &Arc<AtomicBool>,
    clip: Option<&'static [u8]>,
    has_frames: bool,
) -> (Arc<Stream>, Arc<Mutex<Vec<Wanted>>>) {
    let request = Request {
        size: SIZE,
        rate: FrameRate::whole(30),
        format: None,
    };
    let asked = Arc::default();
    let camera = Encoding {
        asked: Arc::clone(&asked),
        camera: Camera {
            is_there: is_there.clone(),
            pattern: Pattern::new("camera", TestPicture::Bars, request),
        },
        clip,
        has_frames,
    };
    let config = config::Stream {
        linger: Duration::ZERO,
        always_on,
        ..config::Stream::new("camera", Configured::Device("/dev/video0".into()))
    };
    let metrics = Metrics::new().stream("camera");
    let stream = Stream::start(config, Arc::new(camera), metrics).unwrap();
    (stream, asked)
}

#[test]
fn a_camera_that_is_down_when_the_last_viewer_leaves_is_asked_for_its_h264_again_for_the_next() {
    let (stream, asked) = encoding(false, &Arc::new(AtomicBool::new(false)), None);
    for _ in 0..2 {
        let demand = stream.demand(Profile::High);
        until(|| stream.status().state == State::Down);
        drop(demand);
        until(|| stream.status().state == State::Idle);
        let asked = std::mem::take(&mut *asked.lock());
        assert_eq!(asked[..2], [Wanted::Either, Wanted::Frames]);
    }
    end(&stream);
}

/// Waits for some of its pictures from now on.
fn delivers(stream: &Stream) {
    let before = stream.deliveries();
    until(|| stream.deliveries() > before + 10);
}

#[test]
fn a_camera_that_is_always_open_is_asked_for_its_h264_again_once_when_nobody_watches() {
    let (stream, asked) = encoding(true, &Arc::new(AtomicBool::new(true)), Some(MAIN));
    delivers(&stream);
    let does_not_play = stream.demand(Profile::ConstrainedBaseline);
    until(|| asked.lock().len() == 2);
    delivers(&stream);
    drop(does_not_play);
    until(|| asked.lock().len() == 3);
    delivers(&stream);
    let once = [Wanted::Either, Wanted::Frames, Wanted::Either];
    assert_eq!(*asked.lock(), once);
    end(&stream);
}

#[test]
fn a_camera_that_is_always_open_stays_open_if_its_h264_will_do_for_nobody() {
    let (stream, asked) = encoding(true, &Arc::new(AtomicBool::new(true)), None);
    for _ in 0..2 {
        delivers(&stream);
        drop(stream.demand(Profile::High));
    }
    delivers(&stream);
    assert_eq!(*asked.lock(), [Wanted::Either, Wanted::Frames]);
    end(&stream);
}

#[test]
fn a_camera_without_frames_is_not_to_be_encoded_as_it_is_configured_already() {
    let is_there = Arc::new(AtomicBool::new(true));
    let (stream, asked) = encoding_or_not(false, &is_there, None, false);
    let _demand = stream.demand(Profile::High);
    until(|| stream.status().failure.is_some());
    let failure = stream.status().failure.unwrap();
    assert_eq!(failure.kind, "not_passable");
    assert!(failure.cure.starts_with("set the camera"));
    assert!(ErrorKind::NotPassable.cure().ends_with(failure.cure));
    let once = [Wanted::Either, Wanted::Frames, Wanted::Either];
    assert_eq!(asked.lock()[..3], once);
    end(&stream);
}

#[test]
fn a_device_that_is_plugged_in_is_not_taken_for_a_camera_that_delivers() {
    let is_there = Arc::new(AtomicBool::new(true));
    let (stream, asked) = encoding_or_not(false, &is_there, Some(MAIN), false);
    let _plays = stream.demand(Profile::High);
    let _does_not = stream.demand(Profile::ConstrainedBaseline);
    until(|| !stream.may_have_frames());
    for _ in 0..3 {
        delivers(&stream);
        stream.plugged();
    }
    assert!(!stream.may_have_frames());
    let once = [Wanted::Either, Wanted::Frames, Wanted::Either];
    assert_eq!(*asked.lock(), once);
    // Once it is gone it may have been that.
    is_there.store(false, Ordering::Relaxed);
    until(|| stream.may_have_frames());
    end(&stream);
}

#[test]
fn a_camera_is_asked_for_groups_that_are_not_taken_for_none() {
    let config = |seconds| config::Stream {
        keyframe_interval: Duration::from_secs(seconds),
        ..config::Stream::new("camera", Configured::Device("/dev/video0".into()))
    };
    let group = |seconds| group_of_camera(&config(seconds)).as_secs();
    assert_eq!((group(4), group(60)), (4, 10));
}

#[test]
fn what_answers_say_of_the_profile_follows_when_it_is_encoded_after_all() {
    let (stream, asked) = encoding(false, &Arc::new(AtomicBool::new(true)), Some(MAIN));
    let encoded = stream.profile_level_id();
    let _first = stream.demand(Profile::High);
    until(|| stream.deliveries() > 0);
    assert_eq!(Profile::of(stream.profile_level_id()), Some(Profile::Main));
    let _second = stream.demand(Profile::ConstrainedBaseline);
    until(|| stream.channel().metrics().encoded.get() > 0);
    assert_eq!(*asked.lock(), [Wanted::Either, Wanted::Frames]);
    assert_ne!(Profile::of(stream.profile_level_id()), Some(Profile::Main));
    assert_eq!(Profile::of(stream.profile_level_id()), Profile::of(encoded));
    end(&stream);
}

#[test]
fn a_cameras_own_video_a_slate_and_its_own_again_are_one_video() {
    let is_there = Arc::new(AtomicBool::new(true));
    let (stream, asked) = encoding(false, &is_there, Some(MAIN));
    // It decodes all with one decoder, and no time stands still.
    let mut viewer = Viewer::join_playing(&stream, Profile::High);
    let mut begins_with = |profile: u8| {
        let mut others = 0;
        loop {
            let (unit, _) = viewer.next();
            let mut parameters = unit.data.windows(5);
            match parameters.find(|at| at.starts_with(&[0, 0, 1, 0x67])) {
                Some(sps) if sps[4] == profile => return assert!(unit.keyframe),
                _ => others += 1,
            }
            assert!(others < 10_000);
        }
    };
    for _ in 0..3 {
        begins_with(77);
        assert!(!stream.channel().makes_keyframes());
        is_there.store(false, Ordering::Relaxed);
        begins_with(66);
        assert!(stream.channel().makes_keyframes());
        is_there.store(true, Ordering::Relaxed);
        stream.plugged();
    }
    begins_with(77);
    assert!(asked.lock().iter().all(|wanted| *wanted == Wanted::Either));
    assert_eq!(stream.channel().metrics().encoded.get(), 0);
    end(&stream);
}
