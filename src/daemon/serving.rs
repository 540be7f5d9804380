//! The links under which the daemon is opened: what a running daemon notes of itself in the state directory, so that a
//! command beside it can tell them, and QR codes of them.

use crate::base::addresses::urls;
use crate::base::state_dir::{StateDir, StateError};
use crate::config::{AuthMode, Certificate, Config, Source};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The file in the state directory.
pub const FILE: &str = "serving.json";

/// The addresses of a daemon, and the manner in which it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The address to which HTTP is bound.
    pub http: SocketAddr,
    /// The URL at which viewers reach it through a proxy or a router, with a slash at the end.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Whether that is HTTPS.
    pub is_secure: bool,
    /// Whether its certificate is of its own authority.
    pub is_self_signed: bool,
    /// Whether the daemon's own token opens it.
    pub needs_token: bool,
    /// The names of the streams.
    pub streams: Vec<String>,
    /// Their cameras, of those that have one.
    #[serde(default)]
    pub devices: BTreeMap<String, String>,
}

impl Serving {
    /// The note of a daemon with that configuration, bound to that address.
    pub fn new(config: &Config, http: SocketAddr) -> Self {
        let needs_token = config.auth.mode == AuthMode::Token;
        Self {
            http,
            public_url: config.http.public_url.clone(),
            is_secure: config.tls.is_some(),
            is_self_signed: config
                .tls
                .as_ref()
                .is_some_and(|tls| tls.certificate == Certificate::SelfSigned),
            needs_token,
            streams: config.streams.iter().map(|s| s.name.clone()).collect(),
            devices: devices(config),
        }
    }

    /// Keeps it for the commands. Without it they say that no daemon has run, so a failure is told in the log only.
    pub fn note(&self, state: &StateDir) {
        // Only maps with keys that are not strings fail, and nothing here has such.
        let file = serde_json::to_vec(self).unwrap_or_default();
        if let Err(error) = state.write(FILE, &file) {
            tracing::warn!("`fanlight url` will not work: {error}");
        }
    }

    /// The note that the last daemon left there; `None` if there was none.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn of_last(state: &StateDir) -> Result<Option<Self>, StateError> {
        let file = state.read(FILE)?;
        Ok(file.and_then(|file| serde_json::from_slice(&file).ok()))
    }

    /// The address at which a client on this machine reaches it.
    pub fn local_address(&self) -> SocketAddr {
        let mut address = self.http;
        // IPv6's wildcard takes IPv4 as well, which some machines have alone.
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        address
    }

    /// The links to that page, on a machine with these addresses, the public one first; the token is left out where it isn't needed.
    pub fn links(&self, page: &str, token: &str, interfaces: &[IpAddr]) -> Vec<Link> {
        let query = if self.needs_token {
            format!("?token={token}")
        } else {
            String::new()
        };
        let public = self.public_url.clone().into_iter();
        let urls = public.chain(urls(self.http, self.is_secure, interfaces));
        urls.map(|url| Link {
            is_local: is_local(&url),
            url: format!("{url}{page}{query}"),
        })
        .collect()
    }
}

fn devices(config: &Config) -> BTreeMap<String, String> {
    let devices = config.streams.iter().filter_map(|stream| {
        let Source::Device(device) = &stream.source else {
            return None;
        };
        Some((stream.name.clone(), device.to_string()))
    });
    devices.collect()
}

/// A link to a page of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The whole URL.
    pub url: String,
    /// Whether it leads there only on the daemon's own machine.
    pub is_local: bool,
}

fn is_local(url: &str) -> bool {
    let host = url.split("://").nth(1).unwrap_or_default();
    ["localhost:", "127.", "[::1]:"]
        .iter()
        .any(|local| host.starts_with(local))
}

/// A QR code (ISO/IEC 18004) of half blocks, for a terminal with light letters on a dark ground; `None` if the text is too
/// long for one.
pub fn qr(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, qrcode::EcLevel::L).ok()?;
    // A light pixel is a full block in the terminal's light colour, so that the quiet zone is light too.
    let drawing = code
        .render::<Dense1x2>()
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    Some(drawing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(http: &str) -> Serving {
        Serving::new(&Config::default(), http.parse().unwrap())
    }

    #[test]
    fn links_carry_the_token_where_it_is_needed() {
        let interfaces = ["127.0.0.1", "192.168.1.5"].map(|ip| ip.parse().unwrap());
        let links = |serving: &Serving| {
            let links = serving.links("cam", "T", &interfaces).into_iter();
            links.map(|link| link.url).collect::<Vec<_>>().join(" ")
        };
        let mut all = serving("[::]:8080");
        let open = "http://localhost:8080/cam http://192.168.1.5:8080/cam";
        let with_token = "http://localhost:8080/cam?token=T http://192.168.1.5:8080/cam?token=T";
        assert_eq!(links(&all), with_token);
        all.needs_token = false;
        assert_eq!(links(&all), open);
        for local in ["127.0.0.1:80", "[::1]:80"] {
            assert!(serving(local).links("", "T", &[])[0].is_local);
        }
        all.needs_token = true;
        all.public_url = Some("https://cam.example/a/".to_owned());
        let all = links(&all);
        assert!(
            all.starts_with("https://cam.example/a/cam?token=T http://localhost"),
            "{all}"
        );
        let own = &serving("127.0.0.1:80").links("", "T", &[])[0];
        assert_eq!(own.url, "http://127.0.0.1:80/?token=T");
    }

    #[test]
    fn what_is_noted_is_read_back() {
        let folder = std::env::temp_dir().join(format!("fanlight-links-{}", std::process::id()));
        let state = StateDir::open(&folder).unwrap();
        assert_eq!(Serving::of_last(&state).unwrap(), None);
        serving("[::]:8080").note(&state);
        let read = Serving::of_last(&state).unwrap();
        assert_eq!(read, Some(serving("[::]:8080")));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_qr_code_has_a_quiet_zone_in_the_light_colour() {
        let code = qr("http://192.168.1.5:8080/?token=x").unwrap();
        let lines: Vec<_> = code.lines().collect();
        // Version 3 has 29 modules a side, the zone is 4 wide, and a line shows two rows.
        assert_eq!(lines.len(), (29 + 8_usize).div_ceil(2));
        assert!(lines[..2].iter().all(|line| line.chars().all(|c| c == '█')));
        assert!(lines.iter().all(
            |line| line.starts_with("████") && line.ends_with("████") || line.starts_with("▀")
        ));
        assert_eq!(qr(&"x".repeat(4000)), None);
    }
}
