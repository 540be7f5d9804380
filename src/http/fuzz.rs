//! The head of a request, as a fuzz target: what is read of it before anybody is asked who sends it. See [`crate::fuzz`].

use super::Cors;
use super::exchange::assets;
use super::exchange::https_redirect;
use super::exchange::route::Resource;
use super::exchange::{gate, respond, route};
use super::resources::session::Condition;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};

const ORIGIN: &str = "https://example.org";

/// Such as `GET /cam HTTP/1.1` and header lines, as far as a request can be made of them.
pub fn request(data: &[u8]) {
    let Some(request) = read(data) else { return };
    let (headers, path) = (request.headers(), request.uri().path());
    let condition = Condition::of(headers);
    assert_eq!(
        condition == Condition::None,
        !headers.contains_key(header::IF_MATCH)
    );
    let _ = condition.holds("tag");
    for port in [None, Some(443), Some(8443)] {
        let reply = https_redirect::redirect(
            &request,
            &https_redirect::Target {
                port,
                authority: None,
            },
        );
        let is_redirect = reply.status() == StatusCode::PERMANENT_REDIRECT;
        assert_eq!(is_redirect, location(reply.headers()).is_some());
        if let Some(location) = location(reply.headers()) {
            let host = location.strip_prefix("https://").expect("to HTTPS");
            let own = headers[header::HOST].to_str().expect("it was read");
            let name = own.split(':').next().unwrap_or_default();
            assert!(host.starts_with(name), "{location} is not at {own}");
        }
    }
    if !route::is_url(request.uri()) {
        return;
    }
    let Some(resource) = Resource::decode(path) else {
        return;
    };
    assert!(!resource.methods().is_empty() && !resource.name().is_empty());
    if let Resource::Session { stream, id } = resource {
        assert!(!stream.contains('/') && !id.contains('/'));
    }
    if let Resource::Asset(name) = resource {
        let _ = assets::asset(name, headers);
    }
    if let Resource::Page(_) | Resource::PageWithSlash(_) = resource {
        let reply = gate::without_token(&request);
        let location = location(reply.headers()).expect("a place to go to");
        // On this server, and without what was to be taken away.
        assert!(
            location.starts_with("./") || location.starts_with("../"),
            "{location}"
        );
        let query = location.split_once('?').map_or("", |(_, query)| query);
        assert!(query.split('&').all(|part| !part.starts_with("token=")));
    }
    let cors = Cors::new(vec![ORIGIN.to_owned()]);
    let mut reply = cors.preflight(&resource);
    cors.apply(&mut reply, &resource, headers.get(header::ORIGIN));
    if let Some(allowed) = reply.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        assert!(allowed == ORIGIN && resource.is_shared());
    }
    // What is told of a path stands in JSON.
    let error = respond::Error::NotFound(format!("there is nothing at {path}"));
    let _: respond::Reply = error.into();
}

fn location(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::LOCATION)?.to_str().ok()
}

fn read(data: &[u8]) -> Option<Request<()>> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(words.next()?).ok()?;
    *request.uri_mut() = Uri::try_from(words.next()?).ok()?;
    for line in lines {
        let at = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..at], line[at + 1..].trim_ascii());
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}
