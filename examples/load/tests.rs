//! The load generator against a daemon within the test's process.

use crate::{Options, exchange, run};
use clap::{CommandFactory, Parser};
use fanlight::base::shutdown::Shutdown;
use fanlight::config::{AuthMode, Config, Source, Stream};
use fanlight::daemon::Daemon;
use fanlight::media::{FrameRate, Size, TestPicture};
use std::net::SocketAddr;
use std::thread;

/// Runs it against a daemon with a small test pattern.
fn against_a_daemon(arguments: &[&str]) -> crate::report::Report {
    with_a_daemon(arguments, |options| run::run(options).unwrap())
}

/// Does that with a daemon's URL before the arguments.
fn with_a_daemon<T>(arguments: &[&str], work: impl FnOnce(&Options) -> T) -> T {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let stream = Stream {
        size: Size::new(320, 180),
        fps: FrameRate::whole(30),
        ..Stream::new("camera", Source::Pattern(TestPicture::Bars))
    };
    let mut config = Config {
        streams: vec![stream],
        ..Config::default()
    };
    config.auth.mode = AuthMode::None;
    config.http.listen = listen;
    config.rtc.listen = listen;
    let end = Shutdown::new();
    let (ready, address) = std::sync::mpsc::sync_channel(1);
    let signal = end.clone();
    let daemon = thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let daemon = Daemon::bind(config).unwrap();
            ready.send(daemon.http_addr()).unwrap();
            daemon.run(async move { signal.cancelled().await }).await
        })
    });
    let url = format!("http://{}/whep", address.recv().unwrap());
    let arguments = [&["load", &url], arguments].concat();
    let report = work(&Options::parse_from(arguments));
    end.cancel();
    daemon.join().unwrap().unwrap();
    report
}

#[test]
fn the_command_line_is_consistent() {
    Options::command().debug_assert();
    let refused = |arguments: &[&str]| Options::try_parse_from(arguments).is_err();
    assert!(refused(&["load"]));
    assert!(refused(&["load", "http://h/whep", "--viewers", "0"]));
    assert!(refused(&["load", "http://h/whep", "--seconds", "-1"]));
}

#[test]
fn exchanges_are_counted_and_failures_are_named() {
    let report = |what: &str| {
        let arguments = ["--viewers", "4", "--seconds", "0.5", "--http", what];
        with_a_daemon(&arguments, |options| {
            let report = exchange::run(options, options.http.unwrap()).unwrap();
            let wrong = Options {
                url: format!("{}/none", options.url).parse().unwrap(),
                ..options.clone()
            };
            (
                report,
                exchange::run(&wrong, options.http.unwrap()).unwrap(),
            )
        })
    };
    for what in ["get", "options", "join"] {
        let (right, wrong) = report(what);
        assert!(right.is_good(), "{right}");
        assert!(right.to_string().contains("4 connections: "), "{right}");
        // OPTIONS asks for no session.
        assert_eq!(wrong.is_good(), what == "options", "{wrong}");
        assert_eq!(
            wrong.to_string().contains("failed: refused with 40"),
            what != "options"
        );
    }
}

#[test]
fn every_viewer_gets_every_packet_and_all_get_the_same_frames() {
    let report = against_a_daemon(&["--viewers", "8", "--ramp", "0.2", "--seconds", "1.5"]);
    assert!(report.is_good(), "{report:?}");
    assert_eq!((report.connected, report.playing), (8, 8));
    assert_eq!((report.whole.lost, report.whole.counts.duplicates), (0, 0));
    let frames = report.per_viewer.frames.unwrap();
    assert!(
        frames.min > 10.0 && frames.max - frames.min <= 1.0,
        "{frames:?}"
    );
    let since = &report.since_post;
    let medians = [
        &since.answered,
        &since.connected,
        &since.first_packet,
        &since.first_keyframe,
    ];
    let medians = medians.map(|summary| summary.unwrap().median);
    assert!(medians.is_sorted(), "{medians:?}");
}

#[test]
fn viewers_that_verify_decode_what_was_drawn() {
    let report = against_a_daemon(&[
        "--viewers",
        "2",
        "--seconds",
        "1.5",
        "--verify",
        "--receive",
        "eager",
    ]);
    assert!(report.is_good(), "{report:?}");
    let checks = report.checks.unwrap();
    assert!(checks.decoded > 20 && checks.is_clean(), "{checks:?}");
}

#[test]
fn a_server_that_is_not_there_is_told_and_not_waited_for() {
    let url = "http://127.0.0.1:1/whep";
    let options = Options::parse_from([
        "load",
        url,
        "--viewers",
        "3",
        "--ramp",
        "0",
        "--seconds",
        "0",
    ]);
    let report = run::run(&options).unwrap();
    assert!(!report.is_good());
    assert_eq!(report.refused.values().sum::<usize>(), 3);
}
