//! The people that the configuration lets in, and the host names under which it does: reverse proxies and DNS rebinding bring others
//! than it seems.

use super::Finding;
use crate::config::{AuthMode, Config};
use crate::daemon::own_hosts;

const CHECK: &str = "exposure";

/// Reports the access that the configuration gives to strangers.
pub fn check(config: &Config) -> Finding {
    judge(config, &own_hosts(&config.http))
}

fn judge(config: &Config, hosts: &[String]) -> Finding {
    if config.auth.mode != AuthMode::None {
        let seen = "everybody needs a token or a link, including programs on this machine and the clients of a reverse proxy";
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
        "mode \"none\": {who}{address} can watch and set cameras without a token; pages of other sites can show pictures, but can't read or change \
         anything unless cors_origins names them, and a request's host must be one of {}",
        names.join(", ")
    );
    let cure = "set [auth] mode = \"token\" unless you want that; a reverse proxy then has to authenticate its clients, and if it passes \
        on the browser's Host header, add that name to [http] hosts";
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
