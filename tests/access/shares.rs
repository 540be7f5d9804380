//! Links that are shared: for one stream, with an end, revocable.

use super::*;
use crate::support::eventually;
use fanlight::access::judge::{Ledger, Scope, Scopes, Share, ShareKey};
use std::fs;

#[test]
fn a_link_is_shared_for_one_stream_listed_and_revoked_and_then_its_viewers_go() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let told = command(&state, &["share", "--stream", "garden", "--for", "2h"]).unwrap();
    let (link, about) = told.split_once('\n').unwrap();
    let (page, link) = link.split_once("?token=").unwrap();
    assert!(page.ends_with("/garden"), "{told}");
    let (id, rest) = about.split_once(": ").unwrap();
    assert!(rest.starts_with("view of garden, for 2 h; "), "{told}");

    let streams = with(&daemon, "/api/streams", link).json();
    let names = streams["streams"].as_array().unwrap().iter();
    assert_eq!(
        names.map(|s| s["name"].clone()).collect::<Vec<_>>(),
        ["garden"]
    );
    for (path, status) in [
        ("/", 200),
        ("/garden", 200),
        ("/api/streams/garden", 200),
        ("/porch", 403),
        ("/nowhere", 403),
        ("/api/streams/porch", 403),
        ("/api/streams/nowhere", 403),
        ("/metrics", 403),
        ("/api/viewers", 403),
        ("/api/streams/garden/controls", 403),
    ] {
        let reply = with(&daemon, path, link);
        assert_eq!(reply.status, status, "{path}");
        let is_for_admins = ["/metrics", "/api/viewers", "/api/streams/garden/controls"];
        let scope = if is_for_admins.contains(&path) {
            "admin"
        } else {
            "view"
        };
        let error = format!("error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(challenge(&reply).contains(&error), status == 403, "{path}");
    }
    assert_eq!(watch(&daemon, "porch", link).status, 403);
    let answer = watch(&daemon, "garden", link);
    assert_eq!(answer.status, 201, "{answer:?}");
    let session = format!("/garden/{}", answer.header("location").unwrap());
    // What is the matter with a session is told to who may watch its stream, and knows its name.
    let doctor = |location: &str| {
        format!(
            "/api/sessions/{}/doctor",
            location.rsplit('/').next().unwrap()
        )
    };
    let own = doctor(&session);
    assert_eq!(with(&daemon, &own, link).status, 200);
    assert_eq!(ask(&daemon, "GET", &own, &[]).status, 401);
    let other = watch(&daemon, "porch", &daemon.token());
    let other = doctor(other.header("location").unwrap());
    assert_eq!(with(&daemon, &other, link).status, 403);
    assert_eq!(with(&daemon, &doctor("0"), link).status, 404);
    // A reply without an end is over with the permission, as a session is; so is that about the session of another.
    let of_another = watch(&daemon, "garden", &daemon.token());
    let events = format!("/garden/{}/sse", of_another.header("location").unwrap());
    let bearer = format!("Bearer {link}");
    let events = ask(&daemon, "POST", &events, &[("authorization", &bearer)]);
    let events = events.header("location").unwrap().to_owned();
    let of_another = format!("/garden/{}", of_another.header("location").unwrap());
    let endless = [
        "/garden/mjpeg",
        "/api/events",
        &format!("{of_another}/{events}"),
    ];
    let replies = endless.map(|path| {
        let path = format!("{path}?token={link}");
        let address = daemon.address();
        std::thread::spawn(move || read_to_end(address, &path))
    });
    let cookie = ask(&daemon, "GET", &format!("/garden?token={link}"), &[]);
    let cookie = cookie.header("set-cookie").unwrap();
    let age = cookie.split("Max-Age=").nth(1).unwrap().split(';').next();
    let age: u64 = age.unwrap().parse().unwrap();
    assert!((7100..=7200).contains(&age), "{cookie}");

    let list = command(&state, &["share", "--list"]).unwrap();
    assert!(
        list.starts_with(&format!("{id}: view of garden, for ")),
        "{list}"
    );
    assert!(list.contains(", made ") && list.ends_with(" ago"), "{list}");
    command(&state, &["share", "--revoke", id]).unwrap();
    let again = command(&state, &["share", "--revoke", id]).unwrap_err();
    assert!(again.contains("there is no link"), "{again}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("the link to be worth nothing", async || {
        let status = with(&daemon, "/garden", link).status;
        (status == 401).then_some(()).ok_or(status.to_string())
    }));
    runtime.block_on(eventually("the session to end", async || {
        let log = daemon.log();
        let is_over = log.contains("a session ends with its permission");
        is_over.then_some(()).ok_or(log)
    }));
    for (reply, kind) in replies
        .into_iter()
        .zip(["image/jpeg", "event: ", "event: "])
    {
        let reply = reply.join().unwrap();
        assert!(reply.contains(kind), "{kind}: {reply:.400}");
        assert!(reply.ends_with("0\r\n\r\n"), "{kind} ends as it should");
    }
    // The events did not end with the session that they are about.
    let bearer = format!("Bearer {}", daemon.token());
    let there = ask(&daemon, "GET", &of_another, &[("authorization", &bearer)]);
    assert_eq!(there.status, 204);
    let bearer = format!("Bearer {}", daemon.token());
    assert!(session.starts_with("/garden/whep/"), "{session}");
    let ended = ask(&daemon, "DELETE", &session, &[("authorization", &bearer)]);
    assert_eq!(ended.status, 404, "it is over");
}

