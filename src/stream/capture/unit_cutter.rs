//! A camera's H.264 on the capture thread: buffers become access units, none of which is lost on the way to the viewers.

use crate::capture::{CaptureError, ErrorKind};
use crate::codec::h264::{Unit, Units, Unusable};
use crate::media::{AccessUnit, ProfileLevelId, RawFrame};
use std::fmt::Display;
use std::time::{Duration, Instant};

/// Units that wait for the encode thread at the most, two seconds at 30 fps. When there are more, all are dropped, and what
/// follows up to the next keyframe.
pub const MAX_WAITING: usize = 64;

/// Without a keyframe for so long the camera's H.264 is unusable: nobody can begin to watch, and a viewer that lost a packet waits as
/// long. Cameras with a keyframe each ten seconds are let through.
const MAX_GROUP: Duration = Duration::from_secs(12);

/// The most that is asked of a camera: less than that, since it may come late.
pub const LONGEST_ASKED: Duration = Duration::from_secs(10);
const _: () = assert!(LONGEST_ASKED.as_secs() + 1 < MAX_GROUP.as_secs());

/// A unit to be handed on.
pub struct Passed {
    pub unit: AccessUnit,
    /// As its parameter sets say.
    pub profile: ProfileLevelId,
}

/// Makes units of buffers.
#[derive(Default)]
pub struct Passage {
    units: Units,
    /// When the last keyframe came, or the first buffer.
    keyframe: Option<Instant>,
}

impl Passage {
    /// Cuts a buffer. What is left out, up to a keyframe, is counted by [`take_left_out`](Self::take_left_out).
    ///
    /// # Errors
    /// `NotPassable` when the stream is of a kind that can't be passed through.
    pub fn cut(
        &mut self,
        now: Instant,
        device: &impl Display,
        frame: &RawFrame<'_>,
    ) -> Result<Vec<Passed>, CaptureError> {
        let not_passable = |unusable: Unusable| {
            let detail =
                format!("{device}: the camera's H.264 can't be passed through: {unusable}");
            CaptureError::new(ErrorKind::NotPassable, detail)
        };
        if frame.lost > 0 {
            self.units.lost();
        }
        let mut passed = Vec::new();
        let take = |unit: Unit| {
            passed.push(Passed {
                profile: unit.sequence.profile,
                unit: AccessUnit {
                    data: unit.data,
                    keyframe: unit.keyframe,
                    temporal_layer: 0,
                    captured_at: frame.captured_at,
                    encoded_at: now,
                },
            });
        };
        let cut = self.units.cut(now, frame.data, take);
        cut.map_err(not_passable)?;
        let since = *self.keyframe.get_or_insert(now);
        if passed.iter().any(|passed| passed.unit.keyframe) {
            self.keyframe = Some(now);
        } else if now.saturating_duration_since(since) > MAX_GROUP {
            return Err(not_passable(Unusable::NoKeyframe(MAX_GROUP.as_secs())));
        }
        Ok(passed)
    }

    /// Units or a buffer were lost: nothing is handed on up to the next keyframe.
    pub fn lost(&mut self) {
        self.units.lost();
    }

    /// Pictures that were left out since the last call.
    pub fn take_left_out(&mut self) -> u64 {
        self.units.take_left_out()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{PixelFormat, Size};

    /// Two groups of three pictures.
    const MAIN: &[u8] = include_bytes!("../../codec/h264/fixtures/main.h264");

    fn frame(data: &[u8], at: Instant) -> RawFrame<'_> {
        RawFrame {
            data,
            format: PixelFormat::H264,
            size: Size::new(320, 180),
            stride: 0,
            captured_at: at,
            lost: 0,
            is_late: false,
            full_range: false,
        }
    }

    fn cut(passage: &mut Passage, now: Instant, frame: RawFrame<'_>) -> Result<Vec<bool>, String> {
        let passed = passage.cut(now, &"cam", &frame);
        let keyframes = |passed: Vec<Passed>| passed.iter().map(|one| one.unit.keyframe).collect();
        passed.map(keyframes).map_err(|error| error.to_string())
    }

    #[test]
    fn a_buffer_that_the_source_lost_costs_all_up_to_the_next_keyframe() {
        let now = Instant::now();
        let mut passage = Passage::default();
        let whole = Ok(vec![true, false, false, true, false, false]);
        assert_eq!(cut(&mut passage, now, frame(MAIN, now)), whole);
        let after_first = MAIN
            .windows(4)
            .rposition(|at| at == [0, 0, 1, 0x65])
            .unwrap();
        let rest = &MAIN[after_first + 4..];
        let late = RawFrame {
            lost: 1,
            ..frame(rest, now)
        };
        assert_eq!(cut(&mut passage, now, late), Ok(vec![]));
        assert_eq!(passage.take_left_out(), 2);
        assert_eq!(cut(&mut passage, now, frame(MAIN, now)), whole);
    }

    #[test]
    fn a_camera_that_makes_no_keyframes_is_given_up_in_time() {
        let start = Instant::now();
        let mut passage = Passage::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut taken = |seconds, data| cut(&mut passage, at(seconds), frame(data, at(seconds)));
        // From the first buffer, and from the last keyframe.
        assert!(taken(0, &[]).is_ok() && taken(10, MAIN).is_ok() && taken(20, MAIN).is_ok());
        assert!(taken(32, &[]).is_ok());
        let told = taken(33, &[]).unwrap_err();
        assert_eq!(
            told,
            "cam: the camera's H.264 can't be passed through: it has no keyframe (IDR picture) within 12 s, so no viewer could start"
        );
    }
}
