//! A daemon within the test's process, on ports of its own, and requests to it.

use bytes::Bytes;
use fanlight::base::shutdown::Shutdown;
use fanlight::config::{AuthMode, Config, Source, Stream};
use fanlight::daemon::{Daemon, Fault};
use fanlight::media::{FrameRate, Size, TestPicture};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinHandle;

/// A running daemon.
pub struct Running {
    pub address: SocketAddr,
    end: Shutdown,
    task: JoinHandle<Result<(), Fault>>,
}

/// A small test pattern of that name.
pub fn pattern(name: &str) -> Stream {
    Stream {
        size: Size::new(640, 360),
        fps: FrameRate::whole(30),
        bitrate: 1_000_000,
        linger: Duration::ZERO,
        ..Stream::new(name, Source::Pattern(TestPicture::Bars))
    }
}

/// Starts a daemon with these streams on an address with a free port.
pub fn start(ip: &str, streams: Vec<Stream>) -> Running {
    let streams = |config: &mut Config| config.streams = streams;
    start_with(ip, streams)
}

/// Starts a daemon with a configuration that differs from the default in this.
pub fn start_with(ip: &str, change: impl FnOnce(&mut Config)) -> Running {
    run(ip, change, |daemon| daemon)
}

/// Starts a daemon of which more is changed than its configuration.
pub fn run(
    ip: &str,
    change: impl FnOnce(&mut Config),
    equip: impl FnOnce(Daemon) -> Daemon,
) -> Running {
    let listen = SocketAddr::new(ip.parse().unwrap(), 0);
    let mut config = Config {
        streams: vec![pattern("camera")],
        ..Config::default()
    };
    config.http.listen = listen;
    config.rtc.listen = listen;
    // It keeps nothing, and so nobody could know its token.
    config.auth.mode = AuthMode::None;
    change(&mut config);
    let daemon = equip(Daemon::bind(config).unwrap());
    let address = daemon.http_addr();
    let end = Shutdown::new();
    let signal = end.clone();
    let task = tokio::spawn(daemon.run(async move { signal.cancelled().await }));
    Running { address, end, task }
}

impl Running {
    /// The daemon as reached under another of its addresses.
    pub fn at(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.address.port())
    }

    /// Tells it to end.
    pub fn signal(&self) {
        self.end.cancel();
    }

    /// Ends it and returns what it returned.
    pub async fn stop(self) -> Result<(), Fault> {
        self.end.cancel();
        self.task.await.unwrap()
    }

    /// The value of a metric, named with its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = get(self.address, "/metrics").await;
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name} is not in {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// The state of a stream, as the API shows it.
    pub async fn stream(&self, name: &str) -> serde_json::Value {
        let text = get(self.address, &format!("/api/streams/{name}")).await;
        serde_json::from_str(&text).unwrap()
    }
}

/// Sends one request on a connection of its own.
pub async fn request(to: SocketAddr, request: Request<impl Into<Bytes>>) -> Response<Bytes> {
    let connection = tokio::net::TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) = handshake(TokioIo::new(connection)).await.unwrap();
    tokio::spawn(connection);
    let request = request.map(|body| Full::<Bytes>::new(body.into()));
    let reply = sender.send_request(request).await.unwrap();
    let (head, body) = reply.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// The body at a path.
pub async fn get(to: SocketAddr, path: &str) -> String {
    let get = Request::get(path).header("host", "localhost");
    let reply = request(to, get.body(String::new()).unwrap()).await;
    String::from_utf8(reply.into_body().to_vec()).unwrap()
}

/// Asks until the answer is yes, for a while.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        let now = tokio::time::Instant::now();
        assert!(now < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The path of a reference such as `Location` has it, as seen from another path (RFC 3986, 5.2.2).
pub fn resolve(base: &str, reference: &str) -> String {
    assert!(!reference.starts_with('/') && !reference.contains("..") && !reference.contains(':'));
    let folder = base.rsplit_once('/').unwrap().0;
    format!("{folder}/{reference}")
}
