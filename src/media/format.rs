//! The layout of a frame's pixels: the one table of all formats. Selection, listing, configuration and conversion read it.

use super::Size;
use std::fmt;

/// A format of frames. Its name is V4L2's code in small letters, but for Motion JPEG, which has two codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Packed 4:2:2: Y0 U Y1 V.
    Yuyv,
    /// Packed 4:2:2: U Y0 V Y1.
    Uyvy,
    /// Packed 4:2:2: Y0 V Y1 U.
    Yvyu,
    /// Packed 4:2:2: V Y0 U Y1.
    Vyuy,
    /// Planar 4:2:0 with interleaved chroma, U before V.
    Nv12,
    /// Planar 4:2:0 with interleaved chroma, V before U.
    Nv21,
    /// Planar 4:2:0: all of Y, then U, then V. V4L2's name is `YU12`.
    I420,
    /// Planar 4:2:0: all of Y, then V, then U.
    Yv12,
    /// Three bytes a pixel: red, green, blue.
    Rgb3,
    /// Three bytes a pixel: blue, green, red.
    Bgr3,
    /// Luma only, 8 bits.
    Grey,
    /// Luma only, 10 bits in 16, little endian.
    Y10,
    /// Luma only, four samples of 10 bits in five bytes, the last of which has the low bits.
    Y10p,
    /// Luma only, 16 bits, little endian.
    Y16,
    /// One JPEG image a frame.
    Mjpeg,
    /// A byte stream of H.264 (ITU-T H.264, annex B), whole access units a frame. It is passed through, never decoded.
    H264,
}

/// The arrangement of the samples of a frame. The converter is chosen by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// 4:2:2 in groups of four bytes, which stand for two pixels side by side.
    Packed(Order),
    /// 4:2:0: luma, then rows of chroma pairs.
    SemiPlanar {
        /// V is the first of a pair.
        v_first: bool,
    },
    /// 4:2:0: luma, then a plane for each kind of chroma.
    Planar {
        /// The plane of V comes before that of U.
        v_first: bool,
    },
    /// Three bytes a pixel.
    Rgb {
        /// Blue is the first of them, else red.
        blue_first: bool,
    },
    /// Luma only.
    Luma(Depth),
    /// A JPEG image.
    Jpeg,
    /// H.264.
    H264,
}

/// The order of the four bytes of packed 4:2:2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Y0 U Y1 V.
    Yuyv,
    /// U Y0 V Y1.
    Uyvy,
    /// Y0 V Y1 U.
    Yvyu,
    /// V Y0 U Y1.
    Vyuy,
}

/// The storage of luma samples where there is nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A byte each.
    Eight,
    /// Two bytes each, the less significant first, of which so many bits are used.
    Sixteen {
        /// 9 to 16.
        bits: u32,
    },
    /// Four samples in five bytes. The first four have the eight high bits of one sample each.
    PackedTen,
}

/// The properties of one format.
struct FormatRow {
    format: PixelFormat,
    name: &'static str,
    /// V4L2's codes, the usual one first.
    codes: &'static [&'static [u8; 4]],
    layout: Layout,
    /// Place in the order of preference among formats of the same size and rate: what a frame costs. H.264 saves the encoding;
    /// planes are copied; pairs are parted; groups are unpacked and averaged; colours are computed; JPEG is decoded. A picture
    /// without colour is cheap, but only for streams that ask for it or have nothing else.
    rank: u8,
}

const fn entry(
    format: PixelFormat,
    name: &'static str,
    codes: &'static [&'static [u8; 4]],
    layout: Layout,
    rank: u8,
) -> FormatRow {
    FormatRow {
        format,
        name,
        codes,
        layout,
        rank,
    }
}

/// Every format, in the order of [`PixelFormat`]'s variants, in which documentation lists them.
#[rustfmt::skip]
const TABLE: [FormatRow; 16] = [
    entry(PixelFormat::Yuyv, "yuyv", &[b"YUYV"], Layout::Packed(Order::Yuyv), 3),
    entry(PixelFormat::Uyvy, "uyvy", &[b"UYVY"], Layout::Packed(Order::Uyvy), 3),
    entry(PixelFormat::Yvyu, "yvyu", &[b"YVYU"], Layout::Packed(Order::Yvyu), 3),
    entry(PixelFormat::Vyuy, "vyuy", &[b"VYUY"], Layout::Packed(Order::Vyuy), 3),
    entry(PixelFormat::Nv12, "nv12", &[b"NV12"], Layout::SemiPlanar { v_first: false }, 2),
    entry(PixelFormat::Nv21, "nv21", &[b"NV21"], Layout::SemiPlanar { v_first: true }, 2),
    entry(PixelFormat::I420, "yu12", &[b"YU12"], Layout::Planar { v_first: false }, 1),
    entry(PixelFormat::Yv12, "yv12", &[b"YV12"], Layout::Planar { v_first: true }, 1),
    entry(PixelFormat::Rgb3, "rgb3", &[b"RGB3"], Layout::Rgb { blue_first: false }, 4),
    entry(PixelFormat::Bgr3, "bgr3", &[b"BGR3"], Layout::Rgb { blue_first: true }, 4),
    entry(PixelFormat::Grey, "grey", &[b"GREY"], Layout::Luma(Depth::Eight), 6),
    entry(PixelFormat::Y10, "y10", &[b"Y10 "], Layout::Luma(Depth::Sixteen { bits: 10 }), 8),
    entry(PixelFormat::Y10p, "y10p", &[b"Y10P"], Layout::Luma(Depth::PackedTen), 7),
    entry(PixelFormat::Y16, "y16", &[b"Y16 "], Layout::Luma(Depth::Sixteen { bits: 16 }), 8),
    entry(PixelFormat::Mjpeg, "mjpeg", &[b"MJPG", b"JPEG"], Layout::Jpeg, 5),
    entry(PixelFormat::H264, "h264", &[b"H264"], Layout::H264, 0),
];

