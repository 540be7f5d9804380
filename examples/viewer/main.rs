//! A viewer without a browser: posts a WHEP offer, receives the stream's H.264, counts it, and can keep it in a file.
//!
//! ```sh
//! cargo run --release --example viewer -- "http://127.0.0.1:8080/whep?token=$(fanlight token)" --seconds 10 --output camera.h264
//! ffplay camera.h264
//! ```
//!
//! `whep` is the HTTP side, `session` the WebRTC side on the `webrtc` crate, `frames` makes pictures of packets,
//! `watch` brings them together and `report` prints.

mod frames;
mod report;
mod session;
mod watch;
mod whep;

use clap::Parser;
use hyper::Uri;
use report::Report;
use session::Session;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use watch::{Goal, Viewer};
use whep::Connection;

/// Anything that ends the viewer, as a sentence.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long saying goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);

/// Watches a WHEP stream without a browser.
#[derive(Parser)]
struct Arguments {
    /// The WHEP endpoint, such as http://127.0.0.1:8080/whep, with ?token=TOKEN where one is needed
    #[arg(value_parser = endpoint)]
    url: Uri,
    /// Ends after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Ends after this many seconds; that is a failure if --frames have not come by then
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    seconds: Option<u64>,
    /// Writes the H.264 to this file, in Annex B form, from the first keyframe on
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Prints JSON, one object a line
    #[arg(long)]
    json: bool,
}

fn endpoint(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(url),
        (Some("https"), _) => Err("this example speaks no TLS: use http://".into()),
        _ => Err("it must begin with http://HOST".into()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("viewer: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<(), Error> {
    // Before anything else: a file that can't be written needs no session.
    let output = match &arguments.output {
        Some(path) => {
            let file = File::create(path);
            Some(file.map_err(|error| format!("can't write {}: {error}", path.display()))?)
        }
        None => None,
    };
    let connection = Connection::open(&arguments.url).await?;
    let mut session = Session::new(connection.local_ip()?).await?;
    let offer = session.offer().await?;

    // From here on there may be a session to end, so a signal is no longer the end of the process.
    let signals = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    ];
    let report = Report::new(arguments.json);
    let answer = connection.post(offer).await?;
    report.step("answered");

    let goal = Goal {
        frames: arguments.frames,
        seconds: arguments.seconds,
    };
    let mut viewer = Viewer::new(report, goal, output, &answer.sdp);
    let watched = match session.accept(answer.sdp).await {
        Ok(()) => viewer.watch(&mut session, signals).await,
        Err(error) => Err(error),
    };
    let finished = viewer.finish();
    let goodbye = timeout(GOODBYE_TIMEOUT, goodbye(&session, &answer.session)).await;
    // The first failure says most.
    watched.and(finished)?;
    goodbye.map_err(|_| "the session could not be ended in time")?
}

/// Ends the session at the server, and then the connection.
async fn goodbye(session: &Session, url: &Uri) -> Result<(), Error> {
    let deleted = match Connection::open(url).await {
        Ok(connection) => connection.delete().await,
        Err(error) => Err(error),
    };
    session.close().await?;
    deleted.map_err(|error| format!("the session could not be ended: {error}").into())
}
