//! The right to watch, and TLS: the tables `[auth]` and `[tls]`.

use super::problem::Problems;
use super::section::Section;
use super::value::{self, Parsed, one_of, shown, wrong_type};
use super::{Auth, AuthMode, Certificate, Tls, address};
use std::path::PathBuf;
use toml::de::DeValue;

const MODES: [&str; 3] = ["token", "jwt", "none"];
const ONLY_FOR_JWT: [&str; 3] = ["jwt_keys", "jwt_audience", "jwt_issuer"];

/// `None` if something is wrong, which is then reported.
pub(super) fn auth(problems: &mut Problems<'_>, section: &Section<'_, '_>) -> Option<Auth> {
    let mode = match section.entry("mode") {
        None => Some("token"),
        Some(_) => section.read(problems, "mode", mode),
    };
    let keys = section.read(problems, "jwt_keys", file);
    let audience = section.read(problems, "jwt_audience", text);
    let issuer = section.read(problems, "jwt_issuer", text);
    let mode = match mode? {
        "jwt" => {
            if section.entry("jwt_keys").is_none() {
                let message =
                    "the mode \"jwt\" needs jwt_keys, the file with the issuer's public keys";
                problems.missing(section.at, &section.path, message);
            }
            AuthMode::Jwt {
                keys: keys?,
                audience,
                issuer,
            }
        }
        other => {
            for key in ONLY_FOR_JWT {
                if let Some(entry) = section.entry(key) {
                    let message = "is only for mode = \"jwt\"; set that mode, or remove this key";
                    problems.add(entry.span().start, &section.key(key), message);
                }
            }
            match other {
                "none" => AuthMode::None,
                _ => AuthMode::Token,
            }
        }
    };
    Some(Auth { mode })
}

/// `None` if something is wrong, which is then reported.
pub(super) fn tls(problems: &mut Problems<'_>, section: &Section<'_, '_>) -> Option<Tls> {
    let certificate = section.read(problems, "certificate", file);
    let key = section.read(problems, "key", file);
    let self_signed = section.read(problems, "self_signed", value::flag);
    let redirect = section.read(problems, "redirect", address::listen);
    let is_there = |key| section.entry(key).is_some();
    let certificate = match (is_there("certificate"), is_there("key")) {
        (true, true) if self_signed == Some(true) => {
            let message = "the table also has a certificate; keep only one of the two";
            if let Some(entry) = section.entry("self_signed") {
                problems.add(entry.span().start, &section.key("self_signed"), message);
            }
            None
        }
        (true, true) => Some(Certificate::Files {
            chain: certificate?,
            key: key?,
        }),
        (false, false) if self_signed == Some(true) => Some(Certificate::SelfSigned),
        (false, false) if self_signed.is_none() && is_there("self_signed") => None,
        (false, false) => {
            let message = "needs certificate and key, or self_signed = true";
            problems.missing(section.at, &section.path, message);
            None
        }
        _ => {
            let message = "certificate and key belong together; name both files";
            problems.missing(section.at, &section.path, message);
            None
        }
    };
    Some(Tls {
        certificate: certificate?,
        redirect,
    })
}

fn mode(value: &DeValue<'_>) -> Parsed<&'static str> {
    one_of(value, &MODES.map(|mode| (mode, mode)))
}

fn file(value: &DeValue<'_>) -> Parsed<PathBuf> {
    const EXPECTED: &str = "the absolute path of a file, such as \"/etc/fanlight/key.pem\"";
    let text = value.as_str().ok_or_else(|| wrong_type(value, EXPECTED))?;
    if text.starts_with('/') && !text.contains(char::is_control) {
        return Ok(PathBuf::from(text));
    }
    Err(format!("{} is not {EXPECTED}", shown(value)))
}

fn text(value: &DeValue<'_>) -> Parsed<String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| wrong_type(value, "a string that is not empty"))?;
    Ok(text.to_owned())
}
