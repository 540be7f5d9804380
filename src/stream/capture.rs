//! The capture thread: opens a source, reads it, and puts its frames where the encoder finds the newest.

use crate::capture::{CaptureError, ErrorKind, Granted, Opener};
use crate::latest::{Reader, Writer, latest};
use crate::media::RawFrame;
use crate::metrics;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Unusable frames in a row after which the source is taken for broken.
const MAX_BAD_FRAMES: u32 = 60;

/// How long a source may take to notice that it is no longer read: a frame and the driver's closing.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// A frame, and what its source granted.
pub type Captured = (Arc<Granted>, RawFrame);

/// A running capture. Dropping it closes the source, so that it can be opened again.
pub struct Capture {
    frames: Option<Reader<Captured, CaptureError>>,
    /// Disconnected when the thread has dropped the source.
    closed: Receiver<()>,
}

impl Capture {
    /// Starts a thread that opens the source and captures.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(
        name: &str,
        opener: Arc<dyn Opener>,
        metrics: metrics::Stream,
    ) -> std::io::Result<Self> {
        let (writer, reader) = latest();
        let (open, closed) = sync_channel::<()>(0);
        // The stream's, which its encode thread is in.
        let span = tracing::Span::current();
        std::thread::Builder::new()
            // Linux shows the first 15 bytes of a thread's name.
            .name(format!("cap-{name}"))
            .spawn(move || {
                let _span = span.entered();
                match capture(&*opener, &writer, &metrics) {
                    Ok(()) => drop(writer),
                    Err(error) => writer.fail(error),
                }
                drop(open);
            })?;
        Ok(Self {
            frames: Some(reader),
            closed,
        })
    }

    /// The newest frames.
    pub fn frames(&self) -> &Reader<Captured, CaptureError> {
        // It is taken only by `drop`.
        self.frames
            .as_ref()
            .expect("a capture that was not dropped")
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Without its reader the thread ends after the frame at hand.
        drop(self.frames.take());
        if self.closed.recv_timeout(STOP_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            // Some drivers block for good when a device stalls; such a thread can't be ended, only left.
            tracing::warn!("the source does not close; its thread is left behind");
        }
    }
}

/// Captures until nobody reads any more.
fn capture(
    opener: &dyn Opener,
    frames: &Writer<Captured, CaptureError>,
    metrics: &metrics::Stream,
) -> Result<(), CaptureError> {
    let mut source = opener.open()?;
    let granted = Arc::new(source.granted().clone());
    tracing::info!(
        device = granted.device,
        format = %granted.format,
        size = %granted.size,
        fps = %granted.rate,
        "source opened: {}",
        granted.reason
    );
    let mut bad_in_a_row = 0;
    while !frames.is_orphaned() {
        match source.next_frame() {
            Ok(frame) => {
                bad_in_a_row = 0;
                metrics.captured.inc();
                if !frames.put((granted.clone(), frame)) {
                    break;
                }
            }
            Err(error) if error.kind == ErrorKind::BadFrame && bad_in_a_row < MAX_BAD_FRAMES => {
                bad_in_a_row += 1;
                metrics.bad.inc();
                tracing::debug!(%error, "frame skipped");
            }
            Err(error) => return Err(error),
        }
    }
    tracing::info!("source closed");
    Ok(())
}
