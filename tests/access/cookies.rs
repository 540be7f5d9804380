//! Cookies: whose they are, how strict they are, and what several of them are worth together.

use super::*;

/// A browser's cookies of one host, as far as they matter here: by name, without paths and times.
#[derive(Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    /// Opens a link, and keeps the cookie.
    fn open(&mut self, daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> String {
        let reply = self.get(daemon, path, headers);
        let set = reply
            .header("set-cookie")
            .unwrap_or_else(|| panic!("{reply:?}"));
        let (name, rest) = set.split_once('=').unwrap();
        let value = rest.split(';').next().unwrap();
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
        set.to_owned()
    }

    fn get(&self, daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Reply {
        let pairs = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        ask(
            daemon,
            "GET",
            path,
            &[&[("cookie", cookies.as_str())], headers].concat(),
        )
    }
}

/// A link's token.
fn share(daemon: &Daemon, stream: &str) -> String {
    let told = command(&daemon.state_dir(), &["share", "--stream", stream]).unwrap();
    let token = told.lines().next().unwrap().split("token=").nth(1);
    token.unwrap().to_owned()
}

#[test]
fn a_weaker_link_leaves_a_stronger_cookie_and_two_links_both_work() {
    let daemon = Daemon::configured(TWO_STREAMS);
    let mut jar = Jar::default();
    for stream in ["porch", "garden"] {
        let link = format!("/{stream}?token={}", share(&daemon, stream));
        jar.open(&daemon, &link, &[]);
    }
    for path in [
        "/porch",
        "/garden",
        "/api/streams/porch",
        "/api/streams/garden",
    ] {
        assert_eq!(jar.get(&daemon, path, &[]).status, 200, "{path}");
    }
    assert_eq!(jar.get(&daemon, "/metrics", &[]).status, 403);
    jar.open(&daemon, &format!("/?token={}", daemon.token()), &[]);
    assert_eq!(jar.get(&daemon, "/metrics", &[]).status, 200);
    // What any holder of a link can have somebody else's browser open.
    jar.open(
        &daemon,
        &format!("/?token={}", share(&daemon, "garden")),
        &[],
    );
    assert_eq!(jar.get(&daemon, "/metrics", &[]).status, 200);
}

#[test]
fn a_cookie_of_another_daemon_or_of_old_is_no_wrong_guess() {
    let daemons = [(); 2].map(|()| Daemon::configured(TWO_STREAMS));
    let mut jar = Jar::default();
    for daemon in &daemons {
        jar.open(daemon, &format!("/?token={}", daemon.token()), &[]);
    }
    // More than wrong guesses are told apart in a row.
    for _ in 0..20 {
        for daemon in &daemons {
            assert_eq!(jar.get(daemon, "/api/streams", &[]).status, 200);
        }
    }
    // Another daemon's, an older version's, and one of our own that has become useless.
    let (own, _) = jar.0[1].clone();
    let foreign = Jar(vec![
        jar.0[0].clone(),
        ("fanlight-8080".into(), "x".into()),
        (own, daemons[0].token()),
    ]);
    for _ in 0..20 {
        assert_eq!(foreign.get(&daemons[1], "/api/streams", &[]).status, 401);
    }
    let metrics = with(&daemons[1], "/metrics", &daemons[1].token()).body;
    let none = "fanlight_auth_failures_total{reason=\"unknown\"} 0";
    let counted = metrics.contains("fanlight_auth_failures_total{reason=\"unknown\"}");
    assert!(
        metrics.contains(none) || !counted,
        "no wrong guess: {metrics}"
    );
    assert!(!daemons[1].log().contains("was refused"));
}

#[test]
fn a_cookie_lasts_over_a_restart() {
    let mut daemon = Daemon::configured(TWO_STREAMS);
    let mut jar = Jar::default();
    jar.open(&daemon, &format!("/?token={}", daemon.token()), &[]);
    daemon.terminate();
    daemon.start_again();
    assert_eq!(jar.get(&daemon, "/api/streams", &[]).status, 200);
}

#[test]
fn behind_a_proxy_that_speaks_https_a_cookie_is_secure() {
    let daemon = Daemon::configured(TWO_STREAMS);
    for https in [
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=192.0.2.1;proto=https"),
    ] {
        let mut jar = Jar::default();
        let set = jar.open(&daemon, &format!("/?token={}", daemon.token()), &[https]);
        assert!(set.starts_with("__Host-fanlight-"), "{set}");
        assert!(
            set.ends_with("; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax; Secure"),
            "{set}"
        );
        assert_eq!(jar.get(&daemon, "/metrics", &[https]).status, 200);
        assert_eq!(jar.get(&daemon, "/metrics", &[]).status, 401);
    }
}

#[test]
fn a_page_in_a_frame_of_another_site_has_its_token_by_cookie_or_keeps_it() {
    let frames = "[http]\nframe_ancestors = [\"https://home.example\"]\n";
    let daemon = Daemon::configured(&format!("{frames}{TWO_STREAMS}"));
    let link = format!("/garden?token={}", share(&daemon, "garden"));
    let framed = [
        ("x-forwarded-proto", "https"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "iframe"),
    ];
    let mut jar = Jar::default();
    let set = jar.open(&daemon, &link, &framed);
    assert!(
        set.ends_with("; HttpOnly; SameSite=None; Secure; Partitioned"),
        "{set}"
    );
    assert_eq!(jar.get(&daemon, "/garden", &framed).status, 200);
    // The page has the token still, since browsers may keep the cookie from it.
    let reply = Jar::default().get(&daemon, &link, &framed);
    assert_eq!(reply.status, 200);
    assert!(reply.body.starts_with("<!doctype html>"));
    assert_eq!(
        Jar::default().get(&daemon, &link, &[]).status,
        200,
        "over plain HTTP"
    );
    let tab = [
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
    ];
    assert_eq!(Jar::default().get(&daemon, &link, &tab).status, 303);
    // What the page then asks for needs no cookie.
    let bearer = format!("Bearer {}", share(&daemon, "garden"));
    let own = [
        ("sec-fetch-site", "same-origin"),
        ("authorization", bearer.as_str()),
    ];
    let bare = Jar::default();
    assert_eq!(bare.get(&daemon, "/api/streams/garden", &own).status, 200);
    assert_eq!(
        bare.get(&daemon, "/api/streams/garden", &own[..1]).status,
        401
    );

    // Where nobody may frame it, the frame gets nothing.
    let daemon = Daemon::configured(TWO_STREAMS);
    let mut jar = Jar::default();
    jar.open(&daemon, &format!("/?token={}", daemon.token()), &[]);
    for dest in ["iframe", "object", "embed"] {
        let framed = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", dest),
        ];
        for path in ["/garden", "/garden/jpeg"] {
            assert_eq!(jar.get(&daemon, path, &framed).status, 403, "{dest} {path}");
        }
    }
    let link = [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    assert_eq!(jar.get(&daemon, "/garden", &link).status, 200);
    assert_eq!(
        jar.get(&daemon, "/garden/jpeg", &link).status,
        403,
        "it starts the camera"
    );
}
