//! The HTTP side: the only folder that names `hyper`. Accepts connections, decodes a request to a resource, and
//! hands it to the one function that serves it.

mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod resources;
mod server;

pub use exchange::cors::Cors;
pub use exchange::lease::Leases;
pub use exchange::readers::Readers;
pub use resources::patches::Patches;
pub use resources::session_events::EventStreams;
pub use resources::whep::Answers;
pub use server::clients::Clients;
pub use server::listen::{Listeners, bind};
pub use server::places::Places;
pub use server::sniff::MediaDoor;

use crate::access::Access;
use crate::access::judge::{Grant, Scope, Target};
use crate::base::heartbeat::Heartbeat;
use crate::base::log_limit::LogLimit;
use crate::base::shutdown::Shutdown;
use crate::config;
use crate::controls::Controls;
use crate::metrics::Metrics;
use crate::rtc::Plane;
use crate::stream::{Making, Streams};
use crate::tls::Tls;
use bytes::Bytes;
use exchange::respond::Reply;
use exchange::route::Resource;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use server::deadlines::{Pace, Paced, Watched};
use server::listen::{Accepted, Listener};
use server::panics::counted;
use server::sniff::{Opening, Passed};
use socket2::SockRef;
use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long connections may take to finish their last reply when the daemon ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause after a failure to accept, so that a shortage of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A shortage of descriptors lasts, and each attempt fails: one line a minute tells of it.
static NOT_ACCEPTED: LogLimit = LogLimit::once_a_minute();
/// What a connection may buffer, and so what a request's head may be long; hyper's own bound is 25 times that, which
/// `[limits] connections` of them would make a lot. Tokens are 8 KiB at the most.
const BUFFER: usize = 16 << 10;
/// A client that acknowledges nothing for so long is gone, whatever it is still owed.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that may wait for the network in the kernel before more of a reply is asked for, besides the connection's own
/// buffer: of a live picture they would be late.
const MOST_UNSENT: u32 = 64 << 10;

