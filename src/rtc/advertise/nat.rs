//! The addresses under which viewers beyond a NAT reach the media port: those that are configured, and those that STUN
//! servers see, which are asked in the background. Answers take what is known and wait for nothing.

use crate::base::addresses::{Interfaces, is_link_local};
use crate::base::sync::Mutex;
use crate::config::{ExternalAddress, StunServer};
use crate::rtc::net::probes::Probe;
use crate::rtc::wire::stun::Answer;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Between two questions to a server. NATs forget a mapping of which they have seen nothing for 30 s (RFC 4787, 4.3 wants two
/// minutes of them; home routers are not asked).
const INTERVAL: Duration = Duration::from_secs(25);
/// How long each request of a question waits for its answer before it is repeated (RFC 8489, 6.2.1, cut short: the question is
/// asked again soon).
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// For the resolver.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(15);

/// What one server sees, by the index of the server and whether over IPv6.
type SeenAddresses = BTreeMap<(usize, bool), SocketAddr>;

/// The external addresses. Clones share them.
#[derive(Debug, Clone)]
pub struct External {
    configured: Arc<[ExternalAddress]>,
    seen: Arc<Mutex<SeenAddresses>>,
    /// Our port, which is what a router forwards.
    port: u16,
}

impl External {
    /// Those that are configured, for a media socket with that port.
    pub fn new(configured: Vec<ExternalAddress>, port: u16) -> Self {
        Self {
            configured: configured.into(),
            seen: Arc::default(),
            port,
        }
    }

    /// What is known now, as it is configured. An address that a server sees with another port than ours is there with both:
    /// the NAT sends one back, and a router may forward the other.
    pub fn now(&self) -> Vec<SocketAddr> {
        let seen = self.seen();
        let each = self.configured.iter().enumerate();
        let each = each.flat_map(|(index, address)| match address {
            ExternalAddress::Ip(ip) => vec![SocketAddr::new(*ip, self.port)],
            ExternalAddress::Stun(_) => {
                let mapped = [false, true].map(|is_v6| seen.get(&(index, is_v6)).copied());
                let mapped = mapped.into_iter().flatten();
                mapped
                    .flat_map(|address| [address, SocketAddr::new(address.ip(), self.port)])
                    .collect()
            }
        });
        each.collect()
    }

    /// Keeps what the servers see as it is, asking by `send`, which may fail.
    pub async fn follow(
        &self,
        bound: SocketAddr,
        interfaces: &Interfaces,
        send: impl Fn(Probe) + Clone + Send + Sync + 'static,
    ) -> Infallible {
        let mut servers = JoinSet::new();
        for (index, address) in self.configured.iter().enumerate() {
            if let ExternalAddress::Stun(server) = address {
                let inquiry = Inquiry {
                    index,
                    server: server.clone(),
                    external: self.clone(),
                    bound,
                    interfaces: interfaces.clone(),
                    send: send.clone(),
                };
                servers.spawn(inquiry.follow());
            }
        }
        while servers.join_next().await.is_some() {}
        std::future::pending().await
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, SeenAddresses> {
        // Each change is one insertion or removal.
        self.seen.lock()
    }
}

/// Why a server does not say where it sees us.
#[derive(Debug)]
enum InquiryFailure {
    Name(io::Error),
    Family,
    Silence(SocketAddr),
    Refused(SocketAddr, Option<u16>),
}

impl fmt::Display for InquiryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => write!(f, "its name can't be looked up: {error}; check it, and this machine's DNS"),
            Self::Family => f.write_str(
                "it has no address that the media socket can send to, which depends on [rtc] listen and this machine's addresses \
                 IPv4 and IPv6",
            ),
            Self::Silence(to) => write!(
                f,
                "{to} does not answer; let UDP to it and back through the firewall, or write the public address itself into \
                 external_addresses"
            ),
            Self::Refused(to, None) => write!(f, "{to} answers without an address; name another server"),
            Self::Refused(to, Some(code)) => write!(f, "{to} refuses with error {code}; name another server"),
        }
    }
}

/// What is asked of one server, again and again.
struct Inquiry<S> {
    index: usize,
    server: StunServer,
    external: External,
    bound: SocketAddr,
    interfaces: Interfaces,
    send: S,
}

