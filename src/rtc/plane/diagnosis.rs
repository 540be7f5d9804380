//! What the facts of a session mean: how far it came, why it came no further, and what helps. Pure.

use super::facts::{Facts, Transport};
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::wire::dtls::HandshakeAlert;
use crate::rtc::wire::dtls::alert_name;
use crate::rtc::wire::outbox::Endpoint;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// A session that is younger is still at it: checks take a moment, and their repetitions.
const BEGINNING: Duration = Duration::from_secs(2);

/// Addresses that a sentence names; of more it tells the number.
const MOST_NAMED: usize = 4;

/// From so much loss on pictures suffer: half of it is mended by sending the packets again, as `tests/watching/loss.rs` shows.
const LOSSY: f64 = 0.1;

/// What is the matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// A word for programs.
    pub finding: &'static str,
    /// What was seen, and what that means.
    pub sentence: String,
    /// What to do; empty where nothing is wrong.
    pub cure: String,
}

fn diagnosis(finding: &'static str, sentence: String, cure: impl Into<String>) -> Diagnosis {
    let cure = cure.into();
    Diagnosis {
        finding,
        sentence,
        cure,
    }
}

/// Tells what is the matter with a session. `host` is the address by which its viewer reaches the HTTP server, if it names
/// that by an address.
pub fn diagnose(facts: &Facts, host: Option<IpAddr>, now: Instant) -> Diagnosis {
    let end = facts.end.and_then(|(_, reason)| ended_by_server(reason));
    if let Some(ended) = end {
        return ended;
    }
    if facts.media.is_some() {
        return connected(facts);
    }
    let age = now.saturating_duration_since(facts.begun);
    if facts.end.is_none() && age < BEGINNING {
        return diagnosis("connecting", "the session has just begun".into(), "");
    }
    match (facts.chosen, facts.nominated) {
        (Some(chosen), _) => unencrypted(facts, chosen),
        (None, Some(nominated)) => unanswered(nominated),
        (None, None) if facts.checks.is_empty() => unreached(facts, host),
        (None, None) => unchosen(facts),
    }
}

/// What the viewer and the way to it have nothing to do with.
fn ended_by_server(reason: EndReason) -> Option<Diagnosis> {
    let (sentence, cure) = match reason {
        EndReason::Panic => (
            "the server failed in this session and ended it",
            "reload the page, and report it with the server's log",
        ),
        EndReason::NoMedia => (
            "the handshake was completed, but it produced no keys for media",
            "try another browser, and report it with the server's log",
        ),
        EndReason::Shutdown => (
            "the server was stopped",
            "reload the page when it runs again",
        ),
        _ => return None,
    };
    Some(diagnosis(reason.as_str(), sentence.into(), cure))
}

/// There were keys.
fn connected(facts: &Facts) -> Diagnosis {
    let stats = facts.media.as_ref();
    let packets = stats.map_or(0, |stats| stats.packets.get());
    let loss = stats.and_then(|stats| stats.loss());
    let over = facts.chosen.map_or_else(String::new, |chosen| {
        format!(" over {} from {}", chosen.transport, chosen.address)
    });
    if let Some((_, reason)) = facts.end {
        let sentence = format!(
            "it was connected{over}, {packets} packets were sent, and then it ended: {}",
            reason_in_words(reason)
        );
        return diagnosis("ended", sentence, "");
    }
    if packets == 0 {
        let sentence = format!("connected{over}, but there is no picture to send");
        return diagnosis("no_picture", sentence, "check the camera");
    }
    let Some(loss) = loss else {
        let sentence = format!(
            "connected{over}; {packets} packets were sent, and the viewer has not reported that any of them arrived"
        );
        let cure =
            "wait a few seconds; if there is still no picture, the network drops large packets";
        return diagnosis("unreported", sentence, cure);
    };
    let lost = loss * 100.0;
    let sent = format!("{packets} packets were sent, with {lost:.1} % lost recently");
    if loss >= LOSSY {
        let sentence = format!(
            "connected{over}, but the network to the viewer loses too many packets: {sent}"
        );
        let cure = "move closer to the access point or use a cable; if that does not help, set a lower bitrate";
        return diagnosis("lossy", sentence, cure);
    }
    let sentence = format!("connected{over}, and everything works; {sent}");
    if is(facts, Transport::Tcp) && !heard_over(facts, Transport::Udp) {
        let udp = offered_over(facts, Transport::Udp);
        if !udp.is_empty() {
            let ports = ports(&udp);
            let sentence = format!("{ports} is blocked, but TCP works; {sentence}");
            let cure =
                format!("open {ports} in the firewall: pictures then arrive with less delay");
            return diagnosis("udp_blocked", sentence, cure);
        }
    }
    diagnosis("connected", sentence, "")
}

