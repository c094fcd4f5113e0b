//! The simulation can see: each of the planted faults is found within a bounded number of seeds.

use barepod_core::{Fault, plant};

/// More than three times what the hardest of them needs.
const SEEDS: u64 = 6_000;

/// The first seed that finds the fault.
fn found_by(fault: Fault) -> Option<barepod_sim::Failure> {
    plant(Some(fault));
    let failure = (0..SEEDS).find_map(|seed| barepod_sim::run(seed, None).err());
    plant(None);
    failure
}

#[test]
fn there_are_forty_six_planted_faults() {
    assert_eq!(Fault::ALL.len(), 46);
}

#[test]
fn every_planted_fault_is_found() {
    let found: Vec<_> = Fault::ALL.iter().map(|fault| (*fault, found_by(*fault))).collect();
    for (fault, failure) in &found {
        match failure {
            Some(failure) => println!("{fault:?}: seed {}: {:?}", failure.seed, failure.violation.invariant),
            None => println!("{fault:?}: not found"),
        }
    }
    let missed: Vec<_> = found.iter().filter(|(_, failure)| failure.is_none()).map(|(fault, _)| fault).collect();
    assert!(missed.is_empty(), "not found in {SEEDS} seeds: {missed:?}");
}

#[test]
fn without_a_planted_fault_the_same_seeds_are_clean() {
    plant(None);
    for seed in 0..1_000 {
        assert!(barepod_sim::run(seed, None).is_ok(), "seed {seed}");
    }
}
