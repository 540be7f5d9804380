//! The encode thread of a stream: waits for demand, captures, encodes, publishes; after a failure it
//! backs off and begins again.

use super::capture::{Capture, Captured};
use super::policy::{Backoff, Keyframes};
use super::{Failure, State, Stream, lock};
use crate::capture::{CaptureError, Opener};
use crate::encode::{EncodeError, Encoder, Settings};
use crate::latest::Taken;
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
            Ok(()) => backoff.reset(),
            Err(fault) => fail(stream, &fault, backoff.next()),
        }
    }
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
        let capture = Capture::start(
            stream.name(),
            opener.clone(),
            stream.config.orientation(),
            stream.channel.flaws().clone(),
            stream.channel.metrics().clone(),
        )?;
        let mut last_frame = None;
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
                    if last_frame.is_none() {
                        self.is_live(&captured);
                        backoff.reset();
                    }
                    last_frame = Some((now, captured.granted.rate.interval()));
                    self.encode(&captured)?;
                    capture.give_back(captured.picture);
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

    fn is_live(&self, captured: &Captured) {
        self.stream.set_status(|status| {
            status.state = State::Live;
            status.granted = Some((*captured.granted).clone());
            status.failure = None;
        });
    }

    /// Encodes and publishes one picture.
    fn encode(&mut self, captured: &Captured) -> Result<(), Fault> {
        let Captured {
            granted,
            captured_at,
            picture,
        } = captured;
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
        let Some(unit) = encoder.encode(picture, *captured_at, is_due)? else {
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
        jpegs.offer(picture, *captured_at, metrics);
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
