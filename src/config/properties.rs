//! Properties of the configuration's reader over any configuration, any text and any value.

use super::*;
use proptest::prelude::*;

/// Writes a configuration as a user would, with the choice of notation made by `terse`.
fn written(config: &Config, terse: bool) -> String {
    let rtc = &config.rtc;
    let external: Vec<_> = rtc
        .external_addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut text = format!(
        "[http]\nlisten = \"{}\"\ncors_origins = {:?}\nframe_ancestors = {:?}\nhosts = {:?}\nmjpeg_fps = {}\nmjpeg_quality = {}\n{}{}[rtc]\nlisten = \"{}\"\ntcp_listen = \"{}\"\nexternal_addresses = {external:?}\ninterfaces = {:?}\nexclude_interfaces = {:?}\n{}",
        config.http.listen,
        config.http.cors_origins,
        config.http.frame_ancestors,
        config.http.hosts,
        config.http.mjpeg.fps,
        config.http.mjpeg.quality,
        written_tls(config.tls.as_ref()),
        written_auth(&config.auth),
        rtc.listen,
        match rtc.tcp_listen {
            TcpListen::Http => "http".to_owned(),
            TcpListen::At(address) => address.to_string(),
            TcpListen::Off => "off".to_owned(),
        },
        rtc.interfaces,
        rtc.exclude_interfaces,
        config
            .state
            .directory
            .as_ref()
            .map_or_else(String::new, |path| {
                format!("[state]\ndirectory = {:?}\n", path.to_str().unwrap())
            }),
    );
    text += &format!(
        "[whep]\ncamera_down = \"{}\"\nrequire_if_match = {}\nice_servers = [",
        config.whep.camera_down.name(),
        config.whep.require_if_match,
    );
    for IceServer { url, login } in &config.whep.ice_servers {
        text += &match login {
            Some((name, word)) => {
                format!("{{ url = {url:?}, username = {name:?}, credential = {word:?} }},")
            }
            None => format!("{url:?},"),
        };
    }
    text += "]\n";
    text += &written_limits(&config.limits);
    for stream in &config.streams {
        let source = match &stream.source {
            Source::Device(device) => format!("device = {:?}", device.to_string()),
            Source::Pattern(TestPicture::Bars) if terse => "pattern = true".to_owned(),
            Source::Pattern(picture) => format!("pattern = \"{}\"", picture.name()),
        };
        let format = stream.format.map_or("auto", PixelFormat::name);
        let encode = stream.encode.name();
        let (bitrate, time) = (stream.bitrate, |time: Duration| time.as_millis());
        let (interval, linger) = (time(stream.keyframe_interval), time(stream.linger));
        text += &format!(
            "[[stream]]\nname = \"{}\"\n{source}\nbackend = \"{}\"\nsize = \"{}\"\nfps = {}\nformat = \"{format}\"\nencode = \"{encode}\"\n",
            stream.name,
            stream.backend.name(),
            stream.size,
            stream.fps,
        );
        text += &format!(
            "rotate = {}\nflip = \"{}\"\n",
            stream.rotate.degrees(),
            stream.flip.name()
        );
        text += &if terse {
            format!(
                "bitrate = {bitrate}\nkeyframe_interval = {}\nlinger = {}\n",
                interval as f64 / 1e3,
                linger as f64 / 1e3
            )
        } else {
            format!(
                "bitrate = \"{}k\"\nkeyframe_interval = \"{interval}ms\"\nlinger = \"{} s\"\n",
                f64::from(bitrate) / 1e3,
                linger as f64 / 1e3
            )
        };
        let PlayoutDelay { min, max } = stream.playout_delay;
        text += &match (min, max) {
            (min, max) if terse && min == max => format!("playout_delay = {}\n", min.as_secs_f64()),
            (min, max) => format!(
                "playout_delay = [\"{}ms\", {}]\n",
                time(min),
                max.as_secs_f64()
            ),
        };
        text += &format!("always_on = {}\n", stream.always_on);
        text += &format!("slate = {}\n", stream.slate);
        text += &format!("usb_reset = {}\n", stream.usb_reset);
        text += &format!("watchdog = {}\n", stream.watchdog);
    }
    text
}

