//! One request and its reply, whatever the resource: route, permission, body, errors.

pub mod assets;
pub mod body;
pub mod cors;
pub mod gate;
pub mod https_redirect;
pub mod lease;
pub mod problem;
pub mod readers;
pub mod respond;
pub mod route;
pub mod streaming_body;
