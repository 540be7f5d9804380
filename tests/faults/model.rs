//! What kind of camera it is, what can be asked of it, and what fails.

use fanlight::media::Size;
use std::time::Duration;

/// What a program can ask of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Open,
    Close,
    QueryCapabilities,
    ListFormats,
    ListSizes,
    ListIntervals,
    GetFormat,
    SetFormat,
    GetRate,
    SetRate,
    RequestBuffers,
    QueryBuffer,
    Map,
    Queue,
    Dequeue,
    Start,
    Stop,
    Poll,
    Control,
}

/// Which calls fail.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub call: Call,
    /// From 1 on.
    pub nth: usize,
    pub errno: i32,
    /// All calls that follow fail too, of whichever kind.
    pub lasts: bool,
}

/// What kind of camera it is.
#[derive(Debug, Clone)]
pub struct Model {
    /// `V4L2_CAP_…`.
    pub capabilities: u32,
    /// V4L2's codes of its formats.
    pub codes: Vec<[u8; 4]>,
    pub size: Size,
    /// What it sends where the format is JPEG.
    pub jpeg: Vec<u8>,
    /// Pieces of memory that a frame lies in, of the multi-planar interface.
    pub pieces: u8,
    /// Bytes in front of the data, of the multi-planar interface.
    pub offset: u32,
    /// From one frame to the next.
    pub pace: Duration,
    /// After so many frames it tells of frames that are not there.
    pub lies_after: Option<u32>,
}

pub const SINGLE_PLANAR: u32 = 0x0420_0001;
pub const MULTI_PLANAR: u32 = 0x0420_1000;

impl Default for Model {
    fn default() -> Self {
        Self {
            capabilities: SINGLE_PLANAR,
            codes: vec![*b"YUYV"],
            size: Size::new(64, 48),
            jpeg: Vec::new(),
            pieces: 1,
            offset: 0,
            pace: Duration::ZERO,
            lies_after: None,
        }
    }
}
