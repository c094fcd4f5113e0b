//! The words between barepodd and barepod-shim, generated from `proto/shim.proto`, and their frames.

mod frame;
#[rustfmt::skip]
#[expect(missing_docs, reason = "generated; the words are explained in proto/shim.proto")]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on its way to or from a socket")]
mod generated;

use std::fmt;

pub use frame::{FrameError, Frames, MAX_FRAME, encode_frame, read_frame, write_frame};
pub use generated::*;

/// The highest protocol this code speaks.
pub const PROTOCOL: u32 = 5;
/// The first that knows `GetReady`.
pub const GET_READY: u32 = 2;
/// The first that knows `Joined`, `stdin` and the socket `attach`.
pub const JOINED: u32 = 3;
/// The first that knows `Notify`.
pub const NOTIFY: u32 = 3;
/// The first that knows `Go`, `Dismiss`, `Known` and a `GetReady` with a whole start.
pub const GO: u32 = 4;
/// The first that knows `Confinement` and `Sysctl`. One that does not must not be asked for them: it would run the process
/// without.
pub const CONFINEMENT: u32 = 4;
/// The first that knows `shared` of a mount.
pub const SHARED: u32 = 5;

impl fmt::Debug for Start {
    /// Without the environment's values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("attempt", &self.attempt)
            .field("program", &self.argv.first())
            .field("arguments", &self.argv.len().saturating_sub(1))
            .field("env", &names(&self.env))
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("cgroup", &self.cgroup)
            .field("namespaces", &self.namespaces)
            .field("tty", &self.tty)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Exec {
    /// Without the environment's values, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("target_pid", &self.target_pid)
            .field("program", &self.argv.first())
            .field("arguments", &self.argv.len().saturating_sub(1))
            .field("env", &names(&self.env))
            .field("cwd", &self.cwd)
            .field("user", &self.user)
            .field("tty", &self.tty)
            .finish_non_exhaustive()
    }
}

fn names(env: &[String]) -> Vec<&str> {
    env.iter().map(|entry| entry.split_once('=').map_or(entry.as_str(), |(name, _)| name)).collect()
}

impl From<request::Request> for Request {
    fn from(request: request::Request) -> Self {
        Self { request: Some(request) }
    }
}

impl From<attach_event::Event> for AttachEvent {
    fn from(event: attach_event::Event) -> Self {
        Self { event: Some(event) }
    }
}

impl From<attach_request::Request> for AttachRequest {
    fn from(request: attach_request::Request) -> Self {
        Self { request: Some(request) }
    }
}

impl From<event::Event> for Event {
    fn from(event: event::Event) -> Self {
        Self { event: Some(event) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_start_hides_values_and_arguments() {
        let start = Start {
            argv: vec!["server".into(), "--password=hunter2".into()],
            env: vec!["PASSWORD=hunter2".into()],
            ..Start::default()
        };

        let text = format!("{start:?}");

        assert!(text.contains("PASSWORD") && text.contains("server"));
        assert!(!text.contains("hunter2"));
    }
}
