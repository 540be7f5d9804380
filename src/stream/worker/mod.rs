//! The encode thread of a stream: waits for demand, captures, shows; after a failure it backs off and begins again, and shows
//! the slate meanwhile.

pub mod output;

use crate::base::latest::Taken;
use crate::capture::{CaptureError, ErrorKind, Opener, Wanted};
use crate::codec::encode::EncodeError;
use crate::config::Encode;
use crate::media::PixelFormat;
use crate::stream::capture::abandoned::{Room, Stuck};
use crate::stream::capture::{Capture, Captured, Content};
use crate::stream::passthrough::{Cause, Objection};
use crate::stream::policy::Backoff;
use crate::stream::{Failure, Rested, Status, Stream, encode};
use output::Show;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long opening may take, up to the first frame: slow webcams need seconds.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a frame for that long the source has stalled; at least that, and four frame intervals.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the thread looks for the end of demand, and whether a slate is due, while no frame comes.
const TICK: Duration = Duration::from_millis(250);

/// Names of failures that are not a source's.
pub const OTHER_FAILURES: [&str; 3] = ["encoder", "panic", "system"];

/// Starts the thread.
pub fn spawn(stream: Arc<Stream>, opener: Arc<dyn Opener>) -> std::io::Result<JoinHandle<()>> {
    let span = tracing::info_span!("stream", name = stream.name());
    let ended = stream.ended.clone().drop_guard();
    std::thread::Builder::new()
        .name(format!("enc-{}", stream.name()))
        .spawn(move || {
            let _ended = ended;
            span.in_scope(|| run(&stream, &opener));
        })
}

