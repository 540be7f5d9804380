//! What the configuration promises: good files mean what they say, bad ones are answered with every problem at once.

use super::*;

/// Everything that `text` is told, one line a problem.
fn complaint(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

/// What one key of an otherwise good stream is told, without the line and the key.
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
        cors_origins = ["https://Example.org", "http://[::1]:3000"]
        frame_ancestors = ["https://Example.org", "*"]
        [tls]
        certificate = "/etc/a.pem"
        key = "/etc/b.pem"
        redirect = 80
        [auth]
        mode = "jwt"
        loopback = false
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
    assert_eq!(config.http.frame_ancestors, ["https://example.org", "*"]);
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
    let loopback = false;
    assert_eq!(config.auth, Auth { mode, loopback });
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
fn media_follows_the_http_address_unless_told_otherwise() {
    let config = Config::parse("[http]\nlisten = 9000").unwrap();
    assert_eq!(config.rtc.listen.to_string(), "[::]:9000");
    let config = Config::parse("[http]\nlisten = 9000\n[rtc]\nlisten = 9001").unwrap();
    assert_eq!(config.rtc.listen.to_string(), "[::]:9001");
}

#[test]
fn media_over_tcp_is_where_http_is_unless_told_otherwise() {
    let of = |line: &str| Config::parse(&format!("[rtc]\n{line}"));
    let read = |line| of(line).unwrap().rtc.tcp_listen;
    let at = |text: &str| TcpListen::At(text.parse().unwrap());
    assert_eq!(read(""), TcpListen::Http);
    assert_eq!(read("tcp_listen = \"http\""), TcpListen::Http);
    assert_eq!(read("tcp_listen = \"off\""), TcpListen::Off);
    assert_eq!(read("tcp_listen = 443"), at("[::]:443"));
    assert_eq!(read("tcp_listen = \"192.0.2.1:443\""), at("192.0.2.1:443"));
    let refused = of("tcp_listen = \"on\"").unwrap_err().to_string();
    assert!(
        refused.contains("or \"http\", where HTTP is, or \"off\""),
        "{refused}"
    );
    assert!(of("tcp_listen = true").is_err());
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
line 11: stream[1].pattern: the stream also has a device; keep the one that is meant
line 12: stream[1].bitrate: "fast" is not bits per second, such as bitrate = "2.5M", "800k" or 2500000
line 13: stream[2]: has no name; add one, such as name = "camera": it becomes part of the URL
line 13: stream[2]: has no source; add device = "/dev/video0", or pattern = true for the test pattern
line 14: stream[2].size: 641x480 has an odd side, which H.264 video can't have; take 640x480
line 15: stream[2].colour: unknown key; there are name, device, pattern, backend, size, fps, format, rotate, flip, encode, bitrate, keyframe_interval, playout_delay, linger, always_on, slate, usb_reset, watchdog
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
         line 2: stream: there can be many; write [[stream]] in double brackets\n\
         line 3: rtc: there is only one; write [rtc]"
    );
    assert!(super::Config::parse("stream = []").is_err());
    assert!(super::Config::parse("stream = [1]").is_err());
}

#[test]
fn names_that_are_urls_of_the_daemon_are_refused() {
    for word in RESERVED_NAMES {
        let complaint = complaint(&format!("[[stream]]\nname = \"{word}\"\npattern = true"));
        assert!(complaint.contains("is the daemon's own"), "{complaint}");
    }
    for bad in ["", "a/b", "tür", "robots.txt", &"a".repeat(65)] {
        let complaint = complaint(&format!("[[stream]]\nname = \"{bad}\"\npattern = true"));
        assert!(complaint.contains("is not 1 to 64 of"), "{complaint}");
    }
}

#[test]
fn one_camera_cannot_serve_two_streams() {
    let text = |second: &str| {
        format!(
            "[[stream]]\nname = \"a\"\ndevice = \"/dev/video0\"\n[[stream]]\nname = \"b\"\n{second}"
        )
    };
    let complaint = complaint(&text("device = \"/dev/video0\""));
    assert!(
        complaint.starts_with("line 6: stream[1].device: /dev/video0 already belongs to stream[0]")
    );
    Config::parse(&text("device = \"/dev/video2\"")).unwrap();
}

