//! The capture thread: opens a source, converts its frames, and puts the pictures where the encode thread finds the newest.
//! H.264 is not converted, and of it that thread finds all.

pub mod abandoned;
pub mod picture_health;
pub mod unit_cutter;

use crate::base::latest::{Reader, Writer, latest};
use crate::capture::{CaptureError, ErrorKind, Granted, Opener, Source, Wanted};
use crate::codec::convert::Converter;
use crate::media::{I420, Orientation, PixelFormat, RawFrame, Size};
use crate::metrics;
use crate::stream::policy::{Keyframes, Unusable};
use abandoned::Closed;
use picture_health::{Flaws, Watch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use unit_cutter::{MAX_WAITING, Passage, Passed};

/// Encoded pictures that wait to be drawn over; further ones are freed. One waits in front of the encoder and one is
/// encoded, so there are never more.
const SPENT: usize = 2;

/// A delivery of a source, with the properties that it granted.
pub struct Captured {
    pub granted: Arc<Granted>,
    pub content: Content,
}

/// See [`Captured`].
pub enum Content {
    /// To be encoded.
    Picture {
        /// When the sensor delivered it.
        captured_at: Instant,
        picture: I420,
    },
    /// To be handed on: all since the last time. None while a keyframe is waited for.
    Units(Vec<Passed>),
}

impl Captured {
    /// Whether there is nothing to be shown.
    pub fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Units(units) if units.is_empty())
    }
}

/// Between the encode thread and a source of H.264.
#[derive(Default)]
struct KeyframeWish {
    /// The source is to be asked for one.
    wanted: AtomicBool,
    /// The source makes them when it is asked.
    come: AtomicBool,
}

/// A running capture. Without it the thread closes the source and ends.
pub struct Capture {
    pictures: Reader<Captured, CaptureError>,
    /// Pictures go round: a steady stream allocates none.
    spent: SyncSender<I420>,
    keyframes: Arc<KeyframeWish>,
    /// Tells when the thread has dropped the source.
    closed: Closed,
}

impl Capture {
    /// Starts a thread that opens the source and captures.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        name: &str,
        (opener, wanted): (Arc<dyn Opener>, Wanted),
        orientation: Orientation,
        flaws: Arc<Flaws>,
        metrics: metrics::StreamMetrics,
    ) -> std::io::Result<Self> {
        let (writer, reader) = latest();
        let (spent, to_draw_over) = sync_channel(SPENT);
        let (open, closed) = abandoned::life(metrics.clone());
        let keyframes = Arc::new(KeyframeWish::default());
        let asked = keyframes.clone();
        // The stream's, which its encode thread is in.
        let span = tracing::Span::current();
        std::thread::Builder::new()
            // Linux shows the first 15 bytes of a thread's name.
            .name(format!("cap-{name}"))
            .spawn(move || {
                let _span = span.entered();
                let outlet = Outlet {
                    pictures: &writer,
                    spent: to_draw_over,
                    spare: None,
                    converter: Converter::turning(orientation),
                    resized: None,
                    watch: Watch::new(flaws, metrics.clone()),
                    passage: Passage::default(),
                    keyframes: &asked,
                    losses: losses(),
                    metrics,
                };
                match capture(&*opener, wanted, outlet) {
                    Ok(()) => drop(writer),
                    Err(error) => writer.fail(error),
                }
                drop(open);
            })?;
        Ok(Self {
            pictures: reader,
            spent,
            keyframes,
            closed,
        })
    }

    /// Whether the source makes keyframes when it is asked for one.
    pub fn makes_keyframes(&self) -> bool {
        self.keyframes.come.load(Ordering::Relaxed)
    }

    /// Has the source asked for a keyframe, before its next buffer.
    pub fn ask_for_keyframe(&self) {
        self.keyframes.wanted.store(true, Ordering::Relaxed);
    }

    /// The newest pictures.
    pub fn pictures(&self) -> &Reader<Captured, CaptureError> {
        &self.pictures
    }

    /// Tells the thread to close the source and to end, which it does after the frame at hand. What is returned tells when
    /// the source is closed.
    pub fn end(self) -> Closed {
        self.closed
    }

    /// Takes a picture back that is encoded, to be drawn over.
    pub fn give_back(&self, picture: I420) {
        // Without room, or a thread that wants it, it is freed.
        let _ = self.spent.try_send(picture);
    }
}

