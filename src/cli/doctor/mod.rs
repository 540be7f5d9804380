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
mod ports;
mod session;
mod state;

use crate::base::colour::Style;
use crate::base::os_error::plain;
use crate::base::state_dir::StateDir;
use crate::cli::DoctorArguments;
use crate::config::Config;
use crate::daemon::serving::Serving;
use crate::daemon::without_ipv6;
use serde::Serialize;
use std::net::SocketAddr;

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

    const fn style(self) -> Style {
        match self {
            Self::Ok => Style::Green,
            Self::Warn => Style::Yellow,
            Self::Fail => Style::Red,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The name of the check: one word.
    pub check: &'static str,
    /// How bad it is.
    pub outcome: Outcome,
    /// The observation.
    pub seen: String,
    /// The cure, if one is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            outcome: Outcome::Ok,
            seen: plain(&Into::<String>::into(seen)),
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

impl Finding {
    /// One line.
    fn line(&self, is_coloured: bool) -> String {
        let word = format!("{:<5}", self.outcome.name());
        let outcome = self.outcome.style().paint(&word, is_coloured);
        // The words of other programs may have several lines.
        let flat = |text: &str| text.lines().collect::<Vec<_>>().join(" ");
        let cure = match &self.cure {
            Some(cure) => format!(" → {}", flat(cure)),
            None => String::new(),
        };
        format!("{outcome} {}: {}{cure}", self.check, flat(&self.seen))
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

    /// The report as JSON, for programs.
    pub fn json(&self) -> String {
        // Strings and lists always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// The report as text, for people: a line for each finding, and the sum.
    pub fn text(&self, is_coloured: bool) -> String {
        let [warn, fail] = [Outcome::Warn, Outcome::Fail].map(|outcome| self.count(outcome));
        let sum = match (fail, warn) {
            (0, 0) => "everything works".to_owned(),
            (0, _) => format!("it works, with {}", many(warn, "warning")),
            (_, 0) => many(fail, "failure"),
            (_, _) => format!("{}, {}", many(fail, "failure"), many(warn, "warning")),
        };
        let findings = self.findings.iter();
        let lines = findings.map(|finding| finding.line(is_coloured));
        lines.chain([sum]).collect::<Vec<_>>().join("\n")
    }
}

/// `1 warning`, `2 warnings`.
fn many(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// The subject of the examination.
struct Patient {
    config: Config,
    /// The daemon that runs with it, if there is one.
    daemon: Option<Running>,
}

/// A daemon that runs.
struct Running {
    state: StateDir,
    serving: Serving,
}

impl Running {
    /// Where a client on this machine reaches it.
    fn http(&self) -> SocketAddr {
        self.serving.local_address()
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
            finding.line(false),
            "fail  camera: /dev/video0: no such device → plug it in"
        );
        let ok = Finding::ok("clock", "set");
        assert_eq!(ok.line(false), "ok    clock: set");
        assert_eq!(ok.line(true), "\x1b[32mok   \x1b[0m clock: set");
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
        let last = |report: &Report| report.text(false).lines().last().unwrap().to_owned();
        assert_eq!(last(&report(std::slice::from_ref(&ok))), "everything works");
        let some = report(&[ok.clone(), warn.clone(), warn.clone()]);
        assert_eq!(last(&some), "it works, with 2 warnings");
        assert!(!some.has_failed());
        let bad = report(&[ok, warn, fail]);
        assert_eq!(last(&bad), "1 failure, 1 warning");
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
