#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| barepod_fuzz::run("websocket_channels", data));
