//! The machine's host name.

use nix::sys::utsname::uname;

/// The name of this machine, and the one that multicast DNS finds it by (RFC 6762, 3). The kernel is asked, and not /proc, which a
/// sandbox may hide.
pub fn host_names() -> Vec<String> {
    let names = uname().map(|names| names.nodename().to_string_lossy().into_owned());
    names.map_or_else(|_| Vec::new(), |name| known_by(&name))
}

fn known_by(name: &str) -> Vec<String> {
    let name = name.trim().to_ascii_lowercase();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if name.is_empty() || name == "localhost" || !name.chars().all(is_name) {
        return Vec::new();
    }
    let first = name.split('.').next().unwrap_or_default();
    let local = format!("{first}.local");
    if name == local {
        vec![local]
    } else {
        vec![local, name]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_name_and_to_multicast_dns() {
        for (name, known) in [
            ("Box", &["box.local", "box"][..]),
            ("vm.local", &["vm.local"]),
            ("cam.example.org", &["cam.local", "cam.example.org"]),
            ("localhost", &[]),
            ("", &[]),
            ("a b", &[]),
        ] {
            assert_eq!(known_by(name), known, "{name}");
        }
    }
}
