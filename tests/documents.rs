//! What the documents promise is true of the program.

#[path = "interop/offer.rs"]
#[expect(dead_code, reason = "this test needs one offer")]
mod offer;
mod support;

use clap::Parser;
use fanlight::cli::{self, Cli};
use fanlight::config::{Config, EXCLUDED_INTERFACES, KEYS, RESERVED_NAMES};
use fanlight::media::PixelFormat;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use support::daemon::Daemon;
use support::scratch::Scratch;
use support::{eventually, http};

const REFERENCE: &str = include_str!("../docs/config.md");

/// The part of the reference under the heading of that table.
fn section(table: &str) -> &'static str {
    let headings = [format!("\n## `[{table}]`"), format!("\n## `[[{table}]]`")];
    let start = headings.iter().find_map(|heading| REFERENCE.find(heading));
    let text = &REFERENCE[start.unwrap_or_else(|| panic!("no section on {table}")) + 1..];
    text.split("\n## ").next().unwrap_or_default()
}

#[test]
fn the_reference_names_every_key_and_no_other() {
    for (table, keys) in KEYS {
        let rows = section(table)
            .lines()
            .filter(|line| line.starts_with("| `"));
        let named: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        assert_eq!(named, keys, "[{table}]");
    }
}

#[test]
fn the_reference_names_every_format_and_every_reserved_name() {
    let section = section("stream");
    for format in PixelFormat::ALL {
        assert!(section.contains(&format!("`\"{format}\"`")), "{format}");
    }
    for name in RESERVED_NAMES {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_reference_names_every_interface_that_is_left_out_by_default() {
    for name in EXCLUDED_INTERFACES {
        assert!(section("rtc").contains(&format!("`{name}`")), "{name}");
    }
}

/// The words that the session doctor has for what it finds, as its source has them.
fn findings() -> Vec<&'static str> {
    let source = include_str!("../src/rtc/plane/diagnosis.rs");
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let calls = source.split("diagnosis(\"").skip(1);
    let by_server = source.split("match reason {").nth(1).unwrap_or_default();
    let by_server = by_server
        .split("_ => return None")
        .next()
        .unwrap_or_default();
    // Their words are those of the reason.
    let reasons = include_str!("../src/rtc/peer/end_reason.rs");
    let word = |name: &str| {
        let arm = reasons.split(&format!("Self::{name} => \"")).nth(1)?;
        arm.split('"').next()
    };
    let arms = by_server
        .lines()
        .filter_map(|line| line.trim().strip_prefix("EndReason::"));
    let arms = arms.filter_map(|arm| word(arm.split(' ').next()?));
    let words = calls.filter_map(|rest| rest.split('"').next()).chain(arms);
    words.collect()
}

#[test]
fn the_reference_of_the_interface_names_every_finding_and_no_other() {
    let text = include_str!("../docs/api.md");
    let table = text.split("| `finding` | meaning |").nth(1);
    let rows = table
        .expect("a table of the findings")
        .trim_start()
        .lines()
        .skip(1);
    let rows = rows.take_while(|row| row.starts_with('|'));
    let mut named: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    let mut known = findings();
    assert!(known.len() > 15, "{known:?}");
    known.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn the_readme_links_every_document() {
    let (_, more) = include_str!("../README.md")
        .split_once("\n## More\n")
        .unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_linked = more.contains(&format!("(docs/{name})"));
        assert!(is_linked || !name.ends_with(".md"), "{name}");
    }
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let examples: Vec<_> = REFERENCE.split("```toml\n").skip(1).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let text = example.split("```").next().unwrap_or_default();
        Config::parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    }
}

#[test]
fn the_problems_that_the_reference_shows_read_like_that() {
    let text = "\n".repeat(9) + "[[stream]]\nname = \"a\"\nfps = 300\npattern = true\nbitrte = 1\n";
    let errors = Config::parse(&text).unwrap_err().to_string();
    let shown = errors.replace("line ", "fanlight.toml:");
    assert!(REFERENCE.contains(&format!("```\n{shown}\n```")), "{shown}");
}

