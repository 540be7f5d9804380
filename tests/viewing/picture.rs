//! Which frame of the test pattern a decoded picture shows.

use fanlight::capture::pattern::read_counter;
use fanlight::media::{I420, Size};
use openh264::formats::YUVSource;

/// The counter that the pattern draws into each frame. Panics if it can't be read: then the picture is damaged.
pub fn counter(decoded: &impl YUVSource) -> u32 {
    read_counter(&copy(decoded)).expect("a picture of the pattern, whole")
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
