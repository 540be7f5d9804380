//! Inputs that strangers can send, as functions of bytes that must never panic: each is a target of cargo-fuzz (`tests/fuzz`),
//! and ordinary tests run it on the inputs that are kept there.

pub use crate::http::fuzz::request;
pub use crate::rtc::sim::fuzz::{datagrams, fragment, offer, reports, stun};

use crate::access::judge::{
    Guard, JwtKeys, Ledger, Now, Policy, Proof, Request, Scope, Scopes, Share, ShareKey, Target,
    Token,
};
use crate::config::Config;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use std::net::Ipv4Addr;
use std::sync::OnceLock;
use std::time::Instant;

/// The name of a function of bytes, and itself.
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [FuzzTarget; 8] = [
    ("offer", offer),
    ("fragment", fragment),
    ("stun", stun),
    ("datagrams", datagrams),
    ("reports", reports),
    ("request", request),
    ("auth", auth),
    ("config", config),
];

/// A configuration file: read, or refused with sentences that name lines.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Config::parse(text) {
        Ok(config) => assert!(!config.streams.is_empty()),
        Err(errors) => assert!(!errors.to_string().trim().is_empty()),
    }
}

const SECRET: [u8; 32] = [9; 32];
const TOKEN: &str = "correct-horse-battery-staple";
/// Years from now.
const NOW: u64 = 2_000_000_000;

/// The two kinds of proof that are checked.
fn guards() -> &'static [Guard; 2] {
    static GUARDS: OnceLock<[Guard; 2]> = OnceLock::new();
    GUARDS.get_or_init(|| {
        let key = ShareKey::new(&SECRET);
        let secret = URL_SAFE_NO_PAD.encode(SECRET);
        let set = format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{secret}\"}}]}}");
        let jwt = JwtKeys::parse(set.as_bytes(), None, None).expect("a set of one key");
        let token = Token::parse(TOKEN.as_bytes()).expect("a token");
        let shares = Ledger::default();
        let proofs = [Proof::Token { token, key, shares }, Proof::Jwt(jwt)];
        proofs.map(|proof| Guard {
            policy: Policy {
                origins: vec!["https://example.org".to_owned()],
                ..Policy::default()
            },
            proof,
        })
    })
}

/// The parts of a request that matter to access: a query, then a header a line, of any bytes. Nothing is granted for less than a
/// token, wherever the request comes from.
pub fn auth(data: &[u8]) {
    let now = Now {
        unix: NOW,
        instant: Instant::now(),
    };
    let mut lines = data.split(|byte| *byte == b'\n');
    let query = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let headers = lines.filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(&line[..at]).ok()?;
        Some((name, line[at + 1..].trim_ascii()))
    });
    let request = Request {
        peer: Some(Ipv4Addr::LOCALHOST.into()),
        is_tls: data.len().is_multiple_of(3),
        is_safe: data.len().is_multiple_of(2),
        is_for_page: true,
        query: query.filter(|line| !line.is_empty()),
        headers: headers.collect(),
        cookie: "fanlight-8080",
    };
    let has = |proof: &str| {
        data.windows(proof.len())
            .any(|part| part == proof.as_bytes())
    };
    for (guard, proof) in guards().iter().zip([TOKEN, "."]) {
        for (scope, target) in [
            (Scope::View, Target::Stream("cam")),
            (Scope::Admin, Target::Daemon),
        ] {
            if guard.judge(&request, scope, target, now).is_ok() {
                assert!(has(proof), "granted for nothing");
            }
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        signed(text, &text.lines().skip(1).collect::<Vec<_>>(), now);
    }
}

