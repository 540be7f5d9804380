//! What a STUN server says is offered, if it is the one that was asked who says it; and nobody waits for it.

use crate::daemon::{Running, start_with, until};
use crate::offered;
use crate::server::{StunServer, success};
use crate::viewer::Viewer;
use fanlight::config::ExternalAddress;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

fn daemon(server: &StunServer) -> Running {
    let (host, port) = (server.address.ip().to_string(), server.address.port());
    let server = fanlight::config::StunServer { host, port };
    start_with("::", |config| {
        config.rtc.external_addresses = vec![ExternalAddress::Stun(server)]
    })
}

/// What the answers offer that is none of this machine's, once there is something.
async fn external(daemon: &Running, like: &str) -> Vec<String> {
    crate::support::eventually("an external address", async || {
        let to = daemon.at("127.0.0.1".parse().unwrap());
        let answer = Viewer::connect(to, "/whep").await.answer;
        let found = offered(&answer)
            .into_iter()
            .filter(|a| a.starts_with(like))
            .collect::<Vec<_>>();
        if found.is_empty() {
            Err(answer)
        } else {
            Ok(found)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_that_the_server_sees_is_offered_with_its_port_and_with_ours() {
    for (at, mapped, like) in [
        ("127.0.0.1:0", "203.0.113.7:40000", "203.0.113.7:"),
        ("[::1]:0", "[2001:db8:7::7]:40000", "[2001:db8:7::7]:"),
    ] {
        let (asked, ports) = sync_channel(9);
        let mapped: SocketAddr = mapped.parse().unwrap();
        let server = StunServer::start(at, move |socket, from, transaction| {
            let _ = asked.try_send(from.port());
            socket.send_to(&success(transaction, mapped), from).unwrap();
        });
        let daemon = daemon(&server);
        let port = daemon.address.port();
        let found = external(&daemon, like).await;
        assert_eq!(found, [mapped.to_string(), format!("{like}{port}")]);
        assert_eq!(
            ports.recv().unwrap(),
            port,
            "it is the media port that asks"
        );
        daemon.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_say_where_we_are() {
    let forged: SocketAddr = "198.51.100.66:6666".parse().unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut is_first = true;
    let server = StunServer::start("127.0.0.1:0", move |socket, from, transaction| {
        // On a slow machine the request is repeated before its answer was read.
        if !std::mem::take(&mut is_first) {
            return;
        }
        // Who has seen the request, but is not the server; and who is where the server is, but has not seen it.
        other.send_to(&success(transaction, forged), from).unwrap();
        let mut guess = transaction;
        guess[0] ^= 1;
        socket.send_to(&success(guess, forged), from).unwrap();
        let mapped = "203.0.113.7:40000".parse().unwrap();
        socket.send_to(&success(transaction, mapped), from).unwrap();
        // Whoever comes second.
        socket.send_to(&success(transaction, forged), from).unwrap();
    });
    let daemon = daemon(&server);
    external(&daemon, "203.0.113.7:40000").await;
    until("the three others were read", async || {
        daemon.metric("fanlight_datagrams_unmatched_total").await >= 3.0
    })
    .await;
    let to = daemon.at("127.0.0.1".parse().unwrap());
    let answer = Viewer::connect(to, "/whep").await.answer;
    assert!(!answer.contains("198.51.100.66"), "{answer}");
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_waits_for_a_server_that_is_silent_or_has_no_name() {
    let (asked, requests) = sync_channel(9);
    let server = StunServer::start("127.0.0.1:0", move |_, _, transaction| {
        let _ = asked.try_send(transaction);
    });
    let nowhere = fanlight::config::StunServer {
        host: "nowhere.invalid".into(),
        port: 3478,
    };
    let silent = fanlight::config::StunServer {
        host: "127.0.0.1".into(),
        port: server.address.port(),
    };
    let daemon = start_with("127.0.0.1", |config| {
        config.rtc.external_addresses = [silent, nowhere].map(ExternalAddress::Stun).to_vec();
    });
    let first = tokio::task::block_in_place(|| requests.recv().unwrap());
    let before = Instant::now();
    let answer = Viewer::connect(daemon.address, "/whep").await.answer;
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(offered(&answer), [daemon.address.to_string()]);
    // It is asked again, and it is the same request.
    assert_eq!(
        tokio::task::block_in_place(|| requests.recv().unwrap()),
        first
    );
    daemon.stop().await.unwrap();
}
