//! Where log lines go.

use crate::cli::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Unless `RUST_LOG` says otherwise. The WebRTC core logs what the network sends it, which anyone could use to
/// fill a disk; what matters of it shows in the states that fanlight logs itself.
const FILTER: &str = "warn,fanlight=info,rtc=off,rtc_dtls=off,rtc_ice=off,rtc_interceptor=off,\
    rtc_mdns=off,rtc_rtcp=off,rtc_rtp=off,rtc_sctp=off,rtc_sdp=off,rtc_shared=off,rtc_srtp=off,rtc_stun=off";

/// Starts logging, once for the process.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let text = lines
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => registry.with(text).init(),
        LogFormat::Json => registry.with(text.with_target(true).json()).init(),
        LogFormat::Journal => match tracing_journald::layer() {
            Ok(journal) => registry.with(journal).init(),
            Err(error) => {
                registry.with(text).init();
                tracing::warn!(%error, "there is no journal: logging to standard error");
            }
        },
    }
}
