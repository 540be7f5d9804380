//! A picture that costs an encoder as much as a camera's: clouds that pan, under grain that is new in every frame.
//!
//! Both are made once and copied from other places for each frame. The clouds' motion can be predicted, the grain can't: it
//! takes whatever bitrate the encoder may spend, and the quantizer decides how much of it is left.

use std::ops::Range;
use std::sync::LazyLock;

/// Side of the clouds, which repeat themselves in both directions.
const SIDE: usize = 512;
/// Distances between the points that clouds are drawn through, with the highest luma each adds.
const OCTAVES: [(usize, u32); 3] = [(128, 90), (32, 40), (8, 20)];
/// Luma of the darkest cloud; with clouds and grain at their brightest it stays below 235.
const DARKEST: u32 = 40;
/// Grain is less than this.
const GRAIN: u32 = 24;
/// The number of places where a row of grain may begin.
const ROWS: usize = 1 << 16;
/// Pixels that the clouds move by for each frame, to the left and up.
const PAN: (usize, usize) = (3, 1);

/// The parts from which frames are put together.
struct Tables {
    /// Each row twice, so that one may begin anywhere.
    clouds: Vec<u8>,
    grain: Vec<u8>,
}

/// The same each time; made when it is first drawn from.
static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let row = |y| (0..SIDE).map(move |x| cloud(x, y)).collect::<Vec<_>>();
    let grain = (0..(ROWS + SIDE) as u32).map(|n| (hash(n) % GRAIN) as u8);
    Tables {
        clouds: (0..SIDE).flat_map(|y| row(y).repeat(2)).collect(),
        grain: grain.collect(),
    }
});

/// Draws these rows of a frame's luma, which is `width` pixels wide; `frame` is its number.
pub(crate) fn draw(luma: &mut [u8], width: u32, rows: Range<u32>, frame: u32) {
    let Tables { clouds, grain } = &*TABLES;
    // The clouds leap when frame numbers wrap around.
    let (left, top) = (frame as usize * PAN.0 % SIDE, frame as usize * PAN.1 % SIDE);
    let lines = luma.chunks_exact_mut(width as usize).enumerate();
    let lines = lines.take(rows.end as usize).skip(rows.start as usize);
    for (y, line) in lines {
        let clouds = &clouds[(y + top) % SIDE * 2 * SIDE + left..][..SIDE];
        for (part, line) in line.chunks_mut(SIDE).enumerate() {
            // Other grain for each row and each frame.
            let place = frame.wrapping_mul(0x9e37_79b1) ^ (y * 16 + part) as u32;
            let grain = &grain[hash(place) as usize % ROWS..][..SIDE];
            for ((pixel, cloud), grain) in line.iter_mut().zip(clouds).zip(grain) {
                *pixel = cloud + grain;
            }
        }
    }
}

/// Luma of a place in the clouds.
fn cloud(x: usize, y: usize) -> u8 {
    let sum: u32 = OCTAVES
        .iter()
        .map(|&(distance, height)| {
            let (left, top) = (x / distance, y / distance);
            let points = SIDE / distance;
            let point = |column: usize, row: usize| {
                let place = row % points * SIDE + column % points;
                hash((place * 256 + distance) as u32) % (height + 1)
            };
            // Between its four points, nearer ones count more.
            let between = |a: u32, b: u32, at: usize| {
                let (at, distance) = (at as u32, distance as u32);
                (a * (distance - at) + b * at) / distance
            };
            let row = |row| between(point(left, row), point(left + 1, row), x % distance);
            between(row(top), row(top + 1), y % distance)
        })
        .sum();
    // At most 40 + 150.
    (DARKEST + sum) as u8
}

/// Scatters numbers (the finalizer of MurmurHash3).
const fn hash(number: u32) -> u32 {
    let n = number ^ number >> 16;
    let n = n.wrapping_mul(0x85eb_ca6b);
    let n = (n ^ n >> 13).wrapping_mul(0xc2b2_ae35);
    n ^ n >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: u32, rows: Range<u32>, frame: u32) -> Vec<u8> {
        let mut luma = vec![0; (width * 100) as usize];
        draw(&mut luma, width, rows, frame);
        luma
    }

    #[test]
    fn only_the_rows_asked_for_are_drawn_and_all_within_the_range_of_video() {
        for width in [2, 500, 512, 1300] {
            let luma = drawn(width, 20..90, u32::MAX);
            let (above, rest) = luma.split_at(20 * width as usize);
            let (inside, below) = rest.split_at(70 * width as usize);
            assert!(above.iter().chain(below).all(|&y| y == 0), "{width}");
            assert!(inside.iter().all(|y| (16..=235).contains(y)), "{width}");
        }
    }

    #[test]
    fn the_clouds_move_and_the_grain_is_new() {
        let (width, shift) = (640, 640 + 3);
        let (before, after) = (drawn(width, 0..100, 6), drawn(width, 0..100, 7));
        let mean = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| {
            let (sum, count) = pairs.fold((0, 0), |(sum, count), (a, b)| {
                (sum + u64::from(a.abs_diff(*b)), count + 1)
            });
            sum as f64 / f64::from(count)
        };
        // Where they have moved to, all that differs is the grain, by a third of its range on average.
        let moved = mean(&mut after.iter().zip(&before[shift..]));
        let still = mean(&mut after.iter().zip(&before));
        assert!((7.0..9.0).contains(&moved), "{moved}");
        assert!(still > moved + 0.3, "{still}");
    }
}