impl<S: Fn(Probe)> Inquiry<S> {
    async fn follow(self) {
        let mut network = self.interfaces.subscribe();
        let mut targets = Vec::new();
        let mut is_failing = false;
        let mut has_moved = false;
        loop {
            network.mark_unchanged();
            match self.ask(&mut targets, has_moved).await {
                Ok(()) => {
                    if is_failing {
                        tracing::info!("{} answers again", self.server);
                    }
                    (is_failing, has_moved) = (false, false);
                }
                Err(failure) => {
                    if !is_failing {
                        tracing::warn!(
                            "{} does not report the public address: {failure}",
                            self.server
                        );
                    }
                    is_failing = true;
                    // It may have moved.
                    targets.clear();
                }
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                changed = network.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    has_moved = true;
                    targets.clear();
                }
            }
        }
    }

    /// Asks over IPv4 and IPv6, where there are these. It is enough if one is answered. After a move, what was seen before counts
    /// no more where there is no answer, or nobody to ask; else it may well be as it was.
    async fn ask(
        &self,
        targets: &mut Vec<SocketAddr>,
        has_moved: bool,
    ) -> Result<(), InquiryFailure> {
        if targets.is_empty() {
            let found = self.look_up().await;
            if has_moved {
                let found = found.as_deref().unwrap_or_default();
                let can_ask = |is_v6| found.iter().any(|target| target.is_ipv6() == is_v6);
                let mut seen = self.external.seen();
                seen.retain(|(index, is_v6), _| *index != self.index || can_ask(*is_v6));
            }
            *targets = found?;
        }
        let [first, second] = [targets.first(), targets.get(1)].map(Option::<&SocketAddr>::copied);
        let both = async |target: Option<SocketAddr>| Some((target?, self.ask_at(target?).await));
        let (first, second) = tokio::join!(both(first), both(second));
        let mut outcome = Err(InquiryFailure::Family);
        for (target, answer) in [first, second].into_iter().flatten() {
            match answer {
                Ok(address) => {
                    self.note(target, address);
                    outcome = Ok(());
                }
                Err(failure) => {
                    tracing::debug!("{}: {failure}", self.server);
                    if has_moved {
                        self.external.seen().remove(&(self.index, target.is_ipv6()));
                    }
                    outcome = outcome.or(Err(failure));
                }
            }
        }
        outcome
    }

    fn note(&self, target: SocketAddr, address: SocketAddr) {
        let before = self
            .external
            .seen()
            .insert((self.index, target.is_ipv6()), address);
        if before != Some(address) {
            tracing::info!(
                "viewers beyond the NAT are offered {address}, the public address that {} reports",
                self.server
            );
        }
    }

    /// An address of each family that we can send to.
    async fn look_up(&self) -> Result<Vec<SocketAddr>, InquiryFailure> {
        let name = (&*self.server.host, self.server.port);
        let found = timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host(name)).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let found: Vec<_> = found.map_err(InquiryFailure::Name)?.collect();
        let ours = self.interfaces.addresses();
        let mut targets = Vec::new();
        for is_v6 in [false, true] {
            let of_family = found.iter().find(|address| address.is_ipv6() == is_v6);
            targets.extend(of_family.filter(|target| can_send(self.bound, &ours, **target)));
        }
        if targets.is_empty() {
            return Err(InquiryFailure::Family);
        }
        Ok(targets)
    }

    async fn ask_at(&self, to: SocketAddr) -> Result<SocketAddr, InquiryFailure> {
        let transaction = rand::random();
        let (answer, mut answers) = mpsc::channel(1);
        for patience in PATIENCE {
            (self.send)(Probe {
                to,
                transaction,
                answer: answer.clone(),
            });
            match timeout(patience, answers.recv()).await {
                Ok(Some(Answer::Mapped(address))) => return Ok(address),
                Ok(Some(Answer::Refused(code))) => return Err(InquiryFailure::Refused(to, code)),
                Ok(None) | Err(_) => {}
            }
        }
        Err(InquiryFailure::Silence(to))
    }
}

