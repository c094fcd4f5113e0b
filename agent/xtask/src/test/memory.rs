//! What the reserved tier has passed on this commit: kept in the cache, so that an interrupted run resumes, and written
//! to a page of the repository when all of it has passed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::Tier;
use super::counts::Counts;
use super::steps::{self, Step};
use crate::repository::{Repository, machine};

/// The page that says when everything last passed.
const PAGE: &str = "tests/LAST_ALL.md";

/// A shard that has passed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Passed {
    counts: Counts,
    seconds: f64,
}

/// The memory of one commit; of nothing in the everyday tier or in a checkout that differs from its commit.
pub(super) struct Memory {
    place: Option<(String, PathBuf)>,
    passed: BTreeMap<String, Passed>,
}

impl Memory {
    pub(super) fn of(repository: &Repository, tier: Tier) -> anyhow::Result<Self> {
        if tier == Tier::Everyday {
            return Ok(Self { place: None, passed: BTreeMap::new() });
        }
        if repository.is_dirty()? {
            println!("the checkout differs from its commit: nothing is remembered, no page is written");
            return Ok(Self { place: None, passed: BTreeMap::new() });
        }
        let commit = repository.commit()?;
        let file = repository.cache().join("all").join(format!("{commit}.json"));
        let passed = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| file.display().to_string())?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        Ok(Self { place: Some((commit, file)), passed })
    }

    /// The counts of a step that passed earlier.
    pub(super) fn passed(&self, step: &str) -> Option<Counts> {
        self.passed.get(step).map(|passed| passed.counts.clone())
    }

    /// Keeps a pass, at once: the next shard may be interrupted.
    pub(super) fn remember(&mut self, step: &Step, counts: &Counts, seconds: f64) -> anyhow::Result<()> {
        let Some((_, file)) = &self.place else { return Ok(()) };
        if counts.failed > 0 || !step.is_remembered() {
            return Ok(());
        }
        self.passed.insert(step.name.clone(), Passed { counts: counts.clone(), seconds });
        fs_err::create_dir_all(file.parent().context("a file has a directory")?)?;
        let beside = file.with_extension("new");
        fs_err::write(&beside, serde_json::to_vec_pretty(&self.passed)?)?;
        Ok(fs_err::rename(beside, file)?)
    }

    /// Writes the page where every shard has passed.
    pub(super) fn write_page(&self, repository: &Repository, total: &Counts) -> anyhow::Result<()> {
        let Some((commit, _)) = &self.place else { return Ok(()) };
        let complete =
            steps::of(Tier::All).iter().all(|step| !step.is_remembered() || self.passed.contains_key(&step.name));
        if total.failed > 0 || !complete {
            return Ok(());
        }
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string();
        fs_err::write(repository.root().join(PAGE), self.page(commit, &date, &machine(), total))?;
        println!("written: {PAGE}");
        Ok(())
    }

    fn page(&self, commit: &str, date: &str, machine: &str, total: &Counts) -> String {
        let mut page = format!(
            "# The last complete run of `cargo xtask test --all`\n\nCommit `{commit}`, {date}, {machine}: {total}.\n\n\
             | shard | seconds | passed | skipped |\n|---|---|---|---|\n"
        );
        for (name, Passed { counts, seconds }) in &self.passed {
            // Writing into a String cannot fail.
            let _ = writeln!(page, "| {name} | {seconds:.0} | {} | {} |", counts.passed, counts.skipped.len());
        }
        if !total.skipped.is_empty() {
            page.push_str("\nSkipped:\n\n");
            total.skipped.iter().for_each(|skip| {
                let _ = writeln!(page, "- {skip}");
            });
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_remembered_on_disk_and_a_failure_is_not() {
        let scratch = barepod_tests::Scratch::new().unwrap();
        let file = scratch.join("all/commit.json");
        let mut memory = Memory { place: Some(("commit".to_owned(), file.clone())), passed: BTreeMap::new() };
        let steps = steps::of(Tier::All);
        let [fmt, generated, ..] = steps.as_slice() else { panic!("there are steps") };

        memory.remember(fmt, &Counts::check(true), 1.0).unwrap();
        memory.remember(generated, &Counts::check(false), 1.0).unwrap();

        let kept: BTreeMap<String, Passed> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), [&fmt.name]);
    }

    #[test]
    fn the_page_names_commit_counts_and_every_skip() {
        let counts = Counts::skip("advisories: no network".to_owned());
        let passed = BTreeMap::from([("advisories".to_owned(), Passed { counts: counts.clone(), seconds: 1.6 })]);
        let memory = Memory { place: None, passed };

        let page = memory.page("0123", "2026-01-02 03:04 UTC", "Linux 6", &counts);

        assert!(
            page.contains("Commit `0123`, 2026-01-02 03:04 UTC, Linux 6: 0 passed, 0 failed, 1 skipped."),
            "{page}"
        );
        assert!(page.contains("| advisories | 2 | 0 | 1 |"), "{page}");
        assert!(page.contains("- advisories: no network"), "{page}");
    }
}