#[derive(Debug, thiserror::Error)]
enum WorkerFault {
    #[error(transparent)]
    Source(#[from] CaptureError),
    #[error("{0} for {1:?}")]
    Stalled(&'static str, Duration),
    #[error("{} threads are blocked in the camera's driver", Stuck::MOST)]
    Stuck,
    #[error("a thread of fanlight still has the camera open, as the driver does not close it")]
    Held,
    #[error("the camera's H.264 can't be passed through: {0}")]
    NotPlayed(#[from] Objection),
    #[error(transparent)]
    Encoder(#[from] EncodeError),
    #[error("a thread of the stream panicked, which is a bug in fanlight or in a library")]
    Panicked,
    #[error("can't start a thread for the capture: {0}")]
    Thread(#[from] std::io::Error),
}

impl WorkerFault {
    /// A word for it, a few words for everybody, and what the user can do.
    const fn words(&self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Source(error) => (error.kind.name(), error.kind.title(), error.cure()),
            Self::Stalled(..) | Self::Stuck | Self::Held => {
                let kind = ErrorKind::Stalled;
                (kind.name(), kind.title(), kind.cure())
            }
            Self::NotPlayed(_) => {
                let kind = ErrorKind::NotPassable;
                (kind.name(), kind.title(), kind.cure())
            }
            Self::Encoder(_) => ("encoder", "The video encoder failed", "try another `size`"),
            Self::Panicked => ("panic", "The stream failed", "report it, with the log"),
            Self::Thread(_) => (
                "system",
                "The machine can run no more threads",
                "raise the limit on tasks (TasksMax, ulimit -u)",
            ),
        }
    }

    fn failure(&self, now: Instant, wait: Duration) -> Failure {
        let (kind, title, cure) = self.words();
        Failure {
            kind,
            title,
            detail: self.to_string(),
            is_private: matches!(self, Self::Source(_)),
            cure,
            has_camera: match self {
                Self::Source(error) => error.kind.has_camera(),
                _ => true,
            },
            since: now,
            retry_at: now + wait,
        }
    }
}

fn run(stream: &Stream, opener: &Arc<dyn Opener>) {
    let mut worker = Worker {
        stream,
        opener,
        show: Show::new(stream),
        backoff: Backoff::default(),
        stuck: Stuck::new(stream.channel.metrics().clone()),
    };
    loop {
        if stream.is_left() {
            worker.begin_anew();
        }
        if !stream.wait_for_demand() {
            break;
        }
        // A bug in converting or encoding one stream must not end the others: it is a fault like any other.
        let attempt = catch_unwind(AssertUnwindSafe(|| worker.attempt()));
        stream.closed();
        match attempt.unwrap_or(Err(WorkerFault::Panicked)) {
            Ok(()) => {}
            Err(fault) if passes_all_the_same(stream, &fault) => {
                tracing::warn!(
                    "{fault}; it has no JPEG images, and viewers that can't play it are refused"
                );
            }
            Err(fault) if encodes_instead(stream, &fault) => {
                tracing::warn!("{fault}; its frames are encoded here");
            }
            Err(fault) => {
                let until = worker.failed(&fault);
                if catch_unwind(AssertUnwindSafe(|| worker.rest(until))).is_err() {
                    worker.show = Show::new(stream);
                    stream.rest(until);
                }
            }
        }
    }
    worker.stuck.settle();
}

/// Whether the fault is one of the camera's H.264, and is past if frames are asked for in its place.
fn encodes_instead(stream: &Stream, fault: &WorkerFault) -> bool {
    let cause = match fault {
        WorkerFault::Source(error) if error.kind == ErrorKind::NotPassable => Cause::Source,
        WorkerFault::NotPlayed(_) => Cause::Viewer,
        _ => return false,
    };
    stream.control.lock().passing.give_up(cause)
}

/// Whether the fault is that frames were asked of a camera that has none, and is past if its H.264 is taken after all.
fn passes_all_the_same(stream: &Stream, fault: &WorkerFault) -> bool {
    matches!(fault, WorkerFault::Source(error) if error.kind == ErrorKind::OnlyH264)
        && stream.control.lock().passing.has_only_h264()
}

/// The state that outlives a failure.
struct Worker<'a> {
    stream: &'a Stream,
    opener: &'a Arc<dyn Opener>,
    show: Show<'a>,
    backoff: Backoff,
    stuck: Stuck,
}

impl Worker<'_> {
    /// Nobody watches: the former viewers' needs, and the failures that met them, are over.
    fn begin_anew(&mut self) {
        self.backoff.reset();
        self.show.pause();
        self.stream.control.lock().passing.begin_anew();
        // There is time to close the source before it is said to be.
        self.stuck.settle();
    }

    /// Shows the fault everywhere. When the next attempt is made.
    fn failed(&mut self, fault: &WorkerFault) -> Instant {
        let metrics = self.stream.channel.metrics();
        let wait = self.backoff.next(rand::random());
        let mut failure = fault.failure(Instant::now(), wait);
        let is_auto = encode(&self.stream.config) == Encode::Auto;
        if is_auto && failure.kind == ErrorKind::NotPassable.name() {
            failure.cure = ErrorKind::CURE_OF_H264;
        }
        let (kind, until) = (failure.kind, failure.retry_at);
        metrics.failed(kind);
        let is_stalled = kind == ErrorKind::Stalled.name();
        self.stream.set_status(|status, now, metrics| {
            status.fails(now, failure, is_stalled, metrics);
        });
        if matches!(fault, WorkerFault::Encoder(_) | WorkerFault::Panicked) {
            self.show = Show::new(self.stream);
        }
        until
    }

    /// Shows slates until then, or until there is reason to try before, or none at all any more.
    fn rest(&mut self, until: Instant) {
        loop {
            let now = Instant::now();
            let next = self.show.slate(now);
            match self.stream.rest(next.map_or(until, |next| next.min(until))) {
                Rested::Enough if Instant::now() < until => {}
                Rested::Enough | Rested::Unwanted => return,
                Rested::Plugged => return self.backoff.hurry(),
            }
        }
    }

    /// One opening of the source, from demand to the end of demand.
    fn attempt(&mut self) -> Result<(), WorkerFault> {
        let stream = self.stream;
        stream.set_status(Status::opens);
        // The attempt finds devices that were plugged in before it.
        stream.control.lock().plugged = false;
        // Two threads would be in each other's way: the device is busy while the other has it.
        while let Room::From(at) = self.stuck.room(Instant::now()) {
            self.rest(at);
            if !stream.is_still_wanted() {
                return Ok(());
            }
        }
        if self.stuck.room(Instant::now()) == Room::Never {
            return Err(WorkerFault::Stuck);
        }
        let wanted = stream.control.lock().passing.wanted(Instant::now());
        let capture = Capture::start(
            stream.name(),
            (self.opener.clone(), wanted),
            stream.config.orientation(),
            stream.channel.flaws().clone(),
            stream.channel.metrics().clone(),
        )?;
        let is_held = self.stuck.is_any();
        let outcome = self.capture(&capture, wanted);
        self.stuck.end(capture, Instant::now());
        match outcome {
            // By no other program, but by a thread of ours that was left: there is a camera, and it hangs.
            Err(WorkerFault::Source(error)) if is_held && error.kind == ErrorKind::Busy => {
                Err(WorkerFault::Held)
            }
            outcome => outcome,
        }
    }

    fn capture(&mut self, capture: &Capture, wanted: Wanted) -> Result<(), WorkerFault> {
        let stream = self.stream;
        let started = Instant::now();
        let mut live_since = None;
        let mut size = None;
        let mut last_frame = None;
        loop {
            let taken = capture.pictures().take(TICK);
            let now = Instant::now();
            let overwritten = capture.pictures().take_overwritten();
            stream.channel.metrics().dropped.inc_by(overwritten);
            match taken {
                Taken::Value(captured) => {
                    last_frame = Some((now, captured.granted.rate.interval()));
                    if !captured.is_empty()
                        && size.replace(captured.granted.size) != Some(captured.granted.size)
                    {
                        self.is_live(&captured, wanted);
                        live_since = live_since.or(Some(now));
                    }
                    let is_steady = |since| now.saturating_duration_since(since) >= Backoff::STEADY;
                    if live_since.is_some_and(is_steady) {
                        self.backoff.reset();
                    }
                    let granted = &captured.granted;
                    match captured.content {
                        Content::Picture {
                            captured_at,
                            picture,
                        } => {
                            let rate = granted.rate;
                            self.show.picture(&picture, captured_at, rate)?;
                            capture.give_back(picture);
                        }
                        Content::Units(units) => {
                            self.show.size(granted.size, granted.rate);
                            self.show.units(now, units, capture)?;
                        }
                    }
                    if live_since.is_none() {
                        // A keyframe is waited for, as long as it takes.
                        self.show.slate(now);
                    }
                }
                Taken::Ended(Err(error)) => return Err(error.into()),
                // It ends by itself only after its reader, which is here.
                Taken::Ended(Ok(())) => return Err(WorkerFault::Panicked),
                Taken::TimedOut => {
                    self.show.slate(now);
                }
            }
            if !stream.is_still_wanted() || stream.is_to_open_anew(wanted) {
                return Ok(());
            }
            check_stall(now, started, last_frame)?;
        }
    }

    fn is_live(&self, captured: &Captured, wanted: Wanted) {
        let is_h264 = captured.granted.format == PixelFormat::H264;
        if wanted == Wanted::Either && !is_h264 {
            self.stream.control.lock().passing.sends_frames();
        }
        self.stream.channel.set_makes_keyframes(!is_h264);
        let granted = (*captured.granted).clone();
        self.stream
            .set_status(|status, now, metrics| status.lives(now, granted, metrics));
    }
}

fn check_stall(
    now: Instant,
    started: Instant,
    last_frame: Option<(Instant, Duration)>,
) -> Result<(), WorkerFault> {
    match last_frame {
        None if now - started >= FIRST_FRAME_TIMEOUT => {
            Err(WorkerFault::Stalled("no first frame", FIRST_FRAME_TIMEOUT))
        }
        Some((at, interval)) => {
            let limit = STALL_TIMEOUT.max(4 * interval);
            if now - at < limit {
                return Ok(());
            }
            Err(WorkerFault::Stalled("no frame", limit))
        }
        None => Ok(()),
    }
}
