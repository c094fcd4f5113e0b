//! What came of each spec at this commit: a file each in the cache, so that a run may be interrupted and parts of it may run
//! side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::spec::{Outcome, Spec};
use crate::repository::Repository;

/// Where those of all commits are.
fn directory(repository: &Repository) -> PathBuf {
    repository.cache().join("conformance")
}

/// The results of one commit.
pub(super) struct Results {
    directory: PathBuf,
    /// The commit, if the checkout is it.
    commit: Option<String>,
    kept: BTreeMap<String, Kept>,
}

/// A file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The spec's name.
    name: String,
    pub(super) outcome: Outcome,
    /// When it had run.
    pub(super) at: Timestamp,
}

impl Results {
    /// Those of the commit that is checked out. Those of a checkout that differs from its commit are kept to be looked at,
    /// and never taken for results.
    pub(super) fn of(repository: &Repository) -> anyhow::Result<Self> {
        let all = directory(repository);
        if repository.is_dirty()? {
            println!("conformance: the checkout differs from its commit: all is run, and no page is written");
            return Self::open(all.join("changed"), None);
        }
        let commit = repository.commit()?;
        Self::open(all.join(&commit), Some(commit))
    }

    /// Those of another commit, as `git rev-parse` names it.
    pub(super) fn at(repository: &Repository, commit: &str) -> anyhow::Result<Self> {
        let commit = repository.ask("git", &["rev-parse", "--verify", &format!("{commit}^{{commit}}")])?;
        let directory = directory(repository).join(&commit);
        ensure!(directory.is_dir(), "there are no results of the commit {commit}: {} is missing", directory.display());
        Self::open(directory, Some(commit))
    }

    pub(super) fn open(directory: PathBuf, commit: Option<String>) -> anyhow::Result<Self> {
        fs_err::create_dir_all(&directory)?;
        let mut results = Self { directory, commit, kept: BTreeMap::new() };
        if results.commit.is_some() {
            results.read()?;
        }
        Ok(results)
    }

    /// Also what others have kept meanwhile.
    pub(super) fn read(&mut self) -> anyhow::Result<()> {
        for entry in fs_err::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "json") {
                let kept: Kept = serde_json::from_slice(&fs_err::read(&path)?)
                    .with_context(|| format!("{}: remove it, and its spec runs again", path.display()))?;
                self.kept.insert(kept.name.clone(), kept);
            }
        }
        Ok(())
    }

    /// Keeps what came of a spec, at once.
    pub(super) fn keep(&mut self, spec: &Spec, outcome: Outcome) -> anyhow::Result<()> {
        let kept = Kept { name: spec.name.clone(), outcome, at: Timestamp::now() };
        let file = self.directory.join(file_name(&spec.name));
        let beside = file.with_extension("new");
        fs_err::write(&beside, serde_json::to_vec_pretty(&kept)?)?;
        fs_err::rename(beside, file)?;
        self.kept.insert(spec.name.clone(), kept);
        Ok(())
    }

    /// What came of a spec, if it has run.
    pub(super) fn get(&self, spec: &Spec) -> Option<&Kept> {
        self.kept.get(&spec.name)
    }

    /// The commit that they are of, if the checkout is it.
    pub(super) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// Where they are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A spec's own, and short enough for a file system.
fn file_name(name: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest: String = Sha256::digest(name).iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}.json")
}

#[cfg(test)]
mod tests {
    use super::super::spec::Verdict;
    use super::*;

    fn spec(name: &str) -> Spec {
        Spec { name: name.to_owned(), file: String::new() }
    }

    #[test]
    fn what_one_run_keeps_the_next_one_has_if_the_commit_is_the_same() {
        let scratch = barepod_tests::Scratch::new().unwrap();
        let open = |commit: Option<&str>| Results::open(scratch.join("it"), commit.map(str::to_owned)).unwrap();
        let outcome = Outcome { verdict: Verdict::Failed("why".to_owned()), seconds: 1.0 };

        open(Some("0123")).keep(&spec("one"), outcome.clone()).unwrap();

        assert_eq!(open(Some("0123")).get(&spec("one")).map(|kept| kept.outcome.clone()), Some(outcome));
        assert!(open(Some("0123")).get(&spec("two")).is_none());
        assert!(open(None).get(&spec("one")).is_none(), "a changed checkout has no results");
    }
}
