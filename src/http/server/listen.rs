//! The listeners: where connections come in, and how they get their places.

use super::places::{NoPlace, Place};
use crate::http::Context;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};

/// Connections that may wait in the kernel.
const BACKLOG: i32 = 1024;

/// Binds the listener. An IPv6 wildcard address takes IPv4 as well.
///
/// # Errors
/// When the address is in use, is not one of this machine's, or needs a privilege.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A restarted daemon needs its port at once, not when the kernel has forgotten the last connections.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Where connections come in.
pub struct Listeners {
    /// HTTP, or HTTPS and what is sent there; and media, unless there is another for it.
    pub main: TcpListener,
    /// Plain HTTP beside HTTPS.
    pub redirect: Option<TcpListener>,
    /// Media, and nothing else.
    pub media: Option<TcpListener>,
}

/// Which of them a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// [`Listeners::main`].
    Main,
    /// [`Listeners::redirect`].
    Redirect,
    /// [`Listeners::media`].
    Media,
}

/// A connection that was taken in.
pub struct Accepted {
    /// Itself.
    pub stream: TcpStream,
    /// The client's address.
    pub peer: SocketAddr,
    /// Where it came to.
    pub listener: Listener,
    /// Its own.
    pub place: Place,
}

impl Listeners {
    /// Takes in the next connection, once there is a place for it; meanwhile others wait in the kernel. One whose client has too
    /// many is closed.
    ///
    /// # Errors
    /// When the system has no descriptor for it, for one.
    pub async fn accept(&self, context: &Context) -> io::Result<Accepted> {
        loop {
            let (stream, peer, listener) = self.next().await?;
            if let Some(place) = place(context, peer).await {
                return Ok(Accepted {
                    stream,
                    peer,
                    listener,
                    place,
                });
            }
            context.metrics.http().refused("connections_per_address");
        }
    }

    async fn next(&self) -> io::Result<(TcpStream, SocketAddr, Listener)> {
        let other = async |listener: &Option<TcpListener>| match listener {
            Some(listener) => listener.accept().await,
            None => std::future::pending().await,
        };
        let (listener, accepted) = tokio::select! {
            accepted = self.main.accept() => (Listener::Main, accepted),
            accepted = other(&self.redirect) => (Listener::Redirect, accepted),
            accepted = other(&self.media) => (Listener::Media, accepted),
        };
        let (stream, peer) = accepted?;
        Ok((stream, peer, listener))
    }
}

/// Waits for a place. `None` if the client has too many.
async fn place(context: &Context, peer: SocketAddr) -> Option<Place> {
    let ip = peer.ip().to_canonical();
    loop {
        match context.places.take(ip, Instant::now()) {
            Ok(place) => return Some(place),
            Err(NoPlace::OfClient) => return None,
            Err(NoPlace::AtAll) => context.places.changed().await,
        }
    }
}