/// Whether a socket that is bound there can send to an address, on a machine that has these: a server's name often has an
/// IPv6 address where we have none, and that is no fault.
fn can_send(bound: SocketAddr, ours: &[IpAddr], to: SocketAddr) -> bool {
    let is_wildcard = bound.ip().is_unspecified();
    if bound.is_ipv6() != to.is_ipv6() && !(is_wildcard && bound.is_ipv6()) {
        return false;
    }
    let leads_out = |ip: &IpAddr| !ip.is_loopback() && !is_link_local(*ip);
    to.ip().is_loopback()
        || !is_wildcard
        || ours
            .iter()
            .any(|ip| ip.is_ipv6() == to.is_ipv6() && leads_out(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_offered_in_the_order_of_the_configuration() {
        let server = |host: &str| {
            ExternalAddress::Stun(StunServer {
                host: host.into(),
                port: 3478,
            })
        };
        let configured = vec![
            server("a"),
            ExternalAddress::Ip("203.0.113.7".parse().unwrap()),
            server("b"),
        ];
        let external = External::new(configured, 8080);
        let now = || {
            external
                .now()
                .iter()
                .map(SocketAddr::to_string)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(now(), "203.0.113.7:8080");
        let mut seen = external.seen();
        seen.insert((2, true), "[2001:db8::7]:8080".parse().unwrap());
        seen.insert((0, false), "198.51.100.1:4000".parse().unwrap());
        drop(seen);
        assert_eq!(
            now(),
            "198.51.100.1:4000 198.51.100.1:8080 203.0.113.7:8080 [2001:db8::7]:8080 [2001:db8::7]:8080"
        );
    }

    #[test]
    fn a_server_is_asked_over_what_the_machine_and_the_socket_have() {
        let ask = |bound: &str, ours: &str, to: &str| {
            let ours: Vec<_> = ours.split(' ').map(|ip| ip.parse().unwrap()).collect();
            can_send(bound.parse().unwrap(), &ours, to.parse().unwrap())
        };
        let (v4, v6) = ("198.51.100.1:3478", "[2001:db8::9]:3478");
        let both = "127.0.0.1 192.168.1.5 fe80::1 2001:db8::5";
        assert!(ask("[::]:1", both, v4) && ask("[::]:1", both, v6));
        let only_v4 = "127.0.0.1 ::1 192.168.1.5 fe80::1";
        assert!(ask("[::]:1", only_v4, v4) && !ask("[::]:1", only_v4, v6));
        assert!(ask("0.0.0.0:1", both, v4) && !ask("0.0.0.0:1", both, v6));
        assert!(ask("[2001:db8::5]:1", both, v6) && !ask("[2001:db8::5]:1", both, v4));
        assert!(ask("[::]:1", only_v4, "[::1]:3478"));
    }

    /// What is known after a machine that had both families has moved to where the socket has only IPv4, and is answered by that server.
    async fn known_after_a_move(server: &str, has_moved: bool) -> Vec<String> {
        let server = StunServer {
            host: server.into(),
            port: 3478,
        };
        let configured = vec![ExternalAddress::Stun(server.clone())];
        let external = External::new(configured, 8080);
        for (is_v6, address) in [(false, "198.51.100.1:8080"), (true, "[2001:db8::7]:8080")] {
            let mut seen = external.seen();
            seen.insert((0, is_v6), address.parse().unwrap());
            seen.insert((1, is_v6), address.parse().unwrap());
        }
        let inquiry = Inquiry {
            index: 0,
            server,
            external: external.clone(),
            bound: "127.0.0.1:8080".parse().unwrap(),
            interfaces: Interfaces::read(),
            send: |probe: Probe| {
                let mapped = "203.0.113.7:8080".parse().unwrap();
                probe.answer.try_send(Answer::Mapped(mapped)).unwrap();
            },
        };
        let _ = inquiry.ask(&mut Vec::new(), has_moved).await;
        let seen = external.seen();
        assert_eq!(seen.range((1, false)..).count(), 2, "another server's");
        let of_server = seen.range(..(1, false));
        of_server.map(|(_, address)| address.to_string()).collect()
    }

    #[tokio::test]
    async fn after_a_move_what_can_be_asked_of_nobody_is_known_no_more() {
        const NONE: [&str; 0] = [];
        let (v4, v6) = ("203.0.113.7:8080", "[2001:db8::7]:8080");
        assert_eq!(known_after_a_move("127.0.0.1", true).await, [v4]);
        assert_eq!(known_after_a_move("127.0.0.1", false).await, [v4, v6]);
        // It has no address that the socket can send to, or none at all.
        let old = ["198.51.100.1:8080", v6];
        for server in ["::1", "no\0name"] {
            assert_eq!(known_after_a_move(server, true).await, NONE);
            assert_eq!(known_after_a_move(server, false).await, old);
        }
    }
}
