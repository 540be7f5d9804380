//! The backend of our own: frames are lent straight from the buffers that the driver fills.

use super::device::Setup;
use super::encoder::{self, Wishes};
use super::errors::{Step, from_io};
use super::v4l2::{About, Buffers};
use super::{Node, PATIENCE, age};
use crate::capture::{CaptureError, ErrorKind, Granted, Source};
use crate::media::{PixelFormat, RawFrame};
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};
use v4l::buffer::Flags;

/// Buffers that the driver may fill. One is converted, one waits, and one is filled; one more for uneven times.
const BUFFERS: u32 = 4;

/// How long the first frame may take: less than the limit of the stream, so that the driver's words come first.
const FIRST_FRAME: Duration = Duration::from_secs(8);

/// The pause after a frame that the driver announced and did not have: shorter than a frame lasts.
const PAUSE: Duration = Duration::from_millis(5);
/// The number of such frames in a row that makes the driver the culprit: a second of pauses.
const MOST_VAIN: u32 = 200;

/// A camera that is capturing.
struct Mapped {
    node: Node,
    granted: Granted,
    stride: usize,
    full_range: bool,
    buffers: Buffers,
    /// Frames in a row that the driver told of, and that were not there.
    vain: u32,
    /// The frame that came while the capture was started is not lent yet.
    is_first: bool,
    /// The driver's number of the last frame.
    sequence: Option<u32>,
    /// Keyframes can be asked for.
    makes_keyframes: bool,
    clock: DriverClock,
}

/// Starts the capture on a node that is set up. Returns with the first frame in hand: only then the driver has found room
/// on the USB bus.
///
/// # Errors
/// Those of starting; `Stalled` if no frame comes in eight seconds.
pub(super) fn start(
    node: Node,
    granted: Granted,
    setup: Setup,
    wishes: Option<&Wishes>,
) -> Result<Box<dyn Source>, CaptureError> {
    let makes_keyframes = granted.format == PixelFormat::H264
        && encoder::set_up(&node.path, &node.device, wishes, granted.rate);
    let fail = |error: std::io::Error| from_io(&node.path, Step::Starting, &error);
    let mut buffers =
        Buffers::start(node.device.clone(), node.interface(), BUFFERS).map_err(fail)?;
    let begin = Instant::now();
    let mut vain = 0;
    loop {
        let limit = FIRST_FRAME.saturating_sub(begin.elapsed());
        if limit.is_zero() || node.stalls(limit)? {
            let (path, limit) = (node.path.display(), FIRST_FRAME.as_secs());
            let detail = format!("{path}: no first frame for {limit} s");
            return Err(CaptureError::new(ErrorKind::Stalled, detail));
        }
        if buffers.take().map_err(fail)? {
            break;
        }
        pause_in_vain(&node, &mut vain)?;
    }
    Ok(Box::new(Mapped {
        granted,
        stride: setup.stride,
        full_range: setup.full_range,
        buffers,
        vain: 0,
        is_first: true,
        sequence: None,
        makes_keyframes,
        clock: DriverClock::now(),
        node,
    }))
}

impl Mapped {
    /// Waits for the next buffer, and takes it. Whether there is one.
    fn advance(&mut self) -> Result<bool, CaptureError> {
        if std::mem::take(&mut self.is_first) {
            return Ok(true);
        }
        let lost = |error| {
            let detail = format!("{}: {error}", self.node.path.display());
            CaptureError::new(ErrorKind::Lost, detail)
        };
        // The driver can fill it while the next one is waited for.
        self.buffers.give_back().map_err(lost)?;
        if self.node.stalls(PATIENCE)? {
            return Ok(false);
        }
        let is_there = self.buffers.take().map_err(lost)?;
        if is_there {
            self.vain = 0;
        } else {
            pause_in_vain(&self.node, &mut self.vain)?;
        }
        Ok(is_there)
    }
}

/// Pauses after a frame that the driver announced and did not have. Without the pause, a driver that repeats this takes a whole
/// processor. After [`MOST_VAIN`] such frames in a row the camera counts as stalled.
fn pause_in_vain(node: &Node, vain: &mut u32) -> Result<(), CaptureError> {
    *vain += 1;
    if *vain >= MOST_VAIN {
        let path = node.path.display();
        let detail = format!("{path}: the driver tells of frames, and has none");
        return Err(CaptureError::new(ErrorKind::Stalled, detail));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver's own sign of a frame is wrong, so nothing else can be waited for; the pause is shorter than a frame"
    )]
    std::thread::sleep(PAUSE);
    Ok(())
}

