//! Metrics of the process, by the names that every Prometheus client library uses.
//!
//! The values are read at each scrape. They concern this process alone, so that they are there in a sandbox that hides the rest of `/proc`.

use crate::base::sync::Mutex;
use nix::time::{ClockId, clock_gettime};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds by which the clock may be set before the time of the start is corrected. A machine without a battery for its clock learns the
/// time some seconds after it was switched on.
const CLOCK_STEP: f64 = 1.0;

/// This process.
#[derive(Debug)]
pub struct Process {
    begun: Instant,
    /// Seconds since 1970.
    started: Mutex<f64>,
}

impl Process {
    /// The metrics of a process that has just begun.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            started: Mutex::new(unix(SystemTime::now())),
        }
    }

    fn started(&self) -> f64 {
        // A value is always whole.
        let mut held = self.started.lock();
        *held = started(*held, unix(SystemTime::now()), self.begun.elapsed());
        *held
    }
}

/// The time of the start: `told`, unless the clock, which says `now` after so much time has passed, was set since.
fn started(told: f64, now: f64, passed: Duration) -> f64 {
    let by_clock = now - passed.as_secs_f64();
    if (by_clock - told).abs() > CLOCK_STEP {
        by_clock
    } else {
        told
    }
}

fn unix(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// Processor time of all threads.
fn cpu() -> Option<Duration> {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok()?;
    Some(time.into())
}

/// A line of `/proc/self/status` such as `VmRSS:     1234 kB`, in bytes.
fn bytes(status: &str, label: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// The soft limit on open files in `/proc/self/limits`; `None` without one.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Open descriptors, without the one that counts them.
fn open_files() -> Option<u64> {
    let files = fs::read_dir("/proc/self/fd").ok()?;
    Some((files.count() as u64).saturating_sub(1))
}

type NoLabels = [(&'static str, &'static str); 0];

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        let status = read("/proc/self/status");
        let limits = read("/proc/self/limits");
        if let Some(cpu) = cpu() {
            let help = "Processor time of the process, all threads together.";
            encoder
                .encode_descriptor(
                    "process_cpu",
                    help,
                    Some(&Unit::Seconds),
                    MetricType::Counter,
                )?
                .encode_counter(&cpu.as_secs_f64(), None::<&Exemplar<NoLabels, f64>>)?;
        }
        let gauges = [
            (
                "process_resident_memory",
                "Memory of the process that is in RAM.",
                Some(Unit::Bytes),
                bytes(&status, "VmRSS:").map(|n| n as f64),
            ),
            (
                "process_virtual_memory",
                "Addresses that the process has mapped.",
                Some(Unit::Bytes),
                bytes(&status, "VmSize:").map(|n| n as f64),
            ),
            (
                "process_open_fds",
                "Open file descriptors.",
                None,
                open_files().map(|n| n as f64),
            ),
            (
                "process_max_fds",
                "Descriptors that the process may have open.",
                None,
                most_files(&limits).map(|n| n as f64),
            ),
            (
                "process_start_time",
                "When the process started, since 1970.",
                Some(Unit::Seconds),
                Some(self.started()),
            ),
        ];
        for (name, help, unit, value) in gauges {
            if let Some(value) = value {
                encoder
                    .encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?
                    .encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Format, Metrics};

    #[test]
    fn the_process_tells_what_it_takes() {
        let metrics = Metrics::new();
        let value = |name: &str| {
            let text = metrics.render(Format::Text);
            let mut lines = text.lines().map(str::to_owned);
            let line = lines.find(|line| line.starts_with(&format!("{name} ")));
            let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
            line.split(' ').nth(1).unwrap().parse::<f64>().unwrap()
        };
        let files = value("process_open_fds");
        let _file = fs::File::open("/proc/self/status").unwrap();
        assert!(value("process_open_fds") >= files.min(3.0));
        assert!(value("process_max_fds") > files);
        assert!(value("process_cpu_seconds_total") > 0.0);
        let resident = value("process_resident_memory_bytes");
        assert!(resident > 1e6 && resident < value("process_virtual_memory_bytes"));
        let started = value("process_start_time_seconds");
        assert!(
            (started - unix(SystemTime::now())).abs() < 60.0,
            "{started}"
        );
        assert_eq!(started, value("process_start_time_seconds"));
    }

    #[test]
    fn proc_is_read_as_it_is_written() {
        let status = "Name:\tfanlight\nVmPeak:\t  300 kB\nVmSize:\t  200 kB\nVmRSS:\t   7 kB\n";
        assert_eq!(bytes(status, "VmRSS:"), Some(7 << 10));
        assert_eq!(bytes(status, "VmSize:"), Some(200 << 10));
        assert_eq!(bytes("", "VmRSS:"), None);
        let limits = |soft| {
            format!(
                "Limit  Soft Limit  Hard Limit  Units\nMax open files   {soft}   4096   files\n"
            )
        };
        assert_eq!(most_files(&limits("1024")), Some(1024));
        assert_eq!(most_files(&limits("unlimited")), None);
    }

    #[test]
    fn the_start_stays_where_it_is_until_the_clock_is_set() {
        let passed = Duration::from_secs(10);
        assert_eq!(started(1000.0, 1010.4, passed), 1000.0);
        assert_eq!(started(1000.0, 50_010.0, passed), 50_000.0);
        assert_eq!(started(50_000.0, 1010.0, passed), 1000.0);
    }
}
