//! The `fanlight` command.

use clap::Parser;
use fanlight::cli::{Cli, Command, Run, urls};
use fanlight::config::Config;
use fanlight::daemon::{Daemon, Fault};
use fanlight::{cameras, logging, rtc};
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(arguments) => run(&arguments),
        Command::Cameras { json } => list_cameras(json),
        Command::CheckConfig { file } => check_config(&file),
    }
}

fn run(arguments: &Run) -> ExitCode {
    let config = match arguments.configuration() {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    logging::start(arguments.log_format);
    if arguments.is_fallback() {
        tracing::warn!("there is no camera at /dev/video0: showing the test pattern");
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tracing::error!("{fault}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn serve(config: Config) -> Result<(), Fault> {
    let daemon = Daemon::bind(config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for url in urls(daemon.http_addr(), &rtc::interfaces()) {
        println!("fanlight: open {url}");
    }
    tracing::info!(http = %daemon.http_addr(), media = %daemon.rtc_addr(), "listening");
    let ending = daemon.run(async move {
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
            tracing::warn!("a second signal: ending at once");
            std::process::exit(1);
        });
    });
    ending.await
}

fn list_cameras(json: bool) -> ExitCode {
    let cameras = cameras::list();
    let text = if json {
        cameras::json(&cameras)
    } else {
        cameras::table(&cameras)
    };
    println!("{}", text.trim_end());
    ExitCode::SUCCESS
}

fn check_config(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => {
            println!(
                "{}: good, {} stream(s)",
                file.display(),
                config.streams.len()
            );
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(BAD_CONFIGURATION)
        }
    }
}
