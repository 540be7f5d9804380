//! Tells one key from another, without keeping it.

use ring::digest::{Context, SHA256};
use std::fmt;

/// A hash of a key (SHA-256, 128 bits of it).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyPrint([u8; 16]);

impl KeyPrint {
    /// Of the key that these parts make up, in that order.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            // With its length, so that parts can't run into each other.
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        let mut print = [0; 16];
        print.copy_from_slice(&context.finish().as_ref()[..16]);
        Self(print)
    }
}

/// Not itself: a shared secret could be tried against it.
impl fmt::Debug for KeyPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPrint(…)")
    }
}
