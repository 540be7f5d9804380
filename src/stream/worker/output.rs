//! The viewers' stream: the camera's pictures, and the slate while there are none. One encoder makes both, so to viewers it is one
//! stream.

use crate::codec::encode::{EncodeError, Encoder, Settings};
use crate::codec::slate::{self, Message};
use crate::media::{AccessUnit, FrameRate, I420, Size};
use crate::stream::capture::Capture;
use crate::stream::capture::unit_cutter::Passed;
use crate::stream::passthrough::Objection;
use crate::stream::policy::{Keyframes, Slates};
use crate::stream::status::Status;
use crate::stream::{Stream, group_of_camera};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least between the time stamps of two pictures: the RTP clock has to go on.
const STEP: Duration = Duration::from_millis(1);

/// The kind of picture that was shown last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Its pictures, encoded here.
    Camera,
    /// The camera's own H.264, passed through.
    Passed,
    Slate,
}

/// Encodes and publishes.
pub struct Show<'a> {
    stream: &'a Stream,
    /// The encoder's settings for the camera's pictures; before there was one, those that were asked for.
    settings: Settings,
    encoder: Option<Encoder>,
    keyframes: Keyframes,
    shown: Option<Shown>,
    /// Time stamp of the last picture.
    last: Option<Instant>,
    slates: Slates,
    /// The picture that slates are drawn into; empty until then.
    canvas: Option<I420>,
}

impl<'a> Show<'a> {
    pub fn new(stream: &'a Stream) -> Self {
        Self {
            stream,
            settings: stream.asked(),
            encoder: None,
            keyframes: Keyframes::new(stream.config.keyframe_interval),
            shown: None,
            last: None,
            slates: Slates::default(),
            canvas: None,
        }
    }

    /// Nobody watches: the buffers for pictures are given back.
    pub fn pause(&mut self) {
        self.encoder = None;
        self.canvas = None;
        self.shown = None;
    }

    /// Says what the camera sends, which slates follow. Whether it is something new.
    pub fn size(&mut self, size: Size, rate: FrameRate) -> bool {
        let (size, bitrate) = (size.even(), self.stream.config.bitrate);
        let settings = Settings {
            size,
            rate,
            bitrate,
        };
        if self.settings == settings {
            return false;
        }
        self.settings = settings;
        self.canvas = None;
        true
    }

    /// Encodes and publishes a picture of the camera.
    pub fn picture(
        &mut self,
        picture: &I420,
        captured_at: Instant,
        rate: FrameRate,
    ) -> Result<(), EncodeError> {
        let is_new = self.size(picture.size(), rate);
        if is_new || self.shown != Some(Shown::Camera) {
            self.slates = Slates::default();
            self.canvas = None;
            self.stream.control.lock().profile_level_id = self.settings.profile_level_id();
        }
        let metrics = self.stream.channel.metrics();
        let begin = Instant::now();
        let Some(unit) = self.encode(picture, captured_at, Shown::Camera)? else {
            return Ok(());
        };
        metrics
            .encode
            .observe((unit.encoded_at - begin).as_secs_f64());
        metrics.encoded.inc();
        metrics.bytes.inc_by(unit.data.len() as u64);
        if unit.keyframe {
            metrics.keyframes.inc();
        }
        self.stream.delivered(unit.data.len());
        let channel = &self.stream.channel;
        channel.publish(Arc::new(unit));
        channel.jpegs().offer(picture, captured_at, metrics);
        Ok(())
    }

    /// Publishes what the camera encoded.
    pub fn units(
        &mut self,
        now: Instant,
        units: Vec<Passed>,
        capture: &Capture,
    ) -> Result<(), Objection> {
        let channel = &self.stream.channel;
        let metrics = channel.metrics();
        for Passed { mut unit, profile } in units {
            if self.shown != Some(Shown::Passed) {
                self.pause();
                self.begin(Shown::Passed);
                self.keyframes = Keyframes::new(group_of_camera(&self.stream.config));
                self.slates = Slates::default();
            }
            if unit.keyframe {
                let mut control = self.stream.control.lock();
                control.passing.sends(profile);
                control.profile_level_id = profile;
                metrics.keyframes.inc();
                self.keyframes.made(now);
                // This keyframe also satisfies earlier requests.
                channel.take_keyframe_request();
            }
            // Also asked between keyframes: somebody may have come.
            if let Some(objection) = self.stream.control.lock().passing.objection(now) {
                return Err(objection);
            }
            metrics.passed.inc();
            metrics.bytes.inc_by(unit.data.len() as u64);
            unit.captured_at = self.stamp(unit.captured_at);
            self.last = Some(unit.captured_at);
            self.stream.delivered(unit.data.len());
            channel.publish(Arc::new(unit));
        }
        if self.shown == Some(Shown::Slate) {
            // The camera's first keyframe is still waited for, and it is the encoder that is asked meanwhile.
            return Ok(());
        }
        channel.set_makes_keyframes(capture.makes_keyframes());
        if channel.take_keyframe_request() {
            self.keyframes.request();
        }
        if capture.makes_keyframes() && self.keyframes.is_due(now) {
            capture.ask_for_keyframe();
            // One that does not come is asked for again, but not with every picture.
            self.keyframes.made(now);
        }
        Ok(())
    }

