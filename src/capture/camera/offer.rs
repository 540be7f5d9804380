//! The offer of a camera: formats, their sizes, the rates of each size. Plain values.

use crate::media::{FrameRate, PixelFormat, Size};

/// One pixel format of a camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// V4L2's code, such as `YUYV` or `MJPG`.
    pub code: [u8; 4],
    /// The driver's name for it.
    pub description: String,
    /// In the driver's order.
    pub sizes: Vec<SizeOffer>,
}

impl Offer {
    /// The format of this code; `None` if frames of this format can't be captured.
    pub fn format(&self) -> Option<PixelFormat> {
        PixelFormat::of_code(self.code)
    }

    /// The code as the kernel prints it: the highest bit stands for "big endian".
    pub fn fourcc(&self) -> String {
        let mut code = self.code;
        let big_endian = code[3] & 0x80 != 0;
        code[3] &= 0x7f;
        let name = String::from_utf8_lossy(&code);
        name.trim_end().to_owned() + if big_endian { "-BE" } else { "" }
    }
}

/// A size, or a range of sizes, with its rates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeOffer {
    /// In pixels.
    pub sizes: Sizes,
    /// Those of the largest size if they were not asked for another one.
    pub rates: Rates,
}

/// The sizes that a camera scales to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// This one.
    One(Size),
    /// All that lie on a grid.
    Range {
        /// The smallest.
        min: Size,
        /// The largest.
        max: Size,
        /// From one to the next, counted from the smallest.
        step: Size,
    },
}

impl Sizes {
    /// The nearest size to `wanted`, side by side.
    pub fn nearest(self, wanted: Size) -> Size {
        match self {
            Self::One(size) => size,
            Self::Range { min, max, step } => {
                let side = |wanted: u32, min: u32, max: u32, step: u32| {
                    let step = step.max(1);
                    let span = max.saturating_sub(min);
                    let distance = wanted.saturating_sub(min).min(span);
                    // Rounded up, the last step may lead out of the range.
                    min + (distance.saturating_add(step / 2) / step).min(span / step) * step
                };
                Size::new(
                    side(wanted.width, min.width, max.width, step.width),
                    side(wanted.height, min.height, max.height, step.height),
                )
            }
        }
    }

    /// The largest size.
    pub fn largest(self) -> Size {
        self.nearest(Size::new(u32::MAX, u32::MAX))
    }
}

/// The rates of a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rates {
    /// These.
    List(Vec<FrameRate>),
    /// Any between the two, both included.
    Range {
        /// The lowest.
        slowest: FrameRate,
        /// The highest.
        fastest: FrameRate,
    },
}

impl Rates {
    /// The rates that come into question for `wanted`: all of a list, the nearest of a range. Of a camera that tells none,
    /// `wanted` itself: it will tell what it grants.
    pub fn near(&self, wanted: FrameRate) -> Vec<FrameRate> {
        match self {
            Self::List(rates) if rates.is_empty() => vec![wanted],
            Self::List(rates) => rates.clone(),
            Self::Range { slowest, .. } if wanted.as_f64() < slowest.as_f64() => vec![*slowest],
            Self::Range { fastest, .. } if wanted.as_f64() > fastest.as_f64() => vec![*fastest],
            Self::Range { .. } => vec![wanted],
        }
    }

    /// The same with whole rates only.
    pub fn whole(&self, wanted: FrameRate) -> Vec<FrameRate> {
        match self {
            Self::List(_) => {
                let mut rates = self.near(wanted);
                rates.retain(|rate| whole(*rate).is_some());
                rates
            }
            Self::Range { slowest, fastest } => {
                let lowest = slowest.as_f64().ceil().max(1.0);
                let highest = fastest.as_f64().floor();
                if highest < lowest {
                    return Vec::new();
                }
                // Rounded up: a rate that is a little too high shows every wanted frame.
                let rate = wanted.as_f64().ceil().clamp(lowest, highest);
                vec![FrameRate::whole(rate as u32)]
            }
        }
    }
}

/// The rate as a whole number of frames per second, if it is one.
pub fn whole(rate: FrameRate) -> Option<u32> {
    let divisor = rate.denominator;
    (divisor > 0 && rate.numerator > 0 && rate.numerator.is_multiple_of(divisor))
        .then(|| rate.numerator / divisor)
}

