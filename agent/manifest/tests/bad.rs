//! Broken manifests: each file in `bad/` with what is said about it beside it. `BAREPOD_UPDATE=1` writes what is said; read
//! it before you commit it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use barepod_manifest::{ManifestError, read, read_bytes};
use barepod_model::Reason;

fn corpus() -> Vec<PathBuf> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bad");
    let entries = fs::read_dir(dir).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

fn errors(path: &PathBuf) -> Vec<ManifestError> {
    let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
    let text = fs::read_to_string(path).expect("text");
    read(name, &text).expect_err(name)
}

#[test]
fn each_broken_manifest_is_refused_with_what_where_and_the_likely_fix() {
    let mut stale = Vec::new();
    for path in corpus() {
        let found = errors(&path);
        let said: String = found.iter().map(|e| format!("{e}\n")).collect();
        for error in &found {
            assert!(error.line > 0 && error.column > 0, "{error}");
            assert!(error.hint.as_ref().is_some_and(|h| !h.is_empty()), "no likely fix: {error}");
        }
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
fn the_corpus_is_large_and_has_every_reason_of_a_manifest() {
    assert!(corpus().len() >= 60, "{}", corpus().len());
    let mut seen: BTreeSet<Reason> = corpus().iter().flat_map(errors).map(|e| e.reason).collect();
    seen.extend(read_bytes("x.yaml", b"\xff").expect_err("not text").iter().map(|e| e.reason));
    for reason in [
        Reason::InvalidYaml,
        Reason::EmptyManifest,
        Reason::UnknownField,
        Reason::InvalidType,
        Reason::InvalidValue,
        Reason::MissingField,
        Reason::Duplicate,
        Reason::UnsupportedField,
        Reason::UnsupportedKind,
        Reason::UnknownVolume,
        Reason::SysctlForbidden,
        Reason::UnreadableManifest,
        Reason::ManifestTooLarge,
    ] {
        assert!(seen.contains(&reason), "no broken manifest for {reason}");
    }
}

#[test]
fn bytes_that_are_not_text_have_a_place_too() {
    let found = read_bytes("x.yaml", b"apiVersion: v1\nkind: \xc3\xa9P\xffod\n").expect_err("not UTF-8");
    assert_eq!(found[0].to_string(), "x.yaml:2:9: this is not UTF-8 text; save the file as UTF-8 [UnreadableManifest]");
}

#[test]
fn a_huge_file_is_not_even_looked_at() {
    let found = read("x.yaml", &"# padding\n".repeat(200_000)).expect_err("too large");
    assert_eq!(found[0].reason, Reason::ManifestTooLarge);
}

#[test]
fn no_error_repeats_a_value_that_may_be_secret() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image: host\n    \
                env:\n    - {name: P, value: [hunter2]}\n    - {name: Q, value: {hunter2: 1}}\n";
    let said = format!("{:?}", read("x.yaml", text).expect_err("wrong types"));
    assert!(!said.contains("hunter2"), "{said}");
}
