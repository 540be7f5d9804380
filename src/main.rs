//! The `fanlight` command: arguments, logging, signals, exit status.

use clap::Parser;
use fanlight::addresses::{interfaces, urls};
use fanlight::cli::{Cli, Command, Run};
use fanlight::config::Config;
use fanlight::daemon::{Daemon, Fault};
use fanlight::{commands, logging};
use std::fmt::Display;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(arguments) => run(&arguments),
        Command::Cameras { json } => print(commands::cameras(json), 1),
        Command::CheckConfig { file } => print(commands::check_config(&file), BAD_CONFIGURATION),
    }
}

fn print<E: Display>(result: Result<String, E>, failure: u8) -> ExitCode {
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(failure)
        }
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
    let Err(fault) = serve(config) else {
        return ExitCode::SUCCESS;
    };
    tracing::error!("{fault}");
    ExitCode::FAILURE
}

#[tokio::main(worker_threads = 2)]
async fn serve(config: Config) -> Result<(), Fault> {
    let daemon = Daemon::bind(config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for url in urls(daemon.http_addr(), &interfaces()) {
        println!("fanlight: open {url}");
    }
    tracing::info!(http = %daemon.http_addr(), media = %daemon.rtc_addr(), "listening");
    let end = async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
            end_at_once();
        });
    };
    daemon.run(end).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "who signals twice wants no drain"
)]
fn end_at_once() {
    tracing::warn!("a second signal: ending at once");
    std::process::exit(1);
}
