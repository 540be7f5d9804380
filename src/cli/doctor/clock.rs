//! The clock: TLS and JSON Web Tokens are judged by it, and viewers' certificates are made by it.

use super::Finding;
use std::env;
use std::fs;
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::process::Command;
use tokio::time::timeout;

const CHECK: &str = "clock";
const CURE: &str = "run `sudo timedatectl set-ntp true`, or set the clock by hand; until then HTTPS and JSON Web Tokens may be refused";
/// Of systemd's service, which may have to be started.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the time is plausible, and whether the system synchronizes the clock.
pub async fn check() -> Vec<Finding> {
    let is_synchronized = is_synchronized().await;
    vec![judge(SystemTime::now(), written(), is_synchronized)]
}

fn judge(now: SystemTime, written: Option<SystemTime>, is_synchronized: Option<bool>) -> Finding {
    // Two clocks may differ by a little.
    let is_before = written.is_some_and(|written| now + Duration::from_secs(3600) < written);
    if is_before {
        return Finding::fail(
            CHECK,
            "the clock is set to a time before this program was installed",
            CURE,
        );
    }
    match is_synchronized {
        Some(true) => Finding::ok(CHECK, "the clock is synchronized over the network"),
        Some(false) => Finding::warn(CHECK, "the clock is not synchronized", CURE),
        None => Finding::ok(
            CHECK,
            "the time is plausible; this machine has no timedatectl to ask whether it is synchronized",
        ),
    }
}

/// When this program's file was written.
fn written() -> Option<SystemTime> {
    let file = env::current_exe().ok()?;
    fs::metadata(file).ok()?.modified().ok()
}

/// The kernel's knowledge of the clock, as systemd reports it; `None` where systemd is not at hand.
async fn is_synchronized() -> Option<bool> {
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]);
    ask.stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PATIENCE, ask.output()).await.ok()?.ok()?;
    match &*output.stdout {
        b"yes\n" => Some(true),
        b"no\n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_clock_before_the_program_is_wrong_whatever_is_said_of_it() {
        let now = SystemTime::now();
        let day = Duration::from_secs(24 * 3600);
        let outcome = |written, synchronized| judge(now, written, synchronized).outcome;
        assert_eq!(outcome(Some(now + day), Some(true)), Outcome::Fail);
        assert_eq!(outcome(Some(now - day), Some(true)), Outcome::Ok);
        assert_eq!(outcome(Some(now - day), Some(false)), Outcome::Warn);
        assert_eq!(outcome(None, None), Outcome::Ok);
    }
}
