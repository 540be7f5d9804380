//! Session descriptions: text in, decisions out.

pub mod answer;
pub mod codecs;
#[cfg(test)]
pub mod nasty_offers;
pub mod offer;
pub mod sdpfrag;
pub mod text;
