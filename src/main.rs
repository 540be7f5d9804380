//! The `fanlight` command: arguments, logging, exit status.

use fanlight::base::colour;
use fanlight::base::os_error::plain;
use fanlight::cli::commands::Told;
use fanlight::cli::doctor::Report;
use fanlight::cli::{Cli, Command, DoctorArguments, Run};
use fanlight::cli::{commands, logging};
use fanlight::config::BAD_CONFIGURATION;
use fanlight::daemon::process;
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(arguments) => run(&arguments),
        Command::Cameras { json } => print(commands::cameras(json), 1),
        Command::Controls(arguments) => print(commands::controls(&arguments), 1),
        Command::Url(arguments) => print(commands::url(&arguments), 1),
        Command::Token(place) => print(commands::token(&place), 1),
        Command::Share(arguments) => print(commands::share(&arguments), 1),
        Command::Doctor(arguments) => doctor(&arguments),
        Command::CheckConfig { file } => print(commands::check_config(&file), BAD_CONFIGURATION),
    }
}

fn print<E: Display>(result: Result<impl Into<Told>, E>, failure: u8) -> ExitCode {
    match result {
        Ok(told) => {
            let Told { text, notes } = told.into();
            // A reader that has seen enough, `head` for one, is no fault.
            let _ = writeln!(io::stdout(), "{text}");
            for note in notes {
                eprintln!("fanlight: {note}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", plain(&error));
            ExitCode::from(failure)
        }
    }
}

fn doctor(arguments: &DoctorArguments) -> ExitCode {
    let report = commands::doctor(arguments);
    let has_failed = report.as_ref().is_ok_and(Report::has_failed);
    let text = report.map(|report| match arguments.json {
        true => report.json(),
        false => report.text(colour::is_wanted()),
    });
    let printed = print(text, 1);
    if has_failed {
        ExitCode::FAILURE
    } else {
        printed
    }
}

fn run(arguments: &Run) -> ExitCode {
    let config = match commands::configuration(arguments) {
        Ok(config) => config,
        Err(errors) => return print(Err::<Told, _>(errors), BAD_CONFIGURATION),
    };
    logging::start(arguments.log_format);
    if arguments.is_fallback() {
        tracing::warn!("there is no camera at /dev/video0: showing the test pattern");
    }
    let Err(fault) = process::serve(config) else {
        return ExitCode::SUCCESS;
    };
    tracing::error!("{fault}");
    ExitCode::from(fault.exit_status())
}
