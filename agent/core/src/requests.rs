//! Requests: to whom they go, what is refused, and what happens when their writes are answered.
//!
//! Requests for one pod take turns: the next one is considered when the write of the one before is answered, so that
//! each is compared with what is really wanted. Everything that can be refused is refused before anything is written.

use std::collections::BTreeSet;
use std::time::Duration;

use barepod_model::{Container, ContainerKind, ContainerName, Permit, Pod, PodUid, Reason, Source};

use crate::condition::MOST_FOREIGN;
use crate::context::Ctx;
use crate::core::{Core, ctx};
use crate::diff::{self, Change};
use crate::journal::Pending;
use crate::planted::{self, Fault};
use crate::pod::{PodMachine, Stage};
use crate::proposal::{Proposal, Request, cap_from};
use crate::{
    Accepted, ConditionChange, Denied, Effect, Evidence, Moment, PodView, RequestId, Severity, Verb, admission,
    capacity, condition, dependency,
};

/// What becomes of a request whose turn has come.
enum Turn {
    /// It is answered already.
    Answer(Result<Verb, Denied>),
    /// It must be written first.
    Write(Proposal),
    /// It is not this pod's business any more.
    Elsewhere(Request),
}

fn denied(reason: Reason, message: impl Into<String>) -> Denied {
    Denied { reason, message: message.into() }
}

/// Why nothing is done to a pod whose ledger file cannot be read, nor beside it under its name.
fn untouchable(unreadable: &PodView) -> Denied {
    let message = format!(
        "the ledger file of pod {} cannot be read ({}), so nothing is done to it: restore the file or stop its processes \
         by hand, remove the file, and restart barepodd",
        unreadable.uid, unreadable.message
    );
    denied(Reason::LedgerUnreadable, message)
}

impl Core {
    /// Takes a request in: it is denied, makes a new pod, or waits for its turn at the pod it is for.
    pub(crate) fn request(&mut self, request: Request, now: Moment) {
        let uid = match request {
            Request::Apply { request, pod, permit } => return self.apply(request, pod, permit, now),
            Request::Delete { ref pod, .. }
            | Request::Restart { ref pod, .. }
            | Request::Halt { ref pod, .. }
            | Request::Condition { ref pod, .. } => pod.clone(),
        };
        if let Some(unreadable) = self.unreadable.get(&uid) {
            let denied = untouchable(unreadable);
            return self.refuse(request.id(), denied);
        }
        let Some(machine) = self.pods.get_mut(&uid) else {
            return self.refuse(request.id(), denied(Reason::NotFound, format!("there is no pod with UID {uid}")));
        };
        machine.queue.push_back(request);
        self.touched.insert(uid);
    }

    fn apply(&mut self, request: RequestId, pod: Box<Pod>, permit: Permit, now: Moment) {
        let is_named_so =
            |view: &&PodView| view.name.as_ref().is_some_and(|(ns, name)| (ns, name) == (&pod.namespace, &pod.name));
        if let Some(unreadable) = self.unreadable.values().find(is_named_so) {
            let denied = untouchable(unreadable);
            return self.refuse(request, denied);
        }
        let holder =
            self.pods.values().find(|other| !other.is_dying() && admission::same_name(&pod, &other.record.pod));
        let holder = holder.map(|holder| (holder.uid().clone(), holder.record.pod.source));
        if let Some((uid, _)) = holder.as_ref().filter(|(_, source)| *source == pod.source) {
            if let Some(holder) = self.pods.get_mut(uid) {
                holder.queue.push_back(Request::Apply { request, pod, permit });
                self.touched.insert(uid.clone());
            }
            return;
        }
        // Whether another source's pod has the name is not for those who may not have it anyway.
        if let Err(denied) = admission::permitted(&self.pods, &pod, &permit) {
            return self.refuse(request, denied);
        }
        match holder {
            Some((uid, source)) => {
                let (namespace, name) = (&pod.namespace, &pod.name);
                let message = format!(
                    "pod {namespace}/{name} exists already and belongs to source {source} (UID {uid}): delete it \
                     there or choose another name"
                );
                self.refuse(request, denied(Reason::NameTaken, message));
            }
            None => self.create(request, *pod, now),
        }
    }

