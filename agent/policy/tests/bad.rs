//! Broken policies: each file in `bad/` with what is said about it beside it. `BAREPOD_UPDATE=1` writes what is said; read
//! it before you commit it.

use std::fs;
use std::path::PathBuf;

use barepod_policy::parse;

fn corpus() -> Vec<PathBuf> {
    let entries = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad")).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

#[test]
fn each_broken_policy_is_refused_with_what_where_and_the_likely_fix() {
    let mut stale = Vec::new();
    assert!(corpus().len() >= 60, "{}", corpus().len());
    for path in corpus() {
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        let error = parse(name, &fs::read_to_string(&path).expect("text")).expect_err(name);
        assert!(error.line > 0 && error.column > 0 && !error.hint.is_empty(), "{error}");
        let said = format!("{error}\n");
        assert_eq!(said.lines().count(), 1, "an error is one line: {said}");
        let beside = path.with_extension("txt");
        if std::env::var_os("BAREPOD_UPDATE").is_some() {
            fs::write(&beside, &said).expect("write");
        }
        if fs::read_to_string(&beside).unwrap_or_default() != said {
            stale.push(format!("{}:\n{said}", path.display()));
        }
    }
    assert!(stale.is_empty(), "not as expected:\n{}", stale.join("\n"));
}

#[test]
fn a_huge_file_is_not_even_looked_at() {
    let error = parse("x.yaml", &"# padding\n".repeat(200_000)).expect_err("too large");
    assert!(error.to_string().contains("bytes long"), "{error}");
}

#[test]
fn no_cut_of_the_default_policy_is_taken_for_a_policy_that_says_something_else() {
    let whole = parse("policy.yaml", barepod_policy::DEFAULT).expect("sound");
    for (end, _) in barepod_policy::DEFAULT.char_indices() {
        let Ok(cut) = parse("policy.yaml", &barepod_policy::DEFAULT[..end]) else { continue };
        assert!(cut == whole || format!("{cut:?}").len() < format!("{whole:?}").len(), "a cut never allows more");
    }
}
