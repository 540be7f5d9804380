//! The identity of a daemon: a random word in its state directory, which tells its cookies from those of other daemons on the same
//! host name. It is no secret.

use crate::base::state_dir::StateDir;
use std::convert::Infallible;

/// The file in the state directory.
const FILE: &str = "identity";
/// Digits of the word.
const LENGTH: usize = 16;

/// The word of the daemon with that state directory, made at its first start. Without a directory, or when the word can't be kept, it
/// is another one at each start, and people open their links once more. A file that can't be read now is left as it is.
pub fn of(state: Option<&StateDir>) -> String {
    let made = || format!("{:016x}", rand::random::<u64>());
    let Some(state) = state else {
        return made();
    };
    let parse =
        |file: &[u8]| read(file).ok_or_else(|| "the file does not hold an identity".to_owned());
    let Ok(obtained) = state.obtain(FILE, parse, || {
        let word = made();
        let file = format!("{word}\n").into_bytes();
        Ok::<_, Infallible>((word, file))
    });
    if let Some(trouble) = obtained.trouble {
        tracing::warn!("browsers will need their link again: {trouble}");
    }
    obtained.value
}

fn read(file: &[u8]) -> Option<String> {
    let word = std::str::from_utf8(file).ok()?.trim();
    let is_word = word.len() == LENGTH && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_word.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_is_kept_and_a_damaged_one_is_made_anew() {
        let name = format!("fanlight-identity-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let state = StateDir::open(&folder).unwrap();
        let first = of(Some(&state));
        assert_eq!(of(Some(&state)), first);
        assert_ne!(of(None), first);
        // A file with a second name is not read.
        std::fs::hard_link(folder.join(FILE), folder.join("second")).unwrap();
        assert_ne!(of(Some(&state)), first);
        std::fs::remove_file(folder.join("second")).unwrap();
        assert_eq!(of(Some(&state)), first, "it was not replaced");
        for damaged in ["", "x", "0123456789abcdeg", "0123456789abcdef0"] {
            state.write(FILE, damaged.as_bytes()).unwrap();
            let made = of(Some(&state));
            assert!(
                read(made.as_bytes()).is_some() && made != first,
                "{damaged}"
            );
            assert_eq!(of(Some(&state)), made);
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
