//! Checks of the files, cameras and addresses that a configuration names, before anything is started.

use crate::access::judge::JwtKeys;
use crate::base::os_error::plain;
use crate::capture::ErrorKind;
use crate::capture::camera::names::{self, Places};
use crate::capture::camera::{Claims, Node};
use crate::config::{AuthMode, Certificate, Config, Device, Key, Source, TcpListen, Tls};
use crate::tls;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// Everything that keeps a daemon with this configuration from starting, and would again at the next attempt: each key with
/// what is wrong with its value and the cure. Nothing is opened but files.
pub fn check(config: &Config) -> Vec<(Key, String)> {
    let mut wrong = Vec::new();
    if let Some(tls) = &config.tls {
        wrong.extend(certificate(tls));
        wrong.extend(redirect(config, tls));
    }
    wrong.extend(issuer_keys(&config.auth.mode));
    for (index, stream) in config.streams.iter().enumerate() {
        if let Source::Device(Device::Path(path)) = &stream.source
            && let Some(why) = no_camera(path)
        {
            wrong.push((Key::of_stream(index, "device"), why));
        }
    }
    wrong
}

/// The cameras that are not there now, each with what there is: an unplugged camera is no fault, a mistyped one is. May block as
/// long as a driver does.
pub fn absent_cameras(config: &Config) -> Vec<String> {
    let slots = Claims::slots(config);
    let streams = config.streams.iter();
    let absent = streams.filter_map(|stream| {
        let slot = slots.get(&stream.name)?;
        let why = match slot.device() {
            Device::Path(path) if path.exists() => return None,
            Device::Path(path) => format!("{}: no such device{}", path.display(), instead(path)),
            _ => {
                let error = slot.node().err()?;
                (error.kind == ErrorKind::NotFound).then_some(error.detail)?
            }
        };
        let name = &stream.name;
        Some(format!(
            "stream {name}: {why}. The stream starts when the camera is plugged in"
        ))
    });
    absent.collect()
}

/// The cameras that there are in place of one that is not there, for the end of a sentence.
pub fn instead(path: &Path) -> String {
    let mut listed = names::list(&Places::default());
    // A camera often has a second node with metadata.
    listed.dedup_by(|second, first| second.device == first.device);
    let nodes: Vec<_> = listed
        .iter()
        .map(|camera| camera.node.display().to_string())
        .collect();
    among(&path.display().to_string(), &nodes)
}

fn among(wanted: &str, nodes: &[String]) -> String {
    if nodes.is_empty() {
        return "; no camera is connected now".to_owned();
    }
    let is_near = |node: &&String| strsim::damerau_levenshtein(wanted, node) <= 2;
    let near: Vec<_> = nodes.iter().filter(is_near).cloned().collect();
    match &*near {
        [] => format!(
            "; the cameras are {}: see `fanlight cameras`",
            nodes.join(", ")
        ),
        near => format!(
            "; did you mean {}? See `fanlight cameras`",
            near.join(" or ")
        ),
    }
}

/// Why a path can never lead to a camera. One below `/dev` that is not there may be that of an unplugged camera, and so may a
/// link that leads nowhere.
fn no_camera(path: &Path) -> Option<String> {
    let error = Node::locate(path).err()?;
    match error.kind {
        ErrorKind::NotACamera => Some(format!("{error}; {}", error.kind.cure())),
        ErrorKind::NotFound if !path.starts_with("/dev") && !path.is_symlink() => Some(format!(
            "{}: there is no such file; cameras are in /dev: {}",
            path.display(),
            ErrorKind::NotACamera.cure()
        )),
        _ => None,
    }
}

fn certificate(tls: &Tls) -> Vec<(Key, String)> {
    let Certificate::Files { chain, key } = &tls.certificate else {
        return Vec::new();
    };
    let files = tls::check_files(chain, key).into_iter();
    let wrong = files.map(|(path, reason)| {
        let name = if path == *chain { "certificate" } else { "key" };
        (
            Key::of("tls", name),
            format!("{}: {reason}", path.display()),
        )
    });
    wrong.collect()
}

