//! Pages of other origins (the Fetch standard's CORS): which may watch, and the reply to OPTIONS.

use super::respond::{self, ACCEPT_PATCH, ACCEPT_POST, FRAGMENT, JSON, Reply, SDP};
use super::route::Resource;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

/// The origins that may.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<String>,
    is_open: bool,
}

impl Cors {
    /// Those of the configuration.
    pub fn new(origins: Vec<String>) -> Self {
        Self {
            is_open: origins.iter().any(|origin| origin == "*"),
            origins,
        }
    }

    /// Lets the page that asked read the reply, where the resource is meant for pages and its origin may.
    pub fn apply(&self, reply: &mut Reply, resource: &Resource<'_>, origin: Option<&HeaderValue>) {
        if !resource.is_shared() || self.origins.is_empty() {
            return;
        }
        if self.is_open {
            respond::set(reply, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        } else {
            // A cache must not hand one origin's reply to another.
            respond::set(reply, header::VARY, "origin");
            let known = |origin: &&HeaderValue| {
                let mut known = self.origins.iter();
                known.any(|known| known.as_bytes() == origin.as_bytes())
            };
            let Some(origin) = origin.filter(known) else {
                return;
            };
            let headers = reply.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        // What a WHEP client reads, beyond the few headers that are readable anyway.
        let exposed = "location, etag, link, accept-patch, retry-after, allow";
        respond::set(reply, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }

    /// The reply to OPTIONS (draft-ietf-wish-whep-03, 4.3), a browser's preflight request for one. It tells no secret, so it
    /// wants no authentication: preflight requests can't carry any (4.8.1).
    pub fn preflight(&self, resource: &Resource<'_>) -> Reply {
        let mut reply = Response::new(respond::empty());
        *reply.status_mut() = StatusCode::NO_CONTENT;
        let methods = respond::names_of(resource.methods());
        respond::set(&mut reply, header::ALLOW, &methods);
        match resource {
            Resource::Whep(_) => respond::set(&mut reply, ACCEPT_POST, SDP),
            Resource::JsonOffer(_) | Resource::EventStreams { .. } => {
                respond::set(&mut reply, ACCEPT_POST, JSON);
            }
            Resource::Session { .. } => respond::set(&mut reply, ACCEPT_PATCH, FRAGMENT),
            _ => {}
        }
        if resource.is_shared() && !self.origins.is_empty() {
            let allowed = header::ACCESS_CONTROL_ALLOW_METHODS;
            respond::set(&mut reply, allowed, &methods);
            let headers = "authorization, content-type, if-match";
            respond::set(&mut reply, header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
            respond::set(&mut reply, header::ACCESS_CONTROL_MAX_AGE, "86400");
        }
        reply
    }
}
