//! Decoding what arrives, and checking the counter that fanlight's test pattern draws into each frame.

use fanlight::capture::pattern::read_counter;
use fanlight::media::{I420, Size};
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use serde::Serialize;
use std::ops::Add;

/// What the decoded frames showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// Frames decoded since the first keyframe.
    pub decoded: u64,
    /// Frames that the decoder refused, or made no picture of.
    pub undecodable: u64,
    /// Pictures without a counter: not the test pattern, or damaged.
    pub unreadable: u64,
    /// Counters that were not higher than the one before: stale, doubled or out of order.
    pub not_increasing: u64,
    /// Places where counters were left out, and how many were.
    pub gaps: u64,
    pub missing: u64,
}

impl Checks {
    /// True if the server did nothing wrong. Gaps may be frames that it skipped before they were encoded.
    pub const fn is_clean(&self) -> bool {
        self.undecodable == 0 && self.unreadable == 0 && self.not_increasing == 0
    }

    /// Takes in a picture's counter.
    fn counter(&mut self, counter: Option<u32>, last: &mut Option<u32>) {
        self.decoded += 1;
        let Some(counter) = counter else {
            self.unreadable += 1;
            return;
        };
        if let Some(last) = *last {
            match counter.wrapping_sub(last).cast_signed() {
                ..=0 => {
                    self.not_increasing += 1;
                    return;
                }
                1 => {}
                step => {
                    self.gaps += 1;
                    self.missing += u64::from(step.unsigned_abs()) - 1;
                }
            }
        }
        *last = Some(counter);
    }
}

impl Add for Checks {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            decoded: self.decoded + other.decoded,
            undecodable: self.undecodable + other.undecodable,
            unreadable: self.unreadable + other.unreadable,
            not_increasing: self.not_increasing + other.not_increasing,
            gaps: self.gaps + other.gaps,
            missing: self.missing + other.missing,
        }
    }
}

/// Decodes one viewer's frames.
pub struct Verifier {
    decoder: Decoder,
    last: Option<u32>,
    checks: Checks,
}

impl Verifier {
    pub fn new() -> Result<Self, openh264::Error> {
        Ok(Self {
            decoder: Decoder::new()?,
            last: None,
            checks: Checks::default(),
        })
    }

    /// Decodes a frame (Annex B) and returns whether it became a picture.
    pub fn frame(&mut self, unit: &[u8]) -> bool {
        match self.decoder.decode(unit) {
            Ok(Some(picture)) => {
                let counter = read_counter(&copy(&picture));
                self.checks.counter(counter, &mut self.last);
                true
            }
            // Before the first keyframe there is nothing to decode from.
            Ok(None) | Err(_) => {
                self.checks.undecodable += u64::from(self.checks.decoded > 0);
                false
            }
        }
    }

    pub const fn checks(&self) -> Checks {
        self.checks
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_that_stand_or_go_back_are_faults_and_gaps_are_counted() {
        let mut checks = Checks::default();
        let mut last = None;
        for counter in [5, 6, 6, 4, 7, 10, 12] {
            checks.counter(Some(counter), &mut last);
        }
        checks.counter(None, &mut last);
        let expected = Checks {
            decoded: 8,
            undecodable: 0,
            unreadable: 1,
            not_increasing: 2,
            gaps: 2,
            missing: 3,
        };
        assert_eq!(checks, expected);
        assert!(!checks.is_clean());
    }
}
