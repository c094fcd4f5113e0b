//! Whether the host is as a preset would have it. The host is only looked at, never changed.

use std::path::PathBuf;

use barepod_model::{Reason, RequestError};
use minijinja::Value;

use crate::error::refuse;
use crate::file::{HostCheckFile, Severity};
use crate::host::Host;
use crate::read::Text;
use crate::template::Scope;
use crate::word::Resource;

/// Something that a preset wants of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The check's name.
    pub name: String,
    /// What is looked at: `vm.max_map_count`, a path, `nofile`, `clock`.
    pub of: String,
    /// What it should be, in words, where the preset says so.
    pub wants: Option<String>,
    /// What it is; nothing where this host does not have it, and then nothing is wanted.
    pub found: Option<String>,
    /// What is wrong; nothing if it is as it should be.
    pub unmet: Option<Unmet>,
}

/// What is wrong with the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// No pod of the preset is admitted; else it is told.
    pub refuses: bool,
    /// What is wrong.
    pub message: String,
    /// What to do, in words.
    pub hint: String,
    /// The command that mends it, where the preset has one.
    pub command: Option<String>,
}

/// What is to be said of the host; the first thing that forbids a pod is an error.
pub(crate) fn look(
    checks: &[HostCheckFile],
    scope: &Scope,
    host: &dyn Host,
) -> Result<Vec<RequestError>, RequestError> {
    let mut warnings = Vec::new();
    for check in checks {
        let Some(unmet) = want(check, scope, host)?.unmet else { continue };
        let said = refuse(Reason::HostCheckFailed, "image", unmet.message, unmet.hint);
        if unmet.refuses {
            return Err(said);
        }
        warnings.push(said);
    }
    Ok(warnings)
}

/// One check, and what the host says to it.
pub(crate) fn want(check: &HostCheckFile, scope: &Scope, host: &dyn Host) -> Result<Want, RequestError> {
    let name = check.name.value.clone();
    // What this host does not have, for instance a file of another kernel, needs no setting.
    let Some(value) = value(check, host) else {
        return Ok(Want { name, of: subject(check), wants: None, found: None, unmet: None });
    };
    let found = Some(value.to_string());
    let scope = scope.with("value", value);
    let text = |text: &Option<Text>| text.as_ref().map(|text| scope.render(text)).transpose();
    let unmet = if scope.is_true(&check.when)? {
        let refuses = check.severity == Some(Severity::Refuse);
        let (message, hint) = (scope.render(&check.message)?, scope.render(&check.hint)?);
        Some(Unmet { refuses, message, hint, command: text(&check.command)? })
    } else {
        None
    };
    Ok(Want { name, of: subject(check), wants: text(&check.wants)?, found, unmet })
}

/// What is looked at, in a word.
fn subject(check: &HostCheckFile) -> String {
    let sysctl = check.sysctl.as_ref().map(|name| name.value.clone());
    let file = || check.file.as_ref().map(|path| path.0.display().to_string());
    let limit = || check.limit.map(|limit| limit.name().to_owned());
    sysctl.or_else(file).or_else(limit).unwrap_or_else(|| "clock".to_owned())
}

fn value(check: &HostCheckFile, host: &dyn Host) -> Option<Value> {
    if let Some(name) = &check.sysctl {
        let path = PathBuf::from("/proc/sys").join(name.value.replace('.', "/"));
        return host.read(&path).map(|text| plain(&text));
    }
    if let Some(path) = &check.file {
        return host.read(&path.0).map(|text| plain(&text));
    }
    if let Some(limit) = check.limit {
        return hard_limit(&host.read("/proc/self/limits".as_ref())?, limit).map(Value::from);
    }
    host.clock_synchronised().map(Value::from)
}

/// A number where it is one.
fn plain(text: &str) -> Value {
    let text = text.trim_end_matches('\n');
    text.trim().parse::<i64>().map_or_else(|_| Value::from(text), Value::from)
}

/// The names in `/proc/PID/limits`, by Linux' number.
const LIMITS: [&str; 16] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

fn hard_limit(table: &str, limit: Resource) -> Option<u64> {
    let name = LIMITS.get(usize::try_from(limit.0).ok()?)?;
    let row = table.lines().find_map(|line| line.strip_prefix(name))?;
    match row.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_limits_are_read_from_the_kernels_table() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max open files            1024                 524288               files     \n\
                     Max locked memory         8388608              unlimited            bytes     \n";
        assert_eq!(hard_limit(table, Resource(7)), Some(524_288));
        assert_eq!(hard_limit(table, Resource(8)), Some(u64::MAX));
        assert_eq!(hard_limit(table, Resource(0)), None);
    }
}
