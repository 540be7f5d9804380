//! A planar 4:2:0 picture to JPEG: brought from limited to full range, which JPEG has (JFIF), and compressed.

use super::ConvertError;
use super::mjpeg::unusable;
use crate::media::I420;
use turbojpeg::{Compressor, Subsamp, YuvPlanesImage};

/// Compresses pictures; its buffers are kept from picture to picture.
pub struct Compress {
    compressor: Compressor,
    planes: [Vec<u8>; 3],
    luma: [u8; 256],
    chroma: [u8; 256],
}

impl Compress {
    /// `quality` is that of libjpeg, 1 to 100.
    ///
    /// # Errors
    /// [`ConvertError::Jpeg`], without memory or with another quality.
    pub fn new(quality: u8) -> Result<Self, ConvertError> {
        let mut compressor = Compressor::new().map_err(unusable)?;
        compressor
            .set_quality(i32::from(quality))
            .map_err(unusable)?;
        Ok(Self {
            compressor,
            planes: [const { Vec::new() }; 3],
            luma: table(16, 0, 219),
            chroma: table(128, 128, 224),
        })
    }

    /// The picture as a JPEG image.
    ///
    /// # Errors
    /// [`ConvertError::Empty`], [`ConvertError::Jpeg`].
    pub fn compress(&mut self, picture: &I420) -> Result<Vec<u8>, ConvertError> {
        let size = picture.size();
        if size.pixels() == 0 {
            return Err(ConvertError::Empty(size));
        }
        let sources = [
            (&picture.y, &self.luma),
            (&picture.u, &self.chroma),
            (&picture.v, &self.chroma),
        ];
        for (plane, (source, table)) in self.planes.iter_mut().zip(sources) {
            plane.clear();
            plane.extend(source.iter().map(|&sample| table[usize::from(sample)]));
        }
        let [y, u, v] = &self.planes;
        let width = size.width as usize;
        let image = YuvPlanesImage {
            y_plane: &y[..],
            u_plane: &u[..],
            v_plane: &v[..],
            width,
            height: size.height as usize,
            y_stride: width,
            u_stride: width / 2,
            v_stride: width / 2,
            subsamp: Subsamp::Sub2x2,
        };
        self.compressor
            .compress_yuv_planes_to_vec(&image)
            .map_err(unusable)
    }
}

/// The new value of each sample when a range of `span` around or above `from` is stretched to 255 around or above `to`.
fn table(from: i32, to: i32, span: i32) -> [u8; 256] {
    std::array::from_fn(|sample| {
        let stretched = f64::from((sample as i32 - from) * 255) / f64::from(span);
        // `as` stays within 0…255.
        (stretched.round() + f64::from(to)) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::super::Converter;
    use super::*;
    use crate::media::{PixelFormat, RawFrame, Size};
    use std::time::Instant;

    #[test]
    fn black_white_and_no_colour_keep_their_meaning() {
        let luma = table(16, 0, 219);
        assert_eq!((luma[16], luma[235], luma[0], luma[255]), (0, 255, 0, 255));
        let chroma = table(128, 128, 224);
        assert_eq!((chroma[128], chroma[16], chroma[240]), (128, 0, 255));
    }

    #[test]
    fn a_picture_survives_the_way_to_jpeg_and_back() {
        let size = Size::new(66, 34);
        let mut picture = I420::new(size);
        for (at, sample) in picture.y.iter_mut().enumerate() {
            *sample = 40 + (at % 66) as u8 * 2;
        }
        picture.u.fill(90);
        picture.v.fill(170);
        let jpeg = Compress::new(90).unwrap().compress(&picture).unwrap();
        let frame = RawFrame {
            data: &jpeg,
            format: PixelFormat::Mjpeg,
            size,
            stride: 0,
            lost: 0,
            is_late: false,
            full_range: false,
            captured_at: Instant::now(),
        };
        let mut back = I420::new(size);
        Converter::new().convert(&frame, &mut back).unwrap();
        for (name, sent, got) in [
            ("y", &picture.y, &back.y),
            ("u", &picture.u, &back.u),
            ("v", &picture.v, &back.v),
        ] {
            let worst = sent.iter().zip(got).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(4), "{name}: {worst:?}");
        }
        let nothing = I420::new(Size::new(0, 0));
        assert!(Compress::new(90).unwrap().compress(&nothing).is_err());
    }
}
