//! What a preset asks the host: its own small window, so that everything else here is pure.

use std::ffi::CString;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// A host account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

/// The host as a preset sees it.
pub trait Host {
    /// Whether there is something at `path`.
    fn exists(&self, path: &Path) -> bool;
    /// The names in a directory; none if it cannot be read.
    fn list_dir(&self, path: &Path) -> Vec<String>;
    /// What a program prints; for reading versions.
    ///
    /// # Errors
    /// Why it could not be run, in words for a person.
    fn run_version(&self, argv: &[String]) -> Result<String, String>;
    /// The account of this name.
    fn account(&self, name: &str) -> Option<Account>;
    /// The account of this user id.
    fn account_of(&self, uid: u32) -> Option<Account>;
    /// The id of the group of this name.
    fn group(&self, name: &str) -> Option<u32>;
}

/// The host this process runs on. Accounts are asked of the name service, so LDAP's count too.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalHost;

impl Host for LocalHost {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list_dir(&self, path: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
        entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()
    }

    fn run_version(&self, argv: &[String]) -> Result<String, String> {
        let Some((program, args)) = argv.split_first() else { return Err("no program is named".to_owned()) };
        let output = Command::new(program).args(args).env_clear().env("LC_ALL", "C").stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => Err(format!("{program} ended with {}", output.status)),
            Err(e) => Err(format!("{program} could not be run: {e}")),
        }
    }

    fn account(&self, name: &str) -> Option<Account> {
        User::from_name(name).ok().flatten().map(account)
    }

    fn account_of(&self, uid: u32) -> Option<Account> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(account)
    }

    fn group(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok().flatten().map(|g| g.gid.as_raw())
    }
}

fn account(user: User) -> Account {
    let groups = CString::new(user.name.as_str()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    let others = groups.into_iter().flatten().map(Gid::as_raw).filter(|gid| *gid != user.gid.as_raw()).collect();
    Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), groups: others }
}
