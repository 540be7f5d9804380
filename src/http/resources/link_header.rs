//! `Link` headers of an answer: the STUN and TURN servers that viewers may use, and extensions of the protocol.

use super::session_events;
use crate::config::IceServer;
use std::fmt::Write as _;

/// One header's value for each server (RFC 9725, 4.6; RFC 8288).
pub fn ice_servers(servers: &[IceServer]) -> Vec<String> {
    let link = |server: &IceServer| {
        let mut link = format!("<{}>; rel=\"ice-server\"", server.url);
        if let Some((username, credential)) = &server.login {
            let (username, credential) = (quoted(username), quoted(credential));
            // Writing to a `String` can't fail.
            let _ = write!(
                link,
                "; username={username}; credential={credential}; credential-type=\"password\""
            );
        }
        link
    };
    servers.iter().map(link).collect()
}

/// The value for a session's server-sent events (draft-ietf-wish-whep-02, 4.9.1).
pub fn events(session: &str) -> String {
    let names = session_events::NAMES;
    format!(
        "<{session}/sse>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\"; events=\"{names}\""
    )
}

/// A quoted string (RFC 9110, 5.6.4).
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_linked_with_its_login_whatever_that_contains() {
        let server = |url: &str, login: Option<(&str, &str)>| IceServer {
            url: url.to_owned(),
            login: login.map(|(name, word)| (name.to_owned(), word.to_owned())),
        };
        let links = ice_servers(&[
            server("stun:stun.example.net", None),
            server(
                "turn:turn.example.net?transport=udp",
                Some(("user", "a\"b\\c, d;")),
            ),
        ]);
        assert_eq!(
            links,
            [
                r#"<stun:stun.example.net>; rel="ice-server""#,
                r#"<turn:turn.example.net?transport=udp>; rel="ice-server"; username="user"; credential="a\"b\\c, d;"; credential-type="password""#,
            ]
        );
    }
}
