//! Who may watch: every kind of proof over real HTTP, the commands that make links, and what each refusal says.

mod cookies;
mod jwt;
#[path = "../interop/offer.rs"]
#[expect(dead_code, reason = "this test needs one offer")]
mod offer;
mod open;
mod proxies;
mod shares;
#[path = "../support/mod.rs"]
mod support;
mod token;

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use support::daemon::Daemon;
use support::http::{Reply, bare};

const TWO_STREAMS: &str = r#"
[[stream]]
name = "porch"
pattern = true
size = "320x180"

[[stream]]
name = "garden"
pattern = true
size = "320x180"
"#;

/// A request as from another machine: what `Host` names is not this one.
fn ask(daemon: &Daemon, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let headers = [&[("host", "camera.lan")], headers].concat();
    bare(daemon.address(), method, path, &headers, b"").unwrap()
}

fn with(daemon: &Daemon, path: &str, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    ask(daemon, "GET", path, &[("authorization", &bearer)])
}

/// Posts an offer with that token.
fn watch(daemon: &Daemon, stream: &str, token: &str) -> Reply {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("host", "camera.lan"),
        ("authorization", &bearer),
        ("content-type", "application/sdp"),
    ];
    let path = format!("/{stream}/whep");
    let offer = offer::plain();
    bare(daemon.address(), "POST", &path, &headers, offer.as_bytes()).unwrap()
}

/// Runs a command beside the daemon; what it prints, or what it says when it fails.
fn command(state: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_fanlight"))
        .args(arguments)
        .arg("--state-dir")
        .arg(state)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// What the challenge of a refusal says (RFC 6750, 3).
fn challenge(reply: &Reply) -> &str {
    reply.header("www-authenticate").unwrap_or_default()
}