    fn create(&mut self, request: RequestId, pod: Pod, now: Moment) {
        let uid = pod.uid.clone();
        if self.pods.contains_key(&uid) || self.unreadable.contains_key(&uid) {
            let message = format!("another pod has the UID {uid}, and it is not gone yet: a new pod needs a new UID");
            return self.refuse(request, denied(Reason::Duplicate, message));
        }
        if let Some(cycle) = dependency::cycle(&self.pods, &pod) {
            return self.refuse(request, denied(Reason::InvalidConfiguration, cycle));
        }
        let order = self.pods.values().map(|pod| pod.record.order).max().unwrap_or(0) + 1;
        let mut ctx = ctx!(self, now);
        let mut machine = PodMachine::new(pod, order, &ctx);
        propose(&mut machine, Proposal::Create, request, &mut ctx);
        self.pods.insert(uid.clone(), machine);
        self.touched.insert(uid);
    }

    fn refuse(&mut self, request: RequestId, denied: Denied) {
        self.effects.push_back(Effect::Reply { request, result: Err(denied) });
    }

    /// Gives requests their turn, until one has to be written.
    pub(crate) fn consider_queue(&mut self, uid: &PodUid, now: Moment) {
        while let Some(request) = self.pods.get_mut(uid).and_then(PodMachine::next_request) {
            let id = request.id();
            let turn = self.consider(uid, request, now);
            let mut ctx = ctx!(self, now);
            match (turn, self.pods.get_mut(uid)) {
                (Turn::Write(proposal), Some(pod)) => propose(pod, proposal, id, &mut ctx),
                (Turn::Answer(answer), _) => reply(uid, id, answer, &mut ctx),
                (Turn::Elsewhere(request), _) => self.request(request, now),
                (Turn::Write(_), None) => {}
            }
        }
    }

    fn consider(&mut self, uid: &PodUid, request: Request, now: Moment) -> Turn {
        let Some(pod) = self.pods.get_mut(uid) else { return Turn::Elsewhere(request) };
        match request {
            Request::Apply { .. } if pod.is_dying() => Turn::Elsewhere(request),
            Request::Apply { pod: wanted, permit, .. } => {
                let wanted = Box::new(Pod { uid: uid.clone(), ..*wanted });
                match diff::classify(&pod.record.pod, &wanted) {
                    Change::None if planted::on(Fault::UnchangedIsRefused) => {
                        self.consider_update(wanted, Change::None, &permit)
                    }
                    Change::None => {
                        pod.record.orphaned = false;
                        Turn::Answer(Ok(Verb::Unchanged))
                    }
                    change => self.consider_update(wanted, change, &permit),
                }
            }
            Request::Delete { grace, evidence, .. } => {
                let ctx = ctx!(self, now);
                consider_delete(pod, grace, evidence, &ctx)
            }
            Request::Restart { container, .. } => consider_restart(pod, container),
            Request::Condition { change, .. } => consider_condition(pod, change),
            Request::Halt { halted, .. } => consider_halt(pod, halted),
        }
    }

    fn consider_update(&self, pod: Box<Pod>, change: Change, permit: &Permit) -> Turn {
        if let Err(denied) = admission::permitted_change(permit) {
            return Turn::Answer(Err(denied));
        }
        if let Some(refused) = self.pods.get(&pod.uid).and_then(|present| other_class(present, &pod)) {
            return Turn::Answer(Err(denied(Reason::Immutable, refused)));
        }
        if let Some(refused) = self.pods.get(&pod.uid).and_then(|present| other_ephemeral(present, &pod)) {
            return Turn::Answer(Err(denied(Reason::Immutable, refused)));
        }
        if let Some(cycle) = dependency::cycle(&self.pods, &pod) {
            return Turn::Answer(Err(denied(Reason::InvalidConfiguration, cycle)));
        }
        if let Some(blocker) = capacity::lacks_for_change(&self.pods, self.host.as_ref(), &pod) {
            return Turn::Answer(Err(denied(blocker.reason, blocker.message)));
        }
        match admission::taken_path(&self.pods, &pod) {
            Some(blocker) => Turn::Answer(Err(denied(blocker.reason, blocker.message))),
            None => Turn::Write(Proposal::Update { pod, change }),
        }
    }

