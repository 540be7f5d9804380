//! The data that travels through fanlight: sizes, frames before and after conversion, access units.
//!
//! Plain values. This module knows no other module.

mod format;
mod orientation;
mod profile;

use bytes::Bytes;
pub use format::{Depth, Layout, Order, PixelFormat};
pub use orientation::{Flip, Orientation, Rotation};
pub use profile::{Profile, ProfileLevelId, Profiles};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Width and height of a picture in pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Size {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

impl Size {
    /// A size in pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The largest size within this one that 4:2:0 chroma subsampling can express: both sides even.
    pub const fn even(self) -> Self {
        Self::new(self.width & !1, self.height & !1)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a size is WIDTHxHEIGHT in pixels, such as 1280x720";
        let (width, height) = text.split_once(['x', 'X']).ok_or(EXPECTED)?;
        let side = |text: &str| text.trim().parse().map_err(|_| EXPECTED);
        Ok(Self::new(side(width)?, side(height)?))
    }
}

/// Frames per second as a fraction, since cameras offer rates such as 30000/1001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameRate {
    /// Frames…
    pub numerator: u32,
    /// …in this many seconds; never 0.
    pub denominator: u32,
}

impl FrameRate {
    /// A whole number of frames per second.
    pub const fn whole(fps: u32) -> Self {
        Self {
            numerator: fps,
            denominator: 1,
        }
    }

    /// The nearest rate with three decimal places; `None` unless it is finite and above zero.
    pub fn from_f64(fps: f64) -> Option<Self> {
        let milli = (fps * 1000.0).round();
        if !(1.0..=1_000_000.0).contains(&milli) {
            return None;
        }
        // In range by the check above.
        let milli = milli as u32;
        if milli.is_multiple_of(1000) {
            return Some(Self::whole(milli / 1000));
        }
        Some(Self {
            numerator: milli,
            denominator: 1000,
        })
    }

    /// Frames per second.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }

    /// Time from one frame to the next.
    pub fn interval(self) -> Duration {
        Duration::from_secs_f64(f64::from(self.denominator) / f64::from(self.numerator.max(1)))
    }
}

impl fmt::Display for FrameRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Three decimals at the most, and none for whole rates.
        write!(f, "{}", (self.as_f64() * 1000.0).round() / 1000.0)
    }
}

/// The contents of a test pattern.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TestPicture {
    /// Colour bars and a moving box: next to no bitrate.
    #[default]
    Bars,
    /// Clouds and grain, which take all the bitrate there is, as a camera's pictures do.
    Noise,
}

impl TestPicture {
    /// Every picture.
    pub const ALL: [Self; 2] = [Self::Bars, Self::Noise];

    /// The name that the configuration and the command line use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bars => "bars",
            Self::Noise => "noise",
        }
    }
}

/// One frame as the source delivered it, lent for as long as the source is not asked for the next.
#[derive(Debug, Clone, Copy)]
pub struct RawFrame<'a> {
    /// Pixels or a compressed image, laid out as `format` says.
    pub data: &'a [u8],
    /// The layout of `data`.
    pub format: PixelFormat,
    /// The size in pixels.
    pub size: Size,
    /// Bytes from one row to the next, see [`PixelFormat::stride`]; 0 for rows without padding.
    pub stride: usize,
    /// When the sensor delivered the frame, by the driver's clock where there is one.
    pub captured_at: Instant,
    /// Frames that the source lost since the one before.
    pub lost: u32,
    /// A newer one waits already: where only the newest counts, this one can be left out.
    pub is_late: bool,
    /// Raw samples go from 0 to 255, else luma from 16 to 235 and chroma from 16 to 240. JPEG always has full range.
    pub full_range: bool,
}

/// A planar 4:2:0 picture with limited-range BT.601/BT.709 samples, ready to be encoded.
///
/// Rows have no padding. The buffers are kept from frame to frame: [`reset`](Self::reset) reuses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct I420 {
    size: Size,
    /// Luma, `width * height` bytes.
    pub y: Vec<u8>,
    /// Blue difference, a quarter of that.
    pub u: Vec<u8>,
    /// Red difference, a quarter of that.
    pub v: Vec<u8>,
}

impl I420 {
    /// A black picture. Odd sides are cut to even ones.
    pub fn new(size: Size) -> Self {
        let mut picture = Self {
            size: Size::new(0, 0),
            y: Vec::new(),
            u: Vec::new(),
            v: Vec::new(),
        };
        picture.reset(size);
        picture
    }

    /// Makes the buffers fit a size; the content is black after a change of size, else untouched.
    pub fn reset(&mut self, size: Size) {
        let size = size.even();
        if size == self.size {
            return;
        }
        self.size = size;
        for (plane, len, black) in [
            (&mut self.y, size.pixels(), 16),
            (&mut self.u, size.pixels() / 4, 128),
            (&mut self.v, size.pixels() / 4, 128),
        ] {
            plane.clear();
            plane.resize(len, black);
        }
    }

    /// The size in pixels; both sides are even.
    pub const fn size(&self) -> Size {
        self.size
    }
}

/// Everything that belongs to one coded picture: an Annex B byte stream (ITU-T H.264, Annex B).
#[derive(Debug, Clone)]
pub struct AccessUnit {
    /// NAL units with start codes; a keyframe begins with SPS and PPS.
    pub data: Bytes,
    /// Decoding can begin here: the picture is an IDR.
    pub keyframe: bool,
    /// 0 is the base layer; a receiver may drop all units of the layers above any one.
    pub temporal_layer: u8,
    /// When the sensor delivered the picture.
    pub captured_at: Instant,
    /// When the encoder returned it.
    pub encoded_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_as_width_x_height() {
        assert_eq!("1280x720".parse(), Ok(Size::new(1280, 720)));
        assert_eq!(Size::new(1280, 720).to_string(), "1280x720");
        assert!("1280".parse::<Size>().is_err());
        assert!("-1x2".parse::<Size>().is_err());
    }

    #[test]
    fn rates_keep_fractions_and_show_whole_numbers_plainly() {
        assert_eq!(FrameRate::from_f64(30.0), Some(FrameRate::whole(30)));
        assert_eq!(FrameRate::from_f64(12.5).unwrap().to_string(), "12.5");
        let ntsc = FrameRate {
            numerator: 30_000,
            denominator: 1001,
        };
        assert_eq!(ntsc.to_string(), "29.97");
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(FrameRate::from_f64(bad), None);
        }
    }

    #[test]
    fn a_picture_of_odd_size_is_cut_to_even() {
        let picture = I420::new(Size::new(5, 3));
        assert_eq!(picture.size(), Size::new(4, 2));
        assert_eq!((picture.y.len(), picture.u.len()), (8, 2));
    }
}
