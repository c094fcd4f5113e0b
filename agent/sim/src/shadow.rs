//! The comparison after a crash that does not happen: a second core is made from the ledger as it lies on the disk, is told
//! what there is on the host, and must show what the first one shows.
//!
//! It is compared for pods for which nothing is on its way: no write, no order, no answer. What may differ is how the pod
//! is being prepared, and words for people. The first one's view is compared with the host's truth at the same time.

use barepod_core::{ContainerState, ContainerView, Core, Effect, Input, PodView, Restored, StartFailure};
use barepod_model::{ContainerKey, Reason};

use crate::violation::{Invariant, Violation, violated};
use crate::workload;
use crate::world::World;

impl World<'_> {
    /// Compares all pods that are settled; at the end, `all` of them.
    pub(crate) fn compare(&mut self, all: bool) -> Result<(), Violation> {
        let Some(core) = &self.core else { return Ok(()) };
        let now = self.clock.moment().boot;
        if core.poll_deadline().is_some_and(|(at, _)| at <= now) {
            // At this very moment something is about to change.
            return Ok(());
        }
        let settled: Vec<PodView> = core.view().filter(|view| all || self.is_settled(view)).cloned().collect();
        if settled.is_empty() {
            return Ok(());
        }
        self.summary.comparisons += 1;
        let shadow = self.shadow();
        for view in settled {
            self.check_truth(&view)?;
            let other = shadow.pod_view(&view.uid).map(comparable);
            let view = comparable(view);
            if other.as_ref() != Some(&view) {
                let detail = format!("shown {}\nafter a restart {}", brief(Some(&view)), brief(other.as_ref()));
                return Err(violated(Invariant::SameViewAfterRestart, detail));
            }
        }
        Ok(())
    }

    /// A core as it would be after a crash at this moment, once it has heard what there is.
    fn shadow(&self) -> Core {
        let now = self.clock.moment();
        let mut core = Core::new(self.clock.boot_id(), self.figures).with_capacity(workload::capacity());
        core = core.with_others(self.others.clone());
        if self.goes_down.is_some() {
            core = core.with_shutdown();
        }
        let records = self.disk.records().map(|record| Restored::Record(Box::new(record.clone()))).collect();
        core.restore(now, records);
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::Observe { key } => {
                    let observation = self.host.observe(&key);
                    core.handle(now, Input::Recalled { key: key.clone(), ends: self.host.recall(&key) });
                    core.handle(now, Input::Observed { key, observation });
                }
                Effect::Prepare { pod, generation } => {
                    let there = self.host.can_mount(&pod);
                    let pod = pod.uid.clone();
                    let failure = StartFailure { reason: Reason::FailedMount, message: String::new() };
                    core.handle(
                        now,
                        match there {
                            true => Input::Prepared { pod, generation },
                            false => Input::PrepareFailed { pod, generation, failure },
                        },
                    );
                }
                Effect::Store { .. }
                | Effect::Reply { .. }
                | Effect::Start { .. }
                | Effect::Signal { .. }
                | Effect::Kill { .. }
                | Effect::Resize { .. }
                | Effect::Probe { .. }
                | Effect::Hook { .. }
                | Effect::TearDown { .. }
                | Effect::Forget { .. }
                | Effect::Confine { .. }
                | Effect::Emit(_) => {}
            }
        }
        core
    }

    /// What is shown of a settled pod is what is on the host.
    fn check_truth(&self, view: &PodView) -> Result<(), Violation> {
        for container in &view.containers {
            let key = ContainerKey { pod: view.uid.clone(), container: container.name.clone() };
            let process = self.host.containers.get(&key);
            let shown = match &container.state {
                ContainerState::Running { pid, .. } => Some(*pid),
                ContainerState::Waiting { .. } | ContainerState::Terminated { .. } => None,
            };
            let lives = process.filter(|process| process.lives()).map(|process| process.pid);
            if shown != lives {
                let detail = format!("{key} is shown with pid {shown:?}, the host has {lives:?}");
                return Err(violated(Invariant::ViewIsTrue, detail));
            }
            let unsaid =
                process.and_then(|process| process.speech.as_ref()).is_some_and(|speech| !speech.may_be_ready());
            if container.started && unsaid {
                return Err(violated(Invariant::ViewIsTrue, format!("{key} is shown as started and has not said so")));
            }
            if let (Some(attempt), Some(_)) = (container.attempt, shown) {
                self.host.check_last(&key, attempt, container.last.as_ref().map(|end| end.status))?;
            }
        }
        Ok(())
    }
}

/// A view in one line, without the pod.
fn brief(view: Option<&PodView>) -> String {
    let without = view.map(|view| PodView { pod: None, ..view.clone() });
    let differs_in_pod = view.and_then(|view| view.pod.as_ref()).map(|pod| &pod.data_paths);
    format!("{without:?}, data paths {differs_in_pod:?}")
}

/// Without what may differ.
fn comparable(mut view: PodView) -> PodView {
    view.message = String::new();
    view.resizing = view.resizing.map(|_| String::new());
    if matches!(view.reason, Some(Reason::PodInitializing)) {
        view.reason = None;
    }
    view.containers.iter_mut().for_each(strip_words);
    view
}

fn strip_words(container: &mut ContainerView) {
    if let ContainerState::Waiting { message, .. } = &mut container.state {
        message.clear();
    }
}