fn written_tls(tls: Option<&Tls>) -> String {
    let Some(tls) = tls else {
        return String::new();
    };
    let certificate = match &tls.certificate {
        Certificate::SelfSigned => "self_signed = true".to_owned(),
        Certificate::Files { chain, key } => format!("certificate = {chain:?}\nkey = {key:?}"),
    };
    let redirect = tls.redirect;
    let redirect = redirect.map_or_else(String::new, |to| format!("redirect = \"{to}\"\n"));
    format!("[tls]\n{certificate}\n{redirect}")
}

fn written_auth(auth: &Auth) -> String {
    let line = |key: &str, value: &Option<String>| match value {
        Some(value) => format!("{key} = {value:?}\n"),
        None => String::new(),
    };
    let mode = match &auth.mode {
        AuthMode::None => "mode = \"none\"\n".to_owned(),
        AuthMode::Token => String::new(),
        AuthMode::Jwt {
            keys,
            audience,
            issuer,
        } => format!(
            "mode = \"jwt\"\njwt_keys = {keys:?}\n{}{}",
            line("jwt_audience", audience),
            line("jwt_issuer", issuer)
        ),
    };
    format!("[auth]\n{mode}")
}

fn any_path() -> impl Strategy<Value = PathBuf> {
    "/[ -~]{0,20}".prop_map(PathBuf::from)
}

prop_compose! {
    fn any_tls()(
        files in proptest::option::of((any_path(), any_path())),
        redirect in proptest::option::of(any::<SocketAddr>()),
    ) -> Tls {
        Tls {
            certificate: match files {
                Some((chain, key)) => Certificate::Files { chain, key },
                None => Certificate::SelfSigned,
            },
            redirect: redirect.map(|address| SocketAddr::new(address.ip(), address.port())),
        }
    }
}

prop_compose! {
    fn any_auth()(
        mode in 0..3,
        keys in any_path(),
        audience in proptest::option::of("[ -~]{1,20}"),
        issuer in proptest::option::of("[ -~]{1,20}"),
    ) -> Auth {
        let mode = match mode {
            0 => AuthMode::None,
            1 => AuthMode::Token,
            _ => AuthMode::Jwt { keys, audience, issuer },
        };
        Auth { mode }
    }
}

fn any_device() -> impl Strategy<Value = Device> {
    prop_oneof![
        Just(Device::Auto),
        "/dev/[ -~]{1,20}".prop_map(|path| Device::Path(path.into())),
        "[!-~]([ -~]{0,20}[!-~])?".prop_map(Device::Name),
        (
            any::<u16>(),
            any::<u16>(),
            proptest::option::of("[ -~]{1,20}")
        )
            .prop_map(|(vendor, product, serial)| Device::Usb {
                vendor,
                product,
                serial
            }),
    ]
}

prop_compose! {
    fn any_stream()(
        name in "[a-zA-Z0-9_-]{1,62}",
        device in proptest::option::of(any_device()),
        backend in proptest::sample::select(&Backend::ALL[..]),
        picture in proptest::sample::select(&TestPicture::ALL[..]),
        (width, height) in (8u32..=1920, 8u32..=1080),
        milli_fps in 1000u32..=120_000,
        format in proptest::option::of(proptest::sample::select(&PixelFormat::CAPTURED[..])),
        (rotate, flip) in (
            proptest::sample::select(&Rotation::ALL[..]),
            proptest::sample::select(&Flip::ALL[..]),
        ),
        encode in proptest::sample::select(&Encode::ALL[..]),
        bitrate in 50_000u32..=100_000_000,
        interval in 500u64..=60_000,
        (min, more) in (0u64..=4095, 0u64..=4095),
        linger in 0u64..=3_600_000,
        (always_on, slate, usb_reset, watchdog) in any::<(bool, bool, bool, bool)>(),
    ) -> Stream {
        let is_pattern = device.is_none();
        let is_turned = rotate != Rotation::default() || flip != Flip::default();
        let format = format.filter(|format| !(is_turned && *format == PixelFormat::H264));
        Stream {
            name,
            source: device.map_or(Source::Pattern(picture), Source::Device),
            backend,
            size: Size::new(width * 2, height * 2),
            fps: FrameRate::from_f64(f64::from(milli_fps) / 1e3).unwrap(),
            format,
            rotate,
            flip,
            encode: match (encode, format) {
                (Encode::Never, Some(format)) if format != PixelFormat::H264 => Encode::Auto,
                (Encode::Never, _) if is_pattern || is_turned => Encode::Auto,
                (Encode::Always, Some(PixelFormat::H264)) => Encode::Auto,
                (encode, _) => encode,
            },
            bitrate,
            keyframe_interval: Duration::from_millis(interval),
            playout_delay: PlayoutDelay {
                min: Duration::from_millis(min * 10),
                max: Duration::from_millis((min + more).min(4095) * 10),
            },
            linger: Duration::from_millis(linger),
            always_on,
            slate,
            usb_reset,
            watchdog,
        }
    }
}