impl PixelFormat {
    /// Every format. A camera can be asked for each.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Yuyv; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].format;
            at += 1;
        }
        all
    };

    const fn entry(self) -> &'static FormatRow {
        // A constant is no place; this is one.
        static ENTRIES: [FormatRow; TABLE.len()] = TABLE;
        &ENTRIES[self as usize]
    }

    /// The name that the configuration and the logs use.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }

    /// The codes that V4L2 has for it, the usual one first.
    pub const fn codes(self) -> &'static [&'static [u8; 4]] {
        self.entry().codes
    }

    /// The format that a code of V4L2 stands for.
    pub fn of_code(code: [u8; 4]) -> Option<Self> {
        let mut all = TABLE.iter();
        let entry = all.find(|entry| entry.codes.contains(&&code))?;
        Some(entry.format)
    }

    /// The arrangement of its samples.
    pub const fn layout(self) -> Layout {
        self.entry().layout
    }

    /// Its place in the order of preference, the best first.
    pub const fn rank(self) -> u8 {
        self.entry().rank
    }

    /// Whether it has no colours.
    pub const fn is_colourless(self) -> bool {
        matches!(self.layout(), Layout::Luma(_))
    }

    /// Whether the samples go from 0 to 255 where a driver says nothing of it (`V4L2_MAP_QUANTIZATION_DEFAULT`).
    pub const fn is_full_range(self) -> bool {
        matches!(self.layout(), Layout::Rgb { .. } | Layout::Jpeg)
    }

    /// Bytes from one row of luma, or of packed pixels, to the next: `stride` if that is room enough for a row, else
    /// the length of a row. 0 for a compressed format.
    ///
    /// Rows of interleaved chroma are as far apart, rounded up to a whole pair; rows of planar chroma half as far.
    pub const fn stride(self, width: u32, stride: usize) -> usize {
        let width = width as usize;
        let row = match self.layout() {
            // Odd sides are legal: chroma that half a pixel pair needs is there.
            Layout::Packed(_) => width.div_ceil(2) * 4,
            Layout::SemiPlanar { .. } | Layout::Planar { .. } => width,
            Layout::Rgb { .. } => 3 * width,
            Layout::Luma(Depth::Eight) => width,
            Layout::Luma(Depth::Sixteen { .. }) => 2 * width,
            Layout::Luma(Depth::PackedTen) => width.div_ceil(4) * 5,
            Layout::Jpeg | Layout::H264 => return 0,
        };
        if stride > row { stride } else { row }
    }

    /// Bytes of one frame of that size and [`stride`](Self::stride); `None` for a compressed format.
    pub const fn frame_len(self, size: Size, stride: usize) -> Option<usize> {
        let stride = self.stride(size.width, stride);
        let luma = stride * size.height as usize;
        let chroma_rows = size.height.div_ceil(2) as usize;
        match self.layout() {
            Layout::Packed(_) | Layout::Rgb { .. } | Layout::Luma(_) => Some(luma),
            Layout::SemiPlanar { .. } | Layout::Planar { .. } => {
                Some(luma + stride.next_multiple_of(2) * chroma_rows)
            }
            Layout::Jpeg | Layout::H264 => None,
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_own_row_name_and_codes() {
        for format in PixelFormat::ALL {
            assert_eq!(format.entry().format, format);
            for code in format.codes() {
                assert_eq!(PixelFormat::of_code(**code), Some(format));
            }
            let same = PixelFormat::ALL
                .iter()
                .filter(|other| other.name() == format.name());
            assert_eq!(same.count(), 1, "{format}");
        }
        assert_eq!(PixelFormat::of_code(*b"JPEG"), Some(PixelFormat::Mjpeg));
        assert_eq!(PixelFormat::of_code(*b"NM12"), None);
    }

    #[test]
    fn frame_lengths_follow_the_format() {
        for (format, lengths) in [
            (PixelFormat::Yuyv, [Some(16), Some(24), Some(20)]),
            (PixelFormat::Vyuy, [Some(16), Some(24), Some(20)]),
            (PixelFormat::Nv12, [Some(12), Some(17), Some(30)]),
            (PixelFormat::Nv21, [Some(12), Some(17), Some(30)]),
            (PixelFormat::I420, [Some(12), Some(17), Some(30)]),
            (PixelFormat::Yv12, [Some(12), Some(17), Some(30)]),
            (PixelFormat::Rgb3, [Some(24), Some(27), Some(24)]),
            (PixelFormat::Bgr3, [Some(24), Some(27), Some(24)]),
            (PixelFormat::Grey, [Some(8), Some(9), Some(20)]),
            (PixelFormat::Y10, [Some(16), Some(18), Some(20)]),
            (PixelFormat::Y10p, [Some(10), Some(15), Some(20)]),
            (PixelFormat::Y16, [Some(16), Some(18), Some(20)]),
            (PixelFormat::Mjpeg, [None; 3]),
            (PixelFormat::H264, [None; 3]),
        ] {
            let of = |width, height, stride| format.frame_len(Size::new(width, height), stride);
            let actual = [of(4, 2, 0), of(3, 3, 0), of(4, 2, 10)];
            assert_eq!(actual, lengths, "{format}");
        }
    }
}
