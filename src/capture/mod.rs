//! Sources of pictures: the [`Source`] trait, what can go wrong, and the sources there are.

pub mod camera;
pub mod hotplug;
pub mod pattern;
mod usb;

use crate::base::os_error::plain;
use crate::media::{FrameRate, PixelFormat, RawFrame, Size};
use std::fmt;

/// The configuration's request to a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The size in pixels.
    pub size: Size,
    /// Frames per second.
    pub rate: FrameRate,
    /// `None` takes what costs least.
    pub format: Option<PixelFormat>,
}

/// The kind of frames that is wanted of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Frames to be encoded.
    Frames,
    /// H.264 where the source has it as asked for, else frames.
    Either,
    /// H.264.
    H264,
}

/// The properties that a source granted; they may differ from the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// The source's own name, such as the camera's model.
    pub device: String,
    /// The size in pixels.
    pub size: Size,
    /// Frames per second.
    pub rate: FrameRate,
    /// Layout of the frames.
    pub format: PixelFormat,
    /// The reason for this format, size and rate: one sentence for the log.
    pub reason: String,
}

/// An open camera or another maker of frames.
///
/// It blocks, so it is made, used and dropped on one capture thread and need not be [`Send`].
pub trait Source {
    /// The properties that were agreed when the source was opened.
    fn granted(&self) -> &Granted;

    /// Waits for the next frame for up to a second, and lends it. `None` if there is none yet: whether that is too long, the
    /// caller knows.
    ///
    /// # Errors
    /// [`ErrorKind::BadFrame`] costs this one frame; after any other kind the source is to be dropped and opened again.
    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError>;

    /// Asks a source of H.264 for a keyframe, which comes soon. Whether it can be asked.
    fn ask_for_keyframe(&mut self) -> bool {
        false
    }
}

/// Knows how to open a source, again and again: what a stream is configured with.
pub trait Opener: Send + Sync + 'static {
    /// Opens the source on the calling thread for frames to be encoded; may block for seconds.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    fn open(&self) -> Result<Box<dyn Source>, CaptureError>;

    /// Opens the source for what is wanted. This is how a source without H.264 does it.
    ///
    /// # Errors
    /// See [`ErrorKind`].
    fn open_for(&self, wanted: Wanted) -> Result<Box<dyn Source>, CaptureError> {
        match wanted {
            Wanted::Frames | Wanted::Either => self.open(),
            Wanted::H264 => {
                let detail = format!("{}: it has no H.264 to pass through", self.describe());
                Err(CaptureError::new(ErrorKind::NotPassable, detail))
            }
        }
    }

    /// Whether what would be opened is there, as far as that can be told without opening it. Takes a moment.
    fn is_there(&self) -> bool {
        true
    }

    /// The name of the source, for logs and status: `/dev/video0`, `test pattern`.
    fn describe(&self) -> String;

    /// Resets the hardware behind the source, whether it is open or not; what is open fails by that. May block for a second.
    ///
    /// # Errors
    /// A sentence that says why it can't be done.
    fn reset(&self) -> Result<(), String> {
        Err(format!("{} can't be reset", self.describe()))
    }
}

/// The kind of a failure; each has its own cure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such device (ENOENT, ENODEV, ENXIO).
    NotFound,
    /// Another program holds the device (EBUSY).
    Busy,
    /// The user may not open the device (EACCES, EPERM).
    NoPermission,
    /// The USB bus has no room for the format (ENOSPC).
    NoUsbBandwidth,
    /// The machine has no memory or no descriptor for it (ENOMEM, EMFILE, ENFILE).
    NoResources,
    /// The device was there and is gone, or failed while streaming.
    Lost,
    /// The device is there, and delivers nothing for too long.
    Stalled,
    /// One frame can't be used.
    BadFrame,
    /// The named file is no camera, but a regular file, a codec, a camera's metadata.
    NotACamera,
    /// The camera can't do what is needed: it has no usable format, or its driver's answers make no sense.
    Unsupported,
    /// The device's H.264 can't be passed through.
    NotPassable,
    /// Frames are wanted of a device that has nothing but H.264.
    OnlyH264,
}

