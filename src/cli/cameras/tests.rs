//! The table and the JSON of machines that there are.

use super::*;
use crate::media::Size;

fn webcam() -> Camera {
    let rates =
        |fps: &[f64]| Rates::List(fps.iter().filter_map(|&f| FrameRate::from_f64(f)).collect());
    let size = |width, height, fps: &[f64]| SizeOffer {
        sizes: Sizes::One(Size::new(width, height)),
        rates: rates(fps),
    };
    let offer = |code: &[u8; 4], sizes| Offer {
        code: *code,
        description: "A format".to_owned(),
        sizes,
    };
    let offers = [
        offer(
            b"YUYV",
            vec![
                size(640, 480, &[7.5, 30.0]),
                SizeOffer {
                    sizes: Sizes::Range {
                        min: Size::new(32, 32),
                        max: Size::new(2592, 1944),
                        step: Size::new(2, 2),
                    },
                    rates: Rates::Range {
                        slowest: FrameRate::whole(1),
                        fastest: FrameRate::whole(90),
                    },
                },
            ],
        ),
        offer(b"H264", vec![size(1920, 1080, &[30.0])]),
        offer(b"HEVC", vec![]),
    ];
    Camera {
        device: "/dev/video0".to_owned(),
        lasting_name: Some("usb:046d:0825".to_owned()),
        links: vec!["/dev/v4l/by-id/usb-Cam-video-index0".to_owned()],
        name: "Cam".to_owned(),
        driver: "uvcvideo".to_owned(),
        bus: "usb-1".to_owned(),
        formats: offers.into_iter().map(Format::from).collect(),
        note: None,
    }
}

fn metadata() -> Camera {
    Camera {
        device: "/dev/video1".to_owned(),
        lasting_name: None,
        links: Vec::new(),
        formats: Vec::new(),
        note: Some("carries a camera's metadata, not its pictures".to_owned()),
        ..webcam()
    }
}

#[test]
fn the_table_is_aligned_and_explains_itself() {
    let expected = "\
/dev/video0  Cam  [uvcvideo, usb-1]
  = usb:046d:0825
  = /dev/v4l/by-id/usb-Cam-video-index0
  yuyv   640x480                30, 7.5 fps
         32x32 to 2592x1944     1 to 90 fps
  h264   1920x1080              30 fps
  can't be captured: HEVC
/dev/video1  Cam  [uvcvideo, usb-1]
  carries a camera's metadata, not its pictures
";
    assert_eq!(table(&[webcam(), metadata()]), expected);
}

#[test]
fn a_machine_without_cameras_is_told_what_to_do() {
    let text = table(&[]);
    assert!(text.contains("No cameras") && text.contains("--test-pattern"));
    assert_eq!(json(&[]), "[]");
}

#[test]
fn json_has_numbers_and_names_what_cannot_be_captured() {
    let json: serde_json::Value = serde_json::from_str(&json(&[webcam(), metadata()])).unwrap();
    let formats = &json[0]["formats"];
    assert_eq!(json[0]["device"], "/dev/video0");
    assert_eq!(formats[0]["format"], "yuyv");
    assert_eq!(
        formats[0]["sizes"][0],
        serde_json::json!({"width": 640, "height": 480, "fps": [30.0, 7.5]})
    );
    assert_eq!(
        formats[0]["sizes"][1],
        serde_json::json!({
            "width": 2592, "height": 1944, "smallest": [32, 32],
            "fps": [90.0, 1.0], "any_fps_between": true
        })
    );
    assert_eq!(formats[1]["format"], "h264");
    assert!(formats[2]["format"].is_null());
    assert!(json[0].get("note").is_none());
    assert_eq!(json[1]["formats"], serde_json::json!([]));
    assert!(json[1]["note"].is_string());
}

#[test]
fn names_that_last_are_given_to_cameras_only() {
    let mut cameras = [webcam(), metadata()];
    let listed = cameras.iter().map(|camera| Listed {
        node: camera.device.clone().into(),
        name: camera.name.clone(),
        usb: None,
        device: camera.device.clone().into(),
    });
    let listed = listed.collect();
    name(&mut cameras, listed);
    let names = cameras.map(|camera| camera.lasting_name);
    assert_eq!(names, [Some("name:Cam".to_owned()), None]);
}

#[test]
fn this_machine_can_be_listed() {
    let cameras = list().unwrap();
    assert!(
        cameras
            .iter()
            .all(|camera| camera.device.starts_with("/dev/video"))
    );
}
