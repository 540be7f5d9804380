//! The daemon that is attacked, the viewer whose pictures are counted meanwhile, and the figures.

use crate::support::daemon::Daemon;
use crate::support::http;
use crate::viewer::Viewer;
use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A picture each tenth of a second, so that an attack that takes a processor leaves time to encode it.
const CONFIG: &str = "[[stream]]\nname = \"camera\"\npattern = true\nsize = \"320x180\"\nfps = 10\n\
    [limits]\nshared_addresses = []\n";
/// Most attackers are let in, since what they do then is what is looked at.
const OPEN: &str = "[auth]\nmode = \"none\"\n";

/// One attack at a time: what is measured is the attack, not its neighbours.
static ONE: Mutex<()> = Mutex::new(());

/// A daemon that somebody watches.
pub struct Target {
    pub daemon: Daemon,
    /// The DTLS of the viewer's handshake.
    pub handshake: Vec<Vec<u8>>,
    /// Sends from the viewer's address.
    pub socket: std::net::UdpSocket,
    /// The daemon's user name fragment in the viewer's session.
    pub ufrag: String,
    is_over: Arc<AtomicBool>,
    watching: JoinHandle<Vec<u32>>,
    dropped: f64,
    before: u64,
    started: Instant,
    slowest: Cell<Duration>,
    _one: MutexGuard<'static, ()>,
}

impl Target {
    /// Starts it, and lets somebody watch. The limits count loopback too, and a request's head must come within a second.
    pub fn start() -> Self {
        Self::with("header_time = \"1s\"\n")
    }

    /// With these further limits.
    pub fn with(limits: &str) -> Self {
        Self::configured(&format!("{CONFIG}{limits}{OPEN}"))
    }

    /// One that asks for its token.
    pub fn that_asks() -> Self {
        Self::configured(&format!("{CONFIG}header_time = \"1s\"\n"))
    }

    fn configured(toml: &str) -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let daemon = Daemon::configured(toml);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let asks = daemon.state_dir().join("token").exists();
        let path = match asks {
            true => format!("/whep?token={}", daemon.token()),
            false => "/whep".to_owned(),
        };
        let connect = Viewer::connect(daemon.address(), &path);
        let mut viewer = runtime.unwrap().block_on(connect);
        let mut counters = viewer.counters(5);
        counters.drain(..4);
        let ufrag = viewer.answered("a=ice-ufrag:").to_owned();
        let (handshake, socket) = (viewer.handshake.clone(), viewer.socket());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let watching = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                counters.extend(viewer.counters(1));
            }
            counters
        });
        // The peak is counted from here on.
        fs::write(format!("/proc/{}/clear_refs", daemon.pid()), "5").unwrap();
        let before = memory(&daemon, "VmRSS");
        let mut target = Self {
            daemon,
            handshake,
            socket,
            ufrag,
            is_over,
            watching,
            dropped: 0.0,
            before,
            started: Instant::now(),
            slowest: Cell::default(),
            _one: one,
        };
        target.dropped = target.metric("fanlight_frames_dropped_total{stream=\"camera\"}");
        target
    }

    pub fn address(&self) -> SocketAddr {
        self.daemon.address()
    }

    /// A metric's value.
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = http::get(self.address(), "/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {metrics}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    /// Somebody who did nothing wrong is answered. The slowest answer is among the figures.
    pub fn answers(&self) {
        let start = Instant::now();
        assert_eq!(http::get(self.address(), "/healthz").status, 200);
        self.slowest.set(self.slowest.get().max(start.elapsed()));
    }

    /// Looks at what the attack did: the daemon answers and needed no more than so many megabytes for it, and the viewer
    /// saw every picture that was encoded.
    pub fn check(self, attack: &str, most: u64) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.answers();
        let peak = memory(&self.daemon, "VmHWM");
        let after = memory(&self.daemon, "VmRSS");
        let dropped = self.metric("fanlight_frames_dropped_total{stream=\"camera\"}");
        let skipped = self.metric("fanlight_pictures_skipped_total");
        self.is_over.store(true, Ordering::Relaxed);
        let counters = self.watching.join().expect("the viewer watches to the end");
        assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
        let (first, last) = (counters[0], counters[counters.len() - 1]);
        let missing = last - first + 1 - counters.len() as u32;
        let of_the_encoder = (dropped - self.dropped) as u32;
        // Past the capture of the test's output: these are figures to keep.
        let _ = writeln!(
            std::io::stderr(),
            "{attack}: {seconds:.1} s, the slowest answer after {:.1?}; RSS {} MB before, {} at its peak, {} after; \
             {} pictures, {missing} missing, {of_the_encoder} dropped before they were encoded",
            self.slowest.get(),
            self.before / 1024,
            peak / 1024,
            after / 1024,
            counters.len(),
        );
        // An attack that takes the processor costs the encoder frames, which is no fault; of what is encoded, it must not cost the
        // viewer any.
        assert!(missing <= of_the_encoder, "{missing} of {counters:?}");
        assert_eq!(skipped, 0.0);
        let grown = peak.saturating_sub(self.before) / 1024;
        assert!(grown <= most, "{grown} MB more");
    }
}

/// In kilobytes, as `/proc/PID/status` names it.
fn memory(daemon: &Daemon, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let words = line.unwrap().split_whitespace().nth(1);
    words.unwrap().parse().unwrap()
}

/// A connection from that address of loopback, which gives up after a while.
pub fn connect_from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::new(IpAddr::from(ip), 0).into())
        .unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream
        .set_read_timeout(Some(crate::support::DEADLINE))
        .unwrap();
    stream
}
