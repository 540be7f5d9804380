//! Replies: the one place where an error becomes a problem, and where headers that many replies share are set.

use super::problem::Problem;
use crate::rtc::{AnswerError, Limit, OfferError, SessionError};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

/// Media types of bodies.
pub const SDP: &str = "application/sdp";
/// See [`SDP`].
pub const JSON: &str = "application/json";
/// ICE only (RFC 8840, 9).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A reply; its body may take time.
pub type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Linked Data Platform 1.0, 7.1.
pub const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// RFC 5789, 3.1.
pub const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// Limits for which requests and connections are refused, as metrics name them.
pub const LIMITS: [&str; 10] = [
    "request_rate",
    "request_size",
    "body_rate",
    "viewers",
    "viewers_per_stream",
    "viewers_per_address",
    "setups",
    "connections_per_address",
    "media_connections",
    "media_connections_per_address",
];

/// What can be wrong with a request, or with us.
#[derive(Debug)]
pub enum Error {
    /// There is no such thing.
    NotFound(String),
    /// There is no stream of that name.
    NoStream(String),
    /// The thing has only these methods.
    MethodNotAllowed(&'static [Method]),
    /// The body must be of this type.
    UnsupportedMediaType(&'static str),
    /// The body is longer than this many bytes.
    TooLarge(usize),
    /// The body came too slowly.
    Timeout,
    /// The body is not what its type says.
    Malformed(String),
    /// The body is well-formed and of no use.
    Unusable(String),
    /// Some of the values in the body can't be: by name, why.
    Values(BTreeMap<String, String>),
    /// The camera is down, as the sentence says; it is tried again after that time.
    CameraDown(String, Duration),
    /// There is no picture of the camera, as the sentence says; it may come in that time.
    NoPicture(String, Duration),
    /// The request must say which ICE session it means (RFC 6585, 3).
    PreconditionRequired,
    /// It means another one.
    PreconditionFailed(String),
    /// The client asks too often: it is to wait that long (RFC 6585, 4).
    TooManyRequests(Duration),
    /// There is no place for another viewer.
    Full(Limit),
    /// Too much to do.
    Overloaded,
    /// The daemon is ending.
    Stopping,
}

impl From<Limit> for Error {
    fn from(limit: Limit) -> Self {
        Self::Full(limit)
    }
}

impl From<AnswerError> for Error {
    fn from(error: AnswerError) -> Self {
        let text = error.to_string();
        match error {
            AnswerError::Offer(OfferError::Malformed(_)) => Self::Malformed(text),
            AnswerError::Offer(OfferError::Unusable(_)) => Self::Unusable(text),
            AnswerError::Full(full) => Self::Full(full),
            AnswerError::Overloaded => Self::Overloaded,
            AnswerError::Stopping => Self::Stopping,
        }
    }
}

impl From<SessionError> for Error {
    fn from(error: SessionError) -> Self {
        let text = error.to_string();
        match error {
            SessionError::NoSession => Self::NotFound(text),
            SessionError::OtherIceSession => Self::PreconditionFailed(text),
            SessionError::HalfRestart => Self::Unusable(text),
            SessionError::Overloaded => Self::Overloaded,
            SessionError::Stopping => Self::Stopping,
        }
    }
}

impl Error {
    /// The request's target is none.
    pub fn not_a_url() -> Self {
        let detail = "the URL's path must begin with a slash, and characters beyond ASCII must be encoded in it";
        Self::Malformed(detail.into())
    }

    /// The same; of a stream that is not there, with those that are.
    #[must_use]
    pub fn naming<'a>(self, streams: impl Iterator<Item = &'a str>) -> Self {
        let Self::NoStream(name) = self else {
            return self;
        };
        let names: Vec<_> = streams.collect();
        Self::NotFound(match names.is_empty() {
            true => format!("there is no stream {name:?}"),
            false => format!(
                "there is no stream {name:?}; the streams are: {}",
                names.join(", ")
            ),
        })
    }

    fn problem(&self) -> Problem {
        match self {
            Self::NotFound(_) | Self::NoStream(_) => Problem::NotFound,
            Self::MethodNotAllowed(_) => Problem::Method,
            Self::UnsupportedMediaType(_) => Problem::MediaType,
            Self::TooLarge(_) => Problem::TooLarge,
            Self::Timeout => Problem::Timeout,
            Self::Malformed(_) => Problem::Malformed,
            Self::Unusable(_) => Problem::Unusable,
            Self::Values(_) => Problem::Values,
            Self::CameraDown(..) => Problem::CameraDown,
            Self::NoPicture(..) => Problem::NoPicture,
            Self::PreconditionRequired => Problem::PreconditionRequired,
            Self::PreconditionFailed(_) => Problem::PreconditionFailed,
            Self::TooManyRequests(_) => Problem::RequestRate,
            Self::Full(limit) => (*limit).into(),
            Self::Overloaded => Problem::Overloaded,
            Self::Stopping => Problem::Stopping,
        }
    }

    /// The limit that was reached, as metrics name it.
    pub const fn limit(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooManyRequests(_) => "request_rate",
            Self::Full(Limit::Viewers) => "viewers",
            Self::Full(Limit::Stream) => "viewers_per_stream",
            Self::Full(Limit::Address) => "viewers_per_address",
            Self::Full(Limit::Setups) => "setups",
            Self::TooLarge(_) => "request_size",
            Self::Timeout => "body_rate",
            _ => return None,
        })
    }

    fn detail(&self) -> String {
        match self {
            Self::NotFound(detail)
            | Self::Malformed(detail)
            | Self::Unusable(detail)
            | Self::PreconditionFailed(detail)
            | Self::CameraDown(detail, _)
            | Self::NoPicture(detail, _) => detail.clone(),
            Self::NoStream(name) => format!("there is no stream {name:?}"),
            Self::Values(wrong) => {
                let each = wrong.iter().map(|(name, why)| format!("{name}: {why}"));
                let each = each.collect::<Vec<_>>().join("; ");
                format!("{each}; nothing was changed")
            }
            Self::PreconditionRequired => {
                "name the ICE session with If-Match: its ETag, or * for a restart".into()
            }
            Self::MethodNotAllowed(methods) => format!("this URL accepts {}", names_of(methods)),
            Self::UnsupportedMediaType(expected) => {
                format!("the body must be sent with content-type: {expected}")
            }
            Self::TooLarge(limit) => format!("the body is larger than {} KiB", limit / 1024),
            Self::Timeout => "the body did not arrive in time".into(),
            Self::TooManyRequests(_) => "too many requests from your address; slow down".into(),
            Self::Full(full) => full.to_string(),
            Self::Overloaded => "the server is overloaded; try again soon".into(),
            Self::Stopping => "the server is stopping".into(),
        }
    }

    /// The header that tells a client what to do instead.
    fn header(&self) -> Option<(HeaderName, String)> {
        match self {
            Self::MethodNotAllowed(methods) => Some((header::ALLOW, names_of(methods))),
            // RFC 5789, 2.2, for a patch.
            Self::UnsupportedMediaType(FRAGMENT) => Some((ACCEPT_PATCH, FRAGMENT.to_owned())),
            Self::UnsupportedMediaType(expected) => Some((ACCEPT_POST, (*expected).to_owned())),
            Self::CameraDown(_, wait) | Self::NoPicture(_, wait) | Self::TooManyRequests(wait) => {
                Some(retry_after(*wait))
            }
            Self::Full(Limit::Setups) | Self::Overloaded => {
                Some(retry_after(Duration::from_secs(1)))
            }
            Self::Full(_) => Some(retry_after(Duration::from_secs(10))),
            Self::Stopping => Some(retry_after(Duration::from_secs(5))),
            _ => None,
        }
    }
}

