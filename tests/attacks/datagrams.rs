//! Attacks on the media port: floods, forgeries, and what was sent before.

use crate::target::Target;
use std::cell::Cell;
use std::net::UdpSocket;
use std::time::Duration;

/// Datagrams of a flood.
const FLOOD: usize = 100_000;

/// A binding request (RFC 8489) to the session of that name, whose integrity is wrong; it nominates.
fn check(ufrag: &str, n: usize) -> Vec<u8> {
    let name = format!("{ufrag}:abcd");
    let mut body = [&[0, 6, 0, name.len() as u8][..], name.as_bytes()].concat();
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([0, 0x25, 0, 0, 0, 8, 0, 20]);
    body.extend([7; 20]);
    let mut message = vec![0, 1, 0, body.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    message.extend((n as u64).to_be_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// Sockets at so many addresses.
fn sockets(count: u16) -> Vec<UdpSocket> {
    let address = |n: u16| std::net::Ipv4Addr::new(127, 2, (n >> 8) as u8, n as u8 + 1);
    (0..count)
        .map(|n| UdpSocket::bind((address(n % 200), 0)).unwrap())
        .collect()
}

fn flood(target: &Target, make: impl Fn(usize) -> Vec<u8>) {
    let sockets = sockets(400);
    for n in 0..FLOOD {
        // A full buffer of the daemon's is its affair.
        let _ = sockets[n % sockets.len()].send_to(&make(n), target.address());
        if n % 10_000 == 0 {
            target.answers();
        }
    }
}

#[test]
fn a_flood_of_stun_from_strangers_is_counted_and_forgotten() {
    let target = Target::start();
    flood(&target, |n| check(&format!("{n:016x}"), n));
    let unmatched = target.metric("fanlight_datagrams_unmatched_total");
    assert!(unmatched > 1000.0, "{unmatched}");
    target.check("100,000 STUN requests of strangers", 16);
}

#[test]
fn a_flood_of_stun_that_names_a_session_is_counted_and_forgotten() {
    let target = Target::start();
    flood(&target, |n| check(&target.ufrag, n));
    let unmatched = target.metric("fanlight_datagrams_unmatched_total");
    assert!(unmatched > 1000.0, "{unmatched}");
    target.check("100,000 STUN requests with a session's name", 16);
}

#[test]
fn dtls_that_is_repeated_cut_or_forged_changes_nothing() {
    let target = Target::start();
    let strangers = sockets(50);
    let sent = Cell::new(0);
    let send = |datagram: &[u8]| {
        sent.set(sent.get() + 1 + strangers.len());
        // From the viewer's own address, and from others.
        let _ = target.socket.send_to(datagram, target.address());
        for stranger in &strangers {
            let _ = stranger.send_to(datagram, target.address());
        }
    };
    assert!(target.handshake.len() >= 2, "{}", target.handshake.len());
    for datagram in &target.handshake {
        send(datagram);
        for len in (1..datagram.len()).step_by(7) {
            send(&datagram[..len]);
        }
        for at in (0..datagram.len()).step_by(5) {
            let mut changed = datagram.clone();
            changed[at] ^= 0x55;
            send(&changed);
        }
        target.answers();
    }
    // Alerts and changes of the cipher that nobody sealed, of the handshake's epoch and of its end's.
    for epoch in 0..3 {
        for kind in 20..26 {
            for body in [&[24, 1][..], &[2, 40], &[1, 0], &[1]] {
                let header = [
                    kind,
                    254,
                    253,
                    0,
                    epoch,
                    0,
                    0,
                    0,
                    0,
                    1,
                    7,
                    0,
                    body.len() as u8,
                ];
                send(&[&header[..], body].concat());
            }
        }
    }
    assert_eq!(target.metric("fanlight_sessions_active"), 1.0);
    let sent = sent.get();
    target.check(
        &format!("{sent} pieces of DTLS, repeated, cut and forged"),
        16,
    );
}

/// Anybody on the way can do that: the integrity of a check does not cover the address that it comes from.
#[test]
fn a_copied_nomination_brings_a_stranger_no_media_and_less_than_it_sent() {
    let target = Target::start();
    assert!(target.nomination.len() > 60, "the viewer has nominated");
    let stranger = UdpSocket::bind("127.2.0.9:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let (mut sent, mut received) = (0, 0);
    let mut buffer = [0; 2048];
    for _ in 0..30 {
        sent += stranger
            .send_to(&target.nomination, target.address())
            .unwrap();
        pause(Duration::from_millis(100));
        while let Ok(len) = stranger.recv(&mut buffer) {
            received += len;
        }
    }
    assert!(received < sent, "{received} bytes for {sent}");
    target.check(
        &format!("30 copies of a nomination, {received} bytes for {sent}"),
        16,
    );
}

#[expect(clippy::disallowed_methods, reason = "a stranger who sends at a pace")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
