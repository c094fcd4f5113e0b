//! What a fuzzer does with each parser of bytes from outside: one function a target, which ends without a panic whatever it
//! is given, and asserts what must hold of the answer.
//!
//! `fuzz/` drives them with libFuzzer (`cargo +nightly fuzz`); `tests/replay.rs` gives them the corpora on a stable
//! toolchain, as part of the everyday test.

mod frames;
mod ledger;
mod logs;
mod notify;
mod requests;
mod streams;
mod texts;

pub use texts::pod as small_pod;

/// A parser's name, and what is done with it.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Each has a file in `fuzz/fuzz_targets` and a directory in `fuzz/corpus`.
pub const TARGETS: &[Target] = &[
    ("cri_log", logs::cri_log),
    ("ledger", ledger::ledger),
    ("manifests", texts::manifests),
    ("notify", notify::notify),
    ("policy", texts::policy),
    ("port_requests", requests::port_requests),
    ("presets", texts::presets),
    ("prober_frames", frames::prober_frames),
    ("shim_frames", frames::shim_frames),
    ("spdy_frames", streams::spdy_frames),
    ("websocket_channels", streams::websocket_channels),
];

/// Runs one target by its name.
///
/// # Panics
/// There is no such target, or what must hold does not.
pub fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, run) = found.unwrap_or_else(|| panic!("there is no target {target:?}"));
    run(data);
}
