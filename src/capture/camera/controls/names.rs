//! Names of controls: short, unique, and the same with every kernel for those that V4L2 defines.
//!
//! Kernels rename the labels that drivers show, so the controls of `linux/v4l2-controls.h` go by their numbers. The names are
//! those that `v4l2-ctl` makes of today's labels.

use std::collections::HashSet;

/// Numbers of `V4L2_CID_*`.
const DEFINED: [(u32, &str); 43] = [
    (0x0098_0900, "brightness"),
    (0x0098_0901, "contrast"),
    (0x0098_0902, "saturation"),
    (0x0098_0903, "hue"),
    (0x0098_090c, "white_balance_automatic"),
    (0x0098_090d, "do_white_balance"),
    (0x0098_090e, "red_balance"),
    (0x0098_090f, "blue_balance"),
    (0x0098_0910, "gamma"),
    (0x0098_0911, "exposure"),
    (0x0098_0912, "gain_automatic"),
    (0x0098_0913, "gain"),
    (0x0098_0914, "horizontal_flip"),
    (0x0098_0915, "vertical_flip"),
    (0x0098_0918, "power_line_frequency"),
    (0x0098_0919, "hue_automatic"),
    (0x0098_091a, "white_balance_temperature"),
    (0x0098_091b, "sharpness"),
    (0x0098_091c, "backlight_compensation"),
    (0x0098_091d, "chroma_agc"),
    (0x0098_091f, "color_effects"),
    (0x0098_0920, "brightness_automatic"),
    (0x0098_0922, "rotate"),
    (0x009a_0901, "auto_exposure"),
    (0x009a_0902, "exposure_time_absolute"),
    (0x009a_0903, "exposure_dynamic_framerate"),
    (0x009a_0904, "pan_relative"),
    (0x009a_0905, "tilt_relative"),
    (0x009a_0906, "pan_reset"),
    (0x009a_0907, "tilt_reset"),
    (0x009a_0908, "pan_absolute"),
    (0x009a_0909, "tilt_absolute"),
    (0x009a_090a, "focus_absolute"),
    (0x009a_090b, "focus_relative"),
    (0x009a_090c, "focus_automatic_continuous"),
    (0x009a_090d, "zoom_absolute"),
    (0x009a_090e, "zoom_relative"),
    (0x009a_090f, "zoom_continuous"),
    (0x009a_0910, "privacy"),
    (0x009a_0911, "iris_absolute"),
    (0x009a_0912, "iris_relative"),
    (0x009a_0920, "pan_speed"),
    (0x009a_0921, "tilt_speed"),
];

/// Those that move something as long as, or each time that, they are set.
const MOTIONS: [u32; 8] = [
    0x009a_0904,
    0x009a_0905,
    0x009a_090b,
    0x009a_090e,
    0x009a_090f,
    0x009a_0912,
    0x009a_0920,
    0x009a_0921,
];

/// Whether setting that control is an act rather than a state.
pub(super) fn is_motion(id: u32) -> bool {
    MOTIONS.contains(&id)
}

/// The names that one camera's controls have so far.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// The name of the next control.
    pub(super) fn of(&mut self, id: u32, label: &str) -> String {
        let defined = DEFINED.iter().find(|(number, _)| *number == id);
        let name = defined.map_or_else(|| slug(label), |(_, name)| (*name).to_owned());
        let mut unique = name.clone();
        let mut count = 1;
        while !self.0.insert(unique.clone()) {
            count += 1;
            unique = format!("{name}_{count}");
        }
        unique
    }
}

/// Letters and digits in lower case, everything between them as one `_`.
fn slug(label: &str) -> String {
    let words = label.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    match words.join("_").to_ascii_lowercase() {
        name if name.is_empty() => "control".to_owned(),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_kernels_number_or_the_label() {
        let mut names = Names::default();
        let old_label = "White Balance Temperature, Auto";
        assert_eq!(names.of(0x0098_090c, old_label), "white_balance_automatic");
        assert_eq!(names.of(0x0a04_6d03, "LED1 Mode (0)"), "led1_mode_0");
        assert_eq!(names.of(0x0a04_6d04, "LED1 Mode, 0"), "led1_mode_0_2");
        assert_eq!(names.of(0x0a04_6d05, "–"), "control");
        assert_eq!(names.of(0x0a04_6d06, "Brightness"), "brightness");
        assert_eq!(names.of(0x0098_0900, "Brightness"), "brightness_2");
    }

    #[test]
    fn what_moves_is_known_by_its_name() {
        for (id, name) in DEFINED {
            let moves = ["_relative", "_continuous", "_speed"];
            let moves =
                moves.iter().any(|end| name.ends_with(end)) && !name.starts_with("focus_auto");
            assert_eq!(is_motion(id), moves, "{name}");
        }
    }

    #[test]
    fn each_number_and_each_name_is_there_once() {
        let numbers: HashSet<_> = DEFINED.iter().map(|(number, _)| number).collect();
        let names: HashSet<_> = DEFINED.iter().map(|(_, name)| name).collect();
        assert_eq!((numbers.len(), names.len()), (DEFINED.len(), DEFINED.len()));
    }
}
