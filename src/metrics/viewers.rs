//! Figures of single viewers, and their exposition: the media thread writes them without a lock, a scrape and the API
//! read them.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Viewers that are shown one by one. Of more, `/metrics` has the sums and the histogram only, and the API the first.
pub const MOST_SHOWN: usize = 2000;

/// Upper bounds of the histogram of estimates, in bits per second; one more bucket has the rest.
const BOUNDS: [f64; 10] = [125e3, 250e3, 500e3, 1e6, 2e6, 4e6, 8e6, 16e6, 32e6, 64e6];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    stream: String,
    viewer: u64,
}

/// What carries a way to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams of their own.
    Udp,
    /// Datagrams in a TCP connection (RFC 4571).
    Tcp,
}

impl Transport {
    /// As candidates (RFC 8839, 5.1), the API and the metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: &'static str,
}

/// A count that goes up.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Counts so many.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Counted so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The latest of some figure, which may not be known.
#[derive(Debug)]
struct Latest(AtomicU64);

impl Latest {
    const UNKNOWN: u64 = u64::MAX;

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|value| *value != Self::UNKNOWN)
    }
}

impl Default for Latest {
    fn default() -> Self {
        Self(AtomicU64::new(Self::UNKNOWN))
    }
}

/// What is known of one viewer.
#[derive(Debug)]
pub struct ViewerStats {
    label: Label,
    since: Instant,
    is_over_tcp: AtomicBool,
    /// In bits per second.
    estimate: Latest,
    /// In microseconds.
    round_trip: Latest,
    /// In 256ths.
    loss: Latest,
    /// RTP packets sent, retransmissions among them.
    pub packets: Count,
    /// Packets sent again.
    pub retransmissions: Count,
    /// Pictures that it was not sent, since its path or its decoder had to catch up.
    pub pictures_skipped: Count,
    /// Packets that it reported lost.
    pub nacks: Count,
    /// Keyframes that it asked for (PLI and FIR).
    pub keyframe_requests: Count,
}

impl ViewerStats {
    /// As logs call it. It names no session: that is a secret of the viewer's.
    pub const fn id(&self) -> u64 {
        self.label.viewer
    }

    /// What it watches.
    pub fn stream(&self) -> &str {
        &self.label.stream
    }

    /// When it was registered.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// What its media travels over.
    pub fn transport(&self) -> Transport {
        if self.is_over_tcp.load(Ordering::Relaxed) {
            Transport::Tcp
        } else {
            Transport::Udp
        }
    }

    /// Notes what its media travels over from now on.
    pub fn set_transport(&self, transport: Transport) {
        let is_over_tcp = transport == Transport::Tcp;
        self.is_over_tcp.store(is_over_tcp, Ordering::Relaxed);
    }

    /// What its path carries, in bits per second.
    pub fn estimate(&self) -> Option<u64> {
        self.estimate.get()
    }

    /// A packet's way to it and back.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.get().map(Duration::from_micros)
    }

    /// Notes a round trip.
    pub fn set_round_trip(&self, time: Duration) {
        self.round_trip.set(time.as_micros() as u64);
    }

    /// The part of the packets that did not arrive, 0 to 1, by its last report.
    pub fn loss(&self) -> Option<f64> {
        self.loss.get().map(|fraction| fraction as f64 / 256.0)
    }

    /// Notes a loss in 256ths, as reports have it (RFC 3550, 6.4.1).
    pub fn set_loss(&self, fraction: u8) {
        self.loss.set(fraction.into());
    }
}

/// Every viewer that is registered now.
#[derive(Debug, Clone, Default)]
pub struct Viewers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// By their ids. Locked when one comes or goes, and to be listed.
    live: Mutex<BTreeMap<u64, Arc<ViewerStats>>>,
    /// Estimates by bucket, the last for what is above all bounds; and their sum.
    estimates: [Count; BOUNDS.len() + 1],
    sum: Count,
}

