//! Tests of the configuration: good files mean what they say, bad ones are answered with every problem at once.

mod daemon;
mod streams;

use super::*;

/// Everything that `text` is told, one line a problem.
fn complaint(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

/// The complaint about one key of an otherwise good stream, without the line and the key.
fn told(key_and_value: &str) -> String {
    let text = format!("[[stream]]\nname = \"a\"\npattern = true\n{key_and_value}");
    let complaint = complaint(&text);
    let key = key_and_value.split(' ').next().unwrap();
    let start = format!("line 4: stream[0].{key}: ");
    match complaint.strip_prefix(&start) {
        Some(message) => message.to_owned(),
        None => panic!("{complaint:?} does not start with {start:?}"),
    }
}

/// The one stream of a file that adds this to a minimal stream.
fn stream(lines: &str) -> Stream {
    let text = format!("[[stream]]\nname = \"a\"\npattern = true\n{lines}");
    let mut streams = Config::parse(&text).unwrap().streams;
    assert_eq!(streams.len(), 1);
    streams.remove(0)
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = Config::parse("# nothing\n").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.http.listen.to_string(), "[::]:8080");
    assert_eq!(config.streams[0].name, "camera");
}

#[test]
fn a_file_with_every_key_means_what_it_says() {
    let config = Config::parse(
        r#"
        [http]
        listen = "127.0.0.1:80"
        public_url = "https://cam.example/garden"
        cors_origins = ["https://Example.org", "http://[::1]:3000"]
        frame_ancestors = ["https://Example.org", "*"]
        hosts = ["Cam.example.org", "camera"]
        [tls]
        certificate = "/etc/a.pem"
        key = "/etc/b.pem"
        redirect = 80
        [auth]
        mode = "jwt"
        jwt_keys = "/etc/jwks.json"
        jwt_audience = "cam"
        jwt_issuer = "me"
        [rtc]
        listen = ":5000"
        tcp_listen = ":5001"
        external_addresses = ["203.0.113.7", "2001:db8::7", "stun:stun.example.org"]
        interfaces = ["eth*"]
        exclude_interfaces = ["eth1"]
        [state]
        directory = "/var/lib/fanlight"
        [whep]
        camera_down = "refuse"
        require_if_match = false
        ice_servers = [
            "stun:stun.example.org",
            { url = "turn:turn.example.org?transport=tcp", username = "u", credential = "p" },
        ]
        [limits]
        viewers = 50
        viewers_per_stream = 40
        viewers_per_address = 30
        setups = 20
        connections = 10
        connections_per_address = 9
        request_rate = 8
        request_burst = 7
        request_size = "64k"
        header_time = "6s"
        idle_time = "5m"
        body_rate = 400
        shared_addresses = ["10.0.0.0/8", "192.168.1.5"]
        [[stream]]
        name = "door"
        device = "/dev/v4l/by-id/usb-cam"
        backend = "Nokhwa"
        size = "640x480"
        fps = 12.5
        format = "MJPEG"
        rotate = 270
        flip = "Horizontal"
        encode = "Always"
        bitrate = "800k"
        keyframe_interval = "1500ms"
        playout_delay = ["0ms", "200ms"]
        linger = "1m"
        always_on = true
        slate = false
        usb_reset = true
        watchdog = false
        [[stream]]
        name = "test"
        pattern = true
        format = "auto"
        "#,
    )
    .unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:80");
    assert_eq!(config.rtc.listen.to_string(), "[::]:5000");
    let tcp_listen = TcpListen::At("[::]:5001".parse().unwrap());
    assert_eq!(config.rtc.tcp_listen, tcp_listen);
    assert_eq!(config.rtc.external_addresses.len(), 3);
    assert!(config.rtc.offers("eth0").is_ok() && config.rtc.offers("eth1").is_err());
    let public = config.http.public_url.as_deref();
    assert_eq!(public, Some("https://cam.example/garden/"));
    assert_eq!(config.http.frame_ancestors, ["https://example.org", "*"]);
    assert_eq!(config.http.hosts, ["Cam.example.org", "camera"]);
    let certificate = Certificate::Files {
        chain: "/etc/a.pem".into(),
        key: "/etc/b.pem".into(),
    };
    let redirect = Some("[::]:80".parse().unwrap());
    let tls = Tls {
        certificate,
        redirect,
    };
    assert_eq!(config.tls, Some(tls));
    let mode = AuthMode::Jwt {
        keys: "/etc/jwks.json".into(),
        audience: Some("cam".into()),
        issuer: Some("me".into()),
    };
    assert_eq!(config.auth, Auth { mode });
    let limits = Limits {
        viewers: 50,
        viewers_per_stream: 40,
        viewers_per_address: 30,
        setups: 20,
        connections: 10,
        connections_per_address: 9,
        request_rate: 8,
        request_burst: 7,
        request_size: 65_536,
        header_time: Duration::from_secs(6),
        idle_time: Duration::from_secs(300),
        body_rate: 400,
        shared_addresses: vec![
            "10.0.0.0/8".parse().unwrap(),
            "192.168.1.5".parse().unwrap(),
        ],
    };
    assert_eq!(config.limits, limits);
    let directory = Some("/var/lib/fanlight".into());
    assert_eq!(config.state.directory, directory);
    let origins = ["https://example.org", "http://[::1]:3000"];
    assert_eq!(config.http.cors_origins, origins);
    assert_eq!(config.whep.camera_down, CameraDown::Refuse);
    assert!(!config.whep.require_if_match);
    let login = config.whep.ice_servers[1].login.as_ref().unwrap();
    assert_eq!((login.0.as_str(), login.1.as_str()), ("u", "p"));
    let door = Stream {
        name: "door".to_owned(),
        source: Source::Device("/dev/v4l/by-id/usb-cam".into()),
        backend: Backend::Nokhwa,
        size: Size::new(640, 480),
        fps: FrameRate::from_f64(12.5).unwrap(),
        format: Some(PixelFormat::Mjpeg),
        rotate: Rotation::ThreeQuarters,
        flip: Flip::Horizontal,
        encode: Encode::Always,
        bitrate: 800_000,
        keyframe_interval: Duration::from_millis(1500),
        playout_delay: PlayoutDelay {
            min: Duration::ZERO,
            max: Duration::from_millis(200),
        },
        linger: Duration::from_secs(60),
        always_on: true,
        slate: false,
        usb_reset: true,
        watchdog: false,
    };
    let test = Stream::new("test", Source::Pattern(TestPicture::Bars));
    assert_eq!(config.streams, [door, test]);
}

