//! The daemon as a process: its runtime, its signals, and what it prints first.

mod opening;

use crate::config::Config;
use crate::daemon::{Daemon, Fault};
use crate::shutdown::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    // What could not be closed in time, a camera whose driver blocks, must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn run(config: Config) -> Result<(), Fault> {
    let daemon = Daemon::bind(config)?;
    let signals = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let end = Shutdown::new();
    // Of its own, so that it listens during the drain too, and after a fault.
    tokio::spawn(listen(signals, end.clone()));
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

async fn listen((mut terminate, mut interrupt): (Signal, Signal), end: Shutdown) {
    loop {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
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
