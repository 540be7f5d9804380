//! The first output of the daemon: the links that open its page.
//!
//! The links carry the token on a terminal only. A log or a journal keeps what it gets, and others read it.

use crate::access::judge::Token;
use crate::daemon::Daemon;
use crate::daemon::serving::{Link, Serving, qr};
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;

/// Prints the links of a daemon whose ports are bound.
pub fn print(daemon: &Daemon) {
    let (serving, addresses) = (daemon.serving(), daemon.addresses());
    let text = if io::stdout().is_terminal() {
        let token = daemon.token();
        let token = token.as_ref().map_or("", Token::reveal);
        on_terminal(&serving.links("", token, &addresses), daemon.keeps_token())
    } else {
        in_log(&serving, &addresses, daemon.keeps_token())
    };
    // Nobody may be reading.
    let _ = io::stdout().write_all(text.as_bytes());
}

/// A link that works on this machine and one that works elsewhere, the latter as a QR code too. All of them, if no command prints the
/// others.
fn on_terminal(links: &[Link], keeps_token: bool) -> String {
    let mut text = String::new();
    let elsewhere: Vec<_> = links.iter().filter(|link| !link.is_local).collect();
    if let Some(link) = links.iter().find(|link| link.is_local) {
        text += &format!("fanlight: on this machine open {}\n", link.url);
    }
    let shown = if keeps_token { 1 } else { elsewhere.len() };
    for link in elsewhere.iter().take(shown) {
        text += &format!("fanlight: on other devices open {}\n", link.url);
    }
    if elsewhere.len() > shown {
        text += "fanlight: `fanlight url` prints links for the machine's other addresses\n";
    }
    if let Some(code) = elsewhere.first().and_then(|first| qr(&first.url)) {
        text += &format!("\n{code}\n");
    }
    text
}

/// Every URL without the token, and where to get it, if it is kept.
fn in_log(serving: &Serving, addresses: &[IpAddr], keeps_token: bool) -> String {
    let bare = Serving {
        needs_token: false,
        ..serving.clone()
    };
    let links = bare.links("", "", addresses).into_iter();
    let mut text: String = links
        .map(|link| format!("fanlight: open {}\n", link.url))
        .collect();
    text += match (serving.needs_token, keeps_token) {
        (false, _) => "",
        (true, true) => {
            "fanlight: the page needs a token: `fanlight url` prints the links with it, `fanlight token` the token alone\n"
        }
        (true, false) => {
            "fanlight: nobody can watch, as the token can't be kept: the log says why. `fanlight url` knows nothing of this fanlight\n"
        }
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AuthMode, Config};

    fn serving(mode: AuthMode) -> Serving {
        let mut config = Config::default();
        config.auth.mode = mode;
        Serving::new(&config, "[::]:8080".parse().unwrap())
    }

    fn addresses() -> [IpAddr; 2] {
        ["192.168.1.5", "10.0.0.5"].map(|ip| ip.parse().unwrap())
    }

    #[test]
    fn on_a_terminal_one_link_works_here_and_one_elsewhere_which_is_a_qr_code_too() {
        let serving = serving(AuthMode::Token);
        let text = on_terminal(&serving.links("", "T", &addresses()), true);
        let lines: Vec<_> = text.lines().collect();
        let elsewhere = "http://192.168.1.5:8080/?token=T";
        assert_eq!(
            lines[..2],
            [
                "fanlight: on this machine open http://localhost:8080/?token=T".to_owned(),
                format!("fanlight: on other devices open {elsewhere}"),
            ]
        );
        assert!(lines[2].contains("`fanlight url`"), "{text}");
        assert!(text.contains(&qr(elsewhere).unwrap()), "{text}");
        let unkept = on_terminal(&serving.links("", "T", &addresses()), false);
        assert!(unkept.contains("http://10.0.0.5:8080/?token=T"), "{unkept}");
        assert!(!unkept.contains("`fanlight url`"), "{unkept}");
        let alone = Serving {
            http: "127.0.0.1:80".parse().unwrap(),
            ..serving
        };
        assert_eq!(
            on_terminal(&alone.links("", "T", &addresses()), true),
            "fanlight: on this machine open http://127.0.0.1:80/?token=T\n"
        );
    }

    #[test]
    fn a_log_gets_no_token_and_says_where_it_is() {
        let told = in_log(&serving(AuthMode::Token), &addresses(), true);
        let urls = "fanlight: open http://localhost:8080/\nfanlight: open http://192.168.1.5:8080/\n\
            fanlight: open http://10.0.0.5:8080/\n";
        let rest = told.strip_prefix(urls).unwrap();
        assert!(
            rest.contains("`fanlight url`") && rest.contains("`fanlight token`"),
            "{rest}"
        );
        assert_eq!(in_log(&serving(AuthMode::None), &addresses(), true), urls);
        let nowhere = in_log(&serving(AuthMode::Token), &addresses(), false);
        assert!(nowhere.contains("nobody can watch"), "{nowhere}");
    }
}
