//! `clock` in the state directory: the latest time that the clock has shown, for the next start.

use super::judge::{Latest, Now};
use crate::base::state_dir::StateDir;

/// The file: seconds since 1970, UTC, as a decimal number.
const FILE: &str = "clock";
/// Seconds after which the time is written again; flash memory wears out.
const WRITE_AFTER: u64 = 3600;
/// The same when something was seen to expire, which is not to be good again after a power cut.
const WRITE_EXPIRY_AFTER: u64 = 60;

/// The latest time, and when it was written.
#[derive(Debug)]
pub(super) struct Clock {
    latest: Latest,
    /// What the file says, in seconds since 1970.
    written: u64,
    /// Something was seen to expire since.
    has_expired: bool,
}

impl Clock {
    /// As the directory has it. A file that is no use is as none.
    pub fn read(state: Option<&StateDir>) -> Self {
        let parse = |file: &[u8]| {
            let text = std::str::from_utf8(file).map_err(|error| error.to_string())?;
            text.trim()
                .parse()
                .map_err(|_| "the file does not hold a time".to_owned())
        };
        let found = state.map_or(Ok(None), |state| state.find(FILE, parse));
        let written = found.unwrap_or_else(|error| {
            tracing::warn!("expiry depends on the system clock alone: {error}");
            None
        });
        let written = written.unwrap_or_default();
        Self {
            latest: Latest::new(written),
            written,
            has_expired: false,
        }
    }

    /// The time to judge by.
    pub fn judge_by(&mut self, now: Now) -> Now {
        Now {
            unix: self.latest.judge_by(now),
            ..now
        }
    }

    /// Something has expired.
    pub const fn expired(&mut self) {
        self.has_expired = true;
    }

    /// The time to write now, if that is due.
    pub fn due(&mut self, now: Now) -> Option<u64> {
        let time = self.latest.judge_by(now);
        let patience = if self.has_expired {
            WRITE_EXPIRY_AFTER
        } else {
            WRITE_AFTER
        };
        (time.abs_diff(self.written) >= patience).then_some(time)
    }

    /// The time was written.
    pub const fn wrote(&mut self, time: u64) {
        (self.written, self.has_expired) = (time, false);
    }
}

/// Writes the time.
///
/// # Errors
/// The reason, with its cure.
pub(super) fn write(state: &StateDir, time: u64) -> Result<(), String> {
    let written = state.write(FILE, format!("{time}\n").as_bytes());
    written.map_err(|error| error.to_string())
}
