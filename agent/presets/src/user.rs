//! Who a container runs as: the preset's account, or the ids of the manifest.

use barepod_model::{Credentials, Reason, RequestError, UserRequest};

use crate::contract::Mode;
use crate::error::refuse;
use crate::file::UserFile;
use crate::host::{Account, Host};
use crate::tree_root::TreeAccounts;

/// Whom a request stands for on this host.
pub(crate) struct Who {
    pub(crate) user: Credentials,
    /// Of its account, if it has one.
    pub(crate) name: Option<String>,
    pub(crate) home: Option<String>,
    pub(crate) fs_group: Option<u32>,
    /// Who it would be without a word of the manifest, where this host has that account.
    pub(crate) own: Option<Credentials>,
}

/// Finds out, for a view of the host's own root.
pub(crate) fn resolve(
    request: &UserRequest,
    preset: &UserFile,
    mode: &Mode,
    host: &dyn Host,
) -> Result<Who, RequestError> {
    let (user, name) = match request.uid {
        Some(uid) if !stands_for_account(uid, preset, mode) => by_id(uid, host.account_of(uid)),
        Some(_) | None => by_name(preset, host)?,
    };
    let group = |gid| group(gid, preset, host);
    let own = by_name(preset, host).ok().map(|(own, _)| own);
    finish(request, Named { user, name, home: None, own }, group)
}

/// The same for a directory tree, whose accounts are its own and whose ids are what they are.
pub(crate) fn resolve_in_tree(
    request: &UserRequest,
    preset: Option<&UserFile>,
    image: Option<&str>,
    accounts: &TreeAccounts,
) -> Result<Who, RequestError> {
    let of_tree = || match (preset, image) {
        (Some(preset), _) => accounts.by_words(&preset.name, preset.group.as_deref()),
        (None, Some(image)) => {
            let (user, group) = image.split_once(':').map_or((image, None), |(user, group)| (user, Some(group)));
            Ok(not_root(accounts.by_words(user, group)?, accounts))
        }
        (None, None) => Ok(accounts.nobody()),
    };
    let account = request.uid.map_or_else(of_tree, |uid| Ok(accounts.by_id(uid)))?;
    let home = accounts.home(account.uid);
    let name = (!account.name.is_empty()).then(|| account.name.clone());
    let own = of_tree().ok().map(credentials);
    finish(request, Named { user: credentials(account), name, home, own }, Ok)
}

fn credentials(account: Account) -> Credentials {
    Credentials { uid: account.uid, gid: account.gid, groups: account.groups }
}

/// An account, before the manifest's groups are looked at.
struct Named {
    user: Credentials,
    name: Option<String>,
    home: Option<String>,
    own: Option<Credentials>,
}

/// An image that names root, or nobody at all, means root to Docker. Here it has to be said openly, by preset or manifest.
fn not_root(account: Account, accounts: &TreeAccounts) -> Account {
    if account.uid == 0 { accounts.nobody() } else { account }
}

fn finish(
    request: &UserRequest,
    Named { mut user, name, home, own }: Named,
    group: impl Fn(u32) -> Result<u32, RequestError>,
) -> Result<Who, RequestError> {
    if let Some(gid) = request.gid {
        user.gid = group(gid)?;
    }
    if request.strict_groups {
        user.groups.clear();
    }
    let fs_group = request.fs_group.map(&group).transpose()?;
    for group in request.groups.iter().chain(&fs_group) {
        if !user.groups.contains(group) {
            user.groups.push(*group);
        }
    }
    Ok(Who { user, name, home, fs_group, own })
}

/// The host's group for one of the manifest: the image's own ids mean the account's.
fn group(gid: u32, preset: &UserFile, host: &dyn Host) -> Result<u32, RequestError> {
    if preset.image_ids.contains(&gid) { Ok(by_name(preset, host)?.0.gid) } else { Ok(gid) }
}

/// The image's own ids mean the account. Root does too where the service runs: the images of such services step down.
fn stands_for_account(uid: u32, preset: &UserFile, mode: &Mode) -> bool {
    preset.image_ids.contains(&uid) || (uid == 0 && matches!(mode, Mode::Service(_)))
}

fn by_name(preset: &UserFile, host: &dyn Host) -> Result<(Credentials, Option<String>), RequestError> {
    let unknown = |what: &str, name: &str, command: &str| {
        let message = format!("this host has no {what} {name:?}, which the preset runs as");
        let hint = format!("install the service's package, or make it: {command} --system {name}");
        refuse(Reason::UnknownUser, "image", message, hint)
    };
    let account = host.account(&preset.name).ok_or_else(|| unknown("user", &preset.name, "useradd"))?;
    let gid = match &preset.group {
        None => account.gid,
        Some(group) => host.group(group).ok_or_else(|| unknown("group", group, "groupadd"))?,
    };
    Ok((Credentials { uid: account.uid, gid, groups: account.groups }, Some(account.name)))
}

/// An id as it is. Without an account its group has the same number, never root's.
fn by_id(uid: u32, account: Option<Account>) -> (Credentials, Option<String>) {
    match account {
        Some(account) => (Credentials { uid, gid: account.gid, groups: account.groups }, Some(account.name)),
        None => (Credentials { uid, gid: uid, groups: Vec::new() }, None),
    }
}
