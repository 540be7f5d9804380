//! Bodies of requests: their type, length and time.

use super::respond::Error;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, header};
use std::time::Duration;

/// Bytes of an offer. A browser's with every codec and candidate has about ten thousand.
const MAX_OFFER: usize = 128 << 10;
/// A client must send its offer in that time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The text of a request's body, which must be of the type that is expected.
///
/// # Errors
/// Another type, too long, too slow, or no text.
pub async fn body(request: Request<Incoming>, expected: &'static str) -> Result<String, Error> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_expected = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(expected));
    if !is_expected {
        return Err(Error::UnsupportedMediaType(expected));
    }
    let body = Limited::new(request.into_body(), MAX_OFFER).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body)
        .await
        .map_err(|_| Error::Timeout)?
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                Error::TooLarge(MAX_OFFER)
            } else {
                Error::Malformed(format!("the body could not be read: {error}"))
            }
        })?;
    String::from_utf8(body.to_bytes().into())
        .map_err(|_| Error::Malformed("the body is not UTF-8".into()))
}
