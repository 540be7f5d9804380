//! Colours on a terminal: when they are wanted, and the escape sequences (ECMA-48, 8.3.117).

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};

/// The style of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Heavier than the rest.
    Bold,
    /// All is well.
    Green,
    /// Something to look at.
    Yellow,
    /// A fault.
    Red,
}

impl Style {
    const fn number(self) -> u8 {
        match self {
            Self::Bold => 1,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
        }
    }

    /// The text in this style, or as it is.
    pub fn paint(self, text: &str, is_wanted: bool) -> String {
        if is_wanted {
            format!("\x1b[{}m{text}\x1b[0m", self.number())
        } else {
            text.to_owned()
        }
    }
}

/// Whether standard output takes colours: it is a terminal, and the user has not declined them (no-color.org).
pub fn is_wanted() -> bool {
    is_wanted_on(io::stdout().is_terminal(), |name| env::var_os(name))
}

fn is_wanted_on(is_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let is_declined = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = variable("TERM").is_some_and(|value| value == "dumb");
    is_terminal && !is_declined && !is_dumb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_a_terminal_whose_user_has_not_declined_them() {
        let with = |variable: &'static str, value: &'static str| {
            move |name: &str| (name == variable).then(|| value.into())
        };
        assert!(is_wanted_on(true, with("TERM", "xterm")));
        assert!(is_wanted_on(true, with("NO_COLOR", "")));
        assert!(!is_wanted_on(true, with("NO_COLOR", "1")));
        assert!(!is_wanted_on(true, with("TERM", "dumb")));
        assert!(!is_wanted_on(false, with("TERM", "xterm")));
        assert_eq!(Style::Red.paint("fail", true), "\x1b[31mfail\x1b[0m");
        assert_eq!(Style::Red.paint("fail", false), "fail");
    }
}
