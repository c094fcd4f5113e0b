#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barepod_fuzz::run("port_requests", data));
