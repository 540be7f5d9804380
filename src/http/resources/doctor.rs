//! `GET /api/sessions/ID/doctor`: what is known of a session, and what that means, for whoever knows its name.

use super::streams;
use crate::access::judge::Grant;
use crate::http::Context;
use crate::http::exchange::respond::{self, Error, Reply};
use crate::rtc::{Checks, Endpoint, Facts, diagnose};
use hyper::{Request, header};
use serde::Serialize;
use std::net::IpAddr;
use std::time::Instant;

#[derive(Serialize)]
struct DoctorView<'a> {
    /// A word for programs.
    finding: &'static str,
    sentence: String,
    /// Empty where nothing is wrong.
    cure: String,
    age_seconds: f64,
    offered: Vec<EndpointView>,
    /// By the viewer's address.
    checks: Vec<ChecksView>,
    /// From further addresses.
    other_checks: u32,
    handshake: HandshakeView,
    /// Null until there are keys.
    media: Option<MediaView>,
    /// Why it ended; null while it lives.
    ended: Option<&'static str>,
    /// Null if there is no such stream any more.
    stream: Option<streams::StreamView<'a>>,
}

#[derive(Serialize)]
struct EndpointView {
    protocol: &'static str,
    address: IpAddr,
    port: u16,
}

impl From<Endpoint> for EndpointView {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            protocol: endpoint.transport.name(),
            address: endpoint.address.ip(),
            port: endpoint.address.port(),
        }
    }
}

#[derive(Serialize)]
struct ChecksView {
    from: EndpointView,
    received: u32,
    answered: u32,
    /// Whether the viewer chose this pair.
    chosen: bool,
}

#[derive(Serialize)]
struct HandshakeView {
    received: u32,
    sent: u32,
    done: bool,
}

#[derive(Serialize)]
struct MediaView {
    packets_sent: u64,
    /// This and the next: null until the viewer reported.
    loss_ratio: Option<f64>,
    round_trip_seconds: Option<f64>,
}

/// Every session that there is, and those that failed a short time ago.
pub fn doctor<B>(
    context: &Context,
    session: &str,
    request: &Request<B>,
    grant: &Grant,
) -> Result<Reply, Error> {
    let now = Instant::now();
    let found = context.plane.facts(session, now);
    let missing =
        || Error::NotFound("there is no such session now, and there was none recently".into());
    let (stream, facts) = found.ok_or_else(missing)?;
    let stream = context.streams.get(&stream);
    let diagnosis = diagnose(&facts, host(request), now);
    let Facts {
        handshake_received: received,
        handshake_sent: sent,
        ..
    } = facts;
    Ok(respond::json(&DoctorView {
        finding: diagnosis.finding,
        sentence: diagnosis.sentence,
        cure: diagnosis.cure,
        age_seconds: streams::milliseconds(now.saturating_duration_since(facts.begun)),
        offered: facts.offered.iter().map(|e| (*e).into()).collect(),
        checks: checks(&facts),
        other_checks: facts.other_checks,
        handshake: HandshakeView {
            received,
            sent,
            done: facts.media.is_some(),
        },
        media: facts.media.map(|media| MediaView {
            packets_sent: media.packets.get(),
            loss_ratio: media.loss(),
            round_trip_seconds: media.round_trip().map(|time| time.as_secs_f64()),
        }),
        ended: facts.end.map(|(_, reason)| reason.as_str()),
        stream: stream.map(|stream| {
            let reader = streams::Reader::new(context, grant, stream, "../../../");
            streams::StreamView::new(stream, reader, now)
        }),
    }))
}

fn checks(facts: &Facts) -> Vec<ChecksView> {
    let view = |checks: &Checks| ChecksView {
        from: checks.from.into(),
        received: checks.received,
        answered: checks.answered,
        chosen: facts.chosen == Some(checks.from),
    };
    facts.checks.iter().map(view).collect()
}

/// The address by which the client knows us, if it is one and no name (RFC 9110, 7.2).
fn host<B>(request: &Request<B>) -> Option<IpAddr> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let authority: hyper::http::uri::Authority = host.parse().ok()?;
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_a_client_uses_is_in_its_host_header() {
        for (value, expected) in [
            ("192.0.2.1:8080", Some("192.0.2.1")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[2001:db8::1]:8080", Some("2001:db8::1")),
            ("camera.lan:8080", None),
            ("", None),
        ] {
            let request = Request::get("/").header("host", value).body(()).unwrap();
            let expected = expected.map(|ip| ip.parse().unwrap());
            assert_eq!(host(&request), expected, "{value}");
        }
    }
}