    /// Shows the slate, if one is due and somebody sees it. When to ask again, if it is seen.
    pub fn slate(&mut self, now: Instant) -> Option<Instant> {
        let status = self.stream.status();
        let is_seen = self.stream.config.slate && self.stream.control.lock().demand > 0;
        if is_seen && self.slates.is_due(now, status.state, status.since) {
            self.slates.made(now);
            if let Err(error) = self.draw(now, &status) {
                // Viewers are no worse off than without a slate, and the reason is the camera's.
                tracing::debug!(%error, "no slate");
                self.pause();
            }
        }
        is_seen.then_some(now + Slates::INTERVAL)
    }

    fn draw(&mut self, now: Instant, status: &Status) -> Result<(), EncodeError> {
        let mut canvas = (self.canvas.take()).unwrap_or_else(|| I420::new(self.settings.size));
        slate::draw(&mut canvas, &message(self.stream.name(), now, status));
        if let Some(unit) = self.encode(&canvas, now, Shown::Slate)? {
            let channel = &self.stream.channel;
            let metrics = channel.metrics();
            channel.set_makes_keyframes(true);
            metrics.slates.inc();
            channel.publish(Arc::new(unit));
            channel.jpegs().offer(&canvas, now, metrics);
        }
        self.canvas = Some(canvas);
        Ok(())
    }

    /// `None` if the encoder leaves the picture out.
    fn encode(
        &mut self,
        picture: &I420,
        captured_at: Instant,
        what: Shown,
    ) -> Result<Option<AccessUnit>, EncodeError> {
        let now = Instant::now();
        let fits = |encoder: &Encoder| *encoder.settings() == self.settings;
        if !self.encoder.as_ref().is_some_and(fits) {
            self.encoder = Some(Encoder::new(self.settings)?);
            self.shown = None;
        }
        // Decoding can begin there, and nothing of the other picture shines through.
        self.begin(what);
        if self.stream.channel.take_keyframe_request() {
            self.keyframes.request();
        }
        let at = self.stamp(captured_at);
        let is_due = self.keyframes.is_due(now);
        let Some(encoder) = &mut self.encoder else {
            return Ok(None);
        };
        let unit = encoder.encode(picture, at, is_due)?;
        if let Some(unit) = &unit {
            self.last = Some(at);
            if unit.keyframe {
                self.keyframes.made(now);
                // This keyframe also satisfies requests made while it was encoded.
                self.stream.channel.take_keyframe_request();
            }
        }
        Ok(unit)
    }

    /// Begins with a keyframe if the pictures from now on are of another kind than before.
    fn begin(&mut self, what: Shown) {
        if self.shown != Some(what) {
            self.shown = Some(what);
            self.keyframes = Keyframes::new(self.stream.config.keyframe_interval);
        }
    }

    /// The time stamp of the next picture: a camera's may be older than the slate before.
    fn stamp(&self, captured_at: Instant) -> Instant {
        self.last
            .map_or(captured_at, |last| captured_at.max(last + STEP))
    }
}

/// The slate's text, for everybody who watches.
fn message<'a>(name: &'a str, now: Instant, status: &'a Status) -> Message<'a> {
    let since = |since: Instant| now.saturating_duration_since(since);
    match &status.failure {
        Some(failure) => Message {
            name,
            title: failure.title,
            detail: failure.public_detail().unwrap_or_default(),
            cure: failure.cure,
            elapsed: since(failure.since),
        },
        None => Message {
            name,
            title: "The camera is starting",
            detail: "",
            cure: "",
            elapsed: since(status.since),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::stream::Failure;

    #[test]
    fn a_slate_names_no_device_and_no_process_of_this_machine() {
        let metrics = Metrics::new().stream("camera");
        let now = Instant::now();
        let said = |detail: &str, is_private| {
            let mut status = Status::idle(now);
            let failure = Failure {
                kind: "busy",
                title: "Another program is using the camera",
                detail: detail.to_owned(),
                is_private,
                cure: "close it",
                has_camera: false,
                since: now,
                retry_at: now,
            };
            status.fails(now, failure, false, &metrics);
            let message = message("camera", now, &status);
            (message.title.to_owned(), message.detail.to_owned())
        };
        let title = "Another program is using the camera".to_owned();
        let private = said("/dev/video0: cheese (process 1234) is using it", true);
        assert_eq!(private, (title.clone(), String::new()));
        let public = said("no frame for 3s", false);
        assert_eq!(public, (title, "no frame for 3s".to_owned()));
    }
}
