//! Which pod and container an answer speaks of, and who takes it. That it fits has been checked in `fresh.rs`.

use barepod_model::{ContainerName, PodUid};

use crate::Input;
use crate::container::{Machine, Scene};
use crate::context::Ctx;
use crate::outcome::Exit;
use crate::pod::PodMachine;
use crate::record::ContainerRecord;
use crate::running::Running;

/// The pod that an answer speaks of; requests and `Wake` are no answers.
pub(crate) fn subject(input: &Input) -> Option<&PodUid> {
    match input {
        Input::Prepared { pod, .. }
        | Input::PrepareFailed { pod, .. }
        | Input::TornDown { pod }
        | Input::TearDownFailed { pod, .. }
        | Input::Measured { pod, .. }
        | Input::Forgotten { pod }
        | Input::ForgetFailed { pod, .. }
        | Input::Stored { pod, .. }
        | Input::StoreFailed { pod, .. } => Some(pod),
        Input::Started { key, .. }
        | Input::StartFailed { key, .. }
        | Input::Exited { key, .. }
        | Input::Emptied { key, .. }
        | Input::Heard { key, .. }
        | Input::Probed { key, .. }
        | Input::Hooked { key, .. } => Some(&key.pod),
        Input::Observed { key, .. }
        | Input::Recalled { key, .. }
        | Input::ShimLost { key }
        | Input::Resized { key, .. }
        | Input::ResizeFailed { key, .. } => Some(&key.pod),
        Input::Apply { .. }
        | Input::Delete { .. }
        | Input::Missing { .. }
        | Input::Surveyed { .. }
        | Input::Shutdown { .. }
        | Input::Booked { .. }
        | Input::Ruled { .. }
        | Input::Restart { .. }
        | Input::Halt { .. }
        | Input::Condition { .. }
        | Input::Wake => None,
    }
}

fn container(input: &Input) -> Option<&ContainerName> {
    match input {
        Input::Started { key, .. }
        | Input::StartFailed { key, .. }
        | Input::Exited { key, .. }
        | Input::Emptied { key, .. }
        | Input::Heard { key, .. }
        | Input::Probed { key, .. }
        | Input::Hooked { key, .. } => Some(&key.container),
        Input::Observed { key, .. }
        | Input::Recalled { key, .. }
        | Input::ShimLost { key }
        | Input::Resized { key, .. }
        | Input::ResizeFailed { key, .. } => Some(&key.container),
        Input::Prepared { .. }
        | Input::PrepareFailed { .. }
        | Input::TornDown { .. }
        | Input::TearDownFailed { .. }
        | Input::Measured { .. }
        | Input::Forgotten { .. }
        | Input::ForgetFailed { .. }
        | Input::Stored { .. }
        | Input::StoreFailed { .. }
        | Input::Apply { .. }
        | Input::Delete { .. }
        | Input::Missing { .. }
        | Input::Surveyed { .. }
        | Input::Shutdown { .. }
        | Input::Booked { .. }
        | Input::Ruled { .. }
        | Input::Restart { .. }
        | Input::Halt { .. }
        | Input::Condition { .. }
        | Input::Wake => None,
    }
}

impl PodMachine {
    /// Takes an answer that speaks of this pod.
    pub(crate) fn answer(&mut self, input: Input, ctx: &mut Ctx<'_>) {
        if let Some(name) = container(&input).cloned() {
            let take = |machine: &mut Machine, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>| {
                machine.answer(input, rec, scene, ctx);
            };
            return self.with_container(&name, ctx, take);
        }
        match input {
            Input::Prepared { generation, .. } => self.prepared(generation),
            Input::PrepareFailed { failure, .. } => self.prepare_failed(failure, ctx),
            Input::TornDown { .. } => self.torn_down(),
            Input::TearDownFailed { message, .. } => self.tear_down_failed(message, ctx),
            Input::Measured { used, .. } => self.measured(&used, ctx),
            Input::Forgotten { .. } => self.forgotten(ctx),
            Input::ForgetFailed { message, .. } => self.forget_failed(message, ctx),
            Input::Stored { .. }
            | Input::StoreFailed { .. }
            | Input::Apply { .. }
            | Input::Delete { .. }
            | Input::Missing { .. }
            | Input::Surveyed { .. }
            | Input::Shutdown { .. }
            | Input::Booked { .. }
            | Input::Ruled { .. }
            | Input::Restart { .. }
            | Input::Halt { .. }
            | Input::Condition { .. }
            | Input::Wake
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
            | Input::Hooked { .. } => {}
        }
    }
}

impl Machine {
    /// Takes an answer that speaks of this container.
    fn answer(&mut self, input: Input, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match input {
            Input::Started { pid, .. } => self.started(pid, rec, scene, ctx),
            Input::StartFailed { failure, .. } => self.start_failed(failure, rec, scene, ctx),
            Input::Exited { status, oom, finished, .. } => {
                let exit = Exit { status, oom, started: None, finished, message: String::new() };
                self.exited(exit, rec, scene, ctx);
            }
            Input::Emptied { message, .. } => {
                rec.hear_last_words(message);
                self.emptied(rec, scene, ctx);
            }
            Input::Observed { observation, .. } => self.observed(observation, rec, scene, ctx),
            Input::Recalled { ends, .. } => self.recall(ends, rec, scene, ctx),
            Input::ShimLost { .. } => self.shim_lost(scene, ctx),
            Input::Heard { heard, .. } => self.heard(heard, rec, scene, ctx),
            running => {
                if let Some(run) = self.running() {
                    run.answer(running, rec, scene, ctx);
                }
            }
        }
    }
}

impl Running {
    /// Takes an answer that speaks of the running attempt.
    fn answer(&mut self, input: Input, rec: &mut ContainerRecord, scene: Scene<'_>, ctx: &mut Ctx<'_>) {
        match input {
            Input::Resized { .. } => self.resized(rec, scene, ctx),
            Input::ResizeFailed { generation, message, .. } => self.resize_failed(generation, message, scene, ctx),
            Input::Probed { kind, outcome, .. } => self.probed(kind, &outcome, rec, scene, ctx),
            Input::Hooked { kind, outcome, .. } => self.hooked(kind, outcome, rec, scene, ctx),
            Input::Started { .. }
            | Input::StartFailed { .. }
            | Input::Exited { .. }
            | Input::Emptied { .. }
            | Input::Observed { .. }
            | Input::Recalled { .. }
            | Input::ShimLost { .. }
            | Input::Heard { .. }
            | Input::Prepared { .. }
            | Input::PrepareFailed { .. }
            | Input::TornDown { .. }
            | Input::TearDownFailed { .. }
            | Input::Measured { .. }
            | Input::Forgotten { .. }
            | Input::ForgetFailed { .. }
            | Input::Stored { .. }
            | Input::StoreFailed { .. }
            | Input::Apply { .. }
            | Input::Delete { .. }
            | Input::Missing { .. }
            | Input::Surveyed { .. }
            | Input::Shutdown { .. }
            | Input::Booked { .. }
            | Input::Ruled { .. }
            | Input::Restart { .. }
            | Input::Halt { .. }
            | Input::Condition { .. }
            | Input::Wake => {}
        }
    }
}