/// A proxy, ended with the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it only if it is asked.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Nginx {
    /// Serves these lines of a server block at that address.
    fn start(server: &str, listen: SocketAddr, scratch: &Scratch) -> Self {
        let folder = scratch.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};"));
        let text = format!(
            "daemon off;\npid {folder}/pid;\nerror_log stderr;\nworker_processes 1;\nevents {{}}\n\
             http {{\naccess_log off;\n{}\nserver {{\nlisten {listen};\n{server}\n}}\n}}\n",
            temporary.join("\n")
        );
        let file = scratch.write("nginx.conf", &text);
        let child = Command::new("/usr/sbin/nginx").arg("-c").arg(file).spawn();
        let started = Self(child.unwrap());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(eventually("nginx to listen", async || {
            TcpStream::connect(listen).map_err(|error| error.to_string())
        }));
        started
    }
}

#[test]
fn the_recipe_for_nginx_serves_a_page_below_a_path() {
    let daemon = Daemon::start(&["--test-pattern"]);
    let recipe = blocks(include_str!("../docs/recipes.md"), "nginx").nth(1);
    let own = daemon.address().to_string();
    let server = recipe.unwrap().replace("127.0.0.1:8080", &own);
    assert!(server.contains(&own));
    // Free until nginx has it.
    let listen = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let scratch = Scratch::new();
    let _nginx = Nginx::start(&server, listen, &scratch);
    let bearer = format!("Bearer {}", daemon.token());
    let ask = |method: &str, path: &str, kind: &str, body: &str| {
        let headers = [("authorization", &*bearer), ("content-type", kind)];
        http::request(listen, method, path, &headers, body.as_bytes()).unwrap()
    };
    let moved = ask("GET", "/garden", "text/plain", "");
    assert_eq!(moved.status, 301);
    for (path, part) in [
        ("/garden/", "<html"),
        ("/garden/camera", "<html"),
        ("/garden/assets/main.js", "import"),
        ("/garden/api/streams", "\"camera\""),
        ("/garden/camera/jpeg", "JFIF"),
    ] {
        let reply = ask("GET", path, "text/plain", "");
        assert_eq!(reply.status, 200, "{path}");
        assert!(reply.body.contains(part), "{path}");
    }
    let answer = ask("POST", "/garden/whep", "application/sdp", &offer::plain());
    assert_eq!(answer.status, 201, "{answer:?}");
    let session = format!("/garden/{}", answer.header("location").unwrap());
    assert_eq!(ask("DELETE", &session, "text/plain", "").status, 200);
}

/// The documents for users, by their paths.
const DOCUMENTS: [(&str, &str); 6] = [
    ("README.md", include_str!("../README.md")),
    ("CONTRIBUTING.md", include_str!("../CONTRIBUTING.md")),
    ("docs/config.md", REFERENCE),
    ("docs/recipes.md", include_str!("../docs/recipes.md")),
    ("docs/security.md", include_str!("../docs/security.md")),
    ("docs/whep.md", include_str!("../docs/whep.md")),
];

/// The blocks of a document in that language.
fn blocks<'t>(text: &'t str, language: &str) -> impl Iterator<Item = &'t str> {
    let mark = format!("```{language}\n");
    let starts: Vec<_> = text
        .match_indices(&mark)
        .map(|(at, _)| at + mark.len())
        .collect();
    let blocks = starts.into_iter().map(|at| &text[at..]);
    blocks.map(|rest| rest.split("\n```").next().unwrap_or_default())
}

/// The words of a command as a shell without variables parts them; what follows `#` is a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The commands of a document that are ours, as words.
fn commands(text: &str) -> Vec<Vec<String>> {
    // A command within another, as in `curl -H "… $(fanlight token)"`, is one of its own.
    let within = |line| {
        let inner = str::split(line, "$(").skip(1);
        inner.filter_map(|rest: &str| Some(rest.split_once(')')?.0))
    };
    let lines = blocks(text, "sh")
        .flat_map(str::lines)
        .flat_map(|line| within(line).chain([line]));
    let commands = lines.map(|line| {
        let mut words = words(line);
        if words.first().is_some_and(|word| word == "sudo") {
            words.remove(0);
        }
        words
    });
    let is_ours = |words: &Vec<String>| words.first().is_some_and(|word| word == "fanlight");
    commands.filter(is_ours).collect()
}

