//! V4L2 cameras: the choice of a format, the capture itself through `nokhwa`, and what `nokhwa` leaves to its caller.
//!
//! Left to the caller are a time-out, error numbers, row padding, the driver's clock, and devices that are in a state that
//! it does not know.

mod controls;
mod device;
mod enumerate;
mod errors;
mod identity;
mod offer;
mod select;

pub use controls::{Control, Kind};
pub use device::Node;
pub use offer::{Offer, Rates, SizeOffer, Sizes};

use super::{CaptureError, ErrorKind, Granted, Opener, Request, Source, usb};
use crate::media::{FrameRate, PixelFormat, RawFrame};
use device::Setup;
use errors::{catch_panic, from_text};
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType,
    Resolution,
};
use nokhwa::{Buffer, NokhwaError};
use select::{Choice, choose};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long a frame is waited for at a time: as soon a thread that is not wanted any more ends.
const PATIENCE: Duration = Duration::from_millis(500);

/// A driver's time stamp is not believed to be older than that.
const OLDEST: Duration = Duration::from_secs(1);

/// Opens one camera.
#[derive(Debug, Clone)]
pub struct Camera {
    path: PathBuf,
    request: Request,
}

impl Camera {
    /// The camera at `path`: `/dev/videoN`, or a link to it such as those in `/dev/v4l/by-id`.
    pub fn new(path: impl Into<PathBuf>, request: Request) -> Self {
        let path = path.into();
        Self { path, request }
    }

    /// What the device would be set to, with its name. It is asked, and left as it is.
    ///
    /// # Errors
    /// As [`open`](Opener::open), but for those that show only when it captures.
    pub fn examine(&self) -> Result<String, CaptureError> {
        let (node, choice) = self.choose()?;
        Ok(format!("{}, {}", node.name, choice.reason))
    }

    fn choose(&self) -> Result<(Node, Choice), CaptureError> {
        let unsupported = |what: &str| {
            let detail = format!("{}: {what}", self.path.display());
            CaptureError::new(ErrorKind::Unsupported, detail)
        };
        let node = Node::open(&self.path)?;
        if let Some(why) = node.no_camera() {
            return Err(unsupported(why));
        }
        let offers = node.offers(Some(self.request.size))?;
        let choice = choose(&offers, &self.request).map_err(|what| unsupported(&what))?;
        Ok((node, choice))
    }

    /// Asks the device, sets it up and closes it again: the capture opens it anew.
    fn set_up(&self) -> Result<(Node, Choice, Setup), CaptureError> {
        let (node, mut choice) = self.choose()?;
        let setup = node.set_up(&choice)?;
        if setup.rate != choice.rate {
            choice.reason += &format!("; the driver grants {} fps", setup.rate);
        }
        drop(node);
        // Opened again to watch the capture: this descriptor has set nothing up, so it is in nobody's way.
        Ok((Node::open(&self.path)?, choice, setup))
    }
}

impl Opener for Camera {
    /// Returns with the first frame in hand, for only then has the driver found room on the USB bus. A camera that never
    /// delivers one blocks for ever.
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        let (watch, choice, setup) = self.set_up()?;
        let library = catch_panic(&self.path, || start(watch.index, &choice, setup.rate))?
            .map_err(|error| from_text(&self.path, "starting the capture", &error))?;
        let mut source = CameraSource {
            path: self.path.clone(),
            granted: Granted {
                device: watch.name.clone(),
                size: choice.size,
                rate: FrameRate::whole(setup.rate),
                format: choice.format,
                reason: choice.reason,
            },
            stride: setup.stride,
            library: Some(library),
            watch,
            buffer: None,
            is_new: true,
        };
        let first = (source.wait_for_buffer())
            .map_err(|error| from_text(&self.path, "starting the capture", &error))?;
        source.buffer = Some(first);
        Ok(Box::new(source))
    }

    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn reset(&self) -> Result<(), String> {
        usb::reset(&self.path)
    }
}

