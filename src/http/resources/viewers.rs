//! `/api/viewers`: lists viewers with their origin and their figures, and ends one.

use super::streams::{milliseconds, rates};
use crate::access::judge::{Basis, Grant};
use crate::http::exchange::readers::Reading;
use crate::http::exchange::respond::{self, Error, Reply};
use crate::http::{Connection, Context};
use crate::metrics::MOST_SHOWN;
use crate::rtc::{Caller, SessionError, Watching};
use hyper::header::{self, HeaderMap};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Most characters of a `User-Agent` that are kept.
const LONGEST_AGENT: usize = 256;

/// The origin of a request.
pub fn caller(headers: &HeaderMap, from: Connection, grant: &Grant) -> Caller {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let share = match &grant.basis {
        Basis::Share { share, .. } => Some(share),
        _ => None,
    };
    Caller {
        address: from.peer,
        user_agent: agent.map(|agent| agent.chars().take(LONGEST_AGENT).collect()),
        link: share.map(|share| share.id.clone()),
        link_name: share.and_then(|share| share.name.clone()),
    }
}

#[derive(Serialize)]
struct ViewerList {
    /// How many there are; the first [`MOST_SHOWN`] are listed.
    total: usize,
    viewers: Vec<ViewerView>,
}

/// A viewer, as programs see it.
#[derive(Serialize)]
struct ViewerView {
    /// As in the log.
    id: u64,
    stream: String,
    /// `udp`, `tcp` or `mjpeg`.
    transport: &'static str,
    address: Option<IpAddr>,
    /// Where WebRTC's media goes.
    media_address: Option<SocketAddr>,
    user_agent: Option<String>,
    /// The id of the shared link that it came by.
    link: Option<String>,
    /// The name of that link.
    link_name: Option<String>,
    connected_seconds: f64,
    measured_fps: Option<f64>,
    measured_bits_per_second: Option<u64>,
    /// This and the next two: null until the viewer reported, and of one who watches JPEG images.
    estimate_bits_per_second: Option<u64>,
    round_trip_seconds: Option<f64>,
    loss_ratio: Option<f64>,
    /// This and the rest: null of one who watches JPEG images.
    packets_sent: Option<u64>,
    retransmissions: Option<u64>,
    pictures_skipped: Option<u64>,
    nacks: Option<u64>,
    keyframe_requests: Option<u64>,
}

impl ViewerView {
    fn of_session(watching: Watching, now: Instant) -> Self {
        let Watching {
            caller,
            media,
            stats,
        } = watching;
        let (fps, bits) = rates(stats.rate(now));
        let (address, user_agent, link, link_name) = match caller {
            Some(caller) => (
                Some(caller.address),
                caller.user_agent,
                caller.link,
                caller.link_name,
            ),
            None => (None, None, None, None),
        };
        Self {
            id: stats.id(),
            stream: stats.stream().to_owned(),
            transport: stats.transport().name(),
            address,
            media_address: media.map(|media| media.address),
            user_agent,
            link,
            link_name,
            connected_seconds: milliseconds(now.saturating_duration_since(stats.since())),
            measured_fps: fps,
            measured_bits_per_second: bits,
            estimate_bits_per_second: stats.estimate(),
            round_trip_seconds: stats.round_trip().map(|time| time.as_secs_f64()),
            loss_ratio: stats.loss(),
            packets_sent: Some(stats.packets.get()),
            retransmissions: Some(stats.retransmissions.get()),
            pictures_skipped: Some(stats.pictures_skipped.get()),
            nacks: Some(stats.nacks.get()),
            keyframe_requests: Some(stats.keyframe_requests.get()),
        }
    }

    fn of_images(reading: &Reading, now: Instant) -> Self {
        let (fps, bits) = rates(reading.measured(now));
        let caller = reading.caller.clone();
        Self {
            id: reading.id,
            stream: reading.stream.clone(),
            transport: "mjpeg",
            address: Some(caller.address),
            media_address: None,
            user_agent: caller.user_agent,
            link: caller.link,
            link_name: caller.link_name,
            connected_seconds: milliseconds(now.saturating_duration_since(reading.since)),
            measured_fps: fps,
            measured_bits_per_second: bits,
            estimate_bits_per_second: None,
            round_trip_seconds: None,
            loss_ratio: None,
            packets_sent: None,
            retransmissions: None,
            pictures_skipped: None,
            nacks: None,
            keyframe_requests: None,
        }
    }
}

