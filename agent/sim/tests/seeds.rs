//! Two hundred runs of a build that checks its arithmetic; `cargo xtask sim` runs as many as it is told.

#[test]
fn no_invariant_is_broken_in_two_hundred_runs() {
    for seed in 0..200 {
        if let Err(failure) = barepod_sim::run(seed, None) {
            panic!("{failure}\nreplay it with: cargo xtask sim --replay {seed}");
        }
    }
}
