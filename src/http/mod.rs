//! The HTTP side: the only folder that names `hyper`. Accepts connections, decodes a request to a resource, and
//! hands it to the one function that serves it.

mod api;
mod assets;
mod body;
mod clients;
mod cors;
mod events;
mod links;
mod pace;
mod respond;
mod route;
mod session;
mod whep;

pub use clients::Clients;
pub use cors::Cors;
pub use events::EventStreams;

use crate::config;
use crate::metrics::Metrics;
use crate::rtc::Plane;
use crate::shutdown::Shutdown;
use crate::stream::Streams;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use pace::{Pace, Paced, Watched};
use respond::{Error, Reply};
use route::Resource;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long connections may take to finish their last reply when the daemon ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failure to accept, so that a shortage of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 1024;
/// A client that acknowledges nothing for so long is gone, whatever it is still owed.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// What requests are served from.
pub struct Context {
    /// Everything that can be watched.
    pub streams: Streams,
    /// Makes and ends sessions.
    pub plane: Arc<Plane>,
    /// Who may use the daemon from pages of other origins.
    pub cors: Cors,
    /// How the offer exchange behaves.
    pub whep: config::Whep,
    /// How much is taken on.
    pub limits: config::Limits,
    /// Those who are connected, by address.
    pub clients: Arc<Clients>,
    /// Sessions' event streams.
    pub events: Arc<EventStreams>,
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

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The client's address.
    pub peer: IpAddr,
    /// The address of ours that the client used: it can be reached there, by media as well.
    pub reached: Option<IpAddr>,
}

/// Serves until the context's shutdown, then lets connections finish their replies.
pub async fn serve(listener: TcpListener, context: Arc<Context>) {
    let graceful = GracefulShutdown::new();
    // Beyond that many, connections wait in the kernel until one ends.
    let places = Arc::new(Semaphore::new(context.limits.connections as usize));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = context.shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer, place)) => connection(stream, peer, place, &context, &graceful),
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

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
    context: &Arc<Context>,
    graceful: &GracefulShutdown,
) {
    let now = Instant::now();
    let from = Connection {
        peer: peer.ip().to_canonical(),
        reached: stream.local_addr().ok().map(|a| a.ip().to_canonical()),
    };
    let Some(of_client) = context.clients.connect(from.peer, now) else {
        context.metrics.http().refused("connections_per_address");
        return;
    };
    // Replies are small; waiting to fill packets only delays them.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(ACKNOWLEDGE_TIMEOUT));
    let pace = Pace::new(&context.limits, now);
    let io = TokioIo::new(Watched::new(stream, pace.clone()));
    let context = context.clone();
    let paced = pace.clone();
    let service = service_fn(move |request| {
        let (context, pace) = (context.clone(), paced.clone());
        pace.begin();
        async move {
            let reply = handle(&context, request, from).await;
            Ok::<_, Infallible>(reply.map(|body| Paced::new(body, pace)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // `Pace` sees to it.
        .header_read_timeout(None)
        .serve_connection(io, service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        match pace::keep(&pace, connection).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%peer, %error, "connection"),
            None => tracing::debug!(%peer, "connection: too slow"),
        }
        drop((place, of_client));
    });
}

async fn handle(context: &Context, request: Request<Incoming>, from: Connection) -> Reply {
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let path = request.uri().path().to_owned();
    let Some(resource) = Resource::decode(&path) else {
        return Error::NotFound(format!("there is nothing at {path}")).into();
    };
    let mut reply = if method == Method::OPTIONS {
        context.cors.preflight(&resource)
    } else {
        let reply = serve_resource(context, &resource, request, from).await;
        reply.unwrap_or_else(|error| {
            if let Some(limit) = error.limit() {
                context.metrics.http().refused(limit);
            }
            error.into()
        })
    };
    tracing::debug!(%method, resource = resource.name(), status = reply.status().as_u16(), "request");
    context.cors.apply(&mut reply, &resource, origin.as_ref());
    reply
}

/// The one place where resources meet the code that serves them.
async fn serve_resource(
    context: &Context,
    resource: &Resource<'_>,
    request: Request<Incoming>,
    from: Connection,
) -> Result<Reply, Error> {
    if !resource.methods().contains(request.method()) {
        return Err(Error::MethodNotAllowed(resource.methods()));
    }
    // draft-ietf-wish-whep-03, 5: sessions must be neither made nor guessed too fast.
    if !is_read(request.method()) {
        let asked = context.clients.request(from.peer, Instant::now());
        asked.map_err(Error::TooManyRequests)?;
    }
    match resource {
        Resource::Page(stream) => Ok(assets::page(context, *stream)),
        Resource::PageWithSlash(stream) => Ok(respond::moved(&format!("../{stream}"))),
        Resource::Asset(name) => assets::asset(name, request.headers()),
        Resource::Health => Ok(respond::text("fanlight is healthy\n")),
        Resource::Ready if context.shutdown.is_cancelled() => Err(Error::Stopping),
        Resource::Ready => Ok(respond::text("fanlight is ready\n")),
        Resource::Metrics => Ok(respond::typed(
            Metrics::CONTENT_TYPE,
            context.metrics.render(),
        )),
        Resource::Streams => Ok(api::streams(context)),
        Resource::Stream(name) => api::stream(context, name),
        Resource::Viewers => Ok(api::viewers(context)),
        Resource::Whep(stream) if is_read(request.method()) => whep::endpoint(context, *stream),
        Resource::Whep(stream) => whep::offer(context, *stream, request, from).await,
        Resource::JsonOffer(stream) => whep::json_offer(context, *stream, request, from).await,
        Resource::Session { stream, id } if is_read(request.method()) => {
            session::get(context, stream, id)
        }
        Resource::Session { stream, id } if *request.method() == Method::PATCH => {
            session::patch(context, stream, id, request, from).await
        }
        Resource::Session { stream, id } => session::delete(context, stream, id),
        Resource::EventStreams { stream, session } => {
            events::create(context, stream, session, request).await
        }
        Resource::EventStream {
            stream,
            session,
            id,
        } if is_read(request.method()) => events::read(context, stream, session, id),
        Resource::EventStream {
            stream,
            session,
            id,
        } => events::delete(context, stream, session, id),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
