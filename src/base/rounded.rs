//! Times in log lines, rounded for people.

use std::fmt;
use std::time::Duration;

/// A duration with two or three significant digits: `0.46s`, `43.7s`, `12m 05s`, `3h 12m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounded(pub Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0;
        // Rounded first: 59.96 s is a minute.
        let tenths = (time.as_millis() + 50) / 100;
        let seconds = (time.as_millis() + 500) / 1000;
        if time.as_millis() < 995 {
            write!(f, "{:.2}s", time.as_secs_f64())
        } else if tenths < 600 {
            write!(f, "{}.{}s", tenths / 10, tenths % 10)
        } else if seconds < 3600 {
            write!(f, "{}m {:02}s", seconds / 60, seconds % 60)
        } else {
            let minutes = (seconds + 30) / 60;
            write!(f, "{}h {:02}m", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_what_people_read() {
        for (nanos, text) in [
            (0, "0.00s"),
            (455_689_346, "0.46s"),
            (994_000_000, "0.99s"),
            (996_000_000, "1.0s"),
            (43_706_629_099, "43.7s"),
            (59_960_000_000, "1m 00s"),
            (725_400_000_000, "12m 05s"),
            (3_599_600_000_000, "1h 00m"),
            (11_520_000_000_000, "3h 12m"),
        ] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(Rounded(time).to_string(), text, "{time:?}");
        }
    }
}
