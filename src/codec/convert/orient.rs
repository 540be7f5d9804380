//! Turns and mirrors planar pictures.
//!
//! Turning by a quarter reads rows and writes columns. Byte by byte that is a cache line for each byte, so it is done in
//! blocks of 8 x 8 that stay in registers, and the blocks of a few rows at a time.

use crate::media::{I420, Orientation};

/// Side of a block.
const BLOCK: usize = 8;

/// Columns of blocks that are written before the next rows are read: the 64 bytes of a cache line are filled while it
/// is in the first-level cache.
const STRIP: usize = 8 * BLOCK;

/// Copies `source` into `picture` with that orientation. `picture` takes its size.
pub(super) fn orient(source: &I420, orientation: Orientation, picture: &mut I420) {
    picture.reset(orientation.size(source.size()));
    let (width, height) = (source.size().width as usize, source.size().height as usize);
    plane(&source.y, width, height, orientation, &mut picture.y);
    for (from, to) in [(&source.u, &mut picture.u), (&source.v, &mut picture.v)] {
        plane(from, width / 2, height / 2, orientation, to);
    }
}

/// One plane of `width * height` bytes, both sides above 0.
fn plane(from: &[u8], width: usize, height: usize, orientation: Orientation, to: &mut [u8]) {
    if width * height == 0 {
        return;
    }
    if orientation.is_transposed {
        transpose(from, width, height, orientation, to);
        return;
    }
    let rows = from.chunks_exact(width);
    for (index, row) in rows.enumerate() {
        let index = if orientation.is_upside_down {
            height - 1 - index
        } else {
            index
        };
        let output = &mut to[index * width..][..width];
        if orientation.is_mirrored {
            reverse(row, output);
        } else {
            output.copy_from_slice(row);
        }
    }
}

/// The bytes of a row from the last to the first.
fn reverse(row: &[u8], output: &mut [u8]) {
    for (output, &sample) in output.iter_mut().zip(row.iter().rev()) {
        *output = sample;
    }
}

/// Row `i` of the output is column `i` of the input. Reading rows from the last to the first mirrors the output,
/// writing them so turns it upside down.
fn transpose(from: &[u8], width: usize, height: usize, orientation: Orientation, to: &mut [u8]) {
    let input_row = |column: usize| {
        if orientation.is_mirrored {
            height - 1 - column
        } else {
            column
        }
    };
    let output_row = |row: usize| {
        if orientation.is_upside_down {
            width - 1 - row
        } else {
            row
        }
    };
    let (whole_width, whole_height) = (width / BLOCK * BLOCK, height / BLOCK * BLOCK);
    for strip in (0..whole_height).step_by(STRIP) {
        for x in (0..whole_width).step_by(BLOCK) {
            for y in (strip..whole_height.min(strip + STRIP)).step_by(BLOCK) {
                let block: [u64; BLOCK] = std::array::from_fn(|row| {
                    let at = input_row(y + row) * width + x;
                    // A slice of eight bytes is an array of eight.
                    from[at..at + BLOCK]
                        .try_into()
                        .map_or(0, u64::from_le_bytes)
                });
                for (row, samples) in transposed(block).into_iter().enumerate() {
                    let at = output_row(x + row) * height + y;
                    to[at..at + BLOCK].copy_from_slice(&samples.to_le_bytes());
                }
            }
        }
    }
    // The loops above leave a margin at the right and below.
    for x in 0..width {
        let done = if x < whole_width { whole_height } else { 0 };
        for y in done..height {
            to[output_row(x) * height + y] = from[input_row(y) * width + x];
        }
    }
}

