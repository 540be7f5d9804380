//! Where log lines go.

use crate::cli::LogFormat;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The log filter unless `RUST_LOG` says otherwise.
const FILTER: &str = "warn,fanlight=info";

/// Added to every filter. The WebRTC core, whose crates' names all begin like this, logs what the network sends it, which anyone
/// could use to fill a disk, and viewers' ICE passwords; what matters of it shows in the states that fanlight logs itself.
/// A filter that names one of the core's crates is more precise than this, and holds.
const CORE: &str = "rtc=off";

/// Starts logging, once for the process.
pub fn start(format: LogFormat) {
    let chosen = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let registry = tracing_subscriber::registry().with(filter(chosen.as_deref()));
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
                tracing::warn!(%error, "the systemd journal is not available: logging to standard error");
            }
        },
    }
}

/// Directives for the lines that are logged, of the syntax of `RUST_LOG`. What can't be read is as if it were not there.
fn filter(chosen: Option<&str>) -> EnvFilter {
    let with_core = |directives: &str| {
        let names_core = directives.split(',').any(|directive| {
            let directive = directive.trim();
            directive == "rtc" || directive.starts_with("rtc=")
        });
        let core = if names_core { "" } else { CORE };
        EnvFilter::try_new(format!("{directives},{core}"))
    };
    let chosen = chosen.and_then(|directives| with_core(directives).ok());
    chosen.unwrap_or_else(|| EnvFilter::new(format!("{FILTER},{CORE}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::Mutex;
    use std::io::{self, Write};
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct LogLines(Arc<Mutex<Vec<u8>>>);

    impl Write for LogLines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which of the core's and of our own debug lines are logged, and whether our own information is.
    fn logged(chosen: Option<&str>) -> [bool; 4] {
        let lines = LogLines::default();
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let registry = tracing_subscriber::registry().with(filter(chosen));
        tracing::subscriber::with_default(registry.with(layer), || {
            tracing::debug!(target: "rtc_ice::agent", "ice");
            tracing::debug!(target: "rtc::peer_connection", "peer");
            tracing::debug!(target: "fanlight::rtc", "own debug");
            tracing::info!(target: "fanlight::rtc", "own info");
        });
        let lines = String::from_utf8(lines.0.lock().clone()).unwrap();
        ["ice", "peer", "own debug", "own info"].map(|word| lines.contains(word))
    }

    #[test]
    fn the_core_logs_nothing_unless_it_is_named() {
        let (ice, peer, own_debug, own_info) = (true, true, true, true);
        for (chosen, expected) in [
            (None, [false, false, false, own_info]),
            (Some("debug"), [false, false, own_debug, own_info]),
            (Some("trace,fanlight=info"), [false, false, false, own_info]),
            (
                Some("debug,rtc_ice=debug"),
                [ice, false, own_debug, own_info],
            ),
            (Some("rtc=debug"), [ice, peer, false, false]),
            (Some("=,=,"), [false, false, false, own_info]),
        ] {
            assert_eq!(logged(chosen), expected, "{chosen:?}");
        }
    }
}
