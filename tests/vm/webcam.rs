//! A USB webcam inside the machine: `uvccam.py` with clips of the test pattern.

use super::{is_inside, wait_for};
use fanlight::capture::pattern::Pattern;
use fanlight::capture::{Opener, Request, Source};
use fanlight::codec::convert::Converter;
use fanlight::codec::encode::{Encoder, Settings};
use fanlight::media::{FrameRate, I420, Size, TestPicture};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

/// What the webcam shows.
pub struct Clips {
    size: Size,
    mjpeg: PathBuf,
    h264: PathBuf,
}

impl Clips {
    /// Frames of a clip. Their counters rise; the clip is played again and again.
    const FRAMES: usize = 600;
    /// Of the H.264 clip, frames from one keyframe to the next: two seconds at the rate at which it is watched.
    const GROUP: usize = 30;

    /// Makes the clips outside the machine, for inside all files are read-only; there they are found.
    pub fn in_folder(folder: &Path, size: Size) -> Self {
        let clips = Self {
            size,
            mjpeg: folder.join("webcam.mjpeg"),
            h264: folder.join("webcam.h264"),
        };
        if !is_inside() {
            fs::write(&clips.mjpeg, motion_jpeg(size, Self::FRAMES)).unwrap();
            fs::write(&clips.h264, h264(size, Self::FRAMES)).unwrap();
        }
        clips
    }
}

/// The test pattern as 4:2:2 JPEGs, the kind that webcams make.
fn motion_jpeg(size: Size, frames: usize) -> Vec<u8> {
    let mut pattern = pattern(size);
    let (width, height) = (size.width as usize, size.height as usize);
    let mut clip = Vec::new();
    for _ in 0..frames {
        let frame = pattern.next_frame().unwrap().unwrap();
        let (luma, chroma) = frame.data.split_at(width * height);
        let every_row_twice = chroma.chunks(width / 2).flat_map(|row| [row, row]);
        let chroma = every_row_twice.collect::<Vec<_>>().concat();
        let image = turbojpeg::YuvImage {
            pixels: &[luma, &chroma].concat()[..],
            width,
            height,
            align: 1,
            subsamp: turbojpeg::Subsamp::Sub2x1,
        };
        clip.extend_from_slice(&turbojpeg::compress_yuv(image, 80).unwrap());
    }
    clip
}

/// The test pattern as H.264, with an access unit delimiter before each picture.
fn h264(size: Size, frames: usize) -> Vec<u8> {
    let settings = Settings {
        size,
        rate: FrameRate::whole(15),
        bitrate: 300_000,
    };
    let mut pattern = pattern(size);
    let mut encoder = Encoder::new(settings).unwrap();
    let (mut picture, start) = (I420::new(size), Instant::now());
    let mut clip = Vec::new();
    for n in 0..frames {
        let frame = pattern.next_frame().unwrap().unwrap();
        Converter::new().convert(&frame, &mut picture).unwrap();
        let at = start + settings.rate.interval() * n as u32;
        let keyframe = n.is_multiple_of(Clips::GROUP);
        let unit = encoder.encode(&picture, at, keyframe).unwrap().unwrap();
        clip.extend_from_slice(&[0, 0, 0, 1, 9, 0xf0]);
        clip.extend_from_slice(&unit.data);
    }
    clip
}

fn pattern(size: Size) -> Box<dyn Source> {
    let request = Request {
        size,
        rate: FrameRate::whole(1000),
        format: None,
    };
    Pattern::new("webcam", TestPicture::Bars, request)
        .open()
        .unwrap()
}

/// A webcam that is plugged in until this is dropped, or told otherwise.
pub struct Webcam {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Webcam {
    /// Returns once `device` is there, which it becomes; the node after it is for its metadata.
    pub fn plug_in(clips: &Clips, device: &str) -> Self {
        // The interpreter itself: a version manager's wrapper takes seconds in the machine.
        let mut child = Command::new("/usr/bin/python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/uvccam.py"))
            .args(["--size", &clips.size.to_string()])
            .arg("--frames")
            .arg(format!("mjpeg={}", clips.mjpeg.display()))
            .arg("--frames")
            .arg(format!("h264={}", clips.h264.display()))
            .arg("--replug")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 can be started");
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut webcam = Self { child, said };
        webcam.hear();
        wait_for(|| Path::new(device).exists());
        webcam
    }

    /// Unplugs it. Starting it anew takes the machine seconds; to plug it in again after this does not.
    pub fn unplug(&mut self) {
        self.tell("unplug");
    }

    /// As in [`plug_in`](Self::plug_in).
    pub fn plug_in_again(&mut self, device: &str) {
        self.tell("plug in");
        wait_for(|| Path::new(device).exists());
    }

    /// From now on it delivers nothing, whoever opens it, until it is reset.
    pub fn hang(&mut self) {
        self.tell("hang");
    }

    /// The same, until it is unplugged.
    pub fn hang_for_good(&mut self) {
        self.tell("hang for good");
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{what}").unwrap();
        self.hear();
    }

    fn hear(&mut self) {
        let mut line = String::new();
        let read = self.said.read_line(&mut line).unwrap();
        assert!(read > 0, "the webcam has ended");
    }
}

impl Drop for Webcam {
    fn drop(&mut self) {
        // Already ended or not, it is gone after this.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
