//! The gate before every resource: what a request needs a proof for, what it is told when it has none, and how a link
//! becomes a cookie. `access/` judges.

use super::assets;
use super::problem::Problem;
use super::respond::{self, Reply};
use super::route::Resource;
use crate::access::Denial;
use crate::access::judge::{self, Grant, Now, Refusal, Scope, Target, cookie};
use crate::http::{Connection, Context};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use std::time::Duration;

/// What has to be allowed for a resource; `None` if there is nothing to protect.
fn need<'a>(context: &'a Context, resource: &Resource<'a>) -> Option<(Scope, Target<'a>)> {
    // Without a name the default stream is meant.
    let stream = |name: Option<&'a str>| {
        let default = || context.streams.default_stream().map(|stream| stream.name());
        name.or_else(default).map_or(Target::Any, Target::Stream)
    };
    match *resource {
        Resource::Asset(_) | Resource::Authority | Resource::Health | Resource::Ready => None,
        Resource::Metrics | Resource::Viewers | Resource::Viewer(_) => {
            Some((Scope::Admin, Target::Daemon))
        }
        Resource::Controls(name) => Some((Scope::Admin, Target::Stream(name))),
        Resource::Page(None) | Resource::Index | Resource::Streams | Resource::Changes => {
            Some((Scope::View, Target::Any))
        }
        Resource::Page(Some(name))
        | Resource::PageWithSlash(name)
        | Resource::Stream(name)
        | Resource::Session { stream: name, .. }
        | Resource::EventStreams { stream: name, .. }
        | Resource::EventStream { stream: name, .. } => Some((Scope::View, Target::Stream(name))),
        // As for the session itself. One that nobody knows is nobody's stream, and everybody's.
        Resource::Doctor(session) => {
            let stream = context.plane.stream_of(session);
            let stream = stream.and_then(|name| context.streams.get(&name));
            let target = stream.map_or(Target::Any, |stream| Target::Stream(stream.name()));
            Some((Scope::View, target))
        }
        Resource::Whep(name)
        | Resource::JsonOffer(name)
        | Resource::Mjpeg(name)
        | Resource::Jpeg(name) => Some((Scope::View, stream(name))),
    }
}

/// What the sender of a request may do; or the reply that it gets instead of what it asked for.
pub async fn admit<B>(
    context: &Context,
    resource: &Resource<'_>,
    request: &Request<B>,
    connection: Connection,
) -> Result<Grant, Box<Reply>> {
    let Some((scope, target)) = need(context, resource) else {
        return Ok(Grant::everything());
    };
    let now = Now::system();
    let is_for_page = matches!(resource, Resource::Page(_) | Resource::PageWithSlash(_));
    let facts = facts(context, request, connection, is_for_page);
    let grant = match context.access.judge(&facts, scope, target, now).await {
        Ok(grant) => grant,
        Err(denial) => return Err(Box::new(refuse(context, denial, &facts))),
    };
    let Ok(Some(token)) = facts.presented() else {
        return Ok(grant);
    };
    if !(is_for_page && facts.is_safe && has_token(request)) {
        return Ok(grant);
    }
    let access = &context.access;
    let takes_cookie = !access.is_open() && !access.has_longer_cookie(&facts, &grant, now);
    let cookie =
        takes_cookie.then(|| cookie::set(&context.cookie, token, &grant, now, facts.way()));
    match resource {
        // Browsers may keep a framed page from having cookies. It keeps the token itself, and takes it out of its address.
        Resource::Page(stream) if may_be_framed(context, request) => Err(Box::new(with_cookie(
            assets::page(context, *stream),
            cookie,
        ))),
        _ => Err(Box::new(with_cookie(without_token(request), cookie))),
    }
}

fn with_cookie(mut reply: Reply, cookie: Option<String>) -> Reply {
    if let Some(cookie) = cookie {
        respond::set(&mut reply, header::SET_COOKIE, &cookie);
    }
    reply
}

/// Whether the page may be for a frame. Browsers say so with HTTPS and on loopback (W3C Fetch Metadata, 2.1); over plain HTTP
/// they say nothing, and whether a browser asks is all that is known.
fn may_be_framed<B>(context: &Context, request: &Request<B>) -> bool {
    if context.frame_ancestors.is_empty() {
        return false;
    }
    match request.headers().get("sec-fetch-dest") {
        Some(destination) => matches!(destination.as_bytes(), b"iframe" | b"frame"),
        None => assets::is_for_people(request.headers()),
    }
}

