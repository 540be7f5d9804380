//! A named stream: its demand gate, its state, and the hub that its access units leave by.
//!
//! A [`Stream`] is the handle that the rest of the daemon holds. The work is done by its encode thread
//! (`run`), which opens the source when somebody wants pictures and closes it when nobody does, and which
//! owns the only retry loop there is.

mod capture;
mod channel;
mod flaws;
mod jpegs;
mod passage;
mod passing;
mod policy;
mod run;

use crate::capture::{Granted, Opener};
use crate::config;
use crate::encode::Settings;
use crate::media::{Orientation, PixelFormat, Profile, ProfileLevelId, Profiles};
use crate::metrics;
use crate::shutdown::Shutdown;
pub use channel::{Channel, Terms};
pub use flaws::Flaws;
pub use jpegs::{Jpeg, Making, Watcher};
use passing::Passing;
pub use policy::Keyframes;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody watches; the source is closed. Whether it would open is not known.
    Idle,
    /// The source is being opened.
    Starting,
    /// Pictures flow.
    Live,
    /// The source or the encoder failed; it is tried again.
    Down,
}

impl State {
    /// A word for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Down => "down",
        }
    }
}

/// Why a stream is [`State::Down`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A word for it, such as `not_found`.
    pub kind: &'static str,
    /// What happened: `/dev/video0: no such device`.
    pub detail: String,
    /// What the user can do.
    pub cure: &'static str,
    /// When the pictures stopped.
    pub since: Instant,
    /// When the next attempt is made.
    pub retry_at: Instant,
}

/// A snapshot for people and programs.
#[derive(Debug, Clone)]
pub struct Status {
    /// What the stream is doing.
    pub state: State,
    /// What the source last granted; `None` before it was first opened.
    pub granted: Option<Granted>,
    /// Set in [`State::Down`].
    pub failure: Option<Failure>,
}

struct Control {
    demand: usize,
    /// When the last demand ended, while there is none.
    unwanted_since: Option<Instant>,
    stopping: bool,
    status: Status,
    /// Of the last sequence parameter set.
    profile_level_id: ProfileLevelId,
    passing: Passing,
}

/// A handle to a running stream. Dropping the last one does not end it: see [`Stream::signal`].
pub struct Stream {
    config: config::Stream,
    source: String,
    channel: Arc<Channel>,
    control: Mutex<Control>,
    /// Notified when the encode thread may have something to do.
    changed: Condvar,
    /// Cancelled by the end of the encode thread.
    ended: Shutdown,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Stream {
    /// Starts the stream's thread, which waits until it is wanted.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        config: config::Stream,
        opener: Arc<dyn Opener>,
        metrics: metrics::Stream,
    ) -> std::io::Result<Arc<Self>> {
        let settings = Settings {
            size: config.orientation().size(config.size.even()),
            rate: config.fps,
            bitrate: config.bitrate,
        };
        let stream = Arc::new(Self {
            source: opener.describe(),
            channel: Arc::new(Channel::new(
                config.name.clone(),
                Terms {
                    bitrate: config.bitrate,
                    playout_delay: config.playout_delay,
                },
                metrics,
            )),
            control: Mutex::new(Control {
                demand: 0,
                unwanted_since: None,
                stopping: false,
                status: Status {
                    state: State::Idle,
                    granted: None,
                    failure: None,
                },
                profile_level_id: settings.profile_level_id(),
                passing: Passing::new(encode(&config)),
            }),
            changed: Condvar::new(),
            ended: Shutdown::new(),
            thread: Mutex::new(None),
            config,
        });
        let thread = run::spawn(stream.clone(), opener)?;
        *lock(&stream.thread) = Some(thread);
        Ok(stream)
    }

    /// The name in the URL.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// What was asked for.
    pub fn config(&self) -> &config::Stream {
        &self.config
    }

    /// What the source is: `/dev/video0`, `test pattern`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its pictures, for those who watch.
    pub const fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Wants pictures for one who plays that profile until the guard is dropped: opens the source.
    pub fn demand(self: &Arc<Self>, plays: Profile) -> Demand {
        self.demand_for(Some(plays))
    }

    /// Wants frames, of which images can be made, until the guard is dropped; `None` if there never are any.
    pub fn demand_frames(self: &Arc<Self>) -> Option<Demand> {
        let may_have_frames = lock(&self.control).passing.may_have_frames();
        may_have_frames.then(|| self.demand_for(None))
    }

