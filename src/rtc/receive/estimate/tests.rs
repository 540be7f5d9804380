//! Tests of the estimate, on emulated links in virtual time.

use super::*;
use proptest::prelude::*;
use rtc::rtcp::Packet as _;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    RecvDelta, RunLengthChunk, StatusVectorChunk, SymbolSizeTypeTcc,
};
use rtc::shared::marshal::{Marshal, Unmarshal};
use std::collections::VecDeque;

const SENT: f64 = 2_500_000.0;
const FPS: u64 = 30;
const PACKET: usize = 1200;

/// The first hop that is narrower than what is sent: packets wait in its queue, and are dropped when that is full.
struct Link {
    bits_per_second: f64,
    /// The longest that a packet waits.
    queue: Duration,
    /// Of a hundred packets, lost for other reasons.
    loss: f64,
    /// At the most, in addition to everything else; packets may overtake each other.
    jitter: Duration,
    free_at: Duration,
}

impl Link {
    fn new(bits_per_second: f64, queue_ms: u64) -> Self {
        Self {
            bits_per_second,
            queue: Duration::from_millis(queue_ms),
            loss: 0.0,
            jitter: Duration::ZERO,
            free_at: Duration::ZERO,
        }
    }

    /// When a packet that is sent at `at` arrives.
    fn carry(&mut self, at: Duration, bytes: usize, random: &mut Random) -> Option<Duration> {
        const DISTANCE: Duration = Duration::from_millis(20);
        let free_at = self.free_at.max(at);
        if free_at - at > self.queue {
            return None;
        }
        self.free_at = free_at + Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second);
        let arrives = self.free_at + DISTANCE + self.jitter.mul_f64(random.next());
        (random.next() * 100.0 >= self.loss).then_some(arrives)
    }
}

/// Always the same numbers from 0 to 1 (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The report on packets from `first` on, by their times of arrival; through the wire format and back.
fn report(first: u16, arrivals: &[Option<Duration>]) -> TransportLayerCc {
    // The viewer's clock wraps around after five seconds.
    let clock = Duration::from_millis(64 << 24) - Duration::from_secs(5);
    let arrivals: Vec<_> = arrivals.iter().map(|a| a.map(|at| at + clock)).collect();
    let times = arrivals.iter().flatten();
    let units = times.clone().min().map_or(0, |at| at.as_millis() / 64);
    let mut last = units as i64 * 256;
    let mut recv_deltas = Vec::new();
    let symbols: Vec<_> = arrivals
        .iter()
        .map(|arrival| {
            let Some(at) = arrival else {
                return SymbolTypeTcc::PacketNotReceived;
            };
            let ticks = at.as_micros() as i64 / 250;
            let delta = ticks - std::mem::replace(&mut last, ticks);
            let symbol = match delta {
                0..=255 => SymbolTypeTcc::PacketReceivedSmallDelta,
                _ => SymbolTypeTcc::PacketReceivedLargeDelta,
            };
            recv_deltas.push(RecvDelta {
                type_tcc_packet: symbol,
                delta: delta * 250,
            });
            symbol
        })
        .collect();
    let chunks = symbols.chunks(7).map(|symbols| {
        let mut symbol_list = symbols.to_vec();
        symbol_list.resize(7, SymbolTypeTcc::PacketNotReceived);
        PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
            symbol_size: SymbolSizeTypeTcc::TwoBit,
            symbol_list,
            ..Default::default()
        })
    });
    let feedback = TransportLayerCc {
        base_sequence_number: first,
        packet_status_count: arrivals.len() as u16,
        reference_time: units as u32 & 0x00ff_ffff,
        packet_chunks: chunks.collect(),
        recv_deltas,
        ..Default::default()
    };
    let bytes = feedback.marshal().unwrap();
    assert_eq!(bytes.len() / 4 - 1, usize::from(feedback.header().length));
    TransportLayerCc::unmarshal(&mut &bytes[..]).unwrap()
}

