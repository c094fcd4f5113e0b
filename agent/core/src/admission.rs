//! Who may be there at all, and who may have a name, a data path and a port of the host: first come, first served,
//! whatever the sources say.
//!
//! Every pod has a place in one queue, given when it is first seen and kept in the ledger. A pod waits while one with a
//! lower place has its name or a path that overlaps one of its own. The lowest place never waits, so nobody waits for
//! ever, and after a restart of the daemon everybody waits for the same one as before. A pod whose ledger file cannot be
//! read keeps its name, where that is known, and has no paths here: nothing can be compared with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barepod_model::{HostPort, Permit, Pod, PodUid, Quota, Reason};

use crate::planted::{self, Fault};
use crate::pod::PodMachine;
use crate::{Denied, PodRecord};

/// Whether the policy lets a new pod be there.
pub(crate) fn permitted(pods: &BTreeMap<PodUid, PodMachine>, pod: &Pod, permit: &Permit) -> Result<(), Denied> {
    permitted_change(permit)?;
    let quotas = match permit {
        Permit::Granted(quotas) => quotas,
        Permit::Refused { .. } => return Ok(()),
    };
    let counts = |quota: &Quota, other: &Pod| {
        quota.sources.contains(&other.source) && quota.namespaces.iter().any(|ns| ns.matches(other.namespace.as_str()))
    };
    let has_room = |quota: &Quota| {
        let living = pods.values().filter(|other| !other.is_dying());
        let there = living.filter(|other| counts(quota, &other.record.pod)).count();
        planted::on(Fault::QuotaIgnored) || u32::try_from(there).is_ok_and(|there| there < quota.most)
    };
    if quotas.is_empty() || quotas.iter().any(has_room) {
        return Ok(());
    }
    let full: Vec<_> = quotas.iter().map(|quota| format!("rule {:?} at most {}", quota.rule, quota.most)).collect();
    let message = format!(
        "the policy does not allow one more pod beside those there are: {}; raise limits.pods or delete a pod before pod \
         {}/{} is applied",
        full.join(", "),
        pod.namespace,
        pod.name
    );
    Err(Denied { reason: Reason::Forbidden, message })
}

/// Whether it lets a pod that is there become another. That does not make them more.
pub(crate) fn permitted_change(permit: &Permit) -> Result<(), Denied> {
    match permit {
        Permit::Refused { message } if !planted::on(Fault::PolicyIgnored) => {
            Err(Denied { reason: Reason::Forbidden, message: message.clone() })
        }
        Permit::Refused { .. } | Permit::Granted(_) => Ok(()),
    }
}

/// Why a pod waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocker {
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

/// What `uid` waits for, if it does.
pub(crate) fn blocker(pods: &BTreeMap<PodUid, PodMachine>, uid: &PodUid) -> Option<Blocker> {
    let mine = &pods.get(uid)?.record;
    let earlier = pods.values().filter(|other| {
        place(&other.record) < place(mine)
            && !other.was_refused()
            && !(planted::on(Fault::DyingHoldsNothing) && other.is_dying())
    });
    let mut earlier: Vec<_> = earlier.collect();
    earlier.sort_by_key(|other| place(&other.record));
    earlier.iter().find_map(|other| conflict(&mine.pod, other))
}

fn place(record: &PodRecord) -> (u64, &PodUid) {
    (record.order, &record.pod.uid)
}

fn conflict(mine: &Pod, other: &PodMachine) -> Option<Blocker> {
    let Pod { namespace, name, uid, .. } = &other.record.pod;
    if same_name(mine, &other.record.pod) {
        let message = format!("pod {namespace}/{name} ({uid}) must be gone first");
        return Some(Blocker { reason: Reason::WaitingForPredecessor, message });
    }
    let path = shared_path(mine, other)?;
    let (what, reason) = match HostPort::of(path) {
        // It is free soon: no reason to go elsewhere.
        Some(port) if other.is_dying() => (format!("port {port} of the host"), Reason::WaitingForPredecessor),
        Some(port) => (format!("port {port} of the host"), Reason::NodePorts),
        None => (format!("data path {}", path.display()), Reason::DataPathInUse),
    };
    Some(Blocker { reason, message: format!("{what} is held by pod {namespace}/{name} ({uid})") })
}

/// Whether an update to `wanted` takes a path that another pod holds, waits for or is about to get.
pub(crate) fn taken_path(pods: &BTreeMap<PodUid, PodMachine>, wanted: &Pod) -> Option<Blocker> {
    let present = &pods.get(&wanted.uid)?.record.pod;
    let mut added = wanted.clone();
    added.data_paths.retain(|path| !present.data_paths.contains(path));
    let mut others = pods.values().filter(|other| other.record.pod.uid != wanted.uid);
    others.find(|other| shared_path(&added, other).is_some()).and_then(|other| conflict(&added, other))
}

/// Two pods that may not both be there.
pub(crate) fn same_name(a: &Pod, b: &Pod) -> bool {
    a.namespace == b.namespace && a.name == b.name
}

fn shared_path<'a>(mine: &Pod, other: &'a PodMachine) -> Option<&'a PathBuf> {
    let PodRecord { pod, releasing, .. } = &other.record;
    let mut theirs = pod.data_paths.iter().chain(releasing).chain(other.journal.asked_paths());
    theirs.find(|theirs| mine.data_paths.iter().any(|mine| overlap(mine, theirs)))
}

/// Equal, or one inside the other.
fn overlap(a: &Path, b: &Path) -> bool {
    if planted::on(Fault::NestedPathsIgnored) { a == b } else { a.starts_with(b) || b.starts_with(a) }
}
