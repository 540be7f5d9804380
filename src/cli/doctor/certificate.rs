//! The certificate of HTTPS: that it can be used, and for how long.

use super::{Finding, Patient, Running};
use crate::client;
use crate::config::{Certificate, Tls};
use crate::tls::{Authority, Validity, sha256};
use std::io;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHECK: &str = "certificate";
/// Tools that renew certificates by themselves do so a month before the end.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// The time for a handshake with a daemon on this machine.
const PATIENCE: Duration = Duration::from_secs(5);
const DAY: u64 = 24 * 3600;

/// Looks at the one that is configured, and at the one that the running daemon shows.
pub async fn check(patient: &Patient) -> Vec<Finding> {
    let Some(tls) = &patient.config.tls else {
        let seen = "none: HTTP is unencrypted, and tokens cross the network in clear text; [tls] self_signed = true turns HTTPS on";
        return vec![Finding::ok(CHECK, seen)];
    };
    let now = SystemTime::now();
    let mut findings = vec![configured(tls, patient, now)];
    if let Some(running) = patient
        .daemon
        .as_ref()
        .filter(|running| running.serving.is_secure)
    {
        findings.push(match shown(running).await {
            Ok(validity) => judge("the running fanlight's", validity, now),
            Err(error) => Finding::fail(
                CHECK,
                format!("the running fanlight fails the TLS handshake: {error}"),
                "see its log, and restart it",
            ),
        });
    }
    findings
}

fn configured(tls: &Tls, patient: &Patient, now: SystemTime) -> Finding {
    match &tls.certificate {
        Certificate::Files { chain, key } => match Validity::of_files(chain, key) {
            Ok(validity) => judge(&chain.display().to_string(), validity, now),
            Err(error) => Finding::fail(
                CHECK,
                error.to_string(),
                "correct the certificate or key under [tls]; the user that fanlight runs as must be able to read both",
            ),
        },
        Certificate::SelfSigned => {
            let kept = patient
                .daemon
                .as_ref()
                .map(|running| Authority::kept(&running.state));
            match kept {
                Some(Ok(Some(authority))) => Finding::ok(
                    CHECK,
                    format!(
                        "issued by fanlight's own authority, SHA-256 {}",
                        sha256(authority.der())
                    ),
                ),
                Some(Err(error)) => Finding::fail(CHECK, error.to_string(), "see the finding"),
                _ => Finding::ok(CHECK, "issued by fanlight's own authority when it starts"),
            }
        }
    }
}

async fn shown(running: &Running) -> io::Result<Option<Validity>> {
    let handshake = async {
        let (_, certificate) =
            client::tls::connect(TcpStream::connect(running.http()).await?).await?;
        Ok(certificate.and_then(|der| Validity::of(&der)))
    };
    let outcome = timeout(PATIENCE, handshake).await;
    outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn judge(whose: &str, validity: Option<Validity>, now: SystemTime) -> Finding {
    let Some(Validity { from, until }) = validity else {
        return Finding::warn(
            CHECK,
            format!("{whose} has no readable validity period"),
            "replace it",
        );
    };
    let days = |time: Duration| time.as_secs() / DAY;
    let Ok(left) = until.duration_since(now) else {
        let ago = now.duration_since(until).unwrap_or_default();
        return Finding::fail(
            CHECK,
            format!("{whose} expired {} days ago", days(ago)),
            "renew it; a running fanlight loads it by itself",
        );
    };
    if let Ok(wait) = from.duration_since(now) {
        return Finding::fail(
            CHECK,
            format!("{whose} is not valid for another {} days", days(wait) + 1),
            "set this machine's clock, or wait",
        );
    }
    let seen = format!("{whose} is valid for {} days", days(left));
    if left < SOON {
        Finding::warn(
            CHECK,
            seen,
            "renew it; a running fanlight loads it by itself",
        )
    } else {
        Finding::ok(CHECK, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_certificate_is_good_between_its_times() {
        let now = SystemTime::now();
        let days = |days: u64| Duration::from_secs(days * DAY);
        let outcome = |from, until| judge("it", Some(Validity { from, until }), now).outcome;
        assert_eq!(outcome(now - days(1), now + days(90)), Outcome::Ok);
        assert_eq!(outcome(now - days(1), now + days(13)), Outcome::Warn);
        assert_eq!(outcome(now - days(9), now - days(1)), Outcome::Fail);
        assert_eq!(outcome(now + days(1), now + days(9)), Outcome::Fail);
        assert_eq!(judge("it", None, now).outcome, Outcome::Warn);
    }
}
