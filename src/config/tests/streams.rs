//! Tests of `[[stream]]`: names, sources, pictures and rates.

use super::*;

#[test]
fn names_that_are_urls_of_the_daemon_are_refused() {
    for word in RESERVED_NAMES {
        let complaint = complaint(&format!("[[stream]]\nname = \"{word}\"\npattern = true"));
        assert!(
            complaint.contains("is reserved: fanlight uses"),
            "{complaint}"
        );
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
        complaint.starts_with("line 6: stream[1].device: /dev/video0 is already used by stream[0]")
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
        ("2500", "2500 is outside 50k to 100M bits per second"),
        (
            "\"101M\"",
            "\"101M\" is outside 50k to 100M bits per second",
        ),
        ("-1", "-1 is outside 50k to 100M bits per second"),
    ] {
        assert_eq!(told(&format!("bitrate = {written}")), message);
    }
    for written in ["2.5", "\"2.5G\"", "\"M\"", "\"1.2.3M\"", "\"-1M\"", "true"] {
        assert!(told(&format!("bitrate = {written}")).contains("such as bitrate = \"2.5M\""));
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
    assert_eq!(
        told("format = \"h264\"\nflip = \"vertical\""),
        "line 5: stream[0].flip: format = \"h264\" is passed through as it is; rotated or flipped pictures need another format, or \"auto\""
    );
    assert!(told("rotate = 180\nformat = \"h264\"").starts_with("line 4: stream[0].rotate: "));
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
    for format in PixelFormat::ALL {
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
        "\"rgb\" is not known; did you mean \"rgb3\"?"
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
    let told = complaint(&(usb.to_owned() + &same));
    assert!(told.contains("is already used by stream[0]"), "{told}");
    assert!(told.contains("/dev/v4l/by-path/"), "{told}");
    let twins = "[[stream]]\nname = \"a\"\ndevice = \"usb:046d:0825:200901010001\"\n";
    let told = complaint(&(twins.to_owned() + &twins.replace("\"a\"", "\"b\"")));
    assert!(told.contains("/dev/v4l/by-path/"), "{told}");
    let path = "[[stream]]\nname = \"a\"\ndevice = \"/dev/video0\"\n";
    let told = complaint(&(path.to_owned() + &path.replace("\"a\"", "\"b\"")));
    assert!(
        !told.contains("by-path"),
        "a link is no cure for one path twice: {told}"
    );
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
fn no_message_shows_the_password_of_a_network_camera() {
    for line in [
        "device = \"rtsp://eva:sec/r@et@192.168.1.9/1\"",
        "size = \"http://eva:sec/r@et@192.168.1.9/1\"",
    ] {
        let complaint = complaint(&format!("[[stream]]\nname = \"a\"\n{line}\n"));
        assert!(
            !complaint.contains("eva") && !complaint.contains("et@"),
            "{complaint}"
        );
        assert!(complaint.contains("://…@192.168.1.9/1"), "{complaint}");
    }
}
