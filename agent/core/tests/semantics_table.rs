//! The table of rules names tests that there are.

use std::path::Path;

const TABLE: &str = include_str!("../SEMANTICS.md");

/// `file::name` of each test that is named.
fn named() -> Vec<(String, String)> {
    let quoted = TABLE.split('`').skip(1).step_by(2);
    let tests = quoted.filter_map(|text| text.split_once(".rs::"));
    tests.map(|(file, name)| (format!("{file}.rs"), name.to_owned())).collect()
}

#[test]
fn each_test_that_the_table_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let is_there = |file: &str, name: &str| {
        let text = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        text.contains(&format!("\nfn {name}()"))
    };
    let named = named();
    assert!(named.len() > 60, "{}", named.len());
    let missing: Vec<_> = named.iter().filter(|(file, name)| !is_there(file, name)).collect();
    assert!(missing.is_empty(), "the table names tests that are not there: {missing:#?}");
}

#[test]
fn each_rule_names_a_source_and_a_test() {
    let rows = TABLE.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| rule"));
    let rules = rows.take_while(|line| !line.starts_with("| kubelet |"));
    for rule in rules {
        let cells: Vec<_> = rule.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{rule}");
        assert!(cells.iter().all(|cell| !cell.is_empty()) && cells[2].contains(".rs::"), "{rule}");
    }
}