#[test]
fn every_problem_is_reported_at_once_with_its_key_line_and_cure() {
    let text = r#"
[http]
listn = 8080
[[stream]]
name = "door"
device = "/dev/video0"
fps = 300
[[stream]]
name = "door"
device = "/dev/video0"
pattern = true
bitrate = "fast"
[[stream]]
size = "641x480"
colour = "sepia"
"#;
    let expected = r#"
line 3: http.listn: unknown key; did you mean `listen`?
line 7: stream[0].fps: 300 is not in 1 to 120
line 9: stream[1].name: "door" is already the name of stream[0]
line 11: stream[1].pattern: the stream also has a device; keep only one of the two
line 12: stream[1].bitrate: "fast" is not bits per second, such as bitrate = "2.5M", "800k" or 2500000
line 13: stream[2]: has no name; add one, such as name = "camera": it becomes part of the URL
line 13: stream[2]: has no source; add device = "/dev/video0", or pattern = true for the test pattern
line 14: stream[2].size: 641x480 has an odd side, which H.264 does not allow; use 640x480
line 15: stream[2].colour: unknown key; the keys here are name, device, pattern, backend, size, fps, format, rotate, flip, encode, bitrate, keyframe_interval, playout_delay, linger, always_on, slate, usb_reset, watchdog
"#;
    assert_eq!(complaint(text), expected.trim());
}

