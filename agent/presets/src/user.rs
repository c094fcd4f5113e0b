//! Who a container runs as: the preset's account, or the ids of the manifest.

use barepod_model::{Credentials, Reason, RequestError, UserRequest};

use crate::contract::Mode;
use crate::error::refuse;
use crate::file::UserFile;
use crate::host::Host;

/// Whom a request stands for on this host.
pub(crate) struct Who {
    pub(crate) user: Credentials,
    /// Of its account, if it has one.
    pub(crate) name: Option<String>,
    pub(crate) fs_group: Option<u32>,
}

/// Finds out.
pub(crate) fn resolve(
    request: &UserRequest,
    preset: &UserFile,
    mode: &Mode,
    host: &dyn Host,
) -> Result<Who, RequestError> {
    let (mut user, name) = match request.uid {
        Some(uid) if !stands_for_account(uid, preset, mode) => by_id(uid, host),
        Some(_) | None => by_name(preset, host)?,
    };
    if let Some(gid) = request.gid {
        user.gid = group(gid, preset, host)?;
    }
    if request.strict_groups {
        user.groups.clear();
    }
    let fs_group = request.fs_group.map(|gid| group(gid, preset, host)).transpose()?;
    for group in request.groups.iter().chain(&fs_group) {
        if !user.groups.contains(group) {
            user.groups.push(*group);
        }
    }
    Ok(Who { user, name, fs_group })
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
fn by_id(uid: u32, host: &dyn Host) -> (Credentials, Option<String>) {
    match host.account_of(uid) {
        Some(account) => (Credentials { uid, gid: account.gid, groups: account.groups }, Some(account.name)),
        None => (Credentials { uid, gid: uid, groups: Vec::new() }, None),
    }
}
