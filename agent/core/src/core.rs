//! [`Core`]: takes inputs in, gives effects out.
//!
//! An input changes the pod it names; then that pod, and those that waited for it, *settle*: requests in turn become
//! writes, what is due is done, what is new is written, and view and next deadline are worked out anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barepod_model::{BootId, BootTime, ContainerName, PodUid};

use crate::admission::Blocker;
use crate::context::Ctx;
use crate::deadline::Deadline;
use crate::pod::{Claims, Others, PodMachine, Stage};
use crate::pressure::Watch;
use crate::proposal::Request;
use crate::{
    BackoffFigures, Booking, Capacity, CpuSet, CpuTable, Effect, HostRules, Input, Moment, PodView, admission, answers,
    capacity, cpus, dependency, fresh, planted, show,
};

/// The state machine of everything that is decided on one host.
#[derive(Debug)]
pub struct Core {
    pub(crate) boot: BootId,
    pub(crate) figures: BackoffFigures,
    /// What there is for pods; `None` if nobody counts.
    pub(crate) host: Option<Capacity>,
    /// What it is watched for; `None` if nobody watches.
    pub(crate) watch: Option<Watch>,
    /// It goes down.
    pub(crate) goes_down: bool,
    /// Who was last said to run where.
    pub(crate) cpu_table: Option<CpuTable>,
    pub(crate) pods: BTreeMap<PodUid, PodMachine>,
    /// Pods whose ledger files cannot be read.
    pub(crate) unreadable: BTreeMap<PodUid, PodView>,
    pub(crate) effects: VecDeque<Effect>,
    pub(crate) tickets: u64,
    pub(crate) changed: BTreeSet<PodUid>,
    /// Pods that have yet to settle.
    pub(crate) touched: BTreeSet<PodUid>,
}

/// A context over the parts of a core that no pod is in.
macro_rules! ctx {
    ($core:expr, $now:expr) => {
        Ctx {
            now: $now,
            boot: &$core.boot,
            figures: $core.figures,
            effects: &mut $core.effects,
            tickets: &mut $core.tickets,
        }
    };
}
pub(crate) use ctx;

