//! Attacks by requests that never end, and by guessing.

use crate::support::DEADLINE;
use crate::target::{Target, connect_from};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

const HALF: &[u8] = b"POST /whep HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/sdp\r\n\
    content-length: 10000\r\n\r\nv=0\r\n";

/// So many connections from each of so many addresses, each of which begins with that at once.
fn connect(target: &Target, addresses: u8, each: usize, beginning: &[u8]) -> Vec<TcpStream> {
    let addresses = 0..usize::from(addresses) * each;
    let connect = |n| {
        let mut stream = connect_from([127, 0, 1, (n / each) as u8 + 1], target.address());
        // It may be closed already.
        let _ = stream.write_all(beginning);
        stream
    };
    addresses.map(connect).collect()
}

/// What the daemon says before it closes a connection; nothing if it resets it.
fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let end = stream.read_to_end(&mut text).map_err(|error| error.kind());
    assert_ne!(end, Err(std::io::ErrorKind::WouldBlock), "it stays open");
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_thousand_half_open_posts_from_one_address_are_cut_to_its_share() {
    // Longer than it takes to make them.
    let target = Target::with("header_time = \"30s\"\n");
    let (first, rest) = HALF.split_at(1);
    let mut held = connect(&target, 1, 1000, first);
    // There is room for everybody else, whose turn comes after theirs: now all have been taken in, or refused.
    target.answers();
    let refused = target.metric("fanlight_refused_total{limit=\"connections_per_address\"}");
    assert_eq!(refused, 750.0);
    for stream in &mut held {
        // Most are closed by now, and of the others most are told that they ask too often.
        let _ = stream.write_all(rest);
    }
    target.answers();
    target.check("1000 half-open POSTs from one address", 16);
}

#[test]
fn a_thousand_half_open_posts_from_many_addresses_end_in_their_time() {
    let target = Target::start();
    let held = connect(&target, 10, 100, HALF);
    // All places are taken: others wait until the first is free.
    target.answers();
    let told = held.into_iter().map(rest);
    let told = told.filter(|text| text.starts_with("HTTP/1.1 408")).count();
    assert!(told > 900, "{told}");
    target.check("1000 half-open POSTs from ten addresses", 56);
}

/// ICE over TCP begins at the same port, with the length of a frame (RFC 4571, 2).
#[test]
fn a_thousand_frames_that_never_come_end_in_their_time() {
    let target = Target::start();
    let mut held = connect(&target, 10, 100, &[]);
    for (n, stream) in held.iter_mut().enumerate() {
        // Nothing more, half a frame, or a whole one that is no check.
        let begun = [&[0, 100][..], &[0; 100]].concat();
        let len = [2, 50, 102][n % 3];
        let _ = stream.write_all(&begun[..len]);
    }
    target.answers();
    assert!(held.into_iter().all(|stream| rest(stream).is_empty()));
    target.check("1000 connections that begin a frame", 56);
}

#[test]
fn heads_that_come_byte_by_byte_are_cut_off() {
    let target = Target::start();
    let head = b"GET / HTTP/1.1\r\nhost: localhost\r\n";
    let filler = b"x-filler: never ends\r\n";
    let mut held = connect(&target, 5, 200, &[]);
    let start = Instant::now();
    let mut sent = 0;
    while !held.is_empty() {
        let byte = head.iter().chain(filler.iter().cycle()).nth(sent).unwrap();
        held.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
        sent += 1;
        assert!(start.elapsed() < DEADLINE, "{} are left", held.len());
    }
    // A second for the head, whatever still comes.
    let took = start.elapsed();
    target.check(&format!("1000 slow heads, cut off after {took:.1?}"), 56);
}

#[test]
fn heads_that_never_end_are_refused_before_they_are_large() {
    let target = Target::start();
    let mut held = connect(&target, 5, 200, &[]);
    for stream in &mut held {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-filler: ");
    }
    let filler = [b'x'; 8 << 10];
    for _ in 0..64 {
        // One that takes nothing more has been told so, or will be.
        held.retain_mut(|stream| {
            stream.set_nonblocking(true).unwrap();
            let sent = stream.write(&filler);
            stream.set_nonblocking(false).unwrap();
            sent.is_ok() || sent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        });
    }
    let told = held.into_iter().map(rest);
    assert_eq!(
        told.filter(|text| text.starts_with("HTTP/1.1 2")).count(),
        0
    );
    target.check("1000 heads of half a megabyte", 56);
}

/// Asks on a connection that stays open. Returns the status.
fn ask(stream: &mut BufReader<TcpStream>, token: &str) -> u16 {
    let request = format!(
        "GET /api/streams HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "a reply");
        if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.trim().parse().unwrap();
        } else if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    status
}

#[test]
fn ten_thousand_wrong_tokens_open_nothing_and_lock_nobody_out() {
    let target = Target::that_asks();
    // From more addresses than are remembered, two each; the last asks on.
    let from = |n: u32| {
        let [.., high, low] = n.to_be_bytes();
        BufReader::new(connect_from([127, 1, high, low], target.address()))
    };
    for n in 1..=4500 {
        let mut stream = from(n);
        for word in 0..2 {
            let guess = format!("guess-{n}-{word}-of-one-token");
            assert_eq!(ask(&mut stream, &guess), 401);
        }
    }
    let mut stream = from(1);
    let told = (0..1000).map(|n| ask(&mut stream, &format!("guess-{n}-of-one-token")));
    let refused = told.filter(|status| *status == 429).count();
    assert!(refused > 900, "{refused}");
    // Behind the same address somebody has the right one.
    assert_eq!(ask(&mut stream, &target.daemon.token()), 200);
    let failures = target.metric("fanlight_auth_failures_total{reason=\"unknown\"}");
    assert_eq!(failures, 10_000.0);
    target.check("10,000 wrong tokens", 24);
}