#[test]
fn the_pattern_can_be_switched_off_in_favour_of_a_device() {
    let text = "[[stream]]\nname = \"a\"\npattern = false\n";
    assert!(complaint(text).contains("has no source"));
    let config = Config::parse(&format!("{text}device = \"/dev/video1\"")).unwrap();
    assert_eq!(
        config.streams[0].source,
        Source::Device("/dev/video1".into())
    );
}

#[test]
fn the_pattern_has_two_pictures() {
    let source = |value: &str| {
        let text = format!("[[stream]]\nname = \"a\"\npattern = {value}");
        let config = Config::parse(&text).map_err(|errors| errors.to_string())?;
        Ok::<_, String>(config.streams[0].source.clone())
    };
    for (value, picture) in [
        ("true", TestPicture::Bars),
        ("\"bars\"", TestPicture::Bars),
        ("\"Noise\"", TestPicture::Noise),
    ] {
        assert_eq!(source(value), Ok(Source::Pattern(picture)));
    }
    for (value, complaint) in [
        (
            "\"snow\"",
            "\"snow\" is not true, false, \"bars\" or \"noise\"",
        ),
        (
            "1",
            "1 is a number; expected true, false, \"bars\" or \"noise\"",
        ),
    ] {
        let expected = format!("line 3: stream[0].pattern: {complaint}");
        assert_eq!(source(value), Err(expected));
    }
}

#[test]
fn bitrates_are_numbers_or_carry_a_unit() {
    for (written, bits) in [
        ("2500000", 2_500_000),
        ("1_000_000", 1_000_000),
        ("\"2.5M\"", 2_500_000),
        ("\"800k\"", 800_000),
        ("\"800 k\"", 800_000),
        ("\"100000\"", 100_000),
    ] {
        assert_eq!(stream(&format!("bitrate = {written}")).bitrate, bits);
    }
    for (written, message) in [
        ("2500", "2500 is not in 50k to 100M bits per second"),
        ("\"101M\"", "\"101M\" is not in 50k to 100M bits per second"),
        ("-1", "-1 is not in 50k to 100M bits per second"),
    ] {
        assert_eq!(told(&format!("bitrate = {written}")), message);
    }
    for written in ["2.5", "\"2.5G\"", "\"M\"", "\"1.2.3M\"", "\"-1M\"", "true"] {
        assert!(told(&format!("bitrate = {written}")).contains("such as bitrate = \"2.5M\""));
    }
}

#[test]
fn times_are_seconds_or_carry_a_unit() {
    for (written, millis) in [
        ("0", 0),
        ("2", 2000),
        ("1.5", 1500),
        ("\"4s\"", 4000),
        ("\"500ms\"", 500),
        ("\"10\"", 10_000),
        ("\"60m\"", 3_600_000),
        ("\"1h\"", 3_600_000),
    ] {
        let linger = stream(&format!("linger = {written}")).linger;
        assert_eq!(linger, Duration::from_millis(millis), "{written}");
    }
    assert_eq!(told("linger = \"2h\""), "\"2h\" is not in 0 s to 1 h");
    assert_eq!(told("linger = -1"), "-1 is not in 0 s to 1 h");
    assert_eq!(told("linger = nan"), "nan is not in 0 s to 1 h");
    assert_eq!(
        told("keyframe_interval = 0.4"),
        "0.4 is not in 0.5 s to 60 s"
    );
    assert!(told("linger = \"soon\"").contains("such as \"4s\""));
    assert!(told("linger = 07:32:00").contains("is a date or a time of day"));
}

#[test]
fn the_playout_delay_is_one_time_or_two_in_order() {
    let millis = |text: &str| {
        let PlayoutDelay { min, max } = stream(&format!("playout_delay = {text}")).playout_delay;
        (min.as_millis(), max.as_millis())
    };
    for (text, expected) in [
        ("0", (0, 0)),
        ("\"120ms\"", (120, 120)),
        ("0.125", (130, 130)),
        ("[0, \"40.95s\"]", (0, 40_950)),
        ("[\"50ms\", 0.05]", (50, 50)),
    ] {
        assert_eq!(millis(text), expected, "{text}");
    }
    for (text, problem) in [
        ("\"41s\"", "\"41s\" is not in 0 s to 40.95 s"),
        ("[0, 41]", "41 is not in 0 s to 40.95 s"),
        (
            "[0.2, 0.1]",
            "the least, 200ms, is more than the most, 100ms",
        ),
        (
            "[0]",
            "this is no list of two; expected a time or a list of two, the least and the most, \
             such as \"0ms\" or [\"0ms\", \"200ms\"]",
        ),
        (
            "true",
            "true is a boolean; expected a time, such as \"4s\", \"500ms\" or a number of seconds",
        ),
    ] {
        assert_eq!(told(&format!("playout_delay = {text}")), problem);
    }
}

