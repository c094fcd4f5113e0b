//! What the host has for pods, and who gets it.
//!
//! A pod is given what it asks for when it is begun, and keeps it until nothing of it lives: nobody who came later, nor a
//! host that has become smaller, takes it away. What a change asks for beyond that is given when there is room; until then
//! the pod goes on with what it has ([`Allocation`]).

use std::collections::{BTreeMap, BTreeSet};

use barepod_model::{Amounts, ContainerKind, ContainerName, HostPort, Pod, PodUid, Reason, Resources, total};
use serde::{Deserialize, Serialize};

use crate::ContainerRecord;
use crate::admission::Blocker;
use crate::container::is_outdated;
use crate::cpus::{CpuPool, CpuSet};
use crate::planted::{self, Fault};
use crate::pod::{PodMachine, Stage};

/// What the host has for pods: all of it, less what is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Capacity {
    /// CPU, memory and the like.
    pub amounts: Amounts,
    /// So many pods at most; `None` is no limit.
    pub pods: Option<u64>,
    /// Its CPUs, by number.
    pub cpus: CpuPool,
    /// What of it others have.
    pub others: Booking,
}

/// What others than barepod have booked on the host, as a Nomad client has for its own allocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Booking {
    /// CPU, memory and the like.
    pub amounts: Amounts,
    /// Ports of the host.
    pub ports: BTreeSet<u16>,
    /// CPUs that they have for themselves.
    #[serde(default)]
    pub cpus: CpuSet,
}

/// What a pod was given, while it wants something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The pod as a whole.
    pub level: Option<Resources>,
    /// Its containers.
    pub containers: BTreeMap<ContainerName, Resources>,
}

impl Allocation {
    /// What a pod says it wants.
    pub(crate) fn of(pod: &Pod) -> Self {
        let containers = pod.containers.iter().map(|container| (container.name.clone(), container.resources));
        Self { level: pod.resources.level, containers: containers.collect() }
    }

    /// Whether the pod asks for anything else.
    pub(crate) fn differs_in(&self, pod: &Pod) -> bool {
        let other = |(name, had): (&ContainerName, &Resources)| {
            pod.containers.iter().any(|container| container.name == *name && container.resources != *had)
        };
        self.level != pod.resources.level || self.containers.iter().any(other)
    }

    /// The pod as if it had asked for this.
    pub(crate) fn put_into(&self, pod: &mut Pod) {
        pod.resources.level = self.level;
        for container in &mut pod.containers {
            if let Some(resources) = self.containers.get(&container.name) {
                container.resources = *resources;
            }
        }
    }
}

/// Why a change of resources is not made yet (`PodResizePending`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingResize {
    /// `Deferred`: others have what it needs; `Infeasible`: the host does not have it at all.
    pub reason: Reason,
    /// In kubelet's words.
    pub message: String,
}

/// Why `uid`, which has been given nothing yet, cannot be begun.
pub(crate) fn lacks(pods: &BTreeMap<PodUid, PodMachine>, host: Option<&Capacity>, uid: &PodUid) -> Option<Blocker> {
    let (host, pod) = (host?, pods.get(uid)?);
    if planted::on(Fault::ResourcesNotCounted) {
        return None;
    }
    let count = pods.values().filter(|other| has_something(other)).count() as u64;
    if let Some(most) = host.pods.filter(|most| count >= *most) {
        let message = format!("Node didn't have enough resource: pods, requested: 1, used: {count}, capacity: {most}");
        return Some(Blocker { reason: Reason::OutOfpods, message });
    }
    if let Some(blocker) = foreign_port(host, &pod.record.pod, None) {
        return Some(blocker);
    }
    let wanted = pod.record.pod.requests();
    let (name, message) = shortage(wanted, used_by_others(pods, host, uid), host.amounts)?;
    Some(Blocker { reason: out_of(name), message })
}

