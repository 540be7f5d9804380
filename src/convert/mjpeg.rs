//! Motion JPEG to planar 4:2:0: decoded straight to the JPEG's own planes, then brought to limited range and 4:2:0 in one pass.

use super::{ConvertError, NEUTRAL};
use crate::media::{I420, Size};
use turbojpeg::{Colorspace, Decompressor, Error, Subsamp, YuvImage, yuv_pixels_len};

/// Scans that a progressive JPEG may have. Cameras send one; a hostile image must not hold the thread for minutes.
const MAX_SCANS: u32 = 64;

/// Warnings that a good picture may come with: webcams pad scans and get the unused parameters of a baseline scan wrong.
/// libjpeg reports the first warning only, and the message is all that it tells.
const HARMLESS: [&str; 2] = ["extraneous bytes before marker", "Invalid SOS parameters"];

/// Owns the decompressor and the planes it decodes to.
#[derive(Debug)]
pub(super) struct Decoder {
    decompressor: Decompressor,
    /// Full-range Y, U and V in the JPEG's own subsampling.
    planes: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Result<Self, ConvertError> {
        let mut decompressor = Decompressor::new().map_err(unusable)?;
        decompressor.set_scan_limit(MAX_SCANS).map_err(unusable)?;
        Ok(Self {
            decompressor,
            planes: Vec::new(),
        })
    }

    /// A picture with missing or damaged data is an error: showing half of it in grey is worse than skipping it.
    pub(super) fn decode(
        &mut self,
        jpeg: &[u8],
        size: Size,
        picture: &mut I420,
    ) -> Result<(), ConvertError> {
        let header = self.decompressor.read_header(jpeg).map_err(unusable)?;
        // Checked before anything is allocated by what the header says.
        if (header.width, header.height) != (size.width as usize, size.height as usize) {
            return Err(ConvertError::JpegSize {
                expected: size,
                actual: Size::new(header.width as u32, header.height as u32),
            });
        }
        let layout = Layout::new(size, header.subsamp, header.colorspace)?;
        let len =
            yuv_pixels_len(header.width, 1, header.height, header.subsamp).map_err(unusable)?;
        self.planes.resize(len, 0);
        let image = YuvImage {
            pixels: &mut self.planes[..],
            width: header.width,
            align: 1,
            height: header.height,
            subsamp: header.subsamp,
        };
        match self.decompressor.decompress_to_yuv(jpeg, image) {
            Err(Error::TurboJpegError(text))
                if HARMLESS.iter().any(|harmless| text.contains(harmless)) => {}
            decoded => decoded.map_err(unusable)?,
        }
        layout.subsample(&self.planes, picture);
        Ok(())
    }
}

/// The library's words as our error.
pub(super) fn unusable(error: Error) -> ConvertError {
    ConvertError::Jpeg(match error {
        Error::TurboJpegError(text) => text,
        other => other.to_string(),
    })
}

/// How the decompressor lays out the planes of one picture.
struct Layout {
    size: Size,
    /// Bytes per luma row and number of luma rows: padded to whole chroma samples.
    luma: (usize, usize),
    /// Luma samples per chroma sample, across and down, each 1 or 2; `None` for a picture without chroma.
    subsampling: Option<(usize, usize)>,
}

impl Layout {
    fn new(size: Size, subsamp: Subsamp, colorspace: Colorspace) -> Result<Self, ConvertError> {
        let subsampling = match (colorspace, subsamp) {
            (Colorspace::Gray, _) => None,
            (Colorspace::YCbCr, Subsamp::None) => Some((1, 1)),
            (Colorspace::YCbCr, Subsamp::Sub2x1) => Some((2, 1)),
            (Colorspace::YCbCr, Subsamp::Sub1x2) => Some((1, 2)),
            (Colorspace::YCbCr, Subsamp::Sub2x2) => Some((2, 2)),
            (Colorspace::YCbCr, other) => {
                return Err(ConvertError::Jpeg(format!("{other:?} subsampling")));
            }
            (other, _) => return Err(ConvertError::Jpeg(format!("{other:?} colours"))),
        };
        let (across, down) = subsampling.unwrap_or((1, 1));
        Ok(Self {
            size,
            luma: (
                (size.width as usize).next_multiple_of(across),
                (size.height as usize).next_multiple_of(down),
            ),
            subsampling,
        })
    }

