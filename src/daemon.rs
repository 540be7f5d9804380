//! The daemon: bind, start, run, drain; supervision; what systemd is told.
//!
//! The order matters. Ports are bound first, so that a daemon that can't serve says so before it touches a camera.
//! Then the parts are started from the cameras outwards, and only when HTTP listens is the daemon ready. At the end the
//! viewers are told goodbye first, while there is time, and the cameras are closed last. Any part that ends
//! before that is a fault: the daemon drains and exits with an error, and systemd starts it anew.

use crate::capture::camera::Camera;
use crate::capture::pattern::Pattern;
use crate::capture::{Opener, Request};
use crate::config::{self, Config};
use crate::encode::Encoder;
use crate::http::{self, Clients, Context, Cors, EventStreams};
use crate::metrics::Metrics;
use crate::rtc::{Plane, UdpSocket};
use crate::shutdown::Shutdown;
use crate::state::State;
use crate::stream::{Stream, Streams};
use sd_notify::NotifyState;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Time for goodbyes, last replies and closing cameras.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often systemd's status line is brought up to date, if it changed.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// Attempts to find a port that is free for TCP and UDP, when any will do.
const PORT_ATTEMPTS: usize = 16;

/// Why the daemon can't start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A port can't be had.
    #[error("can't listen on {address} ({protocol}): {error}; {}", cure(.error))]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// `TCP` or `UDP`.
        protocol: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The system has no thread, poller or randomness.
    #[error("can't start: {0}")]
    Start(#[from] io::Error),
    /// A part of the daemon ended by itself.
    #[error("{0} ended unexpectedly; the log tells more")]
    Ended(String),
    /// The drain took too long.
    #[error("not everything could be closed within {DRAIN_TIMEOUT:?}")]
    Drain,
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "end the program that uses it (`ss -lntup` shows it) or choose another port with --listen"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; listen on [::] for all that it has"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; choose a higher one with --listen"
        }
        _ => "choose another address with --listen",
    }
}

/// A daemon whose ports are bound.
pub struct Daemon {
    config: Config,
    listener: TcpListener,
    socket: UdpSocket,
    http: SocketAddr,
}

impl Daemon {
    /// Binds the ports. With port 0 for HTTP, media gets the port that HTTP got.
    ///
    /// # Errors
    /// [`Fault::Bind`].
    pub fn bind(mut config: Config) -> Result<Self, Fault> {
        without_ipv6(&mut config);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::try_bind(&config) {
                Err(Fault::Bind {
                    protocol: "UDP",
                    error,
                    ..
                }) if error.kind() == io::ErrorKind::AddrInUse
                    && config.http.listen.port() == 0
                    && attempt < PORT_ATTEMPTS => {}
                Err(fault) => return Err(fault),
                Ok((listener, socket, http)) => {
                    return Ok(Self {
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
        let bind = |protocol, address| {
            move |error| Fault::Bind {
                address,
                protocol,
                error,
            }
        };
        let address = config.http.listen;
        let listener = http::bind(address).map_err(bind("TCP", address))?;
        let http = listener.local_addr().map_err(bind("TCP", address))?;
        let mut address = config.rtc.listen;
        if address.port() == 0 {
            address.set_port(http.port());
        }
        let socket = UdpSocket::bind(address).map_err(bind("UDP", address))?;
        Ok((listener, socket, http))
    }

    /// Where HTTP is bound.
    pub const fn http_addr(&self) -> SocketAddr {
        self.http
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
        if !Encoder::HAS_ASSEMBLY {
            tracing::warn!(
                "OpenH264 was built without its assembly and needs about three times the CPU: \
                 install nasm and build again"
            );
        }
        let metrics = Arc::new(Metrics::new());
        let streams = start_streams(&self.config, &metrics)?;
        // Taken as long as the daemon runs.
        let state = open_state(self.config.state.directory.as_deref());
        let plane = Arc::new(Plane::start(
            self.socket,
            self.config.rtc.external_addresses,
            self.config.limits.clone(),
            metrics.rtc(),
            state.as_ref(),
        )?);
        let shutdown = Shutdown::new();
        let context = Arc::new(Context {
            streams: streams.clone(),
            plane: plane.clone(),
            cors: Cors::new(self.config.http.cors_origins),
            whep: self.config.whep,
            clients: Arc::new(Clients::new(self.config.limits.clone())),
            limits: self.config.limits,
            events: Arc::new(EventStreams::default()),
            metrics,
            shutdown: shutdown.clone(),
        });
        let mut http = tokio::spawn(http::serve(self.listener, context));
        let mut parts = supervise(&plane, &streams);
        notify(&[
            NotifyState::Ready,
            NotifyState::Status(&status(&streams, &plane)),
        ]);
        let outcome = tokio::select! {
            () = end => Ok(()),
            _ = &mut http => Err(Fault::Ended("the HTTP server".into())),
            Some(Ok(part)) = parts.join_next() => Err(Fault::Ended(part)),
            () = report_status(&streams, &plane) => Ok(()),
        };
        tracing::info!(sessions = plane.sessions(), "stopping");
        notify(&[NotifyState::Stopping]);
        shutdown.cancel();
        outcome.and(drain(http, plane, streams).await)
    }
}

/// Where the system has no IPv6, its wildcard address means all of IPv4.
fn without_ipv6(config: &mut Config) {
    let any: SocketAddr = (std::net::Ipv6Addr::LOCALHOST, 0).into();
    let is_missing = std::net::UdpSocket::bind(any).is_err();
    for address in [&mut config.http.listen, &mut config.rtc.listen] {
        if is_missing && address.is_ipv6() && address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
        }
    }
}

/// The state directory. A daemon that can't keep anything serves all the same, and says what that means.
fn open_state(directory: Option<&Path>) -> Option<State> {
    let reason = match directory.map(State::open) {
        Some(Ok(state)) => return Some(state),
        Some(Err(error)) => error.to_string(),
        None => "no directory for it is known; name one with --state-dir".to_owned(),
    };
    tracing::warn!(
        "nothing is kept over a restart, and the DTLS certificate is a new one each time: {reason}"
    );
    None
}

fn start_streams(config: &Config, metrics: &Metrics) -> io::Result<Streams> {
    let start = |stream: &config::Stream| {
        let request = Request {
            size: stream.size,
            rate: stream.fps,
            format: stream.format,
        };
        let opener: Arc<dyn Opener> = match &stream.source {
            config::Source::Device(path) => Arc::new(Camera::new(path, request)),
            config::Source::Pattern(picture) => {
                Arc::new(Pattern::new(stream.name.as_str(), *picture, request))
            }
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

/// Keeps systemd's status line true; never completes.
async fn report_status(streams: &Streams, plane: &Plane) {
    let mut last = status(streams, plane);
    let mut interval = tokio::time::interval(STATUS_INTERVAL);
    loop {
        interval.tick().await;
        let now = status(streams, plane);
        if now != last {
            notify(&[NotifyState::Status(&now)]);
            last = now;
        }
    }
}

fn status(streams: &Streams, plane: &Plane) -> String {
    let each = streams.iter().map(|stream| {
        let viewers = stream.channel().metrics().viewers.get();
        let status = stream.status();
        match status.failure {
            Some(failure) => format!("{}: {}", stream.name(), failure.detail),
            None => format!(
                "{}: {}, {viewers} watching",
                stream.name(),
                status.state.name()
            ),
        }
    });
    let each = each.collect::<Vec<_>>().join("; ");
    format!("{} sessions; {each}", plane.sessions())
}

/// Tells systemd, where it started us.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "can't notify systemd");
    }
}