/// What comes until the daemon closes the connection.
fn read_to_end(server: std::net::SocketAddr, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(server).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: camera.lan\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let deadline = std::time::Instant::now() + support::DEADLINE;
    let (mut all, mut portion) = (Vec::new(), [0; 8192]);
    loop {
        match stream.read(&mut portion).unwrap() {
            0 => return String::from_utf8_lossy(&all).into_owned(),
            length => all.extend_from_slice(&portion[..length]),
        }
        assert!(std::time::Instant::now() < deadline, "{path} has no end");
    }
}

#[test]
fn with_the_key_go_all_who_watch_by_links() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let told = command(&state, &["share", "--stream", "garden"]).unwrap();
    let link = told.lines().next().unwrap().split("token=").nth(1).unwrap();
    let bearer = format!("Bearer {}", daemon.token());
    let is_there = |session: &str| {
        let reply = ask(&daemon, "GET", session, &[("authorization", &bearer)]);
        reply.status == 204
    };
    let session = |token: &str| {
        let answer = watch(&daemon, "garden", token);
        format!("/garden/{}", answer.header("location").unwrap())
    };
    let [by_link, by_token] = [link, &daemon.token()].map(session);
    let images = std::thread::spawn({
        let (address, path) = (daemon.address(), format!("/garden/mjpeg?token={link}"));
        move || read_to_end(address, &path)
    });
    fs::remove_file(state.join("share.key")).unwrap();
    assert!(images.join().unwrap().ends_with("0\r\n\r\n"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("the session to end", async || {
        (!is_there(&by_link)).then_some(()).ok_or(daemon.log())
    }));
    assert!(is_there(&by_token), "nobody else's");
}

#[test]
fn a_link_for_a_scraper_reads_metrics_and_an_unknown_stream_is_named() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let told = command(&state, &["share", "--scope", "admin", "--for", "520w"]).unwrap();
    let token = told.lines().next().unwrap().split("token=").nth(1).unwrap();
    assert_eq!(with(&daemon, "/metrics", token).status, 200);
    let controls = with(&daemon, "/api/streams/garden/controls", token);
    assert_eq!(controls.status, 200);
    assert_eq!(with(&daemon, "/garden", token).status, 403);
    let told = command(&state, &["share", "--stream", "attic"]).unwrap_err();
    assert_eq!(
        told,
        "there is no stream \"attic\"; the streams are: porch, garden"
    );
}

#[test]
fn a_link_that_expired_or_was_changed_is_refused() {
    let daemon = Daemon::configured_at("127.0.0.1:0", TWO_STREAMS);
    let state = daemon.state_dir();
    let key = fs::read(state.join("share.key")).unwrap();
    let key = ShareKey::parse(&key).unwrap();
    let share = |expires| {
        let scopes = Scopes::from_iter([Scope::View]);
        Share::new(scopes, vec!["garden".into()], expires)
    };
    let (old, good) = (share(now()), share(now() + 60));
    let mut ledger = Ledger::default();
    ledger.add(old.clone(), 0).unwrap();
    ledger.add(good.clone(), 0).unwrap();
    fs::write(state.join("shares.json"), ledger.to_file()).unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let good = key.sign(&good);
    runtime.block_on(eventually("the link to be known", async || {
        let status = with(&daemon, "/garden", &good).status;
        (status == 200).then_some(()).ok_or(status.to_string())
    }));
    let expired = with(&daemon, "/api/streams", &key.sign(&old));
    assert_eq!(expired.status, 401);
    assert!(challenge(&expired).contains("has expired"), "{expired:?}");
    let longer = good.replace(".v.garden", ".va.garden");
    assert_eq!(with(&daemon, "/api/streams", &longer).status, 401);
    // A list that was damaged revokes nobody and admits nobody new.
    fs::write(state.join("shares.json"), "{").unwrap();
    assert_eq!(with(&daemon, "/garden", &good).status, 200);
    assert_eq!(
        with(&daemon, "/garden", &key.sign(&share(now() + 60))).status,
        401
    );
}
