//! The daemon's counters, gauges and histograms, and their exposition for Prometheus.
//!
//! No globals: [`Metrics`] is made once, and its parts are handed to the code that counts. docs/metrics.md lists every name.

mod exposition;
mod meter;
mod process;
mod stream;
mod viewers;

pub use exposition::Format;
pub use meter::{Measured, Meter};
use process::Process;
use prometheus_client::encoding::{EncodeLabelSet, text};
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
pub use stream::StreamMetrics;
use stream::{Families, family};
pub use viewers::{Count, MOST_SHOWN, Transport, Viewer, ViewerStats, Viewers};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// All there is to measure.
pub struct Metrics {
    /// The registry of fanlight's own metrics.
    registry: Registry,
    /// The registry of the process's metrics, whose names have no prefix.
    process: Registry,
    streams: Families,
    rtc: RtcMetrics,
    auth: AuthMetrics,
    http: HttpMetrics,
}

/// The metrics of the media plane.
#[derive(Clone)]
pub struct RtcMetrics {
    /// Sessions made.
    pub sessions: Counter,
    /// Sessions that exist now, connected or not.
    pub active: Gauge,
    /// Datagrams that the kernel refused, a full socket buffer for one.
    pub send_errors: Counter,
    /// Times when the kernel failed to say what had come.
    pub receive_errors: Counter,
    /// TCP connections that viewers have for media.
    pub tcp_connections: Gauge,
    /// Datagrams that belong to no session.
    pub unmatched: Counter,
    /// Panics of the WebRTC core, each the end of one session or the refusal of one offer.
    pub panics: Counter,
    /// Figures of single viewers.
    pub viewers: Viewers,
    ends: Family<ReasonLabel, Counter>,
}