/// `GET`: every viewer that is connected, those who came first before the others.
pub fn list(context: &Context) -> Reply {
    let now = Instant::now();
    let sessions = context.plane.watching().into_iter();
    let sessions = sessions.map(|watching| ViewerView::of_session(watching, now));
    let readers = context.readers.list();
    let readers = readers.iter().map(|r| ViewerView::of_images(r, now));
    let mut viewers: Vec<_> = sessions.chain(readers).collect();
    viewers.sort_by_key(|viewer| viewer.id);
    let total = viewers.len();
    viewers.truncate(MOST_SHOWN);
    respond::json(&ViewerList { total, viewers })
}

/// `DELETE`: the viewer is told goodbye, and is gone. It may come again, as long as its permission holds.
pub fn end(context: &Context, id: &str) -> Result<Reply, Error> {
    let missing = || Error::NotFound("there is no such viewer".into());
    let viewer: u64 = id.parse().map_err(|_| missing())?;
    if !context.readers.end(viewer) {
        match context.plane.dismiss(viewer) {
            Ok(session) => context.leases.remove(&session),
            Err(SessionError::NoSession) => return Err(missing()),
            Err(error) => return Err(error.into()),
        }
    }
    tracing::info!(viewer, "ended by an admin");
    Ok(respond::no_content())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Transport};
    use std::time::Duration;

    #[test]
    fn a_viewer_is_shown_with_what_is_known_of_it() {
        let mut viewer = Metrics::new().rtc().viewers.add("garden", 17);
        let view = |caller: Option<Caller>, stats| {
            let watching = Watching {
                caller,
                media: None,
                stats,
            };
            let now = watching.stats.since() + Duration::from_micros(1_500_400);
            serde_json::to_value(ViewerView::of_session(watching, now)).unwrap()
        };
        let mut expected = serde_json::json!({
            "id": 17, "stream": "garden", "transport": "udp", "address": null, "media_address": null,
            "user_agent": null, "link": null, "link_name": null, "connected_seconds": 1.5,
            "measured_fps": null, "measured_bits_per_second": null,
            "estimate_bits_per_second": null, "round_trip_seconds": null, "loss_ratio": null,
            "packets_sent": 0, "retransmissions": 0, "pictures_skipped": 0, "nacks": 0, "keyframe_requests": 0,
        });
        assert_eq!(view(None, viewer.stats()), expected);
        viewer.set_estimate(2_500_000);
        viewer.set_round_trip(Duration::from_millis(250));
        viewer.set_loss(128);
        viewer.set_transport(Transport::Tcp);
        viewer.set_sent(viewer.since(), 0);
        viewer.pictures.add(25);
        viewer.set_sent(viewer.since() + Duration::from_secs(1), 125_000);
        viewer.packets.add(1);
        viewer.retransmissions.add(2);
        viewer.pictures_skipped.add(3);
        viewer.nacks.add(4);
        viewer.keyframe_requests.add(5);
        for (key, value) in [
            ("address", "192.0.2.7".into()),
            ("user_agent", "curl/8".into()),
            ("link", "1a2b3c4d".into()),
            ("link_name", "grandma".into()),
            ("measured_fps", 25.0.into()),
            ("measured_bits_per_second", 1_000_000.into()),
            ("estimate_bits_per_second", 2_500_000.into()),
            ("round_trip_seconds", 0.25.into()),
            ("loss_ratio", 0.5.into()),
            ("transport", "tcp".into()),
            ("packets_sent", 1.into()),
            ("retransmissions", 2.into()),
            ("pictures_skipped", 3.into()),
            ("nacks", 4.into()),
            ("keyframe_requests", 5.into()),
        ] {
            expected[key] = value;
        }
        let caller = Caller {
            address: "192.0.2.7".parse().unwrap(),
            user_agent: Some("curl/8".into()),
            link: Some("1a2b3c4d".into()),
            link_name: Some("grandma".into()),
        };
        assert_eq!(view(Some(caller), viewer.stats()), expected);
    }

    #[test]
    fn what_a_program_says_of_itself_is_bounded() {
        let mut headers = HeaderMap::new();
        let from = Connection {
            peer: "192.0.2.7".parse().unwrap(),
            reached: None,
            is_secure: false,
        };
        let agent = |headers: &HeaderMap| caller(headers, from, &Grant::everything()).user_agent;
        assert_eq!(agent(&headers), None);
        let long = "\u{fc}".repeat(5000);
        let long = header::HeaderValue::from_bytes(long.as_bytes()).unwrap();
        headers.insert(header::USER_AGENT, long);
        assert_eq!(agent(&headers), Some("\u{fc}".repeat(LONGEST_AGENT)));
    }
}
