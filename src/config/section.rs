//! One table of the configuration file: which keys it may have, and reading them with every problem reported.

use super::problem::Problems;
use super::value::{Parsed, nearest, shown, wrong_type};
use std::fmt::Display;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table's name and its keys.
pub(super) type Table = (&'static str, &'static [&'static str]);

pub(super) const HTTP: Table = (
    "http",
    &[
        "listen",
        "public_url",
        "cors_origins",
        "frame_ancestors",
        "hosts",
        "mjpeg_fps",
        "mjpeg_quality",
    ],
);
pub(super) const TLS: Table = ("tls", &["certificate", "key", "self_signed", "redirect"]);
pub(super) const AUTH: Table = ("auth", &["mode", "jwt_keys", "jwt_audience", "jwt_issuer"]);
pub(super) const RTC: Table = (
    "rtc",
    &[
        "listen",
        "tcp_listen",
        "external_addresses",
        "interfaces",
        "exclude_interfaces",
    ],
);
pub(super) const STATE: Table = ("state", &["directory"]);
pub(super) const WHEP: Table = ("whep", &["camera_down", "require_if_match", "ice_servers"]);
pub(super) const LIMITS: Table = (
    "limits",
    &[
        "viewers",
        "viewers_per_stream",
        "viewers_per_address",
        "setups",
        "connections",
        "connections_per_address",
        "request_rate",
        "request_burst",
        "request_size",
        "header_time",
        "idle_time",
        "body_rate",
        "shared_addresses",
    ],
);
pub(super) const STREAM: Table = (
    "stream",
    &[
        "name",
        "device",
        "pattern",
        "backend",
        "size",
        "fps",
        "format",
        "rotate",
        "flip",
        "encode",
        "bitrate",
        "keyframe_interval",
        "playout_delay",
        "linger",
        "always_on",
        "slate",
        "usb_reset",
        "watchdog",
    ],
);

/// Every key there is, by its table. Reference, sample file and suggestions are checked against this list.
pub const KEYS: [Table; 8] = [HTTP, TLS, AUTH, RTC, STATE, WHEP, LIMITS, STREAM];

/// Other words for a key that users bring along from similar programs.
const SYNONYMS: [(&str, &str); 8] = [
    ("frame_rate", "fps"),
    ("framerate", "fps"),
    ("resolution", "size"),
    ("path", "device"),
    ("address", "listen"),
    ("port", "listen"),
    ("rotation", "rotate"),
    ("mirror", "flip"),
];

/// One table of the file: where it stands, and the keys that are its own.
pub(super) struct Section<'a, 'i> {
    /// Full key: `stream[0]`, empty for the document.
    pub(super) path: String,
    /// Byte offset of its header.
    pub(super) at: usize,
    table: &'a DeTable<'i>,
}

impl<'a, 'i> Section<'a, 'i> {
    /// The document itself, whose keys are the tables.
    pub(super) fn root(problems: &mut Problems<'_>, table: &'a DeTable<'i>) -> Self {
        let tables = KEYS.map(|(table, _)| table);
        Self::open(problems, String::new(), 0, table, &tables)
    }

    /// Reports every key that is not among `known`.
    pub(super) fn open(
        problems: &mut Problems<'_>,
        path: String,
        at: usize,
        table: &'a DeTable<'i>,
        known: &[&str],
    ) -> Self {
        let section = Self { path, at, table };
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = unknown_key(name, known);
                problems.add(key.span().start, &section.key(name), message);
            }
        }
        section
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
        let mut entries = self.table.iter();
        entries.find_map(|(name, value)| (name.get_ref() == key).then_some(value))
    }

    /// The value of a key, read by `parse`; `None` when it isn't there or is wrong, which is then reported.
    pub(super) fn read<T>(
        &self,
        problems: &mut Problems<'_>,
        key: &str,
        parse: impl Fn(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<T> {
        let value = self.entry(key)?;
        parse(value.get_ref())
            .map_err(|message| problems.add(value.span().start, &self.key(key), message))
            .ok()
    }

    /// The values of a list, without those that are wrong, which are reported. `example` is the whole list as one
    /// could write it.
    pub(super) fn list<T: PartialEq + Display>(
        &self,
        problems: &mut Problems<'_>,
        key: &str,
        example: &str,
        parse: impl Fn(&DeValue<'_>) -> Parsed<T>,
    ) -> Vec<T> {
        let mut items = Vec::new();
        let Some(value) = self.entry(key) else {
            return items;
        };
        let DeValue::Array(list) = value.get_ref() else {
            let message = wrong_type(value.get_ref(), &format!("a list, such as {example}"));
            problems.add(value.span().start, &self.key(key), message);
            return items;
        };
        for (index, item) in list.iter().enumerate() {
            let key = format!("{}[{index}]", self.key(key));
            match parse(item.get_ref()) {
                Ok(item_value) if items.contains(&item_value) => {
                    let message = format!("{item_value} is in the list twice");
                    problems.add(item.span().start, &key, message);
                }
                Ok(item_value) => items.push(item_value),
                Err(message) => problems.add(item.span().start, &key, message),
            }
        }
        items
    }

    /// That table, if the file has it.
    pub(super) fn table(
        &self,
        problems: &mut Problems<'_>,
        (name, known): Table,
    ) -> Option<Section<'a, 'i>> {
        let value = self.entry(name)?;
        let at = value.span().start;
        match value.get_ref() {
            DeValue::Table(table) => {
                Some(Section::open(problems, self.key(name), at, table, known))
            }
            other => {
                let message = match other {
                    DeValue::Array(_) => format!("there is only one such table; write [{name}]"),
                    _ => wrong_type(other, &format!("a table: [{name}] on a line of its own")),
                };
                problems.add(at, &self.key(name), message);
                None
            }
        }
    }

    pub(super) fn key(&self, name: &str) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = if !name.is_empty() && name.chars().all(bare) {
            name.to_owned()
        } else {
            shown(&DeValue::String(name.into()))
        };
        match self.path.as_str() {
            "" => name,
            path => format!("{path}.{name}"),
        }
    }
}

/// Keys of earlier versions, and what to do in their place.
const GONE: [(&str, &str); 1] = [(
    "loopback",
    "is no longer a key, as programs on this machine need a token too; remove it, and open the link that `fanlight url` prints, \
     or send the token that `fanlight token` prints",
)];

fn unknown_key(name: &str, known: &[&str]) -> String {
    if let Some((_, cure)) = GONE.iter().find(|(gone, _)| *gone == name) {
        return (*cure).to_owned();
    }
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == name);
    let meant = synonym
        .map(|(_, key)| *key)
        .filter(|key| known.contains(key));
    if let Some(key) = meant.or_else(|| nearest(name, known)) {
        return format!("unknown key; did you mean `{key}`?");
    }
    let elsewhere: Vec<_> = KEYS
        .iter()
        .filter(|(_, keys)| keys.contains(&name))
        .map(|(table, _)| match *table {
            "stream" => "[[stream]]".to_owned(),
            table => format!("[{table}]"),
        })
        .collect();
    if elsewhere.is_empty() {
        format!("unknown key; the keys here are {}", known.join(", "))
    } else {
        format!(
            "unknown key here; it belongs under {}",
            elsewhere.join(" or ")
        )
    }
}