/// What keeps `uid` from getting what a change asks for; `None` if it may have it.
pub(crate) fn pending(
    pods: &BTreeMap<PodUid, PodMachine>,
    host: Option<&Capacity>,
    uid: &PodUid,
) -> Option<PendingResize> {
    let (host, pod) = (host?, pods.get(uid)?);
    let (wanted, has) = (pod.record.pod.requests(), pod.wanted.requests());
    if !pod.record.exclusive.is_empty() && wanted.cpu != has.cpu {
        // kubelet's words (`canResizePod`).
        let message = "Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy".to_owned();
        return Some(PendingResize { reason: Reason::Infeasible, message });
    }
    // What does not grow is there, whatever has become of the host.
    let grown = grown(wanted, has);
    let too_much = grown.named().into_iter().zip(host.amounts.named()).find(|((_, more), (_, all))| more > all);
    if let Some(((name, requested), (_, capacity))) = too_much {
        let message = format!("Node didn't have enough capacity: {name}, requested: {requested}, capacity: {capacity}");
        return Some(PendingResize { reason: Reason::Infeasible, message });
    }
    let (_, message) = shortage(grown, used_by_others(pods, host, uid), host.amounts)?;
    Some(PendingResize { reason: Reason::Deferred, message })
}

/// What a change of the pod's containers, apart from what they ask for, needs that is not there.
pub(crate) fn lacks_for_change(
    pods: &BTreeMap<PodUid, PodMachine>,
    host: Option<&Capacity>,
    wanted: &Pod,
) -> Option<Blocker> {
    let (host, present) = (host?, pods.get(&wanted.uid)?);
    if !has_something(present) || planted::on(Fault::ResourcesNotCounted) {
        return None;
    }
    if let Some(blocker) = foreign_port(host, wanted, Some(&present.record.pod)) {
        return Some(blocker);
    }
    let grown = grown(as_given(present, wanted), present.wanted.requests());
    let (name, message) = shortage(grown, used_by_others(pods, host, &wanted.uid), host.amounts)?;
    Some(Blocker { reason: out_of(name), message })
}

/// What a changed pod asks for before it is given more than it has: what its containers have, and what new ones ask for.
fn as_given(present: &PodMachine, wanted: &Pod) -> Amounts {
    let mut changed = wanted.clone();
    Allocation::of(&present.wanted).put_into(&mut changed);
    changed.requests()
}

/// What is wanted of all that is to become more.
fn grown(wanted: Amounts, has: Amounts) -> Amounts {
    let mut grown = wanted;
    let pick = |wanted: u64, has: u64| if wanted > has { wanted } else { 0 };
    grown.cpu.0 = pick(wanted.cpu.0, has.cpu.0);
    grown.memory.0 = pick(wanted.memory.0, has.memory.0);
    grown.storage.0 = pick(wanted.storage.0, has.storage.0);
    grown.huge_two_mi.0 = pick(wanted.huge_two_mi.0, has.huge_two_mi.0);
    grown.huge_one_gi.0 = pick(wanted.huge_one_gi.0, has.huge_one_gi.0);
    grown
}

/// The first thing of which there is not enough.
fn shortage(wanted: Amounts, used: Amounts, all: Amounts) -> Option<(&'static str, String)> {
    let amounts = wanted.named().into_iter().zip(used.named()).zip(all.named());
    let mut short = amounts.filter(|(((_, wanted), (_, used)), (_, all))| *wanted > 0 && wanted + used > *all);
    let (((name, requested), (_, used)), (_, capacity)) = short.next()?;
    let figures = format!("requested: {requested}, used: {used}, capacity: {capacity}");
    Some((name, format!("Node didn't have enough resource: {name}, {figures}")))
}

fn out_of(name: &str) -> Reason {
    match name {
        "cpu" => Reason::OutOfcpu,
        "memory" => Reason::OutOfmemory,
        "ephemeral-storage" => Reason::OutOfEphemeralStorage,
        "hugepages-2Mi" => Reason::OutOfHugePages2Mi,
        _ => Reason::OutOfHugePages1Gi,
    }
}

