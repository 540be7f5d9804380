//! Figures of single viewers: the media thread writes them without a lock, the API reads them. Scrapers see them summed up by
//! stream: a label for each viewer would make a series for each visit.

use super::meter::Measured;
use super::stream::StreamLabel;
use crate::base::sync::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// Viewers that the API shows one by one.
pub const MOST_SHOWN: usize = 2000;

/// Upper bounds of estimates, in bytes per second.
const ESTIMATES: [f64; 10] = [1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7];
/// Buckets for round trips, in seconds.
const ROUND_TRIPS: [f64; 11] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
];
/// Buckets for the part of the packets that was lost.
const LOSSES: [f64; 9] = [0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];

/// A rate of a viewer's that was not told for so long is over: it is told each second while media flows.
const RATE_KEPT: Duration = Duration::from_secs(3);

/// The transport of the media to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams of their own.
    Udp,
    /// Datagrams in a TCP connection (RFC 4571).
    Tcp,
}

impl Transport {
    /// The name that candidates (RFC 8839, 5.1), the API and the metrics use.
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
struct LatestFigure(AtomicU64);

impl LatestFigure {
    const UNKNOWN: u64 = u64::MAX;

    fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|value| *value != Self::UNKNOWN)
    }
}

impl Default for LatestFigure {
    fn default() -> Self {
        Self(AtomicU64::new(Self::UNKNOWN))
    }
}

/// The measurements of one viewer.
#[derive(Debug)]
pub struct ViewerStats {
    id: u64,
    stream: String,
    since: Instant,
    is_over_tcp: AtomicBool,
    /// In bits per second.
    bitrate: LatestFigure,
    /// In thousandths of a picture per second.
    pictures_rate: LatestFigure,
    /// When these two were told, in milliseconds since `since`.
    rated_at: LatestFigure,
    /// In bits per second.
    estimate: LatestFigure,
    /// In microseconds.
    round_trip: LatestFigure,
    /// In 256ths.
    loss: LatestFigure,
    /// RTP packets sent, retransmissions among them.
    pub packets: Count,
    /// Packets sent again.
    pub retransmissions: Count,
    /// Pictures that it was sent to their end.
    pub pictures: Count,
    /// Pictures that it was not sent, since its path or its decoder had to catch up.
    pub pictures_skipped: Count,
    /// Packets that it reported lost.
    pub nacks: Count,
    /// Keyframes that it asked for (PLI and FIR).
    pub keyframe_requests: Count,
}

impl ViewerStats {
    /// The number that names it in logs. It names no session: that is a secret of the viewer's.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The name of the stream that it watches.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// When it was registered.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// The transport of its media.
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

    /// The estimated capacity of its network path, in bits per second.
    pub fn estimate(&self) -> Option<u64> {
        self.estimate.get()
    }

    /// The round-trip time of a packet to it.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.get().map(Duration::from_micros)
    }

    /// The part of the packets that did not arrive, 0 to 1, by its last report.
    pub fn loss(&self) -> Option<f64> {
        self.loss.get().map(|fraction| fraction as f64 / 256.0)
    }

    /// The pictures and the bits of their data that it was sent in the last second, if media flows.
    pub fn rate(&self, now: Instant) -> Option<Measured> {
        let rated_at = self.since + Duration::from_millis(self.rated_at.get()?);
        if now.saturating_duration_since(rated_at) > RATE_KEPT {
            return None;
        }
        Some(Measured {
            fps: self.pictures_rate.get()? as f64 / 1000.0,
            bits_per_second: self.bitrate.get()? as f64,
        })
    }
}

/// Every viewer that is registered now.
#[derive(Debug, Clone)]
pub struct Viewers(Arc<LiveViewers>);

#[derive(Debug)]
struct LiveViewers {
    /// By their ids. Locked when one comes or goes, and to be listed.
    live: Mutex<BTreeMap<u64, Arc<ViewerStats>>>,
    estimates: Family<StreamLabel, Histogram>,
    round_trips: Family<StreamLabel, Histogram>,
    losses: Family<StreamLabel, Histogram>,
}

