//! Plain HTTP where there is HTTPS: the way there, and the certificate that makes a browser trust it.

use crate::access::judge::Host;
use crate::http::exchange::problem::Problem;
use crate::http::exchange::respond::{self, Reply};
use crate::http::exchange::{gate, route};
use bytes::Bytes;
use hyper::{Method, Request, header};

/// Where HTTPS is.
pub struct Target {
    /// Its port, where that is another than the one that was asked.
    pub port: Option<u16>,
    /// The certificate of the authority that has to be trusted, if it is our own.
    pub authority: Option<Bytes>,
}

/// The certificate of our own authority, in DER: browsers offer to trust it.
pub fn authority(der: impl Into<Bytes>) -> Reply {
    let mut reply = respond::typed("application/x-x509-ca-cert", der);
    let name = "attachment; filename=\"fanlight-ca.crt\"";
    respond::set(&mut reply, header::CONTENT_DISPOSITION, name);
    reply
}

/// The way to HTTPS, for a request of plain HTTP. A request that sends something, or a token, is refused: it may have been a
/// secret, and its sender is better told than led on silently.
pub fn redirect<B>(request: &Request<B>, to: &Target) -> Reply {
    let reply = match (request.uri().path(), &to.authority) {
        _ if !route::is_url(request.uri()) => respond::Error::not_a_url().into(),
        ("/ca.crt", Some(der)) => authority(der.clone()),
        _ => elsewhere(request, to.port),
    };
    gate::harden(reply)
}

fn elsewhere<B>(request: &Request<B>, port: Option<u16>) -> Reply {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts
        .next()
        .and_then(|host| Host::parse(host.to_str().ok()?));
    let Some(host) = host.filter(|_| hosts.next().is_none()) else {
        return Problem::Host.reply("the request has no valid Host header");
    };
    let written = host.port.filter(|_| port.is_none());
    let place = match port.filter(|port| *port != 443).or(written) {
        Some(port) => format!("{}:{port}", host.name),
        None => host.name.to_owned(),
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let detail = format!("this server accepts HTTPS only: https://{place}");
        return Problem::HttpsOnly.reply(&detail);
    }
    if gate::has_token(request) || request.headers().contains_key(header::AUTHORIZATION) {
        let detail = format!(
            "a token was sent in the clear, where others may have read it; send it to https://{place} only, and \
             renew it with `fanlight url --renew` if the network is not yours alone"
        );
        return Problem::HttpsOnly.reply(&detail);
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    respond::moved(&format!("https://{place}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, host: &str, port: Option<u16>) -> (u16, String) {
        let request = Request::builder().method(method).uri("/cam?a=1");
        let request = request.header("host", host).body(()).unwrap();
        let authority = None;
        let reply = redirect(&request, &Target { port, authority });
        let location = reply.headers().get("location");
        let location = location.map_or("", |value| value.to_str().unwrap());
        (reply.status().as_u16(), location.to_owned())
    }

    #[test]
    fn what_no_location_can_say_is_refused() {
        let request = Request::get("/c\u{e4}m").header("host", "cam.lan");
        let to = Target {
            port: None,
            authority: None,
        };
        let reply = redirect(&request.body(()).unwrap(), &to);
        assert_eq!(reply.status(), 400);
    }

    #[test]
    fn the_way_to_https_keeps_name_and_path() {
        for (host, port, location) in [
            ("cam.lan:8080", None, "https://cam.lan:8080/cam?a=1"),
            ("cam.lan:8080", Some(8443), "https://cam.lan:8443/cam?a=1"),
            ("cam.lan", Some(443), "https://cam.lan/cam?a=1"),
            ("[fd00::1]", Some(8443), "https://[fd00::1]:8443/cam?a=1"),
            ("[fd00::1]:80", Some(443), "https://[fd00::1]/cam?a=1"),
        ] {
            let told = ask(Method::GET, host, port);
            assert_eq!(told, (308, location.to_owned()), "{host}");
        }
        assert_eq!(ask(Method::POST, "cam.lan", None).0, 403);
        for host in [
            "",
            "evil.example/?",
            "a@b",
            "a b",
            "[evil",
            "[evil]",
            "evil]",
            "[::1]x",
            "a:b",
            ":80",
        ] {
            assert_eq!(ask(Method::GET, host, None).0, 400, "{host}");
        }
    }

    #[test]
    fn a_token_in_the_clear_is_refused_with_a_word() {
        let to = Target {
            port: None,
            authority: None,
        };
        let of = |uri: &str, header: Option<(&str, &str)>| {
            let mut request = Request::get(uri).header("host", "cam.lan");
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            let reply = redirect(&request.body(()).unwrap(), &to);
            (
                reply.status().as_u16(),
                reply.headers().contains_key("location"),
            )
        };
        assert_eq!(of("/cam?token=x", None), (403, false));
        assert_eq!(of("/cam?a=1&token=x", None), (403, false));
        assert_eq!(of("/", Some(("authorization", "Bearer x"))), (403, false));
        assert_eq!(of("/cam?tokens=x", None), (308, true));
    }

    #[test]
    fn a_target_that_is_no_path_and_a_second_host_are_refused() {
        let to = Target {
            port: None,
            authority: None,
        };
        let star = Request::get("*")
            .header("host", "cam.lan")
            .body(())
            .unwrap();
        assert_eq!(redirect(&star, &to).status(), 400);
        let two = Request::get("/")
            .header("host", "cam.lan")
            .header("host", "evil");
        assert_eq!(redirect(&two.body(()).unwrap(), &to).status(), 400);
    }
}
