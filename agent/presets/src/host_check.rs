//! Whether the host is as a preset would have it. The host is only looked at, never changed.

use std::path::PathBuf;

use barepod_model::{Reason, RequestError};
use minijinja::Value;

use crate::error::refuse;
use crate::file::{HostCheckFile, Severity};
use crate::host::Host;
use crate::template::Scope;
use crate::word::Resource;

/// What is to be said of the host; the first thing that forbids a pod is an error.
pub(crate) fn look(
    checks: &[HostCheckFile],
    scope: &Scope,
    host: &dyn Host,
) -> Result<Vec<RequestError>, RequestError> {
    let mut warnings = Vec::new();
    for check in checks {
        // What this host does not have, for instance a file of another kernel, needs no setting.
        let Some(value) = value(check, host) else { continue };
        let scope = scope.with("value", value);
        if !scope.is_true(&check.when)? {
            continue;
        }
        let (message, hint) = (scope.render(&check.message)?, scope.render(&check.hint)?);
        let said = refuse(Reason::HostCheckFailed, "image", message, hint);
        match check.severity.unwrap_or(Severity::Warn) {
            Severity::Refuse => return Err(said),
            Severity::Warn => warnings.push(said),
        }
    }
    Ok(warnings)
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
