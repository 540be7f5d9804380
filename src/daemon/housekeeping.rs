//! Work beside serving: systemd's status line and watchdog, the ladder for cameras that fall silent, and waking streams when a
//! camera is plugged in.

use super::watchdog::{Fault, Sight, Turns, Watchdog};
use crate::base::heartbeat::Heartbeat;
use crate::capture::hotplug::Hotplug;
use crate::rtc::Plane;
use crate::stream::{Stream, Streams};
use sd_notify::NotifyState;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The interval between two looks at the daemon.
const INTERVAL: Duration = Duration::from_secs(5);

/// The thread that watches over the daemon. Neither strangers' requests nor a stuck part delay what it tells systemd's
/// watchdog. The thread ends when this is dropped.
pub struct Upkeep {
    given_up: oneshot::Receiver<String>,
    _end: SyncSender<()>,
}

/// The thread's own state.
struct Housekeeper {
    streams: Streams,
    plane: Arc<Plane>,
    heartbeat: Arc<Heartbeat>,
    watchdog: Watchdog,
    /// The time that systemd waits, if it does.
    patience: Option<Duration>,
    /// The status line that systemd has.
    told: String,
    /// The fault that the log has, where no service manager would start the daemon anew.
    said: Option<Fault>,
}

impl Upkeep {
    /// Keeps systemd's status line true, and tells its watchdog that all is well while it is.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        streams: Streams,
        plane: Arc<Plane>,
        heartbeat: Arc<Heartbeat>,
    ) -> io::Result<Self> {
        let (give_up, given_up) = oneshot::channel();
        // Nothing is sent: the thread ends when the sender is dropped.
        let (end, ended) = sync_channel(0);
        let patience = sd_notify::watchdog_enabled();
        let mut watch = Housekeeper {
            told: status(&streams, &plane),
            streams,
            plane,
            heartbeat,
            watchdog: Watchdog::default(),
            patience,
            said: None,
        };
        // Twice within what systemd waits.
        let interval = patience.map_or(INTERVAL, |patience| INTERVAL.min(patience / 2));
        let work = move || {
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                if let Some(why) = watch.look(Instant::now()) {
                    // Nobody listens when the daemon ends anyway.
                    let _ = give_up.send(why);
                    return;
                }
            }
        };
        Builder::new().name("upkeep".into()).spawn(work)?;
        Ok(Self {
            given_up,
            _end: end,
        })
    }

    /// Completes with the reason to give up; never where no service manager would start the daemon anew.
    pub async fn given_up(&mut self) -> String {
        let why = (&mut self.given_up).await;
        why.unwrap_or_else(|_| "the thread that watches over the daemon ended".to_owned())
    }
}

impl Housekeeper {
    /// Looks once. The reason to give up, if there is one: then systemd's watchdog hears nothing more.
    fn look(&mut self, now: Instant) -> Option<String> {
        let (streams, plane) = (&self.streams, &self.plane);
        let status = status(streams, plane);
        if status != self.told {
            notify(&[NotifyState::Status(&status)]);
            self.told = status;
        }
        let sights: Vec<_> = streams.iter().map(|stream| sight(stream)).collect();
        let turns = Turns {
            media: plane.pulse(),
            http: Some(self.heartbeat.ask()),
        };
        let verdict = self.watchdog.look(now, &sights, turns);
        let silent = verdict.resets.iter();
        for stream in silent.filter_map(|at| streams.iter().nth(*at)) {
            reset(stream.clone());
        }
        match (verdict.fault, self.patience) {
            (Some(fault), Some(_)) => return Some(describe(fault, streams)),
            (Some(fault), None) if self.said != Some(fault) => {
                self.said = Some(fault);
                let what = describe(fault, streams);
                tracing::error!(
                    "{what}; restart fanlight, or run it as a service that restarts by itself"
                );
            }
            (Some(_), None) => {}
            (None, Some(_)) => notify(&[NotifyState::Watchdog]),
            (None, None) => self.said = None,
        }
        None
    }
}

