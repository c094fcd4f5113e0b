//! The ledger: what the daemon must still know of a pod after its own death, or the host's.
//!
//! One directory, owned by root and closed to everyone else. A pod has one file of each of two kinds:
//!
//! ```text
//!   <uid>.json   the newest record that must survive a power cut; synced before it is renamed into place
//!   <uid>.lazy   a newer record that must only survive the daemon; never synced, so a power cut may spoil it
//!   <uid>.tmp    a write that did not end; removed when the ledger is loaded
//! ```
//!
//! A lazy write never touches `<uid>.json`: on file systems that do not order a rename after the data it names (XFS),
//! renaming an unsynced file over a synced one could lose an acknowledged pod to a power cut. Loading takes the newer of
//! the two that can be read; a durable write removes the lazy file it overtakes.
//!
//! What cannot be read is reported and then left alone for good: it is neither overwritten nor removed, because it may be
//! all that is known of a running database.

#![forbid(unsafe_code)]

mod format;
mod ledger;

pub use format::{FORMAT, ReadError};
pub use ledger::{Ledger, Loaded, StoreError};
