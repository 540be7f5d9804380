//! The rules of the architecture, checked: a library has one home, dependencies point down, folders and files stay readable.

mod source;

use source::{Source, files, sources};
use std::fs;
use std::path::Path;

/// A library's name, and a place below `src` that may use it: a file or a folder. Few have two.
const HOMES: &[(&str, &str)] = &[
    ("if_addrs", "base/addresses"),
    ("nix", "base/addresses"),
    ("nix", "base/state_dir"),
    ("nix", "access/permissions"),
    ("nix", "capture"),
    ("nix", "cli/doctor"),
    ("nix", "metrics"),
    ("nokhwa", "capture"),
    ("nusb", "capture"),
    ("v4l", "capture"),
    ("noto_sans_mono_bitmap", "codec/slate"),
    ("turbojpeg", "codec/convert"),
    ("yuv", "codec/convert"),
    ("h264_reader", "codec/h264"),
    ("openh264", "codec/encode"),
    ("openh264", "cli/doctor"),
    ("openh264_sys2", "codec/encode"),
    ("rtc", "rtc"),
    ("rtc", "client/rtc"),
    ("rcgen", "rtc"),
    ("rcgen", "tls"),
    ("x509_parser", "rtc"),
    ("x509_parser", "tls"),
    ("quinn_udp", "rtc/net/udp"),
    ("mio", "rtc"),
    ("mio", "capture/hotplug"),
    ("socket2", "rtc/net"),
    ("socket2", "http"),
    ("hyper", "http"),
    ("hyper", "client/http"),
    ("hyper_util", "http"),
    ("hyper_util", "client/http"),
    ("http_body_util", "http"),
    ("http_body_util", "client/http"),
    ("prometheus_client", "metrics"),
    ("jsonwebtoken", "access/judge"),
    ("subtle", "access/judge"),
    ("qrcode", "daemon/serving"),
    ("tokio_rustls", "tls"),
    ("tokio_rustls", "client/tls"),
    ("toml", "config"),
    ("clap", "cli"),
    ("clap", "main"),
    ("strsim", "config"),
    ("strsim", "daemon/preflight"),
    ("sd_notify", "daemon"),
    ("tracing_journald", "cli/logging"),
    ("tracing_subscriber", "cli/logging"),
];

/// Libraries that any part may use.
const EVERYWHERE: &[&str] = &[
    "base64",
    "bytes",
    "libc",
    "memchr",
    "rand",
    "ring",
    "serde",
    "serde_json",
    "thiserror",
    "tokio",
    "tokio_util",
    "tracing",
];

/// Where `unsafe` is needed: at the codec's C interface, at the sockets, and at the kernel's interface to cameras, whose structures
/// have unions and whose frames lie in memory that it shares.
const UNSAFE_HOMES: [&str; 3] = ["codec/encode", "rtc/net/udp", "capture/camera/v4l2"];