impl Core {
    /// A core that knows no pod, under this boot.
    #[must_use]
    pub fn new(boot_id: BootId, backoff: BackoffFigures) -> Self {
        Self {
            boot: boot_id,
            figures: backoff,
            host: None,
            watch: None,
            goes_down: false,
            cpu_table: None,
            pods: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            effects: VecDeque::new(),
            tickets: 0,
            changed: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// With a host that has so much for pods; without, none is ever refused for want of it.
    #[must_use]
    pub fn with_capacity(self, host: Capacity) -> Self {
        Self { host: Some(host), ..self }
    }

    /// With what others have booked on that host.
    #[must_use]
    pub fn with_others(mut self, others: Booking) -> Self {
        self.book(others);
        self
    }

    /// What others have booked on the host.
    #[must_use]
    pub fn others(&self) -> Booking {
        self.host.as_ref().map(|host| host.others.clone()).unwrap_or_default()
    }

    /// Others have more, which takes nothing from what runs, or less, which is for those who wait.
    fn book(&mut self, others: Booking) {
        if let Some(host) = self.host.as_mut() {
            host.others = others;
            self.touch_waiting();
        }
    }

    /// Other rules hold from now on. Whoever waits looks again: for room, or for the end of a back-off.
    fn rule(&mut self, rules: HostRules) {
        let HostRules { backoff, amounts, pods, pressure } = rules;
        self.figures = backoff;
        if let Some(host) = self.host.as_mut() {
            (host.amounts, host.pods) = (amounts, pods);
        }
        if let Some(watch) = self.watch.as_mut() {
            watch.follow(pressure);
        }
        self.touched.extend(self.pods.keys().cloned());
    }

    /// Takes one input in. `now` must not go back in boot time.
    pub fn handle(&mut self, now: Moment, input: Input) {
        if fresh::is_fresh(self, &input) {
            self.dispatch(now, input);
            self.settle(now);
        }
    }

    /// The next effect to carry out, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `Input::Wake` is wanted, and what is due then.
    #[must_use]
    pub fn poll_deadline(&self) -> Option<(BootTime, Deadline)> {
        self.pods.values().filter_map(|pod| pod.wake.as_ref()).min().cloned()
    }

    /// All pods as they are, by UID.
    pub fn view(&self) -> impl Iterator<Item = &PodView> {
        let readable = self.pods.values().filter_map(|pod| pod.view.as_ref());
        readable.chain(self.unreadable.values())
    }

    /// One pod as it is.
    #[must_use]
    pub fn pod_view(&self, uid: &PodUid) -> Option<PodView> {
        let readable = self.pods.get(uid).and_then(|pod| pod.view.as_ref());
        readable.or_else(|| self.unreadable.get(uid)).cloned()
    }

    /// The pods whose view is another one than when this was last asked, among them those that are gone.
    pub fn take_changed(&mut self) -> Vec<PodUid> {
        std::mem::take(&mut self.changed).into_iter().collect()
    }

    fn dispatch(&mut self, now: Moment, input: Input) {
        match input {
            Input::Apply { request, pod, permit } => self.request(Request::Apply { request, pod, permit }, now),
            Input::Delete { request, pod, grace, evidence } => {
                self.request(Request::Delete { request, pod, grace, evidence }, now);
            }
            Input::Restart { request, pod, container } => {
                self.request(Request::Restart { request, pod, container }, now);
            }
            Input::Halt { request, pod, halted } => self.request(Request::Halt { request, pod, halted }, now),
            Input::Condition { request, pod, change } => {
                self.request(Request::Condition { request, pod, change }, now);
            }
            Input::Missing { pod } => self.missing(&pod, now),
            Input::Stored { pod, .. } => self.stored(&pod, now),
            Input::StoreFailed { pod, message, .. } => self.store_failed(&pod, &message, now),
            Input::Surveyed { survey } => self.surveyed(&survey, now),
            Input::Shutdown { goes_down } => self.shut_down(goes_down),
            Input::Booked { others } => self.book(*others),
            Input::Ruled { rules } => self.rule(*rules),
            Input::Wake => self.wake(now),
            Input::Prepared { .. }
            | Input::PrepareFailed { .. }
            | Input::Started { .. }
            | Input::StartFailed { .. }
            | Input::Exited { .. }
            | Input::Emptied { .. }
            | Input::Observed { .. }
            | Input::Recalled { .. }
            | Input::ShimLost { .. }
            | Input::Heard { .. }
            | Input::Resized { .. }
            | Input::ResizeFailed { .. }
            | Input::Probed { .. }
            | Input::Hooked { .. }
            | Input::Measured { .. }
            | Input::TornDown { .. }
            | Input::TearDownFailed { .. }
            | Input::Forgotten { .. }
            | Input::ForgetFailed { .. } => self.answer(now, input),
        }
    }

    /// News of the host, for the pod it speaks of.
    fn answer(&mut self, now: Moment, input: Input) {
        let Some(uid) = answers::subject(&input).cloned() else { return };
        let mut ctx = ctx!(self, now);
        if let Some(pod) = self.pods.get_mut(&uid) {
            let may_clear = matches!(input, Input::TornDown { .. } | Input::Emptied { .. });
            pod.answer(input, &mut ctx);
            if let Some(watch) =
                self.watch.as_mut().filter(|_| may_clear && pod.record.failure.is_some() && pod.is_idle())
            {
                watch.cleared(now.boot);
            }
            self.touched.insert(uid);
        }
    }

    fn wake(&mut self, now: Moment) {
        let due = self.pods.iter().filter(|(_, pod)| pod.wake.as_ref().is_some_and(|(at, _)| *at <= now.boot));
        let due: Vec<_> = due.map(|(uid, _)| uid.clone()).collect();
        self.touched.extend(due);
    }

    /// Lets every touched pod do what is due.
    pub(crate) fn settle(&mut self, now: Moment) {
        while let Some(uid) = self.touched.pop_first() {
            self.consider_queue(&uid, now);
            self.settle_pod(&uid, now);
        }
        self.tell_cpus();
    }

    fn settle_pod(&mut self, uid: &PodUid, now: Moment) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.ask_again();
        }
        let waits = self.pods.get(uid).is_some_and(|pod| matches!(pod.stage, Stage::Waiting(_)));
        let (blocker, picked) = if waits { self.admit(uid) } else { (None, None) };
        let waits_for_more = self.pods.get(uid).is_some_and(|pod| pod.record.allocated.is_some());
        let pending = if waits_for_more { capacity::pending(&self.pods, self.host.as_ref(), uid) } else { None };
        let goes_down = self.goes_down;
        let (dependency, held) =
            (dependency::missing(&self.pods, uid), dependency::is_held(&self.pods, uid, goes_down));
        let mut ctx = ctx!(self, now);
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.others = Others { dependency, held, pending, goes_down };
        // What lives keeps its own, whatever is wanted of its pod by now.
        if let Some(picked) = picked.filter(|_| pod.is_idle() && !pod.is_dying()) {
            pod.record.exclusive = picked;
        }
        let claims = pod.advance(blocker, &mut ctx);
        let part = capacity::booked(pod);
        let freed = std::mem::replace(&mut pod.part, part) != part || (pod.is_booked && !capacity::has_something(pod));
        pod.is_booked = capacity::has_something(pod);
        let waits_for_room = pod.is_booked || matches!(pod.stage, Stage::Waiting(_) | Stage::Accepting);
        if !waits_for_room {
            pod.record.exclusive.clear();
        }
        let mut view = show::pod(pod, &ctx);
        view.iter_mut().for_each(|view| pod.settle_conditions(view, &ctx.stamp()));
        pod.flush(&mut ctx);
        pod.set_wake(&mut ctx);
        if view != pod.view {
            pod.view = view;
            self.changed.insert(uid.clone());
            let related = self.pods.get(uid).map(|pod| dependency::related(&self.pods, &pod.wanted));
            self.touched.extend(related.unwrap_or_default());
        }
        let Some(pod) = self.pods.get(uid) else { return };
        if matches!(pod.stage, Stage::Gone) {
            self.remove(uid, now);
        } else if claims == Claims::Released || freed {
            self.touch_waiting();
        }
    }

