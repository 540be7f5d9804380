//! Controls as JSON, for programs and the page.

use super::Listing;
use crate::capture::camera::{Control, Kind};
use serde::Serialize;
use serde_json::Value;

/// A camera's controls, as the API shows them.
#[derive(Debug, Default, Serialize)]
pub struct View<'a> {
    /// The identity of the camera, whatever its device node; null without one.
    camera: Option<&'a str>,
    controls: Vec<ControlView<'a>>,
}

#[derive(Debug, Serialize)]
struct ControlView<'a> {
    name: &'a str,
    label: &'a str,
    kind: &'static str,
    /// A number, or true and false of a boolean; null of a button, and if the camera doesn't tell.
    value: Value,
    /// Likewise.
    default: Value,
    /// This and the next two of an integer only.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<i64>,
    /// The choices of a menu, and only of a menu.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    menu: Vec<Item<'a>>,
    inactive: bool,
    read_only: bool,
    /// It is set again when the camera comes back.
    kept: bool,
}

#[derive(Debug, Serialize)]
struct Item<'a> {
    value: i64,
    label: &'a str,
}

impl<'a> View<'a> {
    /// The view of that.
    pub fn new(listing: &'a Listing) -> Self {
        let controls = listing.controls.iter();
        Self {
            camera: Some(&listing.camera),
            controls: controls
                .map(|control| ControlView::new(control, listing.kept.contains_key(&control.name)))
                .collect(),
        }
    }
}

impl<'a> ControlView<'a> {
    fn new(control: &'a Control, kept: bool) -> Self {
        let shown = |value: i64| match control.kind {
            Kind::Boolean => Value::from(value != 0),
            Kind::Button => Value::Null,
            Kind::Integer | Kind::Menu => Value::from(value),
        };
        let of_integer = |value| (control.kind == Kind::Integer).then_some(value);
        let items = control.menu.iter();
        Self {
            name: &control.name,
            label: &control.label,
            kind: control.kind.name(),
            value: control.value.map_or(Value::Null, shown),
            default: shown(control.default),
            minimum: of_integer(control.range.0),
            maximum: of_integer(control.range.1),
            step: of_integer(control.step),
            menu: items
                .map(|(value, label)| Item {
                    value: *value,
                    label,
                })
                .collect(),
            inactive: control.is_inactive,
            read_only: control.is_read_only,
            kept,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn each_kind_has_what_it_needs() {
        let mut menu = Control::drawn("mode", Kind::Menu, (0, 3), 1, 3);
        menu.menu = vec![(1, "Manual".to_owned()), (3, "Auto".to_owned())];
        menu.is_inactive = true;
        let listing = Listing {
            camera: "usb:046d:0825".to_owned(),
            controls: vec![
                Control::drawn("zoom", Kind::Integer, (-10, 20), 5, 5),
                Control::drawn("auto", Kind::Boolean, (0, 1), 1, 1),
                menu,
                Control::drawn("reset", Kind::Button, (0, 0), 1, 0),
            ],
            kept: BTreeMap::from([("zoom".to_owned(), 5)]),
        };
        let plain = json!({ "inactive": false, "read_only": false, "kept": false });
        let with = |more: Value| {
            let mut all = plain.clone();
            for (key, value) in more.as_object().unwrap() {
                all[key] = value.clone();
            }
            all
        };
        let items = json!([{ "value": 1, "label": "Manual" }, { "value": 3, "label": "Auto" }]);
        let expected = json!({ "camera": "usb:046d:0825", "controls": [
            with(json!({ "name": "zoom", "label": "zoom", "kind": "integer", "value": 5, "default": -10,
                "minimum": -10, "maximum": 20, "step": 5, "kept": true })),
            with(json!({ "name": "auto", "label": "auto", "kind": "boolean", "value": true, "default": false })),
            with(json!({ "name": "mode", "label": "mode", "kind": "menu", "value": 3, "default": 0,
                "menu": items, "inactive": true })),
            with(json!({ "name": "reset", "label": "reset", "kind": "button", "value": null, "default": null })),
        ] });
        assert_eq!(serde_json::to_value(View::new(&listing)).unwrap(), expected);
        let reference = include_str!("../../docs/api.md");
        let controls = expected["controls"].as_array().unwrap();
        for key in controls.iter().flat_map(|c| c.as_object().unwrap().keys()) {
            let is_listed = |suffix| reference.contains(&format!("| `controls[].{key}{suffix}` |"));
            assert!(
                is_listed("") || is_listed("[]"),
                "{key} is not in docs/api.md"
            );
        }
        let none = json!({ "camera": null, "controls": [] });
        assert_eq!(serde_json::to_value(View::default()).unwrap(), none);
    }
}
