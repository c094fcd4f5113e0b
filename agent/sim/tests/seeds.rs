//! Two thousand runs with an everyday test; `cargo xtask sim` runs as many as it is told.

#[test]
fn no_invariant_is_broken_in_two_thousand_runs() {
    for seed in 0..2_000 {
        if let Err(failure) = barepod_sim::run(seed, None) {
            panic!("{failure}\nreplay it with: cargo xtask sim --replay {seed}");
        }
    }
}
