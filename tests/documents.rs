//! What the documents promise is true of the program.

use fanlight::config::{Config, EXCLUDED_INTERFACES, KEYS, RESERVED_NAMES};
use fanlight::media::PixelFormat;

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
    for format in PixelFormat::CAPTURED {
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
