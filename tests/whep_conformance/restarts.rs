//! ICE restarts (4.4.3) and the end of sessions (4.3), as a viewer sees them that decodes every picture.

use crate::daemon::{pattern, request, start, until};
use crate::viewer::Viewer;
use hyper::{Request, StatusCode};

/// Runs a viewer's blocking part beside the daemon.
fn watching<T>(watch: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(watch)
}

/// Neither stale nor doubled nor reordered.
fn assert_in_order(counters: &[u32]) {
    assert!(counters.is_sorted_by(|a, b| a < b), "{counters:?}");
}

/// draft-ietf-wish-whep-03, 4.4.3: the viewer has moved, and goes on in the same DTLS session.
#[tokio::test(flavor = "multi_thread")]
async fn after_an_ice_restart_the_pictures_go_on_at_the_viewers_new_address() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    let mut counters = watching(|| viewer.counters(20));
    for _ in 0..2 {
        viewer.restart().await;
        counters.extend(watching(|| viewer.counters(20)));
    }
    assert_in_order(&counters);
    assert!(!viewer.is_closed);
    let sessions = daemon.metric("fanlight_sessions_total").await;
    let active = daemon.metric("fanlight_sessions_active").await;
    assert_eq!((sessions, active), (1.0, 1.0));
    daemon.stop().await.unwrap();
}

/// As a viewer does that learns of a relay by the answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_ice_restart_before_the_first_connection_is_as_good() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    viewer.restart().await;
    viewer.restart().await;
    assert_in_order(&watching(|| viewer.counters(20)));
    viewer.restart().await;
    assert_in_order(&watching(|| viewer.counters(20)));
    daemon.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_is_closed_at_once_and_the_source_with_the_last_one() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    assert_eq!(daemon.stream("camera").await["state"], "idle");
    let mut viewer = Viewer::connect(daemon.address, "/whep").await;
    watching(|| viewer.counters(5));
    assert_eq!(daemon.stream("camera").await["state"], "live");
    assert_eq!(daemon.stream("camera").await["viewers"], 1);
    for expected in [StatusCode::OK, StatusCode::NOT_FOUND] {
        let delete = Request::delete(&viewer.location).header("host", "localhost");
        let reply = request(daemon.address, delete.body(String::new()).unwrap()).await;
        assert_eq!(reply.status(), expected);
    }
    // The viewer hears of it by DTLS.
    watching(|| viewer.receive(|_| false));
    assert!(viewer.is_closed);
    until("the source is closed", async || {
        daemon.stream("camera").await["state"] == "idle"
    })
    .await;
    daemon.stop().await.unwrap();
}
