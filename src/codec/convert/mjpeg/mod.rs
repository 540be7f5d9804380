//! Motion JPEG to planar 4:2:0: decoded straight to the JPEG's own planes, then brought to limited range and 4:2:0 in one pass.
//!
//! Whether an image is whole, its markers tell, and the decoder's warnings: none is a good sign, one of stray bytes has the data looked
//! through, any other is damage.

mod huffman;
mod markers;

use super::range::{limited_luma, mean_of_four, mean_of_two, twice_mean_of_two};
use super::{ConvertError, NEUTRAL, raw};
use crate::media::{I420, Size};
use markers::Markers;
use turbojpeg::{
    Colorspace, Decompressor, Error, Image, PixelFormat, Subsamp, YuvImage, yuv_pixels_len,
};

/// Scans that a progressive JPEG may have. Cameras send one; a hostile image must not hold the thread for minutes.
const MAX_SCANS: u32 = 64;

/// The decoder's words for bytes between the data and a marker, which webcams leave there. It tells of the first flaw only: others
/// may have followed.
const STRAY: &str = "extraneous bytes before marker";

/// The side of a block: by less, a camera's encoder pads the picture to whole ones.
const BLOCK: u32 = 16;

/// Owns the decompressor and what it decodes to.
#[derive(Debug)]
pub(super) struct Decoder {
    decompressor: Decompressor,
    /// Full-range Y, U and V in the JPEG's own subsampling; colours, if there is no name for it.
    planes: Vec<u8>,
    /// The image as it should be, if it is not: made with the first such image.
    mended: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Result<Self, ConvertError> {
        let mut decompressor = Decompressor::new().map_err(unusable)?;
        decompressor.set_scan_limit(MAX_SCANS).map_err(unusable)?;
        Ok(Self {
            decompressor,
            planes: Vec::new(),
            mended: Vec::new(),
        })
    }

    /// A picture with missing or damaged data is an error: showing half of it in grey is worse than skipping it.
    ///
    /// Returns the picture's size before it is cut to even sides: `expected`, or what the JPEG has.
    pub(super) fn decode(
        &mut self,
        data: &[u8],
        expected: Size,
        picture: &mut I420,
    ) -> Result<Size, ConvertError> {
        let flawed = |flaw: &str| ConvertError::Jpeg(flaw.to_owned());
        // Some drivers begin buffers with zeros.
        let start = data.iter().position(|byte| *byte != 0);
        let image = &data[start.unwrap_or_default()..];
        let markers = Markers::read(image).map_err(flawed)?;
        let size = shown(markers.size, expected);
        if size.even().pixels() == 0 {
            return Err(ConvertError::Empty(size));
        }
        let jpeg = mended(image, &markers, &mut self.mended);
        let header = self.decompressor.read_header(jpeg).map_err(unusable)?;
        let layout = JpegLayout::new(markers.size, size, header.subsamp, header.colorspace)?;
        let decoded = match layout.subsampling {
            Subsampling::Unnamed => {
                decode_colours(&mut self.decompressor, jpeg, &layout, &mut self.planes)
            }
            _ => decode_planes(&mut self.decompressor, jpeg, &layout, &mut self.planes),
        };
        match decoded {
            Err(Error::TurboJpegError(text)) if text.contains(STRAY) => {
                huffman::check(image, &markers).map_err(flawed)?;
            }
            decoded => decoded.map_err(unusable)?,
        }
        layout.subsample(&self.planes, picture)?;
        Ok(size)
    }
}

/// The size that is shown of a picture: the expected one if the rest is padding.
fn shown(actual: Size, expected: Size) -> Size {
    let is_padded = |actual: u32, expected: u32| (expected..expected + BLOCK).contains(&actual);
    let is_padded =
        is_padded(actual.width, expected.width) && is_padded(actual.height, expected.height);
    if is_padded { expected } else { actual }
}

/// The image without what the decoder would warn of: copied only if there is something.
fn mended<'a>(image: &'a [u8], markers: &Markers, copy: &'a mut Vec<u8>) -> &'a [u8] {
    let is_as_meant = markers.has_end && markers.mends.iter().all(Option::is_none);
    if is_as_meant {
        return image;
    }
    copy.clear();
    copy.extend_from_slice(&image[..markers.end]);
    for (at, byte) in markers.mends.into_iter().flatten() {
        copy[at] = byte;
    }
    copy.extend([0xff, 0xd9]);
    copy
}

