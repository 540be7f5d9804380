//! A camera that needs no hardware: a moving test pattern with a clock and a frame counter that programs can read.
//!
//! Made for demonstrations, tests and monitoring: [`read_counter`] tells from decoded video whether frames are stale,
//! doubled or out of order.

mod counter;
mod font;
pub(crate) mod noise;
mod scene;

pub use counter::{BLOCKS, LEVELS, SYNC, Strip, THRESHOLDS, read_counter};

use super::{CaptureError, Granted, Opener, Request, Source};
use crate::media::{FrameRate, PixelFormat, RawFrame, Size, TestPicture};
use scene::Scene;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Opens test patterns.
#[derive(Debug, Clone)]
pub struct Pattern {
    name: String,
    picture: TestPicture,
    request: Request,
}

impl Pattern {
    /// A pattern that shows `name`, at the requested size cut to even sides, and at the requested rate.
    pub fn new(name: impl Into<String>, picture: TestPicture, request: Request) -> Self {
        Self {
            name: name.into(),
            picture,
            request,
        }
    }
}

impl Opener for Pattern {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        Ok(Box::new(PatternSource::new(self, Instant::now())))
    }

    fn describe(&self) -> String {
        "test pattern".to_owned()
    }
}

/// Draws frames when they are due.
struct PatternSource {
    granted: Granted,
    schedule: Schedule,
    scene: Scene,
    /// Drawn over for each frame: what stands still is in it already.
    frame: Vec<u8>,
}

impl PatternSource {
    fn new(pattern: &Pattern, start: Instant) -> Self {
        let Request { size, rate, .. } = pattern.request;
        // A picture of no pixels would have no chroma either.
        let size = Size::new(size.width.max(2), size.height.max(2)).even();
        let scene = Scene::new(size, pattern.picture);
        Self {
            granted: Granted {
                device: "test pattern".to_owned(),
                size,
                rate,
                format: PixelFormat::I420,
                reason: format!("yu12 {size} at {rate} fps: the test pattern is drawn as asked"),
            },
            schedule: Schedule::new(rate, start),
            frame: scene.background(&pattern.name),
            scene,
        }
    }
}

impl Source for PatternSource {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        let expected = self.schedule.next;
        let (index, due) = self.schedule.advance(Instant::now());
        // Does nothing if the frame is overdue.
        #[expect(
            clippy::disallowed_methods,
            reason = "a source blocks for one frame's time, as a camera does"
        )]
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // A clock that stands before 1970 shows midnight.
        let wall = (SystemTime::now() - due.elapsed())
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let elapsed = due.saturating_duration_since(self.schedule.start);
        // The counter wraps after four years at 30 fps.
        self.scene
            .draw(&mut self.frame, index as u32, elapsed, wall);
        Ok(Some(RawFrame {
            data: &self.frame,
            format: PixelFormat::I420,
            size: self.granted.size,
            stride: 0,
            captured_at: due,
            lost: u32::try_from(index - expected).unwrap_or(u32::MAX),
            is_late: false,
            full_range: false,
        }))
    }
}

/// Says which frame comes next and when. Instants are reckoned from the start, so that rounding never adds up.
#[derive(Debug)]
struct Schedule {
    rate: FrameRate,
    start: Instant,
    next: u64,
}

impl Schedule {
    fn new(rate: FrameRate, start: Instant) -> Self {
        let next = 0;
        Self { rate, start, next }
    }

    /// The number of the next frame and when it is due. Frames that were missed are left out: a late reader gets the
    /// latest frame that is due, not a burst.
    fn advance(&mut self, now: Instant) -> (u64, Instant) {
        let second = u128::from(self.rate.denominator) * 1_000_000_000;
        let frames = u128::from(self.rate.numerator.max(1));
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        // Both fit for as long as a machine runs.
        let latest = (elapsed * frames / second.max(1)) as u64;
        let index = self.next.max(latest);
        self.next = index + 1;
        let due = Duration::from_nanos((u128::from(index) * second / frames) as u64);
        (index, self.start + due)
    }
}

#[cfg(test)]
mod tests;
