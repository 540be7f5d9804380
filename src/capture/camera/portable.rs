//! The portable backend, on `nokhwa`: it takes whole rates only, waits for the first frame without a limit, and tells neither how
//! much of a buffer the driver filled nor whether it is damaged.

use super::device::Setup;
use super::errors::{Step, catch_panic, from_text};
use super::offer::whole;
use super::{Node, PATIENCE, age};
use crate::capture::{CaptureError, ErrorKind, Granted, Source};
use crate::media::RawFrame;
use nokhwa::utils::{
    ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType,
    Resolution,
};
use nokhwa::{Buffer, NokhwaError};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Starts the capture on a node that is set up, and closes it: drivers let only the descriptor that set the device up start
/// it. Returns with the first frame in hand, for only then the driver has found room on the USB bus. A camera that never
/// delivers one blocks for ever.
///
/// # Errors
/// Those of starting; `Unsupported` if the driver granted a rate that is not whole.
pub(super) fn start(
    node: Node,
    granted: Granted,
    setup: Setup,
) -> Result<Box<dyn Source>, CaptureError> {
    let (path, index) = (node.path.clone(), node.index);
    drop(node);
    // Opened again to watch the capture: this descriptor has set nothing up, so it is in nobody's way.
    let watch = Node::open(&path)?;
    let library = catch_panic(&path, || open(index, &granted))?
        .map_err(|error| from_text(&path, Step::Starting, &error))?;
    let mut source = Portable {
        granted,
        stride: setup.stride,
        full_range: setup.full_range,
        library: Some(library),
        watch,
        buffer: None,
        is_new: true,
    };
    let first =
        (source.wait_for_buffer()).map_err(|error| from_text(&path, Step::Starting, &error))?;
    source.buffer = Some(first);
    Ok(Box::new(source))
}

/// The library's name for a format that it captures, by its code of V4L2.
fn known(code: [u8; 4]) -> Option<FrameFormat> {
    match &code {
        b"YUYV" => Some(FrameFormat::YUYV),
        b"NV12" => Some(FrameFormat::NV12),
        b"MJPG" => Some(FrameFormat::MJPEG),
        b"RGB3" => Some(FrameFormat::RAWRGB),
        b"BGR3" => Some(FrameFormat::RAWBGR),
        _ => None,
    }
}

/// Whether the library captures the format with that code of V4L2.
pub(super) fn takes(code: [u8; 4]) -> bool {
    known(code).is_some()
}

/// Opens the device in the library. It is in the wanted format already, so that the library changes nothing.
fn open(index: u32, granted: &Granted) -> Result<nokhwa::Camera, NokhwaError> {
    let mut codes = granted.format.codes().iter();
    let format = codes.find_map(|code| known(**code)).ok_or_else(|| {
        let what = format!("{}, which nokhwa does not capture", granted.format);
        NokhwaError::OpenDeviceError(index.to_string(), what)
    })?;
    let rate = whole(granted.rate).ok_or_else(|| {
        let what = format!("{} fps, not a whole rate, which nokhwa needs", granted.rate);
        NokhwaError::OpenDeviceError(index.to_string(), what)
    })?;
    let resolution = Resolution::new(granted.size.width, granted.size.height);
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
struct Portable {
    granted: Granted,
    /// Bytes from one row to the next; 0 for compressed formats.
    stride: usize,
    /// Samples go from 0 to 255.
    full_range: bool,
    /// Empty only while it is dropped.
    library: Option<nokhwa::Camera>,
    /// A second descriptor of the device, to wait for frames with a time limit.
    watch: Node,
    /// The frame that is lent.
    buffer: Option<Buffer>,
    /// `buffer` came while the camera was opened and was not lent yet.
    is_new: bool,
}

impl Portable {
    /// Waits without a limit.
    fn wait_for_buffer(&mut self) -> Result<Buffer, NokhwaError> {
        match &mut self.library {
            Some(library) => library.frame(),
            None => Err(NokhwaError::UnitializedError),
        }
    }

    fn lost(&self, what: &str) -> CaptureError {
        let detail = format!("{}: {what}", self.watch.path.display());
        CaptureError::new(ErrorKind::Lost, detail)
    }
}

impl Source for Portable {
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
        let buffer = self.buffer.as_ref();
        let buffer = buffer.ok_or_else(|| self.lost("no frame"))?;
        let now = Instant::now();
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let age = age(wall, buffer.capture_timestamp());
        Ok(Some(RawFrame {
            data: buffer.buffer(),
            format: self.granted.format,
            size: self.granted.size,
            stride: self.stride,
            // Never before the machine's start, for the frame can't be older.
            captured_at: now.checked_sub(age).unwrap_or(now),
            lost: 0,
            is_late: !self.watch.stalls(Duration::ZERO)?,
            full_range: self.full_range,
        }))
    }
}

impl Drop for Portable {
    fn drop(&mut self) {
        let Some(library) = self.library.take() else {
            return;
        };
        // The library panics if a device refuses to stop, and while it unwinds from that once more if it does not take its buffers back
        // either, which would end the process. What does not answer any more, but is not gone, is left open.
        let fails = || {
            let answer = self.watch.device.capabilities();
            answer.is_err_and(|error| error.raw_os_error() != Some(libc::ENODEV))
        };
        if fails() && fails() {
            tracing::warn!("the camera does not answer, so that its library can't close it");
            std::mem::forget(library);
            return;
        }
        // It is closed all the same.
        let _ = catch_panic(Path::new(""), || drop(library));
    }
}
