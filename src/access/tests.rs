//! Changes of the secrets on disk, what happens to those that can't be read or written, and what has expired.

use super::judge::{Ledger, ShareKey};
use super::judge::{Scopes, Share};
use super::*;
use crate::base::state_dir::faults;
use crate::metrics::Metrics;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nix::errno::Errno;
use ring::hmac;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const NOW: u64 = 2_000_000_000;

/// A state directory of the test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let name = format!("fanlight-access-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(mode: AuthMode, path: &Path) -> Access {
    let auth = Auth { mode };
    let state = StateDir::open(path).ok().map(Arc::new);
    Access::start(&auth, Policy::default(), state, Metrics::new().auth()).unwrap()
}

/// That long after the start, by the clock that never jumps.
fn after(seconds: u64, unix: u64) -> Now {
    Now {
        unix,
        instant: Instant::now() + Duration::from_secs(seconds),
    }
}

fn judge(access: &Access, token: &str, now: Now) -> Result<Grant, Refusal> {
    let query = format!("token={token}");
    let request = Request {
        query: Some(&query),
        ..Request::default()
    };
    let decide = || access.decide(&request, Scope::View, Target::Stream("cam"), now);
    look_if_due(access, now);
    // As `Access::judge` does it, but on this thread, where the calls are made to fail.
    match decide() {
        Err(REVOKED) if access.look(now.instant) => decide(),
        judged => judged,
    }
}

fn look_if_due(access: &Access, now: Now) {
    if access.looking.is_due(now.instant) {
        access.look(now.instant);
    }
}

fn still_holds(access: &Access, grant: &Grant, now: Now) -> bool {
    look_if_due(access, now);
    access.still_holds(grant, now)
}

/// A link that is in the ledger, and its token.
fn shared(path: &Path, expires: u64) -> (Share, String) {
    let state = StateDir::visit(path).unwrap();
    let mut secrets = Secrets::load(&state).unwrap();
    let share = Share::new(Scopes::from_iter([Scope::View]), Vec::new(), expires);
    let token = secrets.key.sign(&share);
    secrets.shares.add(share.clone(), 0).unwrap();
    secrets.keep_shares(&state).unwrap();
    (share, token)
}

fn revoke(path: &Path, share: &Share) {
    let state = StateDir::visit(path).unwrap();
    let mut secrets = Secrets::load(&state).unwrap();
    secrets.shares.revoke(&share.id).unwrap();
    secrets.keep_shares(&state).unwrap();
}

const UNKNOWN: Refusal = Refusal::Invalid(Flaw::Unknown);
const REVOKED: Refusal = Refusal::Invalid(Flaw::Revoked);
const EXPIRED: Refusal = Refusal::Invalid(Flaw::Expired);

#[test]
fn a_change_that_can_not_be_read_at_once_is_taken_up_later() {
    let scratch = Scratch::new("later");
    let (share, link) = shared_at_start(&scratch.0);
    let access = start(AuthMode::Token, &scratch.0);
    assert!(judge(&access, &link, after(0, NOW)).is_ok());
    revoke(&scratch.0, &share);
    // Three files are looked at before the list is opened.
    let (judged, has_failed) =
        faults::with(3, Errno::EMFILE, || judge(&access, &link, after(2, NOW)));
    assert!(has_failed && judged.is_ok());
    assert_eq!(judge(&access, &link, after(4, NOW)), Err(REVOKED));
}

/// A link, in a directory that no daemon has had yet.
fn shared_at_start(path: &Path) -> (Share, String) {
    drop(StateDir::open(path).unwrap());
    shared(path, NOW + 3600)
}

#[test]
fn a_changed_file_that_can_not_be_read_for_a_minute_opens_nothing() {
    let scratch = Scratch::new("minute");
    let (_, link) = shared_at_start(&scratch.0);
    let access = start(AuthMode::Token, &scratch.0);
    let token = access.token().unwrap().reveal().to_owned();
    let granted = judge(&access, &link, after(0, NOW)).unwrap();
    for (name, opens_token, opens_link) in [
        ("shares.json", true, false),
        ("share.key", true, false),
        ("token", false, true),
    ] {
        let (file, away) = (scratch.0.join(name), scratch.0.join("away"));
        fs::rename(&file, &away).unwrap();
        symlink("nowhere", &file).unwrap();
        // Each begins when the change is seen.
        let start = match name {
            "shares.json" => 100,
            "share.key" => 300,
            _ => 500,
        };
        for (seconds, token_is_good, link_is_good) in [
            (0, true, true),
            (59, true, true),
            (60, opens_token, opens_link),
        ] {
            let now = after(start + seconds, NOW);
            assert_eq!(
                judge(&access, &token, now).is_ok(),
                token_is_good,
                "{name} {seconds}"
            );
            assert_eq!(
                judge(&access, &link, now).is_ok(),
                link_is_good,
                "{name} {seconds}"
            );
            assert_eq!(
                still_holds(&access, &granted, now),
                link_is_good,
                "{name} {seconds}"
            );
        }
        fs::rename(&away, &file).unwrap();
        let now = after(start + 62, NOW);
        assert!(judge(&access, &token, now).is_ok(), "{name}");
        assert!(judge(&access, &link, now).is_ok(), "{name}");
    }
    // What makes no sense for a minute is set aside, so that commands work again.
    fs::write(scratch.0.join("shares.json"), "{").unwrap();
    for (seconds, is_good) in [(700, true), (759, true), (760, false)] {
        assert_eq!(judge(&access, &link, after(seconds, NOW)).is_ok(), is_good);
    }
    assert_eq!(fs::read(scratch.0.join("shares.json.bad")).unwrap(), b"{");
    let (_, other) = shared(&scratch.0, NOW + 3600);
    assert!(judge(&access, &other, after(770, NOW)).is_ok());
}