/// A viewer behind a link, and the estimate for it.
struct Session {
    start: Instant,
    estimator: Estimator,
    link: Link,
    random: Random,
    /// Time since the start.
    now: Duration,
    /// Number of the next packet, and of the next that is reported on.
    next: u64,
    reported: u64,
    /// Of the packets that were not reported on.
    arrivals: VecDeque<Option<Duration>>,
    /// How often a report comes.
    copies: usize,
    /// What becomes of the next reports: lost, twice, after the next, or as it should be.
    fates: Vec<u8>,
    delayed: Option<TransportLayerCc>,
}

impl Session {
    fn new(link: Link) -> Self {
        let start = Instant::now();
        Self {
            start,
            estimator: Estimator::new(start, 2 * SENT as u32),
            link,
            random: Random(0x9e37_79b9_7f4a_7c15),
            now: Duration::ZERO,
            // So that both numbers wrap around soon.
            next: 65_000,
            reported: 65_000,
            arrivals: VecDeque::new(),
            copies: 1,
            fates: Vec::new(),
            delayed: None,
        }
    }

    /// Sends for that long, whatever the estimate, and calls `each` after every report.
    fn run(&mut self, time: Duration, mut each: impl FnMut(Duration, Option<u64>)) {
        const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FPS);
        let until = self.now + time;
        let mut frame = 0u32;
        while self.now < until {
            self.picture(frame.is_multiple_of(4 * FPS as u32));
            self.now += FRAME;
            frame += 1;
            if frame.is_multiple_of(3) {
                self.report();
                each(self.now, self.estimator.bits_per_second());
            }
        }
    }

    /// Packets of a picture, all at once; a keyframe is six times as large as the others.
    fn picture(&mut self, is_keyframe: bool) {
        let bytes = SENT / 8.0 / FPS as f64 * if is_keyframe { 6.0 } else { 0.96 };
        let packets = (bytes / PACKET as f64).round() as usize;
        for _ in 0..packets {
            let at = self.start + self.now;
            self.estimator.sent(at, self.next as u16, PACKET);
            self.next += 1;
            let arrival = self.link.carry(self.now, PACKET, &mut self.random);
            self.arrivals.push_back(arrival);
        }
    }

    /// What has arrived by now, up to the last of them.
    fn report(&mut self) {
        // The report travels as well.
        let seen = self.now.saturating_sub(Duration::from_millis(20));
        let is_there = |arrival: &Option<Duration>| arrival.is_some_and(|at| at <= seen);
        let Some(last) = self.arrivals.iter().rposition(is_there) else {
            return;
        };
        let there: Vec<_> = self
            .arrivals
            .range(..=last)
            .map(|a| a.filter(|at| *at <= seen))
            .collect();
        let first = self.reported as u16;
        // The next report begins with the first packet that is late, as those of Chromium do.
        let is_late = |arrival: &Option<Duration>| arrival.is_some_and(|at| at > seen);
        let late = self.arrivals.iter().position(is_late);
        let done = late.unwrap_or(usize::MAX).min(last + 1);
        self.arrivals.drain(..done);
        self.reported += done as u64;
        let report = report(first, &there);
        let delayed = self.delayed.take();
        let (now, copies) = match self.fates.pop() {
            Some(0) => (None, 0),
            Some(1) => (Some(report), 2),
            Some(2) => {
                self.delayed = Some(report);
                (None, 0)
            }
            _ => (Some(report), self.copies),
        };
        for report in std::iter::repeat_n(now, copies).flatten().chain(delayed) {
            self.estimator.feedback(self.start + self.now, &report);
        }
    }

    /// The range of the estimates from then on.
    fn range(&mut self, from: u64, to: u64) -> (f64, f64) {
        let (mut least, mut most) = (f64::MAX, 0.0f64);
        self.run(Duration::from_secs(to) - self.now, |at, estimate| {
            if at >= Duration::from_secs(from) {
                let estimate = estimate.unwrap_or_default() as f64;
                least = least.min(estimate);
                most = most.max(estimate);
            }
        });
        (least, most)
    }
}

