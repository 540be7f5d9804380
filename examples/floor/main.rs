//! What fan-out costs on this machine at the least: sealing packets and handing them to the kernel, and nothing else.
//!
//! It sends what `load --trace FILE` saw to as many sockets, with the same cipher of the same library, by segmentation
//! offload and `sendmmsg`, at the same pace. What a server spends more, it spends on being a server.
//!
//! ```sh
//! cargo run --release --example floor -- trace --viewers 200 --seconds 10
//! ```

mod receivers;
mod sender;
#[expect(dead_code, reason = "the load generator's, which also sends")]
#[path = "../load/socket.rs"]
mod socket;
mod trace;

use clap::Parser;
use nix::time::{ClockId, clock_gettime};
use receivers::Receivers;
use sender::Sender;
use serde::Serialize;
use socket::Receive;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use trace::Trace;

/// What fan-out costs on this machine at the least.
#[derive(Debug, Parser)]
struct Options {
    /// What is sent to each, as `load --trace` wrote it; again from the start when it is over
    trace: PathBuf,
    /// How many
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    viewers: u16,
    /// For how long, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
    /// How packets are received
    #[arg(long, value_enum, default_value_t)]
    receive: Receive,
    /// Threads that receive
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Write JSON in place of a sentence
    #[arg(long)]
    json: bool,
}

/// What it came to.
#[derive(Debug, Serialize)]
struct Report {
    viewers: u16,
    receive: Receive,
    seconds: f64,
    frames: u64,
    sent: u64,
    /// Packets that the kernel did not take.
    refused: u64,
    received: u64,
    /// Processor time of the thread that sends.
    cpu_s: f64,
    cpu_us_per_packet: f64,
    /// Packets that one viewer was to get, in a second.
    packets_per_second: f64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(report) if options.json => {
            let json = serde_json::to_string_pretty(&report);
            println!("{}", json.expect("its keys are text"));
            ExitCode::SUCCESS
        }
        Ok(report) => {
            println!(
                "{} viewers: {:.2} µs a packet; {} of {} packets received, {} refused by the kernel",
                report.viewers,
                report.cpu_us_per_packet,
                report.received,
                report.sent,
                report.refused
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let trace = Trace::read(&std::fs::read_to_string(&options.trace)?)?;
    let receivers = Receivers::start(options.viewers, options.threads, options.receive)?;
    let mut sender = Sender::new(&receivers.addresses, trace.longest())?;
    let cpu = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    let (begun, spent) = (Instant::now(), cpu()?);
    let time = Duration::from_secs(options.seconds.into());
    let mut frames = 0;
    for (due, packets) in trace.frames().take_while(|(due, _)| *due < time) {
        #[expect(clippy::disallowed_methods, reason = "frames leave when they are due")]
        thread::sleep(due.saturating_sub(begun.elapsed()));
        sender.frame(packets)?;
        frames += 1;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_s = cpu()?.saturating_sub(spent).as_secs_f64();
    let received = receivers.end()?;
    Ok(Report {
        viewers: options.viewers,
        receive: options.receive,
        seconds,
        frames,
        sent: sender.sent,
        refused: sender.refused,
        received,
        cpu_s,
        cpu_us_per_packet: cpu_s * 1e6 / received.max(1) as f64,
        packets_per_second: sender.sent as f64 / f64::from(options.viewers) / time.as_secs_f64(),
    })
}
