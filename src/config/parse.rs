//! The walk through the configuration file: every table becomes its part of the [`Config`], every problem is reported.

use super::problem::Problems;
use super::section::{AUTH, HTTP, LIMITS, RTC, STATE, STREAM, Section, TLS, WHEP};
use super::value::{self, wrong_type};
use super::{Config, ConfigErrors, Device, Encode, Source, Stream};
use super::{access, address, limits, network, whep};
use crate::media::{Flip, PixelFormat, Rotation};
use std::collections::HashMap;
use toml::de::{DeTable, DeValue};

/// Reads the whole text.
pub(super) fn config(text: &str) -> Result<Config, ConfigErrors> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty()
        && let Some(other) = another_format(text)
    {
        return Err(ConfigErrors::of_file(format!(
            "this looks like {other}, and fanlight reads TOML: key = \"value\" under [table] and [[stream]]; docs/config.md has examples"
        )));
    }
    let mut problems = Problems::new(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        problems.syntax(at, error.message());
    }
    let root = Section::root(&mut problems, document.get_ref());

    let mut config = Config::default();
    if let Some(http) = root.table(&mut problems, HTTP) {
        config.http.listen = http
            .read(&mut problems, "listen", address::listen)
            .unwrap_or(config.http.listen);
        config.http.public_url = http.read(&mut problems, "public_url", address::public_url);
        config.http.cors_origins = http.list(
            &mut problems,
            "cors_origins",
            "[\"https://example.org\"]",
            address::origin,
        );
        config.http.frame_ancestors = http.list(
            &mut problems,
            "frame_ancestors",
            "[\"https://example.org\"]",
            address::origin,
        );
        config.http.hosts = http.list(
            &mut problems,
            "hosts",
            "[\"cam.example.org\"]",
            address::host,
        );
        let mjpeg = &mut config.http.mjpeg;
        for (key, number, range) in [
            ("mjpeg_fps", &mut mjpeg.fps, 0..=30),
            ("mjpeg_quality", &mut mjpeg.quality, 10..=95),
        ] {
            let read = http.read(&mut problems, key, |value| {
                value::whole(value, range.clone())
            });
            *number = read.unwrap_or(*number);
        }
    }
    if let Some(tls) = root.table(&mut problems, TLS) {
        config.tls = access::tls(&mut problems, &tls);
    }
    if let Some(auth) = root.table(&mut problems, AUTH) {
        // Each problem is reported, and then there is no configuration.
        config.auth = access::auth(&mut problems, &auth).unwrap_or_default();
    }
    config.rtc.listen = config.http.listen;
    if let Some(rtc) = root.table(&mut problems, RTC) {
        config.rtc = network::read(&mut problems, &rtc, config.rtc.listen);
    }
    if let Some(section) = root.table(&mut problems, WHEP) {
        config.whep = whep::read(&mut problems, &section);
    }
    if let Some(section) = root.table(&mut problems, LIMITS) {
        config.limits = limits::read(&mut problems, &section);
    }
    if let Some(state) = root.table(&mut problems, STATE) {
        config.state.directory = state.read(&mut problems, "directory", value::directory);
    }
    let whole = streams(&mut problems, &root).map(|streams| {
        if !streams.is_empty() {
            config.streams = streams;
        }
        config
    });
    problems.settle(whole)
}