/// Transposes 8 x 8 bytes: pairs of rows swap halves of 4, then quarters of 2, then single bytes.
fn transposed(mut rows: [u64; BLOCK]) -> [u64; BLOCK] {
    const STEPS: [(usize, u64); 3] = [
        (4, 0x0000_0000_ffff_ffff),
        (2, 0x0000_ffff_0000_ffff),
        (1, 0x00ff_00ff_00ff_00ff),
    ];
    for (distance, low) in STEPS {
        for upper in (0..BLOCK).filter(|row| row & distance == 0) {
            let lower = upper + distance;
            let swapped = ((rows[upper] >> (8 * distance)) ^ rows[lower]) & low;
            rows[lower] ^= swapped;
            rows[upper] ^= swapped << (8 * distance);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Flip, Rotation, Size};
    use proptest::prelude::*;

    /// A picture in which no two samples of a plane are alike, as far as 256 values go.
    fn drawn(size: Size) -> I420 {
        let mut picture = I420::new(size);
        let planes = [&mut picture.y, &mut picture.u, &mut picture.v];
        for (plane, seed) in planes.into_iter().zip([1_u32, 2, 3]) {
            for (index, sample) in (0_u32..).zip(plane) {
                *sample = (index.wrapping_mul(0x9e37_79b1).wrapping_add(seed) >> 24) as u8;
            }
        }
        picture
    }

    fn turned(picture: &I420, rotation: Rotation, flip: Flip) -> I420 {
        // Of another size before, as a converter's is after a change.
        let mut output = I420::new(Size::new(2, 2));
        orient(picture, Orientation::new(rotation, flip), &mut output);
        output
    }

    /// Where the pixel at (x, y) of a picture of that size is afterwards, by the words of the configuration.
    fn place(x: u32, y: u32, size: Size, rotation: Rotation, flip: Flip) -> (u32, u32) {
        let Size { width, height } = size;
        let (x, y) = match rotation {
            Rotation::None => (x, y),
            Rotation::Quarter => (height - 1 - y, x),
            Rotation::Half => (width - 1 - x, height - 1 - y),
            Rotation::ThreeQuarters => (y, width - 1 - x),
        };
        let Size { width, height } = Orientation::new(rotation, flip).size(size);
        match flip {
            Flip::None => (x, y),
            Flip::Horizontal => (width - 1 - x, y),
            Flip::Vertical => (x, height - 1 - y),
        }
    }

    proptest! {
        #[test]
        fn every_pixel_goes_to_its_place(
            (width, height) in (1_u32..=45, 1_u32..=45),
            rotation in proptest::sample::select(&Rotation::ALL[..]),
            flip in proptest::sample::select(&Flip::ALL[..]),
        ) {
            // Even for luma, odd and even for chroma.
            let size = Size::new(width * 2, height * 2);
            let picture = drawn(size);
            let output = turned(&picture, rotation, flip);
            let planes = [
                (size, &picture.y, &output.y),
                (Size::new(width, height), &picture.u, &output.u),
                (Size::new(width, height), &picture.v, &output.v),
            ];
            for (size, from, to) in planes {
                let stride = Orientation::new(rotation, flip).size(size).width;
                prop_assert_eq!(from.len(), to.len());
                for (x, y) in (0..size.height).flat_map(|y| (0..size.width).map(move |x| (x, y))) {
                    let (to_x, to_y) = place(x, y, size, rotation, flip);
                    let sample = from[(y * size.width + x) as usize];
                    prop_assert_eq!(sample, to[(to_y * stride + to_x) as usize], "({}, {})", x, y);
                }
            }
        }

        #[test]
        fn four_quarters_and_two_flips_change_nothing((width, height) in (1_u32..=40, 1_u32..=40)) {
            let picture = drawn(Size::new(width * 2, height * 2));
            let quarter = |picture: &I420| turned(picture, Rotation::Quarter, Flip::None);
            prop_assert_eq!(&quarter(&quarter(&quarter(&quarter(&picture)))), &picture);
            let three = turned(&picture, Rotation::ThreeQuarters, Flip::None);
            prop_assert_eq!(&quarter(&three), &picture);
            for flip in Flip::ALL {
                let once = turned(&picture, Rotation::None, flip);
                prop_assert_eq!(&turned(&once, Rotation::None, flip), &picture);
            }
        }
    }

    #[test]
    fn an_empty_picture_stays_empty() {
        let empty = I420::new(Size::new(0, 0));
        assert_eq!(turned(&empty, Rotation::Quarter, Flip::None), empty);
    }
}