/// Two listeners can't have one address.
fn redirect(config: &Config, tls: &Tls) -> Option<(Key, String)> {
    let redirect = tls.redirect?;
    let http = ("[http] listen", config.http.listen);
    let media = match config.rtc.tcp_listen {
        TcpListen::At(address) => Some(("[rtc] tcp_listen", address)),
        TcpListen::Http | TcpListen::Off => None,
    };
    let mut others = [Some(http), media].into_iter().flatten();
    let (name, _) = others.find(|(_, other)| overlap(redirect, *other))?;
    let message =
        format!("{redirect} is also the address of {name}; choose another port for one of them");
    Some((Key::of("tls", "redirect"), message))
}

fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let is_any = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (is_any || a.ip() == b.ip())
}

fn issuer_keys(mode: &AuthMode) -> Option<(Key, String)> {
    let AuthMode::Jwt {
        keys,
        audience,
        issuer,
    } = mode
    else {
        return None;
    };
    let read = fs::read(keys).map_err(|error| format!("can't be read: {}", plain(&error)));
    let parsed = read.and_then(|file| {
        JwtKeys::parse(&file, audience.as_deref(), issuer.as_deref())
            .map_err(|error| error.to_string())
    });
    let reason = parsed.err()?;
    let message = format!(
        "{}: {reason}; put the issuer's public keys there",
        keys.display()
    );
    Some((Key::of("auth", "jwt_keys"), message))
}

