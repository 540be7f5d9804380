//! `fanlight doctor`: looks for what keeps people from watching, on the machine itself, and says what to do.
//!
//! Each kind of check has a file. None changes anything; the one that watches a stream opens its camera, as a viewer would.

mod addresses;
mod camera;
mod certificate;
mod clock;
mod configuration;
mod encoder;
mod exposure;
mod holders;
mod ports;
mod session;
mod state;

use crate::cli::DoctorArguments;
use crate::config::Config;
use crate::daemon::without_ipv6;
use crate::links::Serving;
use crate::state::State;
use serde::Serialize;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, or may work, but not as it could.
    Warn,
    /// It does not work.
    Fail,
}

impl Outcome {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check it was: a word.
    pub check: &'static str,
    /// How bad it is.
    pub outcome: Outcome,
    /// What was seen.
    pub seen: String,
    /// What to do, if there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Ok,
            seen: seen.into(),
            cure: None,
        }
    }

    fn warn(check: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Warn,
            cure: Some(cure.into()),
            ..Self::ok(check, seen)
        }
    }

    fn fail(check: &'static str, seen: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Fail,
            ..Self::warn(check, seen, cure)
        }
    }
}

/// One line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (outcome, check) = (self.outcome.name(), self.check);
        // Others' words may have several.
        let line = |text: &str| text.lines().collect::<Vec<_>>().join(" ");
        write!(f, "{outcome:<5} {check}: {}", line(&self.seen))?;
        match &self.cure {
            Some(cure) => write!(f, " → {}", line(cure)),
            None => Ok(()),
        }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// In the order in which things depend on each other.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether something does not work.
    pub fn has_failed(&self) -> bool {
        self.count(Outcome::Fail) > 0
    }

    fn count(&self, outcome: Outcome) -> usize {
        let of_it = self
            .findings
            .iter()
            .filter(|finding| finding.outcome == outcome);
        of_it.count()
    }

    /// For programs.
    pub fn json(&self) -> String {
        // Strings and lists always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// A line for each, and the sum.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let [warn, fail] = [Outcome::Warn, Outcome::Fail].map(|outcome| self.count(outcome));
        match (fail, warn) {
            (0, 0) => f.write_str("nothing is wrong"),
            (0, warn) => write!(f, "it works; {warn} to look at"),
            (fail, _) => write!(f, "{fail} failed"),
        }
    }
}

/// What is examined.
struct Patient {
    config: Config,
    /// The daemon that runs with it, if there is one.
    daemon: Option<Running>,
}

/// A daemon that runs.
struct Running {
    state: State,
    serving: Serving,
}

impl Running {
    /// Where a client on this machine reaches it.
    fn http(&self) -> SocketAddr {
        let mut address = self.serving.http;
        // IPv6's wildcard takes IPv4 as well, which some machines have alone.
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        address
    }
}

/// Looks at everything, each after what it depends on. To be called within a tokio runtime.
pub async fn examine(arguments: &DoctorArguments) -> Report {
    let mut findings = Vec::new();
    let config = configuration::check(&arguments.run, &mut findings);
    let Some(mut config) = config else {
        return Report { findings };
    };
    without_ipv6(&mut config);
    let daemon = state::check(&config, &mut findings);
    let patient = Patient { config, daemon };
    findings.push(exposure::check(&patient.config));
    findings.extend(clock::check().await);
    let cameras = camera::check(&patient.config, patient.daemon.is_some()).await;
    findings.extend(cameras.findings);
    findings.extend(encoder::check(&patient.config));
    findings.extend(ports::check(&patient));
    findings.extend(certificate::check(&patient).await);
    findings.extend(addresses::check(&patient.config));
    let sessions = session::check(&patient, &cameras.failed).await;
    findings.extend(sessions.findings);
    if patient.daemon.is_some() {
        findings.extend(addresses::discovered(
            &patient.config.rtc,
            &sessions.offered,
        ));
    }
    Report { findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_line() {
        let finding = Finding::fail("camera", "/dev/video0:\nno such device", "plug it in");
        assert_eq!(
            finding.to_string(),
            "fail  camera: /dev/video0: no such device → plug it in"
        );
        assert_eq!(Finding::ok("clock", "set").to_string(), "ok    clock: set");
    }

    #[test]
    fn the_sum_says_whether_it_works() {
        let report = |findings: &[Finding]| Report {
            findings: findings.to_vec(),
        };
        let (ok, warn, fail) = (
            Finding::ok("a", "b"),
            Finding::warn("a", "b", "c"),
            Finding::fail("a", "b", "c"),
        );
        let last = |report: &Report| report.to_string().lines().last().unwrap().to_owned();
        assert_eq!(last(&report(std::slice::from_ref(&ok))), "nothing is wrong");
        let some = report(&[ok.clone(), warn.clone(), warn.clone()]);
        assert_eq!(last(&some), "it works; 2 to look at");
        assert!(!some.has_failed());
        let bad = report(&[ok, warn, fail]);
        assert_eq!(last(&bad), "1 failed");
        assert!(bad.has_failed());
    }

    #[test]
    fn programs_read_the_same() {
        let report = Report {
            findings: vec![
                Finding::ok("clock", "set"),
                Finding::warn("state", "gone", "make it"),
            ],
        };
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        let expected = serde_json::json!({ "findings": [
            { "check": "clock", "outcome": "ok", "seen": "set" },
            { "check": "state", "outcome": "warn", "seen": "gone", "cure": "make it" },
        ] });
        assert_eq!(json, expected);
    }
}
