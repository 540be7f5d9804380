//! The HTTP side: the only folder that names `hyper`. Accepts connections, decodes a request to a resource, and
//! hands it to the one function that serves it.

mod api;
mod assets;
mod gate;
mod lease;
mod plain;
mod respond;
mod route;
mod whep;

use crate::access::Access;
use crate::auth::Grant;
use crate::metrics::Metrics;
use crate::rtc::Plane;
use crate::shutdown::Shutdown;
use crate::stream::Streams;
use crate::tls::{self, Tls};
use bytes::Bytes;
use gate::Connection;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
pub use lease::Leases;
use respond::Reply;
use route::Resource;
use socket2::{Domain, Protocol, Socket, Type};
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// A client that does not finish its request's head in that time is cut off.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connections may take to finish their last reply when the daemon ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failure to accept, so that a shortage of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 1024;

/// What requests are served from.
pub struct Context {
    /// Everything that can be watched.
    pub streams: Streams,
    /// Makes and ends sessions.
    pub plane: Arc<Plane>,
    /// Who may use it.
    pub access: Access,
    /// HTTPS, if it is that.
    pub tls: Option<Tls>,
    /// Sessions of those who may for a time only.
    pub leases: Leases,
    /// The TCP port of the listener.
    pub port: u16,
    /// Origins that may show the page in a frame, besides our own.
    pub frame_ancestors: Vec<String>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the daemon begins to end.
    pub shutdown: Shutdown,
}

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

/// Serves until the context's shutdown, then lets connections finish their replies. `redirect` is a second listener, for
/// plain HTTP beside HTTPS.
pub async fn serve(listener: TcpListener, redirect: Option<TcpListener>, context: Arc<Context>) {
    let graceful = GracefulShutdown::new();
    let mut leases = pin!(context.leases.watch(&context.access, &context.plane));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted.map(|(stream, peer)| (stream, peer, true)),
            accepted = accept(redirect.as_ref()) => accepted.map(|(stream, peer)| (stream, peer, false)),
            () = &mut leases => break,
            () = context.shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer, is_main)) => {
                let context = context.clone();
                let watcher = graceful.watcher();
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, peer, is_main, context, watcher).await {
                        tracing::debug!(%peer, %error, "connection");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // What does not finish is cut off with the runtime.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// One connection from its first byte to its end. The errors are the client's.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    is_main: bool,
    context: Arc<Context>,
    watcher: Watcher,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut from = Connection {
        peer: peer.ip().to_canonical(),
        reached: stream.local_addr().ok().map(|a| a.ip().to_canonical()),
        is_secure: false,
    };
    // Replies are small; waiting to fill packets only delays them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &context.tls else {
        return exchange(stream, context, from, watcher).await;
    };
    let first = timeout(HEADER_TIMEOUT, tls::begins_with_tls(&stream)).await??;
    if first && is_main {
        let stream = timeout(HEADER_TIMEOUT, tls.accept(stream)).await??;
        from.is_secure = true;
        return exchange(stream, context, from, watcher).await;
    }
    let to = plain::Target {
        port: (!is_main).then_some(context.port),
        authority: tls
            .authority()
            .map(|authority| Bytes::copy_from_slice(authority.der())),
    };
    let service = service_fn(move |request| {
        let reply = plain::redirect(&request, &to);
        async move { Ok::<_, Infallible>(reply) }
    });
    let connection = server().serve_connection(TokioIo::new(stream), service);
    Ok(watcher.watch(connection).await?)
}

/// Requests and their replies.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    context: Arc<Context>,
    from: Connection,
    watcher: Watcher,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let service = service_fn(move |request| {
        let context = context.clone();
        async move { Ok::<_, Infallible>(handle(&context, request, from).await) }
    });
    let connection = server().serve_connection(TokioIo::new(stream), service);
    Ok(watcher.watch(connection).await?)
}

fn server() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
}

async fn handle(context: &Context, request: Request<Incoming>, from: Connection) -> Reply {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let Some(resource) = Resource::decode(&path) else {
        let detail = format!("there is nothing at {path}");
        return gate::harden(respond::Error::NotFound(detail).into());
    };
    let reply = if method == Method::OPTIONS {
        respond::preflight(&resource)
    } else {
        match gate::admit(context, &resource, &request, from) {
            Ok(grant) => serve_granted(context, &resource, request, from, grant).await,
            Err(reply) => *reply,
        }
    };
    tracing::debug!(%method, resource = resource.name(), status = reply.status().as_u16(), "request");
    gate::harden(respond::with_cors(reply, &resource))
}

async fn serve_granted(
    context: &Context,
    resource: &Resource<'_>,
    request: Request<Incoming>,
    from: Connection,
    grant: Grant,
) -> Reply {
    if !resource.methods().contains(request.method()) {
        return respond::Error::MethodNotAllowed(resource.methods()).into();
    }
    let ends = request.method() == Method::DELETE;
    let reply = serve_resource(context, resource, request, from, &grant)
        .await
        .unwrap_or_else(Reply::from);
    // A session that was made, or ended.
    let location = reply.headers().get(header::LOCATION);
    match (resource, location.and_then(|value| value.to_str().ok())) {
        (Resource::Whep(_) | Resource::JsonOffer(_), Some(session)) => {
            context.leases.add(session, grant, &context.plane);
        }
        (Resource::Session { id, .. }, _) if ends && reply.status().is_success() => {
            context.leases.remove(id);
        }
        _ => {}
    }
    reply
}

/// The one place where resources meet the code that serves them. The method is one that the resource allows.
async fn serve_resource(
    context: &Context,
    resource: &Resource<'_>,
    request: Request<Incoming>,
    from: Connection,
    grant: &Grant,
) -> Result<Reply, respond::Error> {
    let reached = from.reached;
    match resource {
        Resource::Page(stream) => Ok(assets::page(context, *stream)),
        Resource::PageWithSlash(stream) => Ok(respond::moved(&format!("../{stream}"))),
        Resource::Asset(name) => assets::asset(name, request.headers()),
        Resource::Authority => match context.tls.as_ref().and_then(Tls::authority) {
            Some(authority) => Ok(plain::authority(authority.der().to_vec())),
            None => Err(respond::Error::NotFound(
                "there is no certificate authority here".into(),
            )),
        },
        Resource::Health => Ok(respond::text("fanlight is healthy\n")),
        Resource::Ready if context.shutdown.is_cancelled() => Err(respond::Error::Stopping),
        Resource::Ready => Ok(respond::text("fanlight is ready\n")),
        Resource::Metrics => Ok(respond::typed(
            Metrics::CONTENT_TYPE,
            context.metrics.render(),
        )),
        Resource::Streams => Ok(api::streams(context, grant)),
        Resource::Stream(name) => api::stream(context, name),
        Resource::Viewers => Ok(api::viewers(context)),
        Resource::Whep(stream) => whep::offer(context, *stream, request, reached).await,
        Resource::JsonOffer(stream) => whep::json_offer(context, *stream, request, reached).await,
        Resource::Session { stream, id } => whep::end(context, stream, id),
    }
}
