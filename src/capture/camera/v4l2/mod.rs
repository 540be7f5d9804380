//! The V4L2 calls of capturing, for devices with the single-planar interface and those with the multi-planar one, which the `v4l` crate
//! does not know. `buffers` maps the memory that the driver fills.
//!
//! The kernel's structures are the crate's. Every call is made again if a signal interrupted it.

mod buffers;

pub(super) use buffers::{About, Buffers};

use crate::capture::camera::offer::{Rates, Sizes, rate_of_interval};
use crate::media::{FrameRate, PixelFormat, Size};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use v4l::Device;
use v4l::capability::Capabilities;
use v4l::v4l_sys::{
    v4l2_fmtdesc, v4l2_format, v4l2_frmivalenum, v4l2_frmsizeenum, v4l2_streamparm,
};
use v4l::v4l2::vidioc;

/// The number of times that an interrupted call is made again.
const MOST_TRIES: usize = 16;

/// Formats, sizes or rates that are asked for: a driver with more than that has lost count.
const MOST_LISTED: u32 = 512;

// As `linux/videodev2.h` numbers them.
const DISCRETE: u32 = 1;
const COLORSPACE_JPEG: u32 = 7;
const FULL_RANGE: u32 = 1;
const LIMITED_RANGE: u32 = 2;

/// An open device. Closing it never panics, which the crate's own closing does when the system reports an error.
pub(in crate::capture::camera) struct Descriptor(ManuallyDrop<Device>);

impl Descriptor {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(ManuallyDrop::new(again(|| Device::with_path(path))?)))
    }

    /// The device's capabilities.
    pub fn capabilities(&self) -> io::Result<Capabilities> {
        again(|| self.query_caps())
    }
}

impl Deref for Descriptor {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.0
    }
}

impl Drop for Descriptor {
    #[expect(unsafe_code, reason = "the device is closed within `catch_unwind`")]
    fn drop(&mut self) {
        // SAFETY: the field is not used again: this is its owner's end.
        let device = unsafe { ManuallyDrop::take(&mut self.0) };
        let _ = catch_unwind(AssertUnwindSafe(|| drop(device)));
    }
}

/// The one of V4L2's two interfaces by which a device captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture::camera) enum Interface {
    SinglePlanar,
    /// A frame may lie in several pieces of memory. Only one is supported.
    MultiPlanar,
}

impl Interface {
    /// `V4L2_BUF_TYPE_VIDEO_CAPTURE` and `…_MPLANE`.
    const fn buffer_type(self) -> u32 {
        match self {
            Self::SinglePlanar => 1,
            Self::MultiPlanar => 9,
        }
    }
}

/// A format that a driver lists.
pub(in crate::capture::camera) struct Listed {
    pub code: [u8; 4],
    pub description: String,
}

/// The format that a driver grants for the one that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::capture::camera) struct Granted {
    pub code: [u8; 4],
    pub size: Size,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Pieces of memory that a frame lies in.
    pub pieces: usize,
    /// Samples go from 0 to 255.
    pub full_range: bool,
}

/// Makes a call.
///
/// # Safety
/// `T` is the structure that the kernel reads and writes for that request; pointers in it are valid.
#[expect(unsafe_code, reason = "a call of the kernel's by number")]
unsafe fn call<T>(device: &Device, request: vidioc::_IOC_TYPE, argument: &mut T) -> io::Result<()> {
    let fd = device.handle().fd();
    // SAFETY: the descriptor is open as long as the device is; the argument is as the caller promises.
    again(|| unsafe { v4l::v4l2::ioctl(fd, request, (&raw mut *argument).cast()) })
}

