//! Users and groups of the host, by name.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, User, getgrouplist};

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: std::path::PathBuf,
}

/// Why an account could not be looked up. That there is none is no error.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up {what} {name:?} in the host's user database")]
pub struct AccountError {
    /// `user` or `group`.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// The cause.
    pub source: io::Error,
}

/// Whoever knows users and groups.
pub trait Accounts {
    /// The user of this name.
    ///
    /// # Errors
    /// The database cannot be asked.
    fn user(&self, name: &str) -> Result<Option<Account>, AccountError>;

    /// The id of the group of this name.
    ///
    /// # Errors
    /// The database cannot be asked.
    fn group(&self, name: &str) -> Result<Option<u32>, AccountError>;

    /// Ids of the groups that list `account` as a member, without its primary one, in rising order.
    ///
    /// # Errors
    /// The database cannot be asked.
    fn groups_of(&self, account: &Account) -> Result<Vec<u32>, AccountError>;
}

/// The host's own database: `/etc/passwd`, `/etc/group`, and whatever else nsswitch.conf names.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostAccounts;

impl Accounts for HostAccounts {
    fn user(&self, name: &str) -> Result<Option<Account>, AccountError> {
        let found = User::from_name(name).map_err(|errno| error("user", name, errno))?;
        Ok(found.map(|user| Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            home: user.dir,
        }))
    }

    fn group(&self, name: &str) -> Result<Option<u32>, AccountError> {
        let found = Group::from_name(name).map_err(|errno| error("group", name, errno))?;
        Ok(found.map(|group| group.gid.as_raw()))
    }

    fn groups_of(&self, account: &Account) -> Result<Vec<u32>, AccountError> {
        let name = CString::new(account.name.as_str()).map_err(|_| error("user", &account.name, nix::Error::EINVAL))?;
        let groups =
            getgrouplist(&name, Gid::from_raw(account.gid)).map_err(|errno| error("user", &account.name, errno))?;
        let mut ids: Vec<u32> = groups.into_iter().map(Gid::as_raw).filter(|gid| *gid != account.gid).collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

fn error(what: &'static str, name: &str, errno: nix::Error) -> AccountError {
    AccountError { what, name: name.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_user_and_group_zero() {
        let root = HostAccounts.user("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(HostAccounts.group("root").unwrap(), Some(0));
        assert!(!HostAccounts.groups_of(&root).unwrap().contains(&0));
    }

    #[test]
    fn who_does_not_exist_is_no_error() {
        assert_eq!(HostAccounts.user("nobody-called-this").unwrap(), None);
        assert_eq!(HostAccounts.group("nobody-called-this").unwrap(), None);
    }
}
