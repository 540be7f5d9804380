//! Under which addresses viewers are told to come: interfaces that come and go, IPv6, and what STUN servers see. In networks
//! of the tests' own, with the daemon, its viewers and the router between them on machines of their own.

#[path = "../viewing/daemon.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod daemon;
mod interfaces;
mod nat;
#[path = "../viewing/picture.rs"]
mod picture;
mod reflexive;
mod server;
#[path = "../support/mod.rs"]
mod support;
#[path = "../viewing/viewer.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;

use std::net::SocketAddr;
use support::daemon::Daemon;
use support::namespace::{Host, ip};
use viewer::Viewer;

/// A daemon that shows a small pattern to everybody, as often as a test looks.
const PATTERN: &str = "[limits]\nrequest_rate = 1000\n[auth]\nmode = \"none\"\n\
    [[stream]]\nname = \"camera\"\npattern = true\nsize = \"320x180\"\nfps = 15\n";

/// The addresses that an answer offers, in its order.
fn offered(answer: &str) -> Vec<String> {
    let candidates = answer.lines().filter_map(|line| {
        // RFC 8839, 5.1: foundation, component, transport, priority, address, port.
        let mut words = line.strip_prefix("a=candidate:")?.split_whitespace();
        let transport = words.nth(2)?;
        let (ip, port) = (words.nth(1)?, words.next()?);
        let address = SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap());
        transport
            .eq_ignore_ascii_case("udp")
            .then(|| address.to_string())
    });
    candidates.collect()
}

/// Gives an interface of the present network an address, and takes it into use.
fn up(interface: &str, address: &str) {
    // It is good at once: nobody else can have it.
    let nodad: &[&str] = if address.contains(':') {
        &["nodad"]
    } else {
        &[]
    };
    ip(&[&["address", "add", address, "dev", interface], nodad].concat());
    ip(&["link", "set", interface, "up"]);
}

/// A daemon there, with that configuration.
fn daemon_at(host: &Host, listen: &str, toml: &str) -> Daemon {
    host.run(|| Daemon::configured_at(listen, toml))
}

/// Does something that waits for a server, in this thread and so in its network.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// Looks at what answers offer until it is as it should be.
async fn until_offered(to: SocketAddr, expected: &[&str]) {
    support::eventually("the addresses to be offered", async || {
        let found = offered(&Viewer::connect(to, "/whep").await.answer);
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?} in place of {expected:?}"))
        }
    })
    .await;
}
