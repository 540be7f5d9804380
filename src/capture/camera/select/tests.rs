//! Cameras as they are found, and what is chosen from them.

use super::*;
use crate::capture::camera::offer::{Rates, SizeOffer, Sizes};
use proptest::prelude::*;

/// As V4L2 has it: filled up with spaces.
fn code(fourcc: &str) -> [u8; 4] {
    let mut code = [b' '; 4];
    code[..fourcc.len()].copy_from_slice(fourcc.as_bytes());
    code
}

fn offer(fourcc: &str, sizes: &[(u32, u32, &[f64])]) -> Offer {
    let sizes = sizes
        .iter()
        .map(|&(width, height, rates)| SizeOffer {
            sizes: Sizes::One(Size::new(width, height)),
            rates: Rates::List(
                rates
                    .iter()
                    .filter_map(|&r| FrameRate::from_f64(r))
                    .collect(),
            ),
        })
        .collect();
    Offer {
        code: code(fourcc),
        description: fourcc.to_owned(),
        sizes,
    }
}

fn request(width: u32, height: u32, fps: f64) -> Request {
    Request {
        size: Size::new(width, height),
        rate: FrameRate::from_f64(fps).unwrap(),
        format: None,
    }
}

/// A usual USB 2 webcam.
fn webcam() -> Vec<Offer> {
    vec![
        offer(
            "YUYV",
            &[
                (640, 480, &[30.0, 15.0, 7.5]),
                (1280, 720, &[10.0, 7.5, 5.0]),
            ],
        ),
        offer(
            "MJPG",
            &[
                (640, 480, &[60.0, 30.0, 15.0]),
                (1280, 720, &[30.0, 15.0]),
                (1920, 1080, &[30.0, 15.0]),
            ],
        ),
        offer("HEVC", &[(1920, 1080, &[30.0])]),
    ]
}

fn choose(offers: &[Offer], request: &Request) -> Result<Choice, String> {
    super::choose(offers, request, false).map(|choices| choices[0].clone())
}

fn reason(offers: &[Offer], request: &Request) -> String {
    choose(offers, request).unwrap().reason
}

#[test]
fn h264_is_taken_where_it_is_as_near_as_the_others() {
    let mut offers = webcam();
    offers.push(offer(
        "H264",
        &[(1280, 720, &[30.0]), (1920, 1080, &[30.0])],
    ));
    assert_eq!(
        reason(&offers, &request(1280, 720, 30.0)),
        "h264 1280x720 at 30 fps, passed through; rejected: yuyv (only 10 fps), mjpeg (has to be encoded), HEVC (not supported)"
    );
    let other = choose(&offers, &request(640, 480, 30.0)).unwrap();
    assert_eq!(other.format, PixelFormat::Yuyv);
    let other = choose(&offers, &request(1280, 720, 15.0)).unwrap();
    assert_eq!(other.format, PixelFormat::Mjpeg, "the nearer rate");
}

#[test]
fn each_choice_says_what_was_rejected_and_why() {
    for (request, expected) in [
        (
            request(640, 480, 30.0),
            "yuyv 640x480 at 30 fps; rejected: mjpeg (has to be decoded), HEVC (not supported)",
        ),
        (
            request(1280, 720, 30.0),
            "mjpeg 1280x720 at 30 fps; rejected: yuyv (only 10 fps), HEVC (not supported)",
        ),
        (
            request(1280, 720, 7.5),
            "yuyv 1280x720 at 7.5 fps; rejected: mjpeg (only 15 fps), HEVC (not supported)",
        ),
        (
            request(1920, 1080, 30.0),
            "mjpeg 1920x1080 at 30 fps; rejected: yuyv (only 1280x720), HEVC (not supported)",
        ),
        (
            request(640, 480, 60.0),
            "mjpeg 640x480 at 60 fps; rejected: yuyv (only 30 fps), HEVC (not supported)",
        ),
        (
            request(3840, 2160, 60.0),
            "mjpeg 1920x1080 at 30 fps; 3840x2160 is not offered; 60 fps is not offered at this size; \
             rejected: yuyv (only 1280x720), HEVC (not supported)",
        ),
        (
            request(640, 480, 29.97),
            "yuyv 640x480 at 30 fps; rejected: mjpeg (has to be decoded), HEVC (not supported)",
        ),
        (
            request(640, 480, 25.0),
            "yuyv 640x480 at 30 fps; 25 fps is not offered at this size; \
             rejected: mjpeg (has to be decoded), HEVC (not supported)",
        ),
    ] {
        assert_eq!(reason(&webcam(), &request), expected);
    }
    let mut many = webcam();
    many.extend((0..9).map(|n| offer(&format!("X{n}"), &[])));
    let text = reason(&many, &request(640, 480, 30.0));
    assert!(
        text.ends_with("10 formats that are not supported"),
        "{text}"
    );
}

