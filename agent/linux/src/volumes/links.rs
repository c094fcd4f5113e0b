//! Links on the way of a host path. barepod follows them as root, so a link that a user made must not lead barepod where
//! that user could not make it lead: a link that is not root's leads to what belongs to its owner.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::error::{VolumeError, at, refused};
use super::title;

/// As many as the kernel follows (path_resolution(7)).
const MOST: u32 = 40;

/// Looks at every link of `path`, as far as it exists.
pub(super) fn check(volume: &str, path: &Path) -> Result<(), VolumeError> {
    let mut left = MOST;
    match follow(path, &mut left) {
        Ok(Followed::Well(_)) => Ok(()),
        Ok(Followed::Foreign) => {
            Err(refused(volume, "a link in its hostPath leads to what does not belong to the link's owner"))
        }
        // What is missing cannot mislead anybody; whoever makes or mounts it tells what else is wrong.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        Err(source) => Err(at(&title(volume), path, source)),
    }
}

enum Followed {
    /// It leads there.
    Well(PathBuf),
    Foreign,
}

fn follow(path: &Path, left: &mut u32) -> io::Result<Followed> {
    let mut known = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => continue,
            Component::ParentDir => {
                known.pop();
                continue;
            }
            Component::Normal(name) => known.push(name),
        }
        let metadata = fs::symlink_metadata(&known)?;
        if !metadata.is_symlink() {
            continue;
        }
        *left = left.checked_sub(1).ok_or_else(|| io::Error::from(Errno::ELOOP))?;
        let target = known.parent().unwrap_or(Path::new("/")).join(fs::read_link(&known)?);
        let followed = match follow(&target, left) {
            // Something may be made there.
            Err(error) if error.kind() == io::ErrorKind::NotFound && metadata.uid() != 0 => Followed::Foreign,
            followed => followed?,
        };
        match followed {
            Followed::Well(real) if metadata.uid() == 0 || metadata.uid() == fs::metadata(&real)?.uid() => known = real,
            Followed::Well(_) | Followed::Foreign => return Ok(Followed::Foreign),
        }
    }
    Ok(Followed::Well(known))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, lchown, symlink};

    use super::*;

    #[test]
    fn a_users_link_leads_only_to_what_is_the_users() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir(path("own")).unwrap();
        fs::create_dir(path("roots")).unwrap();
        symlink(path("own"), path("link-to-own")).unwrap();
        symlink("roots", path("link-to-roots")).unwrap();
        symlink("link-to-roots", path("roots-link-to-it")).unwrap();
        symlink("nowhere", path("link-to-nothing")).unwrap();
        // Only root can give things away; what is all one user's is as root's here.
        let as_root = chown(path("own"), Some(65_534), None).is_ok();
        if as_root {
            lchown(path("link-to-own"), Some(65_534), None).unwrap();
            lchown(path("link-to-roots"), Some(65_534), None).unwrap();
            lchown(path("link-to-nothing"), Some(65_534), None).unwrap();
        }
        assert!(check("v", &path("link-to-own")).is_ok());
        assert!(check("v", &path("none/below")).is_ok());
        assert_eq!(check("v", &path("link-to-nothing")).is_err(), as_root, "or it would be made");
        assert_eq!(check("v", &path("link-to-roots/below")).is_err(), as_root);
        assert_eq!(check("v", &path("roots-link-to-it")).is_err(), as_root, "nor by way of a link of root's");
    }

    #[test]
    fn a_ring_of_links_is_an_error_and_no_loop() {
        let scratch = tempfile::tempdir().unwrap();
        symlink("b", scratch.path().join("a")).unwrap();
        symlink("a", scratch.path().join("b")).unwrap();
        assert!(check("v", &scratch.path().join("a")).is_err());
    }
}
