//! The media plane: every viewer's WebRTC session, on one thread, one UDP socket, and TCP connections where there is no
//! other way.
//!
//! The only folder that names the WebRTC core. HTTP holds a [`Plane`]: it answers offers on the caller's thread,
//! where the work on SDP and keys disturbs nobody, and hands the finished session to the media thread.

mod advertise;
mod net;
mod peer;
mod plane;
mod receive;
mod sdp;
mod send;
#[doc(hidden)]
pub mod sim;
mod wire;

use crate::base::addresses::Interfaces;
use crate::base::shutdown::Shutdown;
use crate::base::state_dir::StateDir;
use crate::base::sync::Mutex;
use crate::config::{self, Limits};
use crate::media::Profiles;
use crate::metrics;
use crate::stream::{Stream, Terms};
use advertise::advertised::Reach;
pub use net::demux::is_check;
pub use net::tcp::{Arrival, HEADER as FRAME_HEADER, announced as announced_frame};
pub use net::udp::UdpSocket;
use peer::Peer;
pub use peer::end_reason::EndReason;
use peer::identity::{Identity, Sources};
use peer::panic_guard::contained;
pub use plane::diagnosis::{Diagnosis, diagnose};
pub use plane::facts::{Checks, Facts, Transport};
use plane::outcome::Undelivered;
pub use plane::outcome::{AnswerError, Restarted, Session, SessionError};
use plane::reactor::{Command, Reactor};
use plane::registry::{Entry, Sessions};
pub use plane::registry::{Limit, Seat};
use plane::session::Viewer;
pub use plane::session_id::SessionId;
pub use plane::watching::{Caller, Watching};
pub(crate) use sdp::offer::Offer;
pub use sdp::offer::OfferError;
pub use sdp::sdpfrag::Fragment;
use sdp::sdpfrag::Frame;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};
use wire::credentials::Credentials;
pub use wire::dtls::HandshakeAlert;
pub use wire::outbox::Endpoint;

/// Commands that may wait for the media thread; it takes them all each turn, so a full queue means that it is
/// overloaded, and a new viewer is refused then.
const COMMANDS: usize = 256;