fn facts<'a, B>(
    context: &'a Context,
    request: &'a Request<B>,
    connection: Connection,
    is_for_page: bool,
) -> judge::Request<'a> {
    let headers = request.headers().iter();
    judge::Request {
        peer: Some(connection.peer),
        is_tls: connection.is_secure,
        is_safe: matches!(*request.method(), Method::GET | Method::HEAD),
        is_for_page,
        query: request.uri().query(),
        headers: headers
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect(),
        cookie: &context.cookie,
    }
}

/// Whether the URL of a request has a token in it.
pub fn has_token<B>(request: &Request<B>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|part| part.starts_with("token="))
}

/// To the same page without the token in its address, which people see, keep and pass on.
pub fn without_token<B>(request: &Request<B>) -> Reply {
    let uri = request.uri();
    // Relative, so that it is right below a path prefix too.
    let (place, page) = match uri.path().strip_suffix('/') {
        Some("") | None => ("./", uri.path().rsplit('/').next().unwrap_or_default()),
        Some(path) => ("../", path.rsplit('/').next().unwrap_or_default()),
    };
    let query = uri.query().unwrap_or_default().split('&');
    let rest: Vec<_> = query.filter(|part| !part.starts_with("token=")).collect();
    let mark = if rest.is_empty() { "" } else { "?" };
    let mut reply = respond::text("moved; follow the Location header\n");
    *reply.status_mut() = StatusCode::SEE_OTHER;
    let location = format!("{place}{page}{mark}{}", rest.join("&"));
    respond::set(&mut reply, header::LOCATION, &location);
    reply
}

/// RFC 6750, 3 and 3.1. People get the page, which says what to do, and programs a problem (RFC 9457).
fn refuse(
    context: &Context,
    Denial { refusal, wait }: Denial,
    request: &judge::Request<'_>,
) -> Reply {
    let (status, challenge, detail) = match refusal {
        _ if wait.is_some() => (
            StatusCode::TOO_MANY_REQUESTS,
            None,
            "too many wrong tokens came from your address; wait, then try again with a valid one".to_owned(),
        ),
        Refusal::Missing => (
            StatusCode::UNAUTHORIZED,
            Some(String::new()),
            "a token or a link is required; run `fanlight url` on the camera's machine to get one"
                .to_owned(),
        ),
        Refusal::Invalid(flaw) => {
            let description = flaw.sentence();
            let error = format!(", error=\"invalid_token\", error_description=\"{description}\"");
            (StatusCode::UNAUTHORIZED, Some(error), description.to_owned())
        }
        Refusal::Ambiguous => (
            StatusCode::BAD_REQUEST,
            Some(", error=\"invalid_request\"".to_owned()),
            "the request has more than one token; send only one, in the header or in the URL".to_owned(),
        ),
        Refusal::Malformed(header) => (
            StatusCode::BAD_REQUEST,
            None,
            format!("the header {header} is repeated or is not ASCII; send it once"),
        ),
        Refusal::Scope(scope) => {
            let scope = scope.name();
            let error = format!(", error=\"insufficient_scope\", scope=\"{scope}\"");
            let detail = format!("this token or link does not have the permission `{scope}` here");
            (StatusCode::FORBIDDEN, Some(error), detail)
        }
        Refusal::Foreign => (
            StatusCode::FORBIDDEN,
            None,
            "the request comes from a page of another site, where cookies are not accepted; that page needs a token of its \
             own, or add its origin to [http] cors_origins"
                .to_owned(),
        ),
        // RFC 9110, 15.5.20: the browser was led here under a name that is not ours.
        Refusal::Host => (
            StatusCode::MISDIRECTED_REQUEST,
            None,
            "the host name in the request is not one of this server's; open the server by its IP address, or add the name \
             to [http] hosts"
                .to_owned(),
        ),
    };
    let has_page = request.is_for_page && request.is_safe && refusal != Refusal::Host;
    let mut reply = if has_page {
        assets::page(context, None)
    } else {
        match wait {
            Some(_) => Problem::WrongTokens,
            None => refusal.into(),
        }
        .reply(&detail)
    };
    *reply.status_mut() = status;
    if let Some(error) = challenge {
        let challenge = format!("Bearer realm=\"fanlight\"{error}");
        respond::set(&mut reply, header::WWW_AUTHENTICATE, &challenge);
    }
    if let Some(wait) = wait {
        let seconds = wait.max(Duration::from_secs(1)).as_secs();
        respond::set(&mut reply, header::RETRY_AFTER, &seconds.to_string());
    }
    reply
}

/// What every reply says: that it is what its type says, and, but for the page, that it is no page.
pub fn harden(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    }
    let name = HeaderName::from_static("referrer-policy");
    headers.insert(name, HeaderValue::from_static("no-referrer"));
    reply
}
