//! Packed 4:2:2, whichever the order of its bytes, to planar 4:2:0.

use super::{ConvertError, NEUTRAL, refused};
use crate::media::{I420, Order, Size};
use yuv::{
    BufferStoreMut, YuvPackedImage, YuvPlanarImageMut, uyvy422_to_yuv422, vyuy422_to_yuv422,
    yuyv422_to_yuv422, yvyu422_to_yuv422,
};

/// Rows that are unpacked at a time: their chroma stays in the first-level cache until it is averaged. Even.
const BAND: usize = 16;

/// Owns the chroma of one band as it is between the two formats.
#[derive(Debug, Default)]
pub(super) struct Unpacker {
    /// 4:2:2, blue difference before red difference.
    band: Vec<u8>,
}

impl Unpacker {
    /// The library's own conversion to 4:2:0 drops the chroma of every other row, which shimmers on thin
    /// coloured lines, so the rows are unpacked as 4:2:2 and averaged in pairs here.
    pub(super) fn unpack(
        &mut self,
        data: &[u8],
        (size, source_stride): (Size, usize),
        order: Order,
        picture: &mut I420,
    ) -> Result<(), ConvertError> {
        let unpack = match order {
            Order::Yuyv => yuyv422_to_yuv422,
            Order::Uyvy => uyvy422_to_yuv422,
            Order::Yvyu => yvyu422_to_yuv422,
            Order::Vyuy => vyuy422_to_yuv422,
        };
        picture.reset(size);
        let width = picture.size().width as usize;
        let chroma = width / 2;
        self.band.resize(2 * BAND * chroma, NEUTRAL);
        let (band_u, band_v) = self.band.split_at_mut(BAND * chroma);
        let outputs = (picture.y.chunks_mut(BAND * width))
            .zip(picture.u.chunks_mut(BAND / 2 * chroma))
            .zip(picture.v.chunks_mut(BAND / 2 * chroma));
        for (((y, u), v), packed) in outputs.zip(data.chunks(BAND * source_stride)) {
            let rows = y.len() / width;
            let packed = YuvPackedImage {
                yuy: &packed[..rows * source_stride],
                yuy_stride: source_stride as u32,
                width: width as u32,
                height: rows as u32,
            };
            let mut planar = YuvPlanarImageMut {
                y_plane: BufferStoreMut::Borrowed(y),
                y_stride: width as u32,
                u_plane: BufferStoreMut::Borrowed(&mut band_u[..rows * chroma]),
                u_stride: chroma as u32,
                v_plane: BufferStoreMut::Borrowed(&mut band_v[..rows * chroma]),
                v_stride: chroma as u32,
                width: width as u32,
                height: rows as u32,
            };
            unpack(&mut planar, &packed).map_err(refused)?;
            average_rows(band_u, chroma, u);
            average_rows(band_v, chroma, v);
        }
        Ok(())
    }
}

/// Halves the number of rows: each output row is the rounded mean of two input rows.
fn average_rows(rows: &[u8], width: usize, output: &mut [u8]) {
    for (pair, output) in rows
        .chunks_exact(2 * width)
        .zip(output.chunks_exact_mut(width))
    {
        let (upper, lower) = pair.split_at(width);
        for ((output, &upper), &lower) in output.iter_mut().zip(upper).zip(lower) {
            *output = (u16::from(upper) + u16::from(lower)).div_ceil(2) as u8;
        }
    }
}
