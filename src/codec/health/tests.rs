//! The checks on drawn scenes: what must be told, and what must not.

use super::*;
use crate::media::Size;
use proptest::prelude::*;

const SIZE: Size = Size::new(320, 180);

/// Noise as of a sensor: the sum of four uniform values is nearly normal. The same for the same `seed`.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let parts = [0, 16, 32, 48].map(|shift| (self.0 >> shift & 0xffff) as f64 / 65_536.0);
        (parts.iter().sum::<f64>() - 2.0) / (1.0_f64 / 3.0).sqrt()
    }
}

/// A scene, with noise of that standard deviation.
fn scene(deviation: f64, seed: u64, luma: impl Fn(u32, u32) -> f64) -> I420 {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut picture = I420::new(SIZE);
    let places = (0..SIZE.height).flat_map(|y| (0..SIZE.width).map(move |x| (x, y)));
    for (sample, (x, y)) in picture.y.iter_mut().zip(places) {
        *sample = (luma(x, y) + deviation * noise.next()).clamp(16.0, 235.0) as u8;
    }
    picture
}

/// A room: two walls, a window, a shelf.
fn room(x: u32, y: u32) -> f64 {
    match (x, y) {
        (40..120, 30..90) => 210.0,
        (200..300, 100..110) => 60.0,
        (0..160, _) => 120.0,
        _ => 95.0,
    }
}

/// Something near the lens: a dark red that the light comes through, brighter at one side.
fn hand(x: u32, y: u32) -> f64 {
    40.0 + f64::from(x) / 10.0 + f64::from(y) / 20.0
}

/// A dark street with one lamp, 10 x 12 pixels.
fn night(x: u32, y: u32) -> f64 {
    if (150..160).contains(&x) && (40..52).contains(&y) {
        140.0
    } else {
        18.0
    }
}

/// The flaw that is told after pictures of that many seconds, each made from its number.
fn told(
    checks: &mut Checks,
    from: Instant,
    seconds: u64,
    picture: impl Fn(u64) -> I420,
) -> Option<Flaw> {
    let mut told = checks.told;
    for number in 0..seconds * 1000 / INTERVAL.as_millis() as u64 {
        let now = from + INTERVAL * number as u32;
        assert!(checks.is_due(now));
        told = checks.add(&Look::at(&picture(number)), now);
        assert!(!checks.is_due(now + INTERVAL / 2));
    }
    told
}

fn after(seconds: u64, picture: impl Fn(u64) -> I420) -> Option<Flaw> {
    told(&mut Checks::default(), Instant::now(), seconds, picture)
}

#[test]
fn each_flaw_is_told_once_it_has_lasted() {
    let frozen = |_| scene(3.0, 1, room);
    assert_eq!(after(9, frozen), None);
    assert_eq!(after(12, frozen), Some(Flaw::Frozen));
    let black = |number| scene(3.0, number, |_, _| 16.0);
    assert_eq!(after(4, black), None);
    assert_eq!(after(7, black), Some(Flaw::Black));
    let covered = |number| scene(3.0, number, hand);
    assert_eq!(after(4, covered), None);
    assert_eq!(after(7, covered), Some(Flaw::Covered));
}

#[test]
fn a_quiet_scene_is_not_frozen_and_a_night_is_not_black() {
    // One step of noise at a few places is all that changes.
    let quiet = |number| scene(0.4, number, room);
    assert_eq!(after(60, quiet), None);
    assert_eq!(after(60, |number| scene(2.0, number, night)), None);
    // Without noise too, as an encoder inside a camera may leave it: one pixel of a lamp that flickers.
    let denoised = |number: u64| {
        let mut picture = scene(0.0, 1, night);
        // In a row that is looked at.
        let row = 20 * SIZE.height as usize / 72;
        picture.y[row * SIZE.width as usize + 3] += (number % 2) as u8;
        picture
    };
    assert_eq!(after(60, denoised), None);
}

#[test]
fn a_room_with_the_noise_of_a_bad_camera_is_not_covered_and_a_covered_one_with_it_is() {
    for deviation in [0.0_f64, 4.0, 10.0] {
        assert_eq!(
            after(20, |number| scene(deviation.max(0.4), number, room)),
            None
        );
        let look = Look::at(&scene(deviation, 7, hand));
        assert!(look.is_blank, "{deviation}");
    }
}

#[test]
fn a_frozen_black_is_black_and_a_frozen_grey_is_frozen() {
    assert_eq!(after(60, |_| scene(0.0, 1, |_, _| 16.0)), Some(Flaw::Black));
    let grey = |_| scene(0.0, 1, |_, _| 128.0);
    assert_eq!(after(8, grey), Some(Flaw::Covered));
    assert_eq!(after(60, grey), Some(Flaw::Frozen));
}

#[test]
fn a_flaw_is_taken_back_once_it_is_gone_for_a_time() {
    let mut checks = Checks::default();
    let start = Instant::now();
    let room = |number| scene(3.0, number, room);
    let covered = |number| scene(3.0, number, hand);
    assert_eq!(told(&mut checks, start, 8, covered), Some(Flaw::Covered));
    // A gap between the fingers.
    let later = start + Duration::from_secs(8);
    assert_eq!(told(&mut checks, later, 1, room), Some(Flaw::Covered));
    let later = later + Duration::from_secs(1);
    assert_eq!(told(&mut checks, later, 8, covered), Some(Flaw::Covered));
    let later = later + Duration::from_secs(8);
    assert_eq!(told(&mut checks, later, 4, room), None);
    // A flaw that comes and goes by the second is never told.
    let later = later + Duration::from_secs(4);
    let flickers = |number: u64| {
        if number.is_multiple_of(4) {
            room(number)
        } else {
            covered(number)
        }
    };
    assert_eq!(told(&mut checks, later, 60, flickers), None);
}

#[test]
fn a_clip_that_repeats_each_second_is_not_frozen() {
    let start = Instant::now();
    let mut checks = Checks::default();
    for frame in 0..30 * 60_u64 {
        let now = start + Duration::from_secs(frame) / 30;
        if checks.is_due(now) {
            let look = Look::at(&scene(0.0, 1, |x, y| {
                room((x + frame as u32 % 30 * 4) % 320, y)
            }));
            assert_eq!(checks.add(&look, now), None, "{frame}");
        }
    }
}

proptest! {
    #[test]
    fn any_size_can_be_looked_at(width in 0_u32..200, height in 0_u32..200, luma: u8) {
        let mut picture = I420::new(Size::new(width, height));
        picture.y.fill(luma);
        let look = Look::at(&picture);
        let is_large = picture.size().width >= 128 && picture.size().height >= 72;
        prop_assert_eq!(look.is_black, is_large && luma <= DARK);
        prop_assert_eq!(look.is_blank, is_large);
    }
}

#[test]
fn every_byte_of_a_row_that_is_looked_at_counts() {
    let mut picture = scene(3.0, 1, room);
    let fingerprint = Look::at(&picture).fingerprint;
    let width = SIZE.width as usize;
    for row in [0, 31, 71] {
        for column in 0..width {
            let at = row * SIZE.height as usize / 72 * width + column;
            picture.y[at] ^= 1;
            assert_ne!(
                Look::at(&picture).fingerprint,
                fingerprint,
                "{row}, {column}"
            );
            picture.y[at] ^= 1;
        }
    }
    assert_eq!(Look::at(&picture).fingerprint, fingerprint);
}
