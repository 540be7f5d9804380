//! Frames as cameras deliver them become the planar 4:2:0 pictures that the encoder takes; and those become JPEG images.
//!
//! Pure: knows neither devices nor time. JPEG is full range (JFIF), raw frames say which range they have; both are brought to limited
//! range on the way.

mod jpeg;
mod mjpeg;
mod orient;
mod packed;
mod range;
mod raw;
#[cfg(test)]
mod tests;

pub use jpeg::Compress;

use crate::media::{I420, Layout, Orientation, PixelFormat, RawFrame, Size};
use orient::orient;

/// Chroma that stands for "no colour".
const NEUTRAL: u8 = 128;

/// The reason for which a frame could not be converted. It costs that one frame; the converter stays usable.
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
    unpacker: packed::Unpacker,
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
    /// Returns the size that the frame really has, before it is cut and turned. It differs from [`RawFrame::size`] for a JPEG of another
    /// size. One that is larger by less than a block of 16 pixels is padded by the camera's encoder, and is cropped.
    ///
    /// # Errors
    /// See [`ConvertError`]. The content of `picture` is then undefined, its size may have changed.
    pub fn convert(
        &mut self,
        frame: &RawFrame<'_>,
        picture: &mut I420,
    ) -> Result<Size, ConvertError> {
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

    fn unpack(&mut self, frame: &RawFrame<'_>, picture: &mut I420) -> Result<Size, ConvertError> {
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
        let raw = (size, stride);
        match frame.format.layout() {
            Layout::Packed(order) => self.unpacker.unpack(data, raw, order, picture)?,
            Layout::SemiPlanar { v_first } => raw::semi_planar(data, raw, v_first, picture),
            Layout::Planar { v_first } => raw::planar(data, raw, v_first, picture),
            Layout::Luma(depth) => raw::luma(data, raw, depth, picture),
            Layout::Rgb { blue_first } => {
                raw::rgb(data, raw, (blue_first, frame.full_range), picture)?;
                return Ok(size);
            }
            Layout::Jpeg => {
                let decoder = match &mut self.mjpeg {
                    Some(decoder) => decoder,
                    none => none.insert(mjpeg::Decoder::new()?),
                };
                return decoder.decode(data, size, picture);
            }
            Layout::H264 => {
                return Err(ConvertError::Refused("H.264 is passed through".to_owned()));
            }
        }
        if frame.full_range {
            range::limit(picture);
        }
        Ok(size)
    }
}

/// The library's words as our error.
fn refused(error: yuv::YuvError) -> ConvertError {
    ConvertError::Refused(error.to_string())
}