/// The modules of a folder, from the lowest layer up. A module may use those of the layers below its own, and no others. The folder's
/// own `mod.rs` is above them all.
type Layers = &'static [&'static [&'static str]];

/// The folders whose layers are fixed; the first is the crate's root.
const LAYERS: [(&str, Layers); 4] = [
    (
        "",
        &[
            &["base", "media"],
            &["client", "codec", "config", "metrics"],
            &["access", "capture", "tls"],
            &["controls"],
            &["stream"],
            &["rtc"],
            &["http"],
            &["daemon"],
            &["cli"],
            &["fuzz"],
        ],
    ),
    (
        "rtc",
        &[
            &["wire"],
            &["sdp"],
            &["receive"],
            &["net"],
            &["advertise"],
            &["send"],
            &["peer"],
            &["plane"],
            &["sim"],
        ],
    ),
    (
        "http",
        &[&["server"], &["exchange"], &["resources"], &["fuzz"]],
    ),
    (
        "stream",
        &[
            &["hub", "jpegs", "passthrough", "status"],
            &["policy"],
            &["capture"],
            &["channel"],
            &["worker"],
        ],
    ),
];

/// The most files of code in one folder.
const MOST_FILES: usize = 14;
/// The most entries of the crate's root, besides `lib.rs` and `main.rs`.
const MOST_MODULES: usize = 17;

#[test]
fn a_library_is_named_in_its_home_only() {
    let mut strays = Vec::new();
    for source in sources() {
        for (library, _) in HOMES {
            let mut homes = HOMES.iter().filter(|(name, _)| name == library);
            if homes.any(|(_, home)| source.is_in(home)) || means_our_module(&source, library) {
                continue;
            }
            let uses = source.crate_uses(library);
            strays.extend(uses.map(|line| format!("src/{}:{line}: {library}", source.path)));
        }
    }
    assert!(strays.is_empty(), "outside their homes: {strays:#?}");
}

#[test]
fn unsafe_code_stays_at_the_codec_the_sockets_and_the_cameras() {
    let mut strays = Vec::new();
    for source in sources() {
        if UNSAFE_HOMES.iter().any(|home| source.is_in(home)) {
            continue;
        }
        let words = source.words.iter().filter(|word| word.text == "unsafe");
        strays.extend(words.map(|word| format!("src/{}:{}", source.path, word.line)));
    }
    assert!(strays.is_empty(), "unsafe: {strays:#?}");
}

#[test]
fn every_library_has_a_home() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let names = dependencies
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name.replace('-', "_"));
    let homeless: Vec<_> = names
        .filter(|name| !EVERYWHERE.contains(&name.as_str()))
        .filter(|name| HOMES.iter().all(|(library, _)| library != name))
        .collect();
    assert!(homeless.is_empty(), "not in HOMES: {homeless:?}");
}

