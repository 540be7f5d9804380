//! The HTTP around the exchange: methods, sessions, and pages of other origins.

use crate::daemon::{Running, pattern, request, start, start_with, until};
use crate::exchange::{SDP, ask, header, post, session, text};
use crate::offer::{Answer, plain};
use bytes::Bytes;
use fanlight::config::AuthMode;
use fanlight::config::{CameraDown, IceServer, Source, Stream};
use hyper::{Method, Request, Response};

#[tokio::test]
async fn an_offer_is_answered_with_a_session_at_each_of_its_urls() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    for (path, stream, location) in [
        ("/whep", "camera", "camera/whep/"),
        ("/whep/", "camera", "camera/"),
        ("/camera/whep", "camera", "whep/"),
        ("/camera/whep/", "camera", ""),
        ("/whep/garden", "garden", "garden/"),
        ("/garden/whep", "garden", "whep/"),
    ] {
        let reply = post(&daemon, path, &plain()).await;
        assert_eq!(reply.status(), 201, "{path}");
        assert_eq!(header(&reply, "content-type"), SDP);
        assert_eq!(header(&reply, "cache-control"), "no-store");
        assert_eq!(
            header(&reply, "accept-patch"),
            "application/trickle-ice-sdpfrag"
        );
        // 4.4.1; RFC 9110, 8.8.3: strong, in quotes.
        let tag = header(&reply, "etag");
        assert!(
            tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
            "{tag}"
        );
        let id = header(&reply, "location").strip_prefix(location);
        assert_eq!(id.map(str::len), Some(32), "unguessable");
        let answer = Answer::read(text(&reply));
        assert_eq!(
            Answer::value(answer.video(), "a=msid:"),
            format!("{stream} video")
        );
        let session = session(path, &reply);
        assert_eq!(ask(&daemon, Method::DELETE, &session).await.status(), 200);
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_is_deleted_once_and_by_its_own_url_only() {
    let daemon = start("127.0.0.1", vec![pattern("camera"), pattern("garden")]);
    // Many times, since the media thread has a part in it.
    for _ in 0..20 {
        let reply = post(&daemon, "/whep", &plain()).await;
        let session = &session("/whep", &reply);
        let elsewhere = session.replace("/camera/", "/garden/");
        let unknown = "/camera/whep/00000000000000000000000000000000";
        for (path, status) in [
            (elsewhere.as_str(), 404),
            (unknown, 404),
            (session, 200),
            (session, 404),
            (session, 404),
        ] {
            let reply = ask(&daemon, Method::DELETE, path).await;
            assert_eq!(reply.status(), status, "{path}");
        }
    }
    daemon.stop().await.unwrap();
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let (session, endpoint) = ("/camera/whep/0", "GET, HEAD, POST, OPTIONS");
    for (method, path, allowed) in [
        (Method::DELETE, "/whep", endpoint),
        (Method::PATCH, "/whep", endpoint),
        (Method::PUT, "/camera/whep", endpoint),
        (Method::GET, "/offer", "POST, OPTIONS"),
        (Method::POST, session, "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (Method::PUT, session, "GET, HEAD, PATCH, DELETE, OPTIONS"),
        (Method::POST, "/", "GET, HEAD, OPTIONS"),
        (Method::DELETE, "/healthz", "GET, HEAD, OPTIONS"),
        (Method::TRACE, "/metrics", "GET, HEAD, OPTIONS"),
        (Method::HEAD, "/offer", "POST, OPTIONS"),
    ] {
        let reply = ask(&daemon, method.clone(), path).await;
        assert_eq!(reply.status(), 405, "{method} {path}");
        assert_eq!(header(&reply, "allow"), allowed, "{method} {path}");
        assert_eq!(reply.body().is_empty(), method == Method::HEAD);
    }
    daemon.stop().await.unwrap();
}

/// draft-ietf-wish-whep-03, 4.1: neither has a representation.
#[tokio::test]
async fn endpoints_and_sessions_are_there_and_have_no_content() {
    let daemon = start("127.0.0.1", vec![pattern("camera")]);
    let reply = post(&daemon, "/camera/whep", &plain()).await;
    let session = session("/camera/whep", &reply);
    for method in [Method::GET, Method::HEAD] {
        for (path, status) in [
            ("/whep", 204),
            ("/camera/whep", 204),
            ("/porch/whep", 404),
            (session.as_str(), 204),
            ("/camera/whep/0", 404),
        ] {
            let reply = ask(&daemon, method.clone(), path).await;
            assert_eq!(reply.status(), status, "{method} {path}");
            let has_body = status == 404 && method == Method::GET;
            assert_eq!(reply.body().is_empty(), !has_body, "{method} {path}");
        }
    }
    daemon.stop().await.unwrap();
}

/// RFC 9725, 4.6.
#[tokio::test]
async fn the_configured_ice_servers_are_linked_from_an_answer() {
    let server = |url: &str, login: Option<(&str, &str)>| IceServer {
        url: url.to_owned(),
        login: login.map(|(name, word)| (name.to_owned(), word.to_owned())),
    };
    let daemon = start_with("127.0.0.1", |config| {
        config.whep.ice_servers = vec![
            server("stun:stun.example.net", None),
            server("turn:turn.example.net?transport=tcp", Some(("u", "p"))),
        ];
    });
    let reply = post(&daemon, "/whep", &plain()).await;
    let links = reply.headers().get_all("link").iter();
    assert_eq!(
        links.take(2).collect::<Vec<_>>(),
        [
            r#"<stun:stun.example.net>; rel="ice-server""#,
            r#"<turn:turn.example.net?transport=tcp>; rel="ice-server"; username="u"; credential="p"; credential-type="password""#,
        ]
    );
    // Who may not watch must not learn the password: OPTIONS is open to all.
    let options = ask(&daemon, Method::OPTIONS, "/whep").await;
    assert_eq!(header(&options, "link"), "");
    daemon.stop().await.unwrap();
}

/// draft-ietf-wish-whep-03, 4.2.8.
#[tokio::test]
async fn while_the_camera_is_down_viewers_wait_or_are_refused_as_configured() {
    let missing = || Stream::new("missing", Source::Device("/dev/video99".into()));
    for camera_down in [CameraDown::Wait, CameraDown::Refuse] {
        let daemon = start_with("127.0.0.1", |config| {
            config.whep.camera_down = camera_down;
            config.streams = vec![pattern("camera"), missing()];
        });
        // Nobody knows yet whether it works: the first one makes the daemon try.
        let first = post(&daemon, "/missing/whep", &plain()).await;
        assert_eq!(first.status(), 201);
        until("the camera is found missing", async || {
            daemon.stream("missing").await["state"] == "down"
        })
        .await;
        let reply = post(&daemon, "/missing/whep", &plain()).await;
        if camera_down == CameraDown::Wait {
            assert_eq!(reply.status(), 201);
        } else {
            assert_eq!(reply.status(), 409);
            let wait: u64 = header(&reply, "retry-after").parse().unwrap();
            assert!((1..=10).contains(&wait), "{wait}");
            let said = text(&reply);
            assert!(said.contains("The camera is not connected: plug"), "{said}");
            assert!(!said.contains("/dev/video99"), "for admins: {said}");
            assert_eq!(header(&reply, "content-type"), "application/problem+json");
        }
        assert_eq!(post(&daemon, "/camera/whep", &plain()).await.status(), 201);
        daemon.stop().await.unwrap();
    }
}

const ELSEWHERE: &str = "https://example.org";

/// A browser's question before a request of another origin's page.
async fn preflight(daemon: &Running, path: &str, method: &str) -> Response<Bytes> {
    let preflight = Request::options(path)
        .header("host", "localhost")
        .header("origin", ELSEWHERE)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "content-type");
    request(daemon.address, preflight.body("").unwrap()).await
}

/// A request of that page.
async fn from_elsewhere(daemon: &Running, method: Method, path: &str) -> Response<Bytes> {
    let body = if method == Method::POST {
        plain()
    } else {
        String::new()
    };
    let builder = Request::builder().method(method).uri(path);
    let builder = builder
        .header("host", "localhost")
        .header("origin", ELSEWHERE)
        .header("content-type", SDP);
    request(daemon.address, builder.body(body).unwrap()).await
}

#[tokio::test]
async fn pages_of_the_configured_origins_may_watch() {
    for (origins, allowed) in [
        (vec!["*"], "*"),
        (vec!["http://a", ELSEWHERE], ELSEWHERE),
        (vec!["http://a", "https://example.org:8443"], ""),
        (vec![], ""),
    ] {
        let daemon = start_with("127.0.0.1", |config| {
            config.http.cors_origins = origins.iter().map(|o| (*o).to_owned()).collect();
            // Where a token is needed, "*" is nobody's: tests/access.
            config.auth.mode = AuthMode::None;
        });
        let may = !allowed.is_empty();
        let made = from_elsewhere(&daemon, Method::POST, "/whep").await;
        assert_eq!(made.status(), if may { 201 } else { 403 });
        let own = post(&daemon, "/whep", &plain()).await;
        let session = session("/whep", if may { &made } else { &own });
        for (path, method) in [
            ("/whep", "POST"),
            ("/camera/offer", "POST"),
            (session.as_str(), "DELETE"),
        ] {
            let reply = preflight(&daemon, path, method).await;
            assert_eq!(reply.status(), 204, "{path}");
            assert!(reply.body().is_empty());
            assert_eq!(header(&reply, "access-control-allow-origin"), allowed);
            let list = |name| header(&reply, name).split(", ").collect::<Vec<_>>();
            assert!(list("allow").contains(&method));
            if !origins.is_empty() {
                assert!(list("access-control-allow-methods").contains(&method));
                let headers = list("access-control-allow-headers");
                assert!(headers.contains(&"content-type") && headers.contains(&"if-match"));
            }
            if path == "/whep" {
                assert_eq!(header(&reply, "accept-post"), SDP);
            }
        }
        // They must be able to read where the session is, and why there is none.
        let refused = from_elsewhere(&daemon, Method::POST, "/porch/whep").await;
        let ended = from_elsewhere(&daemon, Method::DELETE, &session).await;
        assert_eq!(
            (refused.status().as_u16(), ended.status().as_u16()),
            if may { (404, 200) } else { (403, 403) }
        );
        for reply in [made, refused, ended] {
            assert_eq!(header(&reply, "access-control-allow-origin"), allowed);
            let varies = !origins.is_empty() && allowed != "*";
            assert_eq!(header(&reply, "vary"), if varies { "origin" } else { "" });
            let exposed = header(&reply, "access-control-expose-headers");
            for name in ["location", "etag", "link"] {
                assert_eq!(exposed.contains(name), !allowed.is_empty(), "{exposed}");
            }
        }
        daemon.stop().await.unwrap();
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_not_read_the_rest() {
    let daemon = start_with("127.0.0.1", |config| {
        config.http.cors_origins = vec!["*".to_owned()];
    });
    for path in ["/", "/metrics", "/healthz"] {
        for method in [Method::GET, Method::OPTIONS] {
            let reply = from_elsewhere(&daemon, method, path).await;
            assert_eq!(header(&reply, "access-control-allow-origin"), "", "{path}");
        }
    }
    daemon.stop().await.unwrap();
}
