//! The frame counter of the test pattern: a strip of black and white blocks that programs read back from decoded video.
//!
//! The strip begins in the top left corner and holds [`BLOCKS`] squares, row by row. In pictures at least 320 pixels wide
//! they stand in two rows of 20, in narrower ones in four rows of 10. Their side is a multiple of 16 that grows with the
//! picture, so that every macroblock is all black or all white: such blocks survive an encoder that is starved of bits.
//! White is 1. In order: [`SYNC`], the counter, the check; each with its highest bit first.

use crate::media::{I420, Size};

/// Number of blocks: 4 for synchronisation, 32 for the counter, 4 for the check.
pub const BLOCKS: u32 = 40;

/// The first four blocks: white, black, white, black.
pub const SYNC: u64 = 0b1010;

/// Luma of a black and of a white block as they are drawn.
pub const LEVELS: [u8; 2] = [16, 235];

/// A block is black below the first mean luma and white above the second; anything between is no counter.
pub const THRESHOLDS: [u32; 2] = [96, 160];

/// The place of the blocks in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strip {
    /// Side of a block in pixels, a multiple of 16.
    pub side: u32,
    /// Blocks in one row.
    pub columns: u32,
}

impl Strip {
    /// The strip of a picture of that size; `None` if it has no room for one: less than 160 pixels wide or 64 high.
    pub fn of(size: Size) -> Option<Self> {
        let columns = if size.width >= 320 { 20 } else { 10 };
        let side = 16 * (size.width / 320).min(size.height / 180).max(1);
        let strip = Self { side, columns };
        (columns * side <= size.width && strip.height() <= size.height).then_some(strip)
    }

    /// Height of the whole strip in pixels.
    pub const fn height(self) -> u32 {
        BLOCKS / self.columns * self.side
    }

    /// Left and top edge of a block in pixels.
    const fn corner(self, block: u32) -> (u32, u32) {
        (
            block % self.columns * self.side,
            block / self.columns * self.side,
        )
    }

    /// Draws the strip into a luma plane of that width.
    pub(super) fn draw(self, luma: &mut [u8], width: u32, counter: u32) {
        let bits = encode(counter);
        let row_len = (width * self.side) as usize;
        let rows = luma.chunks_exact_mut(row_len);
        for (row, luma) in rows.take((BLOCKS / self.columns) as usize).enumerate() {
            // The first line is drawn and then repeated.
            let (first, rest) = luma.split_at_mut(width as usize);
            for (column, pixels) in first.chunks_exact_mut(self.side as usize).enumerate() {
                let block = row * self.columns as usize + column;
                if column < self.columns as usize {
                    pixels.fill(LEVELS[(bits >> (BLOCKS as usize - 1 - block) & 1) as usize]);
                }
            }
            for line in rest.chunks_exact_mut(width as usize) {
                let drawn = (self.columns * self.side) as usize;
                line[..drawn].copy_from_slice(&first[..drawn]);
            }
        }
    }

    /// The bit that a block shows; its edges, where the encoder smears, are left out.
    fn read(self, picture: &I420, block: u32) -> Option<bool> {
        let (left, top) = self.corner(block);
        let (margin, inner) = (self.side / 4, self.side / 2);
        let sum: u32 = (top + margin..top + margin + inner)
            .map(|y| {
                let start = (y * picture.size().width + left + margin) as usize;
                picture.y[start..][..inner as usize]
                    .iter()
                    .map(|&sample| u32::from(sample))
                    .sum::<u32>()
            })
            .sum();
        match sum / (inner * inner) {
            mean if mean < THRESHOLDS[0] => Some(false),
            mean if mean > THRESHOLDS[1] => Some(true),
            _ => None,
        }
    }
}

/// The frame counter that the test pattern drew into a picture, which may have been encoded and decoded since, at its
/// own size. `None` if the picture shows no valid counter.
pub fn read_counter(picture: &I420) -> Option<u32> {
    let strip = Strip::of(picture.size())?;
    let bits = (0..BLOCKS).try_fold(0, |bits, block| {
        Some(bits << 1 | u64::from(strip.read(picture, block)?))
    })?;
    // The shift leaves the 32 counter bits lowest.
    let counter = (bits >> 4) as u32;
    (encode(counter) == bits).then_some(counter)
}

/// All blocks of a counter, the first in the highest of [`BLOCKS`] bits.
fn encode(counter: u32) -> u64 {
    SYNC << 36 | u64::from(counter) << 4 | u64::from(check(counter))
}

/// The exclusive or of the counter's eight groups of four bits, inverted: one wrong block never goes unnoticed.
fn check(counter: u32) -> u32 {
    !(0..8).fold(0, |sum, group| sum ^ counter >> (4 * group)) & 0xf
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn picture(size: Size, counter: u32) -> I420 {
        let mut picture = I420::new(size);
        let strip = Strip::of(picture.size()).unwrap();
        let width = picture.size().width;
        strip.draw(&mut picture.y, width, counter);
        picture
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_read(width in 160_u32..2000, height in 64_u32..1200, counter: u32) {
            let size = Size::new(width, height);
            prop_assert_eq!(read_counter(&picture(size, counter)), Some(counter));
        }

        #[test]
        fn one_wrong_block_is_noticed(counter: u32, block in 0..BLOCKS) {
            let mut picture = picture(Size::new(320, 180), counter);
            let strip = Strip::of(picture.size()).unwrap();
            let (left, top) = strip.corner(block);
            for y in top..top + strip.side {
                for sample in &mut picture.y[(y * 320 + left) as usize..][..strip.side as usize] {
                    *sample = 251 - *sample;
                }
            }
            prop_assert_eq!(read_counter(&picture), None);
        }

        #[test]
        fn noise_and_weak_contrast_are_survived(counter: u32, noise in proptest::collection::vec(0_u8..60, 7919)) {
            let mut picture = picture(Size::new(320, 180), counter);
            for (sample, noise) in picture.y.iter_mut().zip(noise.iter().cycle()) {
                *sample = (*sample / 4 * 3 + 16).saturating_add(*noise).saturating_sub(30);
            }
            prop_assert_eq!(read_counter(&picture), Some(counter));
        }
    }

    #[test]
    fn blocks_are_whole_macroblocks_and_grow_with_the_picture() {
        let strip = |width, height| Strip::of(Size::new(width, height));
        let expected = |side, columns| Some(Strip { side, columns });
        assert_eq!(strip(159, 120), None);
        assert_eq!(strip(160, 63), None);
        assert_eq!(strip(160, 120), expected(16, 10));
        assert_eq!(strip(320, 180), expected(16, 20));
        assert_eq!(strip(640, 480), expected(32, 20));
        assert_eq!(strip(1280, 720), expected(64, 20));
        assert_eq!(strip(1920, 1080), expected(96, 20));
        assert_eq!(strip(3840, 2160), expected(192, 20));
        assert_eq!(strip(180, 320), expected(16, 10));
    }

    #[test]
    fn plain_pictures_show_no_counter() {
        for level in [0, 16, 128, 235, 255] {
            let mut picture = I420::new(Size::new(640, 360));
            picture.y.fill(level);
            assert_eq!(read_counter(&picture), None);
        }
        assert_eq!(read_counter(&I420::new(Size::new(64, 64))), None);
    }
}
