//! What an ended container left to be read: its termination message, or the end of its log.

use std::io;

use barepod_linux::volumes;
use barepod_logs::reader::{Options, Reader, Step};
use barepod_model::{Attempt, ContainerKey, ExitStatus, TerminationMessagePolicy};

use super::Host;

/// kubelet's `MaxContainerTerminationMessageLogLength` and `MaxContainerTerminationMessageLogLines`.
const MAX_BYTES: usize = 2048;
const MAX_LINES: u64 = 80;

/// The last words of an attempt of which nothing is left; `status` is how its main process ended, if that is known. What
/// cannot be read is not there.
pub(super) fn of(host: &Host, key: &ContainerKey, attempt: Attempt, status: Option<ExitStatus>) -> String {
    let failed = |what: &str, error: &io::Error| {
        tracing::warn!(container = %key, %error, "{what} cannot be read");
        String::new()
    };
    let written =
        volumes::last_words(&host.dirs, key, attempt).unwrap_or_else(|error| failed("the termination message", &error));
    if !written.is_empty() || status.is_none_or(ExitStatus::is_success) || !wants_log(host, key) {
        return written;
    }
    end_of_log(host, key, attempt).unwrap_or_else(|error| failed("the log", &error))
}

/// Whether that is more than the look at one small file.
pub(super) fn may_take_long(host: &Host, key: &ContainerKey) -> bool {
    wants_log(host, key)
}

fn wants_log(host: &Host, key: &ContainerKey) -> bool {
    let policy = host.container(key).map(|container| container.termination_message.policy);
    policy == Some(TerminationMessagePolicy::FallbackToLogsOnError)
}

fn end_of_log(host: &Host, key: &ContainerKey, attempt: Attempt) -> io::Result<String> {
    let Some(pod) = host.board.get(&key.pod).and_then(|view| view.pod.clone()) else { return Ok(String::new()) };
    let options = Options { tail: Some(MAX_LINES), ..Options::default() };
    let mut reader = Reader::open(&host.dirs.log_of(&pod, key), attempt.0, options)?;
    let mut text = Vec::new();
    while let Step::Line(line) = reader.step()? {
        text.extend(line.bytes());
    }
    let from = text.len().saturating_sub(MAX_BYTES);
    Ok(String::from_utf8_lossy(&text[from..]).into_owned())
}