#[test]
fn a_lost_key_ends_what_it_signed_and_a_lost_token_what_it_opened() {
    let scratch = Scratch::new("lost");
    let (_, link) = shared_at_start(&scratch.0);
    let access = start(AuthMode::Token, &scratch.0);
    let token = access.token().unwrap().reveal().to_owned();
    let by_link = judge(&access, &link, after(0, NOW)).unwrap();
    let by_token = judge(&access, &token, after(0, NOW)).unwrap();
    fs::remove_file(scratch.0.join("share.key")).unwrap();
    let now = after(2, NOW);
    assert!(!still_holds(&access, &by_link, now) && still_holds(&access, &by_token, now));
    assert_eq!(judge(&access, &link, now), Err(UNKNOWN));
    fs::remove_file(scratch.0.join("token")).unwrap();
    let now = after(4, NOW);
    assert!(!still_holds(&access, &by_token, now));
    let state = StateDir::visit(&scratch.0).unwrap();
    let made = Secrets::load(&state).unwrap().token;
    assert!(judge(&access, made.reveal(), after(6, NOW)).is_ok());
}

#[test]
fn damaged_secrets_are_set_aside_at_the_start_and_let_nobody_in() {
    for damage in ["", "half a fi", "\0\0\0\0"] {
        let scratch = Scratch::new("damage");
        let (_, link) = shared_at_start(&scratch.0);
        let first = start(AuthMode::Token, &scratch.0);
        let token = first.token().unwrap();
        drop(first);
        for name in ["token", "share.key", "shares.json"] {
            fs::write(scratch.0.join(name), damage).unwrap();
        }
        let access = start(AuthMode::Token, &scratch.0);
        assert_eq!(judge(&access, token.reveal(), after(0, NOW)), Err(UNKNOWN));
        assert_eq!(judge(&access, &link, after(0, NOW)), Err(UNKNOWN));
        let new = access.token().unwrap();
        assert!(judge(&access, new.reveal(), after(70, NOW)).is_ok());
        drop(access);
        for name in ["token.bad", "share.key.bad", "shares.json.bad"] {
            let kept = fs::read_to_string(scratch.0.join(name)).unwrap();
            assert_eq!(kept, damage, "{name}");
        }
        let again = start(AuthMode::Token, &scratch.0);
        assert!(again.token().unwrap() == new);
    }
}

#[test]
fn what_has_expired_stays_so_when_the_clock_is_set_back() {
    let scratch = Scratch::new("expired");
    let (share, link) = shared_at_start(&scratch.0);
    let (_, longer) = shared(&scratch.0, NOW + 7200);
    let access = start(AuthMode::Token, &scratch.0);
    access.tend(after(1, share.expires - 1));
    assert!(judge(&access, &link, after(1, share.expires - 1)).is_ok());
    assert_eq!(judge(&access, &link, after(2, share.expires)), Err(EXPIRED));
    // The disk is full for the first attempt.
    let ((), has_failed) = faults::with(1, Errno::ENOSPC, || access.tend(after(3, share.expires)));
    assert!(has_failed);
    assert_eq!(judge(&access, &link, after(4, 5)), Err(REVOKED), "in 1970");
    let listed = || {
        let file = fs::read(scratch.0.join("shares.json")).unwrap();
        Ledger::parse(&file).unwrap().iter().count()
    };
    assert_eq!(listed(), 2);
    access.tend(after(13, 5));
    assert_eq!(listed(), 1);
    drop(access);
    let again = start(AuthMode::Token, &scratch.0);
    assert_eq!(judge(&again, &link, after(0, 5)), Err(REVOKED));
    assert!(judge(&again, &longer, after(0, 5)).is_ok());
}

