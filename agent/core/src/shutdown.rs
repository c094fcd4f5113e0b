//! The host goes down: what runs ends in its own way and in order, and nothing is begun any more.
//!
//! A pod's turn comes when those that depend on it have ended, and with it its grace: a database whose clients take long to
//! end has not less time for that. What has its data on this host is begun again after the next boot, as if somebody had
//! asked for new processes. What is never restarted, and what its cluster can run elsewhere, has failed with that, as under a
//! kubelet with graceful node shutdown (`pkg/kubelet/nodeshutdown`).
//!
//! This is known for as long as the host is up, and kept by whoever makes the core: see [`Core::with_shutdown`].

use barepod_model::{PodUid, Reason, RestartPolicy, Source, StopCause};

use crate::admission::Blocker;
use crate::container::{State, is_outdated};
use crate::context::Ctx;
use crate::core::Core;
use crate::journal::Pending;
use crate::planted::{self, Fault};
use crate::pod::PodMachine;
use crate::proposal::{self, Proposal};
use crate::{Disruption, PodFailure, Severity};

impl Core {
    /// On a host that goes down already: whoever was killed meanwhile has its successor go on.
    #[must_use]
    pub fn with_shutdown(self) -> Self {
        Self { goes_down: true, ..self }
    }

    /// On a host that goes down, what is waited for: pods that have a process, or something that the ledger does not have yet.
    /// Those whose ledger files cannot be read are not among them, as nothing is done to them. `None` where the host stays up.
    #[must_use]
    pub fn remaining(&self) -> Option<Vec<PodUid>> {
        let is_left = |pod: &&PodMachine| !pod.is_idle() || !pod.journal.is_quiet();
        self.goes_down.then(|| self.pods.values().filter(is_left).map(|pod| pod.uid().clone()).collect())
    }

    /// Why a pod of which nothing was ever begun is not begun, in kubelet's words.
    pub(crate) fn refused_on_the_way_down(&self, uid: &PodUid) -> Option<Blocker> {
        if !self.goes_down || self.pods.get(uid).is_some_and(PodMachine::has_begun) {
            return None;
        }
        let message = "Pod was rejected as the node is shutting down.".to_owned();
        Some(Blocker { reason: Reason::NodeShutdown, message })
    }

    /// The host goes down, or stays up after all.
    pub(crate) fn shut_down(&mut self, goes_down: bool) {
        self.goes_down = goes_down;
        self.touched.extend(self.pods.keys().cloned());
    }
}

impl PodMachine {
    /// Ends what runs, as far as it is its turn.
    pub(crate) fn go_down(&mut self, ctx: &mut Ctx<'_>) {
        let held = self.others.held && !planted::on(Fault::AllGoDownAtOnce);
        if held || self.is_dying() || self.is_over() {
            return;
        }
        match self.fails_with_the_host() {
            true => self.fail_with_the_host(ctx),
            false => self.stop_what_runs(ctx),
        }
    }

    /// Whether it is not begun again here.
    fn fails_with_the_host(&self) -> bool {
        let can_run_elsewhere = self.wanted.source == Source::Kubernetes && !self.wanted.has_local_data();
        can_run_elsewhere || (self.wanted.restart_policy == RestartPolicy::Never && self.has_begun())
    }

    fn has_begun(&self) -> bool {
        self.record.containers.values().any(|rec| rec.attempt.is_some())
    }

    fn fail_with_the_host(&mut self, ctx: &mut Ctx<'_>) {
        // Whatever is being written goes first.
        if self.is_recovering() || !self.journal.is_quiet() {
            return;
        }
        let failure = PodFailure {
            message: "Pod was terminated in response to imminent node shutdown.".to_owned(),
            disruption: Some(Disruption::Shutdown),
            ..PodFailure::now(Reason::Terminated, ctx.stamp())
        };
        self.tell(Severity::Normal, Reason::NodeShutdown, failure.message.clone(), ctx);
        self.journal.propose(&self.record, Pending { proposal: Proposal::Fail { failure }, request: None }, ctx);
    }

    /// As if somebody had asked for new processes, which nobody begins for now.
    pub(crate) fn stop_what_runs(&mut self, ctx: &mut Ctx<'_>) {
        let runs = |name| match self.containers.get(name).map(|machine| &machine.state) {
            Some(State::Running(_)) => true,
            Some(State::Recovering | State::Idle | State::Starting { .. } | State::Draining { .. }) | None => false,
        };
        let is_new = |name| self.record.containers.get(name).is_some_and(|rec| rec.stop.is_none() && !is_outdated(rec));
        let specs = self.wanted.containers.iter().filter(|spec| runs(&spec.name) && is_new(&spec.name));
        let names: Vec<_> =
            specs.filter(|spec| !self.must_outlive_others(spec)).map(|spec| spec.name.clone()).collect();
        for name in &names {
            let cause = if self.others.goes_down { StopCause::Shutdown } else { StopCause::Halt };
            proposal::replace(&mut self.record, name, &ctx.stamp(), crate::Waits::Successor, cause);
        }
    }
}
