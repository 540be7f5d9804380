//! The daemon's counters, gauges and histograms, and their exposition as Prometheus text (OpenMetrics).
//!
//! No globals: [`Metrics`] is made once and parts of it are handed to those who count.

mod viewers;

use prometheus_client::encoding::{EncodeLabelSet, text};
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::histogram::exponential_buckets;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
pub use viewers::{Count, MOST_SHOWN, Transport, Viewer, ViewerStats, Viewers};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabel {
    stream: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    stream: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FlawLabel {
    stream: String,
    flaw: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    stream: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// From a quarter of a millisecond, doubling, to half a second.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 12))
}

/// All there is to measure.
pub struct Metrics {
    registry: Registry,
    captured: Family<StreamLabel, Counter>,
    lost: Family<StreamLabel, Counter>,
    dropped: Family<StreamLabel, Counter>,
    bad: Family<StreamLabel, Counter>,
    encoded: Family<StreamLabel, Counter>,
    passed: Family<StreamLabel, Counter>,
    keyframes: Family<StreamLabel, Counter>,
    bytes: Family<StreamLabel, Counter>,
    convert: Family<StreamLabel, Histogram>,
    encode: Family<StreamLabel, Histogram>,
    jpeg: Family<StreamLabel, Histogram>,
    viewers: Family<StreamLabel, Gauge>,
    mjpeg_viewers: Family<StreamLabel, Gauge>,
    live: Family<StreamLabel, Gauge>,
    states: Family<StateLabel, Gauge>,
    transitions: Family<StateLabel, Counter>,
    slates: Family<StreamLabel, Counter>,
    stuck: Family<StreamLabel, Gauge>,
    resets: Family<StreamLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
    flaws: Family<FlawLabel, Gauge>,
    rtc: Rtc,
    auth: Auth,
    http: Http,
}

/// What one stream counts.
#[derive(Clone)]
pub struct Stream {
    name: String,
    /// Frames that the source delivered.
    pub captured: Counter,
    /// Frames that the source lost before they were delivered.
    pub lost: Counter,
    /// Frames left out for a newer one before they could be encoded.
    pub dropped: Counter,
    /// Frames that could not be used.
    pub bad: Counter,
    /// Access units that the encoder made.
    pub encoded: Counter,
    /// Access units of the camera's own that were passed through.
    pub passed: Counter,
    /// Access units that are keyframes.
    pub keyframes: Counter,
    /// Bytes of all access units.
    pub bytes: Counter,
    /// Seconds to convert a frame.
    pub convert: Histogram,
    /// Seconds to encode a frame.
    pub encode: Histogram,
    /// Seconds to compress a picture to JPEG.
    pub jpeg: Histogram,
    /// Who watches now.
    pub viewers: Gauge,
    /// Those of them who watch JPEG images over HTTP.
    pub mjpeg_viewers: Gauge,
    /// 1 while pictures flow.
    pub live: Gauge,
    /// Slates sent in place of the source's pictures. They are not among the access units counted above.
    pub slates: Counter,
    /// Capture threads that a driver does not let go of.
    pub stuck: Gauge,
    /// Attempts to mend the source by a reset of its USB device.
    pub resets: Counter,
    states: Family<StateLabel, Gauge>,
    transitions: Family<StateLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
    flaws: Family<FlawLabel, Gauge>,
}

impl Stream {
    /// Notes whether that flaw is there in the pictures.
    pub fn set_flaw(&self, flaw: &'static str, is_there: bool) {
        let label = FlawLabel {
            stream: self.name.clone(),
            flaw,
        };
        self.flaws.get_or_create(&label).set(is_there.into());
    }

    /// Counts one failure of the source or the encoder.
    pub fn failed(&self, kind: &'static str) {
        let label = FailureLabel {
            stream: self.name.clone(),
            kind,
        };
        self.failures.get_or_create(&label).inc();
    }

    /// Counts that the stream goes over to another state.
    pub fn enters(&self, from: &'static str, to: &'static str) {
        let label = |state| StateLabel {
            stream: self.name.clone(),
            state,
        };
        self.states.get_or_create(&label(from)).set(0);
        self.states.get_or_create(&label(to)).set(1);
        self.transitions.get_or_create(&label(to)).inc();
        self.live.set(i64::from(to == "live"));
    }
}

/// What the media plane counts.
#[derive(Clone)]
pub struct Rtc {
    /// Sessions made.
    pub sessions: Counter,
    /// Sessions that exist now, connected or not.
    pub active: Gauge,
    /// RTP packets handed to the kernel.
    pub packets: Counter,
    /// Datagrams that the kernel refused, a full socket buffer for one.
    pub send_errors: Counter,
    /// Times when the kernel failed to say what had come.
    pub receive_errors: Counter,
    /// TCP connections that viewers have for media.
    pub tcp_connections: Gauge,
    /// Keyframes that viewers asked for (PLI and FIR).
    pub keyframe_requests: Counter,
    /// Packets that viewers reported lost.
    pub nacks: Counter,
    /// Packets sent again.
    pub retransmissions: Counter,
    /// Datagrams that belong to no session.
    pub unmatched: Counter,
    /// Panics of the WebRTC core, each the end of one session or the refusal of one offer.
    pub panics: Counter,
    /// Pictures that were left out for a viewer who could not keep up, up to the next keyframe.
    pub pictures_skipped: Counter,
    /// Seconds from the sensor's timestamp to the last packet of the frame's last viewer.
    pub latency: Histogram,
    /// Figures of single viewers.
    pub viewers: Viewers,
    /// Seconds from the encoder to the last packet of the viewer who was served first.
    pub fan_out_first: Histogram,
    /// Seconds from the encoder to the last packet of the last viewer.
    pub fan_out_last: Histogram,
    ends: Family<EndLabel, Counter>,
}

impl Rtc {
    /// Counts the end of a session.
    pub fn ended(&self, reason: &'static str) {
        self.ends.get_or_create(&EndLabel { reason }).inc();
    }
}

/// What is counted of those who may not watch.
#[derive(Clone, Default)]
pub struct Auth {
    failures: Family<EndLabel, Counter>,
}

impl Auth {
    /// Counts a token or link that proved nothing.
    pub fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&EndLabel { reason }).inc();
    }
}