#[test]
fn the_commands_of_the_documents_are_those_of_the_command_line_and_name_the_default_stream() {
    let default = Config::default().streams.remove(0).name;
    let mut count = 0;
    for (path, text) in DOCUMENTS {
        for words in commands(text) {
            let cli = Cli::try_parse_from(&words)
                .unwrap_or_else(|error| panic!("{path}: {words:?}: {error}"));
            let streams = match cli.command {
                Some(cli::Command::Share(share)) => share.stream,
                Some(cli::Command::Controls(controls)) => {
                    let first = controls.words.into_iter().take(1);
                    first.filter(|word| !word.contains(['/', '='])).collect()
                }
                _ => Vec::new(),
            };
            assert!(
                streams.iter().all(|stream| *stream == default),
                "{path}: {words:?}"
            );
            count += 1;
        }
    }
    assert!(count > 25, "{count}");
    assert_eq!(
        words("a \"b c\" d='e' #f # g"),
        ["a", "b c", "d=e"].map(str::to_owned)
    );
    assert_eq!(words("a b#c"), ["a", "b#c"].map(str::to_owned));
    assert!(Cli::try_parse_from(["fanlight", "share", "--until", "2h"]).is_err());
}

#[test]
fn the_configurations_of_the_documents_are_valid() {
    for (path, text) in DOCUMENTS {
        for example in blocks(text, "toml") {
            Config::parse(example).unwrap_or_else(|errors| panic!("{path}: {errors}\n{example}"));
        }
    }
}

#[test]
fn the_version_of_rust_is_that_of_the_manifest() {
    let manifest = include_str!("../Cargo.toml");
    let mut lines = manifest.lines();
    let line = lines.find_map(|line| line.strip_prefix("rust-version = \""));
    let version = line.unwrap().trim_end_matches('"');
    for (path, text) in &DOCUMENTS[..2] {
        assert!(text.contains(&format!("Rust {version} or newer")), "{path}");
    }
}

/// The anchor that a heading has on a page.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for (path, text) in DOCUMENTS {
        let folder = root.join(path).parent().unwrap().to_owned();
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let local = targets.filter(|target| !target.contains("://"));
        for target in local {
            let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => root.join(path),
                file => folder.join(file),
            };
            assert!(file.exists(), "{path}: {target}");
            if !wanted.is_empty() {
                let text = fs::read_to_string(&file).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.any(|heading| anchor(heading) == wanted),
                    "{path}: {target}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}

/// The Rust code of a folder and all below it.
fn code(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Whether code has a test of that name.
fn has_test(code: &str, name: &str) -> bool {
    let Some((before, _)) = code.split_once(&format!("fn {name}()")) else {
        return false;
    };
    let head = before.rsplit("\n\n").next().unwrap_or_default();
    head.contains("#[test]") || head.contains("#[tokio::test")
}

#[test]
fn each_row_of_whep_has_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    code(&root.join("tests"), &mut text);
    code(&root.join("src"), &mut text);
    let rows = include_str!("../docs/whep.md").lines();
    let mut count = 0;
    for row in rows.filter(|row| row.starts_with("| ")).skip(1) {
        let (_, tests) = row.trim_end_matches(" |").rsplit_once(" | ").unwrap();
        let quoted = tests.split('`').skip(1).step_by(2);
        let is_name = |name: &&str| name.contains('_') && !name.contains('/');
        let names: Vec<_> = quoted.filter(is_name).collect();
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(has_test(&text, name), "{name} of {row}");
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
    assert!(!has_test(&text, "each_row_of_whep_has_a_test"));
}