#[test]
fn errors_of_syntax_stand_beside_the_others_and_hide_nothing() {
    let complaint = complaint("[http\nlisten = 8080\n[rtc]\nlissen = 1\n[[stream]]\nfps = 0\n");
    let lines: Vec<_> = complaint.lines().collect();
    assert!(lines[0].starts_with("line 1: "), "{complaint}");
    assert!(complaint.contains("line 4: rtc.lissen: "), "{complaint}");
    assert!(complaint.contains("line 6: stream[0].fps: "), "{complaint}");
    assert!(!complaint.contains("has no name"), "{complaint}");
}

#[test]
fn a_key_given_twice_is_an_error() {
    let complaint = complaint("[http]\nlisten = 1\nlisten = 2\n");
    assert_eq!(complaint, "line 3: duplicate key");
}

#[test]
fn an_unknown_key_is_answered_with_the_key_that_was_meant() {
    for (wrong, right) in [
        ("frame_rate", "fps"),
        ("keyframe-interval", "keyframe_interval"),
        ("Bitrate", "bitrate"),
        ("resolution", "size"),
    ] {
        let expected = format!("unknown key; did you mean `{right}`?");
        assert_eq!(told(&format!("{wrong} = 1")), expected);
    }
    let complaint = complaint("bitrate = 1\nlisten = 2\n[[streams]]\n\"a b\".c = 1\n");
    assert_eq!(
        complaint,
        "line 1: bitrate: unknown key here; it belongs under [[stream]]\n\
         line 2: listen: unknown key here; it belongs under [http] or [rtc]\n\
         line 3: streams: unknown key; did you mean `stream`?"
    );
}

#[test]
fn tables_and_lists_of_tables_are_not_confused() {
    let complaint = complaint("http = 1\n[stream]\n[[rtc]]\n");
    assert_eq!(
        complaint,
        "line 1: http: 1 is a number; expected a table: [http] on a line of its own\n\
         line 2: stream: there can be several streams; write [[stream]] in double brackets\n\
         line 3: rtc: there is only one such table; write [rtc]"
    );
    assert!(super::Config::parse("stream = []").is_err());
    assert!(super::Config::parse("stream = [1]").is_err());
}

#[test]
fn a_file_is_named_in_each_of_its_problems() {
    let folder = std::env::temp_dir().join(format!("fanlight-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.toml");
    let shown = path.display();
    assert_eq!(
        Config::load(&path).unwrap_err().to_string(),
        format!("{shown}: can't be read: No such file or directory")
    );
    std::fs::write(&path, b"# fine\n# \xff\n").unwrap();
    assert_eq!(
        Config::load(&path).unwrap_err().to_string(),
        format!("{shown}: line 2 is not UTF-8 text; save the file as UTF-8")
    );
    std::fs::write(&path, "a = 1\n[http]\nlisten = 70000\n").unwrap();
    let errors = Config::load(&path).unwrap_err();
    assert_eq!(errors.problems().len(), 2);
    assert!(errors.to_string().starts_with(&format!("{shown}:1: a: ")));
    assert!(
        errors
            .to_string()
            .contains(&format!("\n{shown}:3: http.listen: "))
    );
    std::fs::write(&path, "\u{feff}[http]\r\nlisten = 70\r\n").unwrap();
    assert_eq!(Config::load(&path).unwrap().http.listen.port(), 70);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_file_in_another_format_is_told_as_such_and_as_nothing_else() {
    for (text, format) in [
        ("# cameras\nstreams:\n  - name: a\n    fps: 30\n", "YAML"),
        ("---\nhttp: {}\n", "YAML"),
        ("- name: a\n", "YAML"),
        ("{ \"http\": {} }\n", "JSON"),
    ] {
        let told = complaint(text);
        assert!(
            told.starts_with(&format!("this looks like {format}, ")),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    // Broken TOML stays TOML.
    let told = complaint("[http]\nlisten = \"a:1\n");
    assert!(!told.contains("looks like"), "{told}");
}
