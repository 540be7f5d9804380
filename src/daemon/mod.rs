//! The daemon: bind, start, run, drain; supervision; what systemd is told.
//!
//! The order matters. Ports are bound first, so that a daemon that can't serve says so before it touches a camera.
//! Then the parts are started from the cameras outwards, and only when HTTP listens is the daemon ready. At the end the
//! viewers are told goodbye first, while there is time, and the cameras are closed last. Any part that ends
//! before that is a fault: the daemon drains and exits with an error, and systemd starts it anew.

mod fault;
pub mod housekeeping;
mod ports;
pub mod preflight;
pub mod process;
pub mod serving;
pub mod signals;
pub mod watchdog;

use crate::access::Access;
use crate::access::identity;
use crate::access::judge::{Host, Policy, Token, cookie};
use crate::access::permissions;
use crate::base::addresses::{Interfaces, host_names};
use crate::base::heartbeat::Heartbeat;
use crate::base::holders::Transport;
use crate::base::shutdown::Shutdown;
use crate::base::state_dir::{StateDir, StateError};
use crate::capture::camera::{Camera, Claims, Slot, Wishes};
use crate::capture::pattern::Pattern;
use crate::capture::{Opener, Request};
use crate::codec::encode::Encoder;
use crate::config::{self, Config};
use crate::controls::{Controls, Kept as KeptControls, Restoring};
use crate::http::{
    self, Answers, Clients, Context, Cors, EventStreams, Leases, Listeners, MediaDoor, Patches,
    Places, Readers,
};
use crate::metrics::Metrics;
use crate::rtc::{Plane, UdpSocket};
use crate::stream::{self, Making, Stream, Streams};
use crate::tls::Tls;
pub use fault::Fault;
use housekeeping::{Upkeep, notify};
pub use ports::without_ipv6;
use ports::{bind_media, bind_redirect, has_media};
use sd_notify::NotifyState;
use serving::Serving;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Time for goodbyes, last replies and closing cameras.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Attempts to find a port that is free for TCP and UDP, when any will do.
const PORT_ATTEMPTS: usize = 16;

/// A daemon whose ports are bound.
pub struct Daemon {
    config: Config,
    listener: TcpListener,
    socket: UdpSocket,
    http: SocketAddr,
    redirect: Option<TcpListener>,
    media: Option<TcpListener>,
    kept: Durable,
    slots: Slots,
    open: Box<OpenSource>,
}

/// The streams' cameras.
type Slots = BTreeMap<String, Arc<Slot>>;

/// A function that makes the opener of a stream's source.
type OpenSource = dyn Fn(&config::Stream) -> Arc<dyn Opener> + Send + Sync;

/// The contents of the state directory, and the values made of them.
struct Durable {
    /// Taken as long as the daemon runs.
    state: Option<Arc<StateDir>>,
    /// Why it can't be taken, of one that is known.
    refused: Option<StateError>,
    access: Arc<Access>,
    tls: Option<Tls>,
    interfaces: Interfaces,
    metrics: Arc<Metrics>,
}

impl Durable {
    fn open(config: &Config, http: SocketAddr) -> Result<Self, Fault> {
        let metrics = Arc::new(Metrics::new());
        let (state, refused) = open_state(config.state.directory.as_deref());
        let foreign = state.as_deref().and_then(permissions::foreign);
        let loose = permissions::check(state.as_deref(), config);
        for loose in foreign.into_iter().chain(loose) {
            tracing::warn!("{loose}");
        }
        let access = Access::start(
            &config.auth,
            policy(&config.http),
            state.clone(),
            metrics.auth(),
        )?;
        let tls = config.tls.as_ref();
        let interfaces = Interfaces::read();
        let start = |tls: &config::Tls| {
            Tls::start(
                &tls.certificate,
                state.as_deref(),
                host_names(),
                &interfaces,
            )
        };
        let tls = tls.map(start);
        let tls = tls.transpose()?;
        if let Some(state) = &state {
            Serving::new(config, http).note(state);
        }
        Ok(Self {
            state,
            refused,
            access: Arc::new(access),
            tls,
            interfaces,
            metrics,
        })
    }
}

