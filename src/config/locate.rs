//! Where a key stands in a configuration file, for problems that show only when what it names is looked at.

use super::problem::{ConfigErrors, Problem};
use std::fmt;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Such as `tls`.
    pub table: &'static str,
    /// The place of the `[[stream]]`, counted from 0.
    pub index: Option<usize>,
    /// Such as `certificate`.
    pub name: &'static str,
}

impl Key {
    /// A key of a table that there is once.
    pub const fn of(table: &'static str, name: &'static str) -> Self {
        Self {
            table,
            index: None,
            name,
        }
    }

    /// A key of a stream, counted from 0.
    pub const fn of_stream(index: usize, name: &'static str) -> Self {
        Self {
            table: "stream",
            index: Some(index),
            name,
        }
    }

    /// The line where its value stands, counted from 1; `None` if the text has no such key.
    fn line(self, text: &str) -> Option<usize> {
        let (document, _) = DeTable::parse_recoverable(text);
        let value = entry(document.get_ref(), self.table)?.get_ref();
        let table = match (self.index, value) {
            (None, DeValue::Table(table)) => table,
            (Some(index), DeValue::Array(list)) => match list.get(index)?.get_ref() {
                DeValue::Table(table) => table,
                _ => return None,
            },
            _ => return None,
        };
        let at = entry(table, self.name)?.span().start;
        let before = text.as_bytes().iter().take(at);
        Some(1 + before.filter(|byte| **byte == b'\n').count())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}].{}", self.table, self.name),
            None => write!(f, "{}.{}", self.table, self.name),
        }
    }
}

fn entry<'a, 'i>(table: &'a DeTable<'i>, name: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    let mut entries = table.iter();
    entries.find_map(|(key, value)| (key.get_ref() == name).then_some(value))
}

impl ConfigErrors {
    /// The problems with the values of these keys, each with its line in the file; `None` if there are none. Without a
    /// file the keys are the built-in ones.
    pub fn of_keys(file: Option<&Path>, wrong: Vec<(Key, String)>) -> Option<Self> {
        if wrong.is_empty() {
            return None;
        }
        // It was read a moment ago; without it there are no lines.
        let text = file.and_then(|file| std::fs::read_to_string(file).ok());
        let problems = wrong.into_iter().map(|(key, message)| Problem {
            line: text.as_deref().and_then(|text| key.line(text)),
            key: key.to_string(),
            message,
        });
        let mut problems: Vec<_> = problems.collect();
        problems.sort_by_key(|problem| problem.line);
        Some(Self::new(file, problems))
    }

    /// A problem with the value of an option of the command line.
    pub fn of_option(option: &str, message: String) -> Self {
        let problem = Problem {
            line: None,
            key: option.to_owned(),
            message,
        };
        Self::new(None, vec![problem])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_however_its_table_is_written() {
        let text = "auth.jwt_keys = \"/a\"\n\n[[stream]]\nname = \"a\"\n[[stream]]\n\nname = \"b\"\n\
            [tls]\ncertificate = \"/c\"\n";
        assert_eq!(Key::of("auth", "jwt_keys").line(text), Some(1));
        assert_eq!(Key::of("tls", "certificate").line(text), Some(9));
        assert_eq!(Key::of_stream(1, "name").line(text), Some(7));
        for absent in [
            Key::of("tls", "key"),
            Key::of("rtc", "listen"),
            Key::of("stream", "name"),
            Key::of_stream(2, "name"),
        ] {
            assert_eq!(absent.line(text), None, "{absent}");
        }
        assert_eq!(Key::of_stream(1, "name").to_string(), "stream[1].name");
    }
}
