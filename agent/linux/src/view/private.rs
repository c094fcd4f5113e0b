//! What on the host is not for everybody, kept from containers that the kernel would let read it: root's, and those that
//! may pass over permissions. Others are held back by the permissions themselves.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use barepod_model::Launch;

use super::host_dirs::{HostDirs, Kind, Node, is_absent};

/// Where secrets of a host lie, and how many components of a path are looked at. What lies deeper is not looked for: it
/// would take longer than a start may.
const PLACES: [(&str, usize); 5] = [("/etc", 6), ("/opt", 4), ("/srv", 4), ("/usr/local", 4), ("/var", 4)];

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`.
const PASS_OVER: [u32; 2] = [1, 2];

/// Whether permissions that are meant for root let this container through.
pub(super) fn is_privy(launch: &Launch) -> bool {
    let user = &launch.user;
    let is_root = user.uid == 0 || user.gid == 0 || user.groups.contains(&0);
    let passes = launch.capabilities.iter().any(|capability| PASS_OVER.contains(capability));
    (is_root || passes) && !launch.confinement.privileged
}

/// All that not everybody may read, outside the directories that are not seen anyway. What vanishes while it is looked at hides nothing: other programs of the host make and
/// remove directories at any time.
///
/// # Errors
/// A directory cannot be read; `path` is which.
pub(super) fn find(host: &dyn HostDirs, unseen: &BTreeSet<PathBuf>) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut found = Vec::new();
    for (place, depth) in PLACES {
        let path = Path::new(place);
        if unseen.contains(path) {
            continue;
        }
        let node = host.node(path).map_err(|error| (path.to_owned(), error))?;
        if let Some(Node { kind: Kind::Directory, .. }) = node {
            search(host, path, depth, unseen, &mut found)?;
        }
    }
    Ok(found)
}

fn search(
    host: &dyn HostDirs,
    directory: &Path,
    depth: usize,
    unseen: &BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    let entries = match host.entries(directory, unseen) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries.map_err(|error| (directory.to_owned(), error))?,
    };
    for (name, node) in entries {
        let path = directory.join(name);
        if unseen.contains(&path) {
            continue;
        }
        let open = match node.kind {
            Kind::Link(_) => continue,
            // What can be entered and not listed shows what it has to those who know its names.
            Kind::Directory => node.mode & 0o001 != 0,
            Kind::File => node.mode & 0o004 != 0,
        };
        if !open {
            // A path that the wire cannot carry is in a directory that shows it: then all of that is hidden.
            found.push(if path.to_str().is_some() { path } else { directory.to_owned() });
        } else if node.kind == Kind::Directory && path.components().count() <= depth {
            search(host, &path, depth, unseen, found)?;
        }
    }
    Ok(())
}
