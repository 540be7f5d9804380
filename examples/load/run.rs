//! The course of a test: join one after the other, wait until all play, measure, leave.

use crate::Options;
use crate::http::JoinError;
use crate::join::{Joiner, Session};
use crate::metrics::{self, Counters};
use crate::process::{self, Usage};
use crate::report::{Conditions, Findings, Report, Since, Usages};
use crate::trace::Trace;
use crate::worker::{Results, Worker};
use hyper::Uri;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// For the last viewer to get its first keyframe.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that are deleted at a time, and the time for all of them.
const LEAVING: usize = 32;
const FAREWELL: Duration = Duration::from_secs(5);

/// Makes the test.
///
/// # Errors
/// When it can't be made at all; what a server does wrong is part of the report.
pub fn run(options: &Options) -> io::Result<Report> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build()?.block_on(Test::run(options))
}

struct Test {
    joiner: Joiner,
    workers: Vec<Worker>,
    ports: HashSet<u16>,
    locations: Vec<Uri>,
    refused: Vec<String>,
}

impl Test {
    fn new(options: &Options) -> io::Result<Self> {
        process::allow_sockets(options.viewers.into())?;
        let offload = options.receive.has_offload();
        let joiner = Joiner::new(options.url.clone(), offload, options.verify);
        // A viewer that verifies has retransmissions to ask for in time.
        let gather = options.receive.gathers() && !options.verify;
        let workers = (0..options.threads).map(|n| Worker::start(format!("load-{n}"), gather));
        Ok(Self {
            joiner: joiner.ok_or_else(|| io::Error::other("the URL must begin with http://"))?,
            workers: workers.collect::<Result<_, _>>()?,
            ports: HashSet::new(),
            locations: Vec::new(),
            refused: Vec::new(),
        })
    }

    async fn run(options: &Options) -> io::Result<Report> {
        let mut test = Self::new(options)?;
        let idle = Sample::take(options, || {}).await?;
        // An interrupted test tells what it has seen so far.
        let mut interrupt = Box::pin(tokio::signal::ctrl_c());
        let interrupted = tokio::select! {
            _ = &mut interrupt => true,
            () = test.ramp(options.viewers.into(), options.ramp) => false,
        };
        let begin = Sample::take(options, || {}).await?;
        test.workers.iter().for_each(Worker::mark);
        if !interrupted {
            tokio::select! {
                _ = interrupt => {}
                () = sleep(options.seconds) => {}
            }
        }
        let measured = begin.after.at.elapsed();
        let end = Sample::take(options, || test.workers.iter().for_each(Worker::freeze)).await;
        // A server that has ended has no figures, but its viewers have.
        let end = end.unwrap_or_else(|_| begin.clone());
        let usages = |of: fn(&Processes) -> Option<Usage>| {
            Some(Usages {
                idle: of(&idle.after)?,
                begin: of(&begin.after)?,
                end: of(&end.before)?,
            })
        };
        let joining = begin.since(&idle);
        let measuring = end.since(&begin);
        let refused = std::mem::take(&mut test.refused);
        let dropped_here = process::drops(&test.ports);
        let results = test.leave().await?;
        if let Some(file) = &options.trace {
            let mut traces = results.outcomes.iter().filter_map(|o| o.trace.as_ref());
            let trace = traces.next().map(Trace::write).unwrap_or_default();
            std::fs::write(file, trace)?;
        }
        Ok(Report::new(Findings {
            conditions: Conditions {
                url: options.url.to_string(),
                viewers: options.viewers.into(),
                ramp_s: options.ramp.as_secs_f64(),
                measured_s: measured.as_secs_f64(),
                threads: options.threads.into(),
                receive: options.receive,
                verify: options.verify,
            },
            dropped_here,
            generator: usages(|processes| Some(processes.ours)),
            server: usages(|processes| processes.server),
            joining,
            measuring,
            refused,
            results,
        }))
    }

