//! A stream's pictures as JPEG images, for viewers over HTTP: made on a thread of their own while somebody wants
//! them, at a bounded rate, once for all.
//!
//! Two slots are on the way, and a newer picture overwrites an older one in both: that before the compressing thread, and
//! the one that everybody reads from. So whoever is slow misses pictures, and delays nobody.

use crate::base::latest::{Reader, Taken, Writer, latest};
use crate::base::sync::Mutex;
use crate::codec::convert::Compress;
use crate::media::I420;
use crate::metrics;
use bytes::Bytes;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the compressing thread sleeps at a time; its end wakes it anyway.
const LONG: Duration = Duration::from_secs(3600);

/// The parameters of the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Making {
    /// The shortest time from one to the next, on average.
    pub interval: Duration,
    /// libjpeg's, 1 to 100.
    pub quality: u8,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Jpeg {
    /// The image.
    pub data: Bytes,
    /// When the picture came from the camera.
    pub captured_at: Instant,
}

/// The compressor that turns a stream's pictures into JPEG images.
#[derive(Default)]
pub struct Jpegs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Read for every picture, so without the lock.
    watchers: AtomicUsize,
    state: Mutex<Compression>,
    images: watch::Sender<Option<Jpeg>>,
}

#[derive(Default)]
struct Compression {
    making: Option<Making>,
    /// To the compressing thread, while there is one.
    pictures: Option<Writer<(I420, Instant), Infallible>>,
    pace: Pace,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Compression> {
        // Every critical section leaves the state whole.
        self.state.lock()
    }
}

impl Jpegs {
    /// Takes a copy of a picture, if somebody wants one and it is time for it. To be called for each.
    pub fn offer(&self, picture: &I420, captured_at: Instant, metrics: &metrics::StreamMetrics) {
        if self.0.watchers.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut state = self.0.lock();
        let Some(making) = state.making else {
            return;
        };
        if !state.pace.is_due(captured_at, making.interval) {
            return;
        }
        let is_running = |pictures: &Writer<_, _>| !pictures.is_orphaned();
        if !state.pictures.as_ref().is_some_and(is_running) {
            state.pictures = self.start(making.quality, metrics);
        }
        if let Some(pictures) = &state.pictures {
            pictures.put((picture.clone(), captured_at));
        }
    }

