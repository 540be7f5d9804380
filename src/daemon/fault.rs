//! Why a daemon can't start or ends, and whether another attempt may go better.

use super::DRAIN_TIMEOUT;
use crate::access::AccessError;
use crate::base::holders::{self, Transport, told};
use crate::base::os_error::plain;
use crate::base::state_dir::StateError;
use crate::config::BAD_CONFIGURATION;
use crate::tls::TlsError;
use std::io;
use std::net::SocketAddr;

/// Why the daemon can't start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A port can't be had.
    #[error("can't listen on {address} ({}): {}; {cure}", transport.name(), plain(.error))]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The protocol of the address.
        transport: Transport,
        /// The system's error.
        error: io::Error,
        /// The cure.
        cure: String,
    },
    /// The system has no thread, poller or randomness.
    #[error("can't start: {}", plain(.0))]
    Start(#[from] io::Error),
    /// The secrets that decide who may watch can't be used.
    #[error("can't set up access control: {0}")]
    Access(#[from] AccessError),
    /// The token can't be kept where somebody could read it.
    #[error("nobody could watch, as the access token can't be kept: {0}")]
    State(StateError),
    /// There is no certificate that can be used.
    #[error("can't serve HTTPS: {0}")]
    Tls(#[from] TlsError),
    /// A part of the daemon ended by itself.
    #[error("{0} ended unexpectedly; see the log above")]
    Ended(String),
    /// The daemon does not do what it is for, as the sentence says; another process may.
    #[error("{0}; fanlight exits, so that it can be restarted")]
    GaveUp(String),
    /// The drain took too long.
    #[error("not everything could be closed within {DRAIN_TIMEOUT:?}")]
    Drain,
}

impl Fault {
    /// That this address can't be listened on.
    pub(super) fn bind(
        transport: Transport,
        address: SocketAddr,
    ) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Bind {
            cure: cure(&error, transport, address),
            address,
            transport,
            error,
        }
    }

    /// With which status the process exits: `systemd` starts a daemon anew unless its configuration is wrong.
    pub fn exit_status(&self) -> u8 {
        match self.is_of_configuration() {
            true => BAD_CONFIGURATION,
            false => 1,
        }
    }

    /// Whether the configuration is at fault, so that another attempt ends in the same way.
    fn is_of_configuration(&self) -> bool {
        match self {
            Self::Bind { error, .. } => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Access(error) => matches!(error, AccessError::Keys(_)),
            Self::State(error) => error.is_lasting(),
            Self::Tls(error) => matches!(error, TlsError::File { .. }),
            Self::Start(_) | Self::Ended(_) | Self::GaveUp(_) | Self::Drain => false,
        }
    }
}

fn cure(error: &io::Error, transport: Transport, address: SocketAddr) -> String {
    let cure = match error.kind() {
        io::ErrorKind::AddrInUse => {
            return match told(&holders::of_port(transport, address)) {
                Some(who) => format!("{who} uses it: end that program, or choose another port with --listen"),
                None => "a program of another user uses it (`sudo ss -lntup` names it): end it, or choose another port with --listen"
                    .to_owned(),
            };
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; listen on [::] for all its addresses"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a privilege; choose a higher one with --listen"
        }
        _ => "choose another address with --listen",
    };
    cure.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_told_with_who_has_it() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let fault = Fault::bind(Transport::Tcp, address)(io::ErrorKind::AddrInUse.into());
        let told = fault.to_string();
        let start = format!("can't listen on {address} (TCP): ");
        let who = format!(
            "(process {}) uses it: end that program, or ",
            std::process::id()
        );
        assert!(told.starts_with(&start) && told.contains(&who), "{told}");
        assert_eq!(fault.exit_status(), 1);
    }

    #[test]
    fn a_fault_is_of_the_configuration_if_another_attempt_ends_alike() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let denied = io::Error::from_raw_os_error(13);
        let denied = Fault::bind(Transport::Udp, address)(denied);
        assert_eq!(denied.exit_status(), 78);
        assert_eq!(
            denied.to_string(),
            "can't listen on 127.0.0.1:80 (UDP): Permission denied; ports below 1024 need a privilege; choose a higher one with --listen"
        );
        let file = TlsError::File {
            path: "/a.pem".into(),
            reason: "is damaged".to_owned(),
        };
        assert_eq!(Fault::Tls(file).exit_status(), 78);
        assert_eq!(Fault::Tls(TlsError::Crypto(String::new())).exit_status(), 1);
        assert_eq!(Fault::Drain.exit_status(), 1);
    }
}
