//! Whether this host is as services want it, and the commands that mend it.
//!
//! ```text
//!   the host ──gather──▶ Facts ──judge──▶ Report ──show──▶ text or JSON
//! ```
//!
//! [`judge`] is pure. Nothing here changes anything.

mod contradiction;
mod facts;
mod gather;
mod in_use;
mod judge;
mod report;

pub(crate) use facts::Daemon;
pub(crate) use gather::{Known, Places, Processes, gather};
pub(crate) use in_use::{Asked, HostBelow, wants};
pub(crate) use judge::judge;
