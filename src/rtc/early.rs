//! Datagrams that come before the WebRTC core can use them.

use super::demux::{Kind, is_binding_success, is_nomination, kind};
use rtc::shared::TaggedBytesMut;

/// Datagrams that come too early for the core, until it can use them.
///
/// It drops DTLS that arrives before ICE has selected a pair, and it forgets a nomination that arrives before its
/// own check of the pair has succeeded. The viewer would repeat both, but up to a second later.
#[derive(Default)]
pub struct Early {
    is_over: bool,
    dtls: Vec<TaggedBytesMut>,
    nomination: Option<TaggedBytesMut>,
    /// The nomination, when it is to be repeated now.
    pub due: Option<TaggedBytesMut>,
}

impl Early {
    /// A client's first flight is one datagram, with a large certificate a few. More than these are dropped.
    const MAX_DTLS: usize = 4;

    /// Whether a pair is selected.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes in a datagram and returns it if the core is to have it now.
    pub fn filter(&mut self, datagram: TaggedBytesMut) -> Option<TaggedBytesMut> {
        if self.is_over {
            return Some(datagram);
        }
        let message = &datagram.message;
        if kind(message) == Some(Kind::Dtls) {
            if self.dtls.len() < Self::MAX_DTLS {
                self.dtls.push(datagram);
            }
            return None;
        }
        if is_nomination(message) {
            self.nomination = Some(TaggedBytesMut {
                now: datagram.now,
                transport: datagram.transport,
                message: message.clone(),
            });
        } else if is_binding_success(message) {
            // Once the core has read this one, its check has succeeded.
            self.due = self.nomination.take();
        }
        Some(datagram)
    }

    /// A pair is selected: hands over what was held, and holds nothing more.
    pub fn release(&mut self) -> Vec<TaggedBytesMut> {
        self.is_over = true;
        self.nomination = None;
        std::mem::take(&mut self.dtls)
    }
}
