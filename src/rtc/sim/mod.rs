//! Viewers and networks without sockets or clock, for tests, fuzzing and benchmarks.

#[doc(hidden)]
pub mod bench;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(any(test, fuzzing))]
#[cfg_attr(fuzzing, expect(dead_code, reason = "tests use all of it"))]
pub mod simulation;
