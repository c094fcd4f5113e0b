//! The page: figures by group, and each spec that does not pass with the suite's reason and, where somebody has written one,
//! an explanation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use barepod_tests::peers::KUBERNETES_VERSION;

use super::results::Results;
use super::spec::{Group, Spec, Verdict};
use crate::repository::{Repository, machine};

const PAGE: &str = "tests/CONFORMANCE.md";
/// A spec's name, a tab, and why it does not pass. Lines that begin with `#` are for who writes them.
const EXPLANATIONS: &str = "tests/conformance.tsv";

/// How many of a group came to what.
#[derive(Default)]
struct Count {
    specs: usize,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    fn of(specs: &[Spec], results: &Results, group: Group) -> Self {
        let mut count = Self::default();
        for spec in specs.iter().filter(|spec| group.has(spec)) {
            count.specs += 1;
            match results.get(spec).map(|kept| &kept.outcome.verdict) {
                Some(Verdict::Passed) => count.passed += 1,
                Some(Verdict::Failed(_)) => count.failed += 1,
                Some(Verdict::Skipped(_)) => count.skipped += 1,
                None => {}
            }
        }
        count
    }

    fn not_run(&self) -> usize {
        self.specs - self.passed - self.failed - self.skipped
    }
}

/// A table of the groups.
pub(super) fn summary(specs: &[Spec], results: &Results) -> String {
    let mut table =
        "| group | specs | passed | failed | skipped | not run |\n|---|---:|---:|---:|---:|---:|\n".to_owned();
    for group in Group::ALL {
        let count = Count::of(specs, results, group);
        let Count { specs, passed, failed, skipped } = count;
        // Writing into a String cannot fail.
        let _ = writeln!(table, "| {group} | {specs} | {passed} | {failed} | {skipped} | {} |", count.not_run());
    }
    table
}

/// Writes the page, and says which explanations are of no use any more.
pub(super) fn write(repository: &Repository, specs: &[Spec], results: &Results) -> anyhow::Result<()> {
    let commit = results.commit().context("the checkout differs from its commit: commit first")?;
    let text = fs_err::read_to_string(repository.root().join(EXPLANATIONS))?;
    let explanations = explanations(&text)?;
    fs_err::write(repository.root().join(PAGE), page(commit, specs, results, &explanations))?;
    println!("written: {PAGE}");
    let idle = idle(specs, results, &explanations);
    if !idle.is_empty() {
        bail!("{EXPLANATIONS} explains what needs no explanation:\n{}", idle.join("\n"));
    }
    Ok(())
}

fn page(commit: &str, specs: &[Spec], results: &Results, explanations: &BTreeMap<&str, &str>) -> String {
    let days = specs.iter().filter_map(|spec| results.get(spec)).map(|kept| kept.at);
    let day = days.max().map_or_else(|| "never".to_owned(), |last| last.strftime("%Y-%m-%d").to_string());
    let mut page = format!(
        "# Kubernetes' own conformance tests\n\nWritten by `cargo xtask conformance --write`: the end to end suite of Kubernetes \
         {KUBERNETES_VERSION} against its own control plane and two nodes of barepod, at commit `{commit}`, {day}, {}. How, and \
         what stands for its images, is in [README.md](README.md#conformance).\n\n{}",
        machine(),
        summary(specs, results)
    );
    page.push_str("\nA spec may be in two groups. What follows is the suite's own word of each that does not pass.\n");
    for (title, is_one) in [("Failed", is_failed as fn(&Verdict) -> bool), ("Skipped", is_skipped)] {
        let _ = writeln!(page, "\n## {title}\n\n| spec | the suite's reason | explanation |\n|---|---|---|");
        for spec in specs {
            let Some(verdict) = results.get(spec).map(|kept| &kept.outcome.verdict).filter(|it| is_one(it)) else {
                continue;
            };
            let (Verdict::Failed(reason) | Verdict::Skipped(reason)) = verdict else { continue };
            let explanation = explanations.get(spec.name.as_str()).copied().unwrap_or_default();
            let _ = writeln!(page, "| {} | {} | {} |", cell(&spec.name), cell(reason), cell(explanation));
        }
    }
    page
}

fn is_failed(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Failed(_))
}

fn is_skipped(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Skipped(_))
}

/// Nothing in it ends a cell, or is taken for Markdown.
fn cell(text: &str) -> String {
    let special = |c: char| r"\`*_{}[]<>#|".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn explanations(text: &str) -> anyhow::Result<BTreeMap<&str, &str>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for (index, line) in lines {
        let (name, words) = line
            .split_once('\t')
            .with_context(|| format!("{EXPLANATIONS}:{}: a spec's name, a tab and an explanation", index + 1))?;
        if all.insert(name, words).is_some() {
            bail!("{EXPLANATIONS}:{}: {name:?} is explained twice", index + 1);
        }
    }
    Ok(all)
}

/// Names that are explained and pass, or that the suite does not have.
fn idle<'a>(specs: &[Spec], results: &Results, explanations: &BTreeMap<&'a str, &str>) -> Vec<&'a str> {
    let needed = |name: &str| {
        let spec = specs.iter().find(|spec| spec.name == name);
        spec.is_some_and(|spec| results.get(spec).is_none_or(|kept| kept.outcome.verdict != Verdict::Passed))
    };
    explanations.keys().copied().filter(|name| !needed(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::spec::Outcome;
    use super::*;

    fn spec(name: &str) -> Spec {
        Spec { name: name.to_owned(), file: "test/e2e/common/node/pods.go".to_owned() }
    }

    fn results(scratch: &barepod_tests::Scratch) -> (Vec<Spec>, Results) {
        let specs =
            ["fails [Conformance]", "has not run [Conformance]", "passes [Conformance] [NodeConformance]"].map(spec);
        let mut results = Results::open(scratch.join("it"), Some("0123".to_owned())).unwrap();
        let mut keep = |spec, verdict| results.keep(spec, Outcome { verdict, seconds: 1.0 }).unwrap();
        keep(&specs[0], Verdict::Failed("a | b".to_owned()));
        keep(&specs[2], Verdict::Passed);
        (specs.into(), results)
    }

    #[test]
    fn the_page_counts_by_group_and_names_what_does_not_pass_with_both_reasons() {
        let scratch = barepod_tests::Scratch::new().unwrap();
        let (specs, results) = results(&scratch);

        let page = page("0123", &specs, &results, &BTreeMap::from([("fails [Conformance]", "it has no *image*")]));

        assert!(page.contains("| common/node, [Conformance] | 3 | 1 | 1 | 0 | 1 |"), "{page}");
        assert!(page.contains("| [NodeConformance] | 1 | 1 | 0 | 0 | 0 |"), "{page}");
        assert!(page.contains(r"| fails \[Conformance\] | a \| b | it has no \*image\* |"), "{page}");
        assert!(!page.contains("passes"), "{page}");
    }

    #[test]
    fn an_explanation_of_what_passes_or_does_not_exist_is_idle() {
        let scratch = barepod_tests::Scratch::new().unwrap();
        let (specs, results) = results(&scratch);
        let text = "# a comment\nfails [Conformance]\twhy\nhas not run [Conformance]\twhy\n\
                    no such spec\twhy\npasses [Conformance] [NodeConformance]\twhy\n";

        let explanations = explanations(text).unwrap();

        assert_eq!(idle(&specs, &results, &explanations), ["no such spec", "passes [Conformance] [NodeConformance]"]);
        assert!(super::explanations("no tab\n").is_err() && super::explanations("a\tb\na\tc\n").is_err());
    }
}
