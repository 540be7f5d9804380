//! What the test found out, as values: summed up from the viewers' outcomes, and written as JSON.

use crate::counts::Counts;
use crate::histogram::Summary;
use crate::metrics::Counters;
use crate::peer::Milestones;
use crate::process::Usage;
use crate::socket::Receive;
use crate::verify::Checks;
use crate::viewer::Outcome;
use crate::worker::Results;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Sender reports that disagree by more don't tell which frame is which.
const EXACT: Duration = Duration::from_millis(3);

/// How the test was made.
#[derive(Debug, Clone, Serialize)]
pub struct Conditions {
    pub url: String,
    pub viewers: usize,
    pub ramp_s: f64,
    /// As it came to pass.
    pub measured_s: f64,
    pub threads: usize,
    pub receive: Receive,
    pub verify: bool,
}

/// Everything. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct Report {
    pub conditions: Conditions,
    /// Viewers whose offer was answered.
    pub joined: usize,
    /// Viewers whose DTLS handshake was done.
    pub connected: usize,
    /// Viewers who saw a keyframe.
    pub playing: usize,
    /// Why others could not join, and how many.
    pub refused: BTreeMap<String, usize>,
    /// Why others ended early, and how many.
    pub ended_early: BTreeMap<String, usize>,
    /// SRTP profiles, and how many have them.
    pub srtp: BTreeMap<&'static str, usize>,
    pub since_post: SincePost,
    pub per_viewer: PerViewer,
    /// While it was measured.
    pub measured: Sums,
    /// With joining.
    pub whole: Sums,
    /// Datagrams that this machine dropped after they had arrived, which count as lost above.
    pub dropped_here: u64,
    pub frame_interval: Option<Summary>,
    /// How much intervals differ from what the timestamps say.
    pub frame_jitter: Option<Summary>,
    /// From the first viewer who has the whole of a frame to the last.
    pub frame_spread: Option<Summary>,
    /// False if frames were told apart by arrival alone, which takes what is more than half an interval apart for
    /// different frames: there were no sender reports, or inexact ones.
    pub frame_spread_is_exact: bool,
    /// From capture, by the server's clock, to arrival; only if both clocks agree, as on one machine.
    pub frame_age: Option<Summary>,
    /// How much the server's sender reports disagreed on when a frame was captured.
    pub sender_report_error: f64,
    pub checks: Option<Checks>,
    pub generator: Option<Load>,
    pub server: Option<Load>,
    /// The server's threads by name, while it was measured.
    pub server_threads: BTreeMap<String, ThreadLoad>,
    /// By how much the server's counters grew while it was measured; those that did not are left out.
    pub server_counters: Option<Counters>,
    pub joining: Joining,
}

/// What a thread of the server spends.
#[derive(Debug, Serialize)]
pub struct ThreadLoad {
    /// Of one core.
    pub cpu_percent: f64,
    /// For each packet that viewers received.
    pub cpu_us_per_packet: Option<f64>,
}

/// The time before the measurement, in which all joined.
#[derive(Debug, Serialize)]
pub struct Joining {
    /// From the first POST until the last of those who play had its first keyframe.
    pub until_all_play_s: f64,
    /// All of that time, some milliseconds longer.
    pub seconds: f64,
    /// What the server spent in that time, with the media that it sent, in seconds.
    pub server_cpu_s: Option<f64>,
    /// Its threads by name, of that.
    pub server_threads_cpu_s: BTreeMap<String, f64>,
    /// By how much its counters grew.
    pub server_counters: Option<Counters>,
}

#[derive(Debug, Serialize)]
pub struct SincePost {
    pub answered: Option<Summary>,
    pub connected: Option<Summary>,
    pub first_packet: Option<Summary>,
    pub first_keyframe: Option<Summary>,
}

