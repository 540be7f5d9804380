//! `[whep]`: the choices that the protocol leaves to a server, and the STUN and TURN servers that viewers are told.

use super::address;
use super::problem::Problems;
use super::section::Section;
use super::value::{self, Parsed, one_of, shown, wrong_type};
use std::fmt;
use toml::de::{DeTable, DeValue};

/// The behaviour of the offer exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whep {
    /// The answer to a viewer while the camera has failed.
    pub camera_down: CameraDown,
    /// Refuse a PATCH that does not say by `If-Match` which ICE session it means.
    pub require_if_match: bool,
    /// Named to viewers in the answer.
    pub ice_servers: Vec<IceServer>,
}

/// The answer to a viewer that asks for a stream whose camera has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CameraDown {
    /// A session, whose pictures begin when the camera is back.
    Wait,
    /// 409, and when the camera is tried next.
    Refuse,
}

impl CameraDown {
    /// The value as it is written in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
        }
    }
}

impl Default for Whep {
    fn default() -> Self {
        Self {
            camera_down: CameraDown::Wait,
            require_if_match: true,
            ice_servers: Vec::new(),
        }
    }
}

/// A STUN or TURN server for viewers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceServer {
    /// RFC 7064 or RFC 7065: `stun:stun.example.org`, `turns:turn.example.org:5349?transport=tcp`.
    pub url: String,
    /// User name and password; every TURN server has them, and no STUN server. Printable ASCII.
    pub login: Option<(String, String)>,
}

impl fmt::Display for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Reads the table.
pub(super) fn read(problems: &mut Problems<'_>, section: &Section<'_, '_>) -> Whep {
    let default = Whep::default();
    Whep {
        camera_down: section
            .read(problems, "camera_down", camera_down)
            .unwrap_or(default.camera_down),
        require_if_match: section
            .read(problems, "require_if_match", value::flag)
            .unwrap_or(default.require_if_match),
        ice_servers: section.list(
            problems,
            "ice_servers",
            "[\"stun:stun.example.org\"]",
            ice_server,
        ),
    }
}

fn camera_down(value: &DeValue<'_>) -> Parsed<CameraDown> {
    let choices = [CameraDown::Wait, CameraDown::Refuse];
    one_of(value, &choices.map(|choice| (choice.name(), choice)))
}

const SERVER: &str =
    "\"stun:HOST\", or for TURN { url = \"turn:HOST:PORT\", username = \"…\", credential = \"…\" }";

fn ice_server(value: &DeValue<'_>) -> Parsed<IceServer> {
    let (url, login) = match value {
        DeValue::String(url) => (url.to_string(), None),
        DeValue::Table(table) => from_table(table)?,
        _ => return Err(wrong_type(value, SERVER)),
    };
    let is_turn = url_kind(&url).ok_or_else(|| {
        let url = shown(&DeValue::String(url.as_str().into()));
        format!("{url} is not the URL of a STUN or TURN server; write {SERVER}")
    })?;
    match (is_turn, &login) {
        (true, None) => Err(format!(
            "{url} is a TURN server, which needs a user name and a password; write {SERVER}"
        )),
        (false, Some(_)) => Err(format!(
            "{url} is a STUN server, which has no users; remove username and credential"
        )),
        _ => Ok(IceServer { url, login }),
    }
}

fn from_table(table: &DeTable<'_>) -> Parsed<(String, Option<(String, String)>)> {
    let mut found = [const { None }; 3];
    const KEYS: [&str; 3] = ["url", "username", "credential"];
    for (key, value) in table {
        let name: &str = key.get_ref();
        let Some(index) = KEYS.iter().position(|known| *known == name) else {
            return Err(format!("has an unknown key {name:?}; write {SERVER}"));
        };
        let value = value.get_ref();
        let text = value.as_str().ok_or_else(|| wrong_type(value, "text"))?;
        // It goes into a header (RFC 9110, 5.6.4).
        if text.is_empty() || !text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(format!("{name} must be printable ASCII, and not empty"));
        }
        found[index] = Some(text.to_owned());
    }
    let [url, username, credential] = found;
    let url = url.ok_or_else(|| format!("has no url; write {SERVER}"))?;
    match (username, credential) {
        (Some(username), Some(credential)) => Ok((url, Some((username, credential)))),
        (None, None) => Ok((url, None)),
        _ => Err("username and credential belong together".to_owned()),
    }
}

/// Whether a URL is a TURN server's (RFC 7065, 3.1) or a STUN server's (RFC 7064, 3.1); `None` if it is neither.
fn url_kind(url: &str) -> Option<bool> {
    let (scheme, rest) = url.split_once(':')?;
    let is_turn = match scheme {
        "stun" | "stuns" => false,
        "turn" | "turns" => true,
        _ => return None,
    };
    let authority = match rest.split_once('?') {
        Some((authority, "transport=udp" | "transport=tcp")) if is_turn => authority,
        Some(_) => return None,
        None => rest,
    };
    address::host_and_port(authority).map(|_| is_turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_those_of_rfc_7064_and_rfc_7065() {
        for (url, expected) in [
            ("stun:stun.example.org", Some(false)),
            ("stuns:192.0.2.1:5349", Some(false)),
            ("turn:[2001:db8::1]:3478", Some(true)),
            ("turns:turn.example.org:443?transport=tcp", Some(true)),
            ("turn:turn?transport=udp", Some(true)),
            ("stun:stun.example.org?transport=udp", None),
            ("turn:turn.example.org?transport=quic", None),
            ("stun://stun.example.org", None),
            ("turn:user@turn.example.org", None),
            ("http:example.org", None),
            ("turn:", None),
            ("turn::3478", None),
            ("turn:a:0", None),
            ("turn:a:70000", None),
            ("turn:[::1", None),
            ("turn:[nonsense]", None),
            ("turn:[::1]3478", None),
            ("stun:a>;b", None),
            ("stun", None),
        ] {
            assert_eq!(url_kind(url), expected, "{url}");
        }
    }
}
