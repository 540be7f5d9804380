//! The slate: what viewers see instead of the camera's pictures while there are none. It says in plain words what is
//! wrong, what helps, and for how long.
//!
//! Dark and still, with the mark of the program, for it may stand on a wall for days. What finds no room in a small picture is left
//! out, the title last.

mod mark;
mod text;

use crate::media::I420;
use std::time::Duration;
use text::{Face, Weight};

/// Luma of the ground and of what is written on it; in limited range (BT.601).
const GROUND: u8 = 26;
const INK: u8 = 225;
const SOFT: u8 = 150;
/// Chroma of all but the mark: a grey with a touch of blue, as of the page.
const TINT: [u8; 2] = [129, 127];

/// The text of a slate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The stream's name.
    pub name: &'a str,
    /// The problem in a few plain words: `The camera is not connected`.
    pub title: &'a str,
    /// The exact cause: `/dev/video0: no such device`. May be empty.
    pub detail: &'a str,
    /// The cure. May be empty.
    pub cure: &'a str,
    /// The time for which it has been so.
    pub elapsed: Duration,
}

/// A part of the slate: its lines, and the room above them in tenths of their height.
struct TextBlock {
    lines: Vec<String>,
    face: Face,
    ink: u8,
    above: usize,
}

impl TextBlock {
    const fn height(&self) -> usize {
        self.face.height() * self.above / 10 + self.face.height() * self.lines.len()
    }
}

/// Draws a slate over a whole picture.
pub fn draw(picture: &mut I420, message: &Message<'_>) {
    picture.y.fill(GROUND);
    picture.u.fill(TINT[0]);
    picture.v.fill(TINT[1]);
    let (width, height) = (
        picture.size().width as usize,
        picture.size().height as usize,
    );
    let body = (height / 22).min(width / 20);
    let margin = (width / 20).min(height / 12);
    let room = (width - 2 * margin, height - 2 * margin);
    // Longer lines are hard to read.
    let mut blocks = blocks(message, body, |face| (room.0 / face.width()).min(60));
    // Of the blocks in their order from the top, which goes first when there is no room for all.
    for least in [3, 0, 2, 4] {
        if blocks.iter().map(TextBlock::height).sum::<usize>() > room.1 {
            blocks[least].lines.clear();
            blocks[least].above = 0;
        }
    }
    let total: usize = blocks.iter().map(TextBlock::height).sum();
    let mut top = margin + room.1.saturating_sub(total) / 2;
    for (n, block) in blocks.iter().enumerate() {
        top += block.face.height() * block.above / 10;
        for line in &block.lines {
            let mut left = margin;
            if n == 0 {
                // As high as the line, on its base.
                let side = block.face.height();
                mark::draw(picture, (left, top), side);
                left += side + side / 2;
            }
            text::write(picture, (left, top), line, block.face, block.ink);
            top += block.face.height();
        }
    }
}

/// Name, title, detail, cure and time, from the top. `columns` says how many characters of a face make a line.
fn blocks(message: &Message<'_>, body: usize, columns: impl Fn(Face) -> usize) -> [TextBlock; 5] {
    let wrapped = |text: &str, face| text::wrap(&text::printable(text), columns(face));
    let small = Face::fitting(Weight::Regular, body);
    let bold = Face::fitting(Weight::Bold, body);
    let large = Face::fitting(Weight::Bold, body * 4 / 3);
    // One line, with room for the mark.
    let mut name = text::printable(message.name);
    name.truncate(columns(bold).saturating_sub(4).max(1));
    [
        (vec![name], bold, SOFT, 0),
        (wrapped(message.title, large), large, INK, 8),
        (wrapped(&sentence(message.detail), small), small, INK, 4),
        (wrapped(&sentence(message.cure), small), small, SOFT, 4),
        (
            vec![format!("For {}", spoken(message.elapsed))],
            small,
            SOFT,
            8,
        ),
    ]
    .map(|(lines, face, ink, above)| TextBlock {
        above: if lines.is_empty() { 0 } else { above },
        lines,
        face,
        ink,
    })
}

/// The log's words as they stand in a picture: with a full stop, and a capital unless they begin with a name, such as
/// `usb:046d:0825`, which is written as it is.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_word = word
        .trim_end_matches([',', ';', '.', '!', '?', '…'])
        .chars()
        .all(|character| character.is_alphabetic() || "-'’".contains(character));
    let end = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    let begin = match is_word {
        true => first.to_uppercase().to_string(),
        false => first.to_string(),
    };
    format!("{begin}{}{end}", characters.as_str()).replace('`', "\"")
}

