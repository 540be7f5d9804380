//! The operating system's error messages, for people: without the number that programs look for.

use std::fmt::Display;

/// The text of an error without each ` (os error N)` that the standard library writes into it.
pub fn plain(error: &(impl Display + ?Sized)) -> String {
    const MARK: &str = " (os error ";
    let text = error.to_string();
    let mut parts = text.split(MARK);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                plain.push_str(rest);
            }
            _ => {
                plain.push_str(MARK);
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn only_the_number_is_left_out() {
        let error = io::Error::from_raw_os_error(2);
        assert_eq!(plain(&error), "No such file or directory");
        let twice = format!("first {error}, then {error}");
        assert_eq!(
            plain(&twice),
            "first No such file or directory, then No such file or directory"
        );
        for whole in ["", "nothing", "odd (os error x) text", "odd (os error 5"] {
            assert_eq!(plain(whole), whole);
        }
    }
}
