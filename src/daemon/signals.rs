//! The process's signals: those that end it with a goodbye, and those that would end it without one by default (signal(7)) and
//! are ignored instead.

use crate::base::log_limit::LogLimit;
use std::io;
use std::time::Instant;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};

/// Signals that ask for the end. Ctrl-\ sends QUIT; a limit on the processor time sends XCPU before it kills.
const ENDING: [(&str, i32); 4] = [
    ("TERM", libc::SIGTERM),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("XCPU", libc::SIGXCPU),
];

/// Signals that mean nothing here. XFSZ is told as an error where it comes from; so is PIPE, which Rust's
/// start-up code ignores, and which needs no handler.
const IGNORED: [(&str, i32); 10] = [
    ("HUP", libc::SIGHUP),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("ALRM", libc::SIGALRM),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("STKFLT", libc::SIGSTKFLT),
    ("XFSZ", libc::SIGXFSZ),
];

/// A program that signals again and again leaves a line a minute.
static IGNORED_LINES: LogLimit = LogLimit::once_a_minute();

/// The signals that end the process.
pub struct Signals(Receiver<()>);

impl Signals {
    /// Listens from now on. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system does not let it.
    pub fn listen() -> io::Result<Self> {
        // The first asks for the drain, the second for the end at once. More say nothing new.
        let (sender, receiver) = channel(2);
        for (_, number) in ENDING {
            let sender = sender.clone();
            on_signal(number, move || {
                let _ = sender.try_send(());
            })?;
        }
        for (name, number) in IGNORED {
            on_signal(number, move || ignore(name))?;
        }
        // Real-time signals have no names. The C library keeps the first ones for itself, and tokio knows not the last.
        for number in libc::SIGRTMIN()..libc::SIGRTMAX() {
            on_signal(number, || ignore("real-time signal"))?;
        }
        Ok(Self(receiver))
    }

    /// Waits for the next signal that asks for the end.
    pub async fn end(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime ends, and with it everything that could signal.
            std::future::pending().await
        }
    }
}

fn on_signal(number: i32, act: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signal = signal(SignalKind::from_raw(number))?;
    tokio::spawn(async move {
        while signal.recv().await.is_some() {
            act();
        }
    });
    Ok(())
}

fn ignore(name: &str) {
    let Some(left_out) = IGNORED_LINES.admit(Instant::now()) else {
        return;
    };
    if name == "HUP" {
        tracing::info!(
            left_out,
            "HUP has no effect: changed secrets and certificates are loaded by themselves, a changed configuration after a restart"
        );
    } else {
        tracing::info!(left_out, "{name} is ignored");
    }
}