/// Of those who play, while it was measured.
#[derive(Debug, Serialize)]
pub struct PerViewer {
    pub packets: Option<Summary>,
    pub kilobits_per_second: Option<Summary>,
    pub frames: Option<Summary>,
    pub lost: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub struct Sums {
    #[serde(flatten)]
    pub counts: Counts,
    pub lost: i64,
}

/// What a process spent while it was measured.
#[derive(Debug, Serialize)]
pub struct Load {
    pub cpu_s: f64,
    /// Of one core.
    pub cpu_percent: f64,
    /// For each packet that viewers received.
    pub cpu_us_per_packet: Option<f64>,
    pub memory_bytes: u64,
    /// What it grew by since before the first viewer, for each who plays.
    pub memory_bytes_per_viewer: Option<f64>,
}

/// A process before the first viewer, and before and after the measurement.
#[derive(Debug, Clone, Copy)]
pub struct Usages {
    pub idle: Usage,
    pub begin: Usage,
    pub end: Usage,
}

/// What the server did between two moments.
#[derive(Debug, Clone)]
pub struct Since {
    pub time: Duration,
    /// Processor time of all threads, those that have ended too.
    pub server: Option<Duration>,
    pub threads: BTreeMap<String, Duration>,
    pub counters: Option<Counters>,
}

/// What the report is made of.
pub struct Findings {
    pub conditions: Conditions,
    pub refused: Vec<String>,
    pub results: Results,
    pub dropped_here: u64,
    pub generator: Option<Usages>,
    pub server: Option<Usages>,
    pub joining: Since,
    pub measuring: Since,
}

impl Report {
    pub fn new(findings: Findings) -> Self {
        let Findings {
            conditions,
            refused,
            results: Results { outcomes, times },
            dropped_here,
            generator,
            server,
            joining,
            measuring,
        } = findings;
        let all = |of: fn(&Milestones) -> Option<Duration>| {
            let times = outcomes.iter().filter_map(|o| of(&o.milestones));
            Summary::of(times.map(|time| time.as_secs_f64() * 1000.0).collect())
        };
        let is_playing = |o: &&Outcome| o.milestones.first_keyframe.is_some();
        let each = |of: &dyn Fn(&Counts) -> f64| {
            let playing = outcomes.iter().filter(is_playing);
            Summary::of(playing.map(|o| of(&o.marked)).collect())
        };
        let seconds = conditions.measured_s;
        let sums = |of: fn(&Outcome) -> Counts| {
            let counts = outcomes.iter().map(of);
            let counts = counts.fold(Counts::default(), |all, counts| all + counts);
            let lost = counts.lost();
            Sums { counts, lost }
        };
        let measured = sums(|o| o.marked);
        let playing = outcomes.iter().filter(is_playing).count();
        let load = |usages| Load::new(usages, seconds, measured.counts.packets, playing);
        let thread = |(name, time): (String, Duration)| {
            let cpu_s = time.as_secs_f64();
            let load = ThreadLoad {
                cpu_percent: cpu_s / seconds * 100.0,
                cpu_us_per_packet: per_packet(cpu_s, measured.counts.packets),
            };
            (name, load)
        };
        let checks = outcomes.iter().filter_map(|o| o.checks);
        let clock_error = outcomes.iter().map(|o| o.clock_error).max();
        let clock_error = clock_error.unwrap_or_default();
        let is_exact = clock_error <= EXACT;
        let exact_spread = times.spread().filter(|_| is_exact);
        Self {
            connected: (outcomes.iter())
                .filter(|o| o.milestones.connected.is_some())
                .count(),
            playing,
            joined: outcomes.len(),
            refused: tally(refused.into_iter()),
            ended_early: tally(outcomes.iter().filter_map(|o| o.fault.clone())),
            srtp: tally(outcomes.iter().filter_map(|o| o.profile)),
            since_post: SincePost {
                answered: all(|m| Some(m.answered)),
                connected: all(|m| m.connected),
                first_packet: all(|m| m.first_packet),
                first_keyframe: all(|m| m.first_keyframe),
            },
            per_viewer: PerViewer {
                packets: each(&|c| c.packets as f64),
                kilobits_per_second: each(&|c| c.bytes as f64 * 8.0 / 1000.0 / seconds),
                frames: each(&|c| c.frames as f64),
                lost: each(&|c| c.lost() as f64),
            },
            whole: sums(|o| o.total),
            dropped_here,
            frame_interval: times.intervals.summary(),
            frame_jitter: times.jitter.summary(),
            frame_spread: exact_spread.or_else(|| times.spread_by_arrival()),
            frame_spread_is_exact: exact_spread.is_some(),
            frame_age: times.ages().filter(|_| is_exact),
            sender_report_error: clock_error.as_secs_f64() * 1000.0,
            checks: checks.reduce(|all, checks| all + checks),
            generator: generator.map(load),
            server: server.map(load),
            server_threads: measuring.threads.into_iter().map(thread).collect(),
            server_counters: measuring.counters,
            joining: Joining::new(joining, &outcomes),
            measured,
            conditions,
        }
    }

    /// True if every viewer played to the end, and no frame that was checked was wrong.
    pub fn is_good(&self) -> bool {
        self.playing == self.conditions.viewers
            && self.ended_early.is_empty()
            && self.checks.is_none_or(|checks| checks.is_clean())
    }
}

impl Joining {
    fn new(since: Since, outcomes: &[Outcome]) -> Self {
        let all = outcomes.iter().map(|o| o.milestones);
        let first = all.clone().map(|m| m.offered).min().unwrap_or_default();
        let played = all.filter_map(|m| Some(m.offered + m.first_keyframe?));
        let last = played.max().unwrap_or(first);
        let threads = since.threads.into_iter();
        Self {
            until_all_play_s: last.saturating_sub(first).as_secs_f64(),
            seconds: since.time.as_secs_f64(),
            server_cpu_s: since.server.map(|cpu| cpu.as_secs_f64()),
            server_threads_cpu_s: threads
                .map(|(name, cpu)| (name, cpu.as_secs_f64()))
                .collect(),
            server_counters: since.counters,
        }
    }
}

fn per_packet(cpu_s: f64, packets: u64) -> Option<f64> {
    (packets > 0).then(|| cpu_s * 1e6 / packets as f64)
}

impl Load {
    fn new(usages: Usages, seconds: f64, packets: u64, playing: usize) -> Self {
        let Usages { idle, begin, end } = usages;
        let cpu_s = end.cpu.saturating_sub(begin.cpu).as_secs_f64();
        let grown = end.memory as f64 - idle.memory as f64;
        Self {
            cpu_s,
            cpu_percent: cpu_s / seconds * 100.0,
            cpu_us_per_packet: per_packet(cpu_s, packets),
            memory_bytes: end.memory,
            memory_bytes_per_viewer: (playing > 0).then(|| grown / playing as f64),
        }
    }
}

fn tally<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut tally = BTreeMap::new();
    for item in items {
        *tally.entry(item).or_insert(0) += 1;
    }
    tally
}
