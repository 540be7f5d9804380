//! The test pattern's scene: colour bars and a box that glides to and fro, or noise; the stream's name, a clock, the
//! frame counter.
//!
//! From the top: counter strip, bars, lane of the box, name, clock; noise takes the place of bars and lane. All lengths follow the picture's size; what finds no
//! room in a small picture is cut off.

use super::counter::Strip;
use super::{font, noise};
use crate::media::{Size, TestPicture};
use std::time::Duration;

/// Luma and chroma of the bars: 75 % white, yellow, cyan, green, magenta, red, blue (BT.601, limited range).
const BARS: [[u8; 3]; 7] = [
    [180, 128, 128],
    [162, 44, 142],
    [131, 156, 44],
    [112, 72, 58],
    [84, 184, 198],
    [65, 100, 212],
    [35, 212, 114],
];
const BLACK: [u8; 3] = [16, 128, 128];
/// Luma of the lane, the box and the text.
const LANE: u8 = 48;
const BOX: u8 = 200;
const INK: u8 = 235;

/// The box goes to the right edge and back in this time.
const LAP: Duration = Duration::from_secs(4);

/// The place of every part, in pixels.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    size: Size,
    strip: Option<Strip>,
    picture: TestPicture,
    /// Side of one dot of the font.
    dot: u32,
    /// Top edges.
    lane: u32,
    name: u32,
    clock: u32,
}

impl Scene {
    /// `size` has even sides.
    pub(super) fn new(size: Size, picture: TestPicture) -> Self {
        let dot = (size.width / 160).min(size.height / 90).max(1);
        let line = Self::line(dot);
        let clock = size.height.saturating_sub(line);
        let name = clock.saturating_sub(line);
        Self {
            size,
            strip: Strip::of(size),
            picture,
            dot,
            lane: name.saturating_sub(Self::lane_height(dot)),
            name,
            clock,
        }
    }

    /// Height of a line of text. Even, since chroma has half the rows.
    const fn line(dot: u32) -> u32 {
        (font::HEIGHT + 3) * dot
    }

    const fn lane_height(dot: u32) -> u32 {
        16 * dot
    }

    /// Top edge of the bars.
    fn bars(&self) -> u32 {
        self.strip.map_or(0, Strip::height)
    }

    /// A whole I420 frame with everything that stands still.
    pub(super) fn background(&self, name: &str) -> Vec<u8> {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let mut frame = Vec::with_capacity(width * height * 3 / 2);
        for (plane, black) in BLACK.into_iter().enumerate() {
            let shift = u32::from(plane > 0);
            let columns = self.size.width >> shift;
            // Chroma of the strip, the lane and the text is that of black, which is no colour.
            let bars = self.bars() >> shift..self.lane >> shift;
            for row in 0..self.size.height >> shift {
                if self.picture == TestPicture::Bars && bars.contains(&row) {
                    let bar = |column| BARS[column as usize * BARS.len() / columns as usize];
                    frame.extend((0..columns).map(|column| bar(column)[plane]));
                } else {
                    frame.resize(frame.len() + columns as usize, black);
                }
            }
        }
        self.text(&mut frame, self.name, name);
        frame
    }

    /// Draws all that changes into a frame that has been drawn before or is [`background`](Self::background).
    ///
    /// `elapsed` moves the box, `clock` is the time since midnight.
    pub(super) fn draw(&self, frame: &mut [u8], counter: u32, elapsed: Duration, clock: Duration) {
        if let Some(strip) = self.strip {
            strip.draw(frame, self.size.width, counter);
        }
        match self.picture {
            TestPicture::Bars => self.draw_lane(frame, elapsed),
            TestPicture::Noise => {
                noise::draw(frame, self.size.width, self.bars()..self.name, counter);
            }
        }
        self.fill(frame, (0, self.clock), self.size, BLACK[0]);
        let (seconds, millis) = (clock.as_secs(), clock.subsec_millis());
        let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let text = format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z #{counter}");
        self.text(frame, self.clock, &text);
    }

    fn draw_lane(&self, frame: &mut [u8], elapsed: Duration) {
        let height = Self::lane_height(self.dot);
        let size = Size::new(self.size.width, height.min(self.name - self.lane));
        self.fill(frame, (0, self.lane), size, LANE);
        let (side, margin) = (height - 4 * self.dot, 2 * self.dot);
        let way = f64::from(self.size.width.saturating_sub(side));
        let phase = elapsed.as_secs_f64() / LAP.as_secs_f64() * 2.0;
        // A triangle wave: 0 to 1 and back.
        let place = 1.0 - (phase.rem_euclid(2.0) - 1.0).abs();
        let left = (place * way).round() as u32;
        let side = Size::new(side, side.min(size.height.saturating_sub(margin)));
        self.fill(frame, (left, self.lane + margin), side, BOX);
    }