/// Tries again what a signal interrupted.
fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut tries = 1;
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted && tries < MOST_TRIES => {
                tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Waits until a buffer of the running capture is filled, whoever runs it. Whether one is.
///
/// # Errors
/// The system's error.
pub(in crate::capture::camera) fn wait(device: &Device, limit: Duration) -> io::Result<bool> {
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    let ready = again(|| device.handle().poll(libc::POLLIN, millis))?;
    Ok(ready > 0)
}

/// Asks for the items of a list by their numbers until there are no more.
fn listed<T>(mut ask: impl FnMut(u32) -> io::Result<T>) -> io::Result<Vec<T>> {
    let mut items = Vec::new();
    for index in 0..MOST_LISTED {
        match ask(index) {
            Ok(item) => items.push(item),
            // The end; drivers that can't enumerate something have none of it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(items)
}

/// The formats of a device.
pub(in crate::capture::camera) fn formats(
    device: &Device,
    interface: Interface,
) -> io::Result<Vec<Listed>> {
    listed(|index| {
        let mut format: v4l2_fmtdesc = zeroed();
        format.index = index;
        format.type_ = interface.buffer_type();
        // SAFETY: the structure of this request.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            call(device, vidioc::VIDIOC_ENUM_FMT, &mut format)?;
        }
        let description = format.description.split(|byte| *byte == 0).next();
        Ok(Listed {
            code: format.pixelformat.to_le_bytes(),
            description: String::from_utf8_lossy(description.unwrap_or_default()).into_owned(),
        })
    })
}

/// The sizes of a format. Empty if the driver does not tell.
pub(in crate::capture::camera) fn sizes(device: &Device, code: [u8; 4]) -> io::Result<Vec<Sizes>> {
    let is_range = |sizes: &Sizes| matches!(sizes, Sizes::Range { .. });
    let mut sizes = listed(|index| {
        let mut asked: v4l2_frmsizeenum = zeroed();
        asked.index = index;
        asked.pixel_format = u32::from_le_bytes(code);
        // SAFETY: the structure of this request. Of its union, `type_` tells which part the driver filled; all are numbers.
        #[expect(unsafe_code, reason = "see above")]
        let (discrete, range) = unsafe {
            call(device, vidioc::VIDIOC_ENUM_FRAMESIZES, &mut asked)?;
            (
                asked.__bindgen_anon_1.discrete,
                asked.__bindgen_anon_1.stepwise,
            )
        };
        Ok(if asked.type_ == DISCRETE {
            Sizes::One(Size::new(discrete.width, discrete.height))
        } else {
            Sizes::Range {
                min: Size::new(range.min_width, range.min_height),
                max: Size::new(range.max_width, range.max_height),
                step: Size::new(range.step_width, range.step_height),
            }
        })
    })?;
    // Some drivers give their one range for every number that they are asked for.
    if sizes.first().is_some_and(is_range) {
        sizes.truncate(1);
    }
    Ok(sizes)
}

/// The rates of a size. Empty if the driver does not tell.
pub(in crate::capture::camera) fn rates(
    device: &Device,
    code: [u8; 4],
    size: Size,
) -> io::Result<Rates> {
    let mut range = None;
    let list = listed(|index| {
        let mut asked: v4l2_frmivalenum = zeroed();
        asked.index = index;
        asked.pixel_format = u32::from_le_bytes(code);
        (asked.width, asked.height) = (size.width, size.height);
        // SAFETY: as for sizes.
        #[expect(unsafe_code, reason = "see above")]
        let (discrete, stepwise) = unsafe {
            call(device, vidioc::VIDIOC_ENUM_FRAMEINTERVALS, &mut asked)?;
            (
                asked.__bindgen_anon_1.discrete,
                asked.__bindgen_anon_1.stepwise,
            )
        };
        if asked.type_ == DISCRETE {
            return Ok(rate_of_interval(discrete.numerator, discrete.denominator));
        }
        // The longest interval is the slowest rate.
        let slowest = rate_of_interval(stepwise.max.numerator, stepwise.max.denominator);
        let fastest = rate_of_interval(stepwise.min.numerator, stepwise.min.denominator);
        range = range.or(slowest.zip(fastest));
        Ok(None)
    })?;
    Ok(match range {
        Some((slowest, fastest)) => Rates::Range { slowest, fastest },
        None => Rates::List(list.into_iter().flatten().collect()),
    })
}

/// Sets format and size.
pub(in crate::capture::camera) fn set_format(
    device: &Device,
    interface: Interface,
    code: [u8; 4],
    size: Size,
) -> io::Result<Granted> {
    let mut format: v4l2_format = zeroed();
    format.type_ = interface.buffer_type();
    let pixelformat = u32::from_le_bytes(code);
    match interface {
        Interface::SinglePlanar => {
            let mut asked = zeroed::<v4l::v4l_sys::v4l2_pix_format>();
            (asked.width, asked.height) = (size.width, size.height);
            asked.pixelformat = pixelformat;
            format.fmt.pix = asked;
        }
        Interface::MultiPlanar => {
            let mut asked = zeroed::<v4l::v4l_sys::v4l2_pix_format_mplane>();
            (asked.width, asked.height) = (size.width, size.height);
            asked.pixelformat = pixelformat;
            asked.num_planes = 1;
            format.fmt.pix_mp = asked;
        }
    }
    // SAFETY: the structure of this request. Which part of its union is filled, the interface tells; all are numbers.
    #[expect(unsafe_code, reason = "see above")]
    let granted = unsafe {
        call(device, vidioc::VIDIOC_S_FMT, &mut format)?;
        match interface {
            Interface::SinglePlanar => {
                let pix = format.fmt.pix;
                Granted {
                    code: pix.pixelformat.to_le_bytes(),
                    size: Size::new(pix.width, pix.height),
                    stride: pix.bytesperline as usize,
                    pieces: 1,
                    full_range: is_full_range(pix.pixelformat, pix.colorspace, pix.quantization),
                }
            }
            Interface::MultiPlanar => {
                let pix = format.fmt.pix_mp;
                let first = pix.plane_fmt[0];
                Granted {
                    code: pix.pixelformat.to_le_bytes(),
                    size: Size::new(pix.width, pix.height),
                    stride: first.bytesperline as usize,
                    pieces: pix.num_planes.into(),
                    full_range: is_full_range(
                        pix.pixelformat,
                        pix.colorspace,
                        pix.quantization.into(),
                    ),
                }
            }
        }
    };
    Ok(granted)
}

/// Whether samples go from 0 to 255 (`V4L2_MAP_QUANTIZATION_DEFAULT`).
fn is_full_range(pixelformat: u32, colorspace: u32, quantization: u32) -> bool {
    let format = PixelFormat::of_code(pixelformat.to_le_bytes());
    match quantization {
        FULL_RANGE => true,
        LIMITED_RANGE => false,
        _ => colorspace == COLORSPACE_JPEG || format.is_some_and(PixelFormat::is_full_range),
    }
}

/// Sets the rate. What the driver makes of it, if it tells.
pub(in crate::capture::camera) fn set_rate(
    device: &Device,
    interface: Interface,
    rate: FrameRate,
) -> io::Result<Option<FrameRate>> {
    let mut parameters: v4l2_streamparm = zeroed();
    parameters.type_ = interface.buffer_type();
    let mut capture = zeroed::<v4l::v4l_sys::v4l2_captureparm>();
    capture.timeperframe.numerator = rate.denominator;
    capture.timeperframe.denominator = rate.numerator;
    parameters.parm.capture = capture;
    // SAFETY: the structure of this request. `capture` is the part of its union for both interfaces.
    #[expect(unsafe_code, reason = "see above")]
    let granted = unsafe {
        call(device, vidioc::VIDIOC_S_PARM, &mut parameters)?;
        parameters.parm.capture.timeperframe
    };
    Ok(rate_of_interval(granted.numerator, granted.denominator))
}

/// The kernel's structures that consist of numbers, arrays and unions of them.
trait Plain {}

impl Plain for v4l2_fmtdesc {}
impl Plain for v4l2_frmsizeenum {}
impl Plain for v4l2_frmivalenum {}
impl Plain for v4l2_format {}
impl Plain for v4l::v4l_sys::v4l2_pix_format {}
impl Plain for v4l::v4l_sys::v4l2_pix_format_mplane {}
impl Plain for v4l2_streamparm {}
impl Plain for v4l::v4l_sys::v4l2_captureparm {}
impl Plain for v4l::v4l_sys::v4l2_requestbuffers {}
impl Plain for v4l::v4l_sys::v4l2_buffer {}
impl Plain for v4l::v4l_sys::v4l2_plane {}

/// With all numbers 0, as the kernel asks of what is not used.
#[expect(unsafe_code, reason = "structures of C without a constructor")]
fn zeroed<T: Plain>() -> T {
    // SAFETY: zeros are a value of every number, and a null pointer of the few pointers.
    unsafe { mem::zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_samples_is_as_v4l2_says() {
        let full = |code: &[u8; 4], colorspace, quantization| {
            is_full_range(u32::from_le_bytes(*code), colorspace, quantization)
        };
        const SRGB: u32 = 8;
        assert!(!full(b"YUYV", SRGB, 0));
        assert!(!full(b"GREY", 0, 0));
        assert!(full(b"YUYV", COLORSPACE_JPEG, 0));
        assert!(!full(b"YUYV", COLORSPACE_JPEG, LIMITED_RANGE));
        assert!(full(b"NV12", SRGB, FULL_RANGE));
        assert!(full(b"RGB3", SRGB, 0));
        assert!(!full(b"BGR3", SRGB, LIMITED_RANGE));
    }

    #[test]
    fn a_list_ends_where_the_driver_says_so_and_a_failure_is_no_end() {
        let list = |end: i32| {
            listed(|index| match index {
                0..3 => Ok(index),
                _ => Err(io::Error::from_raw_os_error(end)),
            })
        };
        assert_eq!(list(libc::EINVAL).unwrap(), [0, 1, 2]);
        assert_eq!(list(libc::ENOTTY).unwrap(), [0, 1, 2]);
        assert!(list(libc::ENODEV).is_err());
        let endless = listed(Ok);
        assert_eq!(endless.unwrap().len(), MOST_LISTED as usize);
    }

    #[test]
    fn what_a_signal_interrupts_is_tried_again_but_not_for_ever() {
        let mut tries = 0;
        let mut interrupted = |times| {
            tries = 0;
            again(|| {
                tries += 1;
                match tries {
                    tries if tries <= times => Err(io::Error::from_raw_os_error(libc::EINTR)),
                    _ => Ok(()),
                }
            })
        };
        assert!(interrupted(3).is_ok());
        assert!(interrupted(usize::MAX).is_err());
    }
}
