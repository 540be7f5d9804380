//! A camera's own H.264 encoder: its settings as far as they are wanted, and keyframes when they are, by V4L2's codec controls.
//!
//! Many cameras have none of them, USB webcams above all; then the camera decides for itself.

use super::errors::catch_panic;
use crate::media::FrameRate;
use std::path::Path;
use std::time::Duration;
use v4l::Device;
use v4l::control::{Control, Description, Flags, Value};

// Codec controls, as `linux/v4l2-controls.h` numbers them.
const BASE: u32 = 0x0099_0900;
const B_FRAMES: u32 = BASE + 202;
const GOP_SIZE: u32 = BASE + 203;
const BITRATE: u32 = BASE + 207;
const FORCE_KEY_FRAME: u32 = BASE + 229;
const H264_I_PERIOD: u32 = BASE + 358;
const H264_PROFILE: u32 = BASE + 363;

/// Values of `H264_PROFILE`, those first that more viewers play.
const PROFILES: [u32; 2] = [1, 0];

/// Where keyframes can't be asked for, this is as long as a viewer waits for one at the most: with so much of the past a newcomer
/// can begin.
const MAX_GROUP: Duration = Duration::from_secs(2);

/// The wishes for a camera's encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// Bits per second.
    pub bitrate: u32,
    /// Time from one keyframe to the next.
    pub keyframe_interval: Duration,
}

/// Sets the encoder up before it starts, as far as it can be. Whether it can be asked for keyframes.
pub(super) fn set_up(
    path: &Path,
    device: &Device,
    wishes: Option<&Wishes>,
    rate: FrameRate,
) -> bool {
    // A driver without controls answers with an error, and one with odd ones makes the library panic.
    let controls = catch_panic(path, || device.query_controls());
    let Ok(Ok(controls)) = controls else {
        return false;
    };
    let wanted = wishes.map(|wishes| settings(&controls, wishes, rate));
    for control in wanted.into_iter().flatten() {
        let id = control.id;
        let shown = format!("{:?}", control.value);
        match device.set_control(control) {
            Ok(()) => tracing::debug!(id, value = shown, "the camera's encoder is set"),
            Err(error) => {
                tracing::debug!(id, value = shown, %error, "the camera's encoder refuses")
            }
        }
    }
    makes_keyframes(&controls)
}

/// Asks for a keyframe. Whether the driver takes it.
pub(super) fn force_keyframe(device: &Device) -> bool {
    let control = Control {
        id: FORCE_KEY_FRAME,
        // A button: drivers act on any value.
        value: Value::Integer(1),
    };
    device.set_control(control).is_ok()
}

/// Whether keyframes can be asked for.
fn makes_keyframes(controls: &[Description]) -> bool {
    controls.iter().any(|control| control.id == FORCE_KEY_FRAME)
}

/// The controls to be set, of those that the camera has, at that rate of pictures.
fn settings(controls: &[Description], wishes: &Wishes, rate: FrameRate) -> Vec<Control> {
    let group = if makes_keyframes(controls) {
        wishes.keyframe_interval
    } else {
        wishes.keyframe_interval.min(MAX_GROUP)
    };
    let pictures = (group.as_secs_f64() * rate.as_f64()).round().max(1.0);
    let wanted = |control: &Description| match control.id {
        B_FRAMES => Some(0),
        // Less than 2^31: groups are a minute at the most.
        GOP_SIZE | H264_I_PERIOD => Some(pictures as i64),
        BITRATE => Some(wishes.bitrate.into()),
        H264_PROFILE => {
            let items = control.items.as_deref().unwrap_or_default();
            let has = |profile: &&u32| items.iter().any(|(index, _)| index == *profile);
            PROFILES.iter().find(has).map(|&profile| profile.into())
        }
        _ => None,
    };
    let can_be_set = |control: &&Description| {
        let never = Flags::DISABLED | Flags::READ_ONLY | Flags::INACTIVE | Flags::GRABBED;
        !control.flags.intersects(never)
    };
    let set = |control: &Description| {
        let value = wanted(control)?;
        let Description {
            id,
            minimum,
            maximum,
            step,
            ..
        } = *control;
        let step = i64::try_from(step).unwrap_or(1).max(1);
        let value = value.min(maximum).max(minimum);
        let value = minimum + (value - minimum) / step * step;
        Some(Control {
            id,
            value: Value::Integer(value),
        })
    };
    controls.iter().filter(can_be_set).filter_map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use v4l::control::{MenuItem, Type};

    const WISHES: Wishes = Wishes {
        bitrate: 2_530_000,
        keyframe_interval: Duration::from_secs(4),
    };

    fn control(id: u32, (minimum, maximum): (i64, i64), step: u64, items: &[u32]) -> Description {
        let item = |index: &u32| (*index, MenuItem::Name(String::new()));
        Description {
            id,
            typ: Type::Integer,
            name: String::new(),
            minimum,
            maximum,
            step,
            default: minimum,
            flags: Flags::empty(),
            items: Some(items.iter().map(item).collect()),
        }
    }

    fn values(controls: &[Description]) -> Vec<(u32, i64)> {
        let value = |control: Control| match control.value {
            Value::Integer(value) => (control.id - BASE, value),
            other => panic!("{other:?}"),
        };
        let set = settings(controls, &WISHES, FrameRate::whole(30));
        set.into_iter().map(value).collect()
    }

    #[test]
    fn a_camera_is_set_as_far_as_it_has_controls() {
        // As the Raspberry Pi's.
        let mut controls = vec![
            control(0x0098_0900, (0, 100), 1, &[]),
            control(BITRATE, (25_000, 25_000_000), 25_000, &[]),
            control(H264_I_PERIOD, (0, 0x7fff_ffff), 1, &[]),
            control(H264_PROFILE, (0, 4), 1, &[0, 1, 3, 4]),
            control(B_FRAMES, (0, 2), 1, &[]),
        ];
        let set = [(207, 2_525_000), (358, 60), (363, 1), (202, 0)];
        assert_eq!(values(&controls), set);
        assert!(!makes_keyframes(&controls));
        controls.push(control(FORCE_KEY_FRAME, (0, 0), 0, &[]));
        assert!(makes_keyframes(&controls));
        assert_eq!(
            values(&controls)[1],
            (358, 120),
            "no need for shorter groups"
        );
    }

    #[test]
    fn values_stay_in_range_and_what_is_not_there_is_not_set() {
        let mut controls = vec![
            control(GOP_SIZE, (0, 30), 1, &[]),
            control(H264_PROFILE, (0, 4), 1, &[3, 4]),
            control(BITRATE, (4_000_000, 8_000_000), 1, &[]),
        ];
        assert_eq!(values(&controls), [(203, 30), (207, 4_000_000)]);
        controls[0].flags = Flags::READ_ONLY;
        controls[2].flags = Flags::INACTIVE;
        assert_eq!(values(&controls), []);
    }
}
