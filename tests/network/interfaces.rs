//! The interfaces whose addresses are offered: those that lead to viewers, as they are at the moment.

use crate::support::namespace::{self, Host, ip};
use crate::support::scratch::Scratch;
use crate::viewer::Viewer;
use crate::{PATTERN, block_on, daemon_at, offered, until_offered, up};
use std::net::SocketAddr;
use std::process::Command;

/// A box with one interface `eth0` that has that address and is joined to ours, which has the other.
fn boxed(theirs: &str, ours: &str) -> Host {
    let host = Host::joined("viewer0", "eth0");
    host.run(|| up("eth0", theirs));
    up("viewer0", ours);
    host
}

#[test]
fn a_machine_with_nothing_but_ipv6_is_watched_from_another_one() {
    let test = "interfaces::a_machine_with_nothing_but_ipv6_is_watched_from_another_one";
    namespace::inside(
        test,
        || (),
        || {
            let host = boxed("2001:db8:1::2/64", "2001:db8:1::1/64");
            let _daemon = daemon_at(&host, "[::]:8080", PATTERN);
            let to: SocketAddr = "[2001:db8:1::2]:8080".parse().unwrap();
            let mut viewer = block_on(Viewer::connect(to, "/whep"));
            assert_eq!(offered(&viewer.answer), ["[2001:db8:1::2]:8080"]);
            assert!(viewer.answer.contains("c=IN IP6 2001:db8:1::2\r\n"));
            let counters = viewer.counters(30);
            assert!(
                counters.windows(2).all(|pair| pair[1] > pair[0]),
                "{counters:?}"
            );
        },
    );
}

#[test]
fn a_machine_without_ipv6_is_examined_as_it_is_served() {
    let test = "interfaces::a_machine_without_ipv6_is_examined_as_it_is_served";
    namespace::inside(
        test,
        || (),
        || {
            std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
            let mut doctor = Command::new(env!("CARGO_BIN_EXE_fanlight"));
            let state = Scratch::new();
            doctor.args([
                "doctor",
                "--test-pattern",
                "--listen",
                "[::]:8080",
                "--state-dir",
            ]);
            let output = doctor.arg(state.path()).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            for protocol in ["TCP", "UDP"] {
                let line = format!("ok    port: {protocol} 0.0.0.0:8080 is free");
                assert!(
                    text.lines().any(|found| found == line),
                    "{line} is not in {text}"
                );
            }
        },
    );
}

#[test]
fn addresses_that_come_and_go_are_offered_while_they_are_there() {
    let test = "interfaces::addresses_that_come_and_go_are_offered_while_they_are_there";
    namespace::inside(
        test,
        || (),
        || {
            let host = boxed("10.0.0.2/24", "10.0.0.1/24");
            let daemon = daemon_at(&host, "[::]:8080", PATTERN);
            let to: SocketAddr = "10.0.0.2:8080".parse().unwrap();
            let now = |expected: &[&str]| block_on(until_offered(to, expected));
            now(&["10.0.0.2:8080"]);
            host.run(|| up("eth0", "2001:db8:1::2/64"));
            now(&["10.0.0.2:8080", "[2001:db8:1::2]:8080"]);
            host.run(|| ip(&["address", "del", "2001:db8:1::2/64", "dev", "eth0"]));
            now(&["10.0.0.2:8080"]);
            // Another interface, and a container's.
            host.run(|| {
                ip(&[
                    "link", "add", "wlan0", "type", "veth", "peer", "name", "docker0",
                ]);
                up("docker0", "172.17.0.1/16");
                up("wlan0", "192.168.7.2/24");
            });
            now(&["10.0.0.2:8080", "192.168.7.2:8080"]);
            host.run(|| ip(&["link", "set", "docker0", "down"]));
            now(&["10.0.0.2:8080"]);
            drop(daemon);
        },
    );
}

#[test]
fn with_every_interface_excluded_the_address_that_was_used_is_offered_and_the_log_says_why_no_other()
 {
    let test = "interfaces::with_every_interface_excluded_the_address_that_was_used_is_offered_and_the_log_says_why_no_other";
    namespace::inside(
        test,
        || (),
        || {
            let host = boxed("10.0.0.2/24", "10.0.0.1/24");
            host.run(|| up("eth0", "10.0.0.3/24"));
            let toml = format!("[rtc]\ninterfaces = [\"wlan*\"]\n{PATTERN}");
            let daemon = daemon_at(&host, "0.0.0.0:8080", &toml);
            let mut viewer = block_on(Viewer::connect("10.0.0.3:8080".parse().unwrap(), "/whep"));
            assert_eq!(offered(&viewer.answer), ["10.0.0.3:8080"]);
            viewer.counters(10);
            let log = daemon.log();
            let line = "viewers are offered only the address that their request arrived at: 10.0.0.2 of eth0 is excluded by interfaces";
            assert!(log.contains(line), "{log}");
            // And again when there is one.
            host.run(|| {
                ip(&[
                    "link", "add", "wlan0", "type", "veth", "peer", "name", "other0",
                ]);
                ip(&["link", "set", "other0", "up"]);
                up("wlan0", "192.168.7.2/24");
            });
            block_on(until_offered(
                "10.0.0.2:8080".parse().unwrap(),
                &["10.0.0.2:8080", "192.168.7.2:8080"],
            ));
        },
    );
}