#[test]
fn a_link_that_is_too_narrow_is_estimated_at_about_its_rate() {
    // With a queue of usual length, and with one that hardly overflows.
    for (rate, queue) in [
        (1e6, 300),
        (1e6, 2000),
        (1.5e6, 300),
        (2e6, 300),
        (2.2e6, 300),
        (2.2e6, 2000),
    ] {
        let mut session = Session::new(Link::new(rate, queue));
        let (least, most) = session.range(4, 60);
        let text = format!("{least} to {most} of {rate}, {queue} ms");
        assert!(least > 0.75 * rate && most < 1.05 * rate, "{text}");
    }
}

#[test]
fn a_link_that_is_wide_enough_is_never_estimated_below_what_is_sent() {
    for (rate, loss, jitter) in [
        (4e6, 0.0, 0),
        (10e6, 0.0, 0),
        (100e6, 0.0, 0),
        (10e6, 2.0, 0),
        (10e6, 5.0, 0),
        (10e6, 0.0, 30),
        (10e6, 0.0, 80),
        (10e6, 2.0, 30),
    ] {
        let mut link = Link::new(rate, 300);
        link.loss = loss;
        link.jitter = Duration::from_millis(jitter);
        let (least, most) = Session::new(link).range(2, 60);
        let text = format!("{least} to {most} of {rate}, {loss} % lost, {jitter} ms");
        assert!(least > SENT && most < 2.0 * SENT, "{text}");
    }
}

#[test]
fn heavy_loss_counts_without_a_queue() {
    let mut link = Link::new(10e6, 300);
    link.loss = 20.0;
    let (_, most) = Session::new(link).range(4, 60);
    assert!(most < SENT, "{most}");
}

#[test]
fn the_first_estimate_comes_within_a_second() {
    let mut session = Session::new(Link::new(10e6, 300));
    assert_eq!(session.estimator.bits_per_second(), None);
    let (least, _) = session.range(1, 2);
    assert!(least > 0.8 * SENT, "{least}");
}

#[test]
fn a_link_that_recovers_is_found_again() {
    let mut session = Session::new(Link::new(1e6, 300));
    let (_, most) = session.range(4, 20);
    assert!(most < 1.05e6, "{most}");
    session.link.bits_per_second = 10e6;
    let (least, _) = session.range(30, 40);
    assert!(least > SENT, "{least}");
    session.link.bits_per_second = 1e6;
    let (_, most) = session.range(43, 50);
    assert!(most < 1.05e6, "{most}");
}

#[test]
fn a_pause_says_nothing_about_the_path() {
    let mut session = Session::new(Link::new(10e6, 300));
    session.range(2, 10);
    session.now += Duration::from_millis(100);
    session.report();
    session.now += Duration::from_secs(7200);
    let (least, _) = session.range(7200, 7225);
    assert!(least > SENT, "{least}");
}

#[test]
fn a_report_that_comes_twice_counts_once() {
    let estimates = |copies| {
        let mut session = Session::new(Link::new(2e6, 300));
        session.copies = copies;
        let mut all = Vec::new();
        session.run(Duration::from_secs(10), |_, estimate| all.push(estimate));
        all
    };
    assert_eq!(estimates(1), estimates(3));
}

#[test]
fn what_was_forgotten_or_never_sent_is_ignored() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let mut history = History::new(start);
    for n in 0..2000 {
        history.add(at(n), (65_000 + n) as u16, 1200);
    }
    let mut is_news = |n: u64, arrived| history.news(2_000_000, n as u16, arrived).is_some();
    assert!(!is_news(65_000 + 2000 - 1025, true), "forgotten");
    assert!(!is_news(65_000 + 2000, true), "never sent");
    let last = 65_000 + 2000 - 1024;
    assert!(is_news(last, false) && !is_news(last, false));
    assert!(is_news(last, true) && !is_news(last, true) && !is_news(last, false));
    let news = history.news(2_000_000, (65_000u64 + 1500) as u16, true);
    let departure = news.unwrap().departure;
    assert_eq!(
        (departure, history.instant(departure)),
        (1_500_000, at(1500))
    );
}

