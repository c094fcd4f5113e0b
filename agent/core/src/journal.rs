//! One pod's way to its ledger file.
//!
//! ```text
//!   Quiet ──facts changed──▶ writing lazily ──Stored──▶ Quiet
//!     │                            └──StoreFailed──▶ again after a while
//!     └──a proposal──▶ writing ──Stored──▶ the change is made, its request answered
//!                         └──StoreFailed──▶ nothing changed, its request denied
//! ```
//!
//! One write is on its way at a time; what changes meanwhile goes with the next. Nothing but answers to requests waits
//! for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use barepod_model::{BootTime, ContainerName, Pod, Stamp};

use crate::context::Ctx;
use crate::planted::{self, Fault};
use crate::proposal::Proposal;
use crate::retry::Retry;
use crate::{
    Allocation, Condition, ContainerRecord, CpuSet, Deletion, Effect, PodFailure, PodRecord, RequestId, Revision, Sync,
};

/// The writer.
#[derive(Debug)]
pub(crate) struct Journal {
    revision: Revision,
    flight: Option<Flight>,
    written: Option<Facts>,
    again: Option<Retry>,
}

#[derive(Debug)]
struct Flight {
    revision: Revision,
    facts: Facts,
    proposal: Option<Pending>,
}

/// A proposal on its way to the disk.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) proposal: Proposal,
    /// Who is told; `None` if nobody asked.
    pub(crate) request: Option<RequestId>,
}

/// What changes in a record without a request.
#[derive(Debug, PartialEq)]
struct Facts {
    containers: BTreeMap<ContainerName, Box<ContainerRecord>>,
    releasing: BTreeSet<PathBuf>,
    deletion: Option<Deletion>,
    failure: Option<PodFailure>,
    halted: Option<Stamp>,
    initialized: bool,
    conditions: BTreeMap<String, Condition>,
    counts_from: Option<Stamp>,
    orphaned: bool,
    allocated: Option<Allocation>,
    booked: bool,
    unbooked: bool,
    exclusive: BTreeMap<ContainerName, CpuSet>,
}

impl Facts {
    fn of(record: &PodRecord) -> Self {
        Self {
            containers: record.containers.clone(),
            releasing: record.releasing.clone(),
            deletion: record.deletion.clone(),
            failure: record.failure.clone(),
            halted: record.halted.clone(),
            initialized: record.initialized,
            conditions: record.conditions.clone(),
            counts_from: record.counts_from.clone(),
            orphaned: record.orphaned,
            allocated: record.allocated.clone(),
            booked: record.booked,
            unbooked: record.unbooked,
            exclusive: record.exclusive.clone(),
        }
    }

    fn are_in(&self, record: &PodRecord) -> bool {
        self.containers == record.containers
            && self.releasing == record.releasing
            && self.deletion == record.deletion
            && self.failure == record.failure
            && self.halted == record.halted
            && self.initialized == record.initialized
            && self.conditions == record.conditions
            && self.counts_from == record.counts_from
            && self.orphaned == record.orphaned
            && self.allocated == record.allocated
            && self.booked == record.booked
            && self.unbooked == record.unbooked
            && self.exclusive == record.exclusive
    }
}

impl Journal {
    /// For a pod that was never written.
    pub(crate) fn new() -> Self {
        Self { revision: Revision::default(), flight: None, written: None, again: None }
    }

    /// For a pod as its ledger file has it.
    pub(crate) fn resumed(record: &PodRecord) -> Self {
        Self { revision: record.revision, flight: None, written: Some(Facts::of(record)), again: None }
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flight.is_none()
    }

    /// Whether the ledger knows these CPUs: nothing runs on some of its own before, or a successor would not know of them.
    pub(crate) fn knows_cpus(&self, exclusive: &BTreeMap<ContainerName, CpuSet>) -> bool {
        self.written.as_ref().is_some_and(|facts| facts.exclusive == *exclusive)
    }

    /// Whether the answer to this write is waited for.
    pub(crate) fn awaits(&self, revision: Revision) -> bool {
        self.flight.as_ref().is_some_and(|flight| flight.revision == revision)
    }