/// Decodes to the JPEG's own planes.
fn decode_planes(
    decompressor: &mut Decompressor,
    jpeg: &[u8],
    layout: &JpegLayout,
    planes: &mut Vec<u8>,
) -> Result<(), Error> {
    let (width, height) = layout.sides();
    planes.resize(yuv_pixels_len(width, 1, height, layout.subsamp)?, 0);
    let image = YuvImage {
        pixels: &mut planes[..],
        width,
        align: 1,
        height,
        subsamp: layout.subsamp,
    };
    decompressor.decompress_to_yuv(jpeg, image)
}

/// Decodes to red, green and blue.
fn decode_colours(
    decompressor: &mut Decompressor,
    jpeg: &[u8],
    layout: &JpegLayout,
    pixels: &mut Vec<u8>,
) -> Result<(), Error> {
    let (width, height) = layout.sides();
    pixels.resize(3 * width * height, 0);
    let image = Image {
        pixels: &mut pixels[..],
        width,
        pitch: 3 * width,
        height,
        format: PixelFormat::RGB,
    };
    decompressor.decompress(jpeg, image)
}

/// The library's words as our error.
pub(super) fn unusable(error: Error) -> ConvertError {
    ConvertError::Jpeg(match error {
        Error::TurboJpegError(text) => text,
        other => other.to_string(),
    })
}

/// The subsampling of chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subsampling {
    /// There is none.
    Grey,
    /// Luma samples per chroma sample, across and down, each 1, 2 or 4.
    By(usize, usize),
    /// A ratio that has no name in the library, such as 4:1:0: it decodes such pictures to colours only.
    Unnamed,
}

/// The decompressor's layout of one picture.
struct JpegLayout {
    /// The size of the JPEG.
    size: Size,
    /// The part that is used, from the upper left corner.
    taken: Size,
    subsamp: Subsamp,
    subsampling: Subsampling,
}

impl JpegLayout {
    fn new(
        size: Size,
        taken: Size,
        subsamp: Subsamp,
        colorspace: Colorspace,
    ) -> Result<Self, ConvertError> {
        let subsampling = match (colorspace, subsamp) {
            (Colorspace::Gray, _) => Subsampling::Grey,
            (Colorspace::YCbCr, Subsamp::Unknown) | (Colorspace::RGB, _) => Subsampling::Unnamed,
            (Colorspace::YCbCr, subsamp) => Subsampling::By(subsamp.width(), subsamp.height()),
            (other, _) => return Err(ConvertError::Jpeg(format!("{other:?} colours"))),
        };
        Ok(Self {
            size,
            taken,
            subsamp,
            subsampling,
        })
    }

    const fn sides(&self) -> (usize, usize) {
        (self.size.width as usize, self.size.height as usize)
    }

    /// Full-range planes, or colours, to a limited-range 4:2:0 picture.
    fn subsample(&self, planes: &[u8], picture: &mut I420) -> Result<(), ConvertError> {
        let (across, down) = match self.subsampling {
            Subsampling::Unnamed => {
                let stride = 3 * self.size.width as usize;
                return raw::rgb(planes, (self.taken, stride), (false, true), picture);
            }
            Subsampling::Grey => (1, 1),
            Subsampling::By(across, down) => (across, down),
        };
        picture.reset(self.taken);
        let width = picture.size().width as usize;
        // Planes are padded to whole chroma samples.
        let stride = (self.size.width as usize).next_multiple_of(across);
        let rows = (self.size.height as usize).next_multiple_of(down);
        let (y, chroma) = planes.split_at(stride * rows);
        for (output, row) in picture
            .y
            .chunks_exact_mut(width)
            .zip(y.chunks_exact(stride))
        {
            for (output, &sample) in output.iter_mut().zip(row) {
                *output = limited_luma(sample);
            }
        }
        if self.subsampling == Subsampling::Grey {
            picture.u.fill(NEUTRAL);
            picture.v.fill(NEUTRAL);
            return Ok(());
        }
        let mean = match across {
            1 => mean_of_four,
            2 => mean_of_two,
            _ => twice_mean_of_two,
        };
        let stride = stride / across;
        let (u, v) = chroma.split_at(chroma.len() / 2);
        for (plane, output) in [(u, &mut picture.u), (v, &mut picture.v)] {
            for (index, output) in output.chunks_exact_mut(width / 2).enumerate() {
                // Two rows of the plane make one, or one is there already and counts twice.
                let upper = &plane[index * 2 / down * stride..][..stride];
                let lower = &plane[(index * 2 + 1) / down * stride..][..stride];
                mean(upper, lower, output);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
