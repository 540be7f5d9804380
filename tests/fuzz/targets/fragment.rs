//! See `fanlight::fuzz::TARGETS`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fanlight::fuzz::fragment(data));
