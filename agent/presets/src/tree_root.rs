//! A directory tree as root: the image's configuration beside it, and its own accounts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barepod_model::{ContainerRequest, Reason, RequestError};
use serde::Deserialize;

use crate::error::{near, refuse};
use crate::file::{ImageFile, RootFile};
use crate::host::{Account, Host};
use crate::image::Image;
use crate::read::Word as _;
use crate::word::Signal;

/// Docker's, where an image says nothing.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The id of nobody on every distribution.
const NOBODY: u32 = 65_534;

/// A tree, with what its image says of itself.
#[derive(Debug)]
pub(crate) struct TreeRoot {
    pub(crate) tree: PathBuf,
    pub(crate) config: Config,
    pub(crate) accounts: TreeAccounts,
}

/// The configuration of an image, as far as a container depends on it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) entrypoint: Vec<String>,
    pub(crate) cmd: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) user: Option<String>,
    pub(crate) working_dir: Option<PathBuf>,
    pub(crate) stop_signal: Option<i32>,
}

/// An image's configuration file. Others keys of it say nothing about a process.
#[derive(Debug, Deserialize)]
struct ImageConfig {
    #[serde(default, alias = "Config")]
    config: Option<Execution>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Execution {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
}

impl TreeRoot {
    /// The tree that an image means.
    pub(crate) fn find(root: &RootFile, image: &Image, host: &dyn Host) -> Result<Self, RequestError> {
        let tree = PathBuf::from(image.fill(&root.tree.value));
        if !host.exists(&tree) {
            return Err(missing(root, image, &tree, host));
        }
        let config = config(root, image, &tree, host)?;
        Ok(Self { accounts: TreeAccounts::of(&tree, host), tree, config })
    }

    /// Program and arguments by Kubernetes' rules: `command` takes the place of entry point and cmd, `args` that of cmd.
    pub(crate) fn words(&self, request: &ContainerRequest) -> Vec<String> {
        let Config { entrypoint, cmd, .. } = &self.config;
        match (request.command.is_empty(), request.args.is_empty()) {
            (false, _) => request.command.iter().chain(&request.args).cloned().collect(),
            (true, false) => entrypoint.iter().chain(&request.args).cloned().collect(),
            (true, true) => entrypoint.iter().chain(cmd).cloned().collect(),
        }
    }

    /// Whether the program is the image's own, with whatever arguments.
    pub(crate) fn runs_its_own(&self, request: &ContainerRequest) -> bool {
        request.command.is_empty() && (!self.config.entrypoint.is_empty() || request.args.is_empty())
    }

    /// What the image sets, below preset and manifest.
    pub(crate) fn env(&self, home: Option<&str>) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
        env.extend(home.map(|home| ("HOME".to_owned(), home.to_owned())));
        env.extend(self.config.env.clone());
        env
    }
}

/// The tags that lie beside the one that is not there.
fn missing(root: &RootFile, image: &Image, tree: &Path, host: &dyn Host) -> RequestError {
    let message = format!("there is no directory tree {} on this host", tree.display());
    let wanted = tree.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let here: Vec<String> = tree.parent().map(|parent| host.list_dir(parent)).unwrap_or_default();
    let is_tag = root.tree.value.ends_with("{tag}");
    let hint = match near(wanted, here.iter().map(String::as_str)) {
        Some(near) if is_tag => format!("did you mean the tag {near}?"),
        _ => format!("unpack the image {} there", image.full_name()),
    };
    refuse(Reason::VersionNotInstalled, "image", message, hint)
}

fn config(root: &RootFile, image: &Image, tree: &Path, host: &dyn Host) -> Result<Config, RequestError> {
    let beside = PathBuf::from(format!("{}.json", tree.display()));
    let named = root.config.as_ref().map(|text| PathBuf::from(image.fill(&text.value)));
    let file = named.as_deref().unwrap_or(&beside);
    let config = match host.read(file) {
        Some(text) => from_json(&text).map_err(|why| unreadable(file, &why))?,
        None if named.is_some() => return Err(unreadable(file, "it is not there")),
        None => Config::default(),
    };
    Ok(match &root.image {
        Some(image) => over(image, config),
        None => config,
    })
}

fn unreadable(file: &Path, why: &str) -> RequestError {
    let message = format!("the image's configuration {} cannot be read: {why}", file.display());
    refuse(
        Reason::InvalidPreset,
        "image",
        message,
        "it is an OCI image configuration: {\"config\": {\"Entrypoint\": [..]}}",
    )
}

fn from_json(text: &str) -> Result<Config, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    // Docker's own form has the keys at the top.
    let nested = value.get("config").is_some() || value.get("Config").is_some();
    let execution = if nested {
        serde_json::from_value::<ImageConfig>(value).map(|image| image.config.unwrap_or_default())
    } else {
        serde_json::from_value(value)
    };
    let Execution { entrypoint, cmd, env, user, working_dir, stop_signal } = execution.map_err(|e| e.to_string())?;
    let pair = |text: String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let signal = stop_signal.filter(|text| !text.is_empty()).map(|text| signal(&text)).transpose()?;
    Ok(Config {
        entrypoint: entrypoint.unwrap_or_default(),
        cmd: cmd.unwrap_or_default(),
        env: env.unwrap_or_default().into_iter().filter_map(pair).collect(),
        user: user.filter(|user| !user.is_empty()),
        working_dir: working_dir.filter(|dir| !dir.is_empty()).map(PathBuf::from),
        stop_signal: signal,
    })
}

/// By name, with or without `SIG`, or by number, as `STOPSIGNAL` of a Dockerfile.
fn signal(text: &str) -> Result<i32, String> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let name = if text.starts_with("SIG") { text.to_owned() } else { format!("SIG{text}") };
    Signal::word(&name).map(|signal| signal.0).map_err(|(message, _)| message)
}

