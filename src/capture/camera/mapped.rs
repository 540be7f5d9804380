//! The backend on the `v4l` crate: frames are lent straight from the buffers that the driver fills.
//!
//! The crate's stream is safe to use, and has its ways: it gives the buffer at hand back before it fetches the next, it
//! panics when a device refuses to stop, and after a time-out of its own it can't go on. So waiting is done here.

use super::device::Setup;
use super::encoder::{self, Wishes};
use super::errors::{catch_panic, from_io};
use super::{Node, PATIENCE, age};
use crate::capture::{CaptureError, ErrorKind, Granted, Source};
use crate::media::{PixelFormat, RawFrame};
use nix::time::{ClockId, clock_gettime};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};
use v4l::buffer::{Flags, Metadata, Type};
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};

/// Buffers that the driver may fill. One is converted, one waits, and one is filled; one more for uneven times.
const BUFFERS: u32 = 4;

/// How long the first frame may take: less than the limit of the stream, so that the driver's words come first.
const FIRST_FRAME: Duration = Duration::from_secs(8);

/// A camera that is capturing.
struct Mapped {
    node: Node,
    granted: Granted,
    stride: usize,
    /// Empty only while it is dropped.
    stream: Option<Stream<'static>>,
    /// The frame that came while the capture was started: a copy, for the stream would give its buffer back.
    first: Vec<u8>,
    /// Of `first`, until it was lent.
    first_data: Option<Metadata>,
    /// The driver's number of the last frame.
    sequence: Option<u32>,
    /// Keyframes can be asked for.
    makes_keyframes: bool,
    clock: Clock,
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
    let fail = |error: &io::Error| match error.kind() {
        io::ErrorKind::TimedOut => {
            let (path, limit) = (node.path.display(), FIRST_FRAME.as_secs());
            CaptureError::new(
                ErrorKind::Stalled,
                format!("{path}: no first frame for {limit} s"),
            )
        }
        _ => from_io(&node.path, "starting the capture", error),
    };
    let stream = catch_panic(&node.path, || {
        Stream::with_buffers(&node.device, Type::VideoCapture, BUFFERS)
    })?;
    let mut stream = stream.map_err(|error| fail(&error))?;
    stream.set_timeout(FIRST_FRAME);
    let first = stream.next();
    let first = first.map(|(data, about)| (data.to_vec(), *about));
    let first = first.map_err(|error| fail(&error));
    stream.set_timeout(PATIENCE);
    // Closes the device with care, also after a failure.
    let mut source = Mapped {
        granted,
        stride: setup.stride,
        stream: Some(stream),
        first: Vec::new(),
        first_data: None,
        sequence: None,
        makes_keyframes,
        clock: Clock::now(),
        node,
    };
    let (data, about) = first?;
    source.first = data;
    source.first_data = Some(about);
    Ok(Box::new(source))
}

impl Source for Mapped {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        let Self {
            node,
            granted,
            stride,
            stream,
            first,
            first_data,
            sequence,
            clock,
            ..
        } = self;
        let (data, about) = if let Some(about) = first_data.take() {
            (&first[..], about)
        } else {
            *first = Vec::new();
            if node.stalls(PATIENCE)? {
                return Ok(None);
            }
            let lost = |error: &dyn std::fmt::Display| {
                let detail = format!("{}: {error}", node.path.display());
                CaptureError::new(ErrorKind::Lost, detail)
            };
            let stream = stream.as_mut().ok_or_else(|| lost(&"closed"))?;
            let (data, about) = stream.next().map_err(|error| lost(&error))?;
            (data, *about)
        };
        let lost = lost_before(&about, sequence.replace(about.sequence));
        let data = filled(data, &about).map_err(|what| {
            let detail = format!("{}: {what}", node.path.display());
            CaptureError::new(ErrorKind::BadFrame, detail)
        })?;
        Ok(Some(RawFrame {
            data,
            format: granted.format,
            size: granted.size,
            stride: *stride,
            captured_at: clock.captured_at(&about, Instant::now()),
            lost,
            is_late: !node.stalls(Duration::ZERO)?,
        }))
    }

    fn ask_for_keyframe(&mut self) -> bool {
        self.makes_keyframes && encoder::force_keyframe(&self.node.device)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        // The stream panics when it is dropped and stopping fails; a signal must not be the reason.
        let mut stop = || {
            let stopped = stream.stop();
            stopped.is_err_and(|error| error.kind() == io::ErrorKind::Interrupted)
        };
        let _ = (0..10).any(|_| !stop());
        let _ = catch_panic(Path::new(""), || drop(stream));
    }
}

/// What the driver filled of a buffer, or why it is no use.
fn filled<'a>(buffer: &'a [u8], about: &Metadata) -> Result<&'a [u8], &'static str> {
    if about.flags.contains(Flags::ERROR) {
        return Err("a frame that the driver says is damaged");
    }
    match buffer.get(..about.bytesused as usize) {
        None => Err("a frame that is longer than its buffer"),
        Some([]) => Err("an empty frame"),
        Some(data) => Ok(data),
    }
}

/// Frames between two, by the driver's count. A count that goes back was begun anew.
fn lost_before(about: &Metadata, previous: Option<u32>) -> u32 {
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
struct Clock {
    at: Instant,
    monotonic: Duration,
}

impl Clock {
    fn now() -> Self {
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        Self {
            at: Instant::now(),
            monotonic: monotonic.unwrap_or_default(),
        }
    }

    /// When a frame was captured that is there now: by the driver's stamp, if it is of this clock.
    fn captured_at(&self, about: &Metadata, now: Instant) -> Instant {
        if !about.flags.contains(Flags::TIMESTAMP_MONOTONIC) {
            return now;
        }
        let seconds = u64::try_from(about.timestamp.sec).unwrap_or_default();
        let micros = u64::try_from(about.timestamp.usec).unwrap_or_default();
        let stamp = Duration::from_secs(seconds).checked_add(Duration::from_micros(micros));
        let monotonic = self.monotonic + now.saturating_duration_since(self.at);
        // Never before the machine's start, for the frame can't be older.
        now.checked_sub(age(monotonic, stamp)).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::timestamp::Timestamp;

    fn about(bytesused: u32, flags: Flags, sequence: u32) -> Metadata {
        Metadata {
            bytesused,
            flags,
            sequence,
            ..Metadata::default()
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
        let clock = Clock {
            at: Instant::now(),
            monotonic: Duration::from_secs(1000),
        };
        let mut about = about(0, Flags::TIMESTAMP_MONOTONIC, 0);
        about.timestamp = Timestamp::new(1003, 250_000);
        let expected = clock.at + Duration::from_millis(3250);
        for looked in [3250, 3260, 3900].map(Duration::from_millis) {
            assert_eq!(clock.captured_at(&about, clock.at + looked), expected);
        }
        let now = clock.at + Duration::from_secs(3);
        assert_eq!(clock.captured_at(&about, now), now, "from the future");
        about.flags = Flags::TIMESTAMP_COPY;
        let now = clock.at + Duration::from_secs(4);
        assert_eq!(clock.captured_at(&about, now), now, "of another clock");
    }
}
