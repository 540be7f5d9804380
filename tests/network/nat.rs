//! A camera behind a home router, watched from the Internet by the address that a STUN server saw.

use crate::server::StunServer;
use crate::support::daemon::Daemon;
use crate::support::eventually;
use crate::support::namespace::{self, Host, ip};
use crate::support::scratch::Scratch;
use crate::viewer::Viewer;
use crate::{PATTERN, block_on, daemon_at, offered, up};
use std::process::Command;

/// The router's rules: what leaves has the router's address, and of the media port another port; what comes there is forwarded,
/// and HTTP is. So media gets through by the port that only the STUN server can tell.
const RULES: &str = "
table ip nat {
    chain out {
        type nat hook postrouting priority srcnat;
        oifname wan0 udp sport 8080 masquerade to :40000
        oifname wan0 masquerade
    }
    chain in {
        type nat hook prerouting priority dstnat;
        iifname wan0 udp dport 40000 dnat to 10.0.0.2:8080
        iifname wan0 tcp dport 8080 dnat to 10.0.0.2:8080
    }
}";

/// What `fanlight doctor` finds there.
fn doctor(camera: &Host, daemon: &Daemon, toml: &str) -> String {
    let scratch = Scratch::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanlight"));
    command.args(["doctor", "--listen", "0.0.0.0:8080", "--config"]);
    command.arg(scratch.write("fanlight.toml", toml));
    command.arg("--state-dir").arg(daemon.state_dir());
    let output = camera.run(|| command.output().unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    assert!(output.status.success());
    text
}

#[test]
fn a_camera_behind_a_nat_is_watched_by_the_address_that_a_stun_server_sees() {
    let test = "nat::a_camera_behind_a_nat_is_watched_by_the_address_that_a_stun_server_sees";
    namespace::inside(
        test,
        || (),
        || {
            let camera = Host::joined("lan0", "eth0");
            camera.run(|| {
                up("eth0", "10.0.0.2/24");
                ip(&["route", "add", "default", "via", "10.0.0.1"]);
            });
            let internet = Host::joined("wan0", "eth0");
            internet.run(|| up("eth0", "203.0.113.9/24"));
            up("lan0", "10.0.0.1/24");
            up("wan0", "203.0.113.1/24");
            std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            let nft = Command::new("nft").arg(RULES).status();
            assert!(nft.expect("nft, of nftables").success());

            let server = internet.run(|| StunServer::honest("203.0.113.9:3478"));
            let toml = format!("[rtc]\nexternal_addresses = [\"stun:203.0.113.9\"]\n{PATTERN}");
            let daemon = daemon_at(&camera, "0.0.0.0:8080", &toml);
            block_on(eventually("the server's answer", async || {
                let log = daemon.log();
                let line = "viewers beyond the NAT are offered 203.0.113.1:40000";
                if log.contains(line) { Ok(()) } else { Err(log) }
            }));
            internet.run(|| {
                let to = "203.0.113.1:8080".parse().unwrap();
                let mut viewer = block_on(Viewer::connect(to, "/whep"));
                assert_eq!(
                    offered(&viewer.answer),
                    ["10.0.0.2:8080", "203.0.113.1:40000", "203.0.113.1:8080"]
                );
                let counters = viewer.counters(30);
                assert!(
                    counters.windows(2).all(|pair| pair[1] > pair[0]),
                    "{counters:?}"
                );
            });
            assert!(
                doctor(&camera, &daemon, &toml)
                    .contains("the STUN servers report [203.0.113.1:40000, 203.0.113.1:8080]")
            );
            drop(server);
        },
    );
}
