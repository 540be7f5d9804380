//! The camera: the only user of `nokhwa`.
