//! Session URLs (5) and ICE passwords: they can't be guessed, and no log has them.

use crate::offer::plain;
use crate::support::daemon::Daemon;
use crate::support::http::{Reply, request};

fn post(daemon: &Daemon) -> Reply {
    let headers = [("content-type", "application/sdp")];
    let body = plain();
    request(daemon.address(), "POST", "/whep", &headers, body.as_bytes()).unwrap()
}

#[test]
fn a_sessions_url_is_random_and_not_what_logs_call_it() {
    let mut daemon = Daemon::that_logs_all();
    let sessions: Vec<_> = (0..3)
        .map(|_| {
            let reply = post(&daemon);
            assert_eq!(reply.status, 201);
            let location = reply.header("location").unwrap();
            let id = location.rsplit('/').next().unwrap().to_owned();
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
            let path = format!("/{location}");
            for method in ["GET", "PATCH", "DELETE"] {
                let fragment = [
                    ("content-type", "application/trickle-ice-sdpfrag"),
                    ("if-match", "*"),
                ];
                let body = b"a=end-of-candidates\r\n";
                let reply = request(daemon.address(), method, &path, &fragment, body).unwrap();
                assert!(reply.status < 300, "{method}: {}", reply.status);
            }
            id
        })
        .collect();
    let answer = post(&daemon).body;
    let theirs = "0123456789abcdefghijkl";
    let ours = answer
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-pwd:"))
        .unwrap();
    // Different in more than a counter: 128 random bits share no half.
    assert!(sessions[1..].iter().all(|id| id[..16] != sessions[0][..16]));
    assert!(sessions[1..].iter().all(|id| id[16..] != sessions[0][16..]));
    daemon.terminate();
    let log = daemon.whole_log();
    assert!(
        log.contains("answered") && log.contains("viewer{id=1"),
        "{log}"
    );
    // Not even the WebRTC core logs the passwords of ICE, of either side.
    assert!(!log.contains(theirs) && !log.contains(ours), "{log}");
    for id in sessions {
        assert!(!log.contains(&id[..16]) && !log.contains(&id[16..]));
    }
}
