//! Plain HTTP where there is HTTPS: the way there, and the certificate that makes a browser trust it.

use super::problem::Problem;
use super::respond::{self, Reply};
use super::{gate, route};
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

/// Whatever was asked, it is to be had over HTTPS. Who reads is sent there; who sends something is not, since it may have
/// been a secret, and is better told.
pub fn redirect<B>(request: &Request<B>, to: &Target) -> Reply {
    let reply = match (request.uri().path(), &to.authority) {
        _ if !route::is_url(request.uri()) => respond::Error::not_a_url().into(),
        ("/ca.crt", Some(der)) => authority(der.clone()),
        _ => elsewhere(request, to.port),
    };
    gate::harden(reply)
}

fn elsewhere<B>(request: &Request<B>, port: Option<u16>) -> Reply {
    let host = request.headers().get(header::HOST);
    let Some(host) = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| is_host(host))
    else {
        return Problem::Host.reply("the request has no Host that is one");
    };
    let host = match port {
        None => host.to_owned(),
        Some(443) => without_port(host).to_owned(),
        Some(port) => format!("{}:{port}", without_port(host)),
    };
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let location = format!("https://{host}{path}");
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let detail = format!("this server speaks HTTPS only: https://{host}");
        return Problem::HttpsOnly.reply(&detail);
    }
    respond::moved(&location)
}

/// Letters, digits, and what stands in names, addresses and before ports: nothing that would end the host of a URL.
fn is_host(host: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    !host.is_empty() && host.chars().all(is_plain)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
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
        for host in ["", "evil.example/?", "a@b", "a b"] {
            assert_eq!(ask(Method::GET, host, None).0, 400, "{host}");
        }
    }
}
