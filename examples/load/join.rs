//! Joining and leaving: the WHEP exchange of one viewer over HTTP.

use crate::frames::Arrived;
use crate::http::{Connection, JoinError, resolve};
use crate::keys;
use crate::socket::{self, Socket};
use hyper::{Method, Uri};
use std::sync::Arc;
use std::time::{Duration, Instant};
use str0m::change::SdpAnswer;
use str0m::config::CryptoProvider;
use str0m::crypto::dtls::DtlsCert;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::{Candidate, Rtc, RtcConfig};

/// What the media of a session needs to know of the answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Payload types of retransmissions.
    pub retransmission: Vec<u8>,
    /// The number of the transport-wide sequence number, if it was accepted.
    pub transport_id: Option<u8>,
}

/// A session that was answered; its handshakes have not begun.
pub struct Session {
    pub socket: Socket,
    pub agreed: Agreed,
    /// Where it is deleted.
    pub location: Option<Uri>,
}

/// What was agreed upon.
pub struct Agreed {
    pub rtc: Rtc,
    pub mid: Mid,
    pub answer: Answer,
    /// When the request was sent.
    pub offered: Arrived,
    /// From then until the answer was here.
    pub answered: Duration,
    pub verify: bool,
}

/// Makes sessions with one server.
#[derive(Clone)]
pub struct Joiner {
    url: Uri,
    crypto: Arc<CryptoProvider>,
    /// One for all viewers: a load test pays for handshakes, not for the making of certificates.
    certificate: DtlsCert,
    offload: bool,
    verify: bool,
}

impl Joiner {
    /// `None` if the URL is not one of plain HTTP.
    pub fn new(url: Uri, offload: bool, verify: bool) -> Option<Self> {
        if url.scheme_str() != Some("http") || url.host().is_none() {
            return None;
        }
        let crypto = keys::provider();
        Some(Self {
            url,
            certificate: crypto.dtls_provider.generate_certificate()?,
            crypto,
            offload,
            verify,
        })
    }

    /// Offers, and is answered.
    pub async fn join(&self) -> Result<Session, JoinError> {
        let mut connection = Connection::open(&self.url).await?;
        // The address that leads to the server's HTTP leads to its media too.
        let socket = Socket::bind(connection.local, self.offload).map_err(JoinError::Socket)?;
        let mut rtc = self.rtc();
        let candidate = Candidate::host(socket.local(), "udp");
        rtc.add_local_candidate(candidate.map_err(|e| JoinError::Answer(e.to_string()))?);
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let applied = change.apply();
        let (offer, pending) = applied.expect("a section was added");
        let offer = offer.to_sdp_string();
        let offered = socket::now();
        let (head, text) = connection.send(Method::POST, &self.url, offer).await?;
        let answered = socket::now().saturating_sub(offered);
        let answer = SdpAnswer::from_sdp_string(&text);
        let answer = answer.map_err(|e| JoinError::Answer(e.to_string()))?;
        let accepted = rtc.sdp_api().accept_answer(pending, answer);
        accepted.map_err(|e| JoinError::Answer(e.to_string()))?;
        let location = head.headers.get("location").and_then(|l| l.to_str().ok());
        Ok(Session {
            socket,
            agreed: Agreed {
                rtc,
                mid,
                answer: read(&text),
                offered,
                answered,
                verify: self.verify,
            },
            location: location.and_then(|location| resolve(&self.url, location)),
        })
    }

    /// An offer, of which nothing is kept.
    pub fn offer(&self) -> String {
        let mut rtc = self.rtc();
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, _) = change.apply().expect("a section was added");
        offer.to_sdp_string()
    }

    /// Ends a session.
    pub async fn leave(&self, location: &Uri) -> Result<(), JoinError> {
        let mut connection = Connection::open(location).await?;
        let sent = connection.send(Method::DELETE, location, String::new());
        sent.await.map(|_| ())
    }

    fn rtc(&self) -> Rtc {
        const NEVER: Duration = Duration::from_secs(24 * 3600);
        let config = RtcConfig::new()
            .set_crypto_provider(self.crypto.clone())
            .set_dtls_cert(self.certificate.clone())
            .clear_codecs()
            .enable_h264(true);
        let config = if self.verify {
            config
        } else {
            // Packets one by one, and no reports of the stack's: it sees no media for long.
            config
                .set_rtp_mode(true)
                .set_rtcp_report_interval_video(NEVER)
        };
        config.build(Instant::now())
    }
}

fn read(answer: &str) -> Answer {
    let mut read = Answer::default();
    for line in answer.lines() {
        if let Some((kind, codec)) = rest(line, "a=rtpmap:")
            && codec.to_ascii_lowercase().starts_with("rtx/")
        {
            read.retransmission.extend(kind.parse::<u8>().ok());
        } else if let Some((id, uri)) = rest(line, "a=extmap:")
            && uri.contains("transport-wide-cc-extensions")
        {
            let id = id.split('/').next().unwrap_or(id);
            read.transport_id = id.parse().ok();
        }
    }
    read
}

fn rest<'a>(line: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(name)?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_tells_which_packets_are_sent_again_and_which_number_counts_them_all() {
        let answer = "a=rtpmap:96 H264/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
            a=extmap:3/recvonly http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
            a=rtpmap:99 RTX/90000\r\n";
        let expected = Answer {
            retransmission: vec![97, 99],
            transport_id: Some(3),
        };
        assert_eq!(read(answer), expected);
        assert_eq!(read("v=0\r\n"), Answer::default());
    }
}