/// Opens the device in the library. It is in the wanted format already, so that the library changes nothing.
fn start(index: u32, choice: &Choice, rate: u32) -> Result<nokhwa::Camera, NokhwaError> {
    let format = match choice.format {
        PixelFormat::Nv12 => FrameFormat::NV12,
        PixelFormat::Mjpeg => FrameFormat::MJPEG,
        PixelFormat::Grey => FrameFormat::GRAY,
        // H.264 is never chosen for this library, which doesn't know it.
        PixelFormat::Yuyv | PixelFormat::I420 | PixelFormat::H264 => FrameFormat::YUYV,
    };
    let resolution = Resolution::new(choice.size.width, choice.size.height);
    let exact = RequestedFormatType::Exact(CameraFormat::new(resolution, format, rate));
    let mut camera = nokhwa::Camera::with_backend(
        CameraIndex::Index(index),
        RequestedFormat::with_formats(exact, &[format]),
        ApiBackend::Video4Linux,
    )?;
    camera.open_stream()?;
    Ok(camera)
}

/// A camera that is capturing.
struct CameraSource {
    path: PathBuf,
    granted: Granted,
    /// Bytes from one row to the next; 0 for compressed formats.
    stride: usize,
    /// Empty only while it is dropped.
    library: Option<nokhwa::Camera>,
    /// A second descriptor of the device, to wait for frames with a time limit.
    watch: Node,
    /// The frame that is lent.
    buffer: Option<Buffer>,
    /// `buffer` came while the camera was opened and was not lent yet.
    is_new: bool,
}

impl CameraSource {
    /// Waits without a limit.
    fn wait_for_buffer(&mut self) -> Result<Buffer, NokhwaError> {
        match &mut self.library {
            Some(library) => library.frame(),
            None => Err(NokhwaError::UnitializedError),
        }
    }

    fn lend(&self) -> Result<RawFrame<'_>, CaptureError> {
        let buffer = self.buffer.as_ref();
        let buffer = buffer.ok_or_else(|| self.lost("no frame"))?;
        let now = Instant::now();
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let age = age(wall, buffer.capture_timestamp());
        Ok(RawFrame {
            data: buffer.buffer(),
            format: self.granted.format,
            size: self.granted.size,
            stride: self.stride,
            // Never before the machine's start, for the frame can't be older.
            captured_at: now.checked_sub(age).unwrap_or(now),
            lost: 0,
            is_late: !self.watch.stalls(Duration::ZERO)?,
        })
    }

    fn lost(&self, what: &str) -> CaptureError {
        let detail = format!("{}: {what}", self.path.display());
        CaptureError::new(ErrorKind::Lost, detail)
    }
}

impl Source for CameraSource {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        if !std::mem::take(&mut self.is_new) {
            if self.watch.stalls(PATIENCE)? {
                return Ok(None);
            }
            let buffer = self.wait_for_buffer();
            self.buffer = Some(buffer.map_err(|error| self.lost(&error.to_string()))?);
        }
        self.lend().map(Some)
    }
}

impl Drop for CameraSource {
    fn drop(&mut self) {
        let library = self.library.take();
        // The library panics if a device that is gone or broken refuses to stop. It is closed all the same.
        let _ = catch_panic(Path::new(""), || drop(library));
    }
}

/// How long ago a frame was captured, both times since 1970; never more than [`OLDEST`]. 0 without a stamp or with one
/// from the future.
fn age(now: Duration, stamp: Option<Duration>) -> Duration {
    let age = stamp.and_then(|stamp| now.checked_sub(stamp));
    age.unwrap_or_default().min(OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plausible_stamp_gives_the_age() {
        let seconds = Duration::from_secs_f64;
        let now = seconds(1000.0);
        assert_eq!(age(now, Some(seconds(999.75))), seconds(0.25));
        assert_eq!(age(now, Some(now)), Duration::ZERO);
        assert_eq!(age(now, None), Duration::ZERO);
        assert_eq!(age(now, Some(seconds(1000.1))), Duration::ZERO);
        assert_eq!(age(now, Some(seconds(900.0))), OLDEST);
    }
}