#[test]
fn dependencies_point_down() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (folder, layers) in LAYERS {
            wrong.extend(departures(&source, folder, layers));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The imports of a file that run against the layers of a folder.
fn departures(source: &Source, folder: &str, layers: Layers) -> Vec<String> {
    let folder: Vec<_> = folder.split('/').filter(|name| !name.is_empty()).collect();
    let own = source.module();
    let Some([child, ..]) = own.strip_prefix(&folder[..]) else {
        return Vec::new();
    };
    let layer = |module: &str| layers.iter().position(|names| names.contains(&module));
    let Some(place) = layer(child) else {
        return vec![format!(
            "src/{}: give `{child}` its place in LAYERS",
            source.path
        )];
    };
    let mut wrong = Vec::new();
    for (path, line) in source.paths() {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        let Some([used, ..]) = path.strip_prefix(&folder[..]) else {
            continue;
        };
        if used != child && layer(used).is_some_and(|theirs| theirs >= place) {
            wrong.push(format!("src/{}:{line}: {}", source.path, path.join("::")));
        }
    }
    wrong
}

#[test]
fn folders_stay_small() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap();
        let entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        let is_code = |path: &&Path| path.extension().is_some_and(|name| name == "rs");
        let code = entries.iter().map(AsRef::as_ref).filter(is_code).count();
        let (count, most) = match folder == root {
            true => (entries.len() - 2, MOST_MODULES),
            false => (code, MOST_FILES),
        };
        if count > most {
            wrong.push(format!("{}: {count}, {most} at the most", folder.display()));
        }
        folders.extend(entries.into_iter().filter(|path| path.is_dir()));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "tests", "benches", "examples"];
    let mut wrong = Vec::new();
    for path in folders
        .into_iter()
        .flat_map(|folder| files(&root.join(folder)))
    {
        let text = fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root).unwrap().to_str().unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next();
        let lines = code.map_or(0, |code| code.lines().count());
        let most = if path == "src/main.rs" { 80 } else { 500 };
        if lines > most {
            wrong.push(format!("{path}: {lines} lines, {most} at the most"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!(
                "{path}: the first line says what the file owns: //! …"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rules_see_through_comments_strings_and_tests() {
    let source = Source::new(
        "http/mod.rs",
        "//! hyper::a\n/* toml::b */ fn f() -> &'static str { \"yuv::c\" }\n\
         #[cfg(test)]\nmod tests { use toml::Table; }\n\
         fn g() { info!(x = nokhwa::d()); unsafe {} }\nuse v4l;",
    );
    let found: Vec<_> = HOMES
        .iter()
        .filter(|(name, _)| source.crate_uses(name).count() > 0)
        .collect();
    assert_eq!(found, [&("nokhwa", "capture"), &("v4l", "capture")]);
    assert_eq!(source.crate_uses("nokhwa").collect::<Vec<_>>(), [5]);
    assert!(source.words.iter().any(|word| word.text == "unsafe"));
}

#[test]
fn every_path_of_an_import_is_seen_from_the_crates_root() {
    let paths = |file: &str, text: &str| {
        let paths = Source::new(file, text).paths();
        let paths = paths.into_iter().map(|(path, _)| path.join("/"));
        paths.collect::<Vec<_>>()
    };
    let text = "use crate::{media::{Size, x}, stream::hub}; use super::b::c; use self::d as e;\n\
                pub(crate) fn f(a: crate::stream::A, b: super::super::g::B) { crate::rtc::h() }";
    let expected = [
        "media/Size",
        "media/x",
        "stream/hub",
        "http/b/c",
        "http/exchange/d",
        "stream/A",
        "g/B",
        "rtc/h",
    ];
    assert_eq!(paths("http/exchange/mod.rs", text), expected);
    let text = "use super::demux::A; use crate::rtc::wire::B;";
    assert_eq!(
        paths("rtc/net/udp.rs", text),
        ["rtc/net/demux/A", "rtc/wire/B"]
    );
}

#[test]
fn an_import_that_runs_up_is_found_inside_a_folder_too() {
    let (folder, layers) = LAYERS[1];
    let count = |path: &str, text: &str| departures(&Source::new(path, text), folder, layers).len();
    assert_eq!(count("rtc/net/udp.rs", "use crate::rtc::wire::A;"), 0);
    assert_eq!(count("rtc/net/udp.rs", "use super::demux::A;"), 0);
    assert_eq!(count("rtc/wire/a.rs", "use crate::rtc::net::A;"), 1);
    assert_eq!(count("rtc/wire/a.rs", "use super::super::net::A;"), 1);
    assert_eq!(count("rtc/mod.rs", "use plane::A; use self::plane::B;"), 0);
    assert_eq!(count("rtc/strange.rs", ""), 1);
}

#[test]
fn the_crate_rtc_and_our_module_rtc_are_told_apart() {
    let crate_use = |text| {
        let source = Source::new("http/mod.rs", text);
        !means_our_module(&source, "rtc") && source.crate_uses("rtc").count() > 0
    };
    assert!(crate_use("use rtc::peer::Peer;"));
    assert!(crate_use("fn f(p: ::rtc::Peer) {}"));
    assert!(crate_use("use crate::media; fn f() { rtc::new() }"));
    assert!(!crate_use("use crate::rtc; fn f() { rtc::new() }"));
    assert!(!crate_use(
        "use fanlight::{media, rtc}; fn f() { rtc::new() }"
    ));
    assert!(!crate_use(
        "use crate::rtc::Handle; fn f() { crate::rtc::new() }"
    ));
    assert!(!crate_use(
        "use crate::{media::Size, rtc::{self, Handle}}; fn f() { rtc::new() }"
    ));
}

/// True if the file imports our own module of that name, so that the bare name means it and not the crate.
fn means_our_module(source: &Source, name: &str) -> bool {
    let imports = source.words.split(|word| word.text == "use").skip(1);
    imports
        .map(|words| words.iter().map(|word| word.text.as_str()))
        .any(|words| {
            let until_end: Vec<_> = words.take_while(|word| *word != ";").collect();
            let ours = matches!(until_end.first(), Some(&("crate" | "fanlight")));
            ours && until_end.contains(&name)
        })
        || (source.path == "lib.rs" && LAYERS[0].1.iter().any(|names| names.contains(&name)))
}
