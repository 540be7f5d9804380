//! A camera's controls: brightness, exposure, focus and whatever else its driver has.
//!
//! They are read and set through a second descriptor of the device, which disturbs no capture. `nokhwa` is not asked: it
//! opens the device for capture, knows sixteen controls by name and none of their menus, and gives up on all
//! of them with the first that it does not know.

mod names;

use super::errors::{Step, catch_panic, from_io};
use super::{CaptureError, Node};
use names::{Names, is_motion};
use std::io;
use v4l::control::{self, Description, Flags, MenuItem, Type, Value};

/// The kind of value that a control takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By a number.
    Integer,
    /// By on and off, which are 1 and 0.
    Boolean,
    /// By one of some numbers, each with a label.
    Menu,
    /// By a push, which does something.
    Button,
}

impl Kind {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Menu => "menu",
            Self::Button => "button",
        }
    }

    /// In which order controls are set. What is automatic is switched off by booleans and menus, and only then can the
    /// numbers behind it be set.
    const fn rank(self) -> u8 {
        match self {
            Self::Boolean | Self::Menu => 0,
            Self::Integer => 1,
            Self::Button => 2,
        }
    }
}

/// One control, as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The driver's number for it.
    id: u32,
    /// Unique among the camera's, of `a-z 0-9 _`, and the same with every kernel for those that V4L2 defines.
    pub name: String,
    /// The driver's name for it, for people.
    pub label: String,
    /// The kind of value that it takes.
    pub kind: Kind,
    /// The current value; `None` for a button, and if the camera doesn't tell.
    pub value: Option<i64>,
    /// The value before it is set.
    pub default: i64,
    /// The least and the greatest value.
    pub range: (i64, i64),
    /// From one value to the next; above 0.
    pub step: i64,
    /// The choices of a menu. There may be holes between the numbers.
    pub menu: Vec<(i64, String)>,
    /// Another control makes it useless now: exposure time while exposure is automatic.
    pub is_inactive: bool,
    /// It can't be set.
    pub is_read_only: bool,
    /// The value is a state, which can be set again later; a push or a move is not.
    pub is_lasting: bool,
}