/// A pair was chosen, and there are no keys.
fn unencrypted(facts: &Facts, chosen: Endpoint) -> Diagnosis {
    let Endpoint { transport, address } = chosen;
    if let Some(alert) = facts.alert {
        return refused(alert, chosen);
    }
    let (came, went) = (facts.handshake_received, facts.handshake_sent);
    if came == 0 {
        let sentence = format!(
            "the viewer chose {transport} from {address}, and then sent nothing of the DTLS handshake"
        );
        let cure = "the network lets only connectivity checks (STUN) through; try another network";
        return diagnosis("no_handshake", sentence, cure);
    }
    let sentence = format!(
        "the viewer chose {transport} from {address}, but the DTLS handshake did not finish: {came} datagrams were received, {went} sent"
    );
    let cure = "the network may drop large packets, as VPNs with a wrong MTU do; try another network, or report it";
    diagnosis("handshake", sentence, cure)
}

/// DTLS ended with an alert.
fn refused(alert: HandshakeAlert, chosen: Endpoint) -> Diagnosis {
    const UPDATE: &str = "update the client, or try another browser";
    let (reason, cure) = match (alert.is_viewers, alert.description) {
        (false, 41..=46) => (
            "the viewer's certificate does not match the fingerprint in its offer",
            "reload the page; if that does not help, a proxy changes offers on their way, or the client has a fault: try another client",
        ),
        (true, 41..=46 | 48) => (
            "the viewer refuses the server's certificate, which the fingerprint in the answer names",
            "reload the page; if that does not help, a proxy changes answers on their way: try without proxies",
        ),
        (_, 40 | 71) => (
            "viewer and server have no cipher, or no SRTP profile, in common",
            UPDATE,
        ),
        (_, 70) => (
            "viewer and server have no version of DTLS in common",
            UPDATE,
        ),
        (true, _) => ("the viewer ended the handshake", UPDATE),
        (false, _) => ("the server ended the handshake", UPDATE),
    };
    let sender = if alert.is_viewers { "viewer" } else { "server" };
    let name = alert_name(alert.description);
    let sentence = format!(
        "DTLS failed over {} from {}: {reason} (the {sender} sent the alert {name})",
        chosen.transport, chosen.address
    );
    diagnosis("dtls_failed", sentence, cure)
}

/// The viewer nominated a pair, and did not answer the server's own checks there.
fn unanswered(nominated: Endpoint) -> Diagnosis {
    let sentence = format!(
        "the viewer chose {nominated}, and the server's own checks to that address were not answered"
    );
    let cure = "a firewall or NAT lets the viewer's datagrams in, but not the server's out; try another network";
    diagnosis("unanswered", sentence, cure)
}

/// Checks came, and none of their pairs was chosen.
fn unchosen(facts: &Facts) -> Diagnosis {
    let from: Vec<_> = facts.checks.iter().map(|checks| checks.from).collect();
    let from = names(&from);
    if facts.checks.iter().all(|checks| checks.answered == 0) {
        let sentence =
            format!("checks arrived from {from}, but none of them belongs to this session");
        let cure = "reload the page; if that does not help, report it";
        return diagnosis("bad_checks", sentence, cure);
    }
    let sentence = format!(
        "checks arrived from {from} and were answered, but the answers do not reach the viewer"
    );
    let cure = "a firewall lets datagrams in but not out, or a NAT changes the address that the answers come from";
    diagnosis("no_way_back", sentence, cure)
}

/// No check came.
fn unreached(facts: &Facts, host: Option<IpAddr>) -> Diagnosis {
    let offered = &facts.offered;
    if offered.is_empty() {
        let sentence = "the server had no address of its own to offer".to_owned();
        return diagnosis("no_address", sentence, external(host));
    }
    let at = names(offered);
    if let Some(host) = host
        && offered.iter().all(|endpoint| endpoint.address.ip() != host)
    {
        let sentence = format!(
            "no connectivity check arrived: the server offered {at}, but not {host}, under which you reach it"
        );
        return diagnosis("unreachable_address", sentence, external(Some(host)));
    }
    let sentence = format!("no connectivity check arrived from you: the server offered {at}");
    let at_host: Vec<_> = offered
        .iter()
        .filter(|endpoint| host.is_none_or(|host| endpoint.address.ip() == host))
        .copied()
        .collect();
    let cure = format!(
        "open {} in the firewall of that machine; if it is behind NAT or in a container, {}",
        ports(&at_host),
        external(None)
    );
    diagnosis("blocked", sentence, cure)
}

