//! Carrying hooks out.

use std::sync::Arc;

use barepod_core::{AttemptKey, HookOutcome, Input};
use barepod_model::{Hook, HookKind, Reason};

use super::Host;
use super::command::{self, Ended};
use crate::prober::Answer;
use crate::supervisor::Handle;

pub(super) async fn hook(host: Arc<Host>, supervisor: Handle, key: AttemptKey, kind: HookKind, hook: Hook) {
    let outcome = match hook {
        Hook::Exec { command } => match command::run(&host, &key.container_key(), &command).await {
            Ended::Well => HookOutcome::Success,
            Ended::Badly(said) | Ended::NotRun(said) => HookOutcome::Failure(said),
        },
        Hook::Http(get) => match host.prober.hook(&get).await {
            Answer::Good => HookOutcome::Success,
            Answer::Warning(text) => {
                host.warn(&key.container_key(), Reason::LifecycleHTTPFallback, &text);
                HookOutcome::Success
            }
            Answer::Bad(text) | Answer::Undecided(text) => HookOutcome::Failure(text),
        },
        Hook::Sleep(time) => {
            tokio::time::sleep(time).await;
            HookOutcome::Success
        }
    };
    supervisor.tell(Input::Hooked { key, kind, outcome }).await;
}
