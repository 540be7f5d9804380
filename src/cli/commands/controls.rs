//! `fanlight controls`: a camera's controls, listed or set, with or without a daemon.

use super::links::LinkError;
use super::place;
use crate::capture::CaptureError;
use crate::capture::camera::{Claims, Control, Kind};
use crate::cli::{ControlsArguments, DEFAULT_DEVICE};
use crate::config;
use crate::controls::{Device, Kept, Listing, SetError, View, Wish};
use crate::daemon::serving::Serving;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Why nothing is listed or set.
#[derive(Debug, thiserror::Error)]
pub enum ControlsError {
    /// The daemon whose stream is meant is not known.
    #[error(transparent)]
    Daemon(#[from] LinkError),
    /// It has no such stream.
    #[error("there is no stream {0:?}; the streams are: {1}")]
    Stream(String, String),
    /// The stream shows the test pattern.
    #[error("the stream {0:?} shows the test pattern, which has no controls; {1}")]
    NoCamera(String, String),
    /// The camera is not connected, or does not answer.
    #[error("{0}; {cure}", cure = .0.cure())]
    Camera(#[from] CaptureError),
    /// An argument is neither a camera nor a setting.
    #[error(
        "{0:?} is not a setting; write NAME=VALUE, such as brightness=128 or brightness=default"
    )]
    Setting(String),
    /// Controls can't have these values.
    #[error("{0}; nothing was changed")]
    Wrong(String),
}

impl From<SetError> for ControlsError {
    fn from(error: SetError) -> Self {
        match error {
            SetError::Camera(error) => Self::Camera(error),
            SetError::Wrong(wrong) => {
                let each = wrong
                    .iter()
                    .map(|(name, problem)| format!("{name}: {problem}"));
                Self::Wrong(each.collect::<Vec<_>>().join("; "))
            }
        }
    }
}

/// Lists the controls of a camera, after setting those that the arguments name.
///
/// # Errors
/// See [`ControlsError`].
pub fn controls(arguments: &ControlsArguments) -> Result<String, ControlsError> {
    let (target, settings) = parted(arguments);
    let wishes = settings.map(wish).collect::<Result<BTreeMap<_, _>, _>>()?;
    let device = device(arguments, target)?;
    let listing = if wishes.is_empty() {
        device.list()?
    } else {
        device.set(&wishes)?
    };
    let text = if arguments.json {
        // Only maps with keys that are not strings fail, and nothing here has such.
        serde_json::to_string_pretty(&View::new(&listing)).unwrap_or_default()
    } else {
        table(&listing)
    };
    Ok(text.trim_end().to_owned())
}

/// The camera, if the first argument is one, and the settings.
fn parted(arguments: &ControlsArguments) -> (Option<&str>, impl Iterator<Item = &str>) {
    let words = arguments.words.iter().map(String::as_str);
    let is_camera = |word: &&str| names_a_camera(word) || !word.contains('=');
    let target = words.clone().next().filter(is_camera);
    (target, words.skip(target.is_some().into()))
}

fn wish(word: &str) -> Result<(String, Wish), ControlsError> {
    let (name, value) = word
        .split_once('=')
        .ok_or_else(|| ControlsError::Setting(word.to_owned()))?;
    Ok((name.trim().to_owned(), Wish::of_word(value.trim())))
}

