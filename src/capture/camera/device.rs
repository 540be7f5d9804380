//! A V4L2 device node: what it is, what it offers, setting it up.
//!
//! Through V4L2 for both backends: `nokhwa` opens a device only if it is in a format and at a rate that it knows, and
//! names few of the formats that there are.

use super::enumerate;
use super::errors::{Step, catch_panic, from_io};
use super::offer::Offer;
use super::select::Choice;
use super::v4l2::{self, Descriptor, Interface};
use crate::capture::{CaptureError, ErrorKind};
use crate::media::{FrameRate, PixelFormat, Size};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use v4l::capability::Flags;

/// The cure for what is no camera.
pub(super) const ANOTHER: &str = "choose a camera that `fanlight cameras` lists";

/// An open device node. Closed when dropped; while it is open it disturbs no capture unless it is set up.
pub struct Node {
    pub(super) path: PathBuf,
    /// The N of `/dev/videoN`.
    pub(super) index: u32,
    /// The device's own name, such as `HD Pro Webcam C920`.
    pub name: String,
    /// The kernel driver, such as `uvcvideo`.
    pub driver: String,
    /// The bus to which the device is attached, such as `usb-0000:00:14.0-1`.
    pub bus: String,
    flags: Flags,
    pub(super) device: Arc<Descriptor>,
}

/// The settings that the driver made of a [`Choice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setup {
    /// Layout of the frames.
    pub format: PixelFormat,
    /// The size in pixels.
    pub size: Size,
    /// Frames per second.
    pub rate: FrameRate,
    /// Bytes from one row to the next; 0 for compressed formats.
    pub stride: usize,
    /// Samples go from 0 to 255.
    pub full_range: bool,
}

impl Setup {
    /// Explains these settings: the reason of the choice, and the driver's departures from it.
    pub fn explain(&self, choice: &Choice) -> String {
        let Self {
            format, size, rate, ..
        } = self;
        let mut text = choice.reason.clone();
        // A rate has many fractions.
        let granted = format!("{format} {size} at {rate} fps");
        if granted != choice.to_string() {
            text += &format!("; the driver grants {granted}");
        }
        text
    }
}

impl Node {
    /// Opens a device node, or a link to one such as those in `/dev/v4l/by-id`.
    ///
    /// # Errors
    /// `NotFound`, `NoPermission`, `Busy`, or `NotACamera` for a path that is no `/dev/videoN`.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let (target, index) = Self::locate(path)?;
        let device =
            Descriptor::open(&target).map_err(|error| from_io(path, Step::Opening, &error))?;
        let caps = catch_panic(path, || device.capabilities())?
            .map_err(|error| from_io(path, Step::Identifying, &error))?;
        Ok(Self {
            path: path.to_owned(),
            index,
            name: caps.card,
            driver: caps.driver,
            bus: caps.bus,
            flags: caps.capabilities,
            device: Arc::new(device),
        })
    }

    /// The device node that the path leads to, and the N of its `/dev/videoN`. Nothing is opened.
    ///
    /// # Errors
    /// `NotFound`, `NoPermission`, or `NotACamera` for a path that is no `/dev/videoN`.
    pub fn locate(path: &Path) -> Result<(PathBuf, u32), CaptureError> {
        let no_camera = |what: &str| {
            let detail = format!("{}: {what}", path.display());
            CaptureError::new(ErrorKind::NotACamera, detail)
        };
        let target =
            fs::canonicalize(path).map_err(|error| from_io(path, Step::Opening, &error))?;
        let kind = fs::metadata(&target).map_err(|error| from_io(path, Step::Opening, &error))?;
        if !kind.file_type().is_char_device() {
            return Err(no_camera("not a camera or a link to one"));
        }
        let index = index_of(&target).ok_or_else(|| {
            no_camera("cameras are /dev/video0, /dev/video1 and so on, or links to them")
        })?;
        Ok((target, index))
    }

    /// Says why the node can't be a camera, if it can't.
    pub fn no_camera(&self) -> Option<&'static str> {
        let is = |flag| self.flags.contains(flag);
        if is(Flags::VIDEO_M2M) || is(Flags::VIDEO_M2M_MPLANE) {
            Some("a codec or scaler, not a camera")
        } else if is(Flags::VIDEO_CAPTURE) || is(Flags::VIDEO_CAPTURE_MPLANE) {
            None
        } else if is(Flags::META_CAPTURE) {
            Some("carries a camera's metadata, not its pictures")
        } else {
            Some("captures no video")
        }
    }

    /// By which interface it captures: the simpler one, of those few that have both.
    pub(super) fn interface(&self) -> Interface {
        match self.flags.contains(Flags::VIDEO_CAPTURE) {
            true => Interface::SinglePlanar,
            false => Interface::MultiPlanar,
        }
    }

    /// All formats. Where a format scales freely, the rates are those at the size nearest to `near`.
    ///
    /// # Errors
    /// `Lost` or `NotFound` if the device went away, `Unsupported` if the driver's answer makes no sense.
    pub fn offers(&self, near: Option<Size>) -> Result<Vec<Offer>, CaptureError> {
        enumerate::offers(&self.device, self.interface(), near)
            .map_err(|error| from_io(&self.path, Step::AskingFormats, &error))
    }

    /// Sets format, size and rate; what the driver makes of it is taken. The device keeps them after the node is closed.
    ///
    /// # Errors
    /// `Busy` while another program captures, `Unsupported` if the driver grants a format that can't be used.
    pub(super) fn set_up(&self, choice: &Choice) -> Result<Setup, CaptureError> {
        let fail = |error: io::Error| from_io(&self.path, Step::SettingFormat, &error);
        let refused = |what: String| {
            let detail = format!("{}: {what}", self.path.display());
            CaptureError::new(ErrorKind::Unsupported, detail)
        };
        let (device, interface) = (&self.device, self.interface());
        let granted =
            v4l2::set_format(device, interface, choice.code, choice.size).map_err(fail)?;
        let size = granted.size;
        let known = PixelFormat::of_code(granted.code).filter(|_| size.even().pixels() > 0);
        let format = known.ok_or_else(|| {
            let code = String::from_utf8_lossy(&granted.code);
            let made = format!("{} {size}", code.trim_end());
            refused(format!(
                "the driver makes {made} of {} {}",
                choice.format, choice.size
            ))
        })?;
        if granted.pieces != 1 {
            let what = format!(
                "the driver puts a frame of {format} into {} pieces of memory, one is supported",
                granted.pieces
            );
            let cure = "name a `format` whose planes lie in one piece, of those that `fanlight cameras` lists for the device";
            return Err(refused(what).curing(cure));
        }
        let rate = match v4l2::set_rate(device, interface, choice.rate) {
            Ok(granted) => granted,
            // A camera whose rate can't be set.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => None,
            Err(error) => return Err(fail(error)),
        };
        let stride = match format {
            PixelFormat::Mjpeg | PixelFormat::H264 => 0,
            _ => granted.stride,
        };
        Ok(Setup {
            format,
            size,
            rate: rate.unwrap_or(choice.rate),
            stride,
            full_range: granted.full_range,
        })
    }

    /// Waits for a frame of the running capture, whoever runs it. Whether it waits in vain.
    ///
    /// # Errors
    /// `Lost`.
    pub(super) fn stalls(&self, limit: Duration) -> Result<bool, CaptureError> {
        let ready = v4l2::wait(&self.device, limit).map_err(|error| {
            let detail = format!("{}: waiting failed: {error}", self.path.display());
            CaptureError::new(ErrorKind::Lost, detail)
        })?;
        Ok(!ready)
    }
}

