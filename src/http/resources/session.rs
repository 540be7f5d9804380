//! A WHEP session's own URL: asking for it, its ICE fragments, its end.

use crate::http::exchange::body::body;
use crate::http::exchange::respond::{self, Error, FRAGMENT, Reply};
use crate::http::{Connection, Context};
use crate::rtc::Fragment;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use std::time::Instant;

/// `GET`: it has no representation (draft-ietf-wish-whep-03, 4.1).
pub fn get(context: &Context, stream: &str, id: &str) -> Result<Reply, Error> {
    if context.plane.has(stream, id) {
        Ok(respond::no_content())
    } else {
        Err(no_session())
    }
}

/// `PATCH` with an ICE fragment: more candidates, or a restart (4.4).
pub async fn patch(
    context: &Context,
    stream: &str,
    id: &str,
    request: Request<Incoming>,
    from: Connection,
) -> Result<Reply, Error> {
    let now = Instant::now();
    if !context.plane.has(stream, id) {
        // Guesses count as all requests from an address do.
        let asked = context.clients.request(from.peer, now);
        asked.map_err(Error::TooManyRequests)?;
        return Err(no_session());
    }
    let asked = context.patches.take(id, now);
    asked.map_err(Error::TooManyRequests)?;
    let condition = Condition::of(request.headers());
    let text = body(request, FRAGMENT, &context.limits).await?;
    let fragment = Fragment::parse(&text).map_err(|problem| Error::Malformed(problem.into()))?;
    // RFC 9110, 13.2.1: conditions come after everything else that could be wrong.
    if condition == Condition::None && context.whep.require_if_match {
        return Err(Error::PreconditionRequired);
    }
    if context.plane.is_restart(stream, id, &fragment) {
        let asked = context.clients.request(from.peer, now);
        asked.map_err(Error::TooManyRequests)?;
    }
    let is_meant = |tag: &str| condition.holds(tag);
    let patched = context
        .plane
        .patch(stream, id, fragment, is_meant, from.reached)?;
    let Some(restarted) = patched else {
        // 4.4.2: no entity tag.
        return Ok(respond::no_content());
    };
    let mut reply = respond::typed(FRAGMENT, restarted.fragment);
    let tag = format!("\"{}\"", restarted.tag);
    respond::set(&mut reply, header::ETAG, &tag);
    Ok(reply)
}

/// `DELETE` (4.3). Entity tags do not matter to it (4.4.1).
pub fn delete(context: &Context, stream: &str, id: &str) -> Result<Reply, Error> {
    context.plane.end(stream, id)?;
    Ok(respond::text("the session has ended\n"))
}

fn no_session() -> Error {
    Error::NotFound("there is no such session".into())
}

/// What `If-Match` says (RFC 9110, 13.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It is not there.
    None,
    /// `*`: any ICE session.
    Any,
    /// One with one of these entity tags.
    Tags(Vec<String>),
}

impl Condition {
    /// That of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut tags = Vec::new();
        let mut is_there = false;
        for value in headers.get_all(header::IF_MATCH) {
            is_there = true;
            let value = value.to_str().unwrap_or_default();
            for tag in value.split(',').map(str::trim) {
                // The draft's own examples, and so clients, write the star in quotes.
                if tag == "*" || tag == "\"*\"" {
                    return Self::Any;
                }
                // Weak tags match nothing here (RFC 9110, 8.8.3.2). Tags of ours have no commas.
                tags.push(tag.to_owned());
            }
        }
        if is_there {
            Self::Tags(tags)
        } else {
            Self::None
        }
    }

    /// Whether an ICE session with that tag is meant. Where nothing is said, the one that there is.
    pub fn holds(&self, tag: &str) -> bool {
        let quoted = |given: &String| {
            let inner = given
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'));
            inner == Some(tag)
        };
        match self {
            Self::None | Self::Any => true,
            Self::Tags(tags) => tags.iter().any(quoted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_names_tags_or_all() {
        let condition = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_MATCH, value.parse().unwrap());
            }
            Condition::of(&headers)
        };
        assert_eq!(condition(&[]), Condition::None);
        assert_eq!(condition(&["*"]), Condition::Any);
        assert_eq!(condition(&["\"*\""]), Condition::Any);
        for (values, expected) in [
            (&["\"a\""][..], true),
            (&["\"b\" , \"a\""], true),
            (&["\"b\"", "\"a\""], true),
            (&["\"b\""], false),
            (&["W/\"a\""], false),
            (&["a"], false),
            (&[""], false),
            (&["\""], false),
        ] {
            assert_eq!(condition(values).holds("a"), expected, "{values:?}");
        }
    }
}