/// The destination of the frames.
struct Outlet<'a> {
    pictures: &'a Writer<Captured, CaptureError>,
    /// Pictures to draw over.
    spent: Receiver<I420>,
    /// One more: nobody took it, or its frame could not be converted.
    spare: Option<I420>,
    converter: Converter,
    /// The granted properties with the size of the frames, once frames of another size came.
    resized: Option<Arc<Granted>>,
    watch: Watch,
    passage: Passage,
    keyframes: &'a KeyframeWish,
    /// When a keyframe is asked for because something of the source's H.264 is missing, which no viewer notices: nothing that refers
    /// to it is sent.
    losses: Keyframes,
    metrics: metrics::StreamMetrics,
}

impl Outlet<'_> {
    /// Takes a frame in straight from the source's memory.
    fn put(&mut self, granted: &Arc<Granted>, frame: &RawFrame<'_>) -> Result<(), CaptureError> {
        self.metrics.captured.inc();
        self.metrics.lost.inc_by(frame.lost.into());
        match frame.format {
            PixelFormat::H264 => self.pass(granted, frame),
            _ => self.convert(granted, frame),
        }
    }

    /// Hands H.264 over, with what was not taken yet.
    fn pass(&mut self, granted: &Arc<Granted>, frame: &RawFrame<'_>) -> Result<(), CaptureError> {
        let now = Instant::now();
        let units = (self.passage).cut(now, &granted.device, frame)?;
        if units.iter().any(|passed| passed.unit.keyframe) {
            self.losses.made(now);
        }
        let captured = Captured {
            granted: granted.clone(),
            content: Content::Units(units),
        };
        let mut lost = 0;
        self.pictures.join(captured, |waiting, new| {
            lost = join(waiting, new);
        });
        if lost > 0 {
            self.passage.lost();
        }
        let left_out = lost + self.passage.take_left_out();
        if left_out > 0 {
            self.losses.request();
        }
        self.metrics.dropped.inc_by(left_out);
        Ok(())
    }

    /// Has the source make a keyframe if one is wanted.
    fn wish(&mut self, now: Instant, source: &mut dyn Source) {
        let is_wanted = self.keyframes.wanted.swap(false, Ordering::Relaxed);
        if is_wanted || self.losses.is_due(now) {
            self.losses.made(now);
            let comes = source.ask_for_keyframe();
            self.keyframes.come.store(comes, Ordering::Relaxed);
        }
    }

    /// Converts a frame, and hands the picture over.
    fn convert(
        &mut self,
        granted: &Arc<Granted>,
        frame: &RawFrame<'_>,
    ) -> Result<(), CaptureError> {
        if frame.is_late {
            // Converting takes longer than a frame lasts. The newest is taken, so that none ever waits in the driver.
            self.metrics.dropped.inc();
            return Ok(());
        }
        let begin = Instant::now();
        let mut picture = self.blank();
        let size = match self.converter.convert(frame, &mut picture) {
            Ok(size) => size,
            Err(error) => {
                self.spare = Some(picture);
                let detail = format!("{}: {error}", granted.device);
                return Err(CaptureError::new(ErrorKind::BadFrame, detail));
            }
        };
        let converted = begin.elapsed();
        self.metrics.convert.observe(converted.as_secs_f64());
        self.watch.see(&picture, begin);
        let overwritten = self.pictures.put(Captured {
            granted: self.with_size(granted, size),
            content: Content::Picture {
                captured_at: frame.captured_at,
                picture,
            },
        });
        self.spare = overwritten.and_then(|captured| match captured.content {
            Content::Picture { picture, .. } => Some(picture),
            Content::Units(_) => None,
        });
        Ok(())
    }

    /// The granted properties, with the size that frames really have.
    fn with_size(&mut self, granted: &Arc<Granted>, size: Size) -> Arc<Granted> {
        if size == granted.size {
            return granted.clone();
        }
        if let Some(resized) = self.resized.as_ref().filter(|resized| resized.size == size) {
            return resized.clone();
        }
        if self.resized.is_none() {
            tracing::warn!(
                "the frames are {size}, and the driver granted {}; the stream has the size of the frames",
                granted.size
            );
        }
        let resized = Arc::new(Granted {
            size,
            reason: format!("{}; its frames are {size}", granted.reason),
            ..Granted::clone(granted)
        });
        self.resized = Some(resized.clone());
        resized
    }

    /// A picture that nobody reads any more, if there is one.
    fn blank(&mut self) -> I420 {
        let spare = self.spare.take();
        let spent = spare.or_else(|| self.spent.try_recv().ok());
        spent.unwrap_or_else(|| I420::new(Size::new(0, 0)))
    }
}

