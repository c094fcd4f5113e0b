//! What a service tells of itself by sd_notify(3), and how far that counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A container whose service speaks to a socket: `NOTIFY_SOCKET` is in its environment, and it has started when it has
/// said `READY=1`. The names are systemd's (systemd.service(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Notify {
    /// Whose words count.
    pub access: NotifyAccess,
    /// It must have said `READY=1` so long after its start (`TimeoutStartSec`); `None` for any time.
    pub start_timeout: Option<Duration>,
    /// It must say `WATCHDOG=1` at least so often once it is ready (`WatchdogSec`); `None` for never.
    pub watchdog: Option<Duration>,
}

/// `NotifyAccess`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum NotifyAccess {
    /// The main process, or the one that it has named as such.
    #[default]
    Main,
    /// Every process of the container.
    All,
}

/// What a manifest says of one container, in the place of what its preset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotifyRequest {
    /// It does not speak.
    Off,
    /// It speaks.
    On(Notify),
}
