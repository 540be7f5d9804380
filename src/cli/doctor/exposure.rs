//! The people that the configuration lets in, and the host names under which it does: reverse proxies and DNS rebinding bring others
//! than it seems.

use super::Finding;
use crate::config::{AuthMode, Config};
use crate::daemon::own_hosts;

const CHECK: &str = "exposure";

/// What the configuration lets strangers do.
pub fn check(config: &Config) -> Finding {
    judge(config, &own_hosts(&config.http))
}

fn judge(config: &Config, hosts: &[String]) -> Finding {
    if config.auth.mode != AuthMode::None {
        let seen = "everybody needs a token or a link, this machine's programs and a reverse proxy's clients too";
        return Finding::ok(CHECK, seen);
    }
    let http = config.http.listen;
    let who = if http.ip().is_loopback() {
        "everybody on this machine, and every client of a proxy or tunnel on it"
    } else {
        "everybody who reaches"
    };
    let address = match http.ip().is_loopback() {
        true => String::new(),
        false => format!(" port {}", http.port()),
    };
    let mut names = vec!["an IP address", "localhost"];
    names.extend(hosts.iter().map(String::as_str));
    let seen = format!(
        "mode \"none\": {who}{address} may watch and set cameras; pages of other sites can show pictures, but can't read or change \
         anything unless cors_origins names them, not by DNS rebinding either, since a request's host must be {}",
        names.join(", ")
    );
    let cure = "set [auth] mode = \"token\" unless that is meant; a reverse proxy has to ask its clients who they are, and if it passes \
        on the browser's Host, name that in [http] hosts";
    Finding::warn(CHECK, seen, cure)
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn without_authentication_it_says_who_gets_in_and_by_which_names() {
        let mut config = Config::default();
        assert_eq!(judge(&config, &[]).outcome, Outcome::Ok);
        config.auth.mode = AuthMode::None;
        let open = judge(&config, &["box.local".to_owned(), "cam.example".to_owned()]);
        assert_eq!(open.outcome, Outcome::Warn);
        for part in ["reaches port 8080", "localhost, box.local, cam.example"] {
            assert!(open.seen.contains(part), "{open:?}");
        }
        config.http.listen = "127.0.0.1:80".parse().unwrap();
        let local = judge(&config, &[]).seen;
        assert!(local.contains("every client of a proxy"), "{local:?}");
    }
}
