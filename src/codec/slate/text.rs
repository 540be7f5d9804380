//! Text in a picture: the font's faces, lines of words, and their dots.

use crate::media::I420;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// The thickness of the strokes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Regular,
    Bold,
}

/// The font at a size: a raster, whose dots may be enlarged.
#[derive(Debug, Clone, Copy)]
pub struct Face {
    weight: FontWeight,
    raster: RasterHeight,
    scale: usize,
}

impl Face {
    /// Every raster, and how much it is enlarged, from the smallest face up.
    const STEPS: [(RasterHeight, usize); 8] = [
        (RasterHeight::Size16, 1),
        (RasterHeight::Size20, 1),
        (RasterHeight::Size24, 1),
        (RasterHeight::Size32, 1),
        (RasterHeight::Size24, 2),
        (RasterHeight::Size32, 2),
        (RasterHeight::Size24, 3),
        (RasterHeight::Size32, 3),
    ];

    /// The largest whose lines are not higher than that; the smallest there is if all are.
    pub fn fitting(weight: Weight, height: usize) -> Self {
        let steps = Self::STEPS.into_iter().rev();
        let mut fitting = steps.filter(|(raster, scale)| raster.val() * scale <= height);
        let (raster, scale) = fitting.next().unwrap_or(Self::STEPS[0]);
        let weight = match weight {
            Weight::Regular => FontWeight::Regular,
            Weight::Bold => FontWeight::Bold,
        };
        Self {
            weight,
            raster,
            scale,
        }
    }

    /// The height of a line, in pixels.
    pub const fn height(self) -> usize {
        self.raster.val() * self.scale
    }

    /// The width of a character, in pixels.
    pub const fn width(self) -> usize {
        get_raster_width(self.weight, self.raster) * self.scale
    }
}

/// The text in characters that the font has.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '…' => printable.push_str("..."),
            '“' | '”' => printable.push('"'),
            '‘' | '’' => printable.push('\''),
            '–' | '—' => printable.push('-'),
            ' '..='~' => printable.push(character),
            _ if character.is_whitespace() => printable.push(' '),
            _ => printable.push('?'),
        }
    }
    printable
}

/// Lines of `columns` characters at the most, broken between words; a word that is longer is cut. `text` is ASCII.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines: Vec<String> = Vec::new();
    for mut word in text.split_ascii_whitespace() {
        if let Some(line) = lines.last_mut()
            && line.len() + 1 + word.len() <= columns
        {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        while word.len() > columns {
            let (head, tail) = word.split_at(columns);
            lines.push(head.to_owned());
            word = tail;
        }
        lines.push(word.to_owned());
    }
    lines
}

/// Writes a line whose top left corner is there; what is beyond the picture's edges is cut off.
pub fn write(picture: &mut I420, (left, top): (usize, usize), line: &str, face: Face, ink: u8) {
    for (n, character) in line.chars().enumerate() {
        let Some(shape) = get_raster(character, face.weight, face.raster) else {
            continue;
        };
        let left = left + n * face.width();
        for (y, row) in shape.rows().enumerate() {
            for (x, &cover) in row.iter().enumerate().filter(|(_, cover)| **cover > 0) {
                let corner = (left + x * face.scale, top + y * face.scale);
                dot(picture, corner, face.scale, cover, ink);
            }
        }
    }
}

/// A square of luma, over what is there as far as it covers that.
fn dot(picture: &mut I420, (left, top): (usize, usize), side: usize, cover: u8, ink: u8) {
    let (width, height) = (
        picture.size().width as usize,
        picture.size().height as usize,
    );
    for y in top..(top + side).min(height) {
        for x in left..(left + side).min(width) {
            let luma = &mut picture.y[y * width + x];
            *luma = blend(*luma, ink, cover);
        }
    }
}

/// `over` on `under`, where 255 covers all.
pub fn blend(under: u8, over: u8, cover: u8) -> u8 {
    let (under, over, cover) = (u32::from(under), u32::from(over), u32::from(cover));
    // A mean of two bytes is one.
    ((under * (255 - cover) + over * cover + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_are_cut() {
        assert_eq!(wrap("plug the camera in", 8), ["plug the", "camera", "in"]);
        assert_eq!(wrap("a /dev/video0 b", 5), ["a", "/dev/", "video", "0 b"]);
        assert_eq!(wrap("  ", 5), Vec::<String>::new());
        assert_eq!(wrap("ab", 0), ["a", "b"]);
    }

    #[test]
    fn every_printable_character_has_a_shape_in_every_face() {
        for (raster, _) in Face::STEPS {
            for weight in [FontWeight::Regular, FontWeight::Bold] {
                let shape = |character| get_raster(character, weight, raster);
                assert!((' '..='~').all(|character| shape(character).is_some()));
            }
        }
        assert_eq!(printable("“Zoë’s”…\n"), "\"Zo?'s\"... ");
    }

    #[test]
    fn faces_grow_with_the_room_they_have() {
        let height = |room| Face::fitting(Weight::Bold, room).height();
        assert_eq!([0, 19, 39, 49, 5000].map(height), [16, 16, 32, 48, 96]);
    }

    #[test]
    fn what_covers_half_is_the_mean() {
        assert_eq!(
            [0, 128, 255].map(|cover| blend(20, 220, cover)),
            [20, 120, 220]
        );
    }
}