#[test]
fn what_is_never_encoded_has_to_come_encoded() {
    let camera = "[[stream]]\nname = \"a\"\ndevice = \"/dev/video0\"\n";
    for encode in Encode::ALL {
        let text = format!("{camera}encode = \"{}\"", encode.name());
        assert_eq!(Config::parse(&text).unwrap().streams[0].encode, encode);
    }
    let told = |lines: &str| complaint(&format!("{camera}{lines}"));
    assert_eq!(
        told("encode = \"never\"\nformat = \"mjpeg\""),
        "line 4: stream[0].encode: \"never\" needs the camera's H.264; mjpeg has to be encoded"
    );
    assert!(told("format = \"h264\"\nencode = \"always\"").contains("h264 is passed through"));
    assert!(told("encode = \"maybe\"").ends_with("is not one of always, auto, never"));
    assert!(told("encode = true").contains("expected one of always, auto, never"));
    assert!(told("encode = \"never\"\nrotate = 90").contains("rotate and flip need them encoded"));
    let pattern = "[[stream]]\nname = \"a\"\npattern = true\nencode = \"never\"";
    assert!(complaint(pattern).contains("the test pattern has to be encoded"));
}

#[test]
fn rates_sizes_and_formats_have_their_ranges() {
    assert_eq!(stream("fps = 120").fps, FrameRate::whole(120));
    for bad in [
        "0",
        "0.9999",
        "120.001",
        "nan",
        "inf",
        "1e400",
        &"9".repeat(60),
    ] {
        assert!(
            told(&format!("fps = {bad}")).ends_with("is not in 1 to 120"),
            "{bad}"
        );
    }
    assert_eq!(
        told("fps = \"fast\""),
        "\"fast\" is a string; expected frames per second, such as fps = 30, fps = 12.5 or fps = \"29.97\""
    );
    assert_eq!(stream("size = \"16x16\"").size, Size::new(16, 16));
    assert_eq!(
        told("size = \"3842x2160\""),
        "3842x2160 is not in 16x16 to 3840x2160"
    );
    assert!(told("size = [640, 480]").contains("WIDTHxHEIGHT"));
    for format in PixelFormat::CAPTURED {
        assert_eq!(
            stream(&format!("format = \"{format}\"")).format,
            Some(format)
        );
    }
    assert_eq!(
        told("format = \"mjpg\""),
        "\"mjpg\" is not known; did you mean \"mjpeg\"?"
    );
    assert_eq!(
        told("format = \"rgb\""),
        "\"rgb\" is not one of auto, yuyv, nv12, mjpeg, h264"
    );
    for rotation in Rotation::ALL {
        let turned = stream(&format!("rotate = {}", rotation.degrees()));
        assert_eq!(turned.orientation(), Orientation::new(rotation, Flip::None));
    }
    for bad in ["45", "-90", "360"] {
        let told = told(&format!("rotate = {bad}"));
        assert!(told.ends_with("is not one of 0, 90, 180, 270: degrees clockwise, without quotes"));
    }
    assert!(told("rotate = \"90\"").contains("without quotes"));
    assert_eq!(
        told("flip = \"verticl\""),
        "\"verticl\" is not known; did you mean \"vertical\"?"
    );
    assert_eq!(
        told("flip = \"both\""),
        "\"both\" is not one of none, horizontal, vertical"
    );
    let relative = complaint("[[stream]]\nname = \"a\"\ndevice = \"video0\"");
    assert!(relative.contains("`fanlight cameras` lists"), "{relative}");
    assert!(relative.contains("usb:VVVV:PPPP"), "{relative}");
    let auto = |name| format!("[[stream]]\nname = \"{name}\"\ndevice = \"auto\"\n");
    Config::parse(&(auto("a") + &auto("b"))).unwrap();
    let usb = "[[stream]]\nname = \"a\"\ndevice = \"usb:046D:0825\"\n";
    let same = usb.replace("\"a\"", "\"b\"").to_lowercase();
    assert!(complaint(&(usb.to_owned() + &same)).contains("already belongs to stream[0]"));
}