    /// The data paths that the change on its way asks for: nobody else may get them before it is known whether it is made.
    pub(crate) fn asked_paths(&self) -> impl Iterator<Item = &PathBuf> {
        let pending = self.flight.as_ref().and_then(|flight| flight.proposal.as_ref());
        pending.and_then(|pending| pending.proposal.wanted()).into_iter().flat_map(|pod| &pod.data_paths)
    }

    /// The pod as the change on its way wants it.
    pub(crate) fn asked_pod(&self) -> Option<&Pod> {
        self.flight.as_ref()?.proposal.as_ref()?.proposal.wanted()
    }

    /// The failure that is being written.
    pub(crate) fn asked_failure(&self) -> Option<&PodFailure> {
        match &self.flight.as_ref()?.proposal.as_ref()?.proposal {
            Proposal::Fail { failure } => Some(failure),
            Proposal::Create
            | Proposal::Update { .. }
            | Proposal::Delete { .. }
            | Proposal::Shorten { .. }
            | Proposal::Restart { .. }
            | Proposal::Halt { .. }
            | Proposal::Condition { .. } => None,
        }
    }

    /// Whether the change on its way keeps this container from being started.
    pub(crate) fn holds(&self, container: &ContainerName) -> bool {
        let pending = self.flight.as_ref().and_then(|flight| flight.proposal.as_ref());
        pending.is_some_and(|pending| pending.proposal.holds(container))
    }

    /// Writes a change of intent, with everything else that is new. Call it only while the journal is quiet.
    pub(crate) fn propose(&mut self, record: &PodRecord, pending: Pending, ctx: &mut Ctx<'_>) {
        let mut changed = record.clone();
        pending.proposal.apply(&mut changed, &ctx.stamp());
        let sync = match pending.proposal {
            // Nothing of a pod survives a power cut that a restart would have to know of, but that it had failed, or was stopped.
            Proposal::Restart { .. } if record.failure.is_none() && record.halted.is_none() => Sync::Lazy,
            Proposal::Restart { .. } => Sync::Durable,
            Proposal::Create
            | Proposal::Update { .. }
            | Proposal::Delete { .. }
            | Proposal::Shorten { .. }
            | Proposal::Fail { .. }
            | Proposal::Halt { .. }
            | Proposal::Condition { .. } => Sync::Durable,
        };
        self.write(changed, sync, Some(pending), ctx);
    }

    /// Writes what is new, if nothing is on its way and no failure is waited out.
    pub(crate) fn flush(&mut self, record: &PodRecord, ctx: &mut Ctx<'_>) {
        if self.flight.is_some() {
            return;
        }
        if self.written.as_ref().is_some_and(|facts| facts.are_in(record)) {
            self.again = None;
        } else if self.again.is_none_or(|again| again.is_due(ctx.now.boot)) {
            self.write(record.clone(), Sync::Lazy, None, ctx);
        }
    }

    fn write(&mut self, mut record: PodRecord, sync: Sync, proposal: Option<Pending>, ctx: &mut Ctx<'_>) {
        self.revision = self.revision.next();
        record.revision = self.revision;
        record.boot = ctx.boot.clone();
        self.flight = Some(Flight { revision: self.revision, facts: Facts::of(&record), proposal });
        let (pod, revision) = (record.pod.uid.clone(), self.revision);
        ctx.push(Effect::Store { pod, revision, record: Box::new(record), sync });
    }

    /// The write is done; gives back the proposal that went with it.
    pub(crate) fn stored(&mut self) -> Option<Pending> {
        let flight = self.flight.take()?;
        self.written = Some(flight.facts);
        self.again = None;
        flight.proposal
    }

    /// The write failed; gives back the proposal that went with it. Facts are tried again.
    pub(crate) fn failed(&mut self, now: BootTime) -> Option<Pending> {
        let flight = self.flight.take()?;
        if flight.proposal.is_none() {
            self.again = Some(Retry::after(self.again, now));
            if planted::on(Fault::LazyWriteForgotten) {
                self.written = Some(flight.facts);
            }
        }
        flight.proposal
    }

    /// When a failed write is tried again.
    pub(crate) fn wake(&self) -> Option<BootTime> {
        if self.flight.is_some() { None } else { self.again.map(Retry::at) }
    }
}