    /// A source no longer mentions this pod. That is no evidence: it runs on, and is shown as an orphan.
    pub(crate) fn missing(&mut self, uid: &PodUid, now: Moment) {
        let Some(pod) = self.pods.get_mut(uid).filter(|pod| !pod.is_dying() && !pod.record.orphaned) else { return };
        let mut ctx = ctx!(self, now);
        if planted::on(Fault::MissingDeletes) {
            let proposal = Proposal::Delete { grace: None, evidence: Evidence::Deleted };
            proposal.apply(&mut pod.record, &ctx.stamp());
        } else {
            pod.record.orphaned = true;
            pod.tell(Severity::Warning, Reason::Orphaned, "its source no longer mentions it".to_owned(), &mut ctx);
        }
        self.touched.insert(uid.clone());
    }

    /// What was written is durable: the change is made.
    pub(crate) fn stored(&mut self, uid: &PodUid, now: Moment) {
        let mut ctx = ctx!(self, now);
        let Some(pod) = self.pods.get_mut(uid) else { return };
        self.touched.insert(uid.clone());
        let Some(Pending { proposal, request }) = pod.journal.stored() else { return };
        commit(pod, &proposal, &mut ctx);
        if let Some(request) = request.filter(|_| !was_answered_early(&proposal)) {
            reply(uid, request, Ok(proposal.verb()), &mut ctx);
        }
        self.touch_waiting();
    }

    /// What was to be written is not: nothing has changed.
    pub(crate) fn store_failed(&mut self, uid: &PodUid, message: &str, now: Moment) {
        let mut ctx = ctx!(self, now);
        let Some(pod) = self.pods.get_mut(uid) else { return };
        self.touched.insert(uid.clone());
        let Some(Pending { proposal, request }) = pod.journal.failed(now.boot) else { return };
        // A host that goes down does not wait for its disk: what cannot be written is begun again after the boot, no more.
        if must_go_on_by_fault(&proposal) || proposal.is_for_shutdown() {
            commit(pod, &proposal, &mut ctx);
        }
        if let Some(request) = request.filter(|_| !was_answered_early(&proposal)) {
            let message = format!("the ledger cannot be written, so nothing was changed: {message}");
            reply(uid, request, Err(denied(Reason::LedgerUnavailable, message)), &mut ctx);
        }
        match proposal {
            Proposal::Create => self.remove(uid, now),
            Proposal::Update { .. } => self.touch_waiting(),
            Proposal::Delete { .. }
            | Proposal::Shorten { .. }
            | Proposal::Restart { .. }
            | Proposal::Fail { .. }
            | Proposal::Halt { .. }
            | Proposal::Condition { .. } => {}
        }
    }
}

/// Says that a pod that has been begun would be of another quality of service, which Kubernetes forbids too: where its
/// processes stand before the OOM killer is settled when they start.
fn other_class(present: &PodMachine, wanted: &Pod) -> Option<String> {
    let (before, after) = (present.record.pod.qos(), wanted.qos());
    let begun = !matches!(present.stage, Stage::Accepting | Stage::Waiting(_));
    (begun && before != after).then(|| {
        format!(
            "Pod QOS Class may not change as a result of resizing: it is {before} and would be {after}; delete the pod \
             first, or leave requests and limits as its class wants them"
        )
    })
}

/// Says that an ephemeral container would be another one, or be gone, which Kubernetes forbids too: nobody could tell any
/// more what was done in the pod.
fn other_ephemeral(present: &PodMachine, wanted: &Pod) -> Option<String> {
    let known = &present.record.pod;
    for before in diff::ephemeral(known) {
        let name = &before.name;
        match diff::ephemeral(wanted).find(|after| after.name == *name) {
            Some(after) if after.ephemeral == before.ephemeral => {}
            Some(_) => {
                return Some(format!(
                    "existing ephemeral containers {name:?} may not be changed; put it back, and add another one"
                ));
            }
            None => return Some(format!("existing ephemeral containers {name:?} may not be removed; put it back")),
        }
    }
    let is_new = |after: &&Container| diff::ephemeral(known).all(|before| before.name != after.name);
    let was_used = |after: &&Container| present.record.containers.contains_key(&after.name);
    diff::ephemeral(wanted).filter(is_new).find(was_used).map(|after| {
        format!("the pod has had a container {:?} before; give the ephemeral one another name", after.name)
    })
}

