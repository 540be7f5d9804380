//! The rules of the architecture, checked: a library has one home, dependencies point down, files stay readable.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::fs;
use std::path::{Path, PathBuf};

/// A library's name, and a place below `src` that may use it: a file or a folder. Few have two.
const HOMES: [(&str, &str); 29] = [
    ("if_addrs", "addresses"),
    ("nix", "addresses"),
    ("nix", "doctor"),
    ("nokhwa", "capture"),
    ("v4l", "capture"),
    ("nix", "capture"),
    ("nusb", "capture"),
    ("nix", "hotplug"),
    ("noto_sans_mono_bitmap", "slate"),
    ("turbojpeg", "convert"),
    ("yuv", "convert"),
    ("h264_reader", "h264"),
    ("openh264", "encode"),
    ("openh264", "doctor"),
    ("openh264_sys2", "encode"),
    ("rtc", "rtc"),
    ("rcgen", "rtc"),
    ("x509_parser", "rtc"),
    ("x509_parser", "tls"),
    ("quinn_udp", "rtc/udp"),
    ("hyper", "http"),
    ("hyper_util", "http"),
    ("http_body_util", "http"),
    ("prometheus_client", "metrics"),
    ("jsonwebtoken", "auth"),
    ("qrcode", "links"),
    ("tokio_rustls", "tls"),
    ("rcgen", "tls"),
    ("toml", "config"),
];

/// Where `unsafe` is needed: at the codec's C interface and at the sockets.
const UNSAFE_HOMES: [&str; 2] = ["encode", "rtc/udp"];

/// The modules from the lowest layer up. A module may use those of the layers below its own, and no others.
const LAYERS: [&[&str]; 11] = [
    &["media"],
    &[
        "addresses",
        "auth",
        "config",
        "h264",
        "shutdown",
        "latest",
        "hotplug",
        "metrics",
        "state",
        "watchdog",
        "watched",
    ],
    &[
        "access", "capture", "checks", "convert", "encode", "identity", "links", "slate", "tls",
    ],
    &["controls", "hub"],
    &["stream"],
    &["rtc"],
    &["http"],
    &["upkeep"],
    &["daemon", "cli", "cameras"],
    &["doctor"],
    &["commands", "logging", "process"],
];

/// A file of the library or the binary.
struct Source {
    /// Relative to `src`, such as `rtc/udp.rs`.
    path: String,
    words: Vec<Word>,
}

/// A word of the code, or one of `::`, `;`, `,` and braces; comments, strings and test modules are left out.
struct Word {
    text: String,
    line: usize,
}

#[test]
fn a_library_is_named_in_its_home_only() {
    let mut strays = Vec::new();
    for source in sources() {
        for (library, _) in HOMES {
            let mut homes = HOMES.iter().filter(|(name, _)| *name == library);
            if homes.any(|(_, home)| source.is_in(home)) || source.means_our_module(library) {
                continue;
            }
            let uses = source.crate_uses(library);
            strays.extend(uses.map(|line| format!("src/{}:{line}: {library}", source.path)));
        }
    }
    assert!(strays.is_empty(), "outside their homes: {strays:#?}");
}

