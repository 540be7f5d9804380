//! The questions to a driver: formats, sizes, rates.

use super::offer::{Offer, Rates, SizeOffer, Sizes, rate_of_interval};
use crate::media::{PixelFormat, Size};
use std::io;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::video::Capture;
use v4l::{Device, FourCC};

/// The formats that can be captured: those that both backends and the converter know, and H.264, which `nokhwa` does not and
/// nobody converts.
const CAPTURABLE: [(&[u8; 4], PixelFormat); 4] = [
    (b"YUYV", PixelFormat::Yuyv),
    (b"NV12", PixelFormat::Nv12),
    (b"MJPG", PixelFormat::Mjpeg),
    (b"H264", PixelFormat::H264),
];

/// V4L2's code of a format that can be captured.
pub(super) fn code_of(format: PixelFormat) -> Option<FourCC> {
    let mut capturable = CAPTURABLE.iter();
    let (code, _) = capturable.find(|(_, capturable)| *capturable == format)?;
    Some(FourCC::new(code))
}

/// The format that V4L2's code stands for, if it can be captured.
pub(super) fn format_of(code: FourCC) -> Option<PixelFormat> {
    let mut capturable = CAPTURABLE.iter();
    let (_, format) = capturable.find(|(capturable, _)| **capturable == code.repr)?;
    Some(*format)
}

/// All formats of a device. Where one scales freely, the rates are those at the size nearest to `near`.
pub(super) fn offers(device: &Device, near: Option<Size>) -> io::Result<Vec<Offer>> {
    let formats = device.enum_formats()?.into_iter();
    formats
        .map(|format| {
            Ok(Offer {
                fourcc: code_name(format.fourcc),
                description: format.description,
                format: format_of(format.fourcc),
                sizes: sizes(device, format.fourcc, near)?,
            })
        })
        .collect()
}

fn sizes(device: &Device, code: FourCC, near: Option<Size>) -> io::Result<Vec<SizeOffer>> {
    let sizes = none_if_unknown(device.enum_framesizes(code))?;
    sizes
        .into_iter()
        .map(|size| {
            let sizes = match size.size {
                FrameSizeEnum::Discrete(size) => Sizes::One(Size::new(size.width, size.height)),
                FrameSizeEnum::Stepwise(range) => Sizes::Range {
                    min: Size::new(range.min_width, range.min_height),
                    max: Size::new(range.max_width, range.max_height),
                    step: Size::new(range.step_width, range.step_height),
                },
            };
            let size = near.map_or_else(|| sizes.largest(), |near| sizes.nearest(near));
            let rates = rates(device, code, size)?;
            Ok(SizeOffer { sizes, rates })
        })
        .collect()
}

fn rates(device: &Device, code: FourCC, size: Size) -> io::Result<Rates> {
    let intervals = device.enum_frameintervals(code, size.width, size.height);
    let mut list = Vec::new();
    for interval in none_if_unknown(intervals)? {
        match interval.interval {
            FrameIntervalEnum::Discrete(time) => {
                list.extend(rate_of_interval(time.numerator, time.denominator));
            }
            FrameIntervalEnum::Stepwise(range) => {
                // The longest interval is the slowest rate.
                let slowest = rate_of_interval(range.max.numerator, range.max.denominator);
                let fastest = rate_of_interval(range.min.numerator, range.min.denominator);
                if let (Some(slowest), Some(fastest)) = (slowest, fastest) {
                    return Ok(Rates::Range { slowest, fastest });
                }
            }
        }
    }
    Ok(Rates::List(list))
}

/// Drivers that can't enumerate something, or have none of it, answer with one of these.
fn none_if_unknown<T>(answer: io::Result<Vec<T>>) -> io::Result<Vec<T>> {
    match answer {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) => {
            Ok(Vec::new())
        }
        other => other,
    }
}

/// A code as the kernel prints it: the highest bit stands for "big endian".
fn code_name(FourCC { repr: mut code }: FourCC) -> String {
    let big_endian = code[3] & 0x80 != 0;
    code[3] &= 0x7f;
    let name = String::from_utf8_lossy(&code);
    name.trim_end().to_owned() + if big_endian { "-BE" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_named_as_the_kernel_names_them() {
        let name = |code| code_name(FourCC::new(code));
        assert_eq!(name(b"YUYV"), "YUYV");
        assert_eq!(name(b"Y16 "), "Y16");
        assert_eq!(name(b"XR1\xb5"), "XR15-BE");
    }

    #[test]
    fn a_driver_that_cannot_enumerate_has_nothing_to_enumerate() {
        let answer = |errno| none_if_unknown::<()>(Err(io::Error::from_raw_os_error(errno)));
        assert!(answer(libc::EINVAL).unwrap().is_empty());
        assert!(answer(libc::ENOTTY).unwrap().is_empty());
        assert!(answer(libc::ENODEV).is_err());
    }
}
