//! Flaws of the pictures that arrive: frozen, black, covered.
//!
//! Pure: pictures and the time go in. A few pictures are looked at, [`INTERVAL`] apart, which costs a thousandth of a
//! core at the most (`cargo bench --bench pictures`), so the thread that has the picture does it.
//!
//! - **Frozen**: the rows that are looked at are the same byte for byte for [`FROZEN`]. A sensor has noise: no two of its
//!   pictures are alike, by day or by night. What can be alike is a scene that the camera itself makes flat: see below.
//! - **Black**: next to no pixel is brighter than [`DARK`]. One lamp in the distance is enough for a picture not to be
//!   black. A camera in full darkness that turns its gain up shows noise, which is not black but has no structure.
//! - **Covered**: no structure, that is hardly two neighbouring cells of a coarse grid that differ by [`STEP`]. The mean of a
//!   cell has next to none of the noise, and the slow gradients of something that lies on the lens are no steps. Thick
//!   fog, a wall or a sky without anything else look the same: this check can't tell them from a hand.
//!
//! Black is told before frozen, since a camera may well deliver the same black again and again, and frozen before covered.

use crate::media::I420;
use std::time::{Duration, Instant};

/// Time from one picture that is looked at to the next. Not a second: a clip that repeats each second is not frozen.
pub const INTERVAL: Duration = Duration::from_millis(730);

/// The time for which a picture has to stand still.
pub const FROZEN: Duration = Duration::from_secs(10);

/// The time for which it has to be black or covered.
pub const BLANK: Duration = Duration::from_secs(5);

/// The time for which it has to be neither, or something else, before that is believed.
pub const CLEAR: Duration = Duration::from_secs(2);

/// The brightest luma that is dark, in limited range: black is 16. Sensors without light stay below.
pub const DARK: u8 = 32;

/// The number of points in a thousand that may be brighter in a black picture: broken pixels.
pub const BRIGHT_PERMILLE: usize = 2;

/// The least difference of two neighbouring cells that is structure, in steps of luma: four times what noise with a
/// standard deviation of 10, a bad camera's in the dark, makes of the means of 64 points.
pub const STEP: u32 = 8;

/// Of a hundred pairs of neighbours, how many may differ by that in a picture without structure: a fold, a fingertip's edge.
pub const STEPS_PERCENT: usize = 1;

/// Cells across and down.
const CELLS: (usize, usize) = (16, 9);

/// Points that are looked at in each cell, across and down.
const POINTS: usize = 8;

/// A flaw of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// It is always the same.
    Frozen,
    /// There is no light in it.
    Black,
    /// There is nothing to see in it.
    Covered,
}

impl Flaw {
    /// Every flaw.
    pub const ALL: [Self; 3] = [Self::Frozen, Self::Black, Self::Covered];

    /// A word for status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::Covered => "covered",
        }
    }

    /// A sentence about the probable cause.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Frozen => "the camera sends the same picture again and again",
            Self::Black => "the picture is black: there is no light, or the lens is closed",
            Self::Covered => {
                "there is nothing to see: something is in front of the lens, or fog, or a bare wall"
            }
        }
    }

    /// How long it has to be there before it is told.
    const fn patience(self) -> Duration {
        match self {
            Self::Frozen => FROZEN,
            Self::Black | Self::Covered => BLANK,
        }
    }
}

/// The measurements of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// A fingerprint of the rows that were looked at.
    pub fingerprint: u64,
    /// Next to nothing is brighter than [`DARK`].
    pub is_black: bool,
    /// Hardly two neighbouring cells differ by [`STEP`].
    pub is_blank: bool,
}

impl Look {
    /// Looks at 72 rows of a picture. One that is smaller than 128x72 has too few to say more than whether it changes.
    pub fn at(picture: &I420) -> Self {
        let size = picture.size();
        let (width, height) = (size.width as usize, size.height as usize);
        let rows = CELLS.1 * POINTS;
        let columns = CELLS.0 * POINTS;
        // None of a picture without rows.
        let row = |index: usize| {
            let at = index * height / rows * width;
            picture.y.get(at..at + width).unwrap_or_default()
        };
        let fingerprint = (0..rows).fold(0, |hash, index| fold(hash, row(index)));
        if width < columns || height < rows {
            return Self {
                fingerprint,
                is_black: false,
                is_blank: false,
            };
        }
        let mut bright = 0;
        let mut cells = [[0_u32; CELLS.0]; CELLS.1];
        for index in 0..rows {
            let row = row(index);
            for column in 0..columns {
                let sample = row[column * width / columns];
                bright += usize::from(sample > DARK);
                cells[index / POINTS][column / POINTS] += u32::from(sample);
            }
        }
        Self {
            fingerprint,
            is_black: bright * 1000 <= BRIGHT_PERMILLE * rows * columns,
            is_blank: is_blank(&cells),
        }
    }

