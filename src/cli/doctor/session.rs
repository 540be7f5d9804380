//! A viewer's whole way: an offer, a connection, a picture that is decoded. With the daemon that runs, or with one that is made for
//! it, on loopback and with no state, if none does.

use super::{Finding, Patient, Running};
use crate::access::Secrets;
use crate::base::shutdown::Shutdown;
use crate::client;
use crate::client::http::{Answer, Failure, Question, ask};
use crate::client::rtc::{Client, Unit};
use crate::config::{Auth, AuthMode, Config, Rtc, Source};
use crate::daemon::Daemon;
use crate::media::TestPicture;
use openh264::decoder::Decoder;
use openh264::formats::YUVSource;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

const CHECK: &str = "session";
/// The time for a reply on this machine.
const REPLY: Duration = Duration::from_secs(10);
/// The time for the first picture: a camera that takes longer than ten seconds counts as stalled.
const PICTURE: Duration = Duration::from_secs(20);
/// How often the daemon is asked meanwhile what is wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The time for goodbyes.
const GOODBYE: Duration = Duration::from_secs(8);

/// The results of all sessions.
#[derive(Default)]
pub struct Sessions {
    /// One for each stream.
    pub findings: Vec<Finding>,
    /// The UDP addresses that the daemon offered.
    pub offered: Vec<SocketAddr>,
}

impl From<Finding> for Sessions {
    fn from(finding: Finding) -> Self {
        Self {
            findings: vec![finding],
            offered: Vec::new(),
        }
    }
}

/// Watches each stream. Those in `without` have an unusable camera: with a daemon of our own, they show the test pattern.
pub async fn check(patient: &Patient, without: &[String]) -> Sessions {
    if let Some(running) = &patient.daemon {
        return match ExaminedDaemon::of(running) {
            Ok(target) => {
                target
                    .watch_all(&running.serving.streams, &[], "the running fanlight")
                    .await
            }
            Err(finding) => finding.into(),
        };
    }
    let own = alone(&patient.config, without);
    let names: Vec<_> = own
        .streams
        .iter()
        .map(|stream| stream.name.clone())
        .collect();
    let bound = Daemon::bind(own);
    let daemon = match bound {
        Ok(daemon) => daemon,
        Err(error) => {
            let cure = "see the finding; the other findings may tell more";
            return Finding::fail(CHECK, error.to_string(), cure).into();
        }
    };
    let target = ExaminedDaemon {
        address: daemon.http_addr(),
        is_secure: false,
        token: daemon.token().map(|token| token.reveal().to_owned()),
    };
    let end = Shutdown::new();
    let signal = end.clone();
    let task = tokio::spawn(daemon.run(async move { signal.cancelled().await }));
    let sessions = target
        .watch_all(&names, without, "a fanlight started for this check")
        .await;
    end.cancel();
    // A camera that blocks has shown above.
    let _ = timeout(GOODBYE, task).await;
    sessions
}

/// The configuration with nothing of the outside but the cameras that work.
fn alone(config: &Config, without: &[String]) -> Config {
    let mut own = config.clone();
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    own.http.listen = loopback;
    own.rtc = Rtc::new(loopback);
    own.tls = None;
    // Others on this machine reach the port too. The token lives in memory alone.
    own.auth = Auth {
        mode: AuthMode::Token,
    };
    own.http.cors_origins.clear();
    own.state.directory = None;
    for stream in &mut own.streams {
        if without.contains(&stream.name) {
            stream.source = Source::Pattern(TestPicture::default());
        }
        // The cameras are to be free again at once.
        (stream.linger, stream.always_on) = (Duration::ZERO, false);
    }
    own
}

/// A daemon to watch.
struct ExaminedDaemon {
    address: SocketAddr,
    is_secure: bool,
    token: Option<String>,
}

/// The results of one session.
struct WatchedSession {
    width: usize,
    height: usize,
    after: Duration,
    from: SocketAddr,
    offered: Vec<SocketAddr>,
}

impl ExaminedDaemon {
    fn of(running: &Running) -> Result<Self, Finding> {
        let (serving, address) = (&running.serving, running.http());
        let token = serving
            .needs_token
            .then(|| Secrets::load(&running.state))
            .transpose();
        let token = token.map_err(|error| {
            Finding::fail(CHECK, error.to_string(), "repair the state directory")
        })?;
        Ok(Self {
            address,
            is_secure: serving.is_secure,
            token: token.map(|secrets| secrets.token.reveal().to_owned()),
        })
    }