/// Whole seconds, one at least: 0 would invite to ask at once (RFC 9110, 10.2.3).
fn retry_after(wait: Duration) -> (HeaderName, String) {
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    (header::RETRY_AFTER, seconds.to_string())
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        let mut reply = match &error {
            Error::Values(wrong) => error.problem().reply_with(&error.detail(), Some(wrong)),
            _ => error.problem().reply(&error.detail()),
        };
        if let Some((name, value)) = error.header() {
            set(&mut reply, name, &value);
        }
        reply
    }
}

/// A reply of the given type that no cache keeps.
pub fn typed(content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()).boxed_unsync());
    let headers = reply.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, value(content_type));
    headers.insert(header::CACHE_CONTROL, value("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    reply
}

/// A reply without an end. It is of use while it comes, so nobody is to keep it, nor to collect it on its way.
pub fn endless(content_type: &'static str, body: UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut reply = Response::new(body);
    set(&mut reply, header::CONTENT_TYPE, content_type);
    set(&mut reply, header::CACHE_CONTROL, "no-store");
    // A proxy that collects a reply before it passes it on would never pass this one on (nginx).
    let name = HeaderName::from_static("x-accel-buffering");
    set(&mut reply, name, "no");
    reply
}

/// No body.
pub fn empty() -> UnsyncBoxBody<Bytes, Infallible> {
    UnsyncBoxBody::default()
}

/// Done, and nothing to say.
pub fn no_content() -> Reply {
    let mut reply = Response::new(empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    set(&mut reply, header::CACHE_CONTROL, "no-store");
    reply
}

/// A line for people.
pub fn text(body: &'static str) -> Reply {
    typed("text/plain; charset=utf-8", body)
}

/// A value for programs.
pub fn json(value: &impl Serialize) -> Reply {
    // Only maps with keys that are not strings fail, and nothing here has such.
    let body = serde_json::to_vec(value).unwrap_or_default();
    typed("application/json", body)
}

/// The thing is elsewhere, for good.
pub fn moved(location: &str) -> Reply {
    let mut reply = text("moved; follow the Location header\n");
    *reply.status_mut() = StatusCode::PERMANENT_REDIRECT;
    set(&mut reply, header::LOCATION, location);
    reply
}

/// Sets a header whose value is ours; one that HTTP can't carry is left out.
pub fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// What `Allow` says.
pub fn names_of(methods: &[Method]) -> String {
    let names = methods.iter().map(Method::as_str);
    names.chain(["OPTIONS"]).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_exposed_before_it_is_reached() {
        let none = Duration::ZERO;
        let limits = [Limit::Viewers, Limit::Stream, Limit::Address, Limit::Setups];
        let errors = [
            Error::TooManyRequests(none),
            Error::TooLarge(1),
            Error::Timeout,
        ];
        let errors = errors.into_iter().chain(limits.map(Error::Full));
        let mut count = 0;
        for limit in errors.filter_map(|error| error.limit()) {
            assert!(LIMITS.contains(&limit), "{limit}");
            count += 1;
        }
        assert_eq!(count, 7);
    }
}
