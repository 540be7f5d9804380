//! Which frame of the test pattern a decoded picture shows.

use fanlight::capture::pattern::read_counter;
use fanlight::codec::convert::Converter;
use fanlight::media::{I420, Orientation, PixelFormat, RawFrame, Size};
use openh264::formats::YUVSource;
use std::time::Instant;

/// The counter that the pattern draws into each frame, once that is turned like this. Panics if it can't be read: then
/// the picture is damaged.
pub fn counter(decoded: &impl YUVSource, turn: Orientation) -> u32 {
    let picture = turned(&copy(decoded), turn);
    read_counter(&picture).expect("a picture of the pattern, whole")
}

fn turned(picture: &I420, turn: Orientation) -> I420 {
    let frame = RawFrame {
        data: &[&picture.y[..], &picture.u, &picture.v].concat(),
        format: PixelFormat::I420,
        size: picture.size(),
        stride: 0,
        lost: 0,
        is_late: false,
        full_range: false,
        captured_at: Instant::now(),
    };
    let mut output = I420::new(picture.size());
    Converter::turning(turn)
        .convert(&frame, &mut output)
        .unwrap();
    output
}

fn copy(decoded: &impl YUVSource) -> I420 {
    let (width, height) = decoded.dimensions();
    let mut picture = I420::new(Size::new(width as u32, height as u32));
    let (y, u, v) = decoded.strides();
    for (from, stride, to, width) in [
        (decoded.y(), y, &mut picture.y, width),
        (decoded.u(), u, &mut picture.u, width / 2),
        (decoded.v(), v, &mut picture.v, width / 2),
    ] {
        for (row, out) in from.chunks(stride).zip(to.chunks_exact_mut(width)) {
            out.copy_from_slice(&row[..width]);
        }
    }
    picture
}
