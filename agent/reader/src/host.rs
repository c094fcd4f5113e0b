//! This host as a policy sees it.

use std::path::{Path, PathBuf};

use barepod_policy::{Account, Host, User};
use barepod_presets::Host as _;

/// The host this process runs on. Accounts are asked of the name service, so LDAP's count too.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalHost;

impl Host for LocalHost {
    fn account(&self, name: &str) -> Option<Account> {
        barepod_presets::LocalHost.account(name).map(account)
    }

    fn account_of(&self, uid: u32) -> Option<Account> {
        barepod_presets::LocalHost.account_of(uid).map(account)
    }

    fn group(&self, name: &str) -> Option<u32> {
        barepod_presets::LocalHost.group(name)
    }

    /// What does not exist yet lies where the part of it that exists leads.
    fn real(&self, path: &Path) -> PathBuf {
        let mut rest = Vec::new();
        let mut known = path;
        loop {
            if let Ok(real) = fs_err::canonicalize(known) {
                return rest.iter().rev().fold(real, |path, part| path.join(part));
            }
            match (known.parent(), known.file_name()) {
                (Some(parent), Some(name)) => {
                    rest.push(name);
                    known = parent;
                }
                _ => return path.to_owned(),
            }
        }
    }
}

fn account(account: barepod_presets::Account) -> Account {
    let barepod_presets::Account { name, uid, gid, groups } = account;
    Account { name, uid, gid, groups }
}

/// A user of this host with all groups; `gid` is one that is known anyhow.
#[must_use]
pub fn user_of(uid: u32, gid: Option<u32>) -> User {
    let account = LocalHost.account_of(uid);
    let groups = account.into_iter().flat_map(|account| [vec![account.gid], account.groups].concat());
    let mut groups: Vec<u32> = gid.into_iter().chain(groups).collect();
    groups.sort_unstable();
    groups.dedup();
    User { uid, groups }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_where_its_links_lead_even_if_its_end_is_missing() {
        let scratch = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(scratch.path()).unwrap();
        std::os::unix::fs::symlink("/etc", root.join("link")).unwrap();
        assert_eq!(LocalHost.real(&root.join("link/passwd")), Path::new("/etc/passwd"));
        assert_eq!(LocalHost.real(&root.join("link/none/such")), Path::new("/etc/none/such"));
        assert_eq!(LocalHost.real(&root.join("none")), root.join("none"));
    }

    #[test]
    fn root_has_its_group() {
        assert_eq!(user_of(0, None).groups.first(), Some(&0));
        assert!(user_of(65_000, Some(7)).groups.contains(&7));
    }
}
