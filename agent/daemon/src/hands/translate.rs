//! From the shim's words to the core's.

use std::time::Duration;

use barepod_core::{Heard, Observation, PastEnd, Patience, StartFailure};
use barepod_model::{Attempt, BootId, BootTime, ExitStatus, Reason, Stamp, WallTime};
use barepod_shim::wire::{self, exit, start_failed::Stage};
use nix::errno::Errno;

use super::host::Process;
use crate::clock;

/// A moment of the shim's, which runs under the boot `boot_id`.
fn stamp(time: &wire::Time, boot_id: &BootId) -> Stamp {
    let wall = jiff::Timestamp::from_nanosecond(i128::from(time.wall_ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Stamp { boot_id: boot_id.clone(), boot: BootTime(Duration::from_nanos(time.boot_ns)), wall: WallTime(wall) }
}

fn stamp_or_now(time: Option<&wire::Time>, boot_id: &BootId) -> Stamp {
    time.map_or_else(|| clock::stamp(boot_id), |time| stamp(time, boot_id))
}

fn status(how: Option<&exit::How>) -> ExitStatus {
    match how {
        Some(exit::How::Code(code)) => ExitStatus::Code(*code),
        Some(exit::How::Signal(signal)) => ExitStatus::Signal(*signal),
        Some(exit::How::Unknown(_)) | None => ExitStatus::Unknown,
    }
}

/// How it ended, whether for memory, and when.
pub(super) fn exit(exit: Option<&wire::Exit>, boot_id: &BootId) -> (ExitStatus, bool, Stamp) {
    match exit {
        Some(exit) => (status(exit.how.as_ref()), exit.oom, stamp_or_now(exit.time.as_ref(), boot_id)),
        None => (ExitStatus::Unknown, false, clock::stamp(boot_id)),
    }
}

/// What a Welcome says of the container, and the process that may be joined.
pub(super) fn observation(welcome: &wire::Welcome, boot_id: &BootId) -> (Observation, Option<Process>) {
    let Some(current) = &welcome.current else { return (Observation::Absent, None) };
    let attempt = Attempt(current.attempt);
    let boot = BootId(current.boot_id.clone());
    let started = current.started.as_ref().map(|time| stamp(time, &boot));
    let running = current.exit.is_none() && current.failure.is_none() && current.pid != 0;
    if running {
        let process = Process { attempt, pid: current.pid, start_ticks: current.start_ticks };
        let started = started.unwrap_or_else(|| clock::stamp(boot_id));
        let heard = current.heard.as_ref().map(|said| Box::new(heard(said)));
        return (Observation::Running { attempt, pid: current.pid, started, heard }, Some(process));
    }
    let (status, oom, finished) = exit(current.exit.as_ref(), boot_id);
    let message = String::new();
    (Observation::Exited { attempt, status, oom, started, finished, empty: current.empty, message }, None)
}

/// What a service has said of itself.
pub(super) fn heard(said: &wire::Heard) -> Heard {
    let at = |nanos: u64| (nanos != 0).then(|| BootTime(Duration::from_nanos(nanos)));
    let time = |time: &Option<wire::Time>| time.as_ref().map(|time| BootTime(Duration::from_nanos(time.boot_ns)));
    let patience = at(said.extended_asked_ns).zip(at(said.extended_ns));
    Heard {
        serial: said.serial,
        ready: time(&said.ready),
        reloading: time(&said.reloading),
        stopping: time(&said.stopping),
        status: said.status.clone(),
        error: error(said),
        watchdog: at(said.watchdog_ns),
        triggered: said.watchdog_triggered,
        watchdog_timeout: said.watchdog_timeout_ns.map(Duration::from_nanos),
        patience: patience.map(|(asked, until)| Patience { asked, until }),
        main_pid: (said.main_pid != 0).then_some(said.main_pid),
        deaf: at(said.deaf_ns),
        refused: said.refused,
        refusal: said.refusal.clone(),
    }
}

fn error(said: &wire::Heard) -> String {
    let errno = (said.errno != 0).then(|| Errno::from_raw(said.errno).desc().to_owned());
    let named = [&said.bus_error, &said.varlink_error].into_iter().filter(|name| !name.is_empty()).cloned();
    errno.into_iter().chain(named).collect::<Vec<_>>().join(", ")
}

/// How earlier attempts ended, as the shim has kept it.
pub(super) fn past_ends(welcome: &wire::Welcome) -> Vec<PastEnd> {
    let end = |past: &wire::Attempt| {
        let boot = BootId(past.boot_id.clone());
        let (status, oom, finished) = exit(past.exit.as_ref(), &boot);
        let failure = past.failure.as_ref().map(start_failure);
        let started = past.started.as_ref().map(|time| stamp(time, &boot));
        PastEnd { attempt: Attempt(past.attempt), failure, status, oom, started, finished }
    };
    welcome.ended.iter().map(end).collect()
}

/// Why an attempt never ran, in Kubernetes' reasons.
pub(super) fn start_failure(failed: &wire::StartFailed) -> StartFailure {
    let error = Errno::from_raw(failed.errno);
    let object = &failed.object;
    let (reason, message) = match failed.stage() {
        Stage::Exec => (Reason::StartError, exec_message(object, error)),
        Stage::Chdir => (Reason::StartError, format!("cannot enter the working directory {object}: {}", error.desc())),
        Stage::User => {
            (Reason::CreateContainerConfigError, format!("cannot become the user ({object}): {}", error.desc()))
        }
        Stage::View => (Reason::CreateContainerError, format!("cannot build the view at {object}: {}", error.desc())),
        Stage::Cgroup => (Reason::CreateContainerError, format!("cannot enter the cgroup {object}: {}", error.desc())),
        Stage::Clone => (Reason::CreateContainerError, format!("cannot make the process: {}", error.desc())),
        Stage::Limits => (Reason::CreateContainerError, format!("cannot set {object}: {}", error.desc())),
        Stage::Prepare | Stage::Unspecified => {
            (Reason::CreateContainerError, format!("the shim cannot prepare {object}: {}", error.desc()))
        }
    };
    StartFailure { reason, message }
}

fn exec_message(program: &str, error: Errno) -> String {
    let hint = match error {
        Errno::ENOENT => "executable file not found; check command and $PATH in the container's view",
        Errno::EACCES => "permission denied; the container's user must be able to read and execute it",
        Errno::ENOEXEC => "not an executable of this machine; a script needs a first line such as #!/bin/sh",
        other => other.desc(),
    };
    format!("exec {program:?}: {hint}")
}

/// What is not as asked.
pub(super) fn warning(warning: &wire::Warning) -> String {
    let why = if warning.detail.is_empty() { Errno::from_raw(warning.errno).desc() } else { &warning.detail };
    format!("{} could not be set: {why}; the container runs without it", warning.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot() -> BootId {
        BootId("b".to_owned())
    }

    #[test]
    fn a_running_attempt_is_seen_with_its_process() {
        let current = wire::Attempt { attempt: 3, pid: 7, start_ticks: 9, ..wire::Attempt::default() };
        let welcome = wire::Welcome { current: Some(current), ..wire::Welcome::default() };
        let (observation, process) = observation(&welcome, &boot());
        assert!(matches!(observation, Observation::Running { attempt: Attempt(3), pid: 7, .. }));
        assert_eq!(process.map(|p| p.start_ticks), Some(9));
    }

    #[test]
    fn what_a_service_said_comes_with_the_attempt_that_runs() {
        let said = wire::Heard {
            serial: 4,
            status: "fine".to_owned(),
            errno: 2,
            bus_error: "org.x".to_owned(),
            ..Default::default()
        };
        let current = wire::Attempt { attempt: 3, pid: 7, heard: Some(said), ..wire::Attempt::default() };
        let welcome = wire::Welcome { current: Some(current), ..wire::Welcome::default() };
        let (Observation::Running { heard: Some(heard), .. }, _) = observation(&welcome, &boot()) else { panic!() };
        assert_eq!((heard.serial, heard.status.as_str(), heard.deaf), (4, "fine", None));
        assert_eq!(heard.error, "No such file or directory, org.x");
    }

    #[test]
    fn an_end_that_nobody_saw_is_said_to_be_unknown() {
        let exit = wire::Exit { how: Some(exit::How::Unknown(true)), ..wire::Exit::default() };
        let current = wire::Attempt { attempt: 0, pid: 7, exit: Some(exit), empty: true, ..wire::Attempt::default() };
        let welcome = wire::Welcome { current: Some(current), ..wire::Welcome::default() };
        let (observation, process) = observation(&welcome, &boot());
        assert!(matches!(observation, Observation::Exited { status: ExitStatus::Unknown, empty: true, .. }));
        assert!(process.is_none());
    }

    #[test]
    fn a_missing_program_names_itself_and_the_fix() {
        let mut failed = wire::StartFailed { errno: libc_enoent(), object: "/bin/x".to_owned(), ..Default::default() };
        failed.set_stage(Stage::Exec);
        let failure = start_failure(&failed);
        assert_eq!(failure.reason, Reason::StartError);
        assert!(failure.message.contains("/bin/x") && failure.message.contains("$PATH"), "{}", failure.message);
    }

    fn libc_enoent() -> i32 {
        Errno::ENOENT as i32
    }
}