/// Asks by itself only first, and after a loss. What comes first is best a keyframe, and thus it is known whether the source can be
/// asked.
fn losses() -> Keyframes {
    Keyframes::new(Duration::MAX)
}

/// Puts units behind those that wait. Returns how many were dropped because that are too many.
fn join(waiting: &mut Captured, new: Captured) -> u64 {
    match (&mut waiting.content, new.content) {
        (Content::Units(units), Content::Units(more)) => {
            units.extend(more);
            if units.len() <= MAX_WAITING {
                return 0;
            }
            units.drain(..).len() as u64
        }
        // A source delivers one or the other.
        (other, content) => {
            *other = content;
            0
        }
    }
}

/// Captures until nobody reads any more.
fn capture(
    opener: &dyn Opener,
    wanted: Wanted,
    mut outlet: Outlet<'_>,
) -> Result<(), CaptureError> {
    let mut source = opener.open_for(wanted)?;
    let granted = Arc::new(source.granted().clone());
    tracing::info!(
        device = granted.device,
        format = %granted.format,
        size = %granted.size,
        fps = %granted.rate,
        "source opened: {}",
        granted.reason
    );
    let mut unusable = Unusable::default();
    let is_h264 = granted.format == PixelFormat::H264;
    while !outlet.pictures.is_orphaned() {
        if is_h264 {
            outlet.wish(Instant::now(), &mut *source);
        }
        let frame = source.next_frame();
        match frame.and_then(|frame| frame.map(|frame| outlet.put(&granted, &frame)).transpose()) {
            Ok(Some(())) => unusable.end(),
            // The caller that waits for pictures knows for how long.
            Ok(None) => {}
            Err(error) if error.kind == ErrorKind::BadFrame => {
                outlet.metrics.bad.inc();
                outlet.passage.lost();
                outlet.losses.request();
                tracing::debug!(%error, "frame skipped");
                if unusable.is_too_long(Instant::now(), granted.rate.interval()) {
                    let detail = format!("no more usable frames: {error}");
                    return Err(CaptureError::new(ErrorKind::BadFrame, detail));
                }
            }
            Err(error) => return Err(error),
        }
    }
    tracing::info!("source closed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::latest::Taken;
    use crate::base::sync::Mutex;
    use crate::capture::Source;
    use crate::media::{FrameRate, PixelFormat};
    use crate::metrics::Metrics;

    const SIZE: Size = Size::new(320, 240);

    /// Behind such a frame a newer one waits.
    const LATE: u8 = 255;

    /// Lends frames of the greys that it is sent, until the sender is gone. 0 stands for a frame that is too short.
    struct Greys {
        granted: Granted,
        greys: Receiver<u8>,
        frame: Vec<u8>,
    }

    impl Source for Greys {
        fn granted(&self) -> &Granted {
            &self.granted
        }

        fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
            let gone = |_| CaptureError::new(ErrorKind::Lost, "gone");
            let grey = self.greys.recv().map_err(gone)?;
            self.frame.fill(grey);
            let len = if grey == 0 { 1 } else { self.frame.len() };
            Ok(Some(RawFrame {
                data: &self.frame[..len],
                format: PixelFormat::Grey,
                size: SIZE,
                stride: 0,
                captured_at: Instant::now(),
                lost: 0,
                is_late: grey == LATE,
                full_range: false,
            }))
        }
    }

    struct Once(Mutex<Option<Greys>>);

    impl Opener for Once {
        fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
            let source = self.0.lock().take();
            Ok(Box::new(source.expect("it is opened once")))
        }

        fn describe(&self) -> String {
            "greys".to_owned()
        }
    }

    fn greys() -> (SyncSender<u8>, Once) {
        let (sender, greys) = sync_channel(0);
        let granted = Granted {
            device: "greys".to_owned(),
            size: SIZE,
            rate: FrameRate::whole(30),
            format: PixelFormat::Grey,
            reason: String::new(),
        };
        let frame = vec![0; SIZE.pixels()];
        let source = Greys {
            granted,
            greys,
            frame,
        };
        (sender, Once(Mutex::new(Some(source))))
    }

    fn picture(captured: Captured) -> I420 {
        match captured.content {
            Content::Picture { picture, .. } => picture,
            Content::Units(_) => panic!("a picture was expected"),
        }
    }

    #[test]
    fn an_unusable_or_late_frame_costs_itself_alone_and_the_end_tells_why() {
        let (sender, opener) = greys();
        let metrics = Metrics::new().stream("greys");
        let capture = Capture::start(
            "greys",
            (Arc::new(opener), Wanted::Frames),
            Orientation::default(),
            Arc::default(),
            metrics.clone(),
        )
        .unwrap();
        let far = Duration::from_secs(60);
        for grey in [7, 0, LATE, 8] {
            sender.send(grey).unwrap();
            if [0, LATE].contains(&grey) {
                continue;
            }
            let Taken::Value(captured) = capture.pictures().take(far) else {
                panic!("a picture was expected");
            };
            let picture = picture(captured);
            assert!(picture.y.iter().all(|&y| y == grey));
            capture.give_back(picture);
        }
        drop(sender);
        let lost = CaptureError::new(ErrorKind::Lost, "gone");
        assert!(matches!(capture.pictures().take(far), Taken::Ended(Err(error)) if error == lost));
        let counts = (metrics.captured.get(), metrics.bad.get());
        assert_eq!((counts, metrics.dropped.get()), ((4, 1), 1));
    }

    #[test]
    fn pictures_go_round_whether_they_are_taken_or_not() {
        for takes in [true, false] {
            let (sender, opener) = greys();
            let (pictures, reader) = latest();
            let (give_back, spent) = sync_channel(SPENT);
            let outlet = Outlet {
                pictures: &pictures,
                spent,
                spare: None,
                converter: Converter::new(),
                resized: None,
                watch: Watch::new(Arc::default(), Metrics::new().stream("greys")),
                passage: Passage::default(),
                keyframes: &KeyframeWish::default(),
                losses: losses(),
                metrics: Metrics::new().stream("greys"),
            };
            let feeder = std::thread::spawn(move || {
                for grey in 1..100 {
                    sender.send(grey).unwrap();
                    if takes && let Taken::Value(captured) = reader.take(Duration::from_secs(60)) {
                        give_back.try_send(picture(captured)).unwrap();
                    }
                }
                (reader, give_back)
            });
            let cost = allocation_counter::measure(|| {
                let error = capture(&opener, Wanted::Frames, outlet).unwrap_err();
                assert_eq!(error.kind, ErrorKind::Lost);
            });
            drop(feeder.join());
            let picture = SIZE.pixels() as u64 * 3 / 2;
            assert!(cost.bytes_total < 4 * picture, "{cost:?}, taken: {takes}");
        }
    }
}
