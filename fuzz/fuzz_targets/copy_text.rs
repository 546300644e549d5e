//! For cargo-fuzz; see the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| walwarden_fuzz::run("copy_text", data));
