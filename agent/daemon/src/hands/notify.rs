//! The socket that a service speaks to (sd_notify(3)): where it is in its view, and what it is told of it.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use barepod_linux::view::{Manner, Place, Placement};
use barepod_model::{Launch, Notify, NotifyAccess};
use barepod_shim::layout;
use barepod_shim::wire::{self, notify::Access};

/// The directory of the socket in the view. The socket itself may be another one tomorrow.
const DIRECTORY: &str = "/run/barepod/notify";

/// The shim's directory for it, made if it is missing: the view may be made before the shim is there.
pub(super) fn placement(shim: &Path) -> io::Result<Placement> {
    let source = shim.join(layout::NOTIFY);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(shim)?;
    match std::fs::DirBuilder::new().mode(0o755).create(&source) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    Ok(Placement {
        what: "the directory of the notification socket".to_owned(),
        source,
        within: None,
        path: DIRECTORY.into(),
        place: Place::Directory,
        read_only: true,
        devices: false,
        manner: Manner::default(),
    })
}

/// `NAME=value`, beside the rest of its environment. `WATCHDOG_PID` is left out: the process has the number 1 where it has
/// a PID namespace of its own, and a number that nobody knows yet where it has none.
pub(super) fn environment(launch: &Launch) -> Vec<String> {
    let Some(notify) = &launch.notify else { return Vec::new() };
    let socket = format!("NOTIFY_SOCKET={DIRECTORY}/{}", layout::NOTIFY_SOCKET);
    let watchdog = notify.watchdog.map(|time| format!("WATCHDOG_USEC={}", time.as_micros()));
    [socket].into_iter().chain(watchdog).collect()
}

/// What one more process in the container is told: it may speak where all may.
pub(super) fn environment_of_exec(launch: &Launch) -> Vec<String> {
    let all = launch.notify.is_some_and(|notify| notify.access == NotifyAccess::All);
    let mut variables = if all { environment(launch) } else { Vec::new() };
    variables.truncate(1);
    variables
}

/// The shim's part.
pub(super) fn order(notify: &Notify) -> wire::Notify {
    let access = match notify.access {
        NotifyAccess::Main => Access::Main,
        NotifyAccess::All => Access::All,
    };
    wire::Notify { access: access.into() }
}
