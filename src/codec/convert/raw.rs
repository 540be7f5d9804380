//! Planes, luma alone and colours, as drivers lay them out, to planar 4:2:0.

use super::{ConvertError, NEUTRAL, refused};
use crate::media::{Depth, I420, Size};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPlanarImageMut, YuvRange, YuvStandardMatrix,
    bgr_to_yuv420, rgb_to_yuv420,
};

/// Planar luma, interleaved chroma.
pub(super) fn semi_planar(
    data: &[u8],
    (size, stride): (Size, usize),
    v_first: bool,
    picture: &mut I420,
) {
    picture.reset(size);
    let width = picture.size().width as usize;
    let (luma, interleaved) = data.split_at(stride * size.height as usize);
    copy_rows(luma, stride, &mut picture.y, width);
    let (first, second) = match v_first {
        false => (&mut picture.u, &mut picture.v),
        true => (&mut picture.v, &mut picture.u),
    };
    let chroma = width / 2;
    let outputs = (first.chunks_exact_mut(chroma)).zip(second.chunks_exact_mut(chroma));
    for (row, (first, second)) in interleaved
        .chunks_exact(stride.next_multiple_of(2))
        .zip(outputs)
    {
        for ((first, second), pair) in first.iter_mut().zip(second).zip(row.as_chunks::<2>().0) {
            // As one number, which the compiler turns into vector code; as two bytes it is 25 times slower.
            let pair = u16::from_le_bytes(*pair);
            (*first, *second) = (pair as u8, (pair >> 8) as u8);
        }
    }
}

/// Already what the encoder takes, but for sides that may be odd, and for the order of the planes.
pub(super) fn planar(
    data: &[u8],
    (size, stride): (Size, usize),
    v_first: bool,
    picture: &mut I420,
) {
    picture.reset(size);
    let width = picture.size().width as usize;
    let chroma_stride = stride.div_ceil(2);
    let (luma, chroma) = data.split_at(stride * size.height as usize);
    let (first, second) = chroma.split_at(chroma_stride * size.height.div_ceil(2) as usize);
    let (u, v) = match v_first {
        false => (first, second),
        true => (second, first),
    };
    copy_rows(luma, stride, &mut picture.y, width);
    copy_rows(u, chroma_stride, &mut picture.u, width / 2);
    copy_rows(v, chroma_stride, &mut picture.v, width / 2);
}

/// Luma alone. Of deep samples the eight high bits are taken.
pub(super) fn luma(data: &[u8], (size, stride): (Size, usize), depth: Depth, picture: &mut I420) {
    picture.reset(size);
    let width = picture.size().width as usize;
    let rows = (picture.y.chunks_exact_mut(width)).zip(data.chunks_exact(stride));
    match depth {
        Depth::Eight => copy_rows(data, stride, &mut picture.y, width),
        Depth::Sixteen { bits } => {
            for (output, row) in rows {
                for (output, sample) in output.iter_mut().zip(row.as_chunks::<2>().0) {
                    // A driver may leave rubbish above the bits that it uses.
                    *output = (u16::from_le_bytes(*sample) >> (bits - 8)) as u8;
                }
            }
        }
        Depth::PackedTen => {
            for (output, row) in rows {
                for (output, group) in output.chunks_mut(4).zip(row.as_chunks::<5>().0) {
                    output.copy_from_slice(&group[..output.len()]);
                }
            }
        }
    }
    picture.u.fill(NEUTRAL);
    picture.v.fill(NEUTRAL);
}

/// Colours, by the matrix of BT.601, which JPEG has too. Limited-range colours stay in their range: then chroma comes out 2 %
/// weaker, which nobody sees.
pub(super) fn rgb(
    data: &[u8],
    (size, stride): (Size, usize),
    (blue_first, full_range): (bool, bool),
    picture: &mut I420,
) -> Result<(), ConvertError> {
    picture.reset(size);
    let Size { width, height } = picture.size();
    let mut planar = YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(&mut picture.y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(&mut picture.u),
        u_stride: width / 2,
        v_plane: BufferStoreMut::Borrowed(&mut picture.v),
        v_stride: width / 2,
        width,
        height,
    };
    let convert = match blue_first {
        false => rgb_to_yuv420,
        true => bgr_to_yuv420,
    };
    // The range that the matrix makes of 0 to 255.
    let range = match full_range {
        true => YuvRange::Limited,
        false => YuvRange::Full,
    };
    convert(
        &mut planar,
        &data[..stride * height as usize],
        stride as u32,
        range,
        YuvStandardMatrix::Bt601,
        YuvConversionMode::Balanced,
    )
    .map_err(refused)
}

/// Copies as many rows and columns as the output has.
fn copy_rows(source: &[u8], source_stride: usize, output: &mut [u8], width: usize) {
    if source_stride == width {
        output.copy_from_slice(&source[..output.len()]);
        return;
    }
    for (output, source) in output
        .chunks_exact_mut(width)
        .zip(source.chunks_exact(source_stride))
    {
        output.copy_from_slice(&source[..width]);
    }
}