#[test]
fn of_rates_that_mean_the_same_the_nearest_is_taken() {
    let offers = [offer("YUYV", &[(640, 480, &[30.0, 29.97, 12.5])])];
    for (asked, taken) in [(29.97, 29.97), (30.0, 30.0), (12.5, 12.5), (15.0, 29.97)] {
        let choice = choose(&offers, &request(640, 480, asked)).unwrap();
        assert_eq!(choice.rate.as_f64(), taken);
    }
}

#[test]
fn the_asked_format_is_taken_even_if_another_does_better() {
    let mut request = request(1280, 720, 30.0);
    request.format = Some(PixelFormat::Yuyv);
    assert_eq!(
        reason(&webcam(), &request),
        "yuyv 1280x720 at 10 fps; 30 fps is not offered at this size; \
         rejected: mjpeg (another was asked for), HEVC (not supported)"
    );
    request.format = Some(PixelFormat::Nv12);
    assert_eq!(
        choose(&webcam(), &request),
        Err("the camera does not offer nv12, it offers yuyv, mjpeg".to_owned())
    );
}

#[test]
fn what_follows_needs_less_and_less_of_the_bus() {
    let choices = super::choose(&webcam(), &request(640, 480, 30.0), false).unwrap();
    let text: Vec<_> = choices.iter().map(Choice::to_string).collect();
    assert_eq!(
        text,
        [
            "yuyv 640x480 at 30 fps",
            "mjpeg 640x480 at 30 fps",
            "mjpeg 640x480 at 15 fps"
        ]
    );
    let mut asked = request(640, 480, 30.0);
    asked.format = Some(PixelFormat::Yuyv);
    let choices = super::choose(&webcam(), &asked, false).unwrap();
    let text: Vec<_> = choices.iter().map(Choice::to_string).collect();
    let rates = ["30", "15", "7.5"].map(|rate| format!("yuyv 640x480 at {rate} fps"));
    assert_eq!(text, rates);
}

#[test]
fn a_full_bus_leads_down_and_says_so_and_other_failures_are_final() {
    let path = Path::new("/dev/video0");
    let choices = super::choose(&webcam(), &request(640, 480, 30.0), false).unwrap();
    let full = || Err(CaptureError::new(ErrorKind::NoUsbBandwidth, "full"));
    let started = descend(path, &choices, |choice| match choice.format {
        PixelFormat::Yuyv => full(),
        _ => Ok(choice.reason.clone()),
    });
    let expected = "mjpeg 640x480 at 30 fps: not enough USB bandwidth for yuyv 640x480 at 30 fps; \
                    the next opening begins there again";
    assert_eq!(started.as_deref(), Ok(expected));
    let error = descend(path, &choices, |_| full().map(|_: String| ())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoUsbBandwidth);
    assert_eq!(
        error.detail,
        "/dev/video0: not enough USB bandwidth for yuyv 640x480 at 30 fps, mjpeg 640x480 at 30 fps, \
         mjpeg 640x480 at 15 fps"
    );
    let mut tried = 0;
    let lost = CaptureError::new(ErrorKind::Lost, "gone");
    let ended: Result<(), _> = descend(path, &choices, |_| {
        tried += 1;
        Err(lost.clone())
    });
    assert_eq!((ended, tried), (Err(lost.clone()), 1));
}

#[test]
fn nv12_is_cheaper_than_yuyv_and_the_order_of_offers_does_not_matter() {
    let sizes: &[(u32, u32, &[f64])] = &[(640, 360, &[30.0])];
    let mut offers = vec![
        offer("MJPG", sizes),
        offer("YUYV", sizes),
        offer("NV12", sizes),
    ];
    for _ in 0..2 {
        let choice = choose(&offers, &request(640, 360, 30.0)).unwrap();
        assert_eq!(choice.format, PixelFormat::Nv12);
        offers.reverse();
    }
}

#[test]
fn the_nearest_size_keeps_the_shape_of_the_picture() {
    let offers = [offer(
        "YUYV",
        &[
            (640, 480, &[30.0]),
            (1920, 1080, &[30.0]),
            (320, 240, &[30.0]),
        ],
    )];
    let size = |width, height| {
        choose(&offers, &request(width, height, 30.0))
            .unwrap()
            .size
            .to_string()
    };
    assert_eq!(size(1280, 720), "1920x1080");
    assert_eq!(size(640, 360), "640x480");
    assert_eq!(size(16, 16), "320x240");
    assert_eq!(size(3840, 2160), "1920x1080");
}