/// What the HTTP side counts.
#[derive(Clone)]
pub struct Http {
    refused: Family<LimitLabel, Counter>,
    /// Panics while a connection was served.
    pub panics: Counter,
}

impl Http {
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
        Self {
            captured: family(&mut registry, "frames_captured", "Frames from the source"),
            lost: family(
                &mut registry,
                "frames_lost",
                "Frames that the source lost before they were delivered, by its own count",
            ),
            dropped: family(
                &mut registry,
                "frames_dropped",
                "Frames left out for a newer one before they could be encoded",
            ),
            bad: family(&mut registry, "frames_bad", "Frames that were unusable"),
            encoded: family(&mut registry, "frames_encoded", "Access units encoded"),
            passed: family(
                &mut registry,
                "frames_passed",
                "Access units of the camera's own H.264 passed through",
            ),
            keyframes: family(
                &mut registry,
                "keyframes",
                "Keyframes, encoded or passed through",
            ),
            bytes: bytes(&mut registry),
            convert: histogram(&mut registry, "convert", "Time to convert a frame"),
            encode: histogram(&mut registry, "encode", "Time to encode a frame"),
            jpeg: histogram(&mut registry, "jpeg", "Time to compress a frame to JPEG"),
            viewers: family(&mut registry, "viewers", "Connected viewers"),
            mjpeg_viewers: family(
                &mut registry,
                "mjpeg_viewers",
                "Those of the viewers who watch JPEG images over HTTP",
            ),
            live: family(&mut registry, "stream_live", "1 while pictures flow"),
            states: family(
                &mut registry,
                "stream_state",
                "1 for the state that the stream is in",
            ),
            transitions: family(
                &mut registry,
                "stream_transitions",
                "Times that the stream went over to a state",
            ),
            slates: family(
                &mut registry,
                "slates",
                "Slates sent in place of the source's pictures",
            ),
            stuck: family(
                &mut registry,
                "capture_threads_stuck",
                "Capture threads that a driver does not let go of",
            ),
            resets: family(
                &mut registry,
                "usb_resets",
                "Attempts to mend a camera by a reset of its USB device",
            ),
            failures: family(
                &mut registry,
                "stream_failures",
                "Failures of a stream's source or encoder",
            ),
            flaws: family(
                &mut registry,
                "stream_flaw",
                "1 while the pictures are frozen, black or covered",
            ),
            rtc: rtc(&mut registry),
            auth: Auth {
                failures: family(
                    &mut registry,
                    "auth_failures",
                    "Tokens and links that were refused, by reason",
                ),
            },
            http: Http {
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
        }
    }