/// A JWT that expires then, and its issuer's keys.
fn jwt(exp: u64) -> (String, String) {
    let secret = [b'k'; 32];
    let part = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let claims = format!(r#"{{"exp":{exp},"scope":"view"}}"#);
    let text = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), text.as_bytes());
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let keys = format!(r#"{{"keys":[{{"kty":"oct","k":"{secret}"}}]}}"#);
    (format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac)), keys)
}

fn issuer(keys: &Path) -> AuthMode {
    AuthMode::Jwt {
        keys: keys.to_owned(),
        audience: None,
        issuer: None,
    }
}

#[test]
fn a_token_of_an_issuer_that_has_expired_is_not_good_again_after_a_power_cut() {
    const DAY: u64 = 24 * 3600;
    let scratch = Scratch::new("power");
    let (token, keys) = jwt(NOW);
    fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("jwks.json");
    fs::write(&file, keys).unwrap();
    let path = scratch.0.join("state");
    let access = start(issuer(&file), &path);
    let granted = judge(&access, &token, after(0, NOW)).unwrap();
    access.tend(after(0, NOW));
    assert!(!still_holds(&access, &granted, after(1, NOW + 100)));
    access.tend(after(10, NOW + 100));
    drop(access);
    let clock = || fs::read_to_string(path.join("clock")).unwrap();
    assert_eq!(clock(), format!("{}\n", NOW + 100));
    let access = start(issuer(&file), &path);
    assert_eq!(judge(&access, &token, after(0, 5)), Err(EXPIRED));
    access.tend(after(10, 5));
    assert_eq!(clock(), format!("{}\n", NOW + 100), "written rarely");
    // A time that was wrong does not lock everybody out for ever.
    assert!(judge(&access, &token, after(DAY, 5 + DAY)).is_ok());
    access.tend(after(DAY + 10, 5 + DAY));
    assert_eq!(clock(), format!("{}\n", 5 + DAY));
}

#[test]
fn an_issuers_keys_that_are_gone_for_a_minute_open_nothing_and_are_taken_up_again() {
    let scratch = Scratch::new("issuer");
    let (token, keys) = jwt(NOW);
    fs::create_dir_all(&scratch.0).unwrap();
    let file = scratch.0.join("jwks.json");
    fs::write(&file, &keys).unwrap();
    let access = start(issuer(&file), &scratch.0.join("state"));
    let granted = judge(&access, &token, after(0, NOW)).unwrap();
    fs::remove_file(&file).unwrap();
    for (seconds, is_good) in [(2, true), (61, true), (62, false), (100, false)] {
        let now = after(seconds, NOW);
        assert_eq!(judge(&access, &token, now).is_ok(), is_good, "{seconds}");
        assert_eq!(still_holds(&access, &granted, now), is_good, "{seconds}");
    }
    fs::write(&file, &keys).unwrap();
    assert!(judge(&access, &token, after(102, NOW)).is_ok());
}