impl Source for Mapped {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        if !self.advance()? {
            return Ok(None);
        }
        let Some((buffer, about)) = self.buffers.held() else {
            return Ok(None);
        };
        let lost = lost_before(&about, self.sequence.replace(about.sequence));
        let data = filled(buffer, &about).map_err(|what| {
            let detail = format!("{}: {what}", self.node.path.display());
            CaptureError::new(ErrorKind::BadFrame, detail)
        })?;
        Ok(Some(RawFrame {
            data,
            format: self.granted.format,
            size: self.granted.size,
            stride: self.stride,
            captured_at: self.clock.captured_at(&about, Instant::now()),
            lost,
            is_late: !self.node.stalls(Duration::ZERO)?,
            full_range: self.full_range,
        }))
    }

    fn ask_for_keyframe(&mut self) -> bool {
        self.makes_keyframes && encoder::force_keyframe(&self.node.device)
    }
}

/// The part of a buffer that the driver filled, or the reason for which it is unusable.
fn filled<'a>(buffer: &'a [u8], about: &About) -> Result<&'a [u8], &'static str> {
    if has(about, Flags::ERROR) {
        return Err("a frame that the driver says is damaged");
    }
    if about.end > buffer.len() {
        return Err("a frame that is longer than its buffer");
    }
    match buffer.get(about.offset..about.end) {
        None | Some([]) => Err("an empty frame"),
        Some(data) => Ok(data),
    }
}

fn has(about: &About, flag: Flags) -> bool {
    Flags::from(about.flags).contains(flag)
}

/// Frames between two, by the driver's count. A count that goes back was begun anew.
fn lost_before(about: &About, previous: Option<u32>) -> u32 {
    let Some(previous) = previous else {
        return 0;
    };
    let step = about.sequence.wrapping_sub(previous);
    if (1..1 << 31).contains(&step) {
        step - 1
    } else {
        0
    }
}

/// The driver's clock and [`Instant`]'s, read at one moment. Both go on alike; reading them anew for each frame would make
/// its time as uneven as the scheduler is.
struct DriverClock {
    at: Instant,
    monotonic: Duration,
}

impl DriverClock {
    fn now() -> Self {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        Self {
            at: Instant::now(),
            monotonic: monotonic.unwrap_or_default(),
        }
    }

    /// When a frame was captured that is there now: by the driver's stamp, if it is of this clock.
    fn captured_at(&self, about: &About, now: Instant) -> Instant {
        if !has(about, Flags::TIMESTAMP_MONOTONIC) {
            return now;
        }
        let monotonic = self.monotonic + now.saturating_duration_since(self.at);
        // Never before the machine's start, for the frame can't be older.
        now.checked_sub(age(monotonic, Some(about.stamp)))
            .unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(end: usize, flags: Flags, sequence: u32) -> About {
        About {
            end,
            flags: flags.bits(),
            sequence,
            ..About::default()
        }
    }

    #[test]
    fn only_what_the_driver_filled_and_vouches_for_is_lent() {
        let buffer = [1, 2, 3, 4];
        let filled = |bytes, flags| filled(&buffer, &about(bytes, flags, 0));
        let plain = Flags::TIMESTAMP_MONOTONIC;
        assert_eq!(filled(3, plain), Ok(&buffer[..3]));
        assert!(filled(0, plain).is_err());
        assert!(filled(5, plain).is_err());
        assert!(filled(4, plain | Flags::ERROR).is_err());
        let of_plane = |offset| {
            let about = About {
                offset,
                ..about(3, plain, 0)
            };
            super::filled(&buffer, &about).map(<[u8]>::to_vec)
        };
        assert_eq!(of_plane(1), Ok(vec![2, 3]));
        assert!(of_plane(3).is_err() && of_plane(9).is_err());
    }

    #[test]
    fn gaps_in_the_drivers_count_are_lost_frames() {
        let lost = |previous, now| lost_before(&about(0, Flags::empty(), now), previous);
        assert_eq!(lost(None, 7), 0);
        assert_eq!(lost(Some(7), 8), 0);
        assert_eq!(lost(Some(7), 10), 2);
        assert_eq!(lost(Some(u32::MAX), 1), 1);
        assert_eq!(lost(Some(7), 7), 0);
        assert_eq!(lost(Some(7), 0), 0, "begun anew");
    }

    #[test]
    fn a_monotonic_stamp_is_the_time_of_capture_whenever_it_is_looked_at() {
        let clock = DriverClock {
            at: Instant::now(),
            monotonic: Duration::from_secs(1000),
        };
        let mut about = about(0, Flags::TIMESTAMP_MONOTONIC, 0);
        about.stamp = Duration::from_millis(1_003_250);
        let expected = clock.at + Duration::from_millis(3250);
        for looked in [3250, 3260, 3900].map(Duration::from_millis) {
            assert_eq!(clock.captured_at(&about, clock.at + looked), expected);
        }
        let now = clock.at + Duration::from_secs(3);
        assert_eq!(clock.captured_at(&about, now), now, "from the future");
        about.flags = Flags::TIMESTAMP_COPY.bits();
        let now = clock.at + Duration::from_secs(4);
        assert_eq!(clock.captured_at(&about, now), now, "of another clock");
    }
}
