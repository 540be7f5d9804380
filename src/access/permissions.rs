//! Whether other users of the machine can read or replace what only fanlight should: the daemon warns of it at its start, and
//! `fanlight doctor` says what cures it.

use super::judge::JwtKeys;
use crate::base::state_dir::{Stamp, StateDir};
use crate::config::{AuthMode, Certificate, Config};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of the state directory that hold a secret or decide on access.
const FILES: [&str; 5] = ["token", "share.key", "shares.json", "ca.pem", "dtls.pem"];

/// Permissions of the group and of everybody (inode(7)).
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;
const EVERYBODY_READS: u32 = 0o004;

/// A file or directory that other users have too much access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loose {
    /// They can put something of their own there.
    pub is_writable: bool,
    /// Names it and the access.
    pub seen: String,
    /// The command that ends it.
    pub cure: String,
}

impl fmt::Display for Loose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.seen, self.cure)
    }
}

/// Looks at the state directory and the files that the configuration names. Those that can't be looked at are left out: their
/// readers say so.
pub fn check(state: Option<&StateDir>, config: &Config) -> Vec<Loose> {
    let mut found = Vec::new();
    if let Some(state) = state {
        found.extend(state.stamp().ok().and_then(|stamp| {
            let verb = if stamp.mode & OTHERS_WRITE == 0 {
                "list"
            } else {
                "replace"
            };
            let what = format!("the files in {}", state.directory().display());
            loose(&what, state.directory(), (stamp, OTHERS, 0o700), verb)
        }));
        found.extend(FILES.iter().filter_map(|name| {
            let stamp = state.stamp_of(name).ok()?;
            judge(&state.path(name), (stamp, OTHERS, 0o600))
        }));
    }
    found.extend(
        configured(config)
            .into_iter()
            .filter_map(|(path, bits, mode)| {
                let stamp = Stamp::of_path(&path).ok()?;
                judge(&path, (stamp, bits, mode))
            }),
    );
    found
}

/// Whether the directory is another user's than this process's.
pub fn foreign(state: &StateDir) -> Option<Loose> {
    owned(state, nix::unistd::geteuid().as_raw())
}

fn owned(state: &StateDir, user: u32) -> Option<Loose> {
    let owner = state.stamp().ok()?.uid;
    let path = state.directory().display();
    (![0, user].contains(&owner)).then(|| Loose {
        is_writable: true,
        seen: format!(
            "{path} belongs to another user ({owner}), who can read and replace the files in it"
        ),
        cure: format!("chown -R {user} {path}"),
    })
}

/// The files that the configuration names, each with the permissions that it should not have, and a mode that it may.
fn configured(config: &Config) -> Vec<(PathBuf, u32, u32)> {
    let mut files = Vec::new();
    if let AuthMode::Jwt { keys, .. } = &config.auth.mode {
        let file = fs::read(keys).unwrap_or_default();
        let parsed = JwtKeys::parse(&file, None, None);
        let (bits, mode) = match parsed.is_ok_and(|keys| keys.has_secret()) {
            true => (OTHERS_WRITE | EVERYBODY_READS, 0o640),
            false => (OTHERS_WRITE, 0o644),
        };
        files.push((keys.clone(), bits, mode));
    }
    let certificate = config.tls.as_ref().map(|tls| &tls.certificate);
    if let Some(Certificate::Files { chain, key }) = certificate {
        files.push((chain.clone(), OTHERS_WRITE, 0o644));
        files.push((key.clone(), OTHERS_WRITE | EVERYBODY_READS, 0o640));
    }
    files
}

fn judge(path: &Path, (stamp, bits, mode): (Stamp, u32, u32)) -> Option<Loose> {
    let verb = if stamp.mode & bits & OTHERS_WRITE == 0 {
        "read"
    } else {
        "change"
    };
    loose(&path.display().to_string(), path, (stamp, bits, mode), verb)
}

