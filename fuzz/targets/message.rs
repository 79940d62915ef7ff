//! Fuzzes `windlass_fuzz::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| windlass_fuzz::message(data));
