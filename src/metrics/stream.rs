//! The figures of one stream, and the families that they belong to.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// Buckets for the work on one picture, in seconds.
const WORK: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
];
/// From the sensor to the network, in seconds; fine enough for percentiles.
const LATENCY: [f64; 18] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.007_5, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1,
    0.15, 0.25, 0.5, 1.0,
];
/// From the encoder to the network, in seconds.
const FAN_OUT: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.007_5, 0.01, 0.015, 0.02,
    0.03, 0.05, 0.1,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StreamLabel {
    pub stream: String,
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

/// The figures of every stream.
pub struct Families {
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
    latency: Family<StreamLabel, Histogram>,
    fan_out_first: Family<StreamLabel, Histogram>,
    fan_out_last: Family<StreamLabel, Histogram>,
    packets: Family<StreamLabel, Counter>,
    keyframe_requests: Family<StreamLabel, Counter>,
    nacks: Family<StreamLabel, Counter>,
    retransmissions: Family<StreamLabel, Counter>,
    pictures_skipped: Family<StreamLabel, Counter>,
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
}

/// The figures of one stream.
#[derive(Clone)]
pub struct StreamMetrics {
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
    /// Seconds from the sensor's timestamp to the last packet of the frame's last viewer.
    pub latency: Histogram,
    /// Seconds from the encoder to the last packet of the viewer who was served first.
    pub fan_out_first: Histogram,
    /// Seconds from the encoder to the last packet of the last viewer.
    pub fan_out_last: Histogram,
    /// RTP packets handed to the kernel, without those that were sent again.
    pub packets: Counter,
    /// Keyframes that viewers asked for (PLI and FIR).
    pub keyframe_requests: Counter,
    /// Packets that viewers reported lost.
    pub nacks: Counter,
    /// Packets sent again.
    pub retransmissions: Counter,
    /// Pictures that were left out, up to the next keyframe, for a viewer that could not keep up.
    pub pictures_skipped: Counter,
    /// Viewers that are connected now.
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

impl Families {
    /// Registers every family.
    pub fn new(r: &mut Registry) -> Self {
        Self {
            captured: family(r, "frames_captured", "Frames from the source"),
            lost: family(
                r,
                "frames_lost",
                "Frames that the source lost before they were delivered, by its own count",
            ),
            dropped: family(
                r,
                "frames_dropped",
                "Frames left out for a newer one before they could be encoded",
            ),
            bad: family(r, "frames_bad", "Frames that were unusable"),
            encoded: family(r, "frames_encoded", "Access units encoded"),
            passed: family(
                r,
                "frames_passed",
                "Access units of the camera's own H.264 passed through",
            ),
            keyframes: family(r, "keyframes", "Keyframes, encoded or passed through"),
            bytes: bytes(r),
            convert: histogram(r, "convert", "Time to convert a frame", || {
                Histogram::new(WORK)
            }),
            encode: histogram(r, "encode", "Time to encode a frame", || {
                Histogram::new(WORK)
            }),
            jpeg: histogram(r, "jpeg", "Time to compress a frame to JPEG", || {
                Histogram::new(WORK)
            }),
            latency: histogram(
                r,
                "latency",
                "Time from the sensor's timestamp to the frame's last packet sent",
                || Histogram::new(LATENCY),
            ),
            fan_out_first: histogram(
                r,
                "fan_out_first",
                "Time from the encoder to the frame's last packet to the first viewer",
                || Histogram::new(FAN_OUT),
            ),
            fan_out_last: histogram(
                r,
                "fan_out_last",
                "Time from the encoder to the frame's last packet to the last viewer",
                || Histogram::new(FAN_OUT),
            ),
            packets: family(r, "packets_sent", "RTP packets sent"),
            keyframe_requests: family(
                r,
                "keyframe_requests",
                "Keyframes asked for by viewers, PLI and FIR",
            ),
            nacks: family(r, "nacks", "Packets reported lost by viewers"),
            retransmissions: family(r, "retransmissions", "Packets sent again (RTX)"),
            pictures_skipped: family(
                r,
                "pictures_skipped",
                "Pictures left out for a viewer who could not keep up",
            ),
            viewers: family(r, "viewers", "Connected viewers"),
            mjpeg_viewers: family(
                r,
                "mjpeg_viewers",
                "Those of the viewers who watch JPEG images over HTTP",
            ),
            live: family(r, "stream_live", "1 while pictures flow"),
            states: family(r, "stream_state", "1 for the state that the stream is in"),
            transitions: family(
                r,
                "stream_transitions",
                "Times that the stream went over to a state",
            ),
            slates: family(r, "slates", "Slates sent in place of the source's pictures"),
            stuck: family(
                r,
                "capture_threads_stuck",
                "Capture threads that a driver does not let go of",
            ),
            resets: family(
                r,
                "usb_resets",
                "Attempts to mend a camera by a reset of its USB device",
            ),
            failures: family(
                r,
                "stream_failures",
                "Failures of a stream's source or encoder",
            ),
            flaws: family(
                r,
                "stream_flaw",
                "1 while the pictures are frozen, black or covered",
            ),
        }
    }

    /// The figures of a stream. All that are made for one name count together.
    pub fn stream(&self, name: &str) -> StreamMetrics {
        let label = StreamLabel {
            stream: name.to_owned(),
        };
        StreamMetrics {
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
            latency: self.latency.get_or_create_owned(&label),
            fan_out_first: self.fan_out_first.get_or_create_owned(&label),
            fan_out_last: self.fan_out_last.get_or_create_owned(&label),
            packets: self.packets.get_or_create_owned(&label),
            keyframe_requests: self.keyframe_requests.get_or_create_owned(&label),
            nacks: self.nacks.get_or_create_owned(&label),
            retransmissions: self.retransmissions.get_or_create_owned(&label),
            pictures_skipped: self.pictures_skipped.get_or_create_owned(&label),
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
}

impl StreamMetrics {
    /// Exposes each figure with every value that its label can have, at zero, so that the first failure is seen as an increase.
    /// The stream is in the first of `states`.
    pub fn begin(
        &self,
        states: &[&'static str],
        failures: impl IntoIterator<Item = &'static str>,
        flaws: impl IntoIterator<Item = &'static str>,
    ) {
        for (n, &state) in states.iter().enumerate() {
            let label = self.state(state);
            self.states.get_or_create(&label).set(i64::from(n == 0));
            drop(self.transitions.get_or_create(&label));
        }
        for kind in failures {
            drop(self.failures.get_or_create(&self.failure(kind)));
        }
        for flaw in flaws {
            self.set_flaw(flaw, false);
        }
    }

    /// Notes whether the pictures have that flaw.
    pub fn set_flaw(&self, flaw: &'static str, is_there: bool) {
        let label = FlawLabel {
            stream: self.name.clone(),
            flaw,
        };
        self.flaws.get_or_create(&label).set(is_there.into());
    }

    /// Counts one failure of the source or the encoder.
    pub fn failed(&self, kind: &'static str) {
        self.failures.get_or_create(&self.failure(kind)).inc();
    }

    /// Counts that the stream goes over to another state.
    pub fn enters(&self, from: &'static str, to: &'static str) {
        self.states.get_or_create(&self.state(from)).set(0);
        self.states.get_or_create(&self.state(to)).set(1);
        self.transitions.get_or_create(&self.state(to)).inc();
        self.live.set(i64::from(to == "live"));
    }

    fn state(&self, state: &'static str) -> StateLabel {
        StateLabel {
            stream: self.name.clone(),
            state,
        }
    }

    fn failure(&self, kind: &'static str) -> FailureLabel {
        FailureLabel {
            stream: self.name.clone(),
            kind,
        }
    }
}

/// Registers a metric.
pub fn family<M: Default + Clone + Metric>(registry: &mut Registry, name: &str, help: &str) -> M {
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

/// Registers a histogram of seconds for each stream.
fn histogram(
    registry: &mut Registry,
    name: &str,
    help: &str,
    make: fn() -> Histogram,
) -> Family<StreamLabel, Histogram> {
    let metric = Family::new_with_constructor(make);
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}
