//! The state of a stream, its reason and its beginning; each transition is logged and counted once.

use crate::base::rounded::Rounded;
use crate::capture::Granted;
use crate::metrics;
use std::time::Instant;

/// The state of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody watches; the source is closed. Whether it would open is not known.
    Idle,
    /// The source is being opened, or has not delivered yet.
    Starting,
    /// Pictures flow.
    Live,
    /// The source is there and delivers nothing; it is opened anew.
    Stalled,
    /// The source or the encoder failed; it is tried again.
    Down,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Starting,
        Self::Live,
        Self::Stalled,
        Self::Down,
    ];

    /// A word for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::Down => "down",
        }
    }

    /// Whether pictures are missing because something failed.
    pub const fn is_failed(self) -> bool {
        matches!(self, Self::Stalled | Self::Down)
    }
}

/// The reason for which a stream is [`State::Stalled`] or [`State::Down`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A word for it, such as `not_found`.
    pub kind: &'static str,
    /// A few words for everybody: `The camera is not connected`.
    pub title: &'static str,
    /// The cause: `/dev/video0: no such device`.
    pub detail: String,
    /// Whether `detail` may name devices, serial numbers or processes of this machine, which viewers are not told.
    pub is_private: bool,
    /// The cure that the user can apply.
    pub cure: &'static str,
    /// Whether the source is there, so that opening it anew may mend it.
    pub has_camera: bool,
    /// When the pictures stopped.
    pub since: Instant,
    /// When the next attempt is made.
    pub retry_at: Instant,
}

impl Failure {
    /// The detail, as far as every viewer may know it.
    pub fn public_detail(&self) -> Option<&str> {
        (!self.is_private).then_some(&*self.detail)
    }
}

/// A snapshot for people and programs.
#[derive(Debug, Clone)]
pub struct Status {
    /// The current state.
    pub state: State,
    /// The beginning of that state.
    pub since: Instant,
    /// The properties that the source last granted; `None` before it was first opened.
    pub granted: Option<Granted>,
    /// Set in [`State::Stalled`] and [`State::Down`].
    pub failure: Option<Failure>,
}

impl Status {
    /// The status of a stream that nobody has watched yet.
    pub const fn idle(now: Instant) -> Self {
        Self {
            state: State::Idle,
            since: now,
            granted: None,
            failure: None,
        }
    }

    /// The source was closed, since nobody watches.
    pub fn rests(&mut self, now: Instant, metrics: &metrics::StreamMetrics) {
        self.failure = None;
        self.enter(State::Idle, now, metrics);
    }

    /// The source is opened. A failed one stays so until a frame has come.
    pub fn opens(&mut self, now: Instant, metrics: &metrics::StreamMetrics) {
        if !self.state.is_failed() {
            self.enter(State::Starting, now, metrics);
        }
    }

    /// The first frame has come.
    pub fn lives(&mut self, now: Instant, granted: Granted, metrics: &metrics::StreamMetrics) {
        self.granted = Some(granted);
        self.failure = None;
        self.enter(State::Live, now, metrics);
    }

    /// An attempt, or what went well so far, has ended with that failure; `stalled` if the source is there and silent. Its
    /// `since` is when the pictures stopped, also if they stopped for another reason then.
    pub fn fails(
        &mut self,
        now: Instant,
        mut failure: Failure,
        stalled: bool,
        metrics: &metrics::StreamMetrics,
    ) {
        let before = self.failure.take();
        if let Some(before) = &before {
            failure.since = before.since;
        }
        let is_news = before
            .is_none_or(|before| (before.kind, &before.detail) != (failure.kind, &failure.detail));
        let Failure {
            kind, detail, cure, ..
        } = &failure;
        let retry_in = Rounded(failure.retry_at.saturating_duration_since(now));
        if is_news {
            tracing::warn!(kind, %retry_in, "{detail}: {cure}");
        } else {
            tracing::debug!(kind, %retry_in, "still: {detail}");
        }
        self.failure = Some(failure);
        let state = if stalled { State::Stalled } else { State::Down };
        self.enter(state, now, metrics);
    }

    fn enter(&mut self, state: State, now: Instant, metrics: &metrics::StreamMetrics) {
        if self.state == state {
            return;
        }
        let after = Rounded(now.saturating_duration_since(self.since));
        let from = self.state.name();
        // A failure has its own line, and so has the source that opens and closes.
        if state == State::Live && self.state.is_failed() {
            tracing::info!(from, %after, "{}", state.name());
        } else {
            tracing::debug!(from, %after, "{}", state.name());
        }
        metrics.enters(self.state.name(), state.name());
        self.state = state;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{FrameRate, PixelFormat, Size};
    use crate::metrics::Metrics;
    use std::time::Duration;

    fn failure(kind: &'static str, now: Instant) -> Failure {
        Failure {
            kind,
            title: "",
            detail: String::new(),
            is_private: true,
            cure: "",
            has_camera: false,
            since: now,
            retry_at: now,
        }
    }

    fn granted() -> Granted {
        Granted {
            device: "camera".to_owned(),
            size: Size::new(16, 16),
            rate: FrameRate::whole(30),
            format: PixelFormat::I420,
            reason: String::new(),
        }
    }

    #[test]
    fn a_failure_lasts_until_pictures_flow_and_tells_when_they_stopped() {
        let all = Metrics::new();
        let metrics = all.stream("camera");
        let start = Instant::now();
        let at = |n| start + Duration::from_secs(n);
        let mut status = Status::idle(start);
        let states = |status: &Status| (status.state, status.since);
        status.opens(at(1), &metrics);
        assert_eq!(states(&status), (State::Starting, at(1)));
        status.lives(at(2), granted(), &metrics);
        assert_eq!(states(&status), (State::Live, at(2)));
        status.fails(at(3), failure("stalled", at(3)), true, &metrics);
        assert_eq!(states(&status), (State::Stalled, at(3)));
        status.opens(at(4), &metrics);
        assert_eq!(states(&status), (State::Stalled, at(3)), "not better yet");
        for n in [5, 6] {
            status.fails(at(n), failure("not_found", at(n)), false, &metrics);
            assert_eq!(states(&status), (State::Down, at(5)));
            let failure = status.failure.clone().unwrap();
            assert_eq!((failure.kind, failure.since), ("not_found", at(3)));
        }
        status.lives(at(7), granted(), &metrics);
        assert_eq!(
            (states(&status), &status.failure),
            ((State::Live, at(7)), &None)
        );
        status.rests(at(8), &metrics);
        assert_eq!(states(&status), (State::Idle, at(8)));

        let text = all.render(crate::metrics::Format::Text);
        for line in [
            "fanlight_stream_transitions_total{stream=\"camera\",state=\"live\"} 2",
            "fanlight_stream_transitions_total{stream=\"camera\",state=\"down\"} 1",
            "fanlight_stream_state{stream=\"camera\",state=\"idle\"} 1",
            "fanlight_stream_state{stream=\"camera\",state=\"live\"} 0",
            "fanlight_stream_live{stream=\"camera\"} 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_stream_that_is_closed_has_no_failure() {
        let metrics = Metrics::new().stream("camera");
        let now = Instant::now();
        let mut status = Status::idle(now);
        status.fails(now, failure("not_found", now), false, &metrics);
        status.rests(now, &metrics);
        assert_eq!((status.state, status.failure), (State::Idle, None));
    }
}
