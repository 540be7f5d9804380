//! `/metrics`, in both formats, as Prometheus' own tool reads them; the reference lists every name.

use crate::daemon::{Running, pattern, request, start};
use crate::exchange::{header, text};
use crate::viewer::Viewer;
use hyper::Request;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// As Prometheus asks.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The reply's type, and its text.
async fn scrape(daemon: &Running, accept: Option<&str>) -> (String, String) {
    let mut get = Request::get("/metrics").header("host", "localhost");
    if let Some(accept) = accept {
        get = get.header("accept", accept);
    }
    let reply = request(daemon.address, get.body(String::new()).unwrap()).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(header(&reply, "vary"), "accept");
    (
        header(&reply, "content-type").to_owned(),
        text(&reply).to_owned(),
    )
}

/// On the path, or where `scripts/setup.sh test` unpacks it.
fn promtool() -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let mut folders = std::env::split_paths(&paths).chain([own]);
    let found = folders.find(|folder| folder.join("promtool").is_file());
    found
        .expect("no promtool: run scripts/setup.sh test")
        .join("promtool")
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(promtool())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// A daemon of which every kind of figure has a value.
async fn watched() -> (Running, Viewer) {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    let mut viewer = Viewer::connect(daemon.address, "/camera/whep").await;
    tokio::task::block_in_place(|| viewer.counters(40));
    (daemon, viewer)
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong_with_the_text() {
    let (daemon, _viewer) = watched().await;
    let (kind, exposition) = scrape(&daemon, None).await;
    assert_eq!(kind, TEXT);
    let output = run(&["check", "metrics"], &exposition);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{exposition}"
    );
    // It is not taken as it comes: OpenMetrics is refused.
    let (_, open) = scrape(&daemon, Some(OPEN)).await;
    assert!(!run(&["check", "metrics"], &open).status.success());
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_open_metrics() {
    let (daemon, _viewer) = watched().await;
    let (kind, exposition) = scrape(&daemon, Some(PROMETHEUS)).await;
    assert_eq!(kind, OPEN);
    // The tool has a reader of OpenMetrics for files of the past, whose samples bear their times.
    let stamped: String = exposition
        .lines()
        .map(|line| match line.starts_with('#') {
            true => format!("{line}\n"),
            false => format!("{line} 1700000000\n"),
        })
        .collect();
    let folder = std::env::temp_dir().join(format!("fanlight-openmetrics-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let read = |text: &str| {
        let file = folder.join("text");
        std::fs::write(&file, text).unwrap();
        let (file, blocks) = (file.to_str().unwrap(), folder.join("blocks"));
        let arguments = [
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            file,
            blocks.to_str().unwrap(),
        ];
        run(&arguments, "")
    };
    let output = read(&stamped);
    assert!(output.status.success(), "{output:?}\n{stamped}");
    let cut = stamped.strip_suffix("# EOF\n").unwrap();
    assert!(!read(cut).status.success(), "an end is missing");
    std::fs::remove_dir_all(folder).unwrap();
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn the_format_is_what_is_asked_for() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    for (accept, expected) in [
        (None, TEXT),
        (Some("*/*"), TEXT),
        (Some("text/plain;version=0.0.4"), TEXT),
        (Some("application/json"), TEXT),
        (
            Some("application/openmetrics-text;q=0.4,text/plain;q=0.5"),
            TEXT,
        ),
        (Some(PROMETHEUS), OPEN),
        (Some("application/openmetrics-text"), OPEN),
    ] {
        let (kind, text) = scrape(&daemon, accept).await;
        assert_eq!(kind, expected, "{accept:?}");
        assert_eq!(text.ends_with("# EOF\n"), expected == OPEN);
        assert_eq!(text.contains("# UNIT "), expected == OPEN);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_lists_every_metric_and_no_other_and_no_label_names_a_viewer() {
    let (daemon, _viewer) = watched().await;
    let (_, exposition) = scrape(&daemon, None).await;
    let types = exposition
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<_> = types.map(str::to_owned).collect();
    let reference = include_str!("../../docs/metrics.md");
    let rows = reference.lines().filter(|line| line.starts_with("| `"));
    let listed = rows.map(|row| {
        let mut cells = row.split('|').map(str::trim).skip(1);
        let name = cells.next().unwrap().trim_matches('`');
        format!("{name} {}", cells.next().unwrap())
    });
    assert_eq!(exposed, listed.collect());

    let labels = exposition.lines().filter_map(|line| line.split_once('{'));
    let labels = labels.flat_map(|(_, rest)| rest.split_once('}').unwrap().0.split("\","));
    let names: BTreeSet<_> = labels
        .map(|label| label.split('=').next().unwrap())
        .collect();
    let known = [
        "flaw",
        "kind",
        "le",
        "limit",
        "reason",
        "state",
        "stream",
        "transport",
        "version",
    ];
    assert_eq!(names.into_iter().collect::<Vec<_>>(), known);
    // What never happened is there.
    for line in [
        "fanlight_refused_total{limit=\"viewers\"} 0",
        "fanlight_stream_failures_total{stream=\"garden\",kind=\"busy\"} 0",
        "fanlight_stream_flaw{stream=\"garden\",flaw=\"frozen\"} 0",
        "fanlight_stream_state{stream=\"garden\",state=\"idle\"} 1",
        "fanlight_stream_state{stream=\"garden\",state=\"down\"} 0",
        "fanlight_auth_failures_total{reason=\"expired\"} 0",
        "fanlight_sessions_ended_total{reason=\"lost\"} 0",
        "fanlight_latency_seconds_count{stream=\"garden\"} 0",
    ] {
        assert!(
            exposition.lines().any(|l| l == line),
            "{line} is not in\n{exposition}"
        );
    }
    daemon.stop().await.unwrap();
}