/// The format of a text that is not TOML, by its first line that says something.
fn another_format(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let key = first.split_once(':').map(|(key, _)| key);
    let is_word = |key: &str| {
        key.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    if first.starts_with('{') {
        Some("JSON")
    } else if first == "---" || first.starts_with("- ") || key.is_some_and(is_word) {
        Some("YAML")
    } else {
        None
    }
}

/// Every `[[stream]]`; empty when the file has none, `None` when one is wrong.
fn streams(problems: &mut Problems<'_>, root: &Section<'_, '_>) -> Option<Vec<Stream>> {
    let (name, known) = STREAM;
    let Some(list) = root.entry(name) else {
        return Some(Vec::new());
    };
    let at = list.span().start;
    let DeValue::Array(list) = list.get_ref() else {
        problems.add(
            at,
            name,
            "there can be several streams; write [[stream]] in double brackets",
        );
        return None;
    };
    if list.is_empty() {
        problems.add(
            at,
            name,
            "this list is empty; add a stream under [[stream]]",
        );
    }
    let mut seen = EarlierStreams::default();
    let mut streams = Vec::new();
    for (index, item) in list.iter().enumerate() {
        let (path, at) = (format!("{name}[{index}]"), item.span().start);
        if let DeValue::Table(table) = item.get_ref() {
            let section = Section::open(problems, path, at, table, known);
            streams.push(stream(problems, &section, &mut seen));
        } else {
            problems.add(at, &path, wrong_type(item.get_ref(), "a [[stream]] table"));
        }
    }
    streams.into_iter().collect()
}

/// The values that earlier streams hold, by the full key of their holder.
#[derive(Default)]
struct EarlierStreams {
    names: HashMap<String, String>,
    devices: HashMap<Device, String>,
}

fn stream(
    problems: &mut Problems<'_>,
    section: &Section<'_, '_>,
    seen: &mut EarlierStreams,
) -> Option<Stream> {
    let name = stream_name(problems, section, seen);
    let source = stream_source(problems, section, seen);
    let size = section.read(problems, "size", value::size);
    let fps = section.read(problems, "fps", value::fps);
    let backend = section.read(problems, "backend", value::backend);
    let format = section.read(problems, "format", value::format);
    let rotate = section.read(problems, "rotate", value::rotate);
    let flip = section.read(problems, "flip", value::flip);
    let encode = section.read(problems, "encode", value::encode);
    let bitrate = section.read(problems, "bitrate", value::bitrate);
    let interval = section.read(problems, "keyframe_interval", value::keyframe_interval);
    let delay = section.read(problems, "playout_delay", value::playout_delay);
    let linger = section.read(problems, "linger", value::linger);
    let always_on = section.read(problems, "always_on", value::flag);
    let slate = section.read(problems, "slate", value::flag);
    let usb_reset = section.read(problems, "usb_reset", value::flag);
    let watchdog = section.read(problems, "watchdog", value::flag);

    let default = Stream::new(name?, source?);
    let is_rotated = rotate.is_some_and(|rotate| rotate != Rotation::default());
    let is_flipped = flip.is_some_and(|flip| flip != Flip::default());
    let turned = (is_rotated.then_some("rotate")).or(is_flipped.then_some("flip"));
    let format = format.unwrap_or(default.format);
    check_encode(problems, section, (&default.source, format, turned), encode);
    Some(Stream {
        size: size.unwrap_or(default.size),
        fps: fps.unwrap_or(default.fps),
        backend: backend.unwrap_or(default.backend),
        format,
        rotate: rotate.unwrap_or(default.rotate),
        flip: flip.unwrap_or(default.flip),
        encode: encode.unwrap_or(default.encode),
        bitrate: bitrate.unwrap_or(default.bitrate),
        keyframe_interval: interval.unwrap_or(default.keyframe_interval),
        playout_delay: delay.unwrap_or(default.playout_delay),
        linger: linger.unwrap_or(default.linger),
        always_on: always_on.unwrap_or(default.always_on),
        slate: slate.unwrap_or(default.slate),
        usb_reset: usb_reset.unwrap_or(default.usb_reset),
        watchdog: watchdog.unwrap_or(default.watchdog),
        ..default
    })
}

/// A stream that is never encoded needs a source that is encoded, and is shown as it comes.
fn check_encode(
    problems: &mut Problems<'_>,
    section: &Section<'_, '_>,
    (source, format, turned): (&Source, Option<PixelFormat>, Option<&str>),
    encode: Option<Encode>,
) {
    if let (Some(PixelFormat::H264), Some(key)) = (format, turned) {
        if let Some(entry) = section.entry(key) {
            let message = "format = \"h264\" is passed through as it is; rotated or flipped pictures need another format, or \"auto\"";
            problems.add(entry.span().start, &section.key(key), message);
        }
        return;
    }
    let message = match (encode, source, format) {
        (Some(Encode::Never), Source::Pattern(_), _) => {
            "\"never\" is for cameras; the test pattern has to be encoded".to_owned()
        }
        (Some(Encode::Never), ..) if turned.is_some() => {
            "\"never\" leaves pictures as they are; rotate and flip need them encoded".to_owned()
        }
        (Some(Encode::Never), _, Some(format)) if format != PixelFormat::H264 => {
            format!("\"never\" needs the camera's H.264; {format} has to be encoded")
        }
        (Some(Encode::Always), _, Some(PixelFormat::H264)) => {
            "\"always\" needs a format that can be encoded; h264 is passed through".to_owned()
        }
        _ => return,
    };
    if let Some(entry) = section.entry("encode") {
        problems.add(entry.span().start, &section.key("encode"), message);
    }
}

fn stream_name(
    problems: &mut Problems<'_>,
    section: &Section<'_, '_>,
    seen: &mut EarlierStreams,
) -> Option<String> {
    let Some(value) = section.entry("name") else {
        let message = "has no name; add one, such as name = \"camera\": it becomes part of the URL";
        problems.missing(section.at, &section.path, message);
        return None;
    };
    let name = section.read(problems, "name", value::name)?;
    if let Some(first) = seen.names.get(&name) {
        let message = format!("{name:?} is already the name of {first}");
        problems.add(value.span().start, &section.key("name"), message);
        return None;
    }
    seen.names.insert(name.clone(), section.path.clone());
    Some(name)
}

fn stream_source(
    problems: &mut Problems<'_>,
    section: &Section<'_, '_>,
    seen: &mut EarlierStreams,
) -> Option<Source> {
    let device_entry = section.entry("device");
    let pattern_entry = section.entry("pattern");
    let device = section.read(problems, "device", value::device);
    let pattern = section.read(problems, "pattern", value::pattern);
    match (device_entry, pattern_entry) {
        (Some(_), Some(at)) if pattern.flatten().is_some() => {
            let message = "the stream also has a device; keep only one of the two";
            problems.add(at.span().start, &section.key("pattern"), message);
            None
        }
        (Some(entry), _) => {
            let device = device?;
            let first = seen.devices.get(&device);
            if let Some(first) = first.filter(|_| device != Device::Auto) {
                let mut message = format!(
                    "{device} is already used by {first}; a camera can have one stream, and a stream any number of viewers"
                );
                if !matches!(device, Device::Path(_)) {
                    // Makers give one serial number to all cameras of a model.
                    message += "; if two cameras have this name, use their links in /dev/v4l/by-path/, which `fanlight cameras` lists: \
                        they differ by USB port";
                }
                problems.add(entry.span().start, &section.key("device"), message);
            }
            seen.devices.insert(device.clone(), section.path.clone());
            Some(Source::Device(device))
        }
        (None, Some(_)) if pattern != Some(None) => pattern.flatten().map(Source::Pattern),
        (None, _) => {
            let message = "has no source; add device = \"/dev/video0\", or pattern = true for the test pattern";
            problems.missing(section.at, &section.path, message);
            None
        }
    }
}