/// What the preset says goes before the file.
fn over(image: &ImageFile, file: Config) -> Config {
    let mut env = file.env;
    env.extend(image.env.clone());
    Config {
        entrypoint: image.entrypoint.clone().unwrap_or(file.entrypoint),
        cmd: image.cmd.clone().unwrap_or(file.cmd),
        env,
        user: image.user.clone().or(file.user),
        working_dir: image.working_dir.as_ref().map(|dir| dir.0.clone()).or(file.working_dir),
        stop_signal: image.stop_signal.map(|signal| signal.0).or(file.stop_signal),
    }
}

/// The accounts of a tree, from its own `/etc/passwd` and `/etc/group`.
#[derive(Debug, Default)]
pub(crate) struct TreeAccounts {
    tree: PathBuf,
    users: Vec<TreeUser>,
    groups: Vec<TreeGroup>,
}

#[derive(Debug)]
struct TreeUser {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

#[derive(Debug)]
struct TreeGroup {
    name: String,
    gid: u32,
    members: Vec<String>,
}

impl TreeAccounts {
    fn of(tree: &Path, host: &dyn Host) -> Self {
        let read = |file: &str| host.read_inside(tree, Path::new(file)).unwrap_or_default();
        let users = read("/etc/passwd").lines().filter_map(user_line).collect();
        let groups = read("/etc/group").lines().filter_map(group_line).collect();
        Self { tree: tree.to_owned(), users, groups }
    }

    /// `name` or a number, with or without a group.
    pub(crate) fn by_words(&self, user: &str, group: Option<&str>) -> Result<Account, RequestError> {
        let mut account = match (self.users.iter().find(|u| u.name == user), user.parse()) {
            (Some(found), _) => self.account(found),
            (None, Ok(uid)) => self.by_id(uid),
            (None, Err(_)) => return Err(self.unknown("user", user, "/etc/passwd")),
        };
        if let Some(group) = group {
            account.gid = match (self.groups.iter().find(|g| g.name == group), group.parse()) {
                (Some(found), _) => found.gid,
                (None, Ok(gid)) => gid,
                (None, Err(_)) => return Err(self.unknown("group", group, "/etc/group")),
            };
        }
        Ok(account)
    }

    /// Without an account its group has the same number, never root's.
    pub(crate) fn by_id(&self, uid: u32) -> Account {
        match self.users.iter().find(|u| u.uid == uid) {
            Some(found) => self.account(found),
            None => Account { name: String::new(), uid, gid: uid, groups: Vec::new() },
        }
    }

    pub(crate) fn nobody(&self) -> Account {
        self.by_words("nobody", None).unwrap_or_else(|_| self.by_id(NOBODY))
    }

    /// The home directory of a user; `/` for one without an account, as runc has it.
    pub(crate) fn home(&self, uid: u32) -> Option<String> {
        let home = self.users.iter().find(|u| u.uid == uid).map(|u| u.home.clone());
        Some(home.filter(|home| !home.is_empty()).unwrap_or_else(|| "/".to_owned()))
    }

    fn account(&self, user: &TreeUser) -> Account {
        let member = |g: &&TreeGroup| g.gid != user.gid && g.members.contains(&user.name);
        let groups = self.groups.iter().filter(member).map(|g| g.gid).collect();
        Account { name: user.name.clone(), uid: user.uid, gid: user.gid, groups }
    }

    fn unknown(&self, what: &str, name: &str, file: &str) -> RequestError {
        let message = format!("the tree {} has no {what} {name:?} in its own {file}", self.tree.display());
        refuse(Reason::UnknownUser, "image", message, "write the id as a number, or give securityContext.runAsUser")
    }
}

fn user_line(line: &str) -> Option<TreeUser> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?.to_owned();
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(TreeUser { name, uid, gid, home: fields.nth(1).unwrap_or_default().to_owned() })
}

fn group_line(line: &str) -> Option<TreeGroup> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?.to_owned();
    let gid = fields.nth(1)?.parse().ok()?;
    let members = fields.next().unwrap_or_default().split(',').map(|m| m.trim().to_owned()).collect();
    Some(TreeGroup { name, gid, members })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_images_configuration_is_read_in_both_its_forms() {
        let inner = r#"{"Entrypoint": ["/agnhost"], "Cmd": ["pause"], "Env": ["A=b=c"], "User": "65534",
            "WorkingDir": "/w", "StopSignal": "QUIT", "Labels": null}"#;
        let nested = from_json(&format!(r#"{{"architecture": "amd64", "config": {inner}}}"#)).expect("read");
        assert_eq!(nested, from_json(inner).expect("read"));
        assert_eq!((nested.entrypoint, nested.cmd), (vec!["/agnhost".to_owned()], vec!["pause".to_owned()]));
        assert_eq!(nested.env["A"], "b=c");
        assert_eq!((nested.user.as_deref(), nested.stop_signal), (Some("65534"), Some(3)));
        assert!(from_json("{").is_err() && from_json(r#"{"config": {"Entrypoint": "x"}}"#).is_err());
        assert!(from_json(r#"{"StopSignal": "SIGNOTHING"}"#).is_err());
        assert_eq!(from_json("{}").expect("read"), Config::default());
    }

    #[test]
    fn lines_that_are_no_accounts_are_passed_over() {
        assert!(user_line("# comment").is_none() && user_line("broken:x:no:1").is_none() && user_line("").is_none());
        let user = user_line("app:x:1000:1001:App:/home/app:/bin/sh").expect("a user");
        assert_eq!((user.uid, user.gid, user.home.as_str()), (1000, 1001, "/home/app"));
        assert_eq!(group_line("disk:x:6:app,other").expect("a group").members, ["app", "other"]);
    }
}