#[test]
fn what_arrived_behind_a_lost_report_is_measured_by_itself() {
    let mut received = Received::default();
    let covering = |base_sequence_number| TransportLayerCc {
        base_sequence_number,
        packet_status_count: 10,
        ..Default::default()
    };
    // 1 Mbit/s for a second, in packets of 10 ms.
    let second = |received: &mut Received, from: i64| {
        (0..100).for_each(|n| received.add(from + n * 10_000, 1250));
    };
    received.follow(&covering(65_530));
    second(&mut received, 0);
    received.follow(&covering(14));
    let before = received.rate();
    assert!(before.is_some_and(|rate| (0.95e6..1.05e6).contains(&rate)));
    received.add(1_990_000, 1250);
    // The lost one was only late.
    (0..100).for_each(|n| received.add(1_000_000 + n * 5000, 1250));
    assert_eq!(received.rate(), before);
    second(&mut received, 2_000_000);
    let after = received.rate();
    assert!(
        after.is_some_and(|rate| (0.95e6..1.05e6).contains(&rate)),
        "{after:?}"
    );
}

#[test]
fn it_takes_nine_kilobytes() {
    let mut session = Session::new(Link::new(10e6, 300));
    session.range(0, 60);
    let Estimator {
        history, received, ..
    } = &session.estimator;
    let all = size_of::<Estimator>() + history.heap_size() + received.heap_size();
    assert!(all <= 9 * 1024 + 512, "{all}");
}

fn any_chunk() -> impl Strategy<Value = PacketStatusChunk> {
    let symbol = prop_oneof![
        Just(SymbolTypeTcc::PacketNotReceived),
        Just(SymbolTypeTcc::PacketReceivedSmallDelta),
        Just(SymbolTypeTcc::PacketReceivedLargeDelta),
        Just(SymbolTypeTcc::PacketReceivedWithoutDelta),
    ];
    let run = (symbol.clone(), 0..8192u16).prop_map(|(packet_status_symbol, run_length)| {
        PacketStatusChunk::RunLengthChunk(RunLengthChunk {
            packet_status_symbol,
            run_length,
            ..Default::default()
        })
    });
    let list = proptest::collection::vec(symbol, 0..14).prop_map(|symbol_list| {
        PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
            symbol_list,
            ..Default::default()
        })
    });
    prop_oneof![run, list]
}

prop_compose! {
    fn any_report()(
        packet_chunks in proptest::collection::vec(any_chunk(), 0..5),
        deltas in proptest::collection::vec(any::<i16>(), 0..40),
        base_sequence_number: u16,
        packet_status_count in prop_oneof![0..100u16, any::<u16>()],
        reference_time in 0..1u32 << 24,
    ) -> TransportLayerCc {
        let delta = |delta| RecvDelta { delta: i64::from(delta) * 250, ..Default::default() };
        TransportLayerCc {
            base_sequence_number,
            packet_status_count,
            reference_time,
            packet_chunks,
            recv_deltas: deltas.into_iter().map(delta).collect(),
            ..Default::default()
        }
    }
}

proptest! {
    #[test]
    fn whatever_a_viewer_reports_the_estimate_is_a_number_in_its_range(
        reports in proptest::collection::vec((any_report(), 0..3000u64, 0..200usize), 1..40),
    ) {
        let mut now = Instant::now();
        let mut estimator = Estimator::new(now, 5_000_000);
        for (report, millis, packets) in reports {
            for n in 0..packets {
                estimator.sent(now, report.base_sequence_number.wrapping_add(n as u16), n * 40);
            }
            now += Duration::from_millis(millis);
            estimator.feedback(now, &report);
            let range = FLOOR as u64..=5_000_000;
            prop_assert!(estimator.bits_per_second().is_none_or(|estimate| range.contains(&estimate)));
        }
    }

    #[test]
    fn reports_that_are_lost_doubled_or_late_do_not_change_much(fates in proptest::collection::vec(0..8u8, 200)) {
        let mut session = Session::new(Link::new(10e6, 300));
        session.fates = fates;
        let mut least = u64::MAX;
        session.run(Duration::from_secs(20), |_, estimate| least = least.min(estimate.unwrap_or(u64::MAX)));
        let (after, _) = session.range(24, 30);
        prop_assert!(least as f64 > 0.75 * SENT && after > SENT, "{} and {}", least, after);
    }
}
