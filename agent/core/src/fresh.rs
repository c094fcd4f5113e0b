//! Where stale answers are dropped.
//!
//! An answer counts if the core waits for it: for this attempt, this generation, this write, this run of a probe. One
//! that comes twice, late, or for something that is over is dropped here and nowhere else.

use barepod_model::{ContainerName, PodUid};

use crate::container::{Machine, Observing, State};
use crate::core::Core;
use crate::planted::{self, Fault};
use crate::pod::Stage;
use crate::{AttemptKey, Input};

/// Whether this input is to be handled.
pub(crate) fn is_fresh(core: &Core, input: &Input) -> bool {
    let pod = |uid: &PodUid| core.pods.get(uid);
    match input {
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
        | Input::Wake => true,
        Input::Stored { pod: uid, revision } | Input::StoreFailed { pod: uid, revision, .. } => {
            pod(uid).is_some_and(|pod| pod.journal.awaits(*revision))
        }
        Input::Prepared { pod: uid, generation } | Input::PrepareFailed { pod: uid, generation, .. } => pod(uid)
            .is_some_and(
                |pod| matches!(pod.stage, Stage::Preparing { generation: awaited, .. } if awaited == *generation),
            ),
        Input::Started { key, .. } | Input::StartFailed { key, .. } => attempt_machine(core, key)
            .is_some_and(|machine| matches!(machine.state, State::Starting { .. }) && is_live(machine, key)),
        Input::Exited { key, .. } => attempt_machine(core, key).is_some_and(|machine| match machine.state {
            State::Recovering => true,
            State::Starting { .. } | State::Running(_) => is_live(machine, key),
            State::Idle | State::Draining { .. } => false,
        }),
        Input::Emptied { key, .. } => attempt_machine(core, key)
            .is_some_and(|machine| matches!(machine.state, State::Draining { .. }) && is_live(machine, key)),
        Input::Heard { key, heard } => {
            attempt_machine(core, key).is_some_and(|machine| machine.awaits_words(heard) && is_live(machine, key))
        }
        Input::Observed { key, .. } => {
            machine(core, &key.pod, &key.container).is_some_and(|machine| machine.observing != Observing::No)
        }
        Input::Recalled { key, .. } => {
            machine(core, &key.pod, &key.container).is_some_and(|machine| matches!(machine.state, State::Recovering))
        }
        Input::ShimLost { key } => machine(core, &key.pod, &key.container).is_some(),
        Input::Resized { key, generation } | Input::ResizeFailed { key, generation, .. } => {
            machine(core, &key.pod, &key.container).is_some_and(|machine| machine.awaits_resize(*generation))
        }
        Input::Probed { key, kind, ticket, .. } => attempt_machine(core, key)
            .is_some_and(|machine| machine.awaits_probe(*kind, *ticket) && is_live(machine, key)),
        Input::Hooked { key, kind, .. } => {
            attempt_machine(core, key).is_some_and(|machine| machine.awaits_hook(*kind) && is_live(machine, key))
        }
        Input::TornDown { pod: uid } | Input::TearDownFailed { pod: uid, .. } => {
            pod(uid).is_some_and(|pod| matches!(pod.stage, Stage::TearingDown { .. }))
        }
        Input::Measured { pod: uid, .. } => {
            pod(uid).is_some_and(|pod| matches!(pod.stage, Stage::Prepared { .. }) && !pod.is_recovering())
        }
        Input::Forgotten { pod: uid } | Input::ForgetFailed { pod: uid, .. } => {
            pod(uid).is_some_and(|pod| matches!(pod.stage, Stage::Forgetting { .. }))
        }
    }
}

fn machine<'a>(core: &'a Core, pod: &PodUid, container: &ContainerName) -> Option<&'a Machine> {
    core.pods.get(pod).and_then(|pod| pod.containers.get(container)).map(|machine| &**machine)
}

fn attempt_machine<'a>(core: &'a Core, key: &AttemptKey) -> Option<&'a Machine> {
    machine(core, &key.pod, &key.container)
}

fn is_live(machine: &Machine, key: &AttemptKey) -> bool {
    machine.live() == Some(key.attempt) || planted::on(Fault::StaleAttemptAccepted)
}
