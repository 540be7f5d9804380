//! A named stream: its demand gate, its state, and the hub that its access units leave by.
//!
//! A [`Stream`] is the handle that the rest of the daemon holds. The work is done by its encode thread
//! (`run`), which opens the source when somebody wants pictures and closes it when nobody does, and which
//! owns the only retry loop there is.

mod capture;
mod channel;
pub mod hub;
mod jpegs;
mod passthrough;
pub mod policy;
mod status;
#[cfg(test)]
mod tests;
mod worker;

pub use self::policy::Keyframes;
use crate::base::shutdown::Shutdown;
use crate::base::sync::{Condvar, Mutex};
use crate::capture::{ErrorKind, Opener, Wanted};
use crate::codec::encode::Settings;
use crate::codec::health::Flaw;
use crate::config;
use crate::media::{Orientation, PixelFormat, Profile, ProfileLevelId, Profiles};
use crate::metrics::{self, Measured, Meter};
pub use capture::picture_health::Flaws;
pub use channel::{Channel, Terms};
pub use jpegs::{Jpeg, Making, Watcher};
use passthrough::Passing;
pub use status::{Failure, State, Status};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

struct Control {
    demand: usize,
    /// When the last demand ended, while there is none; of a source that is always open until that was acted on.
    unwanted_since: Option<Instant>,
    stopping: bool,
    /// A device was plugged in since the source was opened last.
    plugged: bool,
    status: Status,
    /// The profile and level of the last sequence parameter set.
    profile_level_id: ProfileLevelId,
    passing: Passing,
}

