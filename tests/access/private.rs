//! What is told to admins alone: which camera it is, who else uses it, and by which link people watch.

use super::*;
use crate::support::eventually;
use crate::support::http::request;

const SECRET: &str = "S3R1AL";

const A_CAMERA: &str = r#"
[[stream]]
name = "porch"
device = "usb:046d:082d:S3R1AL"

[[stream]]
name = "garden"
pattern = true
size = "320x180"

[whep]
camera_down = "refuse"
"#;

/// A link with that scope: its token.
fn share(daemon: &Daemon, scope: &str) -> String {
    made(daemon, &["--scope", scope])
}

/// The token of a link that is made with those arguments.
fn made(daemon: &Daemon, arguments: &[&str]) -> String {
    let told = command(&daemon.state_dir(), &[&["share"], arguments].concat()).unwrap();
    let link = told.split("token=").nth(1).unwrap();
    link.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn viewers_are_not_told_which_camera_it_is() {
    let daemon = Daemon::configured_at("127.0.0.1:0", A_CAMERA);
    let link = share(&daemon, "view");
    // Somebody watches, so that the camera is tried.
    let bearer = format!("Bearer {}", daemon.token());
    let images = std::thread::spawn({
        let address = daemon.address();
        move || {
            let headers = [("host", "camera.lan"), ("authorization", &*bearer)];
            request(address, "GET", "/porch/jpeg", &headers, b"").unwrap()
        }
    });
    let path = "/api/streams/porch";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(eventually("the failure", async || {
        let stream = with(&daemon, path, &daemon.token()).json();
        let is_down = !stream["error"].is_null();
        is_down.then_some(()).ok_or(stream.to_string())
    }));
    let refused = images.join().unwrap();
    assert_eq!(refused.status, 503);
    assert!(!refused.body.contains(SECRET), "{}", refused.body);

    let told = with(&daemon, path, &daemon.token()).json();
    assert_eq!(told["source"], format!("usb:046d:082d:{SECRET}"));
    assert!(told.as_object().unwrap().contains_key("device"));
    let mut seen = 0;
    for path in [path, "/api/streams", "/porch/jpeg", "/"] {
        let reply = with(&daemon, path, &link);
        assert!(!reply.body.contains(SECRET), "{path}: {}", reply.body);
        seen += usize::from(reply.body.contains("The camera is not connected"));
    }
    assert!(seen >= 1, "the failure itself is no secret");
    let stream = with(&daemon, path, &link).json();
    for key in ["source", "device"] {
        assert!(!stream.as_object().unwrap().contains_key(key), "{stream}");
    }
    assert_eq!(stream["controls"], false);
    assert_eq!(stream["present"], false);
    // An admin who may not watch is still an admin.
    assert_eq!(
        with(&daemon, "/api/viewers", &share(&daemon, "admin")).status,
        200
    );
    for path in ["/api/viewers", "/api/viewers/1"] {
        let method = if path.ends_with('1') { "DELETE" } else { "GET" };
        let bearer = format!("Bearer {link}");
        let reply = ask(&daemon, method, path, &[("authorization", &bearer)]);
        assert_eq!(reply.status, 403, "{path}");
        assert_eq!(
            reply.json()["type"],
            "urn:fanlight:problem:insufficient-scope"
        );
    }
    assert_eq!(ask(&daemon, "GET", "/api", &[]).status, 401);
    assert_eq!(with(&daemon, "/api", &link).status, 200);
}

#[test]
fn who_came_by_a_link_is_listed_with_it_and_can_be_ended() {
    let daemon = Daemon::configured_at("127.0.0.1:0", A_CAMERA);
    let link = made(&daemon, &["--name", "grandma"]);
    let reader = std::thread::spawn({
        let (address, link) = (daemon.address(), link.clone());
        move || {
            let path = format!("/garden/mjpeg?token={link}");
            let headers = [("host", "camera.lan"), ("user-agent", "grandma's tablet")];
            request(address, "GET", &path, &headers, b"")
        }
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let viewer = runtime.block_on(eventually("the viewer", async || {
        let list = with(&daemon, "/api/viewers", &daemon.token()).json();
        let first = list["viewers"][0].clone();
        (!first.is_null()).then_some(first).ok_or(list.to_string())
    }));
    assert_eq!(viewer["link"], link.split('.').nth(1).unwrap());
    assert_eq!(viewer["link_name"], "grandma");
    assert_eq!(viewer["user_agent"], "grandma's tablet");
    assert_eq!(viewer["address"], "127.0.0.1");
    let bearer = format!("Bearer {}", daemon.token());
    let path = format!("/api/viewers/{}", viewer["id"]);
    let ended = ask(&daemon, "DELETE", &path, &[("authorization", &bearer)]);
    assert_eq!(ended.status, 204);
    let images = reader.join().unwrap().unwrap();
    assert_eq!(images.status, 200);
}