impl Daemon {
    /// Binds the ports, and reads or makes what is kept over a restart. With port 0 for HTTP, media gets the port that
    /// HTTP got.
    ///
    /// # Errors
    /// [`Fault::Bind`], [`Fault::Access`], [`Fault::Tls`].
    pub fn bind(mut config: Config) -> Result<Self, Fault> {
        without_ipv6(&mut config);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::try_bind(&config) {
                Err(Fault::Bind {
                    transport: Transport::Udp,
                    error,
                    ..
                }) if error.kind() == io::ErrorKind::AddrInUse
                    && config.http.listen.port() == 0
                    && attempt < PORT_ATTEMPTS => {}
                Err(fault) => return Err(fault),
                Ok((listener, socket, http)) => {
                    let slots = Claims::slots(&config);
                    return Ok(Self {
                        redirect: bind_redirect(&config)?,
                        media: bind_media(&config)?,
                        kept: Durable::open(&config, http)?,
                        open: openers(&slots),
                        slots,
                        config,
                        listener,
                        socket,
                        http,
                    });
                }
            }
        }
    }

    fn try_bind(config: &Config) -> Result<(TcpListener, UdpSocket, SocketAddr), Fault> {
        let address = config.http.listen;
        let listener = http::bind(address).map_err(Fault::bind(Transport::Tcp, address))?;
        let http = listener
            .local_addr()
            .map_err(Fault::bind(Transport::Tcp, address))?;
        let mut address = config.rtc.listen;
        if address.port() == 0 {
            address.set_port(http.port());
        }
        let socket = UdpSocket::bind(address).map_err(Fault::bind(Transport::Udp, address))?;
        Ok((listener, socket, http))
    }

    /// Has the streams' sources opened by others than those that the configuration means.
    #[must_use]
    pub fn with_sources(
        mut self,
        open: impl Fn(&config::Stream) -> Arc<dyn Opener> + Send + Sync + 'static,
    ) -> Self {
        self.open = Box::new(open);
        self
    }

    /// Where HTTP is bound.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where plain HTTP is sent to HTTPS, besides there.
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect.as_ref()?.local_addr().ok()
    }

    /// Where media over TCP is listened for, if it is.
    pub fn tcp_media_addr(&self) -> Option<SocketAddr> {
        match &self.media {
            Some(listener) => listener.local_addr().ok(),
            None => has_media(&self.config).then_some(self.http),
        }
    }

    /// The daemon's own token, if the page needs it.
    pub fn token(&self) -> Option<Token> {
        self.kept.access.token()
    }

    /// Where and how it serves.
    pub fn serving(&self) -> Serving {
        Serving::new(&self.config, self.http)
    }

    /// Whether `fanlight url` and `fanlight share` beside this daemon find its token.
    pub fn keeps_token(&self) -> bool {
        self.kept.state.is_some() && self.kept.access.unkept().is_none()
    }

    /// The daemon, unless nobody could ever watch: the token is in no directory where a command reads it, and that won't change by
    /// itself. Not to be asked of a daemon that tells people its token.
    ///
    /// # Errors
    /// [`Fault::State`].
    pub fn that_can_be_watched(mut self) -> Result<Self, Fault> {
        if self.token().is_none() {
            return Ok(self);
        }
        let refused = self.kept.refused.take();
        match refused.or_else(|| self.kept.access.unkept()) {
            Some(error) if error.is_lasting() || matches!(error, StateError::InUse(_)) => {
                Err(Fault::State(error))
            }
            _ => Ok(self),
        }
    }

    /// The addresses of this machine.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.kept.interfaces.addresses()
    }

    /// Where media is bound.
    pub const fn rtc_addr(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// Serves until `end` completes, then drains. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When a part of the daemon fails or the drain takes too long.
    pub async fn run(self, end: impl Future<Output = ()>) -> Result<(), Fault> {
        let tcp_media = self.tcp_media_addr();
        let has_media = has_media(&self.config);
        if !Encoder::HAS_ASSEMBLY {
            tracing::warn!(
                "OpenH264 was built without assembly code and needs about three times the CPU: \
                 install nasm and build fanlight again"
            );
        }
        let Durable {
            state,
            access,
            tls,
            interfaces,
            metrics,
            ..
        } = self.kept;
        let directory = state.as_ref().map(|state| state.directory().to_owned());
        let controls = Controls::new(self.slots, &KeptControls::new(directory));
        let streams = start_streams(&self.config, &self.open, &controls, &metrics)?;
        let plane = Arc::new(Plane::start(
            self.socket,
            tcp_media,
            self.config.rtc,
            interfaces.clone(),
            self.config.limits.clone(),
            metrics.rtc(),
            state.as_deref(),
        )?);
        let (shutdown, heartbeat) = (Shutdown::new(), Arc::new(Heartbeat::default()));
        let context = Arc::new(Context {
            streams: streams.clone(),
            controls,
            plane: plane.clone(),
            access,
            tls,
            leases: Leases::default(),
            port: self.http.port(),
            cookie: cookie::of_daemon(&identity::of(state.as_deref())),
            frame_ancestors: self.config.http.frame_ancestors,
            cors: Cors::new(self.config.http.cors_origins),
            answers: Answers::default(),
            whep: self.config.whep,
            jpegs: making(self.config.http.mjpeg),
            clients: Clients::new(self.config.limits.clone()),
            patches: Patches::default(),
            places: Arc::new(Places::new(self.config.limits.clone())),
            heartbeat: heartbeat.clone(),
            media: MediaDoor::new(&self.config.limits),
            has_media,
            limits: self.config.limits,
            events: Arc::new(EventStreams::default()),
            readers: Arc::new(Readers::default()),
            metrics,
            shutdown: shutdown.clone(),
        });
        let listeners = Listeners {
            main: self.listener,
            redirect: self.redirect,
            media: self.media,
        };
        let mut http = tokio::spawn(http::serve(listeners, context));
        let mut parts = supervise(&plane, &streams);
        let _hotplug = housekeeping::watch_devices(&streams);
        notify(&[
            NotifyState::Ready,
            NotifyState::Status(&housekeeping::status(&streams, &plane)),
        ]);
        let mut upkeep = Upkeep::start(streams.clone(), plane.clone(), heartbeat)?;
        let outcome = tokio::select! {
            () = end => Ok(()),
            _ = &mut http => Err(Fault::Ended("the HTTP server".into())),
            Some(Ok(part)) = parts.join_next() => Err(Fault::Ended(part)),
            why = upkeep.given_up() => Err(Fault::GaveUp(why)),
            never = interfaces.follow() => match never {},
            never = plane.clone().follow_network() => match never {},
        };
        drop(upkeep);
        tracing::info!(sessions = plane.sessions(), "stopping");
        notify(&[NotifyState::Stopping]);
        shutdown.cancel();
        outcome.and(drain(http, plane, streams).await)
    }
}

