//! The daemon as a process: its runtime, its signals, and what it prints first.

mod opening;

use super::preflight;
use super::signals::Signals;
use crate::base::shutdown::Shutdown;
use crate::config::Config;
use crate::daemon::{Daemon, Fault};
use std::io::{self, IsTerminal};

/// Serves until a signal ends it. A second signal ends the process at once.
///
/// # Errors
/// When it can't start, or a part of it fails.
pub fn serve(config: Config) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(config));
    // A resource that could not be closed in time, such as a camera whose driver blocks, must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn run(config: Config) -> Result<(), Fault> {
    // Before anything else, so that no signal ends the process without a goodbye.
    let signals = Signals::listen()?;
    let cameras = config.clone();
    let mut daemon = Daemon::bind(config)?;
    // A terminal is told the token.
    if !io::stdout().is_terminal() {
        daemon = daemon.that_can_be_watched()?;
    }
    let end = Shutdown::new();
    // Of its own, so that it listens during the drain too, and after a fault.
    tokio::spawn(obey(signals, end.clone()));
    // It asks the cameras' drivers, and none of them keeps the daemon from serving.
    tokio::task::spawn_blocking(move || {
        for absent in preflight::absent_cameras(&cameras) {
            tracing::warn!("{absent}");
        }
    });
    opening::print(&daemon);
    tracing::info!(http = %daemon.http_addr(), media = %daemon.rtc_addr(), "listening");
    if let Some(tcp_media) = daemon.tcp_media_addr() {
        tracing::debug!(%tcp_media, "taking media over TCP too");
    }
    if let Some(redirect) = daemon.redirect_addr() {
        tracing::info!(%redirect, "sending plain HTTP to HTTPS");
    }
    daemon.run(async move { end.cancelled().await }).await
}

async fn obey(mut signals: Signals, end: Shutdown) {
    loop {
        signals.end().await;
        if end.is_cancelled() {
            end_at_once();
        }
        end.cancel();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "who signals twice wants no drain"
)]
fn end_at_once() {
    tracing::warn!("a second signal: ending at once");
    std::process::exit(1);
}
