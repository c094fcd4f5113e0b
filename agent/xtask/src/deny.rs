//! cargo-deny in two parts, because one of them needs a network that a machine may lack.
//!
//! Licences, sources and doubled versions are in the lock file and the packages. Advisories are a database on GitHub:
//! where it can be neither fetched nor found from an earlier fetch, that part is skipped, and the skip is counted.

use std::process::{Command, Output};

use anyhow::Context as _;

use crate::repository::{Repository, succeed};

/// What needs no network.
pub(crate) const OFFLINE: [&str; 5] = ["deny", "check", "bans", "licenses", "sources"];
const ADVISORIES: [&str; 3] = ["deny", "check", "advisories"];

/// What became of the advisories.
pub(crate) enum Advisories {
    /// Checked: whether clean, and what was printed.
    Checked { clean: bool, said: String },
    /// There is no database here.
    Unreachable { why: String },
}

/// Both parts, for a person.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    succeed(&mut repository.cargo(&OFFLINE))?;
    match advisories(repository)? {
        Advisories::Checked { clean: true, said } => print!("{said}"),
        Advisories::Checked { clean: false, said } => anyhow::bail!("{said}"),
        Advisories::Unreachable { why } => println!("SKIP: advisories: {why}"),
    }
    Ok(())
}

/// Checks the advisories, where their database can be had.
pub(crate) fn advisories(repository: &Repository) -> anyhow::Result<Advisories> {
    let output = output(repository.cargo(&ADVISORIES).env("GIT_TERMINAL_PROMPT", "0"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    Ok(judge(output.status.success(), said))
}

fn output(command: &mut Command) -> anyhow::Result<Output> {
    command.output().context("cannot start cargo deny")
}

fn judge(clean: bool, said: String) -> Advisories {
    if clean || !said.contains("failed to fetch advisory database") {
        return Advisories::Checked { clean, said };
    }
    // git's last word says more than cargo-deny's first.
    let cause = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    Advisories::Unreachable { why: format!("the database cannot be fetched: {cause}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_fetch_is_a_skip() {
        let fetch = "[ERROR] failed to fetch advisory database https://example.org\n";

        assert!(matches!(judge(false, fetch.to_owned()), Advisories::Unreachable { .. }));
        assert!(matches!(judge(false, "error[vulnerability]\n".to_owned()), Advisories::Checked { clean: false, .. }));
        assert!(matches!(judge(true, "advisories ok\n".to_owned()), Advisories::Checked { clean: true, .. }));
    }
}
