//! A load generator for WHEP servers: many viewers who join, count what they get, and tell what it was like.
//!
//! To plan capacity, point it at a server of yours, best from another machine:
//!
//! ```sh
//! cargo run --release --example load -- "http://192.168.1.5:8080/whep?token=TOKEN" --viewers 200 --ramp 2 --seconds 10
//! ```
//!
//! Where there is no camera yet, `fanlight --test-pattern=noise` has a camera's bitrate.
//!
//! Each viewer has a socket, a handshake and SRTP keys of its own, and reports to the server as a browser does. To be
//! cheap, it does not decrypt: after the first keyframe packets are counted by their clear headers, and losses
//! are counted but not asked for again. With `--verify` viewers are real ones: all is decrypted, retransmissions
//! are asked for, and the frames of fanlight's test pattern are decoded and their counters checked.

mod counts;
mod exchange;
mod frames;
mod histogram;
mod http;
mod join;
mod keys;
mod metrics;
mod packet;
mod peer;
mod process;
mod report;
mod reports;
mod run;
mod sequence;
mod socket;
mod spread;
mod table;
#[cfg(test)]
mod tests;
mod trace;
mod transport;
mod verify;
mod viewer;
mod worker;

use clap::Parser;
use exchange::Exchange;
use hyper::Uri;
use serde::Serialize;
use socket::Receive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Many viewers of a WHEP server at once, and what it was like for them.
#[derive(Debug, Clone, Parser)]
#[command(after_help = "Exit status: 0 all viewers played to the end, 1 not all, 2 wrong usage.")]
struct Options {
    /// Where offers are posted to: http://HOST:PORT/…/whep, with ?token=TOKEN where one is needed
    url: Uri,
    /// How many
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    viewers: u16,
    /// Time within which they join one after the other, in seconds
    #[arg(long, default_value = "1", value_parser = seconds)]
    ramp: Duration,
    /// How long it is measured when all have joined, in seconds
    #[arg(long, default_value = "10", value_parser = seconds)]
    seconds: Duration,
    /// No media: that many connections, each with one request after the other for the time that is measured
    #[arg(long, value_enum, value_name = "WHAT")]
    http: Option<Exchange>,
    /// Decrypt and decode everything, and check the frame counters of fanlight's test pattern
    #[arg(long)]
    verify: bool,
    /// Write JSON in place of the table
    #[arg(long)]
    json: bool,
    /// The server's process, if it runs on this machine: show what it spends
    #[arg(long)]
    pid: Option<u32>,
    /// Threads that receive
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// How packets are received
    #[arg(long, value_enum, default_value_t)]
    receive: Receive,
    /// Where the server tells its counters as Prometheus text, http://HOST:PORT/metrics, with ?token=TOKEN where one is needed:
    /// show by how much they grow
    #[arg(long, value_name = "URL")]
    metrics: Option<Uri>,
    /// Write the lengths of one viewer's packets to this file: a line a frame, behind its time in ticks of 90 kHz
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

/// Up to an hour.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text
        .parse::<f64>()
        .ok()
        .filter(|s| (0.0..=3600.0).contains(s));
    let seconds = seconds.ok_or("not a number of seconds from 0 to 3600")?;
    Ok(Duration::from_secs_f64(seconds))
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(exchange) = options.http {
        return match exchange::run(&options, exchange) {
            Ok(report) if options.json => shown(&report, report.is_good()),
            Ok(report) => {
                print!("{report}");
                ExitCode::from(u8::from(!report.is_good()))
            }
            Err(error) => failed(&error),
        };
    }
    match run::run(&options) {
        Ok(report) if options.json => shown(&report, report.is_good()),
        Ok(report) => {
            print!("{}", table::Table(&report));
            ExitCode::from(u8::from(!report.is_good()))
        }
        Err(error) => failed(&error),
    }
}

/// As JSON.
fn shown(report: &impl Serialize, is_good: bool) -> ExitCode {
    let json = serde_json::to_string_pretty(report);
    println!("{}", json.expect("maps have text for keys"));
    ExitCode::from(u8::from(!is_good))
}

fn failed(error: &std::io::Error) -> ExitCode {
    eprintln!("load: {error}");
    ExitCode::FAILURE
}