/// What requests are served from.
pub struct Context {
    /// Everything that can be watched.
    pub streams: Streams,
    /// Those of their cameras.
    pub controls: Controls,
    /// Makes and ends sessions.
    pub plane: Arc<Plane>,
    /// Who may use it.
    pub access: Arc<Access>,
    /// HTTPS, if it is that.
    pub tls: Option<Tls>,
    /// Sessions of those whose permission may end.
    pub leases: Leases,
    /// The TCP port of the listener.
    pub port: u16,
    /// What of a cookie's name names this daemon.
    pub cookie: String,
    /// Origins that may show the page in a frame, besides our own.
    pub frame_ancestors: Vec<String>,
    /// Who may use the daemon from pages of other origins.
    pub cors: Cors,
    /// The line of offers that wait for an answer.
    pub answers: Answers,
    /// How the offer exchange behaves.
    pub whep: config::Whep,
    /// How JPEG images are made; `None` if they are not.
    pub jpegs: Option<Making>,
    /// How much is taken on.
    pub limits: config::Limits,
    /// The rates at which addresses ask for changes.
    pub clients: Clients,
    /// The rates at which sessions' viewers send candidates.
    pub patches: Patches,
    /// The places of HTTP connections.
    pub places: Arc<Places>,
    /// The sign of life of the loop that takes connections in.
    pub heartbeat: Arc<Heartbeat>,
    /// For connections with media.
    pub media: MediaDoor,
    /// Whether they come to the listener of HTTP.
    pub has_media: bool,
    /// Sessions' event streams.
    pub events: Arc<EventStreams>,
    /// Who watches JPEG images as they are made.
    pub readers: Arc<Readers>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Cancelled when the daemon begins to end.
    pub shutdown: Shutdown,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection {
    /// The client's address.
    pub peer: IpAddr,
    /// The address of ours that the client used: it can be reached there, by media as well.
    pub reached: Option<IpAddr>,
    /// Whether it is TLS.
    pub is_secure: bool,
}

/// Serves until the context's shutdown, then lets connections finish their replies.
pub async fn serve(listeners: Listeners, context: Arc<Context>) {
    context.metrics.http().begin(&exchange::respond::LIMITS);
    let mut leases = pin!(exchange::lease::watch(&context));
    let mut heartbeat = pin!(context.heartbeat.answer());
    loop {
        // The last two never complete: a connection that was accepted, and waits for a place, is not lost to them.
        let accepted = tokio::select! {
            accepted = listeners.accept(&context) => accepted,
            () = context.shutdown.cancelled() => break,
            never = &mut leases => match never {},
            never = &mut heartbeat => match never {},
        };
        match accepted {
            Ok(accepted) => connection(accepted, &context),
            Err(error) => {
                if let Some(left_out) = NOT_ACCEPTED.admit(Instant::now()) {
                    tracing::warn!(%error, left_out, "can't accept connections");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listeners);
    // What does not finish is cut off with the runtime.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, context.places.emptied()).await;
}

fn connection(accepted: Accepted, context: &Arc<Context>) {
    let Accepted {
        stream,
        peer,
        listener,
        place,
    } = accepted;
    let from = Connection {
        peer: peer.ip().to_canonical(),
        reached: stream.local_addr().ok().map(|a| a.ip().to_canonical()),
        is_secure: false,
    };
    // Replies are small; waiting to fill packets only delays them.
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(&stream);
    let _ = socket.set_tcp_user_timeout(Some(ACKNOWLEDGE_TIMEOUT));
    let _ = socket.set_tcp_notsent_lowat(MOST_UNSENT);
    let pace = Pace::new(&context.limits, place, Instant::now());
    let context = context.clone();
    let panics = context.metrics.http().panics;
    tokio::spawn(counted(panics, async move {
        // The handshake of TLS is part of the first request's head: it has no time of its own.
        let came = (peer, listener);
        let conversation = converse(stream, from, came, context, pace.clone());
        match server::deadlines::keep(&pace, conversation).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::debug!(%peer, %error, "connection"),
            None => tracing::debug!(%peer, "connection: too slow"),
        }
    }));
}

/// What a client of ours may do wrong.
type ClientError = Box<dyn Error + Send + Sync>;

/// Waits for a connection's first byte. `None` if HTTP has nothing to do with it: it was handed over to the media plane, or
/// it is of no use.
async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    listener: Listener,
    context: &Context,
    pace: &Pace,
) -> io::Result<Option<(TcpStream, Opening)>> {
    let is_for_media = match listener {
        Listener::Main => context.has_media,
        Listener::Redirect => false,
        Listener::Media => true,
    };
    let opening = tokio::select! {
        opening = Opening::look(&stream) => opening?,
        // Nothing was asked yet.
        () = context.shutdown.cancelled() => return Ok(None),
        () = pace.given_away() => return Ok(None),
    };
    pace.received(Instant::now());
    if opening == Opening::Ice && is_for_media {
        let passed = context.media.pass(stream, peer, &context.plane).await?;
        if let Passed::Refused(limit) = passed {
            context.metrics.http().refused(limit);
        }
        return Ok(None);
    }
    Ok((listener != Listener::Media).then_some((stream, opening)))
}

/// One connection from its first byte to its end, or to where the media plane takes it over.
async fn converse(
    stream: TcpStream,
    mut from: Connection,
    (peer, listener): (SocketAddr, Listener),
    context: Arc<Context>,
    pace: Arc<Pace>,
) -> Result<(), ClientError> {
    let Some((stream, opening)) = open(stream, peer, listener, &context, &pace).await? else {
        return Ok(());
    };
    let Some(tls) = &context.tls else {
        return exchange(stream, from, context, pace).await;
    };
    let is_main = listener == Listener::Main;
    if is_main && opening == Opening::Tls {
        let stream = tls.accept(stream).await?;
        from.is_secure = true;
        return exchange(stream, from, context, pace).await;
    }
    let authority = tls.authority();
    let to = exchange::https_redirect::Target {
        port: (!is_main).then_some(context.port),
        authority: authority.map(|authority| Bytes::copy_from_slice(authority.der())),
    };
    let answer =
        move |request| std::future::ready(exchange::https_redirect::redirect(&request, &to));
    serve_requests(stream, pace, &context.shutdown, answer).await
}

/// Requests to the daemon's resources.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    from: Connection,
    context: Arc<Context>,
    pace: Arc<Pace>,
) -> Result<(), ClientError> {
    let end = context.shutdown.clone();
    let answer = move |request| {
        let context = context.clone();
        async move { handle(&context, request, from).await }
    };
    serve_requests(stream, pace, &end, answer).await
}

async fn serve_requests<F: Future<Output = Reply> + Send>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    pace: Arc<Pace>,
    end: &Shutdown,
    answer: impl Fn(Request<Incoming>) -> F + Send,
) -> Result<(), ClientError> {
    let io = TokioIo::new(Watched::new(stream, pace.clone()));
    let served = pace.clone();
    let service = service_fn(move |request| {
        served.begin();
        let (reply, pace) = (answer(request), served.clone());
        async move { Ok::<_, Infallible>(reply.await.map(|body| Paced::new(body, pace))) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // `Pace` sees to it.
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    tokio::select! {
        served = &mut connection => return Ok(served?),
        () = end.cancelled() => {}
        () = pace.given_away() => pace.leave(Instant::now()),
    }
    // It takes no further request. What it still owes of a reply is sent.
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}

async fn handle(context: &Context, request: Request<Incoming>, from: Connection) -> Reply {
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    if !exchange::route::is_url(request.uri()) {
        return exchange::gate::harden(exchange::respond::Error::not_a_url().into());
    }
    let path = request.uri().path().to_owned();
    let Some(resource) = Resource::decode(&path) else {
        if is_read(&method) && exchange::assets::is_for_people(request.headers()) {
            return exchange::gate::harden(exchange::assets::missing(&path));
        }
        let detail = format!("there is nothing at {path}");
        return exchange::gate::harden(exchange::respond::Error::NotFound(detail).into());
    };
    let mut reply = if method == Method::OPTIONS {
        context.cors.preflight(&resource)
    } else {
        match exchange::gate::admit(context, &resource, &request, from).await {
            Ok(grant) => serve_granted(context, &resource, request, from, grant).await,
            Err(reply) => *reply,
        }
    };
    tracing::debug!(%method, resource = resource.name(), status = reply.status().as_u16(), "request");
    context.cors.apply(&mut reply, &resource, origin.as_ref());
    exchange::gate::harden(reply)
}

async fn serve_granted(
    context: &Context,
    resource: &Resource<'_>,
    request: Request<Incoming>,
    from: Connection,
    grant: Grant,
) -> Reply {
    let ends = request.method() == Method::DELETE;
    let caller = resources::viewers::caller(request.headers(), from, &grant);
    let reply = serve_resource(context, resource, request, from, &grant).await;
    let mut reply = reply.unwrap_or_else(|error| {
        if let Some(limit) = error.limit() {
            context.metrics.http().refused(limit);
        }
        let streams = context.streams.iter().map(|stream| stream.name());
        let may_watch = |name: &&str| grant.allows(Scope::View, Target::Stream(name));
        error.naming(streams.filter(may_watch)).into()
    });
    if let Some(made) = reply.extensions_mut().remove::<exchange::lease::Made>() {
        let (stream, session) = (&made.stream, &made.session);
        context.plane.introduce(stream, session, caller);
        context.leases.add(made, grant, &context.plane);
    }
    if let Resource::Session { id, .. } = resource
        && ends
        && reply.status().is_success()
    {
        context.leases.remove(id);
    }
    reply
}

/// The one place where resources meet the code that serves them.
async fn serve_resource(
    context: &Context,
    resource: &Resource<'_>,
    request: Request<Incoming>,
    from: Connection,
    grant: &Grant,
) -> Result<Reply, exchange::respond::Error> {
    if !resource.methods().contains(request.method()) {
        return Err(exchange::respond::Error::MethodNotAllowed(
            resource.methods(),
        ));
    }
    // draft-ietf-wish-whep-03, 5: sessions must be neither made nor guessed too fast. A PATCH to a session that there is has
    // a limit of its own.
    if !is_read(request.method()) && *request.method() != Method::PATCH {
        let asked = context.clients.request(from.peer, Instant::now());
        asked.map_err(exchange::respond::Error::TooManyRequests)?;
    }
    match resource {
        Resource::Page(stream) => Ok(exchange::assets::page(context, *stream)),
        Resource::PageWithSlash(stream) => Ok(exchange::respond::moved(&format!("../{stream}"))),
        Resource::Asset(name) => exchange::assets::asset(name, request.headers()),
        Resource::Authority => match context.tls.as_ref().and_then(Tls::authority) {
            Some(authority) => Ok(exchange::https_redirect::authority(
                authority.der().to_vec(),
            )),
            None => Err(exchange::respond::Error::NotFound(
                "there is no certificate authority here".into(),
            )),
        },
        Resource::Health => Ok(exchange::respond::text("fanlight is healthy\n")),
        Resource::Ready if context.shutdown.is_cancelled() => {
            Err(exchange::respond::Error::Stopping)
        }
        Resource::Ready => Ok(exchange::respond::text("fanlight is ready\n")),
        Resource::Metrics => Ok(resources::streams::metrics(context, request.headers())),
        Resource::Index => Ok(resources::streams::index()),
        Resource::Streams => Ok(resources::streams::streams(context, grant)),
        Resource::Changes => Ok(resources::stream_events::read(context, grant)),
        Resource::Doctor(session) => resources::doctor::doctor(context, session, &request, grant),
        Resource::Stream(name) => resources::streams::stream(context, name, grant),
        Resource::Controls(name) if is_read(request.method()) => {
            resources::controls::get(context, name).await
        }
        Resource::Controls(name) => resources::controls::put(context, name, request).await,
        Resource::Viewers => Ok(resources::viewers::list(context)),
        Resource::Viewer(id) => resources::viewers::end(context, id),
        Resource::Whep(stream) if is_read(request.method()) => {
            resources::whep::endpoint(context, *stream)
        }
        Resource::Whep(stream) => resources::whep::offer(context, *stream, request, from).await,
        Resource::JsonOffer(stream) => {
            resources::whep::json_offer(context, *stream, request, from).await
        }
        Resource::Mjpeg(stream) => {
            resources::mjpeg::images(context, *stream, &request, from, grant)
        }
        Resource::Jpeg(stream) => resources::mjpeg::image(context, *stream, &request, from).await,
        Resource::Session { stream, id } if is_read(request.method()) => {
            resources::session::get(context, stream, id)
        }
        Resource::Session { stream, id } if *request.method() == Method::PATCH => {
            resources::session::patch(context, stream, id, request, from).await
        }
        Resource::Session { stream, id } => resources::session::delete(context, stream, id),
        Resource::EventStreams { stream, session } => {
            resources::session_events::create(context, stream, session, request).await
        }
        Resource::EventStream {
            stream,
            session,
            id,
        } if is_read(request.method()) => {
            resources::session_events::read(context, (stream, session, id), grant)
        }
        Resource::EventStream {
            stream,
            session,
            id,
        } => resources::session_events::delete(context, stream, session, id),
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
