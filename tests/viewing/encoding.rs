//! A camera that encodes its pictures itself: the test pattern through OpenH264, or a clip.

use fanlight::capture::pattern::{Pattern, read_counter};
use fanlight::capture::{CaptureError, ErrorKind, Granted, Opener, Request, Source, Wanted};
use fanlight::codec::convert::Converter;
use fanlight::codec::encode::{Encoder, Settings};
use fanlight::media::{FrameRate, I420, PixelFormat, RawFrame, Size, TestPicture};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const SIZE: Size = Size::new(640, 360);
const RATE: FrameRate = FrameRate::whole(30);

/// A camera. Clones are the same one.
#[derive(Clone, Default)]
pub struct Camera(Arc<Inner>);

struct Inner {
    /// Pictures from one keyframe to the next.
    group: u32,
    /// `profile_idc`, whatever the pictures are.
    profile: u8,
    /// Frames are not to be had of it.
    is_only_h264: bool,
    /// Makes keyframes when it is asked for one.
    can_be_asked: bool,
    /// Is sent again and again in place of the pattern.
    clip: Option<&'static [u8]>,
    /// So many of the next buffers are damaged.
    damaged: AtomicU32,
    asked: AtomicBool,
    /// The counters of the pictures that were handed over whole.
    shown: Mutex<Vec<u32>>,
    /// What was asked for, each time that it was opened.
    opened: Mutex<Vec<Wanted>>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            group: 30,
            profile: 66,
            is_only_h264: false,
            can_be_asked: false,
            clip: None,
            damaged: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            shown: Mutex::default(),
            opened: Mutex::default(),
        }
    }
}

impl Camera {
    /// With a keyframe each so many pictures.
    pub fn with_groups_of(group: u32) -> Self {
        Self(Arc::new(Inner {
            group,
            ..Inner::default()
        }))
    }

    /// That says to be of Main profile.
    pub fn of_main_profile() -> Self {
        Self(Arc::new(Inner {
            profile: 77,
            ..Inner::default()
        }))
    }

    /// The same, with nothing but H.264.
    pub fn without_frames() -> Self {
        Self(Arc::new(Inner {
            profile: 77,
            is_only_h264: true,
            ..Inner::default()
        }))
    }

    /// With a keyframe each ten seconds, and whenever it is asked for one.
    pub fn that_can_be_asked() -> Self {
        Self(Arc::new(Inner {
            group: 300,
            can_be_asked: true,
            ..Inner::default()
        }))
    }

    /// That sends nothing but this.
    pub fn of_clip(clip: &'static [u8]) -> Self {
        Self(Arc::new(Inner {
            clip: Some(clip),
            ..Inner::default()
        }))
    }

    /// Makes the next picture a keyframe.
    pub fn make_keyframe(&self) {
        self.0.asked.store(true, Ordering::Relaxed);
    }

    /// Damages the next buffers.
    pub fn damage(&self, buffers: u32) {
        self.0.damaged.store(buffers, Ordering::Relaxed);
    }

    /// What was asked for, each time that it was opened.
    pub fn opened(&self) -> Vec<Wanted> {
        self.0.opened.lock().unwrap().clone()
    }

    /// The counters that it has shown from that one on, which it has shown.
    pub fn shown_from(&self, first: u32) -> Vec<u32> {
        let shown = self.0.shown.lock().unwrap();
        let at = shown.iter().position(|counter| *counter == first);
        shown[at.expect("a picture of this camera")..].to_vec()
    }
}

impl Opener for Camera {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        self.open_for(Wanted::Frames)
    }

    fn open_for(&self, wanted: Wanted) -> Result<Box<dyn Source>, CaptureError> {
        self.0.opened.lock().unwrap().push(wanted);
        if wanted == Wanted::Frames && self.0.is_only_h264 {
            return Err(CaptureError::new(ErrorKind::OnlyH264, "nothing but H.264"));
        }
        let request = Request {
            size: SIZE,
            rate: RATE,
            format: None,
        };
        let pattern = Pattern::new("camera", TestPicture::Bars, request);
        let pattern = pattern.open()?;
        if wanted == Wanted::Frames {
            return Ok(pattern);
        }
        let settings = Settings {
            size: SIZE,
            rate: RATE,
            bitrate: 1_000_000,
        };
        Ok(Box::new(Encoding {
            granted: Granted {
                format: PixelFormat::H264,
                ..pattern.granted().clone()
            },
            pattern,
            camera: self.0.clone(),
            converter: Converter::new(),
            picture: I420::new(SIZE),
            encoder: Encoder::new(settings).unwrap(),
            number: 0,
            buffer: Vec::new(),
        }))
    }

    fn describe(&self) -> String {
        "encoding camera".to_owned()
    }
}

struct Encoding {
    granted: Granted,
    pattern: Box<dyn Source>,
    camera: Arc<Inner>,
    converter: Converter,
    picture: I420,
    encoder: Encoder,
    /// Of the next picture.
    number: u32,
    buffer: Vec<u8>,
}

impl Source for Encoding {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        let Some(frame) = self.pattern.next_frame()? else {
            return Ok(None);
        };
        let captured_at = frame.captured_at;
        self.converter.convert(&frame, &mut self.picture).unwrap();
        let counter = read_counter(&self.picture).unwrap();
        let is_asked = self.camera.asked.swap(false, Ordering::Relaxed);
        let keyframe = is_asked || self.number.is_multiple_of(self.camera.group);
        self.number += 1;
        let unit = self.encoder.encode(&self.picture, captured_at, keyframe);
        self.buffer = unit.unwrap().unwrap().data.to_vec();
        if let Some(sps) = self.buffer.windows(4).position(|at| at == [0, 0, 1, 0x67]) {
            // Profile and constraint flags; the syntax is the same for both profiles.
            self.buffer[sps + 4] = self.camera.profile;
            self.buffer[sps + 5] = if self.camera.profile == 66 {
                0xc0
            } else {
                0x40
            };
        }
        if let Some(clip) = self.camera.clip {
            self.buffer = clip.to_vec();
        }
        let damaged = &self.camera.damaged;
        let less = |count: u32| count.checked_sub(1);
        if damaged
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
        {
            return Err(CaptureError::new(ErrorKind::BadFrame, "a damaged buffer"));
        }
        self.camera.shown.lock().unwrap().push(counter);
        Ok(Some(RawFrame {
            data: &self.buffer,
            format: PixelFormat::H264,
            size: SIZE,
            stride: 0,
            captured_at,
            lost: 0,
            is_late: false,
            full_range: false,
        }))
    }

    fn ask_for_keyframe(&mut self) -> bool {
        let can = self.camera.can_be_asked;
        self.camera.asked.fetch_or(can, Ordering::Relaxed);
        can
    }
}