impl Node {
    /// The device's controls in the driver's order, without those that are no single number: strings, bit masks, arrays.
    ///
    /// # Errors
    /// `Lost` or `NotFound` if the device went away, `Unsupported` if the driver's answer makes no sense.
    pub fn controls(&self) -> Result<Vec<Control>, CaptureError> {
        let described = catch_panic(&self.path, || self.device.query_controls())?;
        let described = match described {
            // Drivers without any say so in one of these ways.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
                Vec::new()
            }
            other => other.map_err(|error| from_io(&self.path, Step::AskingControls, &error))?,
        };
        let mut names = Names::default();
        let controls = described.into_iter().filter_map(|description| {
            let mut control = understood(description, &mut names)?;
            // Some cameras describe controls that they then can't read.
            control.value = match control.kind {
                Kind::Button => None,
                _ => self.value(control.id),
            };
            Some(control)
        });
        Ok(controls.collect())
    }

    fn value(&self, id: u32) -> Option<i64> {
        let read = catch_panic(&self.path, || self.device.control(id))
            .ok()?
            .ok()?;
        match read.value {
            Value::Integer(value) => Some(value),
            Value::Boolean(value) => Some(value.into()),
            _ => None,
        }
    }

    /// Sets controls, those first that others may wait for. What a driver refuses is tried once more after all others:
    /// they may have been in its way.
    ///
    /// Returns those that were refused all the same, with what the system says.
    pub fn set_controls<'a>(&self, wanted: &[(&'a Control, i64)]) -> Vec<(&'a Control, io::Error)> {
        let mut order = wanted.to_vec();
        order.sort_by_key(|(control, _)| control.kind.rank());
        order.retain(|(control, value)| self.set(control, *value).is_err());
        let again = order.into_iter().filter_map(|(control, value)| {
            let refused = self.set(control, value).err()?;
            Some((control, refused))
        });
        again.collect()
    }

    fn set(&self, control: &Control, value: i64) -> io::Result<()> {
        let value = match control.kind {
            Kind::Button => Value::None,
            _ => Value::Integer(value),
        };
        let setting = control::Control {
            id: control.id,
            value,
        };
        let set = catch_panic(&self.path, || self.device.set_control(setting));
        set.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

/// A control that can be shown and set.
fn understood(description: Description, names: &mut Names) -> Option<Control> {
    let Description {
        id,
        typ,
        name,
        minimum,
        maximum,
        step,
        default,
        flags,
        items,
    } = description;
    let kind = match typ {
        Type::Integer | Type::Integer64 => Kind::Integer,
        Type::Boolean => Kind::Boolean,
        Type::Menu => Kind::Menu,
        Type::Button => Kind::Button,
        // The library can't read what is chosen of a menu of numbers. Webcams have none.
        Type::IntegerMenu
        | Type::CtrlClass
        | Type::String
        | Type::Bitmask
        | Type::U8
        | Type::U16
        | Type::U32
        | Type::Area => return None,
    };
    // Arrays of numbers have the type of the numbers.
    if flags.intersects(Flags::DISABLED | Flags::HAS_PAYLOAD) {
        return None;
    }
    let items = items.unwrap_or_default().into_iter();
    let menu = items.map(|(value, item)| {
        let label = match item {
            MenuItem::Name(name) => name,
            MenuItem::Value(value) => value.to_string(),
        };
        (value.into(), label)
    });
    Some(Control {
        id,
        name: names.of(id, &name),
        label: name,
        kind,
        value: None,
        default,
        range: (minimum, maximum),
        step: i64::try_from(step).unwrap_or(i64::MAX).max(1),
        menu: menu.collect(),
        // Grabbed: another program, or the running capture, has it.
        is_inactive: flags.intersects(Flags::INACTIVE | Flags::GRABBED),
        is_read_only: flags.contains(Flags::READ_ONLY),
        is_lasting: kind != Kind::Button
            && !flags.intersects(Flags::WRITE_ONLY | Flags::EXECUTE_ON_WRITE)
            && !is_motion(id),
    })
}

#[cfg(test)]
impl Control {
    /// A control with these properties, for tests.
    pub(crate) fn drawn(name: &str, kind: Kind, range: (i64, i64), step: i64, value: i64) -> Self {
        Self {
            id: 0,
            name: name.to_owned(),
            label: name.to_owned(),
            kind,
            value: (kind != Kind::Button).then_some(value),
            default: range.0,
            range,
            step,
            menu: Vec::new(),
            is_inactive: false,
            is_read_only: false,
            is_lasting: kind != Kind::Button,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(typ: Type, flags: Flags) -> Description {
        Description {
            id: 0x0098_0900,
            typ,
            name: "Brightness".to_owned(),
            minimum: 0,
            maximum: 255,
            step: 0,
            default: 128,
            flags,
            items: Some(vec![
                (1, MenuItem::Name("Manual Mode".to_owned())),
                (3, MenuItem::Name("Aperture Priority".to_owned())),
            ]),
        }
    }

    fn kind(typ: Type, flags: Flags) -> Option<Kind> {
        let control = understood(description(typ, flags), &mut Names::default());
        control.map(|control| control.kind)
    }

    #[test]
    fn what_is_one_number_is_understood_and_nothing_else() {
        for (typ, expected) in [
            (Type::Integer, Some(Kind::Integer)),
            (Type::Integer64, Some(Kind::Integer)),
            (Type::Boolean, Some(Kind::Boolean)),
            (Type::Menu, Some(Kind::Menu)),
            (Type::Button, Some(Kind::Button)),
            (Type::IntegerMenu, None),
            (Type::CtrlClass, None),
            (Type::String, None),
            (Type::Bitmask, None),
            (Type::Area, None),
        ] {
            assert_eq!(kind(typ, Flags::empty()), expected, "{typ}");
            assert_eq!(kind(typ, Flags::HAS_PAYLOAD), None, "an array of {typ}");
            assert_eq!(kind(typ, Flags::DISABLED), None);
        }
    }

    #[test]
    fn only_what_is_a_state_lasts() {
        let lasts = |id, typ, flags| {
            let description = Description {
                id,
                ..description(typ, flags)
            };
            let control = understood(description, &mut Names::default());
            control.unwrap().is_lasting
        };
        let (brightness, pan_relative) = (0x0098_0900, 0x009a_0904);
        assert!(lasts(brightness, Type::Integer, Flags::UPDATE));
        assert!(!lasts(brightness, Type::Button, Flags::empty()));
        assert!(!lasts(brightness, Type::Integer, Flags::WRITE_ONLY));
        assert!(!lasts(pan_relative, Type::Integer, Flags::empty()));
    }

    #[test]
    fn flags_holes_in_menus_and_steps_of_nothing_are_taken_as_they_are_meant() {
        let description = description(Type::Menu, Flags::INACTIVE | Flags::READ_ONLY);
        let control = understood(description, &mut Names::default()).unwrap();
        assert!(control.is_inactive && control.is_read_only);
        assert_eq!((control.step, control.range), (1, (0, 255)));
        let menu: Vec<_> = control.menu.iter().map(|(value, _)| *value).collect();
        assert_eq!(menu, [1, 3]);
    }
}
