//! One more process in a running container, as its user, in its view and its group.

use std::sync::Arc;

use barepod_linux::shim::{self, Joined, ShimError};
use barepod_model::{Container, ContainerKey};
use barepod_shim::wire::{self, exec_result};

use super::launch;
use super::{Host, translate};

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
    let confinement = host.confining.of(container, |_| ());
    let request = wire::Exec {
        target_pid: process.pid,
        target_start_ticks: process.start_ticks,
        argv: command,
        env: launch::environment(launched),
        cwd: launched.cwd.display().to_string(),
        user: Some(launch::user(launched)),
        cgroup: Some(launch::cgroup(&host.groups.leaf(key, process.attempt))),
        capabilities: launched.capabilities.clone(),
        no_new_privileges: launched.no_new_privileges,
        tty,
        oom_score_adj: launched.oom_score_adj,
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