/// Inputs with a good signature and any contents: what issuers sign, and links.
fn signed(text: &str, lines: &[&str], now: Now) {
    let [tokens, jwt] = guards();
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let header = encode("{\"alg\":\"HS256\"}");
    let claims = format!("{header}.{}", encode(text));
    let key = hmac::Key::new(hmac::HMAC_SHA256, &SECRET);
    let mac = URL_SAFE_NO_PAD.encode(hmac::sign(&key, claims.as_bytes()));
    if let Proof::Jwt(keys) = &jwt.proof
        && let Ok(grant) = keys.verify(&format!("{claims}.{mac}"), now.unix)
    {
        assert!(grant.expires.is_some_and(|at| at > now.unix));
    }
    let Proof::Token { key, .. } = &tokens.proof else {
        return;
    };
    let share = Share {
        id: lines
            .first()
            .map_or_else(String::new, |id| (*id).to_owned()),
        expires: text.len() as u64,
        scopes: Scopes::of_letters("v").map_or_else(String::new, Scopes::letters),
        streams: lines.iter().skip(1).map(|&name| name.to_owned()).collect(),
        name: None,
        made: None,
    };
    let token = key.sign(&share);
    if let Ok(read) = key.verify(&token) {
        // It is in no ledger.
        let request = Request {
            query: Some("token=x"),
            headers: vec![("authorization", token.as_bytes())],
            ..Request::default()
        };
        assert!(
            tokens
                .judge(&request, Scope::View, Target::Any, now)
                .is_err()
        );
        read.grant(key.print());
    }
    let _ = (
        Ledger::parse(text.as_bytes()),
        Token::parse(text.as_bytes()),
    );
    let _ = JwtKeys::parse(text.as_bytes(), Some("a"), Some("i"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn folder(name: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join("tests/fuzz/seeds").join(name)
    }

    /// The inputs that are kept for a target: examples, and what once was too much for it.
    fn kept(name: &str) -> Vec<Vec<u8>> {
        let files = fs::read_dir(folder(name)).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    }

    #[test]
    fn every_target_stands_the_inputs_that_are_kept() {
        for (name, target) in TARGETS {
            let kept = kept(name);
            assert!(!kept.is_empty(), "{name} has no inputs");
            kept.iter().for_each(|input| target(input));
        }
    }

    #[test]
    fn cargo_fuzz_has_every_target_and_no_other() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        let names = manifest.lines().filter_map(|line| {
            let path = line.strip_prefix("path = \"targets/")?;
            path.strip_suffix(".rs\"")
        });
        assert!(names.eq(TARGETS.map(|(name, _)| name)));
        for (name, _) in TARGETS {
            let code = fs::read_to_string(fuzz.join(format!("targets/{name}.rs"))).unwrap();
            assert!(code.contains(&format!("fanlight::fuzz::{name}(data)")));
        }
    }

    /// One change of an input: what a byte becomes, what is cut out, what is put in.
    #[derive(Debug, Clone)]
    enum Mutation {
        Set(usize, u8),
        Cut(usize, usize),
        Insert(usize, Vec<u8>),
    }

    fn change() -> impl Strategy<Value = Mutation> {
        prop_oneof![
            (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
            (any::<usize>(), 1..40usize).prop_map(|(at, len)| Mutation::Cut(at, len)),
            (any::<usize>(), vec(any::<u8>(), 1..20)).prop_map(|(at, b)| Mutation::Insert(at, b)),
        ]
    }

    fn changed(mut input: Vec<u8>, changes: Vec<Mutation>) -> Vec<u8> {
        for change in changes {
            let len = input.len().max(1);
            match change {
                Mutation::Set(at, byte) => {
                    if let Some(old) = input.get_mut(at % len) {
                        *old = byte;
                    }
                }
                Mutation::Cut(at, count) => {
                    let at = (at % len).min(input.len());
                    input.drain(at..input.len().min(at + count));
                }
                Mutation::Insert(at, bytes) => {
                    let at = (at % len).min(input.len());
                    input.splice(at..at, bytes);
                }
            }
        }
        input
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_target_stands_inputs_like_those(which: usize, changes in vec(change(), 0..12)) {
            for (name, target) in TARGETS {
                let kept = kept(name);
                target(&changed(kept[which % kept.len()].clone(), changes.clone()));
            }
        }
    }
}