fn loose(
    what: &str,
    path: &Path,
    (stamp, bits, mode): (Stamp, u32, u32),
    verb: &str,
) -> Option<Loose> {
    let wrong = stamp.mode & bits;
    (wrong != 0).then(|| Loose {
        is_writable: wrong & OTHERS_WRITE != 0,
        seen: format!(
            "other users can {verb} {what} (mode {:04o})",
            stamp.mode & 0o7777
        ),
        cure: format!("chmod {mode:o} {}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown};

    /// An example of RFC 7517, appendix A.1.
    const PUBLIC: &str = r#"{"keys":[{"kty":"EC","crv":"P-256",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_can_read_or_replace_is_told_with_the_cure() {
        let folder = std::env::temp_dir().join(format!("fanlight-loose-{}", std::process::id()));
        let state = StateDir::open(&folder).unwrap();
        for name in FILES {
            state.write(name, b"x").unwrap();
        }
        let (keys, chain, key) = (
            folder.join("jwks"),
            folder.join("chain"),
            folder.join("key"),
        );
        let secret = "c".repeat(43);
        for path in [&keys, &chain, &key] {
            fs::write(
                path,
                format!(r#"{{"keys":[{{"kty":"oct","k":"{secret}"}}]}}"#),
            )
            .unwrap();
            set(path, 0o640);
        }
        let shown = |path: &Path| path.display().to_string();
        let config = Config::parse(&format!(
            "[auth]\nmode = \"jwt\"\njwt_keys = {:?}\n[tls]\ncertificate = {:?}\nkey = {:?}\n",
            shown(&keys),
            shown(&chain),
            shown(&key),
        ));
        let config = config.unwrap();
        assert_eq!(check(Some(&state), &config), []);
        let only = |path: &Path, mode: u32, before: u32| {
            set(path, mode);
            let found = check(Some(&state), &config);
            set(path, before);
            assert_eq!(found.len(), 1, "{found:?}");
            (found[0].is_writable, found[0].to_string())
        };
        let told = |verb: &str, path: &Path, mode: &str, cure: &str| {
            let path = path.display();
            format!("other users can {verb} {path} (mode {mode}); chmod {cure} {path}")
        };
        let token = folder.join("token");
        assert_eq!(
            only(&token, 0o644, 0o600),
            (false, told("read", &token, "0644", "600"))
        );
        assert_eq!(
            only(&token, 0o620, 0o600),
            (true, told("change", &token, "0620", "600"))
        );
        assert_eq!(
            only(&key, 0o644, 0o640),
            (false, told("read", &key, "0644", "640"))
        );
        assert_eq!(
            only(&keys, 0o644, 0o640),
            (false, told("read", &keys, "0644", "640"))
        );
        assert_eq!(
            only(&chain, 0o646, 0o640),
            (true, told("change", &chain, "0646", "644"))
        );
        let folder_told = |verb, mode| {
            let path = folder.display();
            format!("other users can {verb} the files in {path} (mode {mode}); chmod 700 {path}")
        };
        assert_eq!(
            only(&folder, 0o755, 0o700),
            (false, folder_told("list", "0755"))
        );
        assert_eq!(
            only(&folder, 0o777, 0o700),
            (true, folder_told("replace", "0777"))
        );
        // Public keys are for everybody.
        fs::write(&keys, PUBLIC).unwrap();
        set(&keys, 0o644);
        assert_eq!(check(Some(&state), &config), []);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_directory_of_another_user_is_told() {
        let folder = std::env::temp_dir().join(format!("fanlight-foreign-{}", std::process::id()));
        let state = StateDir::open(&folder).unwrap();
        let own = state.stamp().unwrap().uid;
        assert_eq!(owned(&state, own), None);
        if own == 0 {
            chown(&folder, Some(4242), None).unwrap();
            let told = owned(&state, 0).unwrap().to_string();
            assert!(told.contains("belongs to another user (4242)"), "{told}");
            assert_eq!(owned(&state, 4242), None);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
