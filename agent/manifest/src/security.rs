//! `securityContext` of pod and container.

use barepod_model::{CAPABILITIES, CapabilityRequest, FsGroupChangePolicy, Reason, UserRequest};
use k8s_openapi::api::core::v1::{Capabilities, PodSecurityContext, SecurityContext};

use crate::check::nearest;
use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// All of them.
const ALL: &str = "ALL";

/// Who a container asks to run as: what it says itself, else what its pod says.
pub(crate) fn user(
    pod: Option<&PodSecurityContext>,
    own: Option<&SecurityContext>,
    pod_path: &FieldPath,
    own_path: &FieldPath,
    out: &mut Findings,
) -> UserRequest {
    let mut pick = |own: Option<i64>, pod: Option<i64>, name: &str| match (own, pod) {
        (Some(value), _) => id(value, &own_path.key(name), out),
        (None, Some(value)) => id(value, &pod_path.key(name), out),
        (None, None) => None,
    };
    let uid = pick(own.and_then(|s| s.run_as_user), pod.and_then(|s| s.run_as_user), "runAsUser");
    let gid = pick(own.and_then(|s| s.run_as_group), pod.and_then(|s| s.run_as_group), "runAsGroup");
    let non_root = own.and_then(|s| s.run_as_non_root).or(pod.and_then(|s| s.run_as_non_root)).unwrap_or_default();
    if non_root && uid == Some(0) {
        let finding =
            Finding::new(Reason::InvalidValue, &own_path.key("runAsNonRoot"), "it runs as user 0, which is root");
        out.error(finding.hint("give another runAsUser"));
    }
    let path = pod_path.key("supplementalGroups");
    let groups = pod.and_then(|s| s.supplemental_groups.as_deref()).unwrap_or_default();
    let groups = groups.iter().enumerate().filter_map(|(i, group)| id(*group, &path.index(i), out)).collect();
    let fs_group = pod.and_then(|s| s.fs_group).and_then(|group| id(group, &pod_path.key("fsGroup"), out));
    let strict_groups = strict_groups(pod, &pod_path.key("supplementalGroupsPolicy"), out);
    UserRequest { uid, gid, groups, non_root, fs_group, strict_groups }
}

fn strict_groups(pod: Option<&PodSecurityContext>, path: &FieldPath, out: &mut Findings) -> bool {
    match pod.and_then(|s| s.supplemental_groups_policy.as_deref()) {
        None | Some("" | "Merge") => false,
        Some("Strict") => true,
        Some(other) => {
            let finding = Finding::new(Reason::InvalidValue, path, format!("there is no such policy as {other:?}"));
            out.error(finding.hint("use Merge or Strict"));
            false
        }
    }
}

/// Reads `fsGroupChangePolicy`.
pub(crate) fn fs_group_policy(
    pod: Option<&PodSecurityContext>,
    path: &FieldPath,
    out: &mut Findings,
) -> FsGroupChangePolicy {
    match pod.and_then(|s| s.fs_group_change_policy.as_deref()) {
        None | Some("" | "Always") => FsGroupChangePolicy::Always,
        Some("OnRootMismatch") => FsGroupChangePolicy::OnRootMismatch,
        Some(other) => {
            let path = path.key("fsGroupChangePolicy");
            let finding = Finding::new(Reason::InvalidValue, &path, format!("there is no such policy as {other:?}"));
            out.error(finding.hint("use Always or OnRootMismatch"));
            FsGroupChangePolicy::Always
        }
    }
}

/// A user or group id, as apimachinery's `IsValidUserID`.
fn id(value: i64, path: &FieldPath, out: &mut Findings) -> Option<u32> {
    let id = i32::try_from(value).ok().and_then(|v| u32::try_from(v).ok());
    if id.is_none() {
        let finding = Finding::new(Reason::InvalidValue, path, format!("{value} is no user or group id"));
        out.error(finding.hint("use a number from 0 to 2147483647"));
    }
    id
}

/// Reads `capabilities`. Letters may be large or small, as container runtimes have it.
pub(crate) fn capabilities(from: Option<&Capabilities>, path: &FieldPath, out: &mut Findings) -> CapabilityRequest {
    let mut request = CapabilityRequest::default();
    let Some(from) = from else { return request };
    for (i, name) in from.add.iter().flatten().enumerate() {
        if is_capability(name, ALL) {
            request.add_all = true;
        } else {
            request.add.extend(out.take(capability(name, &path.key("add").index(i))));
        }
    }
    for (i, name) in from.drop.iter().flatten().enumerate() {
        if is_capability(name, ALL) {
            request.drop_all = true;
        } else {
            request.drop.extend(out.take(capability(name, &path.key("drop").index(i))));
        }
    }
    request
}

/// Whether a manifest's word means this capability.
pub(crate) fn is_capability(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name)
}

fn capability(name: &str, path: &FieldPath) -> Result<u32, Finding> {
    if let Some(number) = CAPABILITIES.iter().position(|known| is_capability(name, known)) {
        return Ok(u32::try_from(number).unwrap_or(u32::MAX));
    }
    let finding = Finding::new(Reason::InvalidValue, path, format!("there is no capability {name:?}"));
    Err(match nearest(name.trim_start_matches("CAP_"), CAPABILITIES.into_iter()) {
        Some(near) => finding.hint(format!("did you mean {near:?}?")),
        None => finding.hint("use Linux' names without CAP_, e.g. IPC_LOCK"),
    })
}