fn written_limits(limits: &Limits) -> String {
    let shared = limits.shared_addresses.iter().map(Prefix::to_string);
    format!(
        "[limits]\nviewers = {}\nviewers_per_stream = {}\nviewers_per_address = {}\nsetups = {}\nconnections = {}\n\
         connections_per_address = {}\nrequest_rate = {}\nrequest_burst = {}\nrequest_size = {}\n\
         header_time = \"{}ms\"\nidle_time = \"{}ms\"\nbody_rate = {}\nshared_addresses = {:?}\n",
        limits.viewers,
        limits.viewers_per_stream,
        limits.viewers_per_address,
        limits.setups,
        limits.connections,
        limits.connections_per_address,
        limits.request_rate,
        limits.request_burst,
        limits.request_size,
        limits.header_time.as_millis(),
        limits.idle_time.as_millis(),
        limits.body_rate,
        shared.collect::<Vec<_>>(),
    )
}

prop_compose! {
    fn any_limits()(
        [viewers, viewers_per_stream, viewers_per_address] in [1..=100_000u32, 1..=100_000, 1..=100_000],
        [setups, connections, connections_per_address] in [1..=100_000u32, 1..=100_000, 1..=100_000],
        [request_rate, request_burst] in [1..=10_000u32, 1..=10_000],
        request_size in 4096..=1_048_576u32,
        header_ms in 100..=60_000u64,
        idle_ms in 100..=3_600_000u64,
        body_rate in 1..=1_048_576u32,
        shared in proptest::collection::hash_set((any::<IpAddr>(), 0..=32u8), 0..3),
    ) -> Limits {
        let shared = shared.into_iter();
        Limits {
            viewers,
            viewers_per_stream,
            viewers_per_address,
            setups,
            connections,
            connections_per_address,
            request_rate,
            request_burst,
            request_size,
            header_time: Duration::from_millis(header_ms),
            idle_time: Duration::from_millis(idle_ms),
            body_rate,
            shared_addresses: shared.map(|(ip, length)| format!("{ip}/{length}").parse().unwrap()).collect(),
        }
    }
}

prop_compose! {
    fn any_whep()(
        refuse: bool,
        require_if_match: bool,
        hosts in proptest::collection::hash_set("[a-z0-9.-]{1,20}", 0..3),
        login in proptest::option::of(("[ -~]{1,20}", "[ -~]{1,20}")),
    ) -> Whep {
        let scheme = if login.is_some() { "turn" } else { "stun" };
        let server = |host| IceServer { url: format!("{scheme}:{host}"), login: login.clone() };
        Whep {
            camera_down: if refuse { CameraDown::Refuse } else { CameraDown::Wait },
            require_if_match,
            ice_servers: hosts.into_iter().map(server).collect(),
        }
    }
}

/// Without what a text can't say.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

fn any_external() -> impl Strategy<Value = ExternalAddress> {
    let server = ("[a-z0-9.-]{1,20}", 1..=u16::MAX);
    let is_usable = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_multicast();
    prop_oneof![
        any::<IpAddr>()
            .prop_filter("unreachable", is_usable)
            .prop_map(ExternalAddress::Ip),
        server.prop_map(|(host, port)| ExternalAddress::Stun(StunServer { host, port })),
    ]
}