    /// What a pod that waits waits for, or else the CPUs that it gets for itself.
    fn admit(&self, uid: &PodUid) -> (Option<Blocker>, Option<BTreeMap<ContainerName, CpuSet>>) {
        let blocker = self.refused_on_the_way_down(uid).or_else(|| admission::blocker(&self.pods, uid));
        let pressed = || self.watch.as_ref()?.refuses(&self.pods.get(uid)?.wanted);
        let lacks = || capacity::lacks(&self.pods, self.host.as_ref(), uid);
        if let Some(blocker) = blocker.or_else(pressed).or_else(lacks) {
            return (Some(blocker), None);
        }
        match cpus::pick(&self.pods, self.host.as_ref(), uid) {
            Ok(picked) => (None, Some(picked)),
            Err(blocker) => (Some(blocker), None),
        }
    }

    /// Tells who runs where, if that has changed; before anything is begun for which it was changed.
    fn tell_cpus(&mut self) {
        let Some(host) = self.host.as_ref() else { return };
        // Who was told to keep off some is told when that is over.
        let everywhere =
            || self.cpu_table.as_ref().map(|_| CpuTable { shared: host.cpus.all(), ..CpuTable::default() });
        let Some(table) = cpus::table(&self.pods, host).or_else(everywhere) else { return };
        if self.cpu_table.as_ref() != Some(&table) {
            self.effects.push_front(Effect::Confine { table: table.clone() });
            self.cpu_table = Some(table);
        }
    }

    /// Lets go of a pod; requests that waited for it find their way anew.
    pub(crate) fn remove(&mut self, uid: &PodUid, now: Moment) {
        let Some(pod) = self.pods.remove(uid) else { return };
        if !planted::on(planted::Fault::WaiterForgotten) {
            self.touch_waiting();
        }
        self.touched.extend(dependency::related(&self.pods, &pod.wanted));
        for request in pod.queue {
            self.request(request, now);
        }
    }

    /// Those that wait for another pod look again.
    pub(crate) fn touch_waiting(&mut self) {
        let waits = |pod: &PodMachine| matches!(pod.stage, Stage::Waiting(_)) || pod.record.allocated.is_some();
        let waiting = self.pods.iter().filter(|(_, pod)| waits(pod));
        let waiting: Vec<_> = waiting.map(|(uid, _)| uid.clone()).collect();
        self.touched.extend(waiting);
    }
}
