//! A thread that runs many viewers: their sockets by epoll, their stacks' timers by a heap.

use crate::frames::Times;
use crate::join::Session;
use crate::socket::{GATHER, Inbox};
use crate::viewer::{Outcome, Viewer};
use mio::{Events, Poll, Token, Waker};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WAKER: Token = Token(usize::MAX);
/// Events for each wait: a frame that reached so many viewers.
const EVENTS: usize = 1024;
/// Sessions that were answered and not taken yet; when it is full, joining waits.
const COMMANDS: usize = 256;
/// Between two publications of the sums.
const PUBLISH: Duration = Duration::from_millis(20);

/// What a thread is told.
enum Command {
    Add(Box<Session>),
    Mark,
    Freeze,
    End,
}

/// Sums over a thread's viewers, for whoever watches.
#[derive(Default)]
pub struct Progress {
    pub playing: AtomicU64,
    pub failed: AtomicU64,
}

/// What a thread's viewers measured.
#[derive(Default)]
pub struct Results {
    pub outcomes: Vec<Outcome>,
    pub times: Times,
}

/// A running thread.
pub struct Worker {
    commands: SyncSender<Command>,
    waker: Waker,
    pub progress: Arc<Progress>,
    thread: JoinHandle<io::Result<Results>>,
}

impl Worker {
    /// Starts one. While it is measured, arrivals may gather before they are read.
    pub fn start(name: String, gather: bool) -> io::Result<Self> {
        let (sender, commands) = sync_channel(COMMANDS);
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let progress = Arc::new(Progress::default());
        let state = State {
            poll,
            commands,
            progress: progress.clone(),
            viewers: Vec::new(),
            timers: BinaryHeap::new(),
            inbox: Inbox::new(),
            times: Times::default(),
            gather,
            is_marked: false,
            published: Instant::now(),
        };
        let thread = std::thread::Builder::new().name(name);
        Ok(Self {
            commands: sender,
            waker,
            progress,
            thread: thread.spawn(move || state.run())?,
        })
    }

    pub fn add(&self, session: Session) {
        self.tell(Command::Add(Box::new(session)));
    }

    /// From here on it is measured.
    pub fn mark(&self) {
        self.tell(Command::Mark);
    }

    /// What arrives from here on is not measured.
    pub fn freeze(&self) {
        self.tell(Command::Freeze);
    }

    /// Ends its viewers and returns what was measured.
    pub fn end(self) -> io::Result<Results> {
        self.tell(Command::End);
        let panicked = |_| io::Error::other("a thread of viewers panicked");
        self.thread.join().map_err(panicked)?
    }

    /// A thread that has ended says why when it is joined.
    fn tell(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

struct State {
    poll: Poll,
    commands: Receiver<Command>,
    progress: Arc<Progress>,
    /// Their tokens are their places.
    viewers: Vec<Viewer>,
    /// Whom to wake when; those that a viewer has replaced are passed over.
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    inbox: Inbox,
    times: Times,
    gather: bool,
    is_marked: bool,
    published: Instant,
}

impl State {
    fn run(mut self) -> io::Result<Results> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let is_over = self.obey()?;
            let now = Instant::now();
            let alarm = self.timers.peek().map(|Reverse((at, _))| *at);
            let wait = alarm.map(|at| at.saturating_duration_since(now));
            let wait = wait.unwrap_or(Duration::MAX).min(5 * PUBLISH);
            // What has arrived by the end counts.
            let wait = if is_over { Duration::ZERO } else { wait };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result?,
            }
            for event in &events {
                if event.token() != WAKER {
                    self.read(event.token().0);
                }
            }
            if is_over {
                return Ok(self.end());
            }
            self.wake();
            self.publish();
        }
    }

    fn read(&mut self, index: usize) {
        let Some(viewer) = self.viewers.get_mut(index) else {
            return;
        };
        let before = viewer.deadline();
        let times = &mut self.times;
        let is_marked = self.is_marked;
        while viewer.receive(&mut self.inbox, |ended| {
            if is_marked {
                times.add(ended);
            }
        }) {}
        if viewer.deadline() != before {
            self.timers.push(Reverse((viewer.deadline(), index)));
        }
    }

    /// Wakes those whose time has come; who wants it again at once comes after the next wait.
    fn wake(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(&Reverse((at, index))) = self.timers.peek()
            && at <= now
        {
            self.timers.pop();
            if self.viewers[index].deadline() == at {
                due.push(index);
            }
        }
        due.dedup();
        for index in due {
            let viewer = &mut self.viewers[index];
            viewer.timeout(now);
            self.timers.push(Reverse((viewer.deadline(), index)));
        }
    }

    /// Does what was told. `true` at the end.
    fn obey(&mut self) -> io::Result<bool> {
        if self.is_marked && self.gather {
            match self.commands.recv_timeout(GATHER) {
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return Ok(true),
                Ok(command) => return self.carry_out(command),
            }
        }
        loop {
            let command = match self.commands.try_recv() {
                Err(TryRecvError::Empty) => return Ok(false),
                Err(TryRecvError::Disconnected) => return Ok(true),
                Ok(command) => command,
            };
            if self.carry_out(command)? {
                return Ok(true);
            }
        }
    }

    /// `true` at the end.
    fn carry_out(&mut self, command: Command) -> io::Result<bool> {
        match command {
            Command::Add(session) => self.add(*session)?,
            Command::Mark => {
                self.is_marked = true;
                for (n, viewer) in self.viewers.iter_mut().enumerate() {
                    viewer.mark(n == 0);
                }
            }
            Command::Freeze => {
                self.is_marked = false;
                self.viewers.iter_mut().for_each(Viewer::freeze);
            }
            Command::End => return Ok(true),
        }
        Ok(false)
    }

    fn add(&mut self, session: Session) -> io::Result<()> {
        let mut viewer = Viewer::new(session)?;
        let index = self.viewers.len();
        viewer.register(self.poll.registry(), Token(index))?;
        self.timers.push(Reverse((viewer.deadline(), index)));
        self.viewers.push(viewer);
        Ok(())
    }

    fn publish(&mut self) {
        if self.published.elapsed() < PUBLISH {
            return;
        }
        self.published = Instant::now();
        let playing = self.viewers.iter().filter(|viewer| viewer.is_playing());
        let failed = self.viewers.iter().filter(|viewer| viewer.has_failed());
        let store = |sum: &AtomicU64, count: usize| sum.store(count as u64, Ordering::Relaxed);
        store(&self.progress.playing, playing.count());
        store(&self.progress.failed, failed.count());
    }

    fn end(self) -> Results {
        Results {
            outcomes: self.viewers.into_iter().map(Viewer::end).collect(),
            times: self.times,
        }
    }
}