    /// Those in `without` show the test pattern.
    async fn watch_all(&self, streams: &[String], without: &[String], whose: &str) -> Sessions {
        let mut sessions = Sessions::default();
        for stream in streams {
            let watched = self.watch(stream).await;
            if let Ok(watched) = &watched {
                sessions.offered.clone_from(&watched.offered);
            }
            let is_without = without.contains(stream);
            let found = watched.map(|watched| seen(stream, &watched, is_without, whose));
            sessions
                .findings
                .push(found.unwrap_or_else(|finding| finding));
        }
        sessions
    }

    async fn watch(&self, stream: &str) -> Result<WatchedSession, Finding> {
        let path = format!("/{stream}/whep");
        let start = Instant::now();
        let mut client = Client::new(self.address.ip())
            .await
            .map_err(|error| failed(stream, &error))?;
        let offer = client.offer().map_err(|error| failed(stream, &error))?;
        let reply = self.ask("POST", &path, Some(&offer)).await;
        let reply = reply.map_err(|error| {
            let seen = format!(
                "{} does not answer an offer for `{stream}`: {error}",
                self.address
            );
            Finding::fail(CHECK, seen, "see its log, and restart it")
        })?;
        if reply.status != 201 {
            return Err(refused(stream, &reply));
        }
        let seen = self.receive(&mut client, &reply.body, stream, start).await;
        client.close().await;
        if let Some(session) = reply.location {
            // If this fails, the session soon ends by itself.
            let _ = self
                .ask("DELETE", &format!("/{stream}/{}", last_of(&session)), None)
                .await;
        }
        seen
    }

    async fn receive(
        &self,
        client: &mut Client,
        answer: &str,
        stream: &str,
        start: Instant,
    ) -> Result<WatchedSession, Finding> {
        client
            .accept(answer)
            .map_err(|error| failed(stream, &error))?;
        let mut decoder = Decoder::new().map_err(|error| failed(stream, &error))?;
        loop {
            let decoded = decoded(client, &mut decoder);
            let picture = match timeout(LOOK_AGAIN, decoded).await {
                Ok(picture) => Some(picture.map_err(|error| failed(stream, &*error))?),
                Err(_) => None,
            };
            let after = start.elapsed();
            let state = self.state(stream).await.unwrap_or_default();
            // A stream that has failed may be tried again for ever.
            if let Some((detail, cure)) = failure(&state) {
                let seen = format!("`{stream}` has no picture: {detail}");
                return Err(Finding::fail(CHECK, seen, cure));
            }
            // While the camera starts, the picture may be a slate.
            if let Some((from, (width, height))) = picture
                && state["state"].as_str().is_none_or(|state| state == "live")
            {
                return Ok(WatchedSession {
                    width,
                    height,
                    after,
                    from,
                    offered: offered(answer),
                });
            }
            if start.elapsed() > PICTURE {
                return Err(nothing(stream, client.is_connected()));
            }
        }
    }

    /// The daemon's status of a stream.
    async fn state(&self, stream: &str) -> Option<Value> {
        let path = format!("/api/streams/{stream}");
        let reply = self.ask("GET", &path, None).await.ok()?;
        serde_json::from_str(&reply.body).ok()
    }

    async fn ask(&self, method: &str, path: &str, offer: Option<&str>) -> Result<Answer, Failure> {
        let host = self.address.to_string();
        let question = Question {
            method,
            path,
            host: &host,
            token: self.token.as_deref(),
            offer,
        };
        let reply = async {
            let stream = TcpStream::connect(self.address).await?;
            if self.is_secure {
                ask(client::tls::connect(stream).await?.0, question).await
            } else {
                ask(stream, question).await
            }
        };
        timeout(REPLY, reply).await?
    }
}

/// That a picture came. One that is not the camera's says nothing of the camera.
fn seen(stream: &str, watched: &WatchedSession, is_without: bool, whose: &str) -> Finding {
    let WatchedSession {
        width,
        height,
        from,
        ..
    } = watched;
    let after = watched.after.as_secs_f64() * 1e3;
    let way = format!(
        "{width}x{height}, was decoded {after:.0} ms after the offer, by UDP from {from} of {whose}"
    );
    if is_without {
        Finding::warn(
            CHECK,
            format!(
                "`{stream}` was tried with the test pattern, as its camera does not work: a picture, {way}"
            ),
            "make the camera work: its own line above says how",
        )
    } else {
        Finding::ok(CHECK, format!("a picture of `{stream}`, {way}"))
    }
}

/// The problem of a stream, and the cure.
fn failure(state: &Value) -> Option<(String, String)> {
    let of_error = |key: &str| Some(state.get("error")?.get(key)?.as_str()?.to_owned());
    // Without `admin` there may be no detail.
    let what = of_error("detail").or_else(|| of_error("title"))?;
    Some((what, of_error("cure")?))
}

