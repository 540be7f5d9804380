//! The value that a user wishes for a control, and the check that the control allows it. Pure.

use crate::capture::camera::{Control, Kind};
use serde_json::Value;

/// A value for a control, as people and programs write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The default; the control is no longer set after a replug.
    Default,
    /// That number.
    Number(i64),
    /// On or off; of a button: push it.
    Flag(bool),
    /// The item of a menu with that label.
    Label(String),
}

impl Wish {
    /// Out of JSON: a whole number, a boolean, a menu's label, or null for the default.
    ///
    /// # Errors
    /// A sentence for anything else.
    pub fn of_json(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::Default),
            Value::Bool(flag) => Ok(Self::Flag(*flag)),
            Value::String(label) => Ok(Self::Label(label.clone())),
            Value::Number(number) => number
                .as_i64()
                .map(Self::Number)
                .ok_or_else(|| format!("{number} is not a whole number")),
            Value::Array(_) | Value::Object(_) => {
                Err("a value is a number, true, false, a menu's label, or null".to_owned())
            }
        }
    }

    /// Out of a word on the command line.
    pub fn of_word(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "default" => Self::Default,
            "on" | "true" | "push" => Self::Flag(true),
            "off" | "false" => Self::Flag(false),
            _ => word
                .parse()
                .map_or_else(|_| Self::Label(word.to_owned()), Self::Number),
        }
    }

    /// The number that this means for that control.
    ///
    /// # Errors
    /// A sentence that says what the control can be.
    pub fn of(&self, control: &Control) -> Result<i64, String> {
        if control.is_read_only {
            return Err("this control is read-only".to_owned());
        }
        let number = match (control.kind, self) {
            (Kind::Button, Self::Flag(true) | Self::Number(1)) => return Ok(1),
            (Kind::Button, _) => return Err("this control is a button: true pushes it".to_owned()),
            (_, Self::Default) => return Ok(control.default),
            (Kind::Boolean, Self::Flag(flag)) => Some((*flag).into()),
            (Kind::Menu, Self::Label(label)) => {
                let mut items = control.menu.iter();
                let is_meant = |(_, item): &&(i64, String)| item.eq_ignore_ascii_case(label);
                items.find(is_meant).map(|(value, _)| *value)
            }
            (_, Self::Number(number)) => Some(*number),
            _ => None,
        };
        number
            .filter(|number| can_be(control, *number))
            .ok_or_else(|| format!("it can be {}", choices(control)))
    }
}

/// Whether a control can have that value.
fn can_be(control: &Control, number: i64) -> bool {
    let (least, most) = control.range;
    match control.kind {
        Kind::Menu => control.menu.iter().any(|(value, _)| *value == number),
        Kind::Boolean => (0..=1).contains(&number),
        Kind::Integer | Kind::Button => {
            let above = i128::from(number) - i128::from(least);
            (least..=most).contains(&number) && above % i128::from(control.step) == 0
        }
    }
}

/// The values that a control allows, as the end of a sentence.
fn choices(control: &Control) -> String {
    let (least, most) = control.range;
    match control.kind {
        Kind::Boolean => "true or false".to_owned(),
        Kind::Menu => {
            let items = control
                .menu
                .iter()
                .map(|(value, label)| format!("{value} ({label})"));
            items.collect::<Vec<_>>().join(", ")
        }
        Kind::Integer | Kind::Button if control.step > 1 => {
            format!("{least} to {most} in steps of {}", control.step)
        }
        Kind::Integer | Kind::Button => format!("{least} to {most}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn menu() -> Control {
        let mut menu = Control::drawn("auto_exposure", Kind::Menu, (0, 3), 1, 3);
        menu.menu = vec![(1, "Manual Mode".to_owned()), (3, "Auto".to_owned())];
        menu
    }

    #[test]
    fn each_kind_takes_what_it_can_be_and_says_so_otherwise() {
        let zoom = Control::drawn("zoom", Kind::Integer, (-10, 20), 5, 0);
        let auto = Control::drawn("auto", Kind::Boolean, (0, 1), 1, 1);
        let reset = Control::drawn("reset", Kind::Button, (0, 0), 1, 0);
        let wide = Control::drawn("wide", Kind::Integer, (i64::MIN, i64::MAX), 1, 0);
        let steps = Err("it can be -10 to 20 in steps of 5");
        let modes = Err("it can be 1 (Manual Mode), 3 (Auto)");
        let button = Err("this control is a button: true pushes it");
        for (control, value, expected) in [
            (&zoom, json!(-10), Ok(-10)),
            (&zoom, json!(20), Ok(20)),
            (&zoom, json!(null), Ok(-10)),
            (&zoom, json!(21), steps),
            (&zoom, json!(-11), steps),
            (&zoom, json!(1), steps),
            (&zoom, json!(true), steps),
            (&zoom, json!("much"), steps),
            (&wide, json!(i64::MIN), Ok(i64::MIN)),
            (&wide, json!(i64::MAX), Ok(i64::MAX)),
            (&auto, json!(true), Ok(1)),
            (&auto, json!(0), Ok(0)),
            (&auto, json!(2), Err("it can be true or false")),
            (&menu(), json!(3), Ok(3)),
            (&menu(), json!("manual mode"), Ok(1)),
            (&menu(), json!(2), modes),
            (&menu(), json!("Manual"), modes),
            (&menu(), json!(false), modes),
            (&reset, json!(true), Ok(1)),
            (&reset, json!(1), Ok(1)),
            (&reset, json!(false), button),
            (&reset, json!(null), button),
        ] {
            let number = Wish::of_json(&value).unwrap().of(control);
            let number = number.as_ref().map(|n| *n).map_err(String::as_str);
            assert_eq!(number, expected, "{} = {value}", control.name);
        }
        let mut fixed = zoom;
        fixed.is_read_only = true;
        assert_eq!(
            Wish::Number(0).of(&fixed).unwrap_err(),
            "this control is read-only"
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bad in [json!(1.5), json!(1e30), json!([1]), json!({})] {
            assert!(Wish::of_json(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_mean_what_they_say() {
        for (word, wish) in [
            ("default", Wish::Default),
            ("ON", Wish::Flag(true)),
            ("false", Wish::Flag(false)),
            ("-7", Wish::Number(-7)),
            ("Manual Mode", Wish::Label("Manual Mode".to_owned())),
        ] {
            assert_eq!(Wish::of_word(word), wish);
        }
    }
}