/// How long it may go unnoticed that an idle stream's source comes or goes.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A handle to a running stream. Dropping the last one does not end it: see [`Stream::signal`].
pub struct Stream {
    config: config::Stream,
    opener: Arc<dyn Opener>,
    source: String,
    channel: Arc<Channel>,
    control: Mutex<Control>,
    /// Pictures of the source that were published.
    delivered: AtomicU64,
    meter: Mutex<Meter>,
    /// Whether the source was there, and when that was looked at.
    seen: Mutex<Option<(Instant, bool)>>,
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
        metrics: metrics::StreamMetrics,
    ) -> std::io::Result<Arc<Self>> {
        let failures = ErrorKind::ALL.map(ErrorKind::name);
        metrics.begin(
            &State::ALL.map(State::name),
            failures.into_iter().chain(worker::OTHER_FAILURES),
            Flaw::ALL.map(Flaw::name),
        );
        let stream = Arc::new(Self {
            source: opener.describe(),
            opener: opener.clone(),
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
                plugged: false,
                status: Status::idle(Instant::now()),
                profile_level_id: asked(&config).profile_level_id(),
                passing: Passing::new(encode(&config)),
            }),
            delivered: AtomicU64::new(0),
            meter: Mutex::new(Meter::new(Instant::now())),
            seen: Mutex::default(),
            changed: Condvar::default(),
            ended: Shutdown::new(),
            thread: Mutex::new(None),
            config,
        });
        let thread = worker::spawn(stream.clone(), opener)?;
        *stream.thread.lock() = Some(thread);
        Ok(stream)
    }

    /// The name in the URL.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// The stream's configuration.
    pub fn config(&self) -> &config::Stream {
        &self.config
    }

    /// The name of the source: `/dev/video0`, `test pattern`.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The encoder's settings if the source grants the request.
    fn asked(&self) -> Settings {
        asked(&self.config)
    }

    /// Resets the source's hardware. May block for a second.
    ///
    /// # Errors
    /// Why it can't be done.
    pub fn reset_source(&self) -> Result<(), String> {
        self.opener.reset()
    }

    /// Its pictures, for viewers.
    pub const fn channel(&self) -> &Arc<Channel> {
        &self.channel
    }

    /// Wants pictures for one who plays that profile until the guard is dropped: opens the source.
    pub fn demand(self: &Arc<Self>, plays: Profile) -> Demand {
        self.demand_for(Some(plays))
    }

    /// Whether there can be frames, of which images can be made. That there are none may turn out only when they are wanted.
    pub fn may_have_frames(&self) -> bool {
        self.control.lock().passing.may_have_frames()
    }

    /// Wants frames until the guard is dropped, if there [can be](Self::may_have_frames) any.
    pub fn demand_frames(self: &Arc<Self>) -> Demand {
        self.demand_for(None)
    }

    fn demand_for(self: &Arc<Self>, plays: Option<Profile>) -> Demand {
        let now = Instant::now();
        let mut control = self.control.lock();
        control.demand += 1;
        control.passing.join(now, plays);
        control.unwanted_since = None;
        self.changed.notify_all();
        Demand {
            is_unserved: control.passing.objection(now).is_some(),
            stream: self.clone(),
            plays,
        }
    }

    /// The profiles that the video may have.
    pub fn profiles(&self) -> Profiles {
        self.control.lock().passing.profiles()
    }

    /// The profile and level of the video's sequence parameter set, or the expected ones before there is one.
    pub fn profile_level_id(&self) -> ProfileLevelId {
        self.control.lock().profile_level_id
    }

    /// The current status.
    pub fn status(&self) -> Status {
        self.control.lock().status.clone()
    }

    /// Whether its source is to be open now: somebody wants pictures, or it always is.
    pub fn is_wanted(&self) -> bool {
        let control = self.control.lock();
        !control.stopping && (self.config.always_on || control.demand > 0)
    }

    /// The number of the source's pictures that were published so far. Slates don't count.
    pub fn deliveries(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// A picture of the source was published, of that many bytes.
    fn delivered(&self, bytes: usize) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        self.meter.lock().add(Instant::now(), bytes);
    }

    /// The rates measured in the last seconds, if pictures flow.
    pub fn measured(&self, now: Instant) -> Option<Measured> {
        self.meter.lock().measure(now)
    }

    /// Whether its source is there now, also while nobody watches. It is not opened for that.
    pub fn is_present(&self, now: Instant) -> bool {
        if self.control.lock().status.state == State::Live {
            return true;
        }
        let mut seen = self.seen.lock();
        let recent = seen.filter(|(at, _)| now.saturating_duration_since(*at) < LOOK_AGAIN);
        let (_, is_there) = *seen.insert(recent.unwrap_or_else(|| (now, self.opener.is_there())));
        is_there
    }

    /// Tells the stream that a device was plugged in: if it waits for its own, it tries again now.
    pub fn plugged(&self) {
        let mut control = self.control.lock();
        control.plugged = true;
        // A camera that delivers has not become another one.
        if control.status.state != State::Live {
            control.passing.may_be_another();
        }
        drop(control);
        self.changed.notify_all();
    }

    /// The source is closed: what was plugged in while it was open may be in its place.
    fn closed(&self) {
        let mut control = self.control.lock();
        if control.plugged {
            control.passing.may_be_another();
        }
    }

    /// Tells the stream to end.
    pub fn signal(&self) {
        self.control.lock().stopping = true;
        self.changed.notify_all();
    }

    /// Waits until a stream that was told to end has closed its source.
    pub fn join(&self) {
        let thread = self.thread.lock().take();
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

    /// Whether a source that is always open was opened for frames that nobody needs any more, and may have H.264 that will do.
    fn is_to_open_anew(&self, wanted: Wanted) -> bool {
        let control = self.control.lock();
        wanted == Wanted::Frames && control.passing.may_do() && self.is_left_open(&control)
    }

    /// Whether its source is always open, and the last viewer left as long ago as others linger.
    fn is_left_open(&self, control: &Control) -> bool {
        let is_over = |since: Instant| since.elapsed() >= self.config.linger;
        self.config.always_on && control.demand == 0 && control.unwanted_since.is_some_and(is_over)
    }

    /// Whether nobody watches any more. Of a source that is always open it is told once.
    fn is_left(&self) -> bool {
        let mut control = self.control.lock();
        if !self.config.always_on {
            return control.demand == 0;
        }
        let is_left = self.is_left_open(&control);
        if is_left {
            control.unwanted_since = None;
        }
        is_left
    }

    /// Whether the source is to stay open.
    fn is_still_wanted(&self) -> bool {
        let control = self.control.lock();
        !control.stopping && !self.is_unwanted(&control, Instant::now())
    }

    /// Waits until pictures are wanted; the stream is idle until then. `false` when it is to end.
    fn wait_for_demand(&self) -> bool {
        let idles =
            |control: &Control| !control.stopping && control.demand == 0 && !self.config.always_on;
        if idles(&self.control.lock()) {
            self.set_status(Status::rests);
        }
        let control = self
            .changed
            .wait_while(self.control.lock(), |control| idles(control));
        !control.stopping
    }

    /// Waits until then, or until something happens meanwhile.
    fn rest(&self, until: Instant) -> Rested {
        let mut control = self.control.lock();
        let demand = control.demand;
        loop {
            let now = Instant::now();
            if control.stopping || self.is_unwanted(&control, now) {
                return Rested::Unwanted;
            }
            if std::mem::take(&mut control.plugged) {
                return Rested::Plugged;
            }
            if now >= until || control.demand > demand {
                return Rested::Enough;
            }
            let over = control.unwanted_since.filter(|_| !self.config.always_on);
            let over = over.map(|since| since + self.config.linger);
            let until = over.map_or(until, |over| over.min(until));
            control = self.changed.wait_timeout(control, until - now);
        }
    }

    fn set_status(&self, change: impl FnOnce(&mut Status, Instant, &metrics::StreamMetrics)) {
        let mut control = self.control.lock();
        change(&mut control.status, Instant::now(), self.channel.metrics());
    }
}

/// The reason for which a [`Stream::rest`] ended.
enum Rested {
    /// It is time, or somebody has joined.
    Enough,
    /// A device was plugged in.
    Plugged,
    /// The stream is to end, or nobody wants it any more.
    Unwanted,
}

fn asked(config: &config::Stream) -> Settings {
    Settings {
        size: config.orientation().size(config.size.even()),
        rate: config.fps,
        bitrate: config.bitrate,
    }
}

/// The stream's source stays open as long as this guard lives.
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
        let mut control = self.stream.control.lock();
        control.demand -= 1;
        control.passing.leave(self.plays);
        if control.demand == 0 {
            control.unwanted_since = Some(Instant::now());
            self.stream.changed.notify_all();
        }
    }
}

/// Time from one keyframe to the next that is asked of a camera that encodes by itself: that of the configuration, but so short that it is not
/// taken for one that makes none.
pub fn group_of_camera(config: &config::Stream) -> Duration {
    config
        .keyframe_interval
        .min(capture::unit_cutter::LONGEST_ASKED)
}

/// The kind of data that a stream with this configuration asks of its source when it first opens it.
pub fn wanted(config: &config::Stream) -> Wanted {
    Passing::new(encode(config)).wanted(Instant::now())
}

/// The configured encoding, with the effects of the rest of the configuration.
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
