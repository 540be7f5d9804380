//! Tests of what the log says of sessions.

use super::*;
use crate::base::sync::Mutex;
use crate::metrics::Metrics;
use crate::rtc::peer::end_reason::EndReason;
use crate::rtc::plane::facts::Record;
use crate::rtc::wire::outbox::Path;
use std::sync::Arc;

/// The log while `work` is done.
fn logged(work: impl FnOnce(&tracing::Span)) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        work(&tracing::info_span!("viewer", id = 7));
    });
    let bytes = lines.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

fn client() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

fn end(record: &Record, reason: EndReason, later: Duration) -> String {
    let facts = record.read();
    logged(|span| ended(span, client(), &facts, reason, facts.begun + later))
}

#[test]
fn a_viewer_that_never_connected_leaves_its_address_and_what_was_tried_whoever_ended_it() {
    let record = Record::new(Instant::now());
    record.offered("a=candidate:1 1 udp 2130706431 192.0.2.1 8080 typ host\r\n");
    for (reason, later) in [
        (EndReason::Deleted, 10_000),
        (EndReason::ConnectTimeout, 20_000),
    ] {
        let line = end(&record, reason, Duration::from_millis(later));
        for part in [
            " WARN ",
            "never connected: can it reach UDP port 8080?",
            "client=192.0.2.7",
            "offered=\"UDP 192.0.2.1:8080\"",
            "checks=\"none\"",
            &format!("after={}.0s", later / 1000),
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let path = Path::udp("192.0.2.7:5000".parse().unwrap(), None);
    record.check(&path);
    record.check(&path);
    record.proved(Instant::now(), &path, false);
    let line = end(&record, EndReason::Deleted, Duration::from_secs(10));
    let checks = "checks=\"2 from UDP 192.0.2.7:5000 (1 answered)\"";
    assert!(line.contains(checks), "{line}");
    assert!(
        line.contains("the answers do not reach the viewer"),
        "{line}"
    );
    let at_once = end(&record, EndReason::Deleted, Duration::from_millis(500));
    assert_eq!(at_once, "", "a page that was closed");
}

#[test]
fn a_goodbye_is_said_in_plain_words() {
    let record = Record::new(Instant::now());
    let stats = Metrics::new().rtc().viewers.add("camera", 1).stats();
    record.connected(stats);
    let later = Duration::from_nanos(43_706_629_099);
    for (reason, words) in [
        (EndReason::Deleted, "left: the viewer left"),
        (EndReason::Lost, "left: the viewer stopped responding"),
        (EndReason::Shutdown, "left: the server is stopping"),
    ] {
        let line = end(&record, reason, later);
        assert!(line.contains(" INFO ") && line.contains(words), "{line}");
        assert!(line.contains("after=43.7s"), "{line}");
    }
    let line = logged(|span| {
        connected(
            span,
            client(),
            Path::tcp("192.0.2.7:5".parse().unwrap(), 1).endpoint(),
            later,
            Instant::now(),
        )
    });
    assert!(
        line.contains("connected client=192.0.2.7 over=TCP 192.0.2.7:5 after=43.7s"),
        "{line}"
    );
}

#[test]
fn sessions_that_give_way_leave_one_line_a_second_with_their_number() {
    let record = Record::new(Instant::now());
    let facts = record.read();
    let lines = logged(|span| {
        for n in 0..2500 {
            let now = facts.begun + Duration::from_millis(3000 + n);
            ended(span, client(), &facts, EndReason::GaveWay, now);
        }
    });
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[2].contains("sessions=1000"), "{}", lines[2]);
}

#[test]
fn viewers_that_come_and_go_all_the_time_leave_a_hundred_lines_in_ten_seconds_and_their_number() {
    let record = Record::new(Instant::now());
    record.connected(Metrics::new().rtc().viewers.add("camera", 1).stats());
    let facts = record.read();
    // Later than what other tests log, whose lines count as well.
    let start = facts.begun + Duration::from_secs(3600);
    let over = Path::tcp("192.0.2.7:5".parse().unwrap(), 1).endpoint();
    let lines = logged(|span| {
        for n in 0..10_001 {
            let now = start + Duration::from_millis(n);
            connected(span, client(), over, Duration::ZERO, now);
            ended(span, client(), &facts, EndReason::Deleted, now);
        }
    });
    for kind in ["connected", "left: the viewer left"] {
        let lines: Vec<_> = lines.lines().filter(|line| line.contains(kind)).collect();
        assert_eq!(lines.len(), 101, "{kind}");
        assert!(!lines[99].contains("left_out"), "{}", lines[99]);
        assert!(lines[100].contains("left_out=9900"), "{}", lines[100]);
    }
}
