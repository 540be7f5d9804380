//! The report for people.

use crate::histogram::Summary;
use crate::metrics::Counters;
use crate::report::{Load, Report};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

/// Shows a report.
pub struct Table<'a>(pub &'a Report);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report {
            conditions,
            since_post,
            per_viewer,
            measured,
            whole,
            ..
        } = self.0;
        let viewers = conditions.viewers;
        writeln!(
            f,
            "{}: {viewers} viewers within {} s, measured for {:.1} s",
            conditions.url, conditions.ramp_s, conditions.measured_s
        )?;
        write!(
            f,
            "{} joined, {} connected, {} playing",
            self.0.joined, self.0.connected, self.0.playing
        )?;
        for (profile, count) in &self.0.srtp {
            write!(f, ", {count} with {profile}")?;
        }
        writeln!(f)?;
        for (reason, count) in &self.0.refused {
            writeln!(f, "{count} did not join: {reason}")?;
        }
        for (reason, count) in &self.0.ended_early {
            writeln!(f, "{count} ended early: {reason}")?;
        }
        head(f, "\nms since POST")?;
        row(f, "answer", since_post.answered, 1)?;
        row(f, "DTLS connected", since_post.connected, 1)?;
        row(f, "first packet", since_post.first_packet, 1)?;
        row(f, "first keyframe", since_post.first_keyframe, 1)?;
        head(f, "\nframes, ms")?;
        row(f, "interval", self.0.frame_interval, 2)?;
        row(f, "jitter of it", self.0.frame_jitter, 2)?;
        let spread = if self.0.frame_spread_is_exact {
            "first to last viewer"
        } else {
            "first to last, about"
        };
        row(f, spread, self.0.frame_spread, 2)?;
        if let Some(age) = self.0.frame_age {
            row(f, "age since capture", Some(age), 2)?;
        }
        head(f, "\nper viewer")?;
        row(f, "packets", per_viewer.packets, 0)?;
        row(f, "kbit/s", per_viewer.kilobits_per_second, 0)?;
        row(f, "frames", per_viewer.frames, 0)?;
        row(f, "packets lost", per_viewer.lost, 0)?;
        writeln!(
            f,
            "\n{:22}{:>12}{:>10}{:>12}{:>12}{:>12}",
            "packets", "received", "lost", "duplicate", "reordered", "sent again"
        )?;
        for (name, sums) in [("measured", measured), ("with joining", whole)] {
            let counts = &sums.counts;
            writeln!(
                f,
                "{name:22}{:>12}{:>10}{:>12}{:>12}{:>12}",
                counts.packets,
                sums.lost,
                counts.duplicates,
                counts.reordered,
                counts.retransmitted
            )?;
        }
        if self.0.dropped_here > 0 {
            writeln!(
                f,
                "{} datagrams were dropped here, at full receive buffers: this machine was too slow",
                self.0.dropped_here
            )?;
        }
        if let Some(checks) = self.0.checks {
            writeln!(
                f,
                "\n{} frames decoded; {} undecodable, {} without counter, {} not increasing; \
                 {} gaps of {} frames",
                checks.decoded,
                checks.undecodable,
                checks.unreadable,
                checks.not_increasing,
                checks.gaps,
                checks.missing
            )?;
        }
        let playing = self.0.joining.until_all_play_s;
        writeln!(f, "\nall played {playing:.2} s after the first POST")?;
        if let Some(server) = &self.0.server {
            load(f, "server", server)?;
        }
        // Those that matter.
        let threads = self
            .0
            .server_threads
            .iter()
            .filter(|(_, thread)| thread.cpu_percent >= 0.1);
        for (name, thread) in threads {
            write!(f, "  {name:16}{:>6.1} %", thread.cpu_percent)?;
            match thread.cpu_us_per_packet {
                Some(micros) => writeln!(f, "          {micros:>8.2} µs a packet")?,
                None => writeln!(f)?,
            }
        }
        if let Some(ours) = &self.0.generator {
            load(f, "this program", ours)?;
        }
        counters(f, self.0)
    }
}

/// The server's counters, without the buckets of histograms.
fn counters(f: &mut Formatter<'_>, report: &Report) -> fmt::Result {
    let (Some(joining), Some(measured)) =
        (&report.joining.server_counters, &report.server_counters)
    else {
        return Ok(());
    };
    let names: BTreeSet<_> = joining.keys().chain(measured.keys()).collect();
    writeln!(
        f,
        "\n{:54}{:>12}{:>12}",
        "server's counters", "joining", "measured"
    )?;
    for name in names.into_iter().filter(|name| !name.contains("_bucket{")) {
        let of = |counters: &Counters| counters.get(name).copied().unwrap_or_default();
        let digits = if name.contains("_seconds") { 3 } else { 0 };
        writeln!(
            f,
            "{name:54}{:>12.digits$}{:>12.digits$}",
            of(joining),
            of(measured)
        )?;
    }
    Ok(())
}

fn head(f: &mut Formatter<'_>, name: &str) -> fmt::Result {
    // The line break before it takes no width.
    let width = 22 + name.matches('\n').count();
    let columns = ["min", "median", "p95", "p99", "max"];
    write!(f, "{name:width$}")?;
    columns
        .iter()
        .try_for_each(|column| write!(f, "{column:>10}"))?;
    writeln!(f)
}

fn row(f: &mut Formatter<'_>, name: &str, summary: Option<Summary>, digits: usize) -> fmt::Result {
    let Some(s) = summary else {
        return writeln!(f, "{name:22}{:>10}", "none");
    };
    write!(f, "{name:22}")?;
    for value in [s.min, s.median, s.p95, s.p99, s.max] {
        write!(f, "{value:>10.digits$}")?;
    }
    writeln!(f)
}

fn load(f: &mut Formatter<'_>, name: &str, load: &Load) -> fmt::Result {
    write!(f, "{name:14}{:>6.1} % of a core", load.cpu_percent)?;
    if let Some(micros) = load.cpu_us_per_packet {
        write!(f, ", {micros:.2} µs a packet")?;
    }
    write!(f, "; {:.1} MB", load.memory_bytes as f64 / 1e6)?;
    if let Some(each) = load.memory_bytes_per_viewer {
        write!(f, ", {:.3} MB a viewer", each / 1e6)?;
    }
    writeln!(f)
}