    /// Lets all join, and waits until they play.
    async fn ramp(&mut self, count: usize, ramp: Duration) {
        let start = Instant::now();
        let mut joining = JoinSet::new();
        let mut next = 0;
        while next < count || !joining.is_empty() {
            let due = start + ramp.mul_f64(next as f64 / count as f64);
            tokio::select! {
                () = sleep_until(due), if next < count => {
                    let joiner = self.joiner.clone();
                    joining.spawn(async move { joiner.join().await });
                    next += 1;
                }
                Some(joined) = joining.join_next() => match joined {
                    Ok(joined) => self.joined(joined),
                    Err(error) => self.refused.push(error.to_string()),
                }
            }
        }
        let playing = timeout(PATIENCE, self.until_playing());
        // Who does not play by then shows in the report.
        let _ = playing.await;
    }

    fn joined(&mut self, joined: Result<Session, JoinError>) {
        match joined {
            Ok(mut session) => {
                self.ports.insert(session.socket.local().port());
                self.locations.extend(session.location.take());
                self.workers[self.ports.len() % self.workers.len()].add(session);
            }
            Err(error) => self.refused.push(error.to_string()),
        }
    }

    async fn until_playing(&self) {
        let sum = |of: fn(&Worker) -> &AtomicU64| -> u64 {
            let each = self.workers.iter().map(of);
            each.map(|sum| sum.load(Ordering::Relaxed)).sum()
        };
        let joined = self.ports.len() as u64;
        while sum(|w| &w.progress.playing) + sum(|w| &w.progress.failed) < joined {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all sessions and returns what was measured.
    async fn leave(self) -> io::Result<Results> {
        let mut all = Results::default();
        for worker in self.workers {
            let results = worker.end()?;
            all.outcomes.extend(results.outcomes);
            all.times.merge(results.times);
        }
        let farewell = async {
            let mut leaving = JoinSet::new();
            for location in self.locations {
                if leaving.len() >= LEAVING {
                    leaving.join_next().await;
                }
                let joiner = self.joiner.clone();
                // A session may have ended with its goodbye over DTLS.
                leaving.spawn(async move { joiner.leave(&location).await.is_ok() });
            }
            while leaving.join_next().await.is_some() {}
        };
        // A server that is gone has no sessions.
        let _ = timeout(FAREWELL, farewell).await;
        Ok(all)
    }
}

/// This process and the server's at one moment.
#[derive(Clone)]
struct Processes {
    at: Instant,
    ours: Usage,
    server: Option<Usage>,
    threads: BTreeMap<String, Duration>,
}

impl Processes {
    fn look(options: &Options) -> io::Result<Self> {
        let server = options.pid.map(|pid| process::usage(Some(pid)));
        Ok(Self {
            at: Instant::now(),
            ours: process::usage(None)?,
            server: server.transpose()?,
            threads: options.pid.map(process::threads).unwrap_or_default(),
        })
    }
}

/// The server's counters, and the processes before and after they were asked for: that costs the server time, which is
/// no part of what is measured.
#[derive(Clone)]
struct Sample {
    before: Processes,
    counters: Option<Counters>,
    after: Processes,
}

impl Sample {
    /// Calls `between` before the server is asked.
    async fn take(options: &Options, between: impl FnOnce()) -> io::Result<Self> {
        let before = Processes::look(options)?;
        between();
        let counters = match &options.metrics {
            Some(url) => {
                let fetched = metrics::fetch(url).await;
                Some(fetched.map_err(|error| io::Error::other(format!("{url}: {error}")))?)
            }
            None => None,
        };
        Ok(Self {
            before,
            counters,
            after: Processes::look(options)?,
        })
    }

    fn since(&self, earlier: &Self) -> Since {
        let (now, then) = (&self.before, &earlier.after);
        let thread = |(name, time): (&String, &Duration)| {
            let then = then.threads.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(then))
        };
        let server = now.server.zip(then.server);
        let counters = self.counters.iter().zip(&earlier.counters);
        Since {
            time: now.at.saturating_duration_since(then.at),
            server: server.map(|(now, then)| now.cpu.saturating_sub(then.cpu)),
            threads: now.threads.iter().map(thread).collect(),
            counters: counters
                .map(|(now, then)| metrics::growth(then, now))
                .next(),
        }
    }
}