impl Viewers {
    /// Registers a viewer until the returned value is dropped.
    pub fn add(&self, stream: &str, id: u64) -> Viewer {
        let label = Label {
            stream: stream.to_owned(),
            viewer: id,
        };
        let stats = Arc::new(ViewerStats {
            label,
            since: Instant::now(),
            is_over_tcp: AtomicBool::new(false),
            estimate: Latest::default(),
            round_trip: Latest::default(),
            loss: Latest::default(),
            packets: Count::default(),
            retransmissions: Count::default(),
            pictures_skipped: Count::default(),
            nacks: Count::default(),
            keyframe_requests: Count::default(),
        });
        self.live().insert(id, stats.clone());
        Viewer {
            stats,
            viewers: self.clone(),
        }
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<Arc<ViewerStats>> {
        self.live().values().cloned().collect()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ViewerStats>>> {
        // Every critical section leaves the map whole, so a panic elsewhere can't break it.
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A viewer's registration.
#[derive(Debug)]
pub struct Viewer {
    stats: Arc<ViewerStats>,
    viewers: Viewers,
}

impl Viewer {
    /// The figures, which outlive the registration.
    pub fn stats(&self) -> Arc<ViewerStats> {
        self.stats.clone()
    }

    /// Notes an estimate in bits per second, for the viewer and for the histogram: once a second, so that the
    /// histogram counts viewers' seconds.
    pub fn set_estimate(&self, bits_per_second: u64) {
        self.stats.estimate.set(bits_per_second);
        let bucket = BOUNDS.partition_point(|bound| *bound < bits_per_second as f64);
        let shared = &self.viewers.0;
        shared.estimates[bucket].add(1);
        shared.sum.add(bits_per_second);
    }
}

impl Deref for Viewer {
    type Target = ViewerStats;

    fn deref(&self) -> &ViewerStats {
        &self.stats
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.viewers.live().remove(&self.stats.id());
    }
}

/// A name, a help text, and a figure if it is known.
type Gauge = (
    &'static str,
    &'static str,
    Unit,
    fn(&ViewerStats) -> Option<f64>,
);
type Counter = (&'static str, &'static str, fn(&ViewerStats) -> &Count);

const COUNTERS: [Counter; 5] = [
    ("viewer_packets_sent", "RTP packets sent to a viewer", |v| {
        &v.packets
    }),
    (
        "viewer_retransmissions",
        "Packets sent to a viewer again",
        |v| &v.retransmissions,
    ),
    (
        "viewer_pictures_skipped",
        "Pictures that a viewer was not sent",
        |v| &v.pictures_skipped,
    ),
    ("viewer_nacks", "Packets that a viewer reported lost", |v| {
        &v.nacks
    }),
    (
        "viewer_keyframe_requests",
        "Keyframes that a viewer asked for",
        |v| &v.keyframe_requests,
    ),
];

fn bits_per_second() -> Unit {
    Unit::Other("bits_per_second".to_owned())
}

impl Viewers {
    fn encode_each(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let viewers = self.list();
        if viewers.is_empty() || viewers.len() > MOST_SHOWN {
            return Ok(());
        }
        let gauges: [Gauge; 3] = [
            (
                "viewer_estimate",
                "What a viewer's path carries",
                bits_per_second(),
                |v| v.estimate().map(|estimate| estimate as f64),
            ),
            (
                "viewer_round_trip",
                "A packet's way to a viewer and back",
                Unit::Seconds,
                |v| v.round_trip().map(|time| time.as_secs_f64()),
            ),
            (
                "viewer_loss",
                "Packets that did not arrive at a viewer",
                Unit::Ratios,
                ViewerStats::loss,
            ),
        ];
        for (name, help, unit, figure) in gauges {
            let kind = MetricType::Gauge;
            let mut family = encoder.encode_descriptor(name, help, Some(&unit), kind)?;
            for viewer in &viewers {
                if let Some(value) = figure(viewer) {
                    family.encode_family(&viewer.label)?.encode_gauge(&value)?;
                }
            }
        }
        for (name, help, count) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for viewer in &viewers {
                let mut one = family.encode_family(&viewer.label)?;
                one.encode_counter(&count(viewer).get(), None::<&Exemplar<Label, f64>>)?;
            }
        }
        Ok(())
    }

    fn encode_transports(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let viewers = self.list();
        let (name, help) = (
            "viewers_by_transport",
            "Who watches now, by what media travels over",
        );
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for transport in [Transport::Udp, Transport::Tcp] {
            let of_it = viewers
                .iter()
                .filter(|viewer| viewer.transport() == transport);
            let transport = transport.name();
            let label = TransportLabel { transport };
            family
                .encode_family(&label)?
                .encode_gauge(&(of_it.count() as u64))?;
        }
        Ok(())
    }

    fn encode_estimates(&self, mut metric: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let counts = self.0.estimates.iter().map(Count::get);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let total = buckets.iter().map(|(_, count)| count).sum();
        metric.encode_histogram::<Label>(self.0.sum.get() as f64, total, &buckets, None)
    }
}

impl Collector for Viewers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.encode_each(&mut encoder)?;
        self.encode_transports(&mut encoder)?;
        let (name, help) = (
            "estimate",
            "What viewers' paths carry, each viewer once a second",
        );
        let kind = MetricType::Histogram;
        self.encode_estimates(encoder.encode_descriptor(
            name,
            help,
            Some(&bits_per_second()),
            kind,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn a_viewer_is_shown_as_long_as_it_is_registered() {
        let metrics = Metrics::new();
        let viewers = metrics.rtc().viewers;
        let viewer = viewers.add("garden", 17);
        let other = viewers.add("door", 18);
        let text = metrics.render();
        assert!(text.contains("fanlight_viewer_nacks_total{stream=\"door\",viewer=\"18\"} 0\n"));
        assert!(
            !text.contains("viewer_estimate_bits_per_second{"),
            "not known"
        );
        viewer.set_estimate(2_500_000);
        viewer.set_round_trip(Duration::from_millis(40));
        viewer.set_loss(64);
        viewer.set_transport(Transport::Tcp);
        viewer.packets.add(1000);
        viewer.packets.add(5);
        viewer.retransmissions.add(5);
        viewer.pictures_skipped.add(2);
        viewer.nacks.add(6);
        viewer.keyframe_requests.add(1);
        let text = metrics.render();
        let label = "{stream=\"garden\",viewer=\"17\"}";
        for line in [
            "# TYPE fanlight_viewer_packets_sent counter".to_owned(),
            "# UNIT fanlight_viewer_round_trip_seconds seconds".to_owned(),
            "fanlight_viewers_by_transport{transport=\"udp\"} 1".to_owned(),
            "fanlight_viewers_by_transport{transport=\"tcp\"} 1".to_owned(),
            format!("fanlight_viewer_estimate_bits_per_second{label} 2500000.0"),
            format!("fanlight_viewer_round_trip_seconds{label} 0.04"),
            format!("fanlight_viewer_loss_ratios{label} 0.25"),
            format!("fanlight_viewer_packets_sent_total{label} 1005"),
            format!("fanlight_viewer_retransmissions_total{label} 5"),
            format!("fanlight_viewer_pictures_skipped_total{label} 2"),
            format!("fanlight_viewer_nacks_total{label} 6"),
            format!("fanlight_viewer_keyframe_requests_total{label} 1"),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        drop(viewer);
        assert!(!metrics.render().contains("garden"));
        assert_eq!(viewers.list().len(), 1);
        drop(other);
        assert!(!metrics.render().contains("viewer="));
    }

    #[test]
    fn of_very_many_viewers_only_the_sums_are_shown() {
        let metrics = Metrics::new();
        let viewers = metrics.rtc().viewers;
        let add = |id| viewers.add("garden", id);
        let mut all: Vec<_> = (0..MOST_SHOWN as u64).map(add).collect();
        all[0].set_estimate(1_000_000);
        let shown = |text: &str| text.matches("viewer_nacks_total{").count();
        assert_eq!(shown(&metrics.render()), MOST_SHOWN);
        all.push(add(5000));
        let text = metrics.render();
        assert!(!text.contains("viewer="), "{text}");
        assert!(text.contains("fanlight_estimate_bits_per_second_count 1\n"));
        all.pop();
        assert_eq!(shown(&metrics.render()), MOST_SHOWN);
    }

    #[test]
    fn estimates_are_counted_by_size_and_outlive_their_viewers() {
        let metrics = Metrics::new();
        let viewer = metrics.rtc().viewers.add("garden", 1);
        let all = [50_000, 125_000, 125_001, 3_000_000, 3_000_000, 99_000_000];
        all.into_iter()
            .for_each(|estimate| viewer.set_estimate(estimate));
        drop(viewer);
        let text = metrics.render();
        for line in [
            "fanlight_estimate_bits_per_second_bucket{le=\"125000.0\"} 2".to_owned(),
            "fanlight_estimate_bits_per_second_bucket{le=\"250000.0\"} 3".to_owned(),
            "fanlight_estimate_bits_per_second_bucket{le=\"4000000.0\"} 5".to_owned(),
            "fanlight_estimate_bits_per_second_bucket{le=\"64000000.0\"} 5".to_owned(),
            "fanlight_estimate_bits_per_second_bucket{le=\"+Inf\"} 6".to_owned(),
            "fanlight_estimate_bits_per_second_count 6".to_owned(),
            format!(
                "fanlight_estimate_bits_per_second_sum {}.0",
                all.iter().sum::<u64>()
            ),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
