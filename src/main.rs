//! The `fanlight` command: arguments, logging, exit status.

use clap::Parser;
use fanlight::cli::{Cli, Command, DoctorArguments, Run};
use fanlight::{commands, logging, process};
use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
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

fn print<E: Display>(result: Result<String, E>, failure: u8) -> ExitCode {
    match result {
        Ok(text) => {
            // A reader that has seen enough, `head` for one, is no fault.
            let _ = writeln!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(failure)
        }
    }
}

fn doctor(arguments: &DoctorArguments) -> ExitCode {
    match commands::doctor(arguments) {
        Ok(report) => {
            let has_failed = report.has_failed();
            let text = if arguments.json {
                report.json()
            } else {
                report.to_string()
            };
            let printed = print::<io::Error>(Ok(text), 1);
            if has_failed {
                ExitCode::FAILURE
            } else {
                printed
            }
        }
        Err(error) => print(Err(error), 1),
    }
}

fn run(arguments: &Run) -> ExitCode {
    let config = match arguments.configuration() {
        Ok(config) => config,
        Err(errors) => return print(Err(errors), BAD_CONFIGURATION),
    };
    logging::start(arguments.log_format);
    if arguments.is_fallback() {
        tracing::warn!("there is no camera at /dev/video0: showing the test pattern");
    }
    let Err(fault) = process::serve(config) else {
        return ExitCode::SUCCESS;
    };
    tracing::error!("{fault}");
    ExitCode::FAILURE
}
