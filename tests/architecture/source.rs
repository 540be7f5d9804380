//! The code as the rules see it: words and paths, without comments, strings and test modules.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the library or the binary.
pub struct Source {
    /// Relative to `src`, such as `rtc/udp.rs`.
    pub path: String,
    pub words: Vec<Word>,
}

/// A word of the code, or one of `::`, `;`, `,` and braces; comments, strings and test modules are left out.
pub struct Word {
    pub text: String,
    pub line: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
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

    /// The module that the file is, from the crate's root: `["rtc", "net"]` for `rtc/net/mod.rs`.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        match path.strip_suffix("/mod").unwrap_or(path) {
            "lib" | "main" => Vec::new(),
            path => path.split('/').collect(),
        }
    }

    /// Whether it is in that file or folder, named without an extension.
    pub fn is_in(&self, home: &str) -> bool {
        let rest = self.path.strip_prefix(home);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// Lines where a path begins with that crate's name, or an import names it.
    pub fn crate_uses<'a>(&'a self, library: &'a str) -> impl Iterator<Item = usize> + 'a {
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

    /// The paths that begin with `crate`, `self` or `super`, from the crate's root, lists in braces taken apart; and their lines.
    pub fn paths(&self) -> Vec<(Vec<String>, usize)> {
        let mut paths = Vec::new();
        let own: Vec<_> = self.module().into_iter().map(str::to_owned).collect();
        for (at, pair) in self.words.windows(2).enumerate() {
            let is_inside = at > 0 && self.words[at - 1].text == "::";
            if pair[1].text != "::" || is_inside {
                continue;
            }
            let mut base = match pair[0].text.as_str() {
                "crate" => Vec::new(),
                "self" => own.clone(),
                "super" => own[..own.len().saturating_sub(1)].to_vec(),
                _ => continue,
            };
            let mut rest = &self.words[at + 2..];
            while let [first, second, ..] = rest
                && first.text == "super"
                && second.text == "::"
            {
                base.pop();
                rest = &rest[2..];
            }
            expand(&base, &mut rest, &mut paths);
        }
        paths
    }
}

/// Takes one path, or a list of them in braces, off the words, and adds what it stands for.
fn expand(base: &[String], words: &mut &[Word], paths: &mut Vec<(Vec<String>, usize)>) {
    let mut path = base.to_vec();
    while let [word, rest @ ..] = *words {
        *words = rest;
        if word.text == "{" {
            while words.first().is_some_and(|word| word.text != "}") {
                expand(&path, words, paths);
                if words.first().is_some_and(|word| word.text == ",") {
                    *words = &words[1..];
                }
            }
            *words = words.get(1..).unwrap_or_default();
            return;
        }
        if word.text != "self" {
            path.push(word.text.clone());
        }
        match words {
            [next, rest @ ..] if next.text == "::" => *words = rest,
            [next, _, rest @ ..] if next.text == "as" => {
                *words = rest;
                return paths.push((path, word.line));
            }
            _ => return paths.push((path, word.line)),
        }
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

/// Every file of `src`, save the modules that exist for tests only.
pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let texts: Vec<_> = files(&root)
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

/// The files of Rust below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
