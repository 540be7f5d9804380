//! Problems of a configuration, each with its line, its key and its cure.

use std::fmt;
use std::path::{Path, PathBuf};

/// The exit status of a process whose configuration is wrong: `EX_CONFIG` of sysexits.h.
pub const BAD_CONFIGURATION: u8 = 78;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Counted from 1; `None` when the file as a whole is meant.
    pub line: Option<usize>,
    /// The full key, such as `stream[1].fps`; empty for errors of syntax.
    pub key: String,
    /// The problem and its cure.
    pub message: String,
}

/// Everything that is wrong with a configuration: at least one problem.
///
/// Shown with one line a problem, in the manner of a compiler: `fanlight.toml:12: stream[0].fps: 300 is not in 1 to 120`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Every problem, in the order of the lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The same problems, shown with the file's path before each.
    pub(super) fn in_file(mut self, path: &Path) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    /// These problems, at least one, of that file.
    pub(super) fn new(file: Option<&Path>, problems: Vec<Problem>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            problems,
        }
    }

    /// A problem of the file as a whole.
    pub(super) fn of_file(message: String) -> Self {
        Self {
            file: None,
            problems: vec![Problem {
                line: None,
                key: String::new(),
                message,
            }],
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            match (&self.file, problem.line) {
                (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
                (Some(file), None) => write!(f, "{}: ", file.display())?,
                (None, Some(line)) => write!(f, "line {line}: ")?,
                (None, None) => {}
            }
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
        }
        Ok(())
    }
}

/// Collects problems while a text is read.
pub(super) struct Problems<'t> {
    text: &'t str,
    found: Vec<Problem>,
    /// Lines whose syntax is broken: what was recovered from them is no ground for further complaints.
    broken: Vec<usize>,
}

impl<'t> Problems<'t> {
    /// No problems yet; positions are byte offsets into `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            found: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// The text is not TOML at this place.
    pub(super) fn syntax(&mut self, at: usize, message: &str) {
        let line = self.line(at);
        self.broken.push(line);
        self.push(line, "", message.replace('\n', ", "));
    }

    /// The value or the key that stands there is wrong.
    pub(super) fn add(&mut self, at: usize, key: &str, message: impl Into<String>) {
        let line = self.line(at);
        if !self.broken.contains(&line) {
            self.push(line, key, message.into());
        }
    }

    /// Something should stand there and does not. Under broken syntax it may well be there.
    pub(super) fn missing(&mut self, at: usize, key: &str, message: impl Into<String>) {
        if self.broken.is_empty() {
            self.add(at, key, message);
        }
    }

    /// `value` if it is there and nothing is wrong; else all that is wrong.
    pub(super) fn settle<T>(mut self, value: Option<T>) -> Result<T, ConfigErrors> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => {
                self.found.sort_by_key(|problem| problem.line);
                Err(ConfigErrors {
                    file: None,
                    problems: self.found,
                })
            }
        }
    }

    fn push(&mut self, line: usize, key: &str, message: String) {
        self.found.push(Problem {
            line: Some(line),
            key: key.to_owned(),
            message,
        });
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}