/// A device is a camera by itself, anything else a stream of a daemon. What is set is kept where that daemon looks.
fn device(arguments: &ControlsArguments, target: Option<&str>) -> Result<Device, ControlsError> {
    let daemon = match place::open(&arguments.place) {
        // The file that the command names.
        Err(error @ LinkError::Config(_)) => return Err(error.into()),
        daemon => daemon,
    };
    let directory = daemon
        .as_ref()
        .ok()
        .map(|daemon| daemon.state.directory().to_owned());
    let kept = Kept::new(directory);
    let text = match target {
        Some(device) if names_a_camera(device) => device.to_owned(),
        Some(name) => {
            // Others may visit the directory while the camera is asked.
            camera_of(&daemon?.serving, name)?
        }
        None => {
            let first = daemon.ok().and_then(|daemon| {
                let serving = daemon.serving;
                let mut names = serving.streams.iter();
                names.find_map(|name| serving.devices.get(name).cloned())
            });
            first.unwrap_or_else(|| DEFAULT_DEVICE.to_owned())
        }
    };
    // A name that a daemon wrote down is a name of a camera, and so is a text that looks like one.
    let camera: config::Device = text.parse().map_err(|_| ControlsError::Setting(text))?;
    Ok(Device::new(Claims::new([]).slot(camera), kept))
}

/// The camera of a daemon's stream.
fn camera_of(serving: &Serving, stream: &str) -> Result<String, ControlsError> {
    if let Some(device) = serving.devices.get(stream) {
        return Ok(device.clone());
    }
    let stream = stream.to_owned();
    if !serving.streams.contains(&stream) {
        return Err(ControlsError::Stream(stream, serving.streams.join(", ")));
    }
    let cameras: Vec<_> = serving.devices.keys().cloned().collect();
    let others = match &*cameras {
        [] => "this fanlight has no stream with a camera".to_owned(),
        some => format!("these streams have a camera: {}", some.join(", ")),
    };
    Err(ControlsError::NoCamera(stream, others))
}

/// Whether a word is no stream's name, but a camera's.
fn names_a_camera(word: &str) -> bool {
    ["/", "usb:", "name:"]
        .iter()
        .any(|start| word.starts_with(start))
}