/// Registers a histogram of that unit for each stream.
fn histogram(
    registry: &mut Registry,
    (name, unit): (&str, Unit),
    help: &str,
    make: fn() -> Histogram,
) -> Family<StreamLabel, Histogram> {
    let family = Family::new_with_constructor(make);
    registry.register_with_unit(name, help, unit, family.clone());
    family
}

impl Viewers {
    /// Nobody yet.
    pub fn new(registry: &mut Registry) -> Self {
        let other = |unit: &str| Unit::Other(unit.to_owned());
        let viewers = Self(Arc::new(LiveViewers {
            live: Mutex::default(),
            estimates: histogram(
                registry,
                ("viewer_estimate", other("bytes_per_second")),
                "What viewers' paths carry, each viewer once a second",
                || Histogram::new(ESTIMATES),
            ),
            round_trips: histogram(
                registry,
                ("viewer_round_trip", Unit::Seconds),
                "A packet's way to a viewer and back, at each report",
                || Histogram::new(ROUND_TRIPS),
            ),
            losses: histogram(
                registry,
                ("viewer_loss", other("ratio")),
                "Packets that did not arrive at a viewer, at each report",
                || Histogram::new(LOSSES),
            ),
        }));
        registry.register_collector(Box::new(viewers.clone()));
        viewers
    }

    /// Exposes the figures of a stream, at zero.
    pub fn begin(&self, stream: &str) {
        let LiveViewers {
            estimates,
            round_trips,
            losses,
            ..
        } = &*self.0;
        let label = StreamLabel {
            stream: stream.to_owned(),
        };
        for family in [estimates, round_trips, losses] {
            drop(family.get_or_create(&label));
        }
    }

