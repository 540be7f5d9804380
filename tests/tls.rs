//! HTTPS with a real client: files that change, the daemon's own authority, and the way from plain HTTP.

#[path = "interop/offer.rs"]
#[expect(dead_code, reason = "this test needs one offer")]
mod offer;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use support::daemon::Daemon;
use support::scratch::Scratch;
use support::{DEADLINE, eventually, http};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Connects to a server that has to prove to be `localhost` by a certificate that leads to this one.
fn connect(server: SocketAddr, root: &CertificateDer<'static>) -> std::io::Result<Connection> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut connection = StreamOwned::new(client, stream);
    connection.conn.complete_io(&mut connection.sock)?;
    Ok(connection)
}

/// One request on a connection that goes on: the head of the reply.
fn ask(connection: &mut Connection, request: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n");
    let kind = "content-type: application/sdp\r\n\r\n";
    connection
        .write_all((head + kind + body).as_bytes())
        .unwrap();
    let mut reply = Vec::new();
    let end = loop {
        let mut part = [0; 4096];
        let len = connection.read(&mut part).unwrap();
        assert_ne!(len, 0, "the connection ended");
        reply.extend_from_slice(&part[..len]);
        if let Some(end) = reply.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: "));
    let left = length.map_or(0, |length| length.parse::<usize>().unwrap()) + end - reply.len();
    connection.read_exact(&mut vec![0; left]).unwrap();
    head
}

struct Pair {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
}

fn pair() -> Pair {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Pair {
        chain: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
        der: made.cert.der().clone(),
    }
}

#[test]
fn a_certificate_that_changes_on_disk_is_taken_up_and_nobody_is_dropped() {
    let scratch = Scratch::new();
    let (first, second) = (pair(), pair());
    let chain = scratch.write("chain.pem", &first.chain);
    let key = scratch.write("key.pem", &first.key);
    let config = format!(
        "[auth]\nmode = \"none\"\n[tls]\ncertificate = {chain:?}\nkey = {key:?}\n[[stream]]\nname = \"cam\"\npattern = true\n"
    );
    let daemon = Daemon::configured(&config);
    let server = daemon.address();
    let mut before = connect(server, &first.der).unwrap();
    let page = ask(&mut before, "GET /", "");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let created = ask(&mut before, "POST /cam/whep", &offer::plain());
    assert!(created.starts_with("HTTP/1.1 201"), "{created}");
    assert!(connect(server, &second.der).is_err());

    // Not at once, as a renewal does it.
    scratch.write("chain.pem", &second.chain);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("half a change to be noticed", async || {
        connect(server, &first.der).map_err(|error| error.to_string())?;
        let log = daemon.log();
        let is_told = log.contains("the old certificate stays in use");
        is_told.then_some(()).ok_or(log)
    }));
    scratch.write("key.pem", &second.key);
    let mut after = runtime.block_on(eventually("the new certificate", async || {
        connect(server, &second.der).map_err(|error| error.to_string())
    }));
    assert!(ask(&mut after, "GET /api/streams", "").starts_with("HTTP/1.1 200"));
    assert!(connect(server, &first.der).is_err());
    let still = ask(&mut before, "GET /api/streams", "");
    assert!(still.starts_with("HTTP/1.1 200"), "{still}");
}

#[test]
fn without_a_certificate_the_daemon_makes_its_own_and_hands_out_what_to_trust() {
    let config = "[tls]\nself_signed = true\n[[stream]]\nname = \"cam\"\npattern = true\n";
    let mut daemon = Daemon::configured(config);
    let server = daemon.address();
    assert!(daemon.url("/").starts_with("https://"));
    let authority = |server| {
        let mut stream = TcpStream::connect(server).unwrap();
        let head = "GET /ca.crt HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let end = reply
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8_lossy(&reply[..end]).into_owned();
        assert!(head.contains("application/x-x509-ca-cert"), "{head}");
        CertificateDer::from(reply[end + 4..].to_vec())
    };
    let root = authority(server);
    let mut connection = connect(server, &root).unwrap();
    let link = fs::read_to_string(daemon.state_dir().join("token")).unwrap();
    let head = ask(
        &mut connection,
        &format!("GET /cam?token={}", link.trim()),
        "",
    );
    assert!(head.starts_with("HTTP/1.1 303"), "{head}");
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.unwrap();
    assert!(cookie.starts_with("__Host-fanlight-"), "{cookie}");
    assert!(
        cookie.ends_with("; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );

    let url = std::process::Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .args(["url", "--state-dir"])
        .arg(daemon.state_dir())
        .output()
        .unwrap();
    let told = String::from_utf8(url.stdout).unwrap();
    let print = ::ring::digest::digest(&::ring::digest::SHA256, &root);
    let print = print.as_ref().iter().map(|byte| format!("{byte:02X}"));
    let print = print.collect::<Vec<_>>().join(":");
    assert!(told.contains(&format!("SHA-256 {print}")), "{told}");

    daemon.terminate();
    daemon.start_again();
    assert_eq!(authority(server), root, "made once");
    connect(server, &root).unwrap();
}

#[test]
fn plain_http_is_sent_to_https() {
    let config = "[tls]\nself_signed = true\nredirect = \"127.0.0.1:0\"\n\
        [[stream]]\nname = \"cam\"\npattern = true\n";
    let daemon = Daemon::configured(config);
    let server = daemon.address();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let second = runtime.block_on(eventually("the second address", async || {
        let log = daemon.log();
        let second = log.split_once("redirect=").map(|(_, rest)| rest);
        let second = second.and_then(|rest| rest.split_whitespace().next());
        second.and_then(|text| text.parse().ok()).ok_or(log)
    }));
    let reply = http::get(second, "/cam");
    let location = format!("https://{server}/cam");
    assert_eq!(reply.header("location"), Some(location.as_str()));
    let reply = http::get(server, "/cam?a=1");
    assert_eq!(reply.status, 308);
    let location = format!("https://{server}/cam?a=1");
    assert_eq!(reply.header("location"), Some(location.as_str()));
    let reply = http::request(server, "POST", "/whep", &[], b"").unwrap();
    assert_eq!(reply.status, 403, "{reply:?}");
    // A token that crossed the network in the clear is not led on as if nothing had happened.
    let bearer = [("authorization", "Bearer x")];
    for (path, headers) in [("/cam?token=x", &[] as &[_]), ("/cam", &bearer)] {
        let reply = http::request(server, "GET", path, headers, b"").unwrap();
        assert_eq!(reply.status, 403, "{reply:?}");
        assert_eq!(reply.header("location"), None);
        let detail = reply.json()["detail"].to_string();
        assert!(detail.contains(&format!("https://{server}")), "{detail}");
    }
    for (path, host) in [("*", "cam.lan"), ("/cam", "[evil")] {
        let reply = http::request(server, "GET", path, &[("host", host)], b"").unwrap();
        assert_eq!(reply.status, 400, "{path} {host}");
    }
    // Neither is TLS, and what hangs on the line costs nobody else.
    let mut garbage = TcpStream::connect(server).unwrap();
    garbage.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    let mut rest = Vec::new();
    let _ = garbage.read_to_end(&mut rest);
    let _silent = TcpStream::connect(server).unwrap();
    assert_eq!(http::get(server, "/").status, 308);
}
