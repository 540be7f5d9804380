//! Panics of the WebRTC core, which reads what strangers send: each ends one session, or refuses one offer, and is counted.

use crate::metrics::Counter;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does what may call the core. `None` if it panicked: what it was about to change is in no known state, and its owner must
/// not use it again.
pub fn contained<T>(panics: &Counter, work: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(work));
    if done.is_err() {
        panics.inc();
    }
    done.ok()
}

#[cfg(test)]
thread_local! {
    /// For tests: the core panics at whatever it is given on this thread.
    pub static BROKEN: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Where the core is called.
pub fn core_is_called() {
    #[cfg(test)]
    assert!(!BROKEN.get(), "as if the core had panicked");
}

#[cfg(test)]
mod tests {
    use super::super::identity::{Identity, Sources};
    use super::*;
    use crate::media::Profiles;
    use crate::rtc::agree;
    use crate::rtc::wire::credentials::Credentials;
    use crate::stream::Terms;
    use std::time::{Instant, SystemTime};

    /// What it does to a session is tested with the audience.
    #[test]
    fn a_panic_of_the_core_refuses_one_offer() {
        let identity = Identity::load(None, SystemTime::now()).unwrap();
        let credentials = Credentials::generate();
        let offer = include_str!("../../../tests/fuzz/seeds/offer/plain");
        let panics = Counter::default();
        for is_broken in [false, true, false] {
            BROKEN.set(is_broken);
            let agree = || {
                let (now, sources) = (Instant::now(), Sources::generate());
                agree(
                    now,
                    &identity,
                    &credentials,
                    sources,
                    Terms::default(),
                    offer,
                    Profiles::ENCODED,
                )
            };
            let agreed = contained(&panics, agree);
            assert_eq!(agreed.is_none(), is_broken);
        }
        assert_eq!(panics.get(), 1);
    }
}
