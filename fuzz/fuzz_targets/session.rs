//! Any bytes at all to [`properties::sessions::sessions`].
#![no_main]

#[path = "../properties.rs"]
#[allow(dead_code)]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::sessions::sessions(data);
});