    /// Registers a viewer until the returned value is dropped.
    pub fn add(&self, stream: &str, id: u64) -> Viewer {
        let label = StreamLabel {
            stream: stream.to_owned(),
        };
        let stats = Arc::new(ViewerStats {
            id,
            stream: stream.to_owned(),
            since: Instant::now(),
            is_over_tcp: AtomicBool::new(false),
            bitrate: LatestFigure::default(),
            pictures_rate: LatestFigure::default(),
            rated_at: LatestFigure::default(),
            estimate: LatestFigure::default(),
            round_trip: LatestFigure::default(),
            loss: LatestFigure::default(),
            packets: Count::default(),
            retransmissions: Count::default(),
            pictures: Count::default(),
            pictures_skipped: Count::default(),
            nacks: Count::default(),
            keyframe_requests: Count::default(),
        });
        self.live().insert(id, stats.clone());
        Viewer {
            stats,
            estimates: self.0.estimates.get_or_create_owned(&label),
            round_trips: self.0.round_trips.get_or_create_owned(&label),
            losses: self.0.losses.get_or_create_owned(&label),
            sent: None,
            viewers: self.clone(),
        }
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<Arc<ViewerStats>> {
        self.live().values().cloned().collect()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ViewerStats>>> {
        // Every critical section leaves the map whole, so a panic elsewhere can't break it.
        self.0.live.lock()
    }
}

/// The totals that a viewer was sent up to some moment.
#[derive(Debug, Clone, Copy)]
struct SentUpTo {
    at: Instant,
    octets: u32,
    pictures: u64,
}

/// A viewer's registration.
#[derive(Debug)]
pub struct Viewer {
    stats: Arc<ViewerStats>,
    estimates: Histogram,
    round_trips: Histogram,
    losses: Histogram,
    sent: Option<SentUpTo>,
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
        self.estimates.observe(bits_per_second as f64 / 8.0);
    }

    /// Notes a round trip, once for each report.
    pub fn set_round_trip(&self, time: Duration) {
        self.stats.round_trip.set(time.as_micros() as u64);
        self.round_trips.observe(time.as_secs_f64());
    }

    /// Notes a loss in 256ths, as reports have it (RFC 3550, 6.4.1), once for each.
    pub fn set_loss(&self, fraction: u8) {
        self.stats.loss.set(fraction.into());
        self.losses.observe(f64::from(fraction) / 256.0);
    }

    /// Notes, once a second, how many bytes of pictures it was sent so far, counted as sender reports do: modulo 2^32.
    pub fn set_sent(&mut self, now: Instant, octets: u32) {
        let pictures = self.stats.pictures.get();
        let sent = SentUpTo {
            at: now,
            octets,
            pictures,
        };
        let Some(before) = self.sent.replace(sent) else {
            return;
        };
        let passed = now.saturating_duration_since(before.at);
        if passed.is_zero() {
            return;
        }
        let bits = f64::from(octets.wrapping_sub(before.octets)) * 8.0;
        let shown = (pictures - before.pictures) as f64;
        let stats = &self.stats;
        stats.bitrate.set((bits / passed.as_secs_f64()) as u64);
        let thousandths = shown * 1000.0 / passed.as_secs_f64();
        stats.pictures_rate.set(thousandths as u64);
        let at = now.saturating_duration_since(stats.since);
        stats.rated_at.set(at.as_millis() as u64);
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

impl Collector for Viewers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let viewers = self.list();
        let name = "viewers_by_transport";
        let help = "Viewers of WebRTC that are connected, by what their media travels over.";
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, Metrics};

    fn assert_has(metrics: &Metrics, lines: &[&str]) {
        let text = metrics.render(Format::Text);
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn viewers_are_summed_up_by_stream_and_no_label_names_one() {
        let metrics = Metrics::new();
        let viewers = metrics.rtc().viewers;
        let all = [
            (17, "garden", Transport::Tcp),
            (18, "garden", Transport::Udp),
            (19, "door", Transport::Udp),
        ];
        let all: Vec<_> = all
            .into_iter()
            .map(|(id, stream, transport)| {
                let viewer = viewers.add(stream, id);
                viewer.set_transport(transport);
                viewer.set_estimate(400_000);
                viewer.set_round_trip(Duration::from_millis(40));
                viewer.set_loss(64);
                viewer
            })
            .collect();
        assert_eq!(viewers.list().len(), 3);
        let sums = [
            "fanlight_viewer_estimate_bytes_per_second_bucket{le=\"50000.0\",stream=\"garden\"} 2",
            "fanlight_viewer_estimate_bytes_per_second_bucket{le=\"25000.0\",stream=\"garden\"} 0",
            "fanlight_viewer_estimate_bytes_per_second_sum{stream=\"garden\"} 100000.0",
            "fanlight_viewer_round_trip_seconds_bucket{le=\"0.05\",stream=\"garden\"} 2",
            "fanlight_viewer_loss_ratio_sum{stream=\"garden\"} 0.5",
            "fanlight_viewer_loss_ratio_bucket{le=\"0.2\",stream=\"door\"} 0",
            "fanlight_viewer_loss_ratio_bucket{le=\"0.5\",stream=\"door\"} 1",
        ];
        assert_has(&metrics, &sums);
        assert_has(
            &metrics,
            &[
                "fanlight_viewers_by_transport{transport=\"udp\"} 2",
                "fanlight_viewers_by_transport{transport=\"tcp\"} 1",
            ],
        );
        let text = metrics.render(Format::OpenMetrics);
        for id in ["17", "18", "19"] {
            assert!(!text.contains(&format!("\"{id}\"")), "{text}");
        }
        // The sums stay when the viewers have gone: counters never go down.
        drop(all);
        assert!(viewers.list().is_empty());
        assert_has(&metrics, &sums);
        assert_has(
            &metrics,
            &["fanlight_viewers_by_transport{transport=\"tcp\"} 0"],
        );
    }

    #[test]
    fn a_viewer_has_the_rate_of_its_last_second_while_media_flows() {
        let mut viewer = Metrics::new().rtc().viewers.add("garden", 1);
        let start = viewer.since();
        let at = |ms| start + Duration::from_millis(ms);
        viewer.set_sent(at(0), u32::MAX - 49_999);
        assert_eq!(viewer.rate(at(10)), None, "nothing to compare with");
        viewer.pictures.add(30);
        // The count goes over its end.
        viewer.set_sent(at(1000), 50_000);
        let measured = Measured {
            fps: 30.0,
            bits_per_second: 800_000.0,
        };
        assert_eq!(viewer.rate(at(1500)), Some(measured));
        viewer.pictures.add(30);
        viewer.set_sent(at(3000), 50_000);
        let slower = Measured {
            fps: 15.0,
            bits_per_second: 0.0,
        };
        assert_eq!(viewer.rate(at(6000)), Some(slower));
        assert_eq!(viewer.rate(at(6100)), None, "it is sent nothing");
    }
}
