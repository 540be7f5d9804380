//! Answers to wrong usage of the command line, where clap's own words would leave a newcomer without a next step.

use super::Cli;
use crate::base::redact::without_password;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use clap::{CommandFactory, Parser};
use std::ffi::OsString;

/// Commands of other programs that newcomers try, each with what to type here.
const GUESSES: &[(&[&str], &str)] = &[
    (
        &["list", "ls", "devices", "device", "probe", "camera", "cams"],
        "`fanlight cameras` lists the cameras of this machine",
    ),
    (
        &["start", "serve", "server", "up"],
        "`fanlight` alone runs the server in the foreground, and `sudo systemctl start fanlight` starts the installed service",
    ),
    (
        &["stop", "quit", "kill", "down"],
        "Ctrl+C stops a fanlight in the foreground, and `sudo systemctl stop fanlight` stops the installed service",
    ),
    (
        &["restart", "reload"],
        "Ctrl+C and `fanlight` restart it in the foreground, and `sudo systemctl restart fanlight` restarts the installed service",
    ),
    (
        &["status", "info"],
        "`fanlight doctor` tells whether people can watch, and `systemctl status fanlight` shows the installed service",
    ),
    (
        &["link", "links", "qr", "open"],
        "`fanlight url` prints the links that open the page",
    ),
    (
        &["check", "validate", "config"],
        "`fanlight check-config FILE` checks a configuration file",
    ),
];

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// The message about it, or the text of `--help` and `--version`.
    pub fn read<T: Into<OsString> + Clone>(
        arguments: impl IntoIterator<Item = T>,
    ) -> Result<Self, Error> {
        Self::try_parse_from(arguments).map_err(explained)
    }
}

/// The same error in words that lead on.
fn explained(mut error: Error) -> Error {
    let told = |error: &Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = told(&error, ContextKind::InvalidSubcommand);
            let known = GUESSES.iter().find(|(words, _)| words.contains(&&*word));
            let Some((_, hint)) = known else {
                return error;
            };
            let message = format!("there is no command `{word}`: {hint}");
            Cli::command().error(ErrorKind::InvalidSubcommand, message)
        }
        ErrorKind::ArgumentConflict
            if told(&error, ContextKind::InvalidArg).starts_with("--listen")
                && told(&error, ContextKind::PriorArg).starts_with("--listen") =>
        {
            let message = "--port is another name for --listen: leave out --port, and write both as --listen ADDRESS:PORT";
            Cli::command().error(ErrorKind::ArgumentConflict, message)
        }
        ErrorKind::ValueValidation => {
            let value = told(&error, ContextKind::InvalidValue);
            let shown = ContextValue::String(without_password(&value));
            error.insert(ContextKind::InvalidValue, shown);
            error
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> String {
        let error = Cli::read([&["fanlight"], arguments].concat()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn a_command_of_another_program_is_answered_with_the_one_here() {
        for (word, hint) in [
            ("list", "`fanlight cameras`"),
            ("devices", "`fanlight cameras`"),
            ("probe", "`fanlight cameras`"),
            ("serve", "`fanlight` alone"),
            ("start", "`fanlight` alone"),
            ("stop", "systemctl stop fanlight"),
            ("status", "systemctl status fanlight"),
        ] {
            assert!(told(&[word]).contains(hint), "{word}");
            assert!(told(&[word, "--help"]).contains(hint), "{word}");
        }
    }

    #[test]
    fn every_command_that_is_suggested_is_one_that_help_lists() {
        let mistyped = told(&["strat"]);
        assert!(!mistyped.contains("'start'"), "{mistyped}");
        assert!(told(&["camera"]).contains("`fanlight cameras`"));
        assert!(told(&["docter"]).contains("'doctor'"));
        let commands = Cli::command();
        assert!(commands.get_subcommands().all(|one| !one.is_hide_set()));
        let is_command = |word: &&str| commands.find_subcommand(word).is_some();
        let guesses: Vec<_> = GUESSES.iter().flat_map(|(words, _)| *words).collect();
        assert!(!guesses.into_iter().any(is_command));
    }

    #[test]
    fn port_beside_listen_is_told_with_the_one_to_leave_out() {
        for arguments in [
            ["--port", "9000", "--listen", "127.0.0.1:80"],
            ["--listen", "127.0.0.1:80", "--port", "9000"],
        ] {
            let told = told(&arguments);
            assert!(told.contains("leave out --port"), "{told}");
        }
    }

    #[test]
    fn a_network_camera_is_refused_without_its_password() {
        let told = told(&["--device", "rtsp://eva:secret@192.168.1.9/1"]);
        assert!(told.contains("network cameras are not supported"), "{told}");
        assert!(!told.contains("secret"), "{told}");
        assert!(told.contains("rtsp://…@192.168.1.9/1"), "{told}");
    }
}