#[test]
fn unsafe_code_stays_at_the_codec_and_the_sockets() {
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
fn dependencies_point_down() {
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module();
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(own) = layer(module) else {
            wrong.push(format!(
                "src/{}: give `{module}` its place in LAYERS",
                source.path
            ));
            continue;
        };
        for used in source.modules_used() {
            let down = layer(&used.text).is_none_or(|theirs| theirs < own);
            if used.text != module && !down {
                wrong.push(format!(
                    "src/{}:{}: crate::{}",
                    source.path, used.line, used.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_say_what_they_own_and_stay_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches", "examples"] {
        find(&root.join(folder), &mut paths);
    }
    let mut wrong = Vec::new();
    for path in paths {
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
fn every_module_of_an_import_is_seen() {
    let text = "use crate::{media::{Size, x}, hub}; pub(crate) fn f(a: crate::stream::A) { crate::rtc::b() }";
    let source = Source::new("http/mod.rs", text);
    let names = source
        .modules_used()
        .into_iter()
        .map(|word| word.text.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["media", "hub", "stream", "rtc"]);
}

#[test]
fn the_crate_rtc_and_our_module_rtc_are_told_apart() {
    let crate_use = |text| {
        let source = Source::new("http/mod.rs", text);
        !source.means_our_module("rtc") && source.crate_uses("rtc").count() > 0
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

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let tokens: TokenStream = text
            .parse()
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut words = Vec::new();
        collect(tokens, &mut words);
        Self {
            path: path.to_owned(),
            words,
        }
    }

    /// The module right below the crate's root: `rtc` for `rtc/udp.rs`.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs")
    }

    fn is_in(&self, home: &str) -> bool {
        let rest = self.path.strip_prefix(home);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// Lines where a path begins with that crate's name, or an import names it.
    fn crate_uses<'a>(&'a self, library: &'a str) -> impl Iterator<Item = usize> + 'a {
        let text = |at: Option<usize>| {
            let word = at.and_then(|at| self.words.get(at));
            word.map_or("", |word| word.text.as_str())
        };
        // The word before a leading `::` tells a global path from the rest of a longer one.
        let inside_path = move |at: usize| {
            let before = text(at.checked_sub(2));
            text(at.checked_sub(1)) == "::"
                && matches!(before, "crate" | "self" | "super" | "fanlight")
        };
        let words = self.words.iter().enumerate();
        words
            .filter(move |(at, word)| {
                word.text == library
                    && !inside_path(*at)
                    && (text(Some(at + 1)) == "::" || text(at.checked_sub(1)) == "use")
            })
            .map(|(_, word)| word.line)
    }

    /// The words that follow `crate::`, be it one or a list in braces.
    fn modules_used(&self) -> Vec<&Word> {
        let mut used = Vec::new();
        for (at, words) in self.words.windows(2).enumerate() {
            if words[0].text != "crate" || words[1].text != "::" {
                continue;
            }
            let mut depth = 0;
            let mut expected = true;
            for word in &self.words[at + 2..] {
                match word.text.as_str() {
                    "{" => depth += 1,
                    "}" => depth -= 1,
                    "," => expected = depth == 1,
                    _ if expected => {
                        used.push(word);
                        expected = false;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        }
        used
    }

    /// True if the file imports our own module of that name, so that the bare name means it and not the crate.
    fn means_our_module(&self, name: &str) -> bool {
        let imports = self.words.split(|word| word.text == "use").skip(1);
        imports
            .map(|words| words.iter().map(|word| word.text.as_str()))
            .any(|words| {
                let until_end: Vec<_> = words.take_while(|word| *word != ";").collect();
                let ours = matches!(until_end.first(), Some(&("crate" | "fanlight")));
                ours && until_end.contains(&name)
            })
            || (self.path == "lib.rs" && layer(name).is_some())
    }
}

/// Flattens code to its words and the marks that part them, without test modules.
fn collect(tokens: TokenStream, words: &mut Vec<Word>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut test_only = false;
    while let Some(token) = tokens.next() {
        let line = token.span().start().line;
        let mut word = |text: &str| {
            words.push(Word {
                text: text.to_owned(),
                line,
            });
        };
        match token {
            TokenTree::Ident(ident) => word(&ident.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                test_only = false;
                word(";");
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => {
                let second = tokens.next_if(|next| next.to_string() == ":");
                word(if second.is_some() { "::" } else { ":" });
            }
            TokenTree::Group(group) if group.to_string().replace(' ', "") == "[cfg(test)]" => {
                test_only = true;
            }
            TokenTree::Group(group) if test_only && group.delimiter() == Delimiter::Brace => {
                test_only = false;
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                word("{");
                collect(group.stream(), words);
                words.push(Word {
                    text: "}".to_owned(),
                    line: group.span_close().start().line,
                });
            }
            TokenTree::Group(group) => collect(group.stream(), words),
            TokenTree::Punct(punct) if punct.as_char() == ',' => word(","),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Every file of `src`, save the modules that exist for tests only.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    find(&root, &mut paths);
    let texts: Vec<_> = paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    let tests: Vec<PathBuf> = texts
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let is_test = |path: &Path| {
        let module = path.with_extension("");
        tests.iter().any(|tests| module.starts_with(tests))
    };
    let kept = texts.iter().filter(|(path, _)| !is_test(path));
    kept.map(|(path, text)| {
        let path = path.strip_prefix(&root).unwrap();
        Source::new(path.to_str().unwrap(), text)
    })
    .collect()
}

/// The files, without their extension, and folders of modules that are declared for tests, or for tests and fuzzing, only.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().unwrap().to_owned(),
        _ => path.with_extension(""),
    };
    let marks = ["#[cfg(test)]\n", "#[cfg(any(test, fuzzing))]\n"];
    let declarations = marks.iter().flat_map(|mark| text.split(mark).skip(1));
    let names = declarations.filter_map(|rest| {
        let line = rest.lines().find(|line| !line.starts_with("#["))?;
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    names.map(|name| folder.join(name)).collect()
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