/// A port that is wanted and was not there before, and that is not barepod's to give.
fn foreign_port(host: &Capacity, wanted: &Pod, present: Option<&Pod>) -> Option<Blocker> {
    let is_new = |path: &&std::path::PathBuf| present.is_none_or(|present| !present.data_paths.contains(*path));
    let mut ports = wanted.data_paths.iter().filter(is_new).filter_map(|path| HostPort::of(path));
    let port = ports.find(|port| host.others.ports.contains(&port.number))?;
    let message = format!("port {port} of the host is booked by somebody else, such as an allocation of Nomad's");
    Some(Blocker { reason: Reason::NodePorts, message })
}

fn used_by_others(pods: &BTreeMap<PodUid, PodMachine>, host: &Capacity, uid: &PodUid) -> Amounts {
    let others = pods.values().filter(|other| other.uid() != uid);
    let foreign = if planted::on(Fault::OthersNotCounted) { Amounts::default() } else { host.others.amounts };
    others.fold(foreign, |sum, other| sum.plus(booked(other)))
}

/// What a pod has of the host.
pub(crate) fn booked(pod: &PodMachine) -> Amounts {
    match (has_something(pod), pod.journal.asked_pod()) {
        (false, _) => Amounts::default(),
        (true, None) => held(pod),
        // What is being written is given to nobody else meanwhile.
        (true, Some(asked)) => held(pod).max(as_given(pod, asked)),
    }
}

/// What a pod was given, and, as long as it lives, what it was given before: a container that is to become smaller, or
/// to go, has what it was started with until it has ended or its limits are changed.
fn held(pod: &PodMachine) -> Amounts {
    let given = pod.wanted.requests();
    if planted::on(Fault::LeavingNotCounted) {
        return given;
    }
    let living = pod.containers.iter().filter(|(_, machine)| !machine.is_idle());
    let living: BTreeMap<_, _> =
        living.filter_map(|(name, _)| Some((name, pod.record.containers.get(name)?))).collect();
    let has = |rec: &ContainerRecord| rec.in_force.map(|resources| resources.requests()).unwrap_or_default();
    let wanted = pod.wanted.containers.iter().map(|spec| {
        let (kind, requests) = (spec.kind, spec.resources.requests());
        match living.get(&spec.name) {
            // It may live beside all others, whatever its successor is.
            Some(rec) if is_outdated(rec) => (ContainerKind::Regular, requests.max(has(rec))),
            Some(rec) => (kind, requests.max(has(rec))),
            None => (kind, requests),
        }
    });
    let is_wanted = |name: &ContainerName| pod.wanted.containers.iter().any(|spec| spec.name == *name);
    let removed = living.iter().filter(|(name, _)| !is_wanted(name)).map(|(_, rec)| (ContainerKind::Regular, has(rec)));
    let together = total(wanted.chain(removed));
    let levels = living.values().map(|rec| rec.level_in_force).chain([pod.wanted.resources.level]);
    levels.map(|level| together.as_said_by(level.as_ref())).fold(given, Amounts::max)
}

/// Whether a pod has been begun, and something of it lives or may live again.
pub(crate) fn has_something(pod: &PodMachine) -> bool {
    match pod.stage {
        Stage::Accepting | Stage::Waiting(_) | Stage::TornDown | Stage::Forgetting { .. } => !pod.is_idle(),
        Stage::ForgetFailed { .. } | Stage::Gone => false,
        Stage::Preparing { .. }
        | Stage::PrepareFailed { .. }
        | Stage::Prepared { .. }
        | Stage::TearingDown { .. }
        | Stage::TearDownFailed { .. } => !((pod.is_over() || pod.is_dying()) && pod.is_idle()),
    }
}