    fn start(
        &self,
        quality: u8,
        metrics: &metrics::StreamMetrics,
    ) -> Option<Writer<(I420, Instant), Infallible>> {
        let (writer, reader) = latest();
        let (shared, metrics) = (Arc::downgrade(&self.0), metrics.clone());
        let publish = move |image| {
            if let Some(shared) = shared.upgrade() {
                // Under the lock, so that none is left behind by the last watcher.
                let state = shared.lock();
                if state.pictures.is_some() {
                    shared.images.send_replace(Some(image));
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("jpeg".into())
            .spawn(move || compress(&reader, quality, &metrics, publish));
        if let Err(error) = &thread {
            tracing::warn!(%error, "no thread for JPEG images");
        }
        thread.is_ok().then_some(writer)
    }

    /// Wants images until the watcher is dropped. How they are made is for the first watcher to say.
    pub fn watch(&self, making: Making) -> Watcher {
        let mut state = self.0.lock();
        if self.0.watchers.fetch_add(1, Ordering::Relaxed) == 0 {
            state.making = Some(making);
            state.pace = Pace::default();
        }
        let mut images = self.0.images.subscribe();
        // An image that is already there is news to this watcher.
        images.mark_changed();
        Watcher {
            shared: self.0.clone(),
            images,
        }
    }
}

/// Images are made as long as this guard lives.
pub struct Watcher {
    shared: Arc<Shared>,
    images: watch::Receiver<Option<Jpeg>>,
}

impl Watcher {
    /// The newest image, or, if that was taken before, the next one.
    pub async fn next(&mut self) -> Jpeg {
        loop {
            if self.images.changed().await.is_err() {
                // The sender is in `shared`, so this can't be.
                std::future::pending::<()>().await;
            }
            if let Some(image) = self.images.borrow_and_update().clone() {
                return image;
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if self.shared.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // With this the thread ends. An image that is left would be an old one when it is wanted again.
            state.pictures = None;
            self.shared.images.send_replace(None);
        }
    }
}

/// Compresses what comes until the writer is gone.
fn compress(
    pictures: &Reader<(I420, Instant), Infallible>,
    quality: u8,
    metrics: &metrics::StreamMetrics,
    publish: impl Fn(Jpeg),
) {
    let mut compress = match Compress::new(quality) {
        Ok(compress) => compress,
        Err(error) => return tracing::warn!(%error, "no JPEG images"),
    };
    loop {
        let (picture, captured_at) = match pictures.take(LONG) {
            Taken::Value(value) => value,
            Taken::TimedOut => continue,
            Taken::Ended(_) => return,
        };
        let begin = Instant::now();
        match compress.compress(&picture) {
            Ok(data) => {
                metrics.jpeg.observe(begin.elapsed().as_secs_f64());
                let data = data.into();
                publish(Jpeg { data, captured_at });
            }
            Err(error) => tracing::debug!(%error, "no JPEG image"),
        }
    }
}

/// Thins pictures out to a rate that holds on average, whatever the rate at which they come.
#[derive(Debug, Default)]
struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// Whether the picture of that time is one to be taken.
    fn is_due(&mut self, now: Instant, interval: Duration) -> bool {
        let planned = self.next.unwrap_or(now);
        if now < planned {
            return false;
        }
        // Images that were missed for want of pictures are not made up for.
        let next = planned + interval;
        self.next = Some(if next > now { next } else { now + interval });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Size;
    use crate::metrics::Metrics;

    const MAKING: Making = Making {
        interval: Duration::from_millis(200),
        quality: 75,
    };

    fn taken(interval_ms: u64, pictures: u64, rate: Duration) -> usize {
        let start = Instant::now();
        let mut pace = Pace::default();
        let times = (0..pictures).map(|n| start + Duration::from_millis(n * interval_ms));
        times.filter(|now| pace.is_due(*now, rate)).count()
    }

    #[test]
    fn pictures_are_thinned_out_to_the_rate_on_average() {
        let rate = MAKING.interval;
        assert_eq!(taken(33, 300, rate), 50, "ten seconds at 30 a second");
        assert_eq!(taken(150, 60, rate), 45, "nine seconds at 6.7 a second");
        assert_eq!(taken(1000, 10, rate), 10, "fewer than asked for");
    }

    #[test]
    fn what_did_not_come_is_not_made_up_for() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::default();
        let mut due = |ms| pace.is_due(at(ms), MAKING.interval);
        assert!(due(0) && due(5000));
        assert!(!due(5033) && !due(5199) && due(5200));
    }

    #[tokio::test]
    async fn an_image_is_shared_by_all_and_made_only_while_somebody_watches() {
        let metrics = Metrics::new().stream("camera");
        let jpegs = Jpegs::default();
        let picture = I420::new(Size::new(64, 32));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        jpegs.offer(&picture, at(0), &metrics);
        assert!(jpegs.0.lock().pictures.is_none(), "nobody wants it");

        let (mut first, mut second) = (jpegs.watch(MAKING), jpegs.watch(MAKING));
        jpegs.offer(&picture, at(10), &metrics);
        jpegs.offer(&picture, at(20), &metrics);
        let images = [first.next().await, second.next().await];
        assert_eq!(images[0].captured_at, at(10));
        assert_eq!(images[0].data.as_ptr(), images[1].data.as_ptr());
        assert_eq!(images[0].data[..2], [0xff, 0xd8]);

        // A newer one overwrites what a slow watcher has not taken.
        for ms in [1000, 2000] {
            jpegs.offer(&picture, at(ms), &metrics);
            assert_eq!(first.next().await.captured_at, at(ms));
        }
        assert_eq!(second.next().await.captured_at, at(2000));

        drop(first);
        assert!(jpegs.0.lock().pictures.is_some());
        drop(second);
        assert!(jpegs.0.lock().pictures.is_none());
        let mut later = jpegs.watch(MAKING);
        assert!(later.images.borrow_and_update().is_none(), "no old image");
        jpegs.offer(&picture, at(2010), &metrics);
        assert_eq!(later.next().await.captured_at, at(2010));
    }

    #[tokio::test]
    async fn a_thread_that_died_is_replaced() {
        let metrics = Metrics::new().stream("camera");
        let jpegs = Jpegs::default();
        let mut watcher = jpegs.watch(MAKING);
        let (writer, reader) = latest();
        drop(reader);
        jpegs.0.lock().pictures = Some(writer);
        let now = Instant::now();
        jpegs.offer(&I420::new(Size::new(64, 32)), now, &metrics);
        assert_eq!(watcher.next().await.captured_at, now);
    }
}