    /// The part for a stream. All parts made for one name count together.
    pub fn stream(&self, name: &str) -> Stream {
        let label = StreamLabel {
            stream: name.to_owned(),
        };
        Stream {
            name: name.to_owned(),
            captured: self.captured.get_or_create_owned(&label),
            lost: self.lost.get_or_create_owned(&label),
            dropped: self.dropped.get_or_create_owned(&label),
            bad: self.bad.get_or_create_owned(&label),
            encoded: self.encoded.get_or_create_owned(&label),
            passed: self.passed.get_or_create_owned(&label),
            keyframes: self.keyframes.get_or_create_owned(&label),
            bytes: self.bytes.get_or_create_owned(&label),
            convert: self.convert.get_or_create_owned(&label),
            encode: self.encode.get_or_create_owned(&label),
            jpeg: self.jpeg.get_or_create_owned(&label),
            viewers: self.viewers.get_or_create_owned(&label),
            mjpeg_viewers: self.mjpeg_viewers.get_or_create_owned(&label),
            live: self.live.get_or_create_owned(&label),
            slates: self.slates.get_or_create_owned(&label),
            stuck: self.stuck.get_or_create_owned(&label),
            resets: self.resets.get_or_create_owned(&label),
            states: self.states.clone(),
            transitions: self.transitions.clone(),
            failures: self.failures.clone(),
            flaws: self.flaws.clone(),
        }
    }

    /// The part for the media plane.
    pub fn rtc(&self) -> Rtc {
        self.rtc.clone()
    }

    /// The part for those who may not watch.
    pub fn auth(&self) -> Auth {
        self.auth.clone()
    }

    /// The part for the HTTP side.
    pub fn http(&self) -> Http {
        self.http.clone()
    }

    /// The exposition, as [`CONTENT_TYPE`](Self::CONTENT_TYPE).
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a `String` can't fail, and nothing here encodes fallibly.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// Of [`render`](Self::render)'s text.
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

fn family<M: Default + Clone + prometheus_client::registry::Metric>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn bytes(registry: &mut Registry) -> Family<StreamLabel, Counter> {
    let metric = Family::default();
    let help = "Size of the encoded video";
    registry.register_with_unit("encoded", help, Unit::Bytes, metric.clone());
    metric
}

fn histogram(registry: &mut Registry, name: &str, help: &str) -> Family<StreamLabel, Histogram> {
    let metric = Family::new_with_constructor(seconds as fn() -> Histogram);
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

fn rtc(registry: &mut Registry) -> Rtc {
    // Finer than the others, for percentiles: a third between two buckets, from half a millisecond to a quarter second.
    let latency = Histogram::new(exponential_buckets(0.000_5, 1.3, 24));
    registry.register_with_unit(
        "latency",
        "Time from the sensor's timestamp to the frame's last packet sent",
        Unit::Seconds,
        latency.clone(),
    );
    let viewers = Viewers::default();
    registry.register_collector(Box::new(viewers.clone()));
    let mut fan_out = |name, which| {
        // By halves, from 50 µs to a tenth of a second.
        let histogram = Histogram::new(exponential_buckets(0.000_05, 1.5, 20));
        let help =
            format!("Time from the encoder to the frame's last packet to the {which} viewer");
        registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        histogram
    };
    let fan_out_first = fan_out("fan_out_first", "first");
    let fan_out_last = fan_out("fan_out_last", "last");
    Rtc {
        sessions: family(registry, "sessions", "Sessions made"),
        active: family(registry, "sessions_active", "Sessions that exist"),
        packets: family(registry, "packets_sent", "RTP packets sent"),
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
        keyframe_requests: family(
            registry,
            "keyframe_requests",
            "Keyframes asked for by viewers, PLI and FIR",
        ),
        nacks: family(registry, "nacks", "Packets reported lost by viewers"),
        retransmissions: family(registry, "retransmissions", "Packets sent again (RTX)"),
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
        pictures_skipped: family(
            registry,
            "pictures_skipped",
            "Pictures left out for a viewer who could not keep up",
        ),
        ends: family(registry, "sessions_ended", "Sessions ended, by reason"),
        latency,
        viewers,
        fan_out_first,
        fan_out_last,
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
        let text = metrics.render();
        for line in [
            "fanlight_frames_captured_total{stream=\"garden\"} 4",
            "fanlight_encode_seconds_count{stream=\"garden\"} 1",
            "fanlight_stream_failures_total{stream=\"garden\",kind=\"lost\"} 1",
            "fanlight_sessions_ended_total{reason=\"closed\"} 1",
            "fanlight_auth_failures_total{reason=\"expired\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
