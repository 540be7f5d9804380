//! Problem types (RFC 9457): the table of them, and the only writer of `application/problem+json`. docs/api.md lists every
//! type.

use super::respond::{self, Reply};
use crate::access::judge::Refusal;
use crate::rtc::Limit;
use hyper::{StatusCode, header};
use serde::Serialize;
use std::collections::BTreeMap;

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident;)*) => {
        /// A kind of refusal. Its name is for good: programs compare it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Problem {
            $($(#[$doc])* $variant,)*
        }

        impl Problem {
            /// Every kind.
            #[cfg(test)]
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The last part of its URI.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The status that it comes with.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)*
                }
            }
        }
    };
}

problems! {
    /// The body, or the URL, can't be read.
    Malformed = "malformed", BAD_REQUEST;
    /// `Host` is missing, or is none.
    Host = "bad-host", BAD_REQUEST;
    /// A header that decides is there twice, or is not ASCII.
    BadHeader = "bad-header", BAD_REQUEST;
    /// There is more than one token.
    AmbiguousToken = "ambiguous-token", BAD_REQUEST;
    /// There is no token.
    NoToken = "no-token", UNAUTHORIZED;
    /// The token proves nothing.
    BadToken = "bad-token", UNAUTHORIZED;
    /// The token does not allow this.
    Scope = "insufficient-scope", FORBIDDEN;
    /// A page of another site asks with a proof that the browser added.
    Foreign = "foreign-origin", FORBIDDEN;
    /// Something was sent in plain HTTP where there is HTTPS.
    HttpsOnly = "https-only", FORBIDDEN;
    /// There is no such thing.
    NotFound = "not-found", NOT_FOUND;
    /// The resource has not this method.
    Method = "method-not-allowed", METHOD_NOT_ALLOWED;
    /// The request is for a host that is not ours.
    UnknownHost = "unknown-host", MISDIRECTED_REQUEST;
    /// The body came too slowly.
    Timeout = "body-timeout", REQUEST_TIMEOUT;
    /// The camera is down, and what was asked needs it.
    CameraDown = "camera-down", CONFLICT;
    /// `If-Match` names another ICE session.
    PreconditionFailed = "other-ice-session", PRECONDITION_FAILED;
    /// The body is too long.
    TooLarge = "body-too-large", PAYLOAD_TOO_LARGE;
    /// The body has another type than the resource takes.
    MediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE;
    /// The body can be read, and is of no use.
    Unusable = "unusable", UNPROCESSABLE_ENTITY;
    /// Some values in the body can't be: `errors` says which.
    Values = "invalid-values", UNPROCESSABLE_ENTITY;
    /// `If-Match` is missing.
    PreconditionRequired = "precondition-required", PRECONDITION_REQUIRED;
    /// The client asks too often.
    RequestRate = "request-rate", TOO_MANY_REQUESTS;
    /// Too many tokens from that address were wrong.
    WrongTokens = "too-many-wrong-tokens", TOO_MANY_REQUESTS;
    /// The client's address has as many viewers as it may.
    AddressLimit = "viewers-per-address", TOO_MANY_REQUESTS;
    /// The stream has as many viewers as it may.
    StreamLimit = "viewers-per-stream", SERVICE_UNAVAILABLE;
    /// The daemon has as many viewers as it may.
    ViewerLimit = "viewers", SERVICE_UNAVAILABLE;
    /// Too many viewers are joining.
    SetupLimit = "setups", SERVICE_UNAVAILABLE;
    /// There is no picture of the camera.
    NoPicture = "no-picture", SERVICE_UNAVAILABLE;
    /// There is too much to do.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// The daemon is ending.
    Stopping = "stopping", SERVICE_UNAVAILABLE;
}

impl From<Limit> for Problem {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Viewers => Self::ViewerLimit,
            Limit::Stream => Self::StreamLimit,
            Limit::Address => Self::AddressLimit,
            Limit::Setups => Self::SetupLimit,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::NoToken,
            Refusal::Invalid(_) => Self::BadToken,
            Refusal::Ambiguous => Self::AmbiguousToken,
            Refusal::Malformed(_) => Self::BadHeader,
            Refusal::Host => Self::UnknownHost,
            Refusal::Scope(_) => Self::Scope,
            Refusal::Foreign => Self::Foreign,
        }
    }
}

/// RFC 9457, 3.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    /// By the names that the request gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<&'a BTreeMap<String, String>>,
}

impl Problem {
    /// The reply of this kind, with a sentence about this case.
    pub fn reply(self, detail: &str) -> Reply {
        self.reply_with(detail, None)
    }

    /// The same, with what is wrong with each of the values that the request gave.
    pub fn reply_with(self, detail: &str, errors: Option<&BTreeMap<String, String>>) -> Reply {
        let status = self.status();
        let mut reply = respond::json(&Body {
            kind: format!("urn:fanlight:problem:{}", self.name()),
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail,
            errors,
        });
        *reply.status_mut() = status;
        let content_type = "application/problem+json";
        respond::set(&mut reply, header::CONTENT_TYPE, content_type);
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_lists_every_problem_with_its_status_and_no_other() {
        let reference = include_str!("../../../docs/api.md");
        let section = reference.split("\n## Refusals").nth(1).unwrap();
        let section = section.split("| name | status |").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let listed = rows.map(|row| {
            let mut cells = row.split('|').map(str::trim).skip(1);
            let name = cells.next().unwrap().trim_matches('`').to_owned();
            (name, cells.next().unwrap().parse().unwrap())
        });
        let listed: Vec<(String, u16)> = listed.collect();
        let made = Problem::ALL.iter();
        let made = made.map(|problem| (problem.name().to_owned(), problem.status().as_u16()));
        assert_eq!(listed, made.collect::<Vec<_>>());
    }
}