/// Waits for the next picture: where it came from, and its size.
async fn decoded(
    client: &mut Client,
    decoder: &mut Decoder,
) -> Result<(SocketAddr, (usize, usize)), Failure> {
    loop {
        let Unit { data, from } = client.next().await?;
        // The decoder may hold a picture back.
        if let Some(picture) = decoder.decode(&data)? {
            return Ok((from, picture.dimensions()));
        }
    }
}

/// The UDP addresses of an answer's candidates (RFC 8839, 5.1).
fn offered(answer: &str) -> Vec<SocketAddr> {
    let candidates = answer.lines().filter_map(|line| {
        let mut words = line.strip_prefix("a=candidate:")?.split_whitespace();
        words
            .nth(2)
            .filter(|word| word.eq_ignore_ascii_case("udp"))?;
        let (ip, port) = (words.nth(1)?, words.next()?);
        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
    });
    candidates.collect()
}

fn nothing(stream: &str, is_connected: bool) -> Finding {
    if is_connected {
        let seen = format!("connected, but no picture of `{stream}` arrived within {PICTURE:?}");
        return Finding::fail(CHECK, seen, "set RUST_LOG=fanlight=debug and see the log");
    }
    Finding::fail(
        CHECK,
        format!("no connection for `{stream}` was made within {PICTURE:?}"),
        "let UDP on the loopback interface through this machine's firewall",
    )
}

fn failed(stream: &str, error: &dyn std::error::Error) -> Finding {
    Finding::fail(
        CHECK,
        format!("`{stream}` can't be watched: {error}"),
        "set RUST_LOG=fanlight=debug and see the log",
    )
}

fn refused(stream: &str, reply: &Answer) -> Finding {
    let seen = format!("an offer for `{stream}` was refused: {}", reply.problem());
    match reply.status {
        401 | 403 => Finding::warn(
            CHECK,
            seen,
            "an issuer makes the tokens of this fanlight ([auth] mode), so doctor has none; stop fanlight, and doctor \
             starts one of its own",
        ),
        _ => Finding::fail(CHECK, seen, "see the log of fanlight"),
    }
}

/// `Location` is relative to `/NAME/whep`.
fn last_of(location: &str) -> &str {
    location.trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;
    use crate::config::Stream;

    #[test]
    fn what_is_offered_stands_in_the_answer() {
        let answer = "v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.5 8080 typ host\r\n\
            a=candidate:2 1 tcp 2130706430 192.0.2.5 9 typ host tcptype passive\r\n\
            a=candidate:3 1 UDP 2130706175 fd00::5 8080 typ host\r\na=end-of-candidates\r\n";
        let found: Vec<_> = offered(answer).iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.5:8080", "[fd00::5]:8080"]);
    }

    #[test]
    fn a_picture_that_is_not_the_cameras_is_a_warning() {
        let watched = WatchedSession {
            width: 1280,
            height: 720,
            after: Duration::from_millis(212),
            from: "127.0.0.1:41205".parse().unwrap(),
            offered: Vec::new(),
        };
        let found = |is_without| {
            seen(
                "camera",
                &watched,
                is_without,
                "a fanlight started for this check",
            )
        };
        assert_eq!(
            (found(false).outcome, &*found(false).seen),
            (
                Outcome::Ok,
                "a picture of `camera`, 1280x720, was decoded 212 ms after the offer, by UDP from 127.0.0.1:41205 of a fanlight \
                 started for this check"
            )
        );
        assert_eq!(found(true).outcome, Outcome::Warn);
        assert!(found(true).cure.is_some());
    }

    #[test]
    fn the_daemon_that_is_made_touches_nothing_but_cameras_that_work() {
        let device =
            |name: &str| Stream::new(name, Source::Device(format!("/dev/{name}").as_str().into()));
        let mut config = Config {
            streams: vec![device("good"), device("bad")],
            ..Config::default()
        };
        config.state.directory = Some("/var/lib/fanlight".into());
        config.streams[0].always_on = true;
        config.auth.mode = AuthMode::None;
        config.http.cors_origins = vec!["*".to_owned()];
        let own = alone(&config, &["bad".to_owned()]);
        assert!(own.http.listen.ip().is_loopback() && own.rtc.listen.ip().is_loopback());
        assert_eq!(own.auth.mode, AuthMode::Token);
        assert!(own.http.cors_origins.is_empty());
        assert_eq!((own.http.listen.port(), own.state.directory), (0, None));
        assert_eq!(own.streams[0].source, config.streams[0].source);
        assert!(!own.streams[0].always_on);
        assert_eq!(own.streams[1].source, Source::Pattern(TestPicture::Bars));
    }
}