/// How JPEG images are made, if they are.
fn making(mjpeg: config::Mjpeg) -> Option<Making> {
    (mjpeg.fps > 0).then(|| Making {
        interval: Duration::from_secs(1) / mjpeg.fps,
        quality: mjpeg.quality as u8,
    })
}

/// The rules besides proofs: whose pages may rely on the browser, and the names by which this daemon is known.
fn policy(http: &config::Http) -> Policy {
    Policy {
        origins: http.cors_origins.clone(),
        may_be_framed: !http.frame_ancestors.is_empty(),
        hosts: own_hosts(http),
    }
}

/// The names under which this daemon is reached: those of its host, and those of the configuration.
pub fn own_hosts(http: &config::Http) -> Vec<String> {
    let names = host_names();
    // Without the domain, as a search list completes it (resolv.conf(5)).
    let short = names.iter().filter_map(|name| name.strip_suffix(".local"));
    let short: Vec<_> = short.map(str::to_owned).collect();
    let public = http.public_url.as_deref().and_then(|url| {
        let (authority, _) = url.split_once("://")?.1.split_once('/')?;
        Some(Host::parse(authority)?.name.to_owned())
    });
    let mut all = Vec::new();
    for name in names
        .into_iter()
        .chain(short)
        .chain(http.hosts.clone())
        .chain(public)
    {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The state directory, or why there is none. A daemon that can't keep anything says what that means.
fn open_state(directory: Option<&Path>) -> (Option<Arc<StateDir>>, Option<StateError>) {
    let error = match directory.map(StateDir::open) {
        Some(Ok(state)) => return (Some(Arc::new(state)), None),
        Some(Err(error)) => Some(error),
        None => None,
    };
    let reason = match &error {
        Some(error) => error.to_string(),
        None => "no state directory is known; name one with --state-dir".to_owned(),
    };
    tracing::warn!(
        "nothing survives a restart, and the DTLS certificate is a new one each time: {reason}"
    );
    (None, error)
}

/// Opens what the configuration means.
fn openers(slots: &Slots) -> Box<OpenSource> {
    let slots = slots.clone();
    Box::new(move |stream| {
        let request = Request {
            size: stream.size,
            rate: stream.fps,
            format: stream.format,
        };
        match &stream.source {
            config::Source::Device(device) => {
                let slot = slots.get(&stream.name).cloned();
                let slot = slot.unwrap_or_else(|| Claims::new([]).slot(device.clone()));
                let camera = Camera::new(slot, request, stream.backend);
                Arc::new(camera.encoding(Wishes {
                    bitrate: stream.bitrate,
                    keyframe_interval: stream::group_of_camera(stream),
                }))
            }
            config::Source::Pattern(picture) => {
                Arc::new(Pattern::new(stream.name.as_str(), *picture, request))
            }
        }
    })
}

fn start_streams(
    config: &Config,
    open: &OpenSource,
    controls: &Controls,
    metrics: &Metrics,
) -> io::Result<Streams> {
    let start = |stream: &config::Stream| {
        let opener = match controls.of(&stream.name) {
            Some(device) => Arc::new(Restoring::new(device.clone(), open(stream))),
            None => open(stream),
        };
        Stream::start(stream.clone(), opener, metrics.stream(&stream.name))
    };
    let streams: io::Result<_> = config.streams.iter().map(start).collect();
    streams.map(Streams::new)
}

/// Tasks that complete with the name of a part of the daemon that ended.
fn supervise(plane: &Arc<Plane>, streams: &Streams) -> JoinSet<String> {
    let mut parts = JoinSet::new();
    let plane = plane.clone();
    parts.spawn(async move {
        plane.ended().await;
        "the media thread".to_owned()
    });
    for stream in streams.iter() {
        let stream = stream.clone();
        parts.spawn(async move {
            stream.ended().await;
            format!("stream {}", stream.name())
        });
    }
    parts
}

/// Goodbyes first, while HTTP finishes its replies; cameras last.
async fn drain(
    http: tokio::task::JoinHandle<()>,
    plane: Arc<Plane>,
    streams: Streams,
) -> Result<(), Fault> {
    let close = tokio::task::spawn_blocking(move || {
        plane.stop();
        streams.iter().for_each(|stream| stream.signal());
        streams.iter().for_each(|stream| stream.join());
    });
    let all = async {
        // A part that panicked has said so in the log; one that has ended can't be waited for again.
        if !http.is_finished() {
            let _ = http.await;
        }
        let _ = close.await;
    };
    tokio::time::timeout(DRAIN_TIMEOUT, all)
        .await
        .map_err(|_| Fault::Drain)
}