#[test]
fn a_camera_that_scales_freely_gives_the_very_size() {
    let offers = [Offer {
        code: *b"YUYV",
        description: String::new(),
        sizes: vec![SizeOffer {
            sizes: Sizes::Range {
                min: Size::new(32, 32),
                max: Size::new(2592, 1944),
                step: Size::new(2, 2),
            },
            rates: Rates::Range {
                slowest: FrameRate::whole(1),
                fastest: FrameRate::whole(90),
            },
        }],
    }];
    let choice = choose(&offers, &request(854, 480, 24.0)).unwrap();
    assert_eq!(
        (choice.size, choice.rate),
        (Size::new(854, 480), FrameRate::whole(24))
    );
}

#[test]
fn what_a_camera_lacks_is_said() {
    let asked = request(640, 480, 30.0);
    assert_eq!(
        choose(&[offer("HEVC", &[]), offer("NM12", &[])], &asked).unwrap_err(),
        "no format that can be used, the camera offers HEVC, NM12"
    );
    assert_eq!(
        choose(&[], &asked).unwrap_err(),
        "no format that can be used, the camera offers nothing"
    );
    let fractional = [offer("YUYV", &[(640, 480, &[29.97, 12.5])])];
    assert!(
        super::choose(&fractional, &asked, true)
            .unwrap_err()
            .contains("whole number of frames")
    );
}

#[test]
fn what_real_devices_list_is_taken_sensibly() {
    const THIRTY: &[f64] = &[30.0];
    let list = |codes: &[&str], width, height| {
        let offers = codes
            .iter()
            .map(|code| offer(code, &[(width, height, THIRTY)]));
        offers.collect::<Vec<_>>()
    };
    for (device, codes, (width, height), taken) in [
        // Cameras made of a DSLR, a phone, ffmpeg or OBS.
        ("a virtual camera", &["YU12"][..], (1280, 720), *b"YU12"),
        ("an HDMI bridge", &["UYVY", "RGB3"], (1280, 720), *b"UYVY"),
        ("a composite grabber", &["UYVY"], (720, 576), *b"UYVY"),
        ("an industrial camera", &["GREY"], (1280, 720), *b"GREY"),
        (
            "an infrared camera",
            &["GREY", "Y10", "Y16"],
            (640, 360),
            *b"GREY",
        ),
        ("one with depth only", &["Y16"], (640, 480), *b"Y16 "),
        ("a 10 bit sensor", &["Y10", "Y10P"], (640, 480), *b"Y10P"),
        ("an old webcam", &["JPEG"], (640, 480), *b"JPEG"),
        ("a laptop's module", &["YVYU"], (640, 480), *b"YVYU"),
        ("its brother", &["VYUY"], (640, 480), *b"VYUY"),
        (
            "what ffmpeg converts",
            &["BGR3", "RGB3", "NV21"],
            (640, 480),
            *b"NV21",
        ),
        ("a board's input", &["NV12"], (1920, 1080), *b"NV12"),
        (
            "a board with all",
            &["NM12", "NM21", "NV16", "YV12", "YUYV"],
            (1920, 1080),
            *b"YV12",
        ),
        ("colours or none", &["GREY", "MJPG"], (1280, 720), *b"MJPG"),
        (
            "colours as they are",
            &["BGR3", "MJPG"],
            (1280, 720),
            *b"BGR3",
        ),
        (
            "both names of JPEG",
            &["JPEG", "MJPG"],
            (1280, 720),
            *b"JPEG",
        ),
    ] {
        let offers = list(codes, width, height);
        let choice = choose(&offers, &request(1280, 720, 30.0)).unwrap();
        assert_eq!(choice.code, taken, "{device}: {}", choice.reason);
        assert_eq!(choice.size, Size::new(width, height), "{device}");
        assert_eq!(PixelFormat::of_code(choice.code), Some(choice.format));
        let mut asked = request(1280, 720, 30.0);
        asked.format = Some(choice.format);
        assert_eq!(choose(&offers, &asked).unwrap().code, taken, "{device}");
    }
}

proptest! {
    #[test]
    fn nothing_offered_is_nearer_than_the_choice(
        offered in proptest::collection::vec((16_u32..4000, 16_u32..3000, 1_u32..120, any::<bool>()), 1..20),
        width in 16_u32..4000, height in 16_u32..3000, fps in 1.0..120.0,
    ) {
        let asked = request(width, height, fps);
        let offers: Vec<_> = offered
            .iter()
            .map(|&(w, h, rate, raw)| offer(if raw { "YUYV" } else { "MJPG" }, &[(w, h, &[f64::from(rate)])]))
            .collect();
        let choice = choose(&offers, &asked).unwrap();
        for (w, h, rate, _) in offered {
            let other = distance(Size::new(w, h), asked.size);
            prop_assert!(distance(choice.size, asked.size) <= other);
            if Size::new(w, h) == choice.size {
                prop_assert!(miss(choice.rate, asked.rate).0 <= miss(FrameRate::whole(rate), asked.rate).0);
            }
        }
    }
}
