//! What it costs to pass a camera's pictures through, against encoding the same pictures.

use crate::daemon::{Running, run, until};
use fanlight::capture::pattern::Pattern;
use fanlight::capture::{CaptureError, Granted, Opener, Request, Source, Wanted};
use fanlight::codec::convert::Converter;
use fanlight::codec::encode::{Encoder, Settings};
use fanlight::config::{Config, Encode, Source as Configured, Stream};
use fanlight::media::{FrameRate, I420, PixelFormat, RawFrame, Size, TestPicture};
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const SIZE: Size = Size::new(1280, 720);
const RATE: FrameRate = FrameRate::whole(30);
/// Pictures that are measured.
const COUNT: f64 = 60.0;
/// Pictures that are played again and again.
const RECORDED: usize = 15;

/// Pictures that cost nothing to make, as a camera's do: in memory, encoded and not.
struct Recording {
    frames: Vec<Vec<u8>>,
    units: Vec<Vec<u8>>,
}

fn record() -> Recording {
    let request = Request {
        size: SIZE,
        rate: FrameRate::whole(1000),
        format: None,
    };
    let pattern = Pattern::new("cost", TestPicture::Noise, request);
    let mut pattern = pattern.open().unwrap();
    let mut encoder = Encoder::new(Settings {
        size: SIZE,
        rate: RATE,
        bitrate: 2_500_000,
    })
    .unwrap();
    let (mut picture, start) = (I420::new(SIZE), Instant::now());
    let mut recording = Recording {
        frames: Vec::new(),
        units: Vec::new(),
    };
    for n in 0..RECORDED {
        let frame = pattern.next_frame().unwrap().unwrap();
        Converter::new().convert(&frame, &mut picture).unwrap();
        recording.frames.push(frame.data.to_vec());
        let at = start + RATE.interval() * n as u32;
        let unit = encoder.encode(&picture, at, false).unwrap().unwrap();
        recording.units.push(unit.data.to_vec());
    }
    recording
}

#[derive(Clone)]
struct Camera(Arc<Recording>);

impl Opener for Camera {
    fn open(&self) -> Result<Box<dyn Source>, CaptureError> {
        self.open_for(Wanted::Frames)
    }

    fn open_for(&self, wanted: Wanted) -> Result<Box<dyn Source>, CaptureError> {
        let format = match wanted {
            Wanted::Frames => PixelFormat::I420,
            Wanted::Either | Wanted::H264 => PixelFormat::H264,
        };
        let granted = Granted {
            device: "recording".to_owned(),
            size: SIZE,
            rate: RATE,
            format,
            reason: "it is a test".to_owned(),
        };
        let (start, number) = (Instant::now(), 0);
        let recording = self.0.clone();
        Ok(Box::new(Player {
            granted,
            recording,
            start,
            number,
        }))
    }

    fn describe(&self) -> String {
        "recording".to_owned()
    }
}

struct Player {
    granted: Granted,
    recording: Arc<Recording>,
    start: Instant,
    number: u32,
}

impl Source for Player {
    fn granted(&self) -> &Granted {
        &self.granted
    }

    fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, CaptureError> {
        let due = self.start + RATE.interval() * self.number;
        #[expect(
            clippy::disallowed_methods,
            reason = "a source blocks for one frame's time, as a camera does"
        )]
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let index = self.number as usize % RECORDED;
        self.number += 1;
        let all = match self.granted.format {
            PixelFormat::H264 => &self.recording.units,
            _ => &self.recording.frames,
        };
        Ok(Some(RawFrame {
            data: &all[index],
            format: self.granted.format,
            size: SIZE,
            stride: 0,
            captured_at: due,
            lost: 0,
            is_late: false,
            full_range: false,
        }))
    }
}

/// Processor time of the stream's two threads.
fn processor_time(stream: &str) -> Duration {
    let names = [format!("cap-{stream}"), format!("enc-{stream}")];
    let of_thread = |task: fs::DirEntry| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let times = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanos = times.split(' ').next()?.parse().ok()?;
        names
            .iter()
            .any(|own| own == name.trim())
            .then(|| Duration::from_nanos(nanos))
    };
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.filter_map(|task| of_thread(task.ok()?)).sum()
}

/// Processor time for each picture of a stream that is encoded or not.
async fn cost(camera: &Camera, name: &'static str, encode: Encode) -> Duration {
    let stream = Stream {
        encode,
        always_on: true,
        ..Stream::new(name, Configured::Device("/dev/video0".into()))
    };
    let camera = camera.clone();
    let streams = |config: &mut Config| config.streams = vec![stream];
    let daemon = run("127.0.0.1", streams, |daemon| {
        daemon.with_sources(move |_| Arc::new(camera.clone()))
    });
    let count = async |daemon: &Running| {
        let passed = format!("fanlight_frames_passed_total{{stream=\"{name}\"}}");
        let encoded = format!("fanlight_frames_encoded_total{{stream=\"{name}\"}}");
        daemon.metric(&passed).await + daemon.metric(&encoded).await
    };
    until("enough pictures", async || count(&daemon).await >= COUNT).await;
    let spent = processor_time(name).div_f64(count(&daemon).await);
    daemon.stop().await.unwrap();
    spent
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_through_costs_a_fraction_of_encoding() {
    let camera = Camera(Arc::new(record()));
    let encoded = cost(&camera, "encoded", Encode::Always).await;
    let passed = cost(&camera, "passed", Encode::Auto).await;
    println!("a picture of {SIZE}: {passed:?} passed through, {encoded:?} encoded");
    // It is a hundredth; machines and builds differ.
    assert!(passed < encoded / 5, "{passed:?}, {encoded:?}");
}