    /// Fills a rectangle of luma, cut at the picture's edges.
    fn fill(&self, frame: &mut [u8], (left, top): (u32, u32), size: Size, level: u8) {
        let left = left.min(self.size.width);
        let (right, bottom) = (
            (left + size.width).min(self.size.width),
            (top + size.height).min(self.size.height),
        );
        for y in top..bottom {
            let row = (y * self.size.width) as usize;
            frame[row + left as usize..row + right as usize].fill(level);
        }
    }

    fn text(&self, frame: &mut [u8], top: u32, text: &str) {
        let top = top + self.dot;
        for (index, character) in (0_u32..).zip(text.chars()) {
            let left = self.dot * (2 + index * font::ADVANCE);
            if left >= self.size.width {
                break;
            }
            for (x, column) in (0..).zip(font::columns(character)) {
                for y in (0..font::HEIGHT).filter(|y| column >> y & 1 == 1) {
                    let corner = (left + x * self.dot, top + y * self.dot);
                    self.fill(frame, corner, Size::new(self.dot, self.dot), INK);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Duration = Duration::from_secs(12 * 3600);

    fn drawn(size: Size, elapsed: Duration) -> Vec<u8> {
        let scene = Scene::new(size, TestPicture::Bars);
        let mut frame = scene.background("camera-1");
        scene.draw(&mut frame, 7, elapsed, NOON);
        frame
    }

    /// Left edge of the box in a drawn frame.
    fn box_at(size: Size, frame: &[u8]) -> Option<usize> {
        let scene = Scene::new(size, TestPicture::Bars);
        let row = ((scene.lane + 8 * scene.dot) * size.width) as usize;
        frame[row..][..size.width as usize]
            .iter()
            .position(|&y| y == BOX)
    }

    #[test]
    fn every_size_is_drawn_in_full_length() {
        for (width, height) in [
            (2, 2),
            (16, 16),
            (34, 2),
            (2, 200),
            (100, 74),
            (160, 120),
            (320, 180),
            (1280, 720),
            (3840, 2160),
        ] {
            let size = Size::new(width, height);
            for millis in [0, 1000, 1999, 2000, 3999] {
                let frame = drawn(size, Duration::from_millis(millis));
                assert_eq!(frame.len(), size.pixels() * 3 / 2, "{size}");
            }
        }
    }

    #[test]
    fn drawing_over_an_old_frame_leaves_nothing_of_it() {
        let size = Size::new(320, 180);
        let scene = Scene::new(size, TestPicture::Bars);
        let mut frame = scene.background("camera-1");
        scene.draw(
            &mut frame,
            u32::MAX,
            Duration::from_millis(1234),
            Duration::from_millis(86_399_999),
        );
        scene.draw(&mut frame, 7, Duration::ZERO, NOON);
        assert!(frame == drawn(size, Duration::ZERO));
    }

    #[test]
    fn the_box_glides_to_the_right_edge_and_back() {
        let size = Size::new(640, 360);
        let at = |millis| box_at(size, &drawn(size, Duration::from_millis(millis))).unwrap();
        assert_eq!(at(0), 0);
        assert!(at(500) < at(1000) && at(1000) < at(1500) && at(1500) < at(2000));
        assert!(at(2500) < at(2000) && at(3500) < at(3000));
        assert_eq!(at(4000), 0);
        // At 30 fps it never leaps.
        assert!((0..120).all(|n| at(n * 33).abs_diff(at((n + 1) * 33)) <= 11));
    }

    #[test]
    fn all_bars_are_there_with_their_colours() {
        let size = Size::new(320, 180);
        let frame = drawn(size, Duration::ZERO);
        let (y, u, v) = (60 * 320, 320 * 180 + 30 * 160, 320 * 180 * 5 / 4 + 30 * 160);
        for (index, bar) in BARS.into_iter().enumerate() {
            let x = 320 * (2 * index + 1) / 14;
            assert_eq!([frame[y + x], frame[u + x / 2], frame[v + x / 2]], bar);
        }
    }
}