prop_compose! {
    fn any_rtc()(
        listen: SocketAddr,
        tcp in proptest::option::of(proptest::option::of(any::<SocketAddr>())),
        external in proptest::collection::hash_map(any::<u8>(), any_external(), 0..3),
        only in proptest::collection::hash_set("[a-z0-9.*?@-]{1,15}", 0..3),
        not in proptest::collection::hash_set("[a-z0-9.*?@-]{1,15}", 0..3),
    ) -> Rtc {
        let names = |set: std::collections::HashSet<String>| {
            set.iter().map(|name| name.parse().unwrap()).collect()
        };
        let mut external_addresses: Vec<_> = external.into_values().collect();
        external_addresses.dedup();
        Rtc {
            listen: plain(listen),
            tcp_listen: match tcp {
                None => TcpListen::Http,
                Some(None) => TcpListen::Off,
                Some(Some(address)) => TcpListen::At(plain(address)),
            },
            external_addresses,
            interfaces: names(only),
            exclude_interfaces: names(not),
        }
    }
}

prop_compose! {
    fn any_config()(
        http: SocketAddr,
        origins in proptest::collection::hash_set("https?://[a-z0-9.:]{1,20}", 0..3),
        whep in any_whep(),
        limits in any_limits(),
        frames in proptest::collection::hash_set("https?://[a-z0-9.:]{1,20}", 0..3),
        hosts in proptest::collection::hash_set("[a-z0-9._-]{1,20}", 0..3),
        mjpeg in (0..=30_u32, 10..=95_u32),
        tls in proptest::option::of(any_tls()),
        auth in any_auth(),
        rtc in any_rtc(),
        state in proptest::option::of("/[ -~]{0,20}"),
        mut streams in proptest::collection::vec(any_stream(), 1..4),
    ) -> Config {
        for (index, stream) in streams.iter_mut().enumerate() {
            // Unique, and no reserved word.
            stream.name = format!("{index}{}", stream.name);
            match &mut stream.source {
                Source::Device(Device::Path(path)) => path.push(index.to_string()),
                Source::Device(Device::Usb { product, .. }) => *product = index as u16,
                Source::Device(Device::Name(name)) => *name += &index.to_string(),
                Source::Device(Device::Auto) | Source::Pattern(_) => {}
            }
        }
        Config {
            http: Http {
                listen: plain(http),
                cors_origins: origins.into_iter().collect(),
                frame_ancestors: frames.into_iter().collect(),
                hosts: hosts.into_iter().collect(),
                mjpeg: Mjpeg { fps: mjpeg.0, quality: mjpeg.1 },
            },
            tls,
            auth,
            rtc,
            state: State { directory: state.map(PathBuf::from) },
            whep,
            limits,
            streams,
        }
    }
}

proptest! {
    #[test]
    fn any_valid_configuration_is_read_back_as_it_was_written(config in any_config(), terse: bool) {
        let text = written(&config, terse);
        match Config::parse(&text) {
            Ok(read) => prop_assert_eq!(read, config),
            Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\PC|[\\[\\]\n\"'=.#{}])*") {
        let _ = Config::parse(&text);
    }

    #[test]
    fn a_damaged_file_never_makes_it_panic(config in any_config(), at: prop::sample::Index, put in "\\PC{0,3}") {
        let mut text: Vec<char> = written(&config, true).chars().collect();
        let at = at.index(text.len());
        text.splice(at..(at + 2).min(text.len()), put.chars());
        let _ = Config::parse(&text.into_iter().collect::<String>());
    }

    #[test]
    fn a_bad_value_of_any_type_is_reported_under_its_own_key(
        (table, key) in proptest::sample::select(every_key()),
        value in prop_oneof![
            "[0-9_.eExob+-]{1,30}", "\"[^\"\\\\\n]{0,30}\"", "\\[[0-9a-z\", ]{0,9}\\]", "\\{ ?[a-z=1]{0,5} ?\\}",
            Just("1979-05-27T07:32:00Z".to_owned()), Just("true".to_owned()), "-?[0-9]{1,40}", "[-+]?(inf|nan)",
        ],
    ) {
        let header = if table == "stream" { "[[stream]]" } else { &format!("[{table}]") };
        let text = format!("{header}\n{key} = {value}\n");
        if let Err(errors) = Config::parse(&text) {
            for problem in errors.problems() {
                prop_assert!(matches!(problem.line, Some(1..=3)), "{}", errors);
                prop_assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{}", errors);
            }
        }
    }
}

fn every_key() -> Vec<(&'static str, &'static str)> {
    let tables = KEYS.iter();
    tables
        .flat_map(|(table, keys)| keys.iter().map(|key| (*table, *key)))
        .collect()
}