/// One control a line: its name, its value, its allowed values, and any remarks.
fn table(listing: &Listing) -> String {
    if listing.controls.is_empty() {
        return format!("{} has no controls", listing.camera);
    }
    let rows: Vec<_> = listing
        .controls
        .iter()
        .map(|control| {
            let is_kept = listing.kept.contains_key(&control.name);
            [
                control.name.clone(),
                now(control),
                can_be(control),
                remarks(control, is_kept),
            ]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    // A menu with many items would push the remarks of all others out of sight.
    let widths = [0, 1, 2].map(|column| width(column).unwrap_or(0).min(44));
    let mut text = format!("{}\n", listing.camera);
    for [name, now, can_be, remarks] in &rows {
        let line = format!(
            "  {name:0$}  {now:1$}  {can_be:2$}  {remarks}",
            widths[0], widths[1], widths[2]
        );
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn now(control: &Control) -> String {
    match (control.kind, control.value) {
        (Kind::Button, _) => "button".to_owned(),
        (_, None) => "?".to_owned(),
        (_, Some(value)) => shown(control, value),
    }
}

fn shown(control: &Control, value: i64) -> String {
    match control.kind {
        Kind::Boolean => (if value == 0 { "off" } else { "on" }).to_owned(),
        Kind::Menu => {
            let mut items = control.menu.iter();
            let found = items.find(|(item, _)| *item == value);
            found.map_or_else(
                || value.to_string(),
                |(_, label)| format!("{value} ({label})"),
            )
        }
        Kind::Integer | Kind::Button => value.to_string(),
    }
}

fn can_be(control: &Control) -> String {
    let (least, most) = control.range;
    let all = match control.kind {
        Kind::Button => return "push".to_owned(),
        Kind::Boolean => "on, off".to_owned(),
        Kind::Menu => {
            let items = control.menu.iter().map(|(value, _)| shown(control, *value));
            items.collect::<Vec<_>>().join(", ")
        }
        Kind::Integer if control.step > 1 => format!("{least} to {most} by {}", control.step),
        Kind::Integer => format!("{least} to {most}"),
    };
    format!("{all}; default {}", shown(control, control.default))
}

fn remarks(control: &Control, is_kept: bool) -> String {
    let remarks = [
        (control.is_inactive, "inactive"),
        (control.is_read_only, "read-only"),
        (is_kept, "kept"),
    ];
    let told = remarks.into_iter().filter(|(is_so, _)| *is_so);
    told.map(|(_, remark)| remark)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> ControlsArguments {
        ControlsArguments {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ..ControlsArguments::default()
        }
    }

    #[test]
    fn the_camera_comes_first_and_may_be_left_out() {
        for (words, target, count) in [
            (&[][..], None, 0),
            (&["garden"], Some("garden"), 0),
            (&["gain=1", "zoom=2"], None, 2),
            (&["/dev/v4l/a=b", "gain=1"], Some("/dev/v4l/a=b"), 1),
        ] {
            let arguments = arguments(words);
            let (found, settings) = parted(&arguments);
            assert_eq!((found, settings.count()), (target, count), "{words:?}");
        }
        let error = controls(&arguments(&["/dev/video4000000000", "gain"])).unwrap_err();
        assert!(
            error.to_string().starts_with("\"gain\" is not a setting"),
            "{error}"
        );
        let error = controls(&arguments(&["/dev/video4000000000"])).unwrap_err();
        let told = "/dev/video4000000000: no such device; plug the camera in";
        assert!(error.to_string().starts_with(told), "{error}");
        let mut named = arguments(&["/dev/video4000000000"]);
        named.place.config = Some("/dev/null/fanlight.toml".into());
        let error = controls(&named).unwrap_err();
        assert!(
            matches!(error, ControlsError::Daemon(LinkError::Config(_))),
            "{error}"
        );
    }

    #[test]
    fn a_stream_without_a_camera_is_told_from_one_that_there_is_not() {
        let text = "[[stream]]\nname = \"a\"\npattern = true\n";
        let serving = |text: &str| {
            let config = config::Config::parse(text).unwrap();
            Serving::new(&config, ([127, 0, 0, 1], 80).into())
        };
        let told = |serving: &Serving, stream: &str| match camera_of(serving, stream) {
            Ok(device) => device,
            Err(error) => error.to_string(),
        };
        let pattern = serving(text);
        assert_eq!(
            told(&pattern, "a"),
            "the stream \"a\" shows the test pattern, which has no controls; this fanlight has no stream with a camera"
        );
        assert_eq!(
            told(&pattern, "b"),
            "there is no stream \"b\"; the streams are: a"
        );
        let both = serving(&format!(
            "{text}[[stream]]\nname = \"b\"\ndevice = \"usb:046d:0825\"\n"
        ));
        assert_eq!(told(&both, "b"), "usb:046d:0825");
        let told = told(&both, "a");
        assert!(told.ends_with("these streams have a camera: b"), "{told}");
    }

    #[test]
    fn a_line_tells_of_a_control_what_it_is_can_be_and_was() {
        let mut menu = Control::drawn("auto_exposure", Kind::Menu, (0, 3), 1, 3);
        menu.menu = vec![(0, "Auto".to_owned()), (3, "Manual".to_owned())];
        let mut zoom = Control::drawn("zoom", Kind::Integer, (-10, 20), 5, 5);
        zoom.is_inactive = true;
        let listing = Listing {
            camera: "usb:046d:0825".to_owned(),
            controls: vec![
                zoom,
                Control::drawn("auto", Kind::Boolean, (0, 1), 1, 1),
                menu,
                Control::drawn("reset", Kind::Button, (0, 0), 1, 0),
            ],
            kept: BTreeMap::from([("zoom".to_owned(), 5)]),
        };
        let lines = [
            "usb:046d:0825",
            "  zoom           5           -10 to 20 by 5; default -10             inactive, kept",
            "  auto           on          on, off; default off",
            "  auto_exposure  3 (Manual)  0 (Auto), 3 (Manual); default 0 (Auto)",
            "  reset          button      push",
        ];
        let table = table(&listing);
        assert_eq!(table.lines().collect::<Vec<_>>(), lines);
    }
}
