//! What the kernel says of processes and sockets: processor time, memory, datagrams it had to drop.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::time::Duration;

/// Files that are open besides the viewers' sockets.
const OTHER_FILES: u64 = 64;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Of all its threads, in user space and in the kernel.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// Processor time by thread name; threads of one name are summed up. Empty where the kernel doesn't count it.
pub fn threads(pid: u32) -> BTreeMap<String, Duration> {
    let mut threads = BTreeMap::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name));
        let (Ok(name), Ok(schedule)) = (read("comm"), read("schedstat")) else {
            // It has just ended.
            continue;
        };
        let nanos = schedule.split_ascii_whitespace().next();
        let nanos = nanos.and_then(|nanos| nanos.parse().ok());
        let time = Duration::from_nanos(nanos.unwrap_or_default());
        *threads.entry(name.trim_end().to_owned()).or_default() += time;
    }
    threads
}

/// The process with that number, or this one.
pub fn usage(pid: Option<u32>) -> io::Result<Usage> {
    let folder = pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
    let clock = match pid {
        // Of all its threads, those that have ended too.
        Some(pid) => ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?,
        None => ClockId::CLOCK_PROCESS_CPUTIME_ID,
    };
    let status = fs::read_to_string(format!("{folder}/status"))?;
    let strange = || io::Error::other(format!("{folder} is not as proc(5) describes it"));
    Ok(Usage {
        cpu: clock_gettime(clock)?.into(),
        memory: memory(&status).ok_or_else(strange)?,
    })
}

fn memory(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

/// Datagrams that the kernel dropped at the sockets with these ports, since their buffers were full.
pub fn drops(ports: &HashSet<u16>) -> u64 {
    ["/proc/net/udp", "/proc/net/udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .map(|table| drops_in(&table, ports))
        .sum()
}

fn drops_in(table: &str, ports: &HashSet<u16>) -> u64 {
    let rows = table.lines().skip(1).filter_map(|row| {
        let mut fields = row.split_ascii_whitespace();
        let port = fields.nth(1)?.rsplit_once(':')?.1;
        let is_ours = ports.contains(&u16::from_str_radix(port, 16).ok()?);
        is_ours.then(|| fields.next_back()?.parse::<u64>().ok())?
    });
    rows.sum()
}

/// Lets this process open a socket for each viewer.
pub fn allow_sockets(viewers: usize) -> io::Result<()> {
    let wanted = viewers as u64 * 2 + OTHER_FILES;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        return Err(io::Error::other(format!(
            "{viewers} viewers need {wanted} open files and this user may have {hard}: raise `ulimit -Hn`"
        )));
    }
    Ok(setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_alike_from_within_and_without_and_an_unknown_one_is_an_error() {
        let (within, without) = (usage(None), usage(Some(std::process::id())));
        let (within, without) = (within.unwrap(), without.unwrap());
        assert!(within.memory > 1 << 20 && without.memory > 1 << 20);
        assert!(Duration::ZERO < within.cpu && within.cpu <= without.cpu);
        assert!(usage(Some(i32::MAX as u32)).is_err());
        assert_eq!(memory("Name:\ta\nVmRSS:\t   2048 kB\n"), Some(2 << 20));
        assert!(!threads(std::process::id()).is_empty());
    }

    #[test]
    fn drops_are_summed_over_our_ports_alone() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 5\n\
            2: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 7\n\
            3: 0100007F:1F92 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 1 2 0 9\n";
        assert_eq!(drops_in(table, &HashSet::from([0x1f90, 0x1f92])), 14);
    }
}
