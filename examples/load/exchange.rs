//! The HTTP side alone: connections that stay open, each with one request after the other.

use crate::Options;
use crate::histogram::{Histogram, Summary};
use crate::http::{Connection, JoinError, resolve};
use crate::join::Joiner;
use clap::ValueEnum;
use hyper::{Method, Uri};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    /// GET
    Get,
    /// OPTIONS
    Options,
    /// An offer, which is timed until its answer is here, and the DELETE of the session
    Join,
}

/// What it was like. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub struct Report {
    url: String,
    exchange: Exchange,
    connections: usize,
    measured_s: f64,
    per_second: f64,
    /// Of the request that is timed.
    times: Option<Summary>,
    /// Why others failed, and how many.
    failed: BTreeMap<String, usize>,
}

impl Report {
    /// Whether nothing failed.
    pub fn is_good(&self) -> bool {
        self.failed.is_empty() && self.times.is_some()
    }
}

/// Of one connection, or of all.
#[derive(Default)]
struct Outcome {
    times: Histogram,
    failed: BTreeMap<String, usize>,
}

/// Makes the test: `--viewers` connections for `--seconds`.
///
/// # Errors
/// When it can't be made at all; what a server does wrong is part of the report.
pub fn run(options: &Options, exchange: Exchange) -> io::Result<Report> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(options.threads.into()).enable_all();
    runtime.build()?.block_on(all(options, exchange))
}

async fn all(options: &Options, exchange: Exchange) -> io::Result<Report> {
    let joiner = Joiner::new(options.url.clone(), false, false);
    let joiner = joiner.ok_or_else(|| io::Error::other("the URL must begin with http://"))?;
    // The same for all: what is measured is the server.
    let offer = joiner.offer();
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..options.viewers {
        let (url, offer) = (options.url.clone(), offer.clone());
        let until = start + options.seconds;
        clients.spawn(async move { client(url, exchange, offer, until).await });
    }
    let mut all = Outcome::default();
    while let Some(one) = clients.join_next().await {
        let one = one.map_err(io::Error::other)?;
        all.times.merge(&one.times);
        for (reason, count) in one.failed {
            *all.failed.entry(reason).or_default() += count;
        }
    }
    let measured = start.elapsed().as_secs_f64();
    let times = all.times.summary();
    Ok(Report {
        url: options.url.to_string(),
        exchange,
        connections: options.viewers.into(),
        measured_s: measured,
        per_second: times.map_or(0.0, |times| times.count as f64 / measured),
        times,
        failed: all.failed,
    })
}

async fn client(url: Uri, exchange: Exchange, offer: String, until: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut connection = None;
    while Instant::now() < until {
        match once(&mut connection, &url, exchange, &offer).await {
            Ok(time) => outcome.times.add(time),
            Err(error) => {
                *outcome.failed.entry(error.to_string()).or_default() += 1;
                connection = None;
            }
        }
    }
    outcome
}

/// One exchange, over the connection if there is one already.
async fn once(
    connection: &mut Option<Connection>,
    url: &Uri,
    exchange: Exchange,
    offer: &str,
) -> Result<Duration, JoinError> {
    let connection = match connection {
        Some(open) => open,
        None => connection.insert(Connection::open(url).await?),
    };
    let (method, body) = match exchange {
        Exchange::Get => (Method::GET, String::new()),
        Exchange::Options => (Method::OPTIONS, String::new()),
        Exchange::Join => (Method::POST, offer.to_owned()),
    };
    let start = Instant::now();
    let (head, _) = connection.send(method, url, body).await?;
    let time = start.elapsed();
    if exchange == Exchange::Join {
        let location = head.headers.get("location").and_then(|l| l.to_str().ok());
        let session = location.and_then(|location| resolve(url, location));
        let session = session.ok_or_else(|| JoinError::Answer("no Location".to_owned()))?;
        connection
            .send(Method::DELETE, &session, String::new())
            .await?;
    }
    Ok(time)
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let exchange = format!("{:?}", self.exchange).to_lowercase();
        write!(
            f,
            "{exchange} {}, {} connections: {:.0} a second",
            self.url, self.connections, self.per_second
        )?;
        if let Some(times) = self.times {
            let Summary {
                median, p99, max, ..
            } = times;
            write!(f, "; {median:.2} ms median, {p99:.2} p99, {max:.2} max")?;
        }
        writeln!(f)?;
        for (reason, count) in &self.failed {
            writeln!(f, "{count} failed: {reason}")?;
        }
        Ok(())
    }
}