/// A time in its two largest units: `12 s`, `3 min 4 s`, `2 h 10 min`, `5 d 1 h`.
fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Size;

    const MESSAGE: Message<'static> = Message {
        name: "garden",
        title: "The camera is not connected",
        detail: "/dev/video0: no such device",
        cure: "plug the camera in, or choose another device: `fanlight cameras` lists them",
        elapsed: Duration::from_secs(72),
    };

    fn drawn(size: Size, message: &Message<'_>) -> I420 {
        let mut picture = I420::new(size);
        draw(&mut picture, message);
        picture
    }

    /// Rows of luma that hold anything.
    fn rows(picture: &I420) -> Vec<usize> {
        let width = picture.size().width as usize;
        let rows = picture.y.chunks_exact(width).enumerate();
        let written = rows.filter(|(_, row)| row.iter().any(|&y| y > GROUND));
        written.map(|(row, _)| row).collect()
    }

    #[test]
    fn every_size_holds_a_slate_within_its_margins() {
        for (width, height) in [
            (16, 16),
            (32, 180),
            (160, 120),
            (320, 180),
            (640, 480),
            (720, 1280),
            (1280, 720),
            (1920, 1080),
            (3840, 2160),
        ] {
            let size = Size::new(width, height);
            let picture = drawn(size, &MESSAGE);
            assert_eq!(picture.y.len(), size.pixels(), "{size}");
            if width >= 160 {
                let rows = rows(&picture);
                let margin = (height / 12).min(width / 20) as usize;
                assert!(rows[0] >= margin, "{size}: from row {}", rows[0]);
                let last = rows.last().unwrap();
                assert!(*last < height as usize - margin, "{size}: to row {last}");
                let bright = picture.y.iter().filter(|&&y| y > 200).count();
                assert!(bright * 500 > size.pixels(), "{size}: {bright} bright");
                assert!(bright * 5 < size.pixels(), "{size}: {bright} bright");
            }
        }
    }

    #[test]
    fn all_that_is_said_is_seen_from_the_usual_sizes_on() {
        for size in [(320, 180), (640, 360), (1280, 720), (1920, 1080)] {
            let size = Size::new(size.0, size.1);
            let whole = drawn(size, &MESSAGE);
            let others = [
                Message {
                    name: "gate",
                    ..MESSAGE
                },
                Message {
                    title: "The camera is gone",
                    ..MESSAGE
                },
                Message {
                    detail: "/dev/video1: no such device",
                    ..MESSAGE
                },
                Message {
                    cure: "plug the camera in",
                    ..MESSAGE
                },
                Message {
                    elapsed: Duration::from_secs(73),
                    ..MESSAGE
                },
            ];
            for other in others {
                assert!(drawn(size, &other) != whole, "{size}: {other:?}");
            }
        }
    }

    #[test]
    fn a_small_picture_keeps_the_title() {
        let size = Size::new(160, 90);
        let long = Message {
            cure: &"very long ".repeat(40),
            ..MESSAGE
        };
        let title = |title| {
            drawn(
                size,
                &Message {
                    title,
                    ..long.clone()
                },
            )
        };
        assert!(title("The camera is not connected") != title("The camera is gone"));
    }

    #[test]
    fn nothing_of_an_earlier_slate_is_left() {
        let size = Size::new(320, 180);
        let mut picture = drawn(
            size,
            &Message {
                title: &"W".repeat(60),
                ..MESSAGE
            },
        );
        draw(&mut picture, &MESSAGE);
        assert!(picture == drawn(size, &MESSAGE));
    }

    #[test]
    fn times_are_spoken_in_their_two_largest_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn words_of_the_log_become_sentences() {
        assert_eq!(sentence("plug it in; `ls`"), "Plug it in; \"ls\".");
        assert_eq!(sentence("gone!"), "Gone!");
        assert_eq!(sentence("gone, it is"), "Gone, it is.");
        for name in [
            "usb:046d:082d: no such camera",
            "name:HD Cam: gone",
            "/dev/video0",
        ] {
            assert_eq!(sentence(name), format!("{name}."), "names stay as they are");
        }
        assert_eq!(sentence(""), "");
    }
}