impl Wanted {
    /// Whether a frame of that format satisfies the request.
    pub fn takes(self, format: PixelFormat) -> bool {
        match self {
            Self::Frames => format != PixelFormat::H264,
            Self::Either => true,
            Self::H264 => format == PixelFormat::H264,
        }
    }
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::NotFound,
        Self::Busy,
        Self::NoPermission,
        Self::NoUsbBandwidth,
        Self::Lost,
        Self::Stalled,
        Self::BadFrame,
        Self::Unsupported,
        Self::NotPassable,
        Self::OnlyH264,
    ];

    /// A word for metrics and status.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Busy => "busy",
            Self::NoPermission => "no_permission",
            Self::NoUsbBandwidth => "no_usb_bandwidth",
            Self::NoResources => "no_resources",
            Self::Lost => "lost",
            Self::Stalled => "stalled",
            Self::BadFrame => "bad_frame",
            Self::NotACamera => "not_a_camera",
            Self::Unsupported => "unsupported",
            Self::NotPassable => "not_passable",
            Self::OnlyH264 => "only_h264",
        }
    }

    /// A few words for everybody who watches.
    pub const fn title(self) -> &'static str {
        match self {
            Self::NotFound => "The camera is not connected",
            Self::Busy => "Another program is using the camera",
            Self::NoPermission => "Permission to open the camera is denied",
            Self::NoUsbBandwidth => "The USB bus is too busy for the camera",
            Self::NoResources => "The machine has no resources left for the camera",
            Self::Lost => "The camera was disconnected",
            Self::Stalled => "The camera sends no pictures",
            Self::BadFrame => "The camera sends damaged pictures",
            Self::NotACamera => "The configured device is not a camera",
            Self::Unsupported => "The camera offers no usable format",
            Self::NotPassable => "The camera's video can't be passed through",
            Self::OnlyH264 => "The camera offers nothing but H.264",
        }
    }

    /// Whether there is a camera for this user and program, so that to open it anew, or to reset it, may help.
    pub const fn has_camera(self) -> bool {
        match self {
            Self::NotFound
            | Self::NotACamera
            | Self::Busy
            | Self::NoPermission
            | Self::NoUsbBandwidth
            | Self::NoResources
            | Self::OnlyH264 => false,
            Self::Lost | Self::Stalled | Self::BadFrame | Self::Unsupported | Self::NotPassable => {
                true
            }
        }
    }

    /// The cure of [`NotPassable`](Self::NotPassable) where the device has nothing else, and would be encoded if it had.
    pub const CURE_OF_H264: &str = "set the camera to a keyframe every two seconds, no B-frames and profile Baseline, Main or High";

    /// The cure that the user can apply.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::NotFound => {
                "plug the camera in, or choose another device: `fanlight cameras` lists them"
            }
            Self::Busy => "close the program that uses the camera",
            Self::NoPermission => {
                "add the user that runs fanlight to the group `video` and log in again"
            }
            Self::NoUsbBandwidth => {
                "ask for a smaller size, a lower rate or `format = \"mjpeg\"`, or use another USB port"
            }
            Self::NoResources => {
                "ask for a smaller `size`, or give the machine more memory (on small boards, the kernel's `cma=`)"
            }
            Self::Lost => {
                "check the cable; the stream continues when the camera is connected again"
            }
            Self::Stalled => {
                "unplug the camera and plug it in again; another USB port or a lower rate may help"
            }
            Self::BadFrame => "check the cable, or try another `format`",
            Self::NotACamera => "choose a camera: `fanlight cameras` lists them",
            Self::Unsupported => {
                "choose a format, size and rate that `fanlight cameras` lists for the device"
            }
            Self::NotPassable => {
                "configure `encode = \"auto\"`, or set the camera to a keyframe every two seconds, no B-frames and profile Baseline, Main or High"
            }
            Self::OnlyH264 => {
                "leave `encode`, `format`, `rotate` and `flip` at their defaults, as its video can only be passed through"
            }
        }
    }
}

/// A failure of a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct CaptureError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The event, with the device's name: `/dev/video0: no such device`.
    pub detail: String,
    /// A cure that fits better than that of the kind.
    cure: Option<&'static str>,
}

impl CaptureError {
    /// An error of that kind, described by `detail`, which people read.
    pub fn new(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: plain(&detail),
            cure: None,
        }
    }

    /// The same, with a cure that fits better than that of its kind.
    #[must_use]
    pub const fn curing(mut self, cure: &'static str) -> Self {
        self.cure = Some(cure);
        self
    }

    /// The cure that the user can apply.
    pub const fn cure(&self) -> &'static str {
        match self.cure {
            Some(cure) => cure,
            None => self.kind.cure(),
        }
    }

    /// Whether its cure fits better than that of its kind.
    pub const fn has_own_cure(&self) -> bool {
        self.cure.is_some()
    }
}
