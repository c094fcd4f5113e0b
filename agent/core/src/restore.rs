//! What a new daemon takes over from the ledger.
//!
//! Whatever the record says, nothing is done to a container before the host has said what there is of it. Under another
//! boot nothing runs: attempts that were under way ended unseen, init containers run again where anything will, the
//! back-off is forgiven as kubelet forgets it, and a deletion goes on to its end.

use std::time::Duration;

use barepod_model::{
    BootId, Container as Spec, ContainerKind, ContainerName, Namespace, Phase, PodName, PodUid, Stamp,
};

use crate::container::{Machine, is_outdated, unseen_end};
use crate::context::Ctx;
use crate::core::{Core, ctx};
use crate::journal::Journal;
use crate::outcome;
use crate::planted::{self, Fault};
use crate::pod::{PodMachine, Stage};
use crate::proposal;
use crate::{ContainerRecord, Moment, PodRecord, PodView, Progress, Restored, condition, cpus};

impl Core {
    /// Takes over what the ledger holds. Call it once, before the first input.
    pub fn restore(&mut self, now: Moment, mut pods: Vec<Restored>) {
        // What is on its way out may have lost to others what it had.
        pods.sort_by_key(|pod| matches!(pod, Restored::Record(record) if record.deletion.is_some()));
        for pod in pods {
            match pod {
                Restored::Record(record) => self.restore_record(*record, now),
                Restored::Unreadable { pod, name, message, .. } => self.restore_unreadable(pod, name, message),
            }
        }
        self.settle(now);
    }

    fn restore_record(&mut self, mut record: PodRecord, now: Moment) {
        // It had come to its end, which the ledger does not know, and another has got its CPUs since.
        if cpus::are_anothers(&self.pods, &record.exclusive) {
            record.exclusive.clear();
            record.unbooked |= record.boot != self.boot;
        }
        let mut ctx = ctx!(self, now);
        let uid = record.pod.uid.clone();
        self.pods.insert(uid.clone(), PodMachine::restored(record, &mut ctx));
        self.touched.insert(uid);
    }

    /// It runs on, is shown, and nothing is done to it.
    fn restore_unreadable(&mut self, uid: PodUid, name: Option<(Namespace, PodName)>, message: String) {
        let view = PodView {
            uid: uid.clone(),
            name,
            pod: None,
            generation: 0,
            created: None,
            deletion: None,
            halted: None,
            phase: Phase::Unknown,
            reason: Some(barepod_model::Reason::LedgerUnreadable),
            message,
            level: None,
            pending_resize: None,
            resizing: None,
            initialized: false,
            ready: false,
            conditions: Vec::new(),
            containers: Vec::new(),
        };
        self.unreadable.insert(uid.clone(), view);
        self.changed.insert(uid);
    }
}

impl PodMachine {
    fn restored(mut record: PodRecord, ctx: &mut Ctx<'_>) -> Self {
        let journal = Journal::resumed(&record);
        if record.boot != *ctx.boot {
            after_reboot(&mut record, ctx);
        }
        let mut pod = Self::with(record, Stage::Waiting(None), journal);
        for container in &pod.wanted.containers {
            pod.record.containers.entry(container.name.clone()).or_default();
        }
        let names: Vec<ContainerName> = pod.record.containers.keys().cloned().collect();
        for name in names {
            let machine = Box::new(Machine::recovering(pod.key(&name), ctx));
            pod.containers.insert(name, machine);
        }
        pod.is_booked = !pod.record.unbooked;
        // Whoever was begun has its name, its paths and its part of the host, and nobody has got them since. Of one that was
        // begun unwritten, and has ended, that cannot be said.
        let begun = pod.record.booked || pod.record.containers.values().any(|rec| proposal::may_live(rec));
        if begun && !pod.is_dying() && !pod.record.unbooked {
            pod.prepare(None, ctx);
        }
        pod
    }
}

/// Nothing of the pod runs: this is another boot.
fn after_reboot(record: &mut PodRecord, ctx: &Ctx<'_>) {
    record.boot = BootId::clone(ctx.boot);
    record.releasing.clear();
    condition::after_reboot(record, &ctx.stamp());
    record.go_on_counting(ctx.stamp());
    record.containers.values_mut().for_each(|container| end_by_reboot(container, ctx));
    let PodRecord { pod, containers, .. } = record;
    for spec in &pod.containers {
        if let Some(container) = containers.get_mut(&spec.name)
            && (!is_outdated(container) || spec.kind == ContainerKind::Ephemeral)
            && let Some(end) = &container.last
        {
            container.finished = outcome::is_final(spec, pod.restart_policy, end);
        }
    }
    if starts_again(record) {
        run_inits_again(record);
    }
}

impl PodRecord {
    /// Between two boots only the wall clock can tell how much time has passed; from then on it is asked no more.
    fn go_on_counting(&mut self, now: Stamp) {
        let since = self.counts_from.as_ref().unwrap_or(&self.created);
        let passed = now.wall.0.duration_since(since.wall.0);
        self.spent += Duration::try_from(passed).unwrap_or_default();
        self.counts_from = Some(now);
    }
}

/// Whether any regular container will be started, as far as the ends of all containers say.
fn starts_again(record: &PodRecord) -> bool {
    let finished = |spec: &Spec| record.containers.get(&spec.name).filter(|container| container.finished);
    let failed = |spec: &Spec| finished(spec).and_then(|c| c.last.as_ref()).is_some_and(|end| !end.status.is_success());
    let of = |kind| record.pod.containers.iter().filter(move |spec| spec.kind == kind);
    record.failure.is_none()
        && of(ContainerKind::Regular).any(|spec| finished(spec).is_none())
        && !of(ContainerKind::Init).any(failed)
}

fn run_inits_again(record: &mut PodRecord) {
    record.initialized = false;
    for init in record.pod.containers.iter().filter(|spec| spec.kind == ContainerKind::Init) {
        if let Some(container) = record.containers.get_mut(&init.name) {
            container.finished = false;
        }
    }
}

fn end_by_reboot(container: &mut ContainerRecord, ctx: &Ctx<'_>) {
    match std::mem::take(&mut container.progress) {
        Progress::None => return,
        Progress::Lost => {
            container.progress = Progress::Lost;
            return;
        }
        Progress::Begun => container.close_unseen(None, ctx),
        Progress::Running { since } => container.close_unseen(Some(since), ctx),
        Progress::Draining | Progress::Ended => {}
    }
    container.progress = Progress::Ended;
    container.stop = None;
    container.post_started = false;
    container.pre_stopped = false;
    container.said_ready = false;
    container.said_stopping = false;
    container.probed = false;
    container.started = false;
    container.started_at = None;
    container.ready = false;
    if !planted::on(Fault::BackoffIgnoresBoot) {
        container.backoff = None;
    }
}

impl ContainerRecord {
    fn close_unseen(&mut self, started: Option<barepod_model::Stamp>, ctx: &Ctx<'_>) {
        let end = unseen_end("the host was rebooted", started, ctx.stamp());
        self.previous = self.last.replace(end);
    }
}
