//! The network interfaces that are up, and their addresses: read from the kernel at the start and when they change, shared
//! by all who need them.

use super::changes::Changes;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the kernel is asked where it does not tell of changes.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// An address of an interface that is up. An interface with several is there several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's name for it, such as `eth0`.
    pub name: String,
    /// One of its addresses.
    pub ip: IpAddr,
}

/// The interfaces that are up at this moment, in the system's order.
///
/// # Errors
/// When the system does not list them.
pub fn list() -> io::Result<Vec<Interface>> {
    let all = if_addrs::get_if_addrs()?.into_iter();
    let up = all.filter(|interface| interface.is_oper_up() || interface.is_loopback());
    let named = up.map(|interface| Interface {
        ip: interface.ip(),
        name: interface.name,
    });
    Ok(named.collect())
}

/// The interfaces as they were at the last change. Clones share one list.
#[derive(Debug, Clone)]
pub struct Interfaces(Arc<watch::Sender<Arc<[Interface]>>>);

impl Interfaces {
    /// Reads them. None if the system does not list them, which is logged.
    pub fn read() -> Self {
        let interfaces = Self(Arc::new(watch::Sender::default()));
        interfaces.refresh();
        interfaces
    }

    /// The interfaces as last read.
    pub fn now(&self) -> Arc<[Interface]> {
        self.0.borrow().clone()
    }

    /// Their addresses.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.now().iter().map(|interface| interface.ip).collect()
    }

    /// Tells of changes.
    pub fn subscribe(&self) -> watch::Receiver<Arc<[Interface]>> {
        self.0.subscribe()
    }

    /// Reads them again.
    fn refresh(&self) {
        match list() {
            Ok(list) => drop(self.0.send_if_modified(|current| {
                let is_new = **current != *list;
                if is_new {
                    *current = list.into();
                }
                is_new
            })),
            Err(error) => tracing::warn!(%error, "can't list the network interfaces"),
        }
    }

    /// Reads the interfaces anew whenever they change.
    pub async fn follow(&self) -> Infallible {
        let changes = Changes::listen();
        if let Err(error) = &changes {
            tracing::info!(%error, "the kernel tells of no network changes: looking each {LOOK_AGAIN:?}");
        }
        // This catches changes from before the listening began.
        self.refresh();
        loop {
            match &changes {
                Ok(changes) => changes.next().await,
                Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
            self.refresh();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there() {
        let interfaces = Interfaces::read();
        let lo = Interface {
            name: "lo".to_owned(),
            ip: std::net::Ipv4Addr::LOCALHOST.into(),
        };
        assert!(interfaces.now().contains(&lo), "{interfaces:?}");
    }

    #[test]
    fn those_who_wait_hear_of_changes_only() {
        let interfaces = Interfaces::read();
        let heard = interfaces.subscribe();
        interfaces.refresh();
        assert!(!heard.has_changed().unwrap());
        interfaces.0.send_replace(Arc::new([]));
        interfaces.refresh();
        assert!(heard.has_changed().unwrap());
        assert_eq!(interfaces.now(), heard.borrow().clone());
    }
}
