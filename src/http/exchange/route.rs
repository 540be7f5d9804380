//! Paths to resources, and the methods that each resource has.

use hyper::{Method, Uri};

/// Everything that has a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The player: of the named stream, or of all.
    Page(Option<&'a str>),
    /// As people type it; the page's own links would be wrong there.
    PageWithSlash(&'a str),
    /// A file of the player.
    Asset(&'a str),
    /// The certificate of the daemon's own authority.
    Authority,
    /// Whether the process works.
    Health,
    /// Whether it takes viewers.
    Ready,
    /// Figures for Prometheus.
    Metrics,
    /// What there is for programs.
    Index,
    /// The state of all streams.
    Streams,
    /// Their changes, as they come.
    Changes,
    /// The state of one.
    Stream(&'a str),
    /// What is the matter with the session of that unguessable name.
    Doctor(&'a str),
    /// The controls of a stream's camera.
    Controls(&'a str),
    /// Who watches.
    Viewers,
    /// One of them, by its number.
    Viewer(&'a str),
    /// WHEP: of the named stream, or of the default one.
    Whep(Option<&'a str>),
    /// The offer exchange in JSON, likewise.
    JsonOffer(Option<&'a str>),
    /// JPEG images as they are made, likewise.
    Mjpeg(Option<&'a str>),
    /// One of them, likewise.
    Jpeg(Option<&'a str>),
    /// A WHEP session.
    Session {
        /// Its stream.
        stream: &'a str,
        /// Its unguessable name.
        id: &'a str,
    },
    /// The event streams of a session.
    EventStreams {
        /// See [`Self::Session`].
        stream: &'a str,
        /// See [`Self::Session`].
        session: &'a str,
    },
    /// One of them.
    EventStream {
        /// See [`Self::Session`].
        stream: &'a str,
        /// See [`Self::Session`].
        session: &'a str,
        /// Its name.
        id: &'a str,
    },
}

/// Whether a request's target is that of a URL: it has a path (RFC 3986, 3.3), and no characters beyond ASCII, which stand encoded in
/// it (2). Another target could stand in no `Location`.
pub fn is_url(target: &Uri) -> bool {
    let is_ascii = target.path().is_ascii() && target.query().is_none_or(str::is_ascii);
    target.path().starts_with('/') && is_ascii
}

impl<'a> Resource<'a> {
    /// The resource at a path, if there can be one: streams and sessions are looked up later.
    pub fn decode(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let segments: Vec<&str> = path.split('/').collect();
        let segments = match &segments[..] {
            // A slash too many at the end of a URL that programs use costs nobody anything.
            [rest @ .., ""] if rest.iter().any(|word| matches!(*word, "whep" | "offer")) => rest,
            all => all,
        };
        Some(match *segments {
            [""] => Self::Page(None),
            ["ca.crt"] => Self::Authority,
            ["healthz"] => Self::Health,
            ["readyz"] => Self::Ready,
            ["metrics"] => Self::Metrics,
            ["assets", name] => Self::Asset(name),
            ["api"] | ["api", ""] => Self::Index,
            ["api", "streams"] => Self::Streams,
            ["api", "events"] => Self::Changes,
            ["api", "viewers"] => Self::Viewers,
            ["api", "viewers", id] => Self::Viewer(id),
            ["api", "streams", name] => Self::Stream(name),
            ["api", "sessions", id, "doctor"] => Self::Doctor(id),
            ["api", "streams", name, "controls"] => Self::Controls(name),
            ["whep"] => Self::Whep(None),
            ["whep", stream] => Self::Whep(Some(stream)),
            ["whep", stream, id] => Self::Session { stream, id },
            [stream, "whep", session, "sse"] | ["whep", stream, session, "sse"] => {
                Self::EventStreams { stream, session }
            }
            [stream, "whep", session, "sse", id] | ["whep", stream, session, "sse", id] => {
                Self::EventStream {
                    stream,
                    session,
                    id,
                }
            }
            ["offer"] => Self::JsonOffer(None),
            ["mjpeg"] => Self::Mjpeg(None),
            ["jpeg"] => Self::Jpeg(None),
            ["assets" | "api" | "offer", ..] => return None,
            [stream, "mjpeg"] => Self::Mjpeg(Some(stream)),
            [stream, "jpeg"] => Self::Jpeg(Some(stream)),
            [stream, "whep"] => Self::Whep(Some(stream)),
            [stream, "whep", id] => Self::Session { stream, id },
            [stream, "offer"] => Self::JsonOffer(Some(stream)),
            [stream] => Self::Page(Some(stream)),
            [stream, ""] => Self::PageWithSlash(stream),
            _ => return None,
        })
    }

    /// What can be done with it, besides OPTIONS.
    pub const fn methods(&self) -> &'static [Method] {
        match self {
            Self::Page(_)
            | Self::PageWithSlash(_)
            | Self::Asset(_)
            | Self::Authority
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::Index
            | Self::Streams
            | Self::Stream(_)
            | Self::Mjpeg(_)
            | Self::Jpeg(_)
            | Self::Doctor(_)
            | Self::Viewers => &[Method::GET, Method::HEAD],
            Self::Viewer(_) => &[Method::DELETE],
            Self::Controls(_) => &[Method::GET, Method::HEAD, Method::PUT],
            Self::Whep(_) => &[Method::GET, Method::HEAD, Method::POST],
            Self::JsonOffer(_) | Self::EventStreams { .. } => &[Method::POST],
            Self::Changes => &[Method::GET],
            Self::EventStream { .. } => &[Method::GET, Method::DELETE],
            Self::Session { .. } => &[Method::GET, Method::HEAD, Method::PATCH, Method::DELETE],
        }
    }

    /// Whether pages of other origins may use it: to watch, or to import the player's modules.
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Whep(_)
            | Self::JsonOffer(_)
            | Self::Session { .. }
            | Self::EventStreams { .. }
            | Self::EventStream { .. }
            | Self::Index
            | Self::Streams
            | Self::Changes
            | Self::Stream(_)
            | Self::Mjpeg(_)
            | Self::Jpeg(_)
            | Self::Doctor(_)
            | Self::Asset(_) => true,
            Self::Page(_)
            | Self::PageWithSlash(_)
            | Self::Authority
            | Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::Controls(_)
            | Self::Viewers
            | Self::Viewer(_) => false,
        }
    }

    /// What logs call it: a path may hold a session's name, which is a secret.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Page(_) | Self::PageWithSlash(_) => "page",
            Self::Asset(_) => "asset",
            Self::Authority => "authority",
            Self::Health => "health",
            Self::Ready => "ready",
            Self::Metrics => "metrics",
            Self::Index => "index",
            Self::Streams => "streams",
            Self::Changes => "changes",
            Self::Stream(_) => "stream",
            Self::Doctor(_) => "doctor",
            Self::Controls(_) => "controls",
            Self::Viewers => "viewers",
            Self::Viewer(_) => "viewer",
            Self::Whep(_) => "whep",
            Self::JsonOffer(_) => "offer",
            Self::Mjpeg(_) => "mjpeg",
            Self::Jpeg(_) => "jpeg",
            Self::Session { .. } => "session",
            Self::EventStreams { .. } | Self::EventStream { .. } => "events",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_resource() {
        let session = Resource::Session {
            stream: "cam",
            id: "x1",
        };
        for (path, resource) in [
            ("/", Some(Resource::Page(None))),
            ("/cam", Some(Resource::Page(Some("cam")))),
            ("/cam/", Some(Resource::PageWithSlash("cam"))),
            ("/whep/", Some(Resource::Whep(None))),
            ("/cam/whep/", Some(Resource::Whep(Some("cam")))),
            ("/whep/cam/", Some(Resource::Whep(Some("cam")))),
            ("/cam/whep/x1/", Some(session)),
            ("/offer/", Some(Resource::JsonOffer(None))),
            ("/cam/offer/", Some(Resource::JsonOffer(Some("cam")))),
            ("/ca.crt", Some(Resource::Authority)),
            ("/healthz", Some(Resource::Health)),
            ("/readyz", Some(Resource::Ready)),
            ("/metrics", Some(Resource::Metrics)),
            ("/assets/player.js", Some(Resource::Asset("player.js"))),
            ("/api/streams", Some(Resource::Streams)),
            ("/api/events", Some(Resource::Changes)),
            ("/api/streams/cam", Some(Resource::Stream("cam"))),
            ("/api/streams/cam/controls", Some(Resource::Controls("cam"))),
            ("/api", Some(Resource::Index)),
            ("/api/", Some(Resource::Index)),
            ("/api/nothing", None),
            ("/api/viewers", Some(Resource::Viewers)),
            ("/api/viewers/7", Some(Resource::Viewer("7"))),
            ("/api/viewers/7/x", None),
            ("/whep", Some(Resource::Whep(None))),
            ("/whep/cam", Some(Resource::Whep(Some("cam")))),
            ("/cam/whep", Some(Resource::Whep(Some("cam")))),
            ("/cam/whep/x1", Some(session)),
            ("/whep/cam/x1", Some(session)),
            ("/offer", Some(Resource::JsonOffer(None))),
            ("/cam/offer", Some(Resource::JsonOffer(Some("cam")))),
            ("", None),
            ("cam", None),
            ("/mjpeg", Some(Resource::Mjpeg(None))),
            ("/cam/mjpeg", Some(Resource::Mjpeg(Some("cam")))),
            ("/cam/jpeg", Some(Resource::Jpeg(Some("cam")))),
            ("/api/offer", None),
            ("/api/jpeg", None),
            ("/api/sessions/x1/doctor", Some(Resource::Doctor("x1"))),
            ("/api/sessions/x1", None),
            ("/assets/a/b", None),
            ("/offer/cam", None),
            (
                "/cam/whep/x1/sse",
                Some(Resource::EventStreams {
                    stream: "cam",
                    session: "x1",
                }),
            ),
            (
                "/whep/cam/x1/sse/e",
                Some(Resource::EventStream {
                    stream: "cam",
                    session: "x1",
                    id: "e",
                }),
            ),
            ("/cam/whep/x1/y", None),
            ("/a/b", None),
        ] {
            assert_eq!(Resource::decode(path), resource, "{path}");
        }
    }
}
