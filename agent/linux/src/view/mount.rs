//! Words of the shim's wire for mounts, each with what it always has.

use std::path::Path;

use barepod_shim::wire::Mount;
use barepod_shim::wire::mount::Kind;

use super::host_dirs::Node;

/// Restrictions of a mount.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Without {
    pub(super) suid: bool,
    pub(super) dev: bool,
    pub(super) exec: bool,
}

impl Without {
    /// No set-user-ID, no devices, no programs.
    pub(super) const ANY: Without = Without { suid: true, dev: true, exec: true };
}

/// Paths reach this point only if they are UTF-8 (see `ViewError::NotUtf8`).
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn new(kind: Kind, target: &Path, without: Without) -> Mount {
    Mount {
        kind: kind.into(),
        target: text(target),
        no_suid: without.suid,
        no_dev: without.dev,
        no_exec: without.exec,
        ..Mount::default()
    }
}

/// A file system of its own at `target`.
pub(super) fn file_system(kind: Kind, target: &Path, data: String, without: Without) -> Mount {
    Mount { data, ..new(kind, target, without) }
}

/// A tmpfs with a mode and an owner.
pub(super) fn tmpfs(target: &Path, node: &Node, without: Without) -> Mount {
    let data = format!("mode={:o},uid={},gid={}", node.mode, node.uid, node.gid);
    file_system(Kind::Tmpfs, target, data, without)
}

/// What is at `source` on the host, alone.
pub(super) fn bind(source: &Path, target: &Path, without: Without) -> Mount {
    Mount { source: text(source), ..new(Kind::Bind, target, without) }
}

/// What is at `source` on the host, which lies below `root`, without ever leaving that.
pub(super) fn bind_within(root: &Path, source: &Path, target: &Path, without: Without) -> Mount {
    let rest = source.strip_prefix(root).unwrap_or(source);
    Mount { source_root: text(root), ..bind(rest, target, without) }
}

/// What is at `source` on the host, not writable. It may vanish until the shim comes to it.
pub(super) fn bind_read_only(source: &Path, target: &Path, without: Without) -> Mount {
    Mount { read_only: true, optional: true, ..bind(source, target, without) }
}

/// A directory, if there is none.
pub(super) fn directory(target: &Path, mode: u32) -> Mount {
    Mount { mode, ..new(Kind::Directory, target, Without::default()) }
}

/// An empty file, if there is none.
pub(super) fn file(target: &Path) -> Mount {
    Mount { mode: 0o644, ..new(Kind::File, target, Without::default()) }
}

/// A symbolic link that says `to`.
pub(super) fn link(to: &Path, target: &Path) -> Mount {
    Mount { source: text(to), ..new(Kind::Symlink, target, Without::default()) }
}

/// Nothing to be seen at `target`, if there is something.
pub(super) fn mask(target: &Path) -> Mount {
    new(Kind::Mask, target, Without::default())
}

/// `target` not writable from now on.
pub(super) fn read_only(target: &Path) -> Mount {
    new(Kind::RemountReadOnly, target, Without::default())
}