/// Whether something stands in the directory's place, with which a daemon serves but keeps nothing. Whether the daemon's user
/// may write there, only that user can tell.
pub fn state_directory(config: &Config) -> Option<(Key, String)> {
    let path = config.state.directory.as_deref()?;
    let there = path
        .ancestors()
        .find(|place| fs::symlink_metadata(place).is_ok())?;
    if there.is_dir() {
        return None;
    }
    let message = format!(
        "{}: {} is not a directory; move it away, or name another directory",
        path.display(),
        there.display()
    );
    Some((Key::of("state", "directory"), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Stream;

    /// A folder of the test's own.
    fn scratch(test: &str) -> std::path::PathBuf {
        let name = format!("fanlight-preflight-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn told(text: &str) -> Vec<String> {
        let wrong = check(&Config::parse(text).unwrap());
        let each = wrong.iter().map(|(key, why)| format!("{key}: {why}"));
        each.collect()
    }

    const PATTERN: &str = "[[stream]]\nname = \"a\"\npattern = true\n";

    #[test]
    fn a_certificate_is_read_with_its_key() {
        let folder = scratch("tls");
        let path = |name: &str| folder.join(name).display().to_string();
        let pair = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (one, other) = (pair(), pair());
        fs::write(path("cert"), one.cert.pem()).unwrap();
        fs::write(path("key"), one.signing_key.serialize_pem()).unwrap();
        fs::write(path("other"), other.signing_key.serialize_pem()).unwrap();
        let told = |chain: &str, key: &str| {
            let (chain, key) = (path(chain), path(key));
            told(&format!(
                "[tls]\ncertificate = {chain:?}\nkey = {key:?}\n{PATTERN}"
            ))
        };
        assert_eq!(told("cert", "key"), [""; 0]);
        let swapped = told("key", "key");
        assert!(swapped[0].starts_with("tls.certificate: "), "{swapped:?}");
        assert!(
            swapped[0].contains("has no certificate in PEM"),
            "{swapped:?}"
        );
        let strange = told("cert", "other");
        assert!(
            strange[0].starts_with("tls.key: ") && strange[0].contains("is not the key of"),
            "{strange:?}"
        );
        let none = told("gone", "lost");
        assert_eq!(none.len(), 2, "{none:?}");
        assert!(
            none.iter()
                .all(|line| line.ends_with("can't be read: No such file or directory")),
            "{none:?}"
        );
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn keys_of_an_issuer_are_read() {
        let folder = scratch("jwt");
        let file = folder.join("jwks.json");
        let text = format!("[auth]\nmode = \"jwt\"\njwt_keys = {file:?}\n{PATTERN}");
        let missing = told(&text);
        assert!(
            missing[0].starts_with("auth.jwt_keys: ") && missing[0].contains("can't be read"),
            "{missing:?}"
        );
        fs::write(&file, "nonsense").unwrap();
        assert!(
            told(&text)[0].contains("neither a JWK set"),
            "{:?}",
            told(&text)
        );
        let secret = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE";
        fs::write(
            &file,
            format!("{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"{secret}\"}}]}}"),
        )
        .unwrap();
        assert_eq!(told(&text), [""; 0]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_listeners_with_one_address_are_told() {
        let told = |redirect: &str| {
            told(&format!(
                "[http]\nlisten = \"127.0.0.1:8443\"\n[tls]\nself_signed = true\nredirect = \"{redirect}\"\n{PATTERN}"
            ))
        };
        assert_eq!(told("127.0.0.1:8080"), [""; 0]);
        assert_eq!(told("127.0.0.2:8443"), [""; 0]);
        for taken in ["127.0.0.1:8443", ":8443"] {
            assert!(told(taken)[0].starts_with("tls.redirect: "), "{taken}");
        }
    }

    #[test]
    fn what_is_no_camera_is_told_and_an_unplugged_camera_is_not() {
        let folder = scratch("camera");
        let file = folder.join("fanlight.toml");
        fs::write(&file, "").unwrap();
        let told = |path: &Path| {
            told(&format!(
                "{PATTERN}[[stream]]\nname = \"b\"\ndevice = {path:?}\n"
            ))
        };
        let wrong = told(&file);
        assert!(wrong[0].starts_with("stream[1].device: "), "{wrong:?}");
        assert!(
            wrong[0].ends_with(
                "not a camera or a link to one; choose a camera: `fanlight cameras` lists them"
            ),
            "{wrong:?}"
        );
        let gone = told(&folder.join("gone"));
        assert!(gone[0].contains("cameras are in /dev"), "{gone:?}");
        assert!(told(Path::new("/dev/null"))[0].contains("cameras are /dev/video0"));
        let absent = Path::new("/dev/video4000000000");
        assert_eq!(told(absent), [""; 0]);
        let link = folder.join("link");
        std::os::unix::fs::symlink(absent, &link).unwrap();
        assert_eq!(told(&link), [""; 0]);

        let stream =
            |name: &str, device: &str| Stream::new(name, Source::Device(device.parse().unwrap()));
        let config = Config {
            streams: vec![
                stream("a", "/dev/video4000000000"),
                stream("b", "usb:ffff:fffe"),
                stream("c", "/dev/null"),
            ],
            ..Config::default()
        };
        let absent = absent_cameras(&config);
        assert_eq!(absent.len(), 2, "{absent:?}");
        for (told, start) in absent.iter().zip([
            "stream a: /dev/video4000000000: no such device; ",
            "stream b: usb:ffff:fffe: no such camera; ",
        ]) {
            assert!(told.starts_with(start), "{told}");
            assert!(
                told.ends_with(". The stream starts when the camera is plugged in"),
                "{told}"
            );
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_camera_that_is_not_there_is_answered_with_those_that_are() {
        let nodes = ["/dev/video0", "/dev/video12"].map(str::to_owned);
        for (wanted, told) in [
            (
                "/dev/vidoe0",
                "; did you mean /dev/video0? See `fanlight cameras`",
            ),
            (
                "/dev/video1",
                "; did you mean /dev/video0 or /dev/video12? See `fanlight cameras`",
            ),
            (
                "/dev/webcam",
                "; the cameras are /dev/video0, /dev/video12: see `fanlight cameras`",
            ),
        ] {
            assert_eq!(among(wanted, &nodes), told);
        }
        assert_eq!(among("/dev/video0", &[]), "; no camera is connected now");
    }

    #[test]
    fn a_file_in_the_place_of_the_state_directory_is_told() {
        let directory = |path: &str| {
            let mut config = Config::default();
            config.state.directory = Some(path.into());
            state_directory(&config)
        };
        let (key, why) = directory("/dev/null/state").unwrap();
        assert_eq!(key.to_string(), "state.directory");
        assert!(
            why.starts_with("/dev/null/state: /dev/null is not a directory; "),
            "{why}"
        );
        assert_eq!(directory("/tmp/not-there-yet/state"), None);
    }
}