impl Request {
    fn id(&self) -> RequestId {
        match self {
            Request::Apply { request, .. }
            | Request::Delete { request, .. }
            | Request::Restart { request, .. }
            | Request::Halt { request, .. }
            | Request::Condition { request, .. } => *request,
        }
    }
}

impl PodMachine {
    /// The next request, if its turn has come. What replaces processes waits until it is known which there are: the
    /// record that goes to the disk with it must not lag behind the host.
    fn next_request(&mut self) -> Option<Request> {
        let may_go = match self.queue.front()? {
            Request::Delete { .. } | Request::Condition { .. } | Request::Halt { .. } => true,
            Request::Apply { .. } | Request::Restart { .. } => !self.is_recovering(),
        };
        if may_go && self.journal.is_quiet() { self.queue.pop_front() } else { None }
    }
}

fn reply(pod: &PodUid, request: RequestId, answer: Result<Verb, Denied>, ctx: &mut Ctx<'_>) {
    let result = answer.map(|verb| Accepted { pod: pod.clone(), verb });
    ctx.push(Effect::Reply { request, result });
}

fn propose(pod: &mut PodMachine, proposal: Proposal, request: RequestId, ctx: &mut Ctx<'_>) {
    if was_answered_early(&proposal) {
        reply(&pod.uid().clone(), request, Ok(proposal.verb()), ctx);
    }
    pod.journal.propose(&pod.record, Pending { proposal, request: Some(request) }, ctx);
}

fn was_answered_early(proposal: &Proposal) -> bool {
    match proposal {
        Proposal::Create | Proposal::Update { .. } => planted::on(Fault::AckApplyBeforeDurable),
        Proposal::Delete { .. } => planted::on(Fault::AckDeleteBeforeDurable),
        Proposal::Shorten { .. }
        | Proposal::Restart { .. }
        | Proposal::Halt { .. }
        | Proposal::Condition { .. }
        | Proposal::Fail { .. } => false,
    }
}

fn must_go_on_by_fault(proposal: &Proposal) -> bool {
    match proposal {
        Proposal::Update { .. } => planted::on(Fault::FailedUpdateGoesOn),
        Proposal::Delete { .. } => planted::on(Fault::FailedDeleteGoesOn),
        Proposal::Fail { .. } => false,
        Proposal::Create
        | Proposal::Shorten { .. }
        | Proposal::Restart { .. }
        | Proposal::Halt { .. }
        | Proposal::Condition { .. } => false,
    }
}

/// Makes a durable change.
fn commit(pod: &mut PodMachine, proposal: &Proposal, ctx: &mut Ctx<'_>) {
    proposal.apply(&mut pod.record, &ctx.stamp());
    match proposal {
        Proposal::Create => {
            pod.stage = Stage::Waiting(None);
            pod.tell(Severity::Normal, Reason::Accepted, "accepted".to_owned(), ctx);
            pod.tell_missing(ctx);
        }
        Proposal::Update { change, .. } => {
            pod.take_wanted();
            if change.needs_prepare() {
                pod.needs = pod.record.generation;
            }
            pod.tell(Severity::Normal, Reason::Accepted, "changed".to_owned(), ctx);
            pod.tell_missing(ctx);
        }
        Proposal::Restart { .. } => {
            pod.tell(Severity::Normal, Reason::Restarting, "an operator wants new processes".to_owned(), ctx);
        }
        Proposal::Halt { halted: true } => {
            pod.tell(Severity::Normal, Reason::Stopped, "an operator wants nothing of it to run".to_owned(), ctx);
        }
        Proposal::Halt { halted: false } => {
            pod.tell(Severity::Normal, Reason::Started, "an operator wants it to run again".to_owned(), ctx);
        }
        Proposal::Delete { evidence, .. } => {
            pod.tell(Severity::Normal, Reason::Killing, format!("deletion accepted: {evidence:?}"), ctx);
        }
        Proposal::Fail { failure } => {
            pod.tell(Severity::Warning, failure.reason, failure.message.clone(), ctx);
        }
        Proposal::Shorten { .. } | Proposal::Condition { .. } => {}
    }
}

