//! What the documents promise is true of the program.

use fanlight::config::{Config, EXCLUDED_INTERFACES, KEYS, RESERVED_NAMES};
use fanlight::media::PixelFormat;
use std::fs;
use std::path::Path;

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