    fn demand_for(self: &Arc<Self>, plays: Option<Profile>) -> Demand {
        let mut control = lock(&self.control);
        control.demand += 1;
        control.passing.join(plays);
        control.unwanted_since = None;
        self.changed.notify_all();
        Demand {
            is_unserved: control.passing.objection().is_some(),
            stream: self.clone(),
            plays,
        }
    }

    /// The profiles that the video may have.
    pub fn profiles(&self) -> Profiles {
        lock(&self.control).passing.profiles()
    }

    /// What the video's sequence parameter set says, or will say before there is one.
    pub fn profile_level_id(&self) -> ProfileLevelId {
        lock(&self.control).profile_level_id
    }

    /// What the stream is doing now.
    pub fn status(&self) -> Status {
        lock(&self.control).status.clone()
    }

    /// Tells the stream to end.
    pub fn signal(&self) {
        lock(&self.control).stopping = true;
        self.changed.notify_all();
    }

    /// Waits until a stream that was told to end has closed its source.
    pub fn join(&self) {
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(stream = self.name(), "the encode thread panicked");
        }
    }

    /// Completes when the encode thread has ended, for whatever reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether nobody has wanted pictures for as long as the source lingers.
    fn is_unwanted(&self, control: &Control, now: Instant) -> bool {
        !self.config.always_on
            && control.demand == 0
            && control
                .unwanted_since
                .is_none_or(|since| now.saturating_duration_since(since) >= self.config.linger)
    }

    /// Waits until pictures are wanted; the stream is idle until then. `false` when it is to end.
    fn wait_for_demand(&self) -> bool {
        let idles =
            |control: &Control| !control.stopping && control.demand == 0 && !self.config.always_on;
        if idles(&lock(&self.control)) {
            self.set_status(|status| {
                status.state = State::Idle;
                status.failure = None;
            });
        }
        let control = self
            .changed
            .wait_while(lock(&self.control), |control| idles(control))
            .unwrap_or_else(PoisonError::into_inner);
        !control.stopping
    }

    /// Waits for that long, less if the stream is to end or nobody wants it any more.
    fn wait_before_retry(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut control = lock(&self.control);
        loop {
            let now = Instant::now();
            if control.stopping || now >= until || self.is_unwanted(&control, now) {
                return;
            }
            let step = (until - now).min(Duration::from_secs(1));
            control = self
                .changed
                .wait_timeout(control, step)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn set_status(&self, change: impl FnOnce(&mut Status)) {
        let mut control = lock(&self.control);
        change(&mut control.status);
        let is_live = control.status.state == State::Live;
        self.channel.metrics().live.set(i64::from(is_live));
    }
}

/// As long as it lives, its stream's source stays open.
pub struct Demand {
    stream: Arc<Stream>,
    plays: Option<Profile>,
    /// See [`Demand::is_unserved`].
    is_unserved: bool,
}

impl Demand {
    /// The stream that is wanted.
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Whether the pictures that there are already are none that it can do with.
    pub const fn is_unserved(&self) -> bool {
        self.is_unserved
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        let mut control = lock(&self.stream.control);
        control.demand -= 1;
        control.passing.leave(self.plays);
        if control.demand == 0 {
            control.unwanted_since = Some(Instant::now());
            self.stream.changed.notify_all();
        }
    }
}

/// What is configured, with what follows from the rest of the configuration.
fn encode(config: &config::Stream) -> config::Encode {
    let is_turned = config.orientation() != Orientation::default();
    match (&config.source, config.format) {
        (config::Source::Pattern(_), _) => config::Encode::Always,
        (_, Some(PixelFormat::H264)) => config::Encode::Never,
        (_, Some(_)) => config::Encode::Always,
        (_, None) if is_turned => config::Encode::Always,
        (_, None) => config.encode,
    }
}

/// Every critical section here leaves its data whole, so a panic elsewhere can't break it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The streams of a daemon, in the order of the configuration.
#[derive(Clone)]
pub struct Streams(Arc<[Arc<Stream>]>);

impl Streams {
    /// A set of streams; the first is the default one.
    pub fn new(streams: Vec<Arc<Stream>>) -> Self {
        Self(streams.into())
    }

    /// The stream of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<Stream>> {
        self.0.iter().find(|stream| stream.name() == name)
    }

    /// The first stream.
    pub fn default_stream(&self) -> Option<&Arc<Stream>> {
        self.0.first()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.0.iter()
    }
}
