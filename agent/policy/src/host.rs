//! What a policy asks the host: its own small window, so that everything else here is pure.

use std::path::{Path, PathBuf};

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

/// The host as a policy sees it.
pub trait Host {
    /// The account of this name.
    fn account(&self, name: &str) -> Option<Account>;
    /// The account of this user id.
    fn account_of(&self, uid: u32) -> Option<Account>;
    /// The id of the group of this name.
    fn group(&self, name: &str) -> Option<u32>;
    /// Where a path leads when every link on the way is followed, as far as it exists.
    fn real(&self, path: &Path) -> PathBuf;
}