#[test]
fn rates_may_be_fractions_as_numbers_and_as_text() {
    let rate = |fps: &str| stream(&format!("fps = {fps}")).fps;
    let ntsc = FrameRate::from_f64(29.97).unwrap();
    assert_eq!(rate("29.97"), ntsc);
    assert_eq!(rate("\"29.97\""), ntsc);
    assert_eq!(rate("\"30\""), FrameRate::whole(30));
    for wrong in [
        "\"\"", "\"fast\"", "\"1e1\"", "\"nan\"", "\"1/2\"", "\"0.5\"",
    ] {
        let text = format!("[[stream]]\nname = \"a\"\npattern = true\nfps = {wrong}");
        assert!(
            complaint(&text).starts_with("line 4: stream[0].fps"),
            "{wrong}"
        );
    }
}

#[test]
fn addresses_to_listen_on_can_be_short() {
    for (written, address) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        (":8081", "[::]:8081"),
        ("8081", "[::]:8081"),
    ] {
        assert_eq!(listen_address(written).unwrap().to_string(), address);
    }
    for (written, cure) in [
        ("192.168.1.5", "write \"192.168.1.5:8080\""),
        ("::1", "write \"[::1]:8080\""),
        ("localhost:80", "write \"127.0.0.1:80\" or \"[::1]:80\""),
        ("*:80", "write \":80\""),
        (":65536", "no port in 0 to 65535"),
        ("", "ADDRESS:PORT"),
        ("example.org:80", "is not ADDRESS:PORT"),
    ] {
        let message = listen_address(written).unwrap_err();
        assert!(message.contains(cure), "{message}");
    }
}

#[test]
fn external_addresses_are_checked_one_by_one() {
    let complaint = complaint(
        "[rtc]\nexternal_addresses = [\n\"203.0.113.7\",\n\"203.0.113.7\",\n\"0.0.0.0\",\n\"host\"]\n",
    );
    assert_eq!(
        complaint,
        "line 4: rtc.external_addresses[1]: 203.0.113.7 is there twice\n\
         line 5: rtc.external_addresses[2]: 0.0.0.0 is no address that a viewer can reach\n\
         line 6: rtc.external_addresses[3]: \"host\" is not an IP address without a port, such as \"203.0.113.7\", \
         or a STUN server, \"stun:HOST\""
    );
}

#[test]
fn the_state_directory_is_a_path_from_the_root_on() {
    for bad in ["\"state\"", "\"~/state\"", "\"\"", "\"/a\\nb\"", "true"] {
        let complaint = complaint(&format!("[state]\ndirectory = {bad}\n"));
        assert!(
            complaint.starts_with("line 2: state.directory: "),
            "{complaint}"
        );
        assert!(
            complaint.contains("the path of a directory from / on, such as directory = "),
            "{complaint}"
        );
    }
}

#[test]
fn half_a_proof_or_half_a_certificate_is_refused_with_the_cure() {
    for (text, told) in [
        (
            "[auth]\nmode = \"tokens\"",
            "line 2: auth.mode: \"tokens\" is not known; did you mean \"token\"?",
        ),
        (
            "[auth]\nmode = \"open\"",
            "line 2: auth.mode: \"open\" is not one of token, jwt, none",
        ),
        (
            "[auth]\nmode = \"jwt\"",
            "line 1: auth: the mode \"jwt\" needs jwt_keys, the file with the issuer's public keys",
        ),
        (
            "[auth]\njwt_keys = \"/a\"",
            "line 2: auth.jwt_keys: is for mode = \"jwt\" only; set that, or take this key away",
        ),
        (
            "[auth]\nmode = \"jwt\"\njwt_keys = \"a\"",
            "line 3: auth.jwt_keys: \"a\" is not the path of a file from / on, such as \"/etc/fanlight/key.pem\"",
        ),
        (
            "[tls]",
            "line 1: tls: needs certificate and key, or self_signed = true",
        ),
        (
            "[tls]\nself_signed = false",
            "line 1: tls: needs certificate and key, or self_signed = true",
        ),
        (
            "[tls]\nself_signed = 1",
            "line 2: tls.self_signed: 1 is a number; expected true or false, without quotes",
        ),
        (
            "[tls]\ncertificate = \"/a\"",
            "line 1: tls: certificate and key go together; name both files",
        ),
        (
            "[tls]\nkey = \"/a\"\nself_signed = true",
            "line 1: tls: certificate and key go together; name both files",
        ),
        (
            "[tls]\nkey = \"/a\"\ncertificate = \"/a\"\nself_signed = true",
            "line 4: tls.self_signed: the table also has a certificate; keep the one that is meant",
        ),
        (
            "[http]\nframe_ancestors = [\"a; script-src *\"]",
            "line 2: http.frame_ancestors[0]: \"a; script-src *\" is not an origin, such as \"https://example.org\", or \"*\" for all",
        ),
    ] {
        assert_eq!(complaint(text), told);
    }
}