fn consider_delete(pod: &PodMachine, grace: Option<Duration>, evidence: Evidence, ctx: &Ctx<'_>) -> Turn {
    let Some(deletion) = &pod.record.deletion else { return Turn::Write(Proposal::Delete { grace, evidence }) };
    let Some(grace) = grace.filter(|_| !pod.is_idle()) else { return Turn::Answer(Ok(Verb::Deleted)) };
    let cap = cap_from(deletion, grace, &ctx.stamp());
    let wanted = pod.wanted.containers.iter().map(|container| &container.stop);
    let removed = pod.record.containers.values().filter_map(|rec| rec.stop.as_ref().map(|intent| &intent.plan));
    let is_shorter =
        wanted.chain(removed).map(|plan| deletion.grace_for(pod.wanted.grace, plan).length).any(|length| cap < length);
    if is_shorter { Turn::Write(Proposal::Shorten { grace }) } else { Turn::Answer(Ok(Verb::Deleted)) }
}

fn consider_condition(pod: &PodMachine, change: ConditionChange) -> Turn {
    let kind = change.kind();
    if condition::is_own(kind) {
        let message = format!("the condition {kind} follows from the pod's containers: nobody sets it");
        return Turn::Answer(Err(denied(Reason::NotOwner, message)));
    }
    if pod.is_dying() {
        let message = "the pod is ending: nobody waits for its conditions any more";
        return Turn::Answer(Err(denied(Reason::PodTerminating, message)));
    }
    let is_known = pod.record.conditions.contains_key(kind);
    match change {
        ConditionChange::Remove { .. } if !is_known => Turn::Answer(Ok(Verb::Unchanged)),
        ConditionChange::Set { .. } if !is_known && condition::foreign(&pod.record).count() >= MOST_FOREIGN => {
            let message = format!("the pod has {MOST_FOREIGN} conditions that others set: remove one first");
            Turn::Answer(Err(denied(Reason::InvalidValue, message)))
        }
        ConditionChange::Remove { .. } | ConditionChange::Set { .. } => Turn::Write(Proposal::Condition { change }),
    }
}

/// What a cluster or a Nomad client wants to run is theirs to stop: they would only find it wanting.
fn consider_halt(pod: &PodMachine, halted: bool) -> Turn {
    let source = pod.record.pod.source;
    if source != Source::File {
        let message = format!("this pod is owned by {source}; stop it there, for instance by scaling it to none");
        return Turn::Answer(Err(denied(Reason::NotOwner, message)));
    }
    if pod.is_dying() {
        return Turn::Answer(Err(denied(Reason::PodTerminating, "the pod is ending: it is stopped for good")));
    }
    match halted == pod.record.halted.is_some() {
        true => Turn::Answer(Ok(Verb::Unchanged)),
        false => Turn::Write(Proposal::Halt { halted }),
    }
}

fn consider_restart(pod: &PodMachine, container: Option<ContainerName>) -> Turn {
    if pod.is_dying() {
        return Turn::Answer(Err(denied(Reason::PodTerminating, "the pod is ending: nothing in it is started again")));
    }
    let of = |kind| pod.wanted.containers.iter().filter(move |container| container.kind == kind);
    let regular: BTreeSet<_> = of(ContainerKind::Regular).map(|container| container.name.clone()).collect();
    let sidecars = of(ContainerKind::Sidecar).map(|container| container.name.clone());
    let all: BTreeSet<_> = regular.iter().cloned().chain(sidecars).collect();
    match container {
        None => Turn::Write(Proposal::Restart { containers: regular }),
        Some(name) if all.contains(&name) => Turn::Write(Proposal::Restart { containers: [name].into() }),
        Some(name) => {
            let names: Vec<_> = all.iter().map(ContainerName::as_str).collect();
            let message =
                format!("the pod has no container {name:?} that can be restarted: it has {}", names.join(", "));
            Turn::Answer(Err(denied(Reason::ContainerNotFound, message)))
        }
    }
}
