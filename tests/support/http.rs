//! HTTP as plain as it gets: what is sent and what comes back is under the test's control, and no library's.

use super::DEADLINE;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A complete reply.
#[derive(Debug)]
pub struct Reply {
    /// Such as 200.
    pub status: u16,
    head: String,
    /// Everything after the headers; what is no text in it is replaced.
    pub body: String,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own. `Host` names the server unless it is among the headers.
///
/// # Errors
/// When nobody answers, or with something that is not HTTP.
pub fn request(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    let mut stream = TcpStream::connect_timeout(&server, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if headers.iter().all(|(name, _)| *name != "host") {
        head += &format!("host: {server}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    let reply = String::from_utf8_lossy(&reply);
    parse(&reply).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, reply.into_owned()))
}

/// `GET`, which must be answered.
pub fn get(server: SocketAddr, path: &str) -> Reply {
    request(server, "GET", path, &[], &[]).unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

fn parse(reply: &str) -> Option<Reply> {
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let (version, status) = head.lines().next()?.split_once(' ')?;
    Some(Reply {
        status: status.get(..3)?.parse().ok()?,
        head: head.strip_prefix(version)?.to_owned(),
        body: body.to_owned(),
    })
}
