//! WHEP, row by row: every requirement of the table in docs/whep.md that a client of HTTP can see. Sections are those of
//! draft-ietf-wish-whep-03 unless another document is named.

mod answers;
#[path = "../viewing/daemon.rs"]
mod daemon;
mod events;
#[path = "../interop/exchange.rs"]
mod exchange;
mod http;
mod limits;
#[path = "../interop/offer.rs"]
mod offer;
mod patch;
#[path = "../viewing/picture.rs"]
mod picture;
#[path = "../interop/raw.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod raw;
mod refusals;
mod restarts;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod tolerance;
#[path = "../viewing/viewer.rs"]
#[expect(dead_code, reason = "these tests need less of it than others")]
mod viewer;