/// What the directory's files say, read as no daemon of ours does.
fn on_disk(path: &Path) -> (String, String, Vec<Share>) {
    let text = |name| fs::read_to_string(path.join(name)).unwrap();
    let shares = serde_json::from_str(&text("shares.json")).unwrap();
    (text("token"), text("share.key"), shares)
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

const FILES: [&str; 4] = [".visit", "share.key", "shares.json", "token"];
const TOKEN: &str = "a-token-of-twenty-four-ch";

/// A directory with one link.
fn prepare(path: &Path) {
    let state = StateDir::open(path).unwrap();
    state.write("token", TOKEN.as_bytes()).unwrap();
    let key = ShareKey::to_file(&[7; 32]);
    state.write("share.key", key.as_bytes()).unwrap();
    let mut shares = Ledger::default();
    let mut share = Share::new(Scopes::from_iter([Scope::View]), Vec::new(), NOW + 9);
    share.id = "first".to_owned();
    shares.add(share, NOW).unwrap();
    state.write("shares.json", &shares.to_file()).unwrap();
}

/// Whatever failed, the secrets are there as they were.
fn is_unharmed(path: &Path, errno: Errno) -> Vec<Share> {
    let (token, key, shares) = on_disk(path);
    assert_eq!(token, TOKEN, "{errno}");
    assert_eq!(key, ShareKey::to_file(&[7; 32]), "{errno}");
    assert_eq!(shares[0].id, "first", "{errno}");
    assert_eq!(names(path), FILES, "{errno}");
    shares
}

#[test]
fn whichever_call_fails_at_the_start_the_daemon_serves_and_the_secrets_stay() {
    faults::each(
        "start",
        prepare,
        |path| start(AuthMode::Token, path).token().unwrap(),
        |path, errno, token| {
            assert_eq!(is_unharmed(path, errno).len(), 1);
            // A token that is known is never one that was not read.
            let is_kept = token.reveal() == TOKEN;
            assert!(is_kept || errno != Errno::EINTR);
            let again = start(AuthMode::Token, path).token();
            assert_eq!(again.unwrap().reveal(), TOKEN, "{errno}");
        },
    );
}

#[test]
fn whichever_call_fails_at_the_first_start_the_next_one_has_what_it_needs() {
    faults::each(
        "first",
        |_| (),
        |path| start(AuthMode::Token, path).token().unwrap(),
        |path, errno, token| {
            let again = start(AuthMode::Token, path).token().unwrap();
            assert!(errno != Errno::EINTR || again == token);
            assert_eq!(names(path), FILES, "{errno}");
        },
    );
}

#[test]
fn whichever_call_fails_while_a_daemon_runs_it_is_made_up_for_a_second_later() {
    const OTHER: &str = "another-token-that-is-kept";
    let access = RefCell::new(None);
    faults::each(
        "refresh",
        |path| {
            prepare(path);
            *access.borrow_mut() = Some(start(AuthMode::Token, path));
            fs::write(path.join("token"), OTHER).unwrap();
        },
        |_| {
            let access = access.borrow();
            let access = access.as_ref().unwrap();
            let _ = judge(access, OTHER, after(2, NOW));
            judge(access, OTHER, after(4, NOW))
        },
        |path, errno, judged| {
            assert!(judged.is_ok(), "{errno}: {judged:?}");
            assert_eq!(names(path), FILES, "{errno}");
        },
    );
}

#[test]
fn whichever_call_fails_when_a_link_is_shared_the_others_stay() {
    let share = |path: &Path| {
        let state = StateDir::look(path)?.writing()?;
        let mut secrets = Secrets::load(&state)?;
        let share = Share::new(Scopes::from_iter([Scope::View]), Vec::new(), NOW + 9);
        // There is room.
        secrets.shares.add(share, NOW).unwrap();
        secrets.keep_shares(&state)
    };
    faults::each("share", prepare, share, |path, errno, shared| {
        let listed = is_unharmed(path, errno).len();
        assert!(listed == 2 || shared.is_err(), "{errno}");
        if let Err(error) = shared {
            let told = error.to_string();
            assert!(told.starts_with("can't ") && told.contains("; "), "{told}");
            assert!(errno != Errno::EINTR, "{told}");
        }
    });
}

#[test]
fn whichever_call_fails_when_the_token_is_renewed_there_is_one() {
    let renew = |path: &Path| {
        let state = StateDir::look(path)?.writing()?;
        let mut secrets = Secrets::load(&state)?;
        secrets.renew_token(&state)?;
        Ok::<_, AccessError>(secrets.token)
    };
    faults::each("renew", prepare, renew, |path, errno, renewed| {
        let (token, _, shares) = on_disk(path);
        let token = Token::parse(token.as_bytes()).unwrap();
        assert_eq!(shares.len(), 1, "{errno}");
        assert_eq!(names(path), FILES, "{errno}");
        match renewed {
            Ok(renewed) => assert!(token == renewed, "{errno}"),
            Err(error) => assert!(errno != Errno::EINTR, "{error}"),
        }
    });
}

#[test]
fn a_disk_that_hangs_stops_no_request_and_what_was_read_last_decides() {
    let scratch = Scratch::new("hangs");
    let (_, link) = shared_at_start(&scratch.0);
    let access = Arc::new(start(AuthMode::Token, &scratch.0));
    let (_, made_now) = shared(&scratch.0, NOW + 3600);
    // As long as a read hangs, its thread holds this.
    let hangs = access.kept.lock();
    let (told, judged) = std::sync::mpsc::sync_channel(8);
    let (judging, tokens) = (access.clone(), [link, made_now]);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let runtime = runtime.unwrap();
        for seconds in [2, 3, 4] {
            for token in &tokens {
                let query = format!("token={token}");
                let request = Request {
                    query: Some(&query),
                    ..Request::default()
                };
                let now = after(seconds, NOW);
                let judged =
                    runtime.block_on(judging.judge(&request, Scope::View, Target::Any, now));
                let refusal = judged.map(|_| ()).map_err(|denial| denial.refusal);
                told.send(refusal).unwrap();
            }
        }
        runtime.shutdown_background();
    });
    let next = || {
        let limit = Duration::from_secs(10);
        judged
            .recv_timeout(limit)
            .expect("requests wait for the disk")
    };
    for _ in 0..3 {
        assert_eq!(next(), Ok(()));
        assert_eq!(next(), Err(REVOKED), "it was not read");
    }
    thread.join().unwrap();
    drop(hangs);
}
