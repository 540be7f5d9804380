//! Which controls are set, and which are told about, for drawn cameras; real ones are in `tests/controls.rs`.

use super::*;
use crate::capture::ErrorKind;
use crate::capture::camera::Claims;
use crate::capture::camera::Kind;

fn controls() -> [Control; 3] {
    let mut fixed = Control::drawn("fixed", Kind::Integer, (0, 9), 1, 5);
    fixed.is_read_only = true;
    [
        Control::drawn("brightness", Kind::Integer, (0, 255), 1, 128),
        fixed,
        Control::drawn("reset", Kind::Button, (0, 0), 1, 0),
    ]
}

fn wishes(wishes: &[(&str, i64)]) -> BTreeMap<String, Wish> {
    let wishes = wishes.iter();
    wishes
        .map(|(name, value)| ((*name).to_owned(), Wish::Number(*value)))
        .collect()
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let controls = controls();
    let all = [
        ("brightness", 300),
        ("fixed", 1),
        ("brigthness", 1),
        ("reset", 1),
    ];
    let wrong = understood(&controls, &wishes(&all)).unwrap_err();
    let told: Vec<_> = wrong
        .iter()
        .map(|(name, told)| (name.as_str(), told.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("brightness", "it can be 0 to 255"),
            ("brigthness", "the camera has no such control"),
            ("fixed", "this control is read-only"),
        ]
    );
    let good = understood(&controls, &wishes(&[("reset", 1), ("brightness", 3)])).unwrap();
    let good: Vec<_> = good
        .iter()
        .map(|(control, value)| (control.name.as_str(), *value))
        .collect();
    assert_eq!(good, [("brightness", 3), ("reset", 1)]);
}

#[test]
fn what_is_kept_and_no_good_any_more_is_left_out() {
    let controls = controls();
    let kept = [("brightness", 300), ("fixed", 1), ("gone", 1), ("reset", 1)];
    let kept: BTreeMap<_, _> = kept.map(|(name, value)| (name.to_owned(), value)).into();
    assert!(still_good(&controls, &kept).is_empty());
    let kept = BTreeMap::from([("brightness".to_owned(), 7)]);
    let good = still_good(&controls, &kept);
    assert_eq!((good[0].0.name.as_str(), good[0].1), ("brightness", 7));
}

#[test]
fn a_camera_that_is_not_there_is_told_and_opened_all_the_same() {
    let device = Arc::new(Device::new(
        Claims::new([]).slot("/dev/video4000000000".into()),
        Kept::default(),
    ));
    assert_eq!(device.list().unwrap_err().kind, ErrorKind::NotFound);
    let error = device.set(&wishes(&[("brightness", 1)])).unwrap_err();
    assert!(matches!(error, SetError::Camera(error) if error.kind == ErrorKind::NotFound));
    struct Broken;
    impl Opener for Broken {
        fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
            Err(CaptureError::new(ErrorKind::Busy, "frames"))
        }
        fn open_for(&self, _: Wanted) -> Result<Box<dyn Source>, CaptureError> {
            Err(CaptureError::new(ErrorKind::Busy, "H.264"))
        }
        fn describe(&self) -> String {
            "broken".to_owned()
        }
    }
    let restoring = Restoring::new(device, Arc::new(Broken));
    assert_eq!(restoring.open().err().unwrap().detail, "frames");
    let for_h264 = restoring.open_for(Wanted::H264);
    assert_eq!(for_h264.err().unwrap().detail, "H.264");
    assert_eq!(restoring.describe(), "broken");
}
