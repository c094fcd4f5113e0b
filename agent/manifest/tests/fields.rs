//! The table of fields is whole: no leaf of a Pod without a word, no honoured one without a test that is there.

use std::collections::BTreeSet;
use std::path::PathBuf;

use barepod_manifest::fields::{Fate, leaves, tested};

fn tests() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tests"))
}

#[test]
fn every_leaf_of_a_pod_is_classified() {
    let unclassified: Vec<_> = leaves().into_iter().filter(|leaf| leaf.fate == Fate::Unclassified).collect();
    let paths: Vec<_> = unclassified.iter().map(|leaf| &leaf.path).collect();
    assert!(paths.is_empty(), "say in schema/support.tsv what is done with {paths:#?}");
}

#[test]
fn every_test_that_is_named_is_there() {
    let mut missing = BTreeSet::new();
    for (file, test) in leaves().iter().filter_map(|leaf| leaf.test) {
        let text = std::fs::read_to_string(tests().join(format!("{file}.rs"))).unwrap_or_default();
        if !text.replace('\r', "").contains(&format!("#[test]\nfn {test}(")) {
            missing.insert(format!("{file}::{test}"));
        }
    }
    assert!(missing.is_empty(), "schema/effects.tsv names tests that are not there: {missing:#?}");
}

#[test]
fn tests_are_named_for_honoured_leaves_alone() {
    let honoured: BTreeSet<_> =
        leaves().into_iter().filter(|leaf| leaf.fate == Fate::Honoured).map(|leaf| leaf.path).collect();
    let strange: Vec<_> = tested().into_iter().filter(|path| !honoured.contains(*path)).collect();
    assert!(strange.is_empty(), "schema/effects.tsv speaks of what is no honoured leaf: {strange:#?}");
}

#[test]
fn every_honoured_leaf_has_a_test_that_shows_its_effect() {
    let untested: Vec<_> =
        leaves().into_iter().filter(|leaf| leaf.fate == Fate::Honoured && leaf.test.is_none()).collect();
    let paths: Vec<_> = untested.iter().map(|leaf| &leaf.path).collect();
    assert!(paths.is_empty(), "name in schema/effects.tsv the test that shows what these do: {paths:#?}");
}