/// The N of `/dev/videoN`.
fn index_of(path: &Path) -> Option<u32> {
    let name = path.strip_prefix("/dev").ok()?.to_str()?;
    let digits = name.strip_prefix("video")?;
    // Not `+1`, which the number parser would take.
    (digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_video_nodes_have_an_index() {
        let index = |path| index_of(Path::new(path));
        assert_eq!(index("/dev/video0"), Some(0));
        assert_eq!(index("/dev/video12"), Some(12));
        for other in [
            "/dev/video",
            "/dev/video+1",
            "/dev/video1x",
            "/dev/vbi0",
            "/tmp/video0",
            "/dev/v4l/video0",
            "/dev/video99999999999",
        ] {
            assert_eq!(index(other), None, "{other}");
        }
    }

    #[test]
    fn what_the_driver_grants_instead_is_said() {
        let choice = Choice {
            format: PixelFormat::Yuyv,
            code: *b"YUYV",
            size: Size::new(640, 480),
            rate: FrameRate::whole(30),
            reason: "why".to_owned(),
        };
        let mut setup = Setup {
            format: choice.format,
            size: choice.size,
            rate: choice.rate,
            stride: 1280,
            full_range: false,
        };
        assert_eq!(setup.explain(&choice), "why");
        setup.rate = FrameRate {
            numerator: 25,
            denominator: 2,
        };
        let expected = "why; the driver grants yuyv 640x480 at 12.5 fps";
        assert_eq!(setup.explain(&choice), expected);
    }

    #[test]
    fn what_is_no_camera_is_refused_with_a_sentence() {
        let error = |path: &str| {
            let error = Node::open(Path::new(path)).err().unwrap();
            (error.kind, error.detail)
        };
        assert_eq!(
            error("/dev/video4000000000"),
            (
                ErrorKind::NotFound,
                "/dev/video4000000000: no such device".to_owned()
            )
        );
        for (path, detail) in [
            ("/dev", "/dev: not a camera or a link to one"),
            (
                "/dev/null",
                "/dev/null: cameras are /dev/video0, /dev/video1 and so on, or links to them",
            ),
        ] {
            assert_eq!(error(path), (ErrorKind::NotACamera, detail.to_owned()));
        }
    }
}
