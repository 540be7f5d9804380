//! `fanlight token`: the daemon's token alone, for programs.

use super::links::{LinkError, open};
use crate::access::Secrets;
use crate::cli::Place;

/// The token, as `Authorization: Bearer` takes it.
///
/// # Errors
/// See [`LinkError`].
pub fn token(place: &Place) -> Result<String, LinkError> {
    let (state, serving) = open(place)?;
    if !serving.needs_token {
        return Err(LinkError::NoToken);
    }
    let secrets = Secrets::load(&state)?;
    Ok(secrets.token.reveal().to_owned())
}