    /// Full-range planes to a limited-range 4:2:0 picture.
    fn subsample(&self, planes: &[u8], picture: &mut I420) {
        picture.reset(self.size);
        let width = picture.size().width as usize;
        let (stride, rows) = self.luma;
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
        let Some((across, down)) = self.subsampling else {
            picture.u.fill(NEUTRAL);
            picture.v.fill(NEUTRAL);
            return;
        };
        let (u, v) = chroma.split_at(chroma.len() / 2);
        for (plane, output) in [(u, &mut picture.u), (v, &mut picture.v)] {
            let stride = stride / across;
            for (index, output) in output.chunks_exact_mut(width / 2).enumerate() {
                // Two rows of the plane make one, or one is there already and counts twice.
                let upper = &plane[index * 2 / down * stride..][..stride];
                let lower = &plane[(index * 2 + 1) / down * stride..][..stride];
                if across == 2 {
                    mean_of_two(upper, lower, output);
                } else {
                    mean_of_four(upper, lower, output);
                }
            }
        }
    }
}

/// `numerator / 255`, rounded, for numerators that leave room for the rounding in 16 bits: there the compiler computes
/// eight and more samples at once, which a table look-up can't.
const fn div255(numerator: u16) -> u8 {
    let rounded = numerator + 128;
    ((rounded + (rounded >> 8)) >> 8) as u8
}

/// 0…255 to 16…235.
const fn limited_luma(sample: u8) -> u8 {
    div255(sample as u16 * 219 + 16 * 255)
}

/// 128 ± 127.5 to 128 ± 112, scaled by 255. What remains of the centre after the samples are multiplied by 224.
const CENTRE: u16 = 128 * (255 - 224);

/// One sample from each of two rows. Not inlined: within the loop over the rows the compiler gives up on vector code,
/// which makes it ten times slower.
#[inline(never)]
fn mean_of_two(upper: &[u8], lower: &[u8], output: &mut [u8]) {
    for ((output, &upper), &lower) in output.iter_mut().zip(upper).zip(lower) {
        *output = div255((u16::from(upper) + u16::from(lower)) * (224 / 2) + CENTRE);
    }
}

/// Two samples from each of two rows. Not inlined for the same reason.
#[inline(never)]
fn mean_of_four(upper: &[u8], lower: &[u8], output: &mut [u8]) {
    // A pair is added as one number: that is vector code, two bytes are not.
    let sum = |pair: &[u8; 2]| {
        let pair = u16::from_le_bytes(*pair);
        (pair & 0xff) + (pair >> 8)
    };
    let pairs = upper.as_chunks().0.iter().zip(lower.as_chunks().0);
    for (output, (upper, lower)) in output.iter_mut().zip(pairs) {
        *output = div255((sum(upper) + sum(lower)) * (224 / 4) + CENTRE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_rounded_to_its_limited_range_value() {
        for sample in 0..=255_u8 {
            let x = f64::from(sample);
            let luma = 16.0 + x * 219.0 / 255.0;
            let chroma = 128.0 + (x - 128.0) * 224.0 / 255.0;
            assert_eq!(limited_luma(sample), luma.round() as u8);
            let mut output = [0; 2];
            mean_of_two(&[sample; 1], &[sample; 1], &mut output[..1]);
            mean_of_four(&[sample; 2], &[sample; 2], &mut output[1..]);
            assert_eq!(output, [chroma.round() as u8; 2]);
        }
        assert_eq!((limited_luma(0), limited_luma(255)), (16, 235));
    }
}
