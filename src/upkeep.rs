//! What goes on beside serving: systemd's status line and watchdog, the ladder for cameras that fall silent, and waking streams when a
//! camera is plugged in.

use crate::hotplug::Hotplug;
use crate::rtc::Plane;
use crate::stream::{Stream, Streams};
use crate::watchdog::{Fault, Sight, Watchdog};
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the daemon is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps systemd's status line true, and tells its watchdog that all is well while it is. Completes with the reason to give up; never where
/// no service manager would start the daemon anew.
pub async fn tend(streams: &Streams, plane: &Plane) -> String {
    let patience = sd_notify::watchdog_enabled();
    // Twice within what systemd waits.
    let interval = patience.map_or(INTERVAL, |patience| INTERVAL.min(patience / 2));
    let mut tick = tokio::time::interval(interval);
    let mut told = status(streams, plane);
    let mut watchdog = Watchdog::default();
    let mut given_up = None;
    loop {
        tick.tick().await;
        let now = status(streams, plane);
        if now != told {
            notify(&[NotifyState::Status(&now)]);
            told = now;
        }
        let sights: Vec<_> = streams.iter().map(|stream| sight(stream)).collect();
        let verdict = watchdog.look(Instant::now(), &sights, plane.pulse());
        for stream in verdict
            .resets
            .iter()
            .filter_map(|at| streams.iter().nth(*at))
        {
            reset(stream.clone());
        }
        match (verdict.fault, patience) {
            (Some(fault), Some(_)) => return describe(fault, streams),
            (Some(fault), None) if given_up != Some(fault) => {
                given_up = Some(fault);
                let what = describe(fault, streams);
                tracing::error!("{what}; start fanlight anew, or run it as a service that is");
            }
            (Some(_), None) => {}
            (None, Some(_)) => notify(&[NotifyState::Watchdog]),
            (None, None) => given_up = None,
        }
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
            format!("stream {name}: {fault}, though its camera is there")
        }
        Fault::Media => fault.to_string(),
    }
}

/// Blocks for a moment, so on a thread of its own.
fn reset(stream: Arc<Stream>) {
    tokio::task::spawn_blocking(move || {
        stream.channel().metrics().resets.inc();
        let name = stream.name();
        match stream.reset_source() {
            Ok(()) => tracing::warn!(stream = name, "the camera's USB device was reset"),
            Err(error) => tracing::warn!(stream = name, "no USB reset: {error}"),
        }
    });
}

/// Tells streams when a camera may have been plugged in, as long as what is returned lives.
pub fn watch_devices(streams: &Streams) -> Option<Hotplug> {
    let told = streams.clone();
    Hotplug::listen(move || told.iter().for_each(|stream| stream.plugged()))
        .inspect_err(|error| tracing::warn!(%error, "cameras that are plugged in are noticed late"))
        .ok()
}

/// For people who ask systemd.
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
