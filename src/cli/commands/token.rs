//! `fanlight token`: the daemon's token alone, for programs.

use super::links::{LinkError, Told};
use super::place::{Found, open};
use crate::access::Secrets;
use crate::cli::Place;

/// The token, as `Authorization: Bearer` takes it.
///
/// # Errors
/// See [`LinkError`].
pub fn token(place: &Place) -> Result<Told, LinkError> {
    let found = open(place)?;
    let stopped = found.is_running().err().map(|error| error.to_string());
    let notes = found.doubt().into_iter().chain(stopped).collect();
    let Found { state, serving, .. } = found;
    if !serving.needs_token {
        return Err(LinkError::NoToken);
    }
    let text = Secrets::load(&state)?.token.reveal().to_owned();
    Ok(Told { text, notes })
}
