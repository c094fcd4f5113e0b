//! Single words of a policy: who, and which profile.

use std::ops::RangeInclusive;

use barepod_model::Pattern;

use crate::host::Host;

/// A user or a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// `*`: anybody. As a power, anybody but root.
    Anybody,
    /// `preset`: the account of the preset.
    Preset,
    /// By name, looked up when it is needed: the account may be made later.
    Name(String),
    /// By number.
    Ids(RangeInclusive<u32>),
}

impl Who {
    /// Reads a word; `None` if it is none.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "*" => return Some(Who::Anybody),
            "preset" => return Some(Who::Preset),
            _ => {}
        }
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            return (first <= last).then_some(Who::Ids(first..=last));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '$' | '\\');
        (!word.is_empty() && word.len() <= 64 && word.chars().all(allowed)).then(|| Who::Name(word.to_owned()))
    }

    /// Whether it names this user. Root is named, by name or alone by number: never by a star or by a range.
    pub(crate) fn is_user(&self, uid: u32, host: &dyn Host) -> bool {
        match self {
            Who::Anybody => uid != 0,
            Who::Preset => false,
            Who::Name(name) => is_root_by_name(name, uid) || host.account(name).is_some_and(|a| a.uid == uid),
            Who::Ids(ids) => is_among(ids, uid),
        }
    }

    /// Whether it names this group, by the same rule.
    pub(crate) fn is_group(&self, gid: u32, host: &dyn Host) -> bool {
        match self {
            Who::Anybody => gid != 0,
            Who::Preset => false,
            Who::Name(name) => is_root_by_name(name, gid) || host.group(name) == Some(gid),
            Who::Ids(ids) => is_among(ids, gid),
        }
    }
}

fn is_root_by_name(name: &str, id: u32) -> bool {
    name == "root" && id == 0
}

fn is_among(ids: &RangeInclusive<u32>, id: u32) -> bool {
    if id == 0 { *ids == (0..=0) } else { ids.contains(&id) }
}

/// A seccomp or AppArmor profile. `RuntimeDefault` takes powers away, so it need not be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Profile {
    /// `Unconfined`.
    Unconfined,
    /// `localhost/NAME`.
    Localhost(Pattern),
}

impl Profile {
    /// Reads a word; `None` for `RuntimeDefault`.
    pub(crate) fn parse(word: &str) -> Result<Option<Self>, ()> {
        match word {
            "RuntimeDefault" => Ok(None),
            "Unconfined" => Ok(Some(Profile::Unconfined)),
            _ => {
                let name = word.strip_prefix("localhost/").ok_or(())?;
                Pattern::new(name).map(|name| Some(Profile::Localhost(name))).map_err(|_| ())
            }
        }
    }

    pub(crate) fn allows(&self, wanted: &str) -> bool {
        match self {
            Profile::Unconfined => wanted == "Unconfined",
            Profile::Localhost(pattern) => wanted.strip_prefix("localhost/").is_some_and(|name| pattern.matches(name)),
        }
    }
}
