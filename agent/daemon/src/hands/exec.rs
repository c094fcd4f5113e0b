//! One more process in a running container, as its user, in its view and its group.

use std::sync::Arc;

use barepod_linux::shim::{self, Joined, ShimError};
use barepod_linux::volumes;
use barepod_model::{Container, ContainerKey, Launch};
use barepod_shim::wire::{self, exec_result};

use super::launch;
use super::{Host, notify, translate};

/// Where its three streams go.
pub(crate) type Stdio = Joined;

/// How it ended.
#[derive(Debug)]
pub(crate) enum Executed {
    /// With this code; 128 + signal if a signal ended it.
    Ended(i32),
    /// It never ran.
    Failed(String),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) executed: Executed,
    /// What was not as asked.
    pub(crate) warnings: Vec<String>,
}

/// Why nothing was executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    #[error("container {0} is not running")]
    NotRunning(String),
    #[error("{0}")]
    Confinement(String),
    #[error(transparent)]
    Shim(#[from] ShimError),
}

/// That of the container, with what files of volumes say now; what cannot be read is left out.
async fn environment(host: &Arc<Host>, key: &ContainerKey, launched: &Launch) -> Vec<String> {
    let mut env = launch::environment(launched);
    env.extend(notify::environment_of_exec(launched));
    let pod = host.board.get(&key.pod).and_then(|view| view.pod.clone());
    if let Some(pod) = pod.filter(|_| !launched.env_files.is_empty()) {
        let launched = launched.clone();
        let read = host.blocking(move |host| volumes::env_of_files(&host.dirs, &pod, &launched)).await;
        env.extend(read.unwrap_or_default());
    }
    env
}

/// Runs `command` in the container and waits for its end; dropped before that, it is killed.
///
/// # Errors
/// The container does not run, or the process cannot be made.
pub(crate) async fn exec(
    host: &Arc<Host>,
    key: &ContainerKey,
    container: &Container,
    command: Vec<String>,
    stdio: Stdio,
    tty: bool,
) -> Result<Ran, ExecError> {
    let process = host.process(key).ok_or_else(|| ExecError::NotRunning(key.container.to_string()))?;
    let launched = &container.launch;
    // What there is to say has been said when the container began.
    let confinement = host.confining.of(container, host.settings.now().seccomp_default, |_| ());
    let request = wire::Exec {
        target_pid: process.pid,
        target_start_ticks: process.start_ticks,
        argv: command,
        env: environment(host, key, launched).await,
        cwd: launched.cwd.display().to_string(),
        user: Some(launch::user(launched)),
        cgroup: Some(launch::cgroup(&host.groups.leaf(key, process.attempt))),
        capabilities: launched.capabilities.clone(),
        ambient_capabilities: launched.ambient_capabilities().to_vec(),
        no_new_privileges: launched.no_new_privileges,
        tty,
        oom_score_adj: host
            .board
            .get(&key.pod)
            .and_then(|view| view.pod.clone())
            .map_or(0, |pod| host.oom_score_adj(&pod, container)),
        confinement: Some(confinement.map_err(|failure| ExecError::Confinement(failure.message))?),
    };
    let (result, warnings) = shim::exec(host.shim_binary.clone(), request, stdio).await?;
    let warnings = warnings.iter().map(translate::warning).collect();
    let executed = match result {
        exec_result::Result::Exit(exit) => {
            let (status, _, _) = translate::exit(Some(&exit), &host.boot_id);
            Executed::Ended(status.kubernetes_code())
        }
        exec_result::Result::Failure(failed) => Executed::Failed(translate::start_failure(&failed).message),
    };
    Ok(Ran { executed, warnings })
}