/// The handle to the media thread.
pub struct Plane {
    commands: SyncSender<Command>,
    waker: Arc<mio::Waker>,
    identity: Identity,
    reach: Reach,
    sessions: Sessions,
    turns: Arc<AtomicU64>,
    next_viewer: AtomicU64,
    metrics: metrics::RtcMetrics,
    ended: Shutdown,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Plane {
    /// Starts the media thread on a bound socket; `tcp` is the listener where viewers may begin ICE over TCP, whose
    /// connections [`connect`](Self::connect) takes. The certificate is the one in the state directory, if there is one.
    ///
    /// # Errors
    /// When the system has no thread or poller for it, or no certificate can be made.
    pub fn start(
        socket: UdpSocket,
        tcp: Option<SocketAddr>,
        config: config::Rtc,
        interfaces: Interfaces,
        limits: Limits,
        metrics: metrics::RtcMetrics,
        state: Option<&StateDir>,
    ) -> io::Result<Self> {
        let (commands, inbox) = sync_channel(COMMANDS);
        let sessions = Sessions::new(limits);
        let bound = socket.local_addr();
        let (now, sessions_too) = (Instant::now(), sessions.clone());
        let reactor = Reactor::new(now, socket, inbox, sessions_too, metrics.clone())?;
        let waker = reactor.waker();
        let turns = reactor.turns();
        let ended = Shutdown::new();
        let guard = ended.clone().drop_guard();
        let thread = std::thread::Builder::new()
            .name("media".into())
            .spawn(move || {
                let _guard = guard;
                if let Err(error) = reactor.run() {
                    tracing::error!(%error, "the media socket is broken");
                }
            })?;
        Ok(Self {
            commands,
            waker,
            identity: Identity::load(state, SystemTime::now()).map_err(io::Error::other)?,
            reach: Reach::new(bound, tcp, config, interfaces),
            sessions,
            turns,
            next_viewer: AtomicU64::new(1),
            metrics,
            ended,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The media socket's address.
    pub const fn local_addr(&self) -> SocketAddr {
        self.reach.bound()
    }

    /// Answers an offer with a session that shows `stream`; `reached` is the address of ours that the
    /// viewer's request came to, `peer_address` the one that it came from, for the log, and `client` the same if viewers are
    /// counted by it. Waits for nothing, but works for some milliseconds on a large offer: no task for a runtime's worker.
    ///
    /// # Errors
    /// See [`AnswerError`].
    pub fn answer(
        &self,
        offer: &str,
        stream: &Arc<Stream>,
        reached: Option<IpAddr>,
        peer_address: IpAddr,
        client: Option<IpAddr>,
    ) -> Result<Session, AnswerError> {
        let now = Instant::now();
        // A refusal costs no work.
        self.sessions.lock().admits(now, stream.name(), client)?;
        let credentials = Credentials::generate();
        let sources = Sources::generate();
        let terms = stream.channel().terms();
        let profiles = stream.profiles();
        let agree = || {
            agree(
                now,
                &self.identity,
                &credentials,
                sources,
                terms,
                offer,
                profiles,
            )
        };
        let agreed = contained(&self.metrics.panics, agree);
        let (offer, peer) = agreed.unwrap_or_else(|| Err(OfferError::unreadable()))?;
        // The source opens while the viewer does its handshakes.
        let demand = stream.demand(offer.video.codec.plays);
        let addresses = self.reach.addresses(reached);
        let answer = sdp::answer::answer(
            &offer,
            &sdp::answer::Local {
                ufrag: &credentials.ufrag,
                password: credentials.password.as_str(),
                fingerprint: &self.identity.fingerprint,
                ssrc: sources.video,
                rtx_ssrc: sources.rtx,
                stream: stream.name(),
                profile: stream.profile_level_id(),
                addresses: &addresses,
            },
        );
        let session = SessionId::generate();
        let remote = offer.video.ice.clone();
        let id = self.next_viewer.fetch_add(1, Ordering::Relaxed);
        let viewer = Viewer::new(
            now,
            id,
            session.clone(),
            peer_address,
            (credentials, remote),
            peer,
            (stream.channel().clone(), Some(demand)),
        );
        let record = viewer.record().clone();
        record.offered(&answer);
        let tag = plane::registry::tag();
        let entry = Entry {
            record,
            viewer: id,
            stream: stream.clone(),
            client,
            tag: tag.clone(),
            remote: offer.video.ice.clone(),
            frame: Frame::new(&offer),
            caller: None,
        };
        let hand_over = |gives_way| -> Result<(), AnswerError> {
            let viewer = Box::new(viewer);
            Ok(self.send(Command::Add { viewer, gives_way })?)
        };
        // Locked all the while: the media thread may end it only when it is in the table.
        let name = session.clone();
        self.sessions.lock().insert(now, name, entry, hand_over)?;
        self.metrics.sessions.inc();
        Ok(Session {
            id: session,
            answer,
            tag,
        })
    }

    /// Takes over a TCP connection that begins with a check of a viewer's. One that is nobody's is closed.
    pub fn connect(&self, arrival: Arrival) {
        // Dropping it closes it: an overloaded media thread takes no more.
        let _ = self.send(Command::Connect(Box::new(arrival)));
    }

    /// Keeps what is offered to viewers as the network is.
    pub async fn follow_network(self: Arc<Self>) -> Infallible {
        let plane = self.clone();
        // A request that can't be handed over counts as lost.
        let send = move |probe| drop(plane.send(Command::Probe(probe)));
        self.reach.follow(send).await
    }

    /// Takes an ICE fragment of a session's viewer, if `is_meant` says of its ICE session's tag that the caller means it.
    /// Credentials that are new begin another ICE session (draft-ietf-wish-whep-03, 4.4.3). The one before it goes on until the
    /// viewer has a pair in the new one, so nothing is lost if that never happens.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub fn patch(
        &self,
        stream: &str,
        session: &str,
        fragment: Fragment,
        is_meant: impl FnOnce(&str) -> bool,
        reached: Option<IpAddr>,
    ) -> Result<Option<Restarted>, SessionError> {
        // Held all the while: of two restarts the later is also the one that the media thread hears of later.
        let mut sessions = self.sessions.lock();
        let entry = sessions.get_mut(stream, session);
        let entry = entry.ok_or(SessionError::NoSession)?;
        if !is_meant(&entry.tag) {
            return Err(SessionError::OtherIceSession);
        }
        let Some(remote) = fragment.ice.filter(|ice| *ice != entry.remote) else {
            return Ok(None);
        };
        if remote.ufrag == entry.remote.ufrag || remote.password == entry.remote.password {
            return Err(SessionError::HalfRestart);
        }
        let local = Credentials::generate();
        let command = Command::Restart {
            viewer: entry.viewer,
            local: local.clone(),
            remote: remote.clone(),
        };
        self.send(command)?;
        entry.remote = remote;
        entry.tag = plane::registry::tag();
        let (tag, frame) = (entry.tag.clone(), entry.frame.clone());
        drop(sessions);
        let fragment = frame.answer(&local, &self.reach.addresses(reached));
        Ok(Some(Restarted { tag, fragment }))
    }

    /// Whether a fragment would begin another ICE session, if it is taken.
    pub fn is_restart(&self, stream: &str, session: &str, fragment: &Fragment) -> bool {
        let mut sessions = self.sessions.lock();
        let entry = sessions.get_mut(stream, session);
        let remote = fragment.ice.as_ref();
        entry
            .zip(remote)
            .is_some_and(|(entry, remote)| entry.remote != *remote)
    }

    /// Ends a session of a stream.
    ///
    /// # Errors
    /// When there is none of that id, or the media thread can't be told: then it goes on, and is to be ended later.
    pub fn end(&self, stream: &str, session: &str) -> Result<(), SessionError> {
        let mut sessions = self.sessions.lock();
        let entry = sessions.get_mut(stream, session);
        let viewer = entry.ok_or(SessionError::NoSession)?.viewer;
        // Before it is forgotten: who is in no table can't be ended any more.
        self.send(Command::End(viewer, EndReason::Deleted))?;
        // Forgotten here, not when the media thread comes to it: who asks again is told that there is none.
        sessions.end(session, Instant::now(), EndReason::Deleted);
        Ok(())
    }

    /// A place among the viewers of a stream for one who watches without a session; `client` as for [`answer`](Self::answer).
    ///
    /// # Errors
    /// The limit that leaves none.
    pub fn seat(&self, stream: &str, client: Option<IpAddr>) -> Result<Seat, Limit> {
        self.sessions.seat(stream, client)
    }

    /// Whether there is a session of that id that shows that stream.
    pub fn has(&self, stream: &str, session: &str) -> bool {
        self.sessions.lock().get_mut(stream, session).is_some()
    }

    /// The stream and the facts of a session that there is, or that failed a short time ago.
    pub fn facts(&self, session: &str, now: Instant) -> Option<(String, Facts)> {
        self.sessions.lock().facts(session, now)
    }

    /// The stream that such a session shows or showed.
    pub fn stream_of(&self, session: &str) -> Option<String> {
        self.facts(session, Instant::now())
            .map(|(stream, _)| stream)
    }

    /// How often the media thread has turned. Makes it turn once more, so that this is more the next time, unless it
    /// hangs. `None` while there is no session: then it sleeps, and is left to.
    pub fn pulse(&self) -> Option<u64> {
        if self.sessions() == 0 {
            return None;
        }
        let turns = self.turns.load(Ordering::Relaxed);
        // It fails only without a poller, and then the thread has ended.
        let _ = self.waker.wake();
        Some(turns)
    }

    /// How many sessions there are, connected or not.
    pub fn sessions(&self) -> usize {
        self.sessions.lock().len()
    }

    /// Completes when the media thread has ended, for whatever reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends every session with a farewell to its viewer, and waits for the media thread.
    pub fn stop(&self) {
        let thread = self.thread.lock().take();
        // Waits for room: the thread takes commands as long as it lives.
        let _ = self.commands.send(Command::Stop);
        let _ = self.waker.wake();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the media thread panicked");
        }
    }

    fn send(&self, command: Command) -> Result<(), Undelivered> {
        self.commands.try_send(command)?;
        // It fails only without a poller, and then nobody answers anyway.
        let _ = self.waker.wake();
        Ok(())
    }
}

/// Reads an offer, and makes the peer that answers it.
fn agree(
    now: Instant,
    identity: &Identity,
    credentials: &Credentials,
    sources: Sources,
    terms: Terms,
    offer: &str,
    profiles: Profiles,
) -> Result<(Offer, Peer), OfferError> {
    let offer = Offer::parse(offer, profiles)?;
    let peer = Peer::new(now, identity, credentials, &offer, sources, terms).map_err(|error| {
        tracing::debug!(%error, "the WebRTC core refuses an offer");
        OfferError::unreadable()
    })?;
    Ok((offer, peer))
}

#[cfg(test)]
mod plane_tests;
