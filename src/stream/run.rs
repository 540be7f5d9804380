//! The encode thread of a stream: waits for demand, captures, encodes, publishes; after a failure it
//! backs off and begins again.

use super::capture::{Capture, Captured, Content};
use super::passage::Passed;
use super::passing::Objection;
use super::policy::{Backoff, Keyframes};
use super::{Failure, State, Stream, lock};
use crate::capture::{CaptureError, ErrorKind, Granted, Opener, Wanted};
use crate::encode::{EncodeError, Encoder, Settings};
use crate::latest::Taken;
use crate::media::{I420, PixelFormat};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long opening may take, up to the first frame: slow webcams need seconds.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a frame for that long the source has stalled; at least that, and four frame intervals.
const STALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How often the thread looks for the end of demand while no frame comes.
const TICK: Duration = Duration::from_millis(250);

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
enum Fault {
    #[error(transparent)]
    Source(#[from] CaptureError),
    #[error("{0} for {1:?}")]
    Stalled(&'static str, Duration),
    #[error("the camera's H.264 can't be passed through: {0}")]
    NotPlayed(#[from] Objection),
    #[error(transparent)]
    Encoder(#[from] EncodeError),
    #[error("a thread of the stream panicked, which is a bug in fanlight or in a library")]
    Panicked,
    #[error("no thread for the capture: {0}")]
    Thread(#[from] std::io::Error),
}

impl Fault {
    fn kind_and_cure(&self) -> (&'static str, &'static str) {
        match self {
            Self::Source(error) => (error.kind.name(), error.kind.cure()),
            Self::Stalled(..) => (
                "stalled",
                "unplug the camera and plug it in again; another USB port or a lower rate may help",
            ),
            Self::NotPlayed(_) => {
                let kind = ErrorKind::NotPassable;
                (kind.name(), kind.cure())
            }
            Self::Encoder(_) => ("encoder", "try another `size`"),
            Self::Panicked => ("panic", "report it, with the log"),
            Self::Thread(_) => ("system", "raise the limit on tasks (TasksMax, ulimit -u)"),
        }
    }
}

fn run(stream: &Stream, opener: &Arc<dyn Opener>) {
    let mut backoff = Backoff::default();
    while stream.wait_for_demand() {
        // A bug in converting or encoding one stream must not end the others: it is a fault like any other.
        let session = AssertUnwindSafe(|| Session::new(stream).run(opener, &mut backoff));
        match catch_unwind(session).unwrap_or(Err(Fault::Panicked)) {
            Ok(()) => {
                backoff.reset();
                lock(&stream.control).passing.begin_anew();
            }
            Err(fault) if encodes_instead(stream, &fault) => {
                tracing::warn!("{fault}; its frames are encoded here until nobody watches");
            }
            Err(fault) => fail(stream, &fault, backoff.next()),
        }
    }
}

/// Whether the fault is one of the camera's H.264, and is past if frames are asked for in its place.
fn encodes_instead(stream: &Stream, fault: &Fault) -> bool {
    let is_of_h264 = match fault {
        Fault::Source(error) => error.kind == ErrorKind::NotPassable,
        Fault::NotPlayed(_) => true,
        _ => false,
    };
    is_of_h264 && lock(&stream.control).passing.give_up()
}

/// Shows the fault everywhere and waits.
fn fail(stream: &Stream, fault: &Fault, wait: Duration) {
    let (kind, cure) = fault.kind_and_cure();
    tracing::warn!(kind, retry_in = ?wait, "{fault}: {cure}");
    stream.channel.metrics().failed(kind);
    let now = Instant::now();
    stream.set_status(|status| {
        let since = status.failure.as_ref().map_or(now, |failure| failure.since);
        status.state = State::Down;
        status.failure = Some(Failure {
            kind,
            detail: fault.to_string(),
            cure,
            since,
            retry_at: now + wait,
        });
    });
    stream.wait_before_retry(wait);
}

/// One opening of the source, from demand to the end of demand.
struct Session<'a> {
    stream: &'a Stream,
    keyframes: Keyframes,
    encoder: Option<Encoder>,
}

impl<'a> Session<'a> {
    fn new(stream: &'a Stream) -> Self {
        Self {
            stream,
            keyframes: Keyframes::new(stream.config.keyframe_interval),
            encoder: None,
        }
    }

    /// Until nobody wants pictures any more.
    fn run(mut self, opener: &Arc<dyn Opener>, backoff: &mut Backoff) -> Result<(), Fault> {
        let stream = self.stream;
        stream.set_status(|status| {
            // A source that is down stays so until a frame has come.
            if status.state != State::Down {
                status.state = State::Starting;
            }
        });
        let wanted = lock(&stream.control).passing.wanted();
        let capture = Capture::start(
            stream.name(),
            (opener.clone(), wanted),
            stream.config.orientation(),
            stream.channel.flaws().clone(),
            stream.channel.metrics().clone(),
        )?;
        let mut last_frame = None;
        let mut is_live = false;
        let started = Instant::now();
        loop {
            let taken = capture.pictures().take(TICK);
            let now = Instant::now();
            stream
                .channel
                .metrics()
                .dropped
                .inc_by(capture.pictures().take_overwritten());
            match taken {
                Taken::Value(captured) => {
                    last_frame = Some((now, captured.granted.rate.interval()));
                    let is_first = !is_live && !captured.is_empty();
                    if is_first {
                        is_live = true;
                        self.is_live(&captured, wanted);
                        backoff.reset();
                    }
                    let granted = captured.granted;
                    match captured.content {
                        Content::Picture {
                            captured_at,
                            picture,
                        } => {
                            self.encode(&granted, captured_at, &picture)?;
                            capture.give_back(picture);
                        }
                        Content::Units(units) => self.pass(now, units, &capture)?,
                    }
                }
                Taken::Ended(Err(error)) => return Err(error.into()),
                // It ends by itself only after its reader, which is here.
                Taken::Ended(Ok(())) => return Err(Fault::Panicked),
                Taken::TimedOut => {}
            }
            if !self.is_wanted(now) {
                return Ok(());
            }
            check_stall(now, started, last_frame)?;
        }
    }

    fn is_wanted(&self, now: Instant) -> bool {
        let control = lock(&self.stream.control);
        !control.stopping && !self.stream.is_unwanted(&control, now)
    }

    fn is_live(&self, captured: &Captured, wanted: Wanted) {
        let is_h264 = captured.granted.format == PixelFormat::H264;
        if wanted == Wanted::Either && !is_h264 {
            lock(&self.stream.control).passing.sends_frames();
        }
        self.stream.channel.set_makes_keyframes(!is_h264);
        self.stream.set_status(|status| {
            status.state = State::Live;
            status.granted = Some((*captured.granted).clone());
            status.failure = None;
        });
    }

    /// Encodes and publishes one picture.
    fn encode(
        &mut self,
        granted: &Granted,
        captured_at: Instant,
        picture: &I420,
    ) -> Result<(), Fault> {
        let metrics = self.stream.channel.metrics();
        let begin = Instant::now();
        let settings = Settings {
            size: picture.size(),
            rate: granted.rate,
            bitrate: self.stream.config.bitrate,
        };
        let encoder = match &mut self.encoder {
            Some(encoder) if *encoder.settings() == settings => encoder,
            stale => {
                lock(&self.stream.control).profile_level_id = settings.profile_level_id();
                self.keyframes = Keyframes::new(self.stream.config.keyframe_interval);
                stale.insert(Encoder::new(settings)?)
            }
        };
        if self.stream.channel.take_keyframe_request() {
            self.keyframes.request();
        }
        let is_due = self.keyframes.is_due(begin);
        let Some(unit) = encoder.encode(picture, captured_at, is_due)? else {
            return Ok(());
        };
        metrics
            .encode
            .observe((unit.encoded_at - begin).as_secs_f64());
        metrics.encoded.inc();
        metrics.bytes.inc_by(unit.data.len() as u64);
        if unit.keyframe {
            metrics.keyframes.inc();
            self.keyframes.made(begin);
            // Who asked while it was made is served by it.
            self.stream.channel.take_keyframe_request();
        }
        self.stream.channel.publish(Arc::new(unit));
        let jpegs = self.stream.channel.jpegs();
        jpegs.offer(picture, captured_at, metrics);
        Ok(())
    }
}

impl Session<'_> {
    /// Publishes what the camera encoded.
    fn pass(&mut self, now: Instant, units: Vec<Passed>, capture: &Capture) -> Result<(), Fault> {
        let channel = &self.stream.channel;
        let metrics = channel.metrics();
        for Passed { unit, profile } in units {
            if unit.keyframe {
                let mut control = lock(&self.stream.control);
                control.passing.sends(profile);
                control.profile_level_id = profile;
                metrics.keyframes.inc();
                self.keyframes.made(now);
                // Who asked before is served by it.
                channel.take_keyframe_request();
            }
            // Also asked between keyframes: somebody may have come.
            if let Some(objection) = lock(&self.stream.control).passing.objection() {
                return Err(objection.into());
            }
            metrics.passed.inc();
            metrics.bytes.inc_by(unit.data.len() as u64);
            channel.publish(Arc::new(unit));
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
}

fn check_stall(
    now: Instant,
    started: Instant,
    last_frame: Option<(Instant, Duration)>,
) -> Result<(), Fault> {
    match last_frame {
        None if now - started >= FIRST_FRAME_TIMEOUT => {
            Err(Fault::Stalled("no first frame", FIRST_FRAME_TIMEOUT))
        }
        Some((at, interval)) => {
            let limit = STALL_TIMEOUT.max(4 * interval);
            if now - at < limit {
                return Ok(());
            }
            Err(Fault::Stalled("no frame", limit))
        }
        None => Ok(()),
    }
}
