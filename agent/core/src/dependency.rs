//! Pods that wait for other pods: a container of one is started for the first time when those it depends on are ready,
//! and those it depends on end after it.
//!
//! Only beginnings and ends are ordered. A pod that has begun does not stop when one it depends on is no longer ready.

use std::collections::BTreeMap;

use barepod_model::{Pod, PodRef, PodUid, Reason};

use crate::admission::Blocker;
use crate::pod::PodMachine;

/// What `uid` waits for before its first container is started, if it does.
pub(crate) fn missing(pods: &BTreeMap<PodUid, PodMachine>, uid: &PodUid) -> Option<Blocker> {
    pods.get(uid)?.record.pod.depends_on.iter().find_map(|wanted| {
        let there: Vec<_> = pods.values().filter(|pod| is_named(&pod.record.pod, wanted)).collect();
        let ready = there.iter().any(|pod| !pod.is_dying() && pod.view.as_ref().is_some_and(|view| view.ready));
        let PodRef { namespace, name } = wanted;
        let state = if there.is_empty() { "does not exist" } else { "is not ready" };
        let message = format!("it depends on pod {namespace}/{name}, which {state}");
        (!ready).then_some(Blocker { reason: Reason::WaitingForDependency, message })
    })
}

/// Whether the end of `uid` waits for that of another pod, which depends on it and is ending too, as all are on a host that
/// goes down.
pub(crate) fn is_held(pods: &BTreeMap<PodUid, PodMachine>, uid: &PodUid, goes_down: bool) -> bool {
    let Some(me) = pods.get(uid) else { return false };
    let ends = |pod: &PodMachine| pod.is_dying() || goes_down;
    let mut ending = pods.values().filter(|pod| ends(pod) && !pod.is_idle() && pod.uid() != uid);
    ending.any(|pod| depends_on(&pod.record.pod, &me.record.pod))
}

/// Pods for which a change of `uid` may mean something.
pub(crate) fn related(pods: &BTreeMap<PodUid, PodMachine>, of: &Pod) -> Vec<PodUid> {
    let related = |pod: &Pod| depends_on(pod, of) || depends_on(of, pod);
    let others = pods.iter().filter(|(uid, pod)| **uid != of.uid && related(&pod.record.pod));
    others.map(|(uid, _)| uid.clone()).collect()
}

/// Says that `wanted` would wait for itself, if it would.
pub(crate) fn cycle(pods: &BTreeMap<PodUid, PodMachine>, wanted: &Pod) -> Option<String> {
    let me = PodRef { namespace: wanted.namespace.clone(), name: wanted.name.clone() };
    let mut paths: Vec<Vec<PodRef>> = wanted.depends_on.iter().map(|first| vec![first.clone()]).collect();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = paths.pop() {
        let Some(last) = path.last().cloned() else { continue };
        if last == me {
            let names: Vec<_> = path.iter().map(|pod| format!("{}/{}", pod.namespace, pod.name)).collect();
            let (namespace, name) = (&me.namespace, &me.name);
            return Some(format!(
                "pod {namespace}/{name} would wait for itself: it depends on {}",
                names.join(", then ")
            ));
        }
        if seen.insert(last.clone()) {
            let next = pods.values().filter(|pod| is_named(&pod.record.pod, &last));
            let next = next.flat_map(|pod| &pod.record.pod.depends_on);
            paths.extend(next.map(|next| path.iter().chain([next]).cloned().collect()));
        }
    }
    None
}

fn is_named(pod: &Pod, name: &PodRef) -> bool {
    pod.namespace == name.namespace && pod.name == name.name
}

fn depends_on(pod: &Pod, other: &Pod) -> bool {
    pod.depends_on.iter().any(|name| is_named(other, name))
}