#[test]
fn limits_have_their_ranges() {
    for (line, message) in [
        ("viewers = 0", "0 is not a whole number, 1 to 100000"),
        (
            "setups = 2.5",
            "2.5 is a number; expected a whole number, 1 to 100000",
        ),
        (
            "request_size = \"1k\"",
            "\"1k\" is not in 4096 to 1048576 bytes",
        ),
        (
            "request_size = \"big\"",
            "\"big\" is not a number of bytes, such as \"128k\" or 131072",
        ),
        ("header_time = 0", "0 is not in 0.1 s to 60 s"),
        ("idle_time = \"2h\"", "\"2h\" is not in 0.1 s to 1 h"),
    ] {
        let complaint = complaint(&format!("[limits]\n{line}"));
        let key = line.split(' ').next().unwrap();
        assert_eq!(complaint, format!("line 2: limits.{key}: {message}"));
    }
    let complaint = complaint("[limits]\nshared_addresses = [\"10.0.0.0/33\"]");
    assert!(
        complaint.contains("is not an address or a network"),
        "{complaint}"
    );
    let none = Config::parse("[limits]\nshared_addresses = []").unwrap();
    assert!(none.limits.counts("127.0.0.1".parse().unwrap()));
}

#[test]
fn origins_are_what_browsers_send() {
    let told = |origin: &str| complaint(&format!("[http]\ncors_origins = [\"{origin}\"]"));
    for (origin, part) in [
        ("https://example.org/", "without a slash at the end"),
        ("https://example.org/page", "more than an origin"),
        ("example.org", "is not an origin"),
        ("https://", "is not an origin"),
        ("null", "is not an origin"),
        ("ftp://example.org", "is not an origin"),
    ] {
        let complaint = told(origin);
        assert!(complaint.contains(part), "{complaint}");
    }
}

#[test]
fn ice_servers_are_whole_or_refused() {
    let told = |server: &str| complaint(&format!("[whep]\nice_servers = [{server}]"));
    for (server, part) in [
        ("1", "is a number; expected \"stun:HOST\""),
        ("\"http:a\"", "is not the URL of a STUN or TURN server"),
        ("\"turn:a\"", "wants a user name and a password"),
        ("{ url = \"turn:a\", username = \"u\" }", "go together"),
        ("{ url = \"turn:a\", user = \"u\" }", "unknown key \"user\""),
        ("{ username = \"u\", credential = \"p\" }", "has no url"),
        (
            "{ url = \"stun:a\", username = \"u\", credential = \"p\" }",
            "knows no users",
        ),
        (
            "{ url = \"turn:a\", username = \"ü\", credential = \"p\" }",
            "username must be printable ASCII",
        ),
        ("\"stun:a\", \"stun:a\"", "stun:a is there twice"),
    ] {
        let complaint = told(server);
        assert!(complaint.contains(part), "{server}: {complaint}");
        assert!(complaint.contains("whep.ice_servers["), "{complaint}");
    }
    let complaint = complaint("[whep]\ncamera_down = \"slate\"");
    assert!(complaint.contains("is not \"wait\" or \"refuse\""));
}

#[test]
fn a_file_is_named_in_each_of_its_problems() {
    let folder = std::env::temp_dir().join(format!("fanlight-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("a.toml");
    let shown = path.display();
    assert_eq!(
        Config::load(&path).unwrap_err().to_string(),
        format!("{shown}: cannot be read: No such file or directory (os error 2)")
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
