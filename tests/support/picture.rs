//! What a page's `<video>` really shows: the test pattern's counter in each picture, and colours.

use super::browser::Browser;
use fanlight::capture::pattern::{Strip, read_counter};
use fanlight::media::{I420, Size};
use serde_json::{Value, json};

/// Pictures are drawn at this size to read their counters: the pattern's strip keeps its proportions in it.
const SMALL: Size = Size::new(320, 180);

/// Takes a `VideoFrame` of each picture that is shown until there are enough, and of each one line of pixels through the
/// middle of each row of the strip. The callback tells of a picture, but what the video shows may be a newer one by
/// then, so that the next callback meets the same again: the timestamp tells.
const WATCH: &str = "
const [count, width, height, lines] = arguments;
const video = document.querySelector('video');
const drawing = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
const pictures = [];
// The callback may tell of the first picture before the element hands it out.
const take = () => {
  try {
    return new VideoFrame(video);
  } catch (error) {
    if (error.name !== 'InvalidStateError' || pictures.length > 0) throw error;
    return null;
  }
};
while (pictures.length < count) {
  await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  const frame = take();
  if (!frame) continue;
  if (frame.timestamp !== pictures.at(-1)?.timestamp) {
    drawing.drawImage(frame, 0, 0, width, height);
    const green = (y) => [...drawing.getImageData(0, y, width, 1).data].filter((_, at) => at % 4 === 1);
    pictures.push({ timestamp: frame.timestamp, lines: lines.map(green) });
  }
  frame.close();
}
return pictures;";

/// One line of pixels through the middle of each row of the strip, of what the page's canvas shows.
const READ: &str = "
const [width, height, lines] = arguments;
const drawing = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
drawing.drawImage(document.querySelector('canvas'), 0, 0, width, height);
return lines.map((y) => [...drawing.getImageData(0, y, width, 1).data].filter((_, at) => at % 4 === 1));";

/// Draws one picture, then those that follow until one differs from it in enough pixels, and by more than noise.
const CHANGE: &str = "
const video = document.querySelector('video');
const { videoWidth: width, videoHeight: height } = video;
const drawing = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
const pixels = () => {
  drawing.drawImage(video, 0, 0);
  return drawing.getImageData(0, 0, width, height).data;
};
const first = pixels();
for (let pictures = 0; pictures < 100; pictures += 1) {
  await new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  const now = pixels();
  let changed = 0;
  for (let at = 1; at < now.length; at += 4) changed += Math.abs(now[at] - first[at]) > 64;
  if (changed > arguments[0]) return true;
}
return false;";

/// Means over 16 by 16 pixels around points of the picture, in RGB.
const SAMPLE: &str = "
const points = arguments[0];
const video = document.querySelector('video');
const drawing = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext('2d');
drawing.drawImage(video, 0, 0);
return points.map(([x, y]) => {
  const { data } = drawing.getImageData(x - 8, y - 8, 16, 16);
  return [0, 1, 2].map((channel) => data.filter((_, at) => at % 4 === channel).reduce((a, b) => a + b) / 256);
});";

/// The bars are 75 % of each colour. With the matrix of BT.709 in place of BT.601, green would be 30 off.
const BARS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
    [0, 0, 0],
];

/// A picture that was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The browser's, in microseconds.
    pub timestamp: i64,
    /// `None` if the picture has no valid counter.
    pub counter: Option<u32>,
}

/// The next `count` different pictures of the page's video, which shows the test pattern.
pub async fn watch(browser: &Browser, count: usize) -> Vec<Shown> {
    let strip = Strip::of(SMALL).unwrap();
    let lines: Vec<_> = (0..strip.height() / strip.side)
        .map(|row| row * strip.side + strip.side / 2)
        .collect();
    let arguments = [
        json!(count),
        json!(SMALL.width),
        json!(SMALL.height),
        json!(lines),
    ];
    let pictures = browser.run(WATCH, &arguments).await;
    let pictures = pictures.as_array().unwrap().iter();
    pictures
        .map(|picture| Shown {
            timestamp: picture["timestamp"].as_i64().unwrap(),
            counter: read_counter(&rebuild(strip, &picture["lines"])),
        })
        .collect()
}

/// The counter of the picture on the page's canvas, which shows the test pattern.
pub async fn read_canvas(browser: &Browser) -> u32 {
    let strip = Strip::of(SMALL).unwrap();
    let lines: Vec<_> = (0..strip.height() / strip.side)
        .map(|row| row * strip.side + strip.side / 2)
        .collect();
    let arguments = [json!(SMALL.width), json!(SMALL.height), json!(lines)];
    let read = browser.run(READ, &arguments).await;
    read_counter(&rebuild(strip, &read)).expect("a picture of the pattern, whole")
}

/// A picture whose strip has these lines of grey in its rows.
fn rebuild(strip: Strip, lines: &Value) -> I420 {
    let mut picture = I420::new(SMALL);
    let width = SMALL.width as usize;
    let rows = picture.y.chunks_exact_mut(width * strip.side as usize);
    for (row, line) in rows.zip(lines.as_array().unwrap()) {
        let greys = line.as_array().unwrap().iter();
        // Limited range: 16 is black, 235 is white.
        let luma: Vec<u8> = greys
            .map(|grey| (16 + grey.as_u64().unwrap() * 219 / 255) as u8)
            .collect();
        row.chunks_exact_mut(width)
            .for_each(|to| to.copy_from_slice(&luma));
    }
    picture
}

/// The colours of the page's video around these points, as red, green and blue from 0 to 255.
pub async fn colours(browser: &Browser, points: &[(u32, u32)]) -> Vec<[f64; 3]> {
    let means = browser.run(SAMPLE, &[json!(points)]).await;
    serde_json::from_value(means).unwrap()
}

/// Checks that these points of the page's video, from left to right, are in the colour bars that test patterns share.
pub async fn shows_bars(browser: &Browser, points: &[(u32, u32)]) {
    let shown = colours(browser, points).await;
    for (shown, drawn) in shown.iter().zip(BARS) {
        let is_near = |(shown, drawn): (&f64, u8)| (shown - f64::from(drawn)).abs() < 6.0;
        let all = shown.iter().zip(drawn).all(is_near);
        assert!(all, "{drawn:?} is shown as {shown:?}");
    }
}

/// Waits until the page's video shows something else than now, in more than that many pixels.
pub async fn until_moved(browser: &Browser, pixels: u32) {
    let moved = browser.run(CHANGE, &[json!(pixels)]).await;
    assert_eq!(moved, true, "a hundred pictures were the same");
}