    fn has(&self, flaw: Flaw, stands_still: bool) -> bool {
        match flaw {
            Flaw::Frozen => stands_still && !self.is_black,
            Flaw::Black => self.is_black,
            Flaw::Covered => self.is_blank && !self.is_black,
        }
    }
}

/// Whether hardly two neighbours differ. `cells` are sums over the points of each.
fn is_blank(cells: &[[u32; CELLS.0]; CELLS.1]) -> bool {
    const LEAST: u32 = STEP * (POINTS * POINTS) as u32;
    let across = cells
        .iter()
        .flat_map(|row| row.windows(2).map(|pair| [pair[0], pair[1]]));
    let down = cells.windows(2).flat_map(|pair| {
        let pairs = pair[0].iter().zip(&pair[1]);
        pairs.map(|(upper, lower)| [*upper, *lower])
    });
    let (mut pairs, mut steps) = (0, 0);
    for [one, other] in across.chain(down) {
        pairs += 1;
        steps += usize::from(one.abs_diff(other) >= LEAST);
    }
    steps * 100 <= STEPS_PERCENT * pairs
}

/// Adds a row to a fingerprint. Four sums side by side, so that one need not wait for the other's product.
fn fold(hash: u64, row: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = row.as_chunks::<8>();
    let (lots, odd) = words.as_chunks::<4>();
    let mut sums = [hash, hash ^ 1, hash ^ 2, hash ^ 3];
    for lot in lots {
        for (sum, word) in sums.iter_mut().zip(lot) {
            *sum = (*sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
        }
    }
    let odd = odd.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|&byte| u64::from(byte));
    let all = sums.into_iter().chain(odd).chain(rest);
    all.fold(hash, |hash, word| {
        (hash.rotate_left(29) ^ word).wrapping_mul(PRIME)
    })
}

/// Follows a stream's pictures.
#[derive(Debug, Default)]
pub struct Checks {
    last_look: Option<(Instant, u64)>,
    /// The time since which each flaw is there, without a picture that lacked it.
    since: [Option<Instant>; Flaw::ALL.len()],
    /// The flaw that is told now.
    told: Option<Flaw>,
    /// The time since which the told flaw has been absent.
    cleared: Option<Instant>,
}

impl Checks {
    /// Whether a picture is to be looked at now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.last_look
            .is_none_or(|(at, _)| now.saturating_duration_since(at) >= INTERVAL)
    }

    /// Takes a look at a picture into account. Returns the current flaw of the pictures, if any.
    pub fn add(&mut self, look: &Look, now: Instant) -> Option<Flaw> {
        let last = self.last_look.replace((now, look.fingerprint));
        let before = last.map_or(now, |(at, _)| at);
        let stands_still = last.is_some_and(|(_, fingerprint)| fingerprint == look.fingerprint);
        for (flaw, since) in Flaw::ALL.into_iter().zip(&mut self.since) {
            *since = match (look.has(flaw, stands_still), *since) {
                (false, _) => None,
                (true, Some(since)) => Some(since),
                // It stands still since the picture before.
                (true, None) if flaw == Flaw::Frozen => Some(before),
                (true, None) => Some(now),
            };
        }
        let lasts = |flaw: Flaw| {
            let since = self.since[flaw as usize];
            since.is_some_and(|since| now.saturating_duration_since(since) >= flaw.patience())
        };
        let found = [Flaw::Black, Flaw::Frozen, Flaw::Covered]
            .into_iter()
            .find(|flaw| lasts(*flaw));
        match (self.told, found) {
            (told, found) if told == found => self.cleared = None,
            // The first flaw has lasted long enough.
            (None, _) => self.told = found,
            // A flaw is told until the pictures have been otherwise for a time.
            (Some(_), _) => {
                let cleared = *self.cleared.get_or_insert(now);
                if now.saturating_duration_since(cleared) >= CLEAR {
                    self.told = found;
                    self.cleared = None;
                }
            }
        }
        self.told
    }
}

#[cfg(test)]
mod tests;
