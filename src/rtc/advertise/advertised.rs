//! Where viewers reach the media plane: its sockets, the interfaces, and what lies before a NAT; followed as the network
//! changes.

use super::candidates;
use super::nat::External;
use crate::base::addresses::{Interface, Interfaces};
use crate::config;
use crate::rtc::net::probes::Probe;
use crate::rtc::sdp::answer::Addresses;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

/// All that decides what answers offer.
pub struct Reach {
    bound: SocketAddr,
    tcp: Option<SocketAddr>,
    external: External,
    config: config::Rtc,
    interfaces: Interfaces,
}

impl Reach {
    /// Of a UDP socket, and of a TCP listener if there is one, at these addresses.
    pub fn new(
        bound: SocketAddr,
        tcp: Option<SocketAddr>,
        config: config::Rtc,
        interfaces: Interfaces,
    ) -> Self {
        Self {
            bound,
            tcp,
            external: External::new(config.external_addresses.clone(), bound.port()),
            config,
            interfaces,
        }
    }

    /// The UDP socket's address.
    pub const fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Where a viewer can reach the media socket and the listener.
    pub fn addresses(&self, reached: Option<IpAddr>) -> Addresses {
        let reached = reached.map(|ip| ip.to_canonical());
        let external = self.external.now();
        let interfaces = self.offered_interfaces();
        let of = |bound, external: &[SocketAddr]| {
            candidates::addresses(&candidates::Situation {
                bound,
                reached,
                external,
                interfaces: &interfaces,
            })
        };
        // A listener behind a proxy of this machine is nowhere to be reached from another one.
        let is_within_reach = |tcp: &SocketAddr| {
            let ip = tcp.ip().to_canonical();
            !ip.is_loopback() || reached == Some(ip)
        };
        let by_tcp = |bound: SocketAddr| {
            // What a NAT does with a port of UDP says nothing of this one: it is forwarded under its number.
            let forwarded = |address: &SocketAddr| SocketAddr::new(address.ip(), bound.port());
            of(bound, &external.iter().map(forwarded).collect::<Vec<_>>())
        };
        Addresses {
            udp: of(self.bound, &external),
            tcp: self
                .tcp
                .filter(is_within_reach)
                .map_or_else(Vec::new, by_tcp),
        }
    }

    /// The addresses of the interfaces that are neither excluded nor left out.
    fn offered_interfaces(&self) -> Vec<IpAddr> {
        let all = self.interfaces.now();
        let offered = all
            .iter()
            .filter(|interface| self.config.offers(&interface.name).is_ok());
        offered.map(|interface| interface.ip).collect()
    }

    /// Keeps what is offered as the network is, asking STUN servers by `send`, which may fail.
    pub async fn follow(&self, send: impl Fn(Probe) + Clone + Send + Sync + 'static) -> Infallible {
        let external = self.external.follow(self.bound, &self.interfaces, send);
        let (never, ()) = tokio::join!(external, self.complain_if_alone());
        never
    }

    /// Tells when no interface is left to offer, and when one is again. Who has named external addresses may want it so.
    async fn complain_if_alone(&self) {
        if !self.config.external_addresses.is_empty() {
            return;
        }
        let mut network = self.interfaces.subscribe();
        let mut was_alone = false;
        loop {
            let offered = self.addresses(None).udp;
            let is_alone = offered.iter().all(|address| address.ip().is_loopback());
            if is_alone && !was_alone && !self.bound.ip().is_loopback() {
                let left_out = self.left_out();
                tracing::warn!(
                    "viewers are offered only the address that their request arrived at: {}",
                    if left_out.is_empty() {
                        "no network interface is up".to_owned()
                    } else {
                        format!(
                            "{}; change that under [rtc], or name external_addresses",
                            left_out.join(", ")
                        )
                    }
                );
            } else if was_alone && !is_alone {
                tracing::info!(?offered, "viewers are offered more addresses again");
            }
            was_alone = is_alone;
            if network.changed().await.is_err() {
                return;
            }
        }
    }

    /// The addresses that would lead here, and are not offered, each with the reason.
    fn left_out(&self) -> Vec<String> {
        let all = self.interfaces.now();
        let others = all.iter().filter(|interface| !interface.ip.is_loopback());
        let reasons = others.filter_map(|Interface { name, ip }| {
            let key = self.config.offers(name).err()?;
            Some(format!("{ip} of {name} is excluded by {key}"))
        });
        reasons.collect()
    }
}
