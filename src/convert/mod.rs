//! Frames as cameras deliver them become the planar 4:2:0 pictures that the encoder takes; and those become JPEG images.
//!
//! Pure: knows neither devices nor time. Raw formats are taken to be limited range, as V4L2 has it unless a driver says
//! otherwise; JPEG is full range (JFIF) and is brought to limited range on the way.

mod jpeg;
mod mjpeg;
mod orient;
#[cfg(test)]
mod tests;

pub use jpeg::Compress;

use crate::media::{I420, Orientation, PixelFormat, RawFrame, Size};
use orient::orient;
use yuv::{BufferStoreMut, YuvPackedImage, YuvPlanarImageMut, yuyv422_to_yuv422};

/// Chroma that stands for "no colour".
const NEUTRAL: u8 = 128;

/// Rows that are unpacked at a time: their chroma stays in the first-level cache until it is averaged. Even.
const BAND: usize = 16;

/// Why a frame could not be converted. It costs that one frame; the converter stays usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The buffer ends before the picture does.
    #[error("a {format} frame of {size} has {expected} bytes, this one has {actual}")]
    Short {
        /// Layout of the frame.
        format: PixelFormat,
        /// Size of the frame.
        size: Size,
        /// Bytes that it takes.
        expected: usize,
        /// Bytes that there are.
        actual: usize,
    },
    /// The JPEG is of another size than the camera announced.
    #[error("a JPEG of {actual} in a frame of {expected}")]
    JpegSize {
        /// Size of the frame.
        expected: Size,
        /// Size in the JPEG's header.
        actual: Size,
    },
    /// Not a JPEG, a damaged one, or one of a kind that no camera makes.
    #[error("unusable JPEG: {0}")]
    Jpeg(String),
    /// The size leaves no picture: less than two pixels wide or high.
    #[error("a frame of {0} has no picture")]
    Empty(Size),
    /// The conversion library refused the frame.
    #[error("cannot convert the frame: {0}")]
    Refused(String),
}

/// Converts frames; its buffers are kept from frame to frame, so that a steady stream allocates nothing.
#[derive(Debug, Default)]
pub struct Converter {
    /// Made with the first JPEG.
    mjpeg: Option<mjpeg::Decoder>,
    /// 4:2:2 chroma of one band, blue difference before red difference.
    band: Vec<u8>,
    orientation: Orientation,
    /// The picture before it is turned; made with the first that is.
    unturned: Option<I420>,
}

impl Converter {
    /// A converter without buffers; they grow with the first frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, for pictures that are to be turned or mirrored.
    pub fn turning(orientation: Orientation) -> Self {
        Self {
            orientation,
            ..Self::default()
        }
    }

    /// Converts `frame` into `picture`, which takes the frame's size cut to even sides, then turned.
    ///
    /// # Errors
    /// See [`ConvertError`]. The content of `picture` is then undefined, its size may have changed.
    pub fn convert(
        &mut self,
        frame: &RawFrame<'_>,
        picture: &mut I420,
    ) -> Result<(), ConvertError> {
        if self.orientation.is_identity() {
            return self.unpack(frame, picture);
        }
        let unturned = self.unturned.take();
        let mut unturned = unturned.unwrap_or_else(|| I420::new(frame.size));
        let unpacked = self.unpack(frame, &mut unturned);
        if unpacked.is_ok() {
            orient(&unturned, self.orientation, picture);
        }
        self.unturned = Some(unturned);
        unpacked
    }

    fn unpack(&mut self, frame: &RawFrame<'_>, picture: &mut I420) -> Result<(), ConvertError> {
        let (data, size) = (frame.data, frame.size);
        let stride = frame.format.stride(size.width, frame.stride);
        if size.even().pixels() == 0 {
            return Err(ConvertError::Empty(size));
        }
        if let Some(expected) = frame.format.frame_len(size, stride)
            && data.len() < expected
        {
            return Err(ConvertError::Short {
                format: frame.format,
                size,
                expected,
                actual: data.len(),
            });
        }
        match frame.format {
            PixelFormat::Yuyv => self.yuyv(data, size, stride, picture),
            PixelFormat::Mjpeg => {
                let decoder = match &mut self.mjpeg {
                    Some(decoder) => decoder,
                    none => none.insert(mjpeg::Decoder::new()?),
                };
                decoder.decode(data, size, picture)
            }
            PixelFormat::Nv12 => {
                nv12(data, size, stride, picture);
                Ok(())
            }
            PixelFormat::I420 => {
                i420(data, size, stride, picture);
                Ok(())
            }
            PixelFormat::H264 => Err(ConvertError::Refused("H.264 is passed through".to_owned())),
            PixelFormat::Grey => {
                grey(data, size, stride, picture);
                Ok(())
            }
        }
    }

    /// Packed 4:2:2. The library's own way to 4:2:0 drops the chroma of every other row, which shimmers on thin
    /// coloured lines, so the rows are unpacked as 4:2:2 and averaged in pairs here.
    fn yuyv(
        &mut self,
        data: &[u8],
        size: Size,
        source_stride: usize,
        picture: &mut I420,
    ) -> Result<(), ConvertError> {
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
            yuyv422_to_yuv422(&mut planar, &packed)
                .map_err(|error| ConvertError::Refused(error.to_string()))?;
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

/// Planar luma, interleaved chroma.
fn nv12(data: &[u8], size: Size, stride: usize, picture: &mut I420) {
    picture.reset(size);
    let (width, chroma) = (
        picture.size().width as usize,
        picture.size().width as usize / 2,
    );
    let (luma, interleaved) = data.split_at(stride * size.height as usize);
    copy_rows(luma, stride, &mut picture.y, width);
    let outputs = (picture.u.chunks_exact_mut(chroma)).zip(picture.v.chunks_exact_mut(chroma));
    for (row, (u, v)) in interleaved
        .chunks_exact(stride.next_multiple_of(2))
        .zip(outputs)
    {
        for ((u, v), pair) in u.iter_mut().zip(v).zip(row.as_chunks::<2>().0) {
            // As one number, which the compiler turns into vector code; as two bytes it is 25 times slower.
            let pair = u16::from_le_bytes(*pair);
            (*u, *v) = (pair as u8, (pair >> 8) as u8);
        }
    }
}

/// Already what the encoder takes, but for sides that may be odd.
fn i420(data: &[u8], size: Size, stride: usize, picture: &mut I420) {
    picture.reset(size);
    let width = picture.size().width as usize;
    let chroma_stride = stride.div_ceil(2);
    let (luma, chroma) = data.split_at(stride * size.height as usize);
    let (u, v) = chroma.split_at(chroma_stride * size.height.div_ceil(2) as usize);
    copy_rows(luma, stride, &mut picture.y, width);
    copy_rows(u, chroma_stride, &mut picture.u, width / 2);
    copy_rows(v, chroma_stride, &mut picture.v, width / 2);
}

/// Luma alone.
fn grey(data: &[u8], size: Size, stride: usize, picture: &mut I420) {
    picture.reset(size);
    let width = picture.size().width as usize;
    copy_rows(data, stride, &mut picture.y, width);
    picture.u.fill(NEUTRAL);
    picture.v.fill(NEUTRAL);
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
