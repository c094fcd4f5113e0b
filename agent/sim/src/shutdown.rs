//! The host goes down in good order: it says so, waits for what runs, and then the power goes; or it stays up after all.

use std::collections::BTreeMap;
use std::time::Duration;

use barepod_core::{AttemptKey, Input, PodView};
use barepod_model::{ContainerKey, Pod, PodUid, Reason, RestartPolicy, Source};

use crate::clock::SimTime;
use crate::intent::Intent;
use crate::judge::least_grace;
use crate::trace::Entry;
use crate::violation::{Invariant, Violation, violated};
use crate::world::{Happening, World};

/// How long the host waits at most: longer than any chain of pods needs, each with its grace and with daemons that die.
const LONG_ENOUGH: Duration = Duration::from_secs(1_800);

impl World<'_> {
    /// Whoever looks after the host says that it goes down. It is written down where only this boot finds it.
    pub(crate) fn begin_shutdown(&mut self) -> Result<(), Violation> {
        if self.goes_down.is_some() || self.core.is_none() {
            return Ok(());
        }
        let now = self.clock.now;
        self.note(&Entry::Host("the host goes down"));
        self.goes_down = Some(now);
        self.summary.shutdowns += 1;
        let wishes: BTreeMap<_, _> =
            self.intents.pods.iter().map(|(uid, intent)| (uid.clone(), intent.wishes())).collect();
        for (key, process) in self.host.containers.iter_mut() {
            let grace =
                least_grace(wishes.get(&key.pod).map(Vec::as_slice).unwrap_or_default(), &process.spec, &key.container);
            process.stop.add_shutdown(now + grace);
        }
        self.all_may_begin_anew(&wishes);
        let waits = if self.rng.chance(400) { self.rng.millis(1..120_000) } else { LONG_ENOUGH };
        self.later(waits, Happening::ShutdownEnds);
        self.hear(Input::Shutdown { goes_down: true })
    }

    /// The host stays up: it was only a rumour.
    pub(crate) fn cancel_shutdown(&mut self) -> Result<(), Violation> {
        if self.goes_down.take().is_none() {
            return Ok(());
        }
        self.note(&Entry::Host("the host stays up"));
        let wishes = self.intents.pods.iter().map(|(uid, intent)| (uid.clone(), intent.wishes())).collect();
        self.all_may_begin_anew(&wishes);
        // What is on its way out ends all the same, and has a successor then.
        for process in self.host.containers.values_mut() {
            process.own_cause = true;
            process.stop.is_no_longer_for_shutdown_only();
        }
        self.hear(Input::Shutdown { goes_down: false })
    }

    /// Everything has had its time.
    pub(crate) fn shutdown_ends(&mut self) -> Result<(), Violation> {
        let Some(since) = self.goes_down else { return Ok(()) };
        let waited = self.clock.now.saturating_sub(since);
        if waited < LONG_ENOUGH && self.rng.chance(500) {
            return self.cancel_shutdown();
        }
        let left = self.host.containers.iter().find(|(_, process)| process.populated);
        if let Some((key, _)) = left.filter(|_| waited >= LONG_ENOUGH && self.core.is_some()) {
            return Err(violated(
                Invariant::GoesDown,
                format!("{key} lives {waited:?} after the host began to go down"),
            ));
        }
        // A host that did not wait is one whose power goes.
        self.restart_host(waited >= LONG_ENOUGH);
        Ok(())
    }

    /// What was stopped for the host's sake is no crash.
    fn all_may_begin_anew(&mut self, wishes: &BTreeMap<PodUid, Vec<Pod>>) {
        for (uid, pods) in wishes {
            for container in pods.iter().flat_map(|pod| &pod.containers) {
                let key = ContainerKey { pod: uid.clone(), container: container.name.clone() };
                self.replaced.insert(key, self.clock.now);
            }
        }
    }

    /// Another wish may mean another grace for those whose turn has not come.
    pub(crate) fn regrace(&mut self, uid: &PodUid, wish: &Pod) {
        if self.goes_down.is_none() {
            return;
        }
        let now = self.clock.now;
        for (key, process) in self.host.of_pod(uid) {
            let grace = least_grace(std::slice::from_ref(wish), &process.spec, &key.container);
            process.stop.add_shutdown(now + grace);
        }
    }

    /// Nothing is begun on a host that goes down.
    pub(crate) fn check_up(&self, key: &AttemptKey, ordered: SimTime) -> Result<(), Violation> {
        match self.goes_down {
            Some(since) if ordered > since => {
                Err(violated(Invariant::GoesDown, format!("{key} is started although the host goes down")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is asked to end for no other reason than that the host goes down ends after all that depends on it.
    pub(crate) fn check_turn(&self, key: &AttemptKey) -> Result<(), Violation> {
        let process = self.host.containers.get(&key.container_key()).filter(|process| process.attempt == key.attempt);
        let Some(process) = process.filter(|process| process.lives() && process.stop.is_for_shutdown_only()) else {
            return Ok(());
        };
        let depends = |intent: &Intent| {
            let names = |pod: &Pod| pod.depends_on.iter().any(|other| other.name == process.spec.name);
            intent.wishes().iter().all(names)
        };
        let mut others = self.host.containers.iter().filter(|(other, they)| other.pod != key.pod && they.populated);
        match others.find(|(other, _)| self.intents.pods.get(&other.pod).is_some_and(depends)) {
            Some((other, _)) => Err(violated(Invariant::Order, format!("{key} is stopped before {other}"))),
            None => Ok(()),
        }
    }
}

/// Whether this pod may fail because its host goes down.
pub(crate) fn may_fail_with_host(view: &PodView) -> bool {
    let Some(pod) = view.pod.as_deref().filter(|_| view.reason == Some(Reason::Terminated)) else { return true };
    pod.restart_policy == RestartPolicy::Never || (pod.source == Source::Kubernetes && !pod.has_local_data())
}
