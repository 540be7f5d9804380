//! Bodies of requests: their type, length and time.

use super::respond::Error;
use crate::config::Limits;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{Request, header};
use std::time::{Duration, Instant};
use tokio::time::timeout_at;

/// The text of a request's body, which must be of the type that is expected.
///
/// # Errors
/// Another type, too long, too slow, or no text.
pub async fn body(
    request: Request<Incoming>,
    expected: &'static str,
    limits: &Limits,
) -> Result<String, Error> {
    if !is_of_type(&request, expected) {
        return Err(Error::UnsupportedMediaType(expected));
    }
    let most = limits.request_size as usize;
    let mut body = request.into_body();
    // What is announced as too long is not waited for.
    if body.size_hint().lower() > most as u64 {
        return Err(Error::TooLarge(most));
    }
    let start = Instant::now();
    let mut data = Vec::new();
    loop {
        let due = start + time_for(data.len(), limits);
        let frame = timeout_at(due.into(), body.frame()).await;
        let Some(frame) = frame.map_err(|_| Error::Timeout)? else {
            break;
        };
        let frame = frame
            .map_err(|error| Error::Malformed(format!("the body could not be read: {error}")))?;
        let part = frame.into_data().unwrap_or_default();
        if data.len() + part.len() > most {
            return Err(Error::TooLarge(most));
        }
        data.extend_from_slice(&part);
    }
    String::from_utf8(data).map_err(|_| Error::Malformed("the body is not UTF-8".into()))
}

/// Whether the content type is that one, in any case and with any parameters (RFC 9110, 8.3.1).
pub fn is_of_type(request: &Request<Incoming>, expected: &str) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(expected))
}

/// How long a body may take of which so many bytes are here: each earns time for more.
fn time_for(received: usize, limits: &Limits) -> Duration {
    let earned = received as f64 / f64::from(limits.body_rate);
    limits.header_time + Duration::from_secs_f64(earned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_earns_its_time_by_its_bytes() {
        let limits = Limits {
            header_time: Duration::from_secs(10),
            body_rate: 1000,
            ..Limits::default()
        };
        assert_eq!(time_for(0, &limits), Duration::from_secs(10));
        assert_eq!(time_for(500, &limits), Duration::from_millis(10_500));
        assert_eq!(time_for(131_072, &limits), Duration::from_millis(141_072));
    }
}