/// The rate of frames that are `numerator / denominator` seconds apart, in lowest terms; `None` if that is no time.
pub fn rate_of_interval(numerator: u32, denominator: u32) -> Option<FrameRate> {
    if numerator == 0 || denominator == 0 {
        return None;
    }
    let (mut divisor, mut rest) = (denominator, numerator);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    Some(FrameRate {
        numerator: denominator / divisor,
        denominator: numerator / divisor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: Sizes = Sizes::Range {
        min: Size::new(32, 32),
        max: Size::new(2592, 1944),
        step: Size::new(16, 2),
    };

    proptest! {
        #[test]
        fn the_nearest_size_of_a_range_is_on_its_grid(width: u32, height in 0_u32..4000) {
            let size = RANGE.nearest(Size::new(width, height));
            prop_assert!((32..=2592).contains(&size.width) && size.width.is_multiple_of(16));
            prop_assert!((32..=1944).contains(&size.height) && size.height.is_multiple_of(2));
            prop_assert!(size.height.abs_diff(height.clamp(32, 1944)) <= 1);
        }

        #[test]
        fn no_range_that_a_driver_may_report_breaks_it(sides: [u32; 6], width: u32, height: u32) {
            let [a, b, c, d, e, f] = sides;
            let range = Sizes::Range { min: Size::new(a, b), max: Size::new(c, d), step: Size::new(e, f) };
            let _ = range.nearest(Size::new(width, height));
        }
    }

    #[test]
    fn the_largest_size_of_a_range_lies_within_it() {
        assert_eq!(RANGE.largest(), Size::new(2592, 1944));
        let uneven = Sizes::Range {
            min: Size::new(0, 0),
            max: Size::new(100, 100),
            step: Size::new(64, 64),
        };
        assert_eq!(uneven.largest(), Size::new(64, 64));
    }

    #[test]
    fn codes_are_named_as_the_kernel_names_them() {
        let name = |code: &[u8; 4]| {
            let offer = Offer {
                code: *code,
                description: String::new(),
                sizes: Vec::new(),
            };
            offer.fourcc()
        };
        assert_eq!(name(b"YUYV"), "YUYV");
        assert_eq!(name(b"Y16 "), "Y16");
        assert_eq!(name(b"XR1\xb5"), "XR15-BE");
    }

    #[test]
    fn intervals_become_rates_in_lowest_terms() {
        let rate = |numerator, denominator| rate_of_interval(numerator, denominator).unwrap();
        assert_eq!(rate(1, 30), FrameRate::whole(30));
        assert_eq!(rate(1000, 30_000), FrameRate::whole(30));
        assert_eq!(rate(2, 25).to_string(), "12.5");
        assert_eq!(whole(rate(2, 25)), None);
        assert_eq!(whole(rate(1001, 30_000)), None);
        assert_eq!(rate_of_interval(0, 30), None);
        assert_eq!(rate_of_interval(1, 0), None);
    }

    #[test]
    fn whole_rates_alone_come_into_question_where_others_are_no_use() {
        let rates = |rates: &[f64]| {
            Rates::List(
                rates
                    .iter()
                    .filter_map(|&r| FrameRate::from_f64(r))
                    .collect(),
            )
        };
        let thirty = FrameRate::whole(30);
        assert_eq!(
            rates(&[5.0, 7.5, 29.97, 30.0]).whole(thirty),
            [5, 30].map(FrameRate::whole),
            "7.5 and 29.97 are not"
        );
        let range = |slowest, fastest| Rates::Range {
            slowest: FrameRate::from_f64(slowest).unwrap(),
            fastest: FrameRate::from_f64(fastest).unwrap(),
        };
        assert_eq!(range(1.0, 90.0).whole(thirty), [thirty]);
        assert_eq!(range(1.5, 20.5).whole(thirty), [FrameRate::whole(20)]);
        assert_eq!(range(40.2, 90.0).whole(thirty), [FrameRate::whole(41)]);
        assert!(range(7.1, 7.9).whole(thirty).is_empty());
    }

    #[test]
    fn of_a_range_the_very_rate_comes_into_question_or_its_nearest_end() {
        let rate = |fps| FrameRate::from_f64(fps).unwrap();
        let range = Rates::Range {
            slowest: rate(7.5),
            fastest: rate(60.0),
        };
        for (wanted, near) in [(29.97, 29.97), (5.0, 7.5), (90.0, 60.0)] {
            assert_eq!(range.near(rate(wanted)), [rate(near)]);
        }
        let unknown = Rates::List(Vec::new());
        assert_eq!(unknown.near(rate(12.5)), [rate(12.5)]);
    }
}