fn external(host: Option<IpAddr>) -> String {
    match host {
        Some(host) => {
            format!("set external_addresses = [\"{host}\"] under [rtc] in fanlight's configuration")
        }
        None => "set external_addresses under [rtc] in fanlight's configuration".to_owned(),
    }
}

/// A reason, which is a word of the metrics, for people.
pub fn reason_in_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Lost => "the viewer stopped responding",
        EndReason::Closed | EndReason::Deleted => "the viewer left",
        EndReason::Shutdown => "the server is stopping",
        EndReason::GaveWay => {
            "another viewer needed its place, and it had sent no connectivity check for some seconds"
        }
        other => other.as_str(),
    }
}

fn is(facts: &Facts, transport: Transport) -> bool {
    facts
        .chosen
        .is_some_and(|chosen| chosen.transport == transport)
}

fn heard_over(facts: &Facts, transport: Transport) -> bool {
    let mut checks = facts.checks.iter();
    checks.any(|checks| checks.from.transport == transport)
}

fn offered_over(facts: &Facts, transport: Transport) -> Vec<Endpoint> {
    let offered = facts.offered.iter().copied();
    offered.filter(|e| e.transport == transport).collect()
}

/// `UDP 192.0.2.1:8080, TCP 192.0.2.1:8080 and 3 more`.
pub fn names(endpoints: &[Endpoint]) -> String {
    let named = endpoints.iter().take(MOST_NAMED);
    let named: Vec<_> = named.map(ToString::to_string).collect();
    let named = named.join(", ");
    match endpoints.len().saturating_sub(MOST_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// `UDP port 8080 and TCP port 8080`, each once.
pub fn ports(endpoints: &[Endpoint]) -> String {
    let mut ports: Vec<String> = Vec::new();
    for Endpoint { transport, address } in endpoints {
        let port = format!("{transport} port {}", address.port());
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Checks, Record};
    use super::*;
    use crate::metrics::{Metrics, Viewer};

    fn endpoint(text: &str) -> Endpoint {
        let (transport, address) = text.split_once(' ').unwrap();
        let transport = match transport {
            "UDP" => Transport::Udp,
            _ => Transport::Tcp,
        };
        let address = address.parse().unwrap();
        Endpoint { transport, address }
    }

    /// Facts of a session that was offered these.
    fn facts(offered: &[&str]) -> Facts {
        Facts {
            offered: offered.iter().map(|text| endpoint(text)).collect(),
            ..Record::new(Instant::now()).read()
        }
    }

    fn check(facts: &mut Facts, from: &str, answered: u32) {
        facts.checks.push(Checks {
            from: endpoint(from),
            received: 3,
            answered,
        });
    }

    fn later(facts: &Facts, host: Option<&str>) -> Diagnosis {
        let host = host.map(|host| host.parse().unwrap());
        diagnose(facts, host, facts.begun + BEGINNING)
    }

    fn media() -> Viewer {
        Metrics::new().rtc().viewers.add("camera", 1)
    }

    const CONTAINER: &[&str] = &["UDP 172.17.0.2:8080"];
    const BOTH: &[&str] = &["UDP 192.0.2.1:8080", "TCP 192.0.2.1:8080"];

    #[test]
    fn a_session_has_time_to_begin() {
        let facts = facts(CONTAINER);
        let early = diagnose(&facts, None, facts.begun + BEGINNING / 2);
        assert_eq!(early.finding, "connecting");
        assert_ne!(later(&facts, None).finding, "connecting");
    }

    #[test]
    fn where_no_check_came_it_is_the_address_or_the_port() {
        let wrong = later(&facts(CONTAINER), Some("192.168.1.10"));
        assert_eq!(wrong.finding, "unreachable_address");
        assert_eq!(
            wrong.sentence,
            "no connectivity check arrived: the server offered UDP 172.17.0.2:8080, but not 192.168.1.10, under which you reach it"
        );
        assert!(
            wrong
                .cure
                .contains("external_addresses = [\"192.168.1.10\"]")
        );
        for host in [Some("192.0.2.1"), None] {
            let blocked = later(&facts(BOTH), host);
            assert_eq!(blocked.finding, "blocked", "{host:?}");
            assert!(
                blocked
                    .cure
                    .contains("open UDP port 8080 and TCP port 8080 in")
            );
        }
        assert_eq!(later(&facts(&[]), None).finding, "no_address");
        let many: Vec<_> = (1..8).map(|n| format!("UDP 10.0.0.{n}:1")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let said = later(&facts(&many), None).sentence;
        assert!(said.ends_with("UDP 10.0.0.4:1 and 3 more"), "{said}");
    }

    #[test]
    fn checks_that_lead_to_nothing_are_told_apart() {
        let mut facts = facts(BOTH);
        check(&mut facts, "UDP 10.0.0.7:5000", 0);
        assert_eq!(later(&facts, None).finding, "bad_checks");
        facts.checks[0].answered = 2;
        let back = later(&facts, None);
        assert_eq!(back.finding, "no_way_back");
        assert!(back.sentence.contains("from UDP 10.0.0.7:5000"));
        facts.chosen = Some(endpoint("UDP 10.0.0.7:5000"));
        assert_eq!(later(&facts, None).finding, "no_handshake");
        facts.chosen = None;
        facts.nominated = Some(endpoint("UDP 10.0.0.7:5000"));
        assert_eq!(later(&facts, None).finding, "unanswered");
        facts.chosen = facts.nominated;
        facts.handshake_received = 4;
        let handshake = later(&facts, None);
        assert_eq!(handshake.finding, "handshake");
        assert!(
            handshake
                .sentence
                .contains("4 datagrams were received, 0 sent")
        );
    }

    #[test]
    fn a_handshake_that_was_refused_is_called_that() {
        let mut facts = facts(BOTH);
        check(&mut facts, "UDP 10.0.0.7:5000", 3);
        facts.chosen = Some(endpoint("UDP 10.0.0.7:5000"));
        facts.handshake_received = 3;
        for (is_viewers, description, part) in [
            (
                false,
                42,
                "does not match the fingerprint in its offer (the server sent the alert bad_certificate)",
            ),
            (true, 46, "refuses the server's certificate"),
            (false, 71, "no SRTP profile, in common"),
            (
                true,
                80,
                "the viewer ended the handshake (the viewer sent the alert internal_error)",
            ),
        ] {
            facts.alert = Some(HandshakeAlert {
                is_viewers,
                description,
            });
            let told = later(&facts, None);
            assert_eq!(told.finding, "dtls_failed");
            assert!(
                told.sentence
                    .starts_with("DTLS failed over UDP from 10.0.0.7:5000: ")
            );
            assert!(told.sentence.contains(part), "{}", told.sentence);
            assert!(!told.cure.is_empty());
        }
    }

    #[test]
    fn a_connected_session_is_well_when_its_packets_are_said_to_arrive() {
        let mut facts = facts(BOTH);
        check(&mut facts, "TCP 10.0.0.7:5000", 3);
        facts.chosen = Some(endpoint("TCP 10.0.0.7:5000"));
        let viewer = media();
        facts.media = Some(viewer.stats());
        assert_eq!(later(&facts, None).finding, "no_picture");
        viewer.packets.add(7);
        assert_eq!(later(&facts, None).finding, "unreported");
        viewer.set_loss(0);
        let blocked = later(&facts, None);
        assert_eq!(blocked.finding, "udp_blocked");
        assert!(
            blocked
                .sentence
                .starts_with("UDP port 8080 is blocked, but TCP works; connected over TCP")
        );
        check(&mut facts, "UDP 10.0.0.7:5001", 3);
        let well = later(&facts, None);
        assert_eq!((well.finding, &*well.cure), ("connected", ""));
        assert!(
            well.sentence.contains("everything works; 7 packets"),
            "{}",
            well.sentence
        );
        viewer.set_loss(12);
        assert_eq!(later(&facts, None).finding, "connected");
        viewer.set_loss(154);
        let lossy = later(&facts, None);
        assert_eq!(lossy.finding, "lossy");
        assert!(
            lossy.sentence.contains("loses too many packets: 7 packets")
                && lossy.sentence.ends_with("60.2 % lost recently"),
            "{}",
            lossy.sentence
        );
        assert!(!lossy.cure.is_empty());
        facts.end = Some((facts.begun, EndReason::Lost));
        let ended = later(&facts, None);
        assert!(
            ended.sentence.ends_with("stopped responding"),
            "{}",
            ended.sentence
        );
    }

    #[test]
    fn what_the_server_ended_is_not_laid_on_the_network() {
        for (reason, part) in [
            (EndReason::Panic, "the server failed"),
            (EndReason::NoMedia, "no keys for media"),
            (EndReason::Shutdown, "the server was stopped"),
        ] {
            let mut facts = facts(BOTH);
            facts.end = Some((facts.begun, reason));
            let before = later(&facts, None);
            facts.media = Some(media().stats());
            let after = later(&facts, None);
            assert_eq!((before.finding, &before), (reason.as_str(), &after));
            assert!(before.sentence.contains(part), "{}", before.sentence);
            assert!(!before.cure.is_empty());
        }
    }
}
