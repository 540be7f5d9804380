//! The player: its page and files, embedded in the binary.

use crate::http::Context;
use crate::http::exchange::respond::{self, Error, Reply};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

/// Name, type and content of each file of the player.
const ASSETS: &[(&str, &str, &str)] = &[
    asset_of("api.js", include_str!("../../web/api.js")),
    asset_of("controls.js", include_str!("../../web/controls.js")),
    asset_of("doctor.js", include_str!("../../web/doctor.js")),
    asset_of("events.js", include_str!("../../web/events.js")),
    asset_of("fallback.js", include_str!("../../web/fallback.js")),
    asset_of("flaw.js", include_str!("../../web/flaw.js")),
    asset_of("grid.js", include_str!("../../web/grid.js")),
    asset_of("icon.svg", include_str!("../../web/icon.svg")),
    asset_of("layout.js", include_str!("../../web/layout.js")),
    asset_of("live.js", include_str!("../../web/live.js")),
    asset_of("locked.js", include_str!("../../web/locked.js")),
    asset_of("main.js", include_str!("../../web/main.js")),
    asset_of("missing.js", include_str!("../../web/missing.js")),
    asset_of("mjpeg.js", include_str!("../../web/mjpeg.js")),
    asset_of("neighbours.js", include_str!("../../web/neighbours.js")),
    asset_of("notice.js", include_str!("../../web/notice.js")),
    asset_of("panel.js", include_str!("../../web/panel.js")),
    asset_of("panels.css", include_str!("../../web/panels.css")),
    asset_of("player.css", include_str!("../../web/player.css")),
    asset_of("player.js", include_str!("../../web/player.js")),
    asset_of("router.js", include_str!("../../web/router.js")),
    asset_of("screen.js", include_str!("../../web/screen.js")),
    asset_of("snapshot.js", include_str!("../../web/snapshot.js")),
    asset_of("stats.js", include_str!("../../web/stats.js")),
    asset_of("style.css", include_str!("../../web/style.css")),
    asset_of("token.js", include_str!("../../web/token.js")),
    asset_of("trust.html", include_str!("../../web/trust.html")),
    asset_of("verdict.js", include_str!("../../web/verdict.js")),
    asset_of("whep.js", include_str!("../../web/whep.js")),
    asset_of("why.js", include_str!("../../web/why.js")),
    asset_of("words.js", include_str!("../../web/words.js")),
];

const PAGE: &str = include_str!("../../web/index.html");
/// For people who opened a URL at which there is nothing; `UP` leads from there to the front page.
const MISSING: &str = include_str!("../../web/missing.html");

/// Nothing from elsewhere, no inline script, no plug-ins.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'";

const fn asset_of(
    name: &'static str,
    content: &'static str,
) -> (&'static str, &'static str, &'static str) {
    let bytes = name.as_bytes();
    let content_type = match bytes[bytes.len() - 1] {
        b's' if bytes[bytes.len() - 2] == b'j' => "text/javascript; charset=utf-8",
        b's' => "text/css; charset=utf-8",
        b'l' => "text/html; charset=utf-8",
        _ => "image/svg+xml; charset=utf-8",
    };
    (name, content_type, content)
}

/// The page of a stream, or of all. For an unknown stream it comes with 404, and says so itself.
pub fn page(context: &Context, stream: Option<&str>) -> Reply {
    let mut reply = respond::typed("text/html; charset=utf-8", PAGE);
    if stream.is_some_and(|name| context.streams.get(name).is_none()) {
        *reply.status_mut() = StatusCode::NOT_FOUND;
    }
    let headers = reply.headers_mut();
    let value = HeaderValue::from_static;
    let policy = policy(&context.frame_ancestors).try_into();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        policy.unwrap_or_else(|_| value(POLICY)),
    );
    let permissions =
        "fullscreen=*, picture-in-picture=*, camera=(), microphone=(), geolocation=()";
    let name = HeaderName::from_static("permissions-policy");
    headers.insert(name, value(permissions));
    reply
}

/// What a browser shows where there is nothing. Its links are relative, so that they are right below a path prefix too.
pub fn missing(path: &str) -> Reply {
    let up = "../".repeat(path.matches('/').count().saturating_sub(1));
    let page = MISSING.replace("UP/", &up);
    let mut reply = respond::typed("text/html; charset=utf-8", page);
    *reply.status_mut() = StatusCode::NOT_FOUND;
    respond::set(&mut reply, header::CONTENT_SECURITY_POLICY, &policy(&[]));
    reply
}

/// Whether a browser asks for something to show, and no program for data.
pub fn is_for_people(request: &HeaderMap) -> bool {
    let accepted = request.get(header::ACCEPT).map(HeaderValue::as_bytes);
    accepted.is_some_and(|types| types.starts_with(b"text/html"))
}

/// The page's policy, with who may show it in a frame.
fn policy(frame_ancestors: &[String]) -> String {
    let mut policy = format!("{POLICY}; frame-ancestors 'self'");
    for origin in frame_ancestors {
        policy.push(' ');
        policy.push_str(origin);
    }
    policy
}

/// A file. It is kept by caches but asked for again each time, so that an update of the daemon shows at once.
pub fn asset(name: &str, request: &HeaderMap) -> Result<Reply, Error> {
    let (_, content_type, content) = ASSETS
        .iter()
        .find(|(file, ..)| *file == name)
        .ok_or_else(|| Error::NotFound("there is no such file".into()))?;
    let tag = format!("\"{:016x}\"", fingerprint(content));
    let is_known = request
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut reply = if is_known {
        let mut reply = Response::default();
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        reply
    } else {
        respond::typed(content_type, *content)
    };
    if name.ends_with(".html") {
        let policy = policy(&[]);
        respond::set(&mut reply, header::CONTENT_SECURITY_POLICY, &policy);
    }
    respond::set(&mut reply, header::CACHE_CONTROL, "no-cache");
    respond::set(&mut reply, header::ETAG, &tag);
    Ok(reply)
}

/// FNV-1a: tells versions of a file apart.
fn fingerprint(content: &str) -> u64 {
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
