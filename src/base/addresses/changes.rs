//! Hearing from the kernel that interfaces or addresses have changed (rtnetlink(7)).
//!
//! The message is not read, since the whole list is then read again: that is right whatever was missed. So a socket is all
//! that is needed, and no library for messages. A look each few seconds would be simpler still, but it would wake an idle
//! machine, and come late for a viewer whose machine has just got its address.

use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket,
};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;
use tokio::net::UnixDatagram;

/// A change comes with others: a container's start is a dozen of them. It is waited so long for these.
const SETTLE: Duration = Duration::from_millis(100);

const GROUPS: i32 = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// A socket that the kernel tells of changes. It is of another family than its type says, which makes no difference to
/// waiting and receiving; tokio has no type for it that is safe to use.
#[derive(Debug)]
pub struct Changes(UnixDatagram);

impl Changes {
    /// Those from now on. To be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system, or a sandbox, has no such socket.
    pub fn listen() -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        let groups = NetlinkAddr::new(0, GROUPS.cast_unsigned());
        bind(socket.as_raw_fd(), &groups)?;
        UnixDatagram::from_std(StdDatagram::from(socket)).map(Self)
    }

    /// Completes soon after a change. What is wrong with the socket counts as one too: a full buffer (`ENOBUFS`) has lost some.
    pub async fn next(&self) {
        // The rest of a longer message is cut off; nobody reads it.
        let mut message = [0; 16];
        let _ = self.0.recv(&mut message).await;
        tokio::time::sleep(SETTLE).await;
        // Bounded, so that a broken socket is no endless loop.
        for _ in 0..1024 {
            if self.0.try_recv(&mut message).is_err() {
                break;
            }
        }
    }
}