fn sight(stream: &Stream) -> Sight {
    let config = stream.config();
    let failure = stream.status().failure;
    Sight {
        is_wanted: config.watchdog && stream.is_wanted(),
        has_camera: failure.is_none_or(|failure| failure.has_camera),
        deliveries: stream.deliveries(),
        may_reset: config.usb_reset,
    }
}

fn describe(fault: Fault, streams: &Streams) -> String {
    match fault {
        Fault::Stream(at) => {
            let name = streams.iter().nth(at).map_or("", |stream| stream.name());
            format!("stream {name}: {fault}, though its camera is connected")
        }
        Fault::Media | Fault::Http => fault.to_string(),
    }
}

/// Blocks for a moment, so on a thread of its own.
fn reset(stream: Arc<Stream>) {
    let name = stream.name().to_owned();
    let work = move || {
        stream.channel().metrics().resets.inc();
        let name = stream.name();
        match stream.reset_source() {
            Ok(()) => tracing::warn!(stream = name, "the camera's USB device was reset"),
            Err(error) => tracing::warn!(stream = name, "no USB reset: {error}"),
        }
    };
    if let Err(error) = Builder::new().name("usb-reset".into()).spawn(work) {
        tracing::warn!(stream = name, "no USB reset: {error}");
    }
}

/// Tells streams when a camera may have been plugged in, as long as the returned guard lives.
pub fn watch_devices(streams: &Streams) -> Option<Hotplug> {
    let told = streams.clone();
    Hotplug::listen(move || told.iter().for_each(|stream| stream.plugged()))
        .inspect_err(|error| tracing::warn!(%error, "newly connected cameras are noticed late"))
        .ok()
}

/// The status line for people who ask systemd.
pub fn status(streams: &Streams, plane: &Plane) -> String {
    let each = streams.iter().map(|stream| {
        let viewers = stream.channel().metrics().viewers.get();
        let status = stream.status();
        let state = status.state.name();
        match status.failure {
            Some(failure) => format!("{}: {state}: {}", stream.name(), failure.detail),
            None => format!("{}: {state}, {viewers} watching", stream.name()),
        }
    });
    let each = each.collect::<Vec<_>>().join("; ");
    format!("{} sessions; {each}", plane.sessions())
}

/// Tells systemd, where it started us.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "can't notify systemd");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    /// The watchdog's verdict on an HTTP server that has this heartbeat.
    fn verdict(heartbeat: &Heartbeat, watchdog: &mut Watchdog, now: Instant) -> Option<Fault> {
        let turns = Turns {
            media: None,
            http: Some(heartbeat.ask()),
        };
        watchdog.look(now, &[], turns).fault
    }

    #[test]
    fn a_runtime_whose_workers_are_stuck_gives_no_sign_of_life() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap();
        let heartbeat = Arc::new(Heartbeat::default());
        let beating = heartbeat.clone();
        runtime.spawn(async move { beating.answer().await });
        let before = heartbeat.ask();
        let deadline = Instant::now() + Duration::from_secs(30);
        while heartbeat.ask() == before {
            assert!(Instant::now() < deadline, "it never beats");
            std::thread::yield_now();
        }
        // Both are stuck from here on.
        let barrier = Arc::new(Barrier::new(3));
        for _ in 0..2 {
            let barrier = barrier.clone();
            runtime.spawn(async move {
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        let (mut watchdog, now) = (Watchdog::default(), Instant::now());
        assert_eq!(verdict(&heartbeat, &mut watchdog, now), None);
        let later = now + Watchdog::TURN;
        assert_eq!(
            verdict(&heartbeat, &mut watchdog, later),
            None,
            "the first look at it"
        );
        let later = later + Watchdog::TURN;
        assert_eq!(verdict(&heartbeat, &mut watchdog, later), Some(Fault::Http));
        barrier.wait();
    }
}
