//! A session under way: takes in packets and events until the goal is reached, and knows when to give up.

use crate::Error;
use crate::frames::Frames;
use crate::report::{Report, Totals};
use crate::session::{self, Event, Session};
use rtc::rtp;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

/// Without media for so long, the viewer gives up.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(10);
/// A keyframe that was asked for and has not come by then is asked for again.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// When the viewer has seen enough; by itself never.
pub struct Goal {
    /// Pictures received whole.
    pub frames: Option<u64>,
    /// From the offer on.
    pub seconds: Option<u64>,
}

/// What was received, and what is to be done about it.
pub struct Viewer {
    report: Report,
    goal: Goal,
    output: Option<BufWriter<File>>,
    /// Where the server said that its media comes from.
    server: String,
    frames: Frames,
    totals: Totals,
    is_connected: bool,
    first_packet: Option<Instant>,
    last_packet: Instant,
    keyframe_requested: Option<Instant>,
}

impl Viewer {
    /// Nothing received yet.
    pub fn new(report: Report, goal: Goal, output: Option<File>, answer: &str) -> Self {
        let now = Instant::now();
        Self {
            report,
            goal,
            output: output.map(BufWriter::new),
            server: candidates(answer),
            frames: Frames::new(),
            totals: Totals::new(now),
            is_connected: false,
            first_packet: None,
            last_packet: now,
            keyframe_requested: None,
        }
    }

    /// Receives until the goal is reached, or a signal comes.
    pub async fn watch(
        &mut self,
        session: &mut Session,
        signals: [Signal; 2],
    ) -> Result<(), Error> {
        let [mut interrupt, mut terminate] = signals;
        let end = self.goal.seconds.map(Duration::from_secs);
        let end = end.map(|span| self.report.start() + span);
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        second.tick().await;
        loop {
            let track = session.track();
            let give_up = self.last_packet + MEDIA_TIMEOUT;
            let wake = end.map_or(give_up, |end| end.min(give_up));
            tokio::select! {
                packet = session::packet(track.as_ref()) => {
                    let packet = packet.ok_or("the server has ended the session")?;
                    let ssrc = packet.header.ssrc;
                    if self.packet(packet)? {
                        return Ok(());
                    }
                    if let Some(track) = track && self.is_keyframe_due() {
                        session::request_keyframe(&track, ssrc).await?;
                    }
                }
                event = session.event() => self.event(&event)?,
                _ = second.tick() => {
                    self.totals.at = Instant::now();
                    self.report.second(self.totals);
                    if session.is_closed_by_server().await {
                        return Err("the server has ended the session".into());
                    }
                }
                () = sleep_until(wake.into()) => return self.time_is_up(),
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
        }
    }

    /// Takes in a packet. `true` when that was the last one needed.
    fn packet(&mut self, packet: rtp::Packet) -> Result<bool, Error> {
        let now = Instant::now();
        self.last_packet = now;
        if self.first_packet.is_none() {
            self.first_packet = Some(now);
            self.report.step("first packet");
        }
        let pictures = self.frames.push(now, packet);
        self.totals.wire = self.frames.counts();
        for picture in pictures {
            if self.totals.frames == 0 {
                self.report.step("first keyframe");
            }
            self.totals.frames += 1;
            self.totals.keyframes += u64::from(picture.keyframe);
            if let Some(file) = &mut self.output {
                file.write_all(&picture.data)?;
            }
            if Some(self.totals.frames) == self.goal.frames {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn event(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            Event::Connected => {
                self.is_connected = true;
                self.report.step("connected");
                Ok(())
            }
            Event::Failed if self.is_connected => Err("the connection was lost".into()),
            Event::Failed => Err(format!("no connection to {}", self.server).into()),
            Event::Gathered | Event::Track(_) => Ok(()),
        }
    }

    /// Whether to ask for a keyframe now. The server begins with one unasked, but what comes right behind the
    /// handshake may be lost: `webrtc` drops packets that it reads together with the handshake's last message.
    fn is_keyframe_due(&mut self) -> bool {
        let is_missed = self.frames.needs_keyframe() && self.totals.wire.skipped > 0;
        let is_asked = self
            .keyframe_requested
            .is_some_and(|at| at.elapsed() < KEYFRAME_INTERVAL);
        if is_missed && !is_asked {
            self.keyframe_requested = Some(Instant::now());
        }
        is_missed && !is_asked
    }

    /// The end of the given time, or of patience.
    fn time_is_up(&self) -> Result<(), Error> {
        let seconds = MEDIA_TIMEOUT.as_secs();
        let error = if self.last_packet.elapsed() >= MEDIA_TIMEOUT {
            match (self.is_connected, self.totals.wire.packets) {
                (false, _) => format!(
                    "no connection within {seconds} s: can UDP reach {}?",
                    self.server
                ),
                (true, 0) => format!(
                    "connected, but no media came within {seconds} s: does the camera work?"
                ),
                (true, _) => format!("no media came for {seconds} s"),
            }
        } else {
            match self.goal.frames {
                None if self.totals.frames > 0 => return Ok(()),
                None => "no frame came in the given time".to_owned(),
                Some(wanted) => format!(
                    "only {} of {wanted} frames came in the given time",
                    self.totals.frames
                ),
            }
        };
        Err(error.into())
    }

    /// Completes the file, and sums up.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.totals.at = Instant::now();
        if let Some(first_packet) = self.first_packet {
            self.report.end(first_packet, self.totals);
        }
        match &mut self.output {
            Some(file) => Ok(file.flush()?),
            None => Ok(()),
        }
    }
}

/// The addresses that an answer names, for people.
fn candidates(answer: &str) -> String {
    let candidates = answer.lines().filter_map(|line| {
        // RFC 8839, 5.1: foundation, component, transport, priority, address, port.
        let mut words = line.strip_prefix("a=candidate:")?.split_whitespace();
        Some(format!("{} port {}", words.nth(4)?, words.next()?))
    });
    let list: Vec<_> = candidates.collect();
    list.join(", ")
}