impl RtcMetrics {
    /// Exposes these reasons of a session's end, at zero.
    pub fn begin(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            drop(self.ends.get_or_create(&ReasonLabel { reason }));
        }
    }

    /// Counts the end of a session.
    pub fn ended(&self, reason: &'static str) {
        self.ends.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// The metrics of refused requests to watch.
#[derive(Clone, Default)]
pub struct AuthMetrics {
    failures: Family<ReasonLabel, Counter>,
}

impl AuthMetrics {
    /// Exposes these reasons of a refusal, at zero.
    pub fn begin(&self, reasons: impl IntoIterator<Item = &'static str>) {
        for reason in reasons {
            drop(self.failures.get_or_create(&ReasonLabel { reason }));
        }
    }

    /// Counts a token or link that proved nothing.
    pub fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// The metrics of the HTTP side.
#[derive(Clone)]
pub struct HttpMetrics {
    refused: Family<LimitLabel, Counter>,
    /// Panics while a connection was served.
    pub panics: Counter,
}

impl HttpMetrics {
    /// Exposes these limits, at zero.
    pub fn begin(&self, limits: &[&'static str]) {
        for &limit in limits {
            drop(self.refused.get_or_create(&LimitLabel { limit }));
        }
    }

    /// Counts a request or a connection that was refused because of that limit.
    pub fn refused(&self, limit: &'static str) {
        self.refused.get_or_create(&LimitLabel { limit }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("fanlight");
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The running version", Info::new(version));
        let mut process = Registry::default();
        process.register_collector(Box::new(Process::new()));
        Self {
            streams: Families::new(&mut registry),
            rtc: rtc(&mut registry),
            auth: AuthMetrics {
                failures: family(
                    &mut registry,
                    "auth_failures",
                    "Tokens and links that were refused, by reason",
                ),
            },
            http: HttpMetrics {
                refused: family(
                    &mut registry,
                    "refused",
                    "Requests and connections refused, by the limit that was reached",
                ),
                panics: family(
                    &mut registry,
                    "connection_panics",
                    "Panics while a connection was served, each the end of one",
                ),
            },
            registry,
            process,
        }
    }

    /// The part for a stream. All parts made for one name count together.
    pub fn stream(&self, name: &str) -> StreamMetrics {
        self.rtc.viewers.begin(name);
        self.streams.stream(name)
    }

    /// The part for the media plane.
    pub fn rtc(&self) -> RtcMetrics {
        self.rtc.clone()
    }

    /// The part that counts refused viewers.
    pub fn auth(&self) -> AuthMetrics {
        self.auth.clone()
    }

    /// The part for the HTTP side.
    pub fn http(&self) -> HttpMetrics {
        self.http.clone()
    }

    /// The exposition in that format.
    pub fn render(&self, format: Format) -> String {
        let mut out = String::new();
        // Writing to a `String` can't fail, and nothing here encodes fallibly.
        let _ = text::encode_registry(&mut out, &self.registry);
        let _ = text::encode_registry(&mut out, &self.process);
        let _ = text::encode_eof(&mut out);
        match format {
            Format::OpenMetrics => out,
            Format::Text => exposition::to_text(&out),
        }
    }
}

fn rtc(registry: &mut Registry) -> RtcMetrics {
    RtcMetrics {
        sessions: family(registry, "sessions", "Sessions made"),
        active: family(registry, "sessions_active", "Sessions that exist"),
        send_errors: family(
            registry,
            "send_errors",
            "Datagrams that the kernel refused to send",
        ),
        receive_errors: family(
            registry,
            "receive_errors",
            "Reads of the media socket that failed",
        ),
        tcp_connections: family(
            registry,
            "tcp_connections",
            "TCP connections that viewers have for media",
        ),
        unmatched: family(
            registry,
            "datagrams_unmatched",
            "Datagrams that belong to no session",
        ),
        panics: family(
            registry,
            "core_panics",
            "Panics of the WebRTC core, each the end of one session or the refusal of one offer",
        ),
        viewers: Viewers::new(registry),
        ends: family(registry, "sessions_ended", "Sessions ended, by reason"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_exposed_with_its_stream() {
        let metrics = Metrics::new();
        let stream = metrics.stream("garden");
        stream.captured.inc_by(3);
        metrics.stream("garden").captured.inc();
        stream.encode.observe(0.004);
        stream.failed("lost");
        metrics.rtc().ended("closed");
        metrics.auth().failed("expired");
        for format in [Format::Text, Format::OpenMetrics] {
            let text = metrics.render(format);
            for line in [
                "fanlight_frames_captured_total{stream=\"garden\"} 4",
                "fanlight_encode_seconds_count{stream=\"garden\"} 1",
                "fanlight_stream_failures_total{stream=\"garden\",kind=\"lost\"} 1",
                "fanlight_sessions_ended_total{reason=\"closed\"} 1",
                "fanlight_auth_failures_total{reason=\"expired\"} 1",
            ] {
                assert!(text.contains(line), "{line} is not in\n{text}");
            }
            assert_eq!(text.ends_with("# EOF\n"), format == Format::OpenMetrics);
        }
    }

    #[test]
    fn what_has_not_happened_yet_is_exposed_at_zero() {
        let metrics = Metrics::new();
        let stream = metrics.stream("garden");
        stream.begin(&["idle", "live"], ["lost"], ["black"]);
        metrics.rtc().begin(["closed"]);
        metrics.auth().begin(["expired"]);
        metrics.http().begin(&["viewers"]);
        let text = metrics.render(Format::Text);
        for line in [
            "fanlight_stream_state{stream=\"garden\",state=\"idle\"} 1",
            "fanlight_stream_state{stream=\"garden\",state=\"live\"} 0",
            "fanlight_stream_transitions_total{stream=\"garden\",state=\"live\"} 0",
            "fanlight_stream_failures_total{stream=\"garden\",kind=\"lost\"} 0",
            "fanlight_stream_flaw{stream=\"garden\",flaw=\"black\"} 0",
            "fanlight_viewer_loss_ratio_count{stream=\"garden\"} 0",
            "fanlight_sessions_ended_total{reason=\"closed\"} 0",
            "fanlight_auth_failures_total{reason=\"expired\"} 0",
            "fanlight_refused_total{limit=\"viewers\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_bounds_of_buckets_are_round() {
        let metrics = Metrics::new();
        metrics.stream("garden");
        let text = metrics.render(Format::Text);
        let bounds = text.split("le=\"").skip(1);
        let bounds = bounds.map(|rest| rest.split('"').next().unwrap());
        let mut count = 0;
        for bound in bounds.filter(|bound| *bound != "+Inf") {
            let digits = bound.split(['e', 'E']).next().unwrap().replace('.', "");
            assert!(digits.trim_matches('0').len() <= 2, "{bound}");
            count += 1;
        }
        assert!(count > 80, "{count}");
    }
}
