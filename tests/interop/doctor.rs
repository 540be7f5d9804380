//! What is told of a session that is well, of one that fails, and of one that is over.

use crate::daemon::{Running, start_with, until};
use crate::offer::plain;

use crate::daemon;
use crate::exchange::{ask, detail, header, post, session, text};
use crate::viewer::Viewer;
use fanlight::config::{ExternalAddress, TcpListen};
use hyper::{Method, Request};
use serde_json::{Value, json};
use std::net::UdpSocket;

/// Posts an offer, and returns the session's path and the answer.
async fn begin(daemon: &Running) -> (String, String) {
    let made = post(daemon, "/whep", &plain()).await;
    (session("/whep", &made), text(&made).to_owned())
}

/// Where the session's facts are.
fn doctor(session: &str) -> String {
    let id = session.rsplit('/').next().unwrap();
    format!("/api/sessions/{id}/doctor")
}

/// Asks under the name of the daemon that `host` is.
async fn told(daemon: &Running, session: &str, host: &str) -> Value {
    let request = Request::get(doctor(session)).header("host", host);
    let reply = daemon::request(daemon.address, request.body(String::new()).unwrap()).await;
    assert_eq!(reply.status(), 200, "{}", text(&reply));
    serde_json::from_slice(reply.body()).unwrap()
}

/// Waits until a session is said to be in that state.
async fn until_found(daemon: &Running, session: &str, finding: &str) -> Value {
    until(finding, async || {
        told(daemon, session, "localhost").await["finding"] == finding
    })
    .await;
    told(daemon, session, "localhost").await
}

#[tokio::test]
async fn an_address_that_nobody_can_reach_is_named_with_the_cure() {
    let daemon = start_with("127.0.0.1", |config| {
        config.rtc.listen = "127.0.0.2:0".parse().unwrap();
        config.rtc.tcp_listen = TcpListen::Off;
        config.rtc.external_addresses = vec![ExternalAddress::Ip("192.0.2.1".parse().unwrap())];
    });
    let (session, _) = begin(&daemon).await;
    let early = told(&daemon, &session, "localhost").await;
    assert_eq!(early["finding"], "connecting");
    let port = early["offered"][0]["port"].clone();
    let offered = json!([{"protocol": "udp", "address": "192.0.2.1", "port": port}]);
    assert_eq!(early["offered"], offered);

    // By name it could be anything; by address it is known to be another.
    let blocked = until_found(&daemon, &session, "blocked").await;
    let open = format!("open UDP port {port} in the firewall");
    assert!(
        blocked["cure"].as_str().unwrap().contains(&open),
        "{blocked}"
    );
    let known = told(&daemon, &session, "127.0.0.1:8080").await;
    assert_eq!(known["finding"], "unreachable_address");
    let sentence = format!(
        "no connectivity check arrived: the server offered UDP 192.0.2.1:{port}, but not 127.0.0.1, under which you reach it"
    );
    assert_eq!(known["sentence"], sentence);
    assert_eq!(known["stream"]["name"], "camera");

    // Who gives up can ask afterwards.
    assert_eq!(ask(&daemon, Method::DELETE, &session).await.status(), 200);
    let over = told(&daemon, &session, "127.0.0.1").await;
    assert_eq!(
        (&over["finding"], &over["ended"]),
        (&known["finding"], &json!("deleted"))
    );
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn checks_that_prove_nothing_are_told() {
    let daemon = start_with("127.0.0.1", |_| ());
    let (session, answer) = begin(&daemon).await;
    let ufrag = answer.split("a=ice-ufrag:").nth(1).unwrap();
    let name = format!("{}:them", ufrag.lines().next().unwrap());
    // RFC 8489, 5 and 14.3: a binding request with a user name, and without integrity.
    let padded = name.len().next_multiple_of(4);
    let mut check = vec![0, 1, 0, 4 + padded as u8, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, name.len() as u8]);
    check.extend(name.as_bytes());
    check.resize(24 + padded, 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&check, daemon.address).unwrap();
    let told = until_found(&daemon, &session, "bad_checks").await;
    let from = json!({"protocol": "udp", "address": "127.0.0.1", "port": socket.local_addr().unwrap().port()});
    let checks = json!([{"from": from, "received": 1, "answered": 0, "chosen": false}]);
    assert_eq!(told["checks"], checks);
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_well_is_said_to_be_until_it_is_over() {
    let daemon = start_with("127.0.0.1", |_| ());
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    tokio::task::block_in_place(|| viewer.counters(3));
    let session = viewer.location.clone();
    let at_once = told(&daemon, &session, "localhost").await;
    assert!(["unreported", "connected"].contains(&at_once["finding"].as_str().unwrap()));
    // Its first report may take some seconds: each turn waits for pictures.
    for _ in 0..20 {
        tokio::task::block_in_place(|| viewer.counters(15));
        if told(&daemon, &session, "localhost").await["finding"] == "connected" {
            break;
        }
    }
    let well = told(&daemon, &session, "localhost").await;
    assert_eq!((&well["cure"], &well["ended"]), (&json!(""), &Value::Null));
    assert_eq!(well["finding"], "connected", "{well}");
    assert_eq!(well["handshake"]["done"], true);
    assert!(
        well["media"]["packets_sent"].as_u64().unwrap() > 3,
        "{well}"
    );
    assert_eq!(well["media"]["loss_ratio"], 0.0);
    let chosen = &well["checks"][0];
    assert_eq!(chosen["chosen"], true);
    assert!(chosen["answered"].as_u64().unwrap() >= 1, "{well}");

    assert_eq!(ask(&daemon, Method::DELETE, &session).await.status(), 200);
    let over = ask(&daemon, Method::GET, &doctor(&session)).await;
    detail(&over, 404);
    assert_eq!(header(&over, "cache-control"), "no-store");
    daemon.stop().await.unwrap();
}
