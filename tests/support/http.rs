//! HTTP as plain as it gets: what is sent and what comes back is under the test's control, and no library's.

use super::DEADLINE;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The state directories of the daemons that this process started, by where they serve plain HTTP.
static DAEMONS: Mutex<BTreeMap<SocketAddr, PathBuf>> = Mutex::new(BTreeMap::new());

/// Notes where a daemon keeps its token.
pub fn note(server: SocketAddr, state_dir: &Path) {
    let mut daemons = DAEMONS.lock().unwrap_or_else(PoisonError::into_inner);
    daemons.insert(server, state_dir.to_owned());
}

/// The token of the daemon there, as `fanlight token` prints it.
fn token(server: SocketAddr) -> Option<String> {
    let daemons = DAEMONS.lock().unwrap_or_else(PoisonError::into_inner);
    let file = fs::read_to_string(daemons.get(&server)?.join("token")).ok()?;
    Some(file.trim().to_owned())
}

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

/// One request on a connection of its own, of somebody who may read the daemon's token, which goes with it. A request that brings a
/// `Host`, a proof or an `Origin` of its own goes as it is.
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
    let is_own = headers
        .iter()
        .any(|(name, _)| ["host", "authorization", "cookie", "origin"].contains(name));
    let bearer = match token(server) {
        Some(token) if !is_own && !path.contains("token=") => format!("Bearer {token}"),
        _ => return bare(server, method, path, headers, body),
    };
    let headers = [headers, &[("authorization", &bearer)]].concat();
    bare(server, method, path, &headers, body)
}

/// The same of anybody: with these headers and no others. `Host` names the server unless it is among them.
///
/// # Errors
/// When nobody answers, or with something that is not HTTP.
pub fn bare(
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
