//! Files made for a container: those of its preset, and the three of `/etc` that name it and its network.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use barepod_model::{Credentials, Launch, RenderedFile};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchown};

use super::error::{VolumeError, at};
use super::remove;
use crate::view::{Place, Placement};

/// Writes all of them anew into `directory`, which only root can enter, and says where they go.
pub(super) fn write(
    directory: &Path,
    launch: &Launch,
    placements: &[Placement],
) -> Result<Vec<Placement>, VolumeError> {
    remove::tree(directory)?;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|source| at("files made for the container", directory, source))?;
    let mut written = Vec::new();
    for (number, file) in launch.files.iter().enumerate() {
        let source = directory.join(number.to_string());
        written.push(write_one(source, file, &launch.user)?);
    }
    for (name, file) in etc(launch) {
        if wants(&file.path, placements, &written) {
            written.push(write_one(directory.join(name), &file, &Credentials { uid: 0, gid: 0, groups: Vec::new() })?);
        }
    }
    Ok(written)
}

fn write_one(source: PathBuf, file: &RenderedFile, owner: &Credentials) -> Result<Placement, VolumeError> {
    let what = format!("file {}", file.path.display());
    write_file(&source, file, owner).map_err(|cause| at(&what, &source, cause))?;
    Ok(Placement {
        what,
        source,
        within: None,
        path: file.path.clone(),
        place: Place::File,
        read_only: true,
        devices: false,
    })
}

/// Closed to everybody until it belongs to its reader.
fn write_file(path: &Path, file: &RenderedFile, owner: &Credentials) -> io::Result<()> {
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    opened.write_all(file.contents.as_bytes())?;
    fchown(&opened, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)))?;
    fchmod(&opened, Mode::from_bits_truncate(file.mode))?;
    Ok(())
}

/// Not where the pod has put something of its own, and not in a volume over `/etc`.
fn wants(path: &Path, placements: &[Placement], written: &[Placement]) -> bool {
    !placements.iter().chain(written).any(|placement| path.starts_with(&placement.path))
}

fn etc(launch: &Launch) -> [(&'static str, RenderedFile); 3] {
    let file =
        |path: &str, contents| RenderedFile { path: path.into(), contents, mode: 0o644, follows_resources: false };
    let host = |path: &str| fs::read_to_string(path).unwrap_or_default();
    [
        ("hosts", file("/etc/hosts", hosts(&host("/etc/hosts"), &launch.hostname))),
        ("resolv.conf", file("/etc/resolv.conf", host("/etc/resolv.conf"))),
        ("hostname", file("/etc/hostname", format!("{}\n", launch.hostname))),
    ]
}

/// The host's file, which applies since its network does, with the container's own name, which must resolve: many services
/// look themselves up.
fn hosts(host: &str, hostname: &str) -> String {
    let mut text = if host.is_empty() { "127.0.0.1\tlocalhost\n::1\tlocalhost\n".to_owned() } else { host.to_owned() };
    let knows = |line: &str| {
        let names = line.split('#').next().unwrap_or_default();
        names.split_whitespace().skip(1).any(|name| name == hostname)
    };
    if !hostname.is_empty() && !text.lines().any(knows) {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("127.0.1.1\t{hostname}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_can_look_itself_up() {
        assert_eq!(hosts("127.0.0.1 localhost", "db-0"), "127.0.0.1 localhost\n127.0.1.1\tdb-0\n");
        assert!(hosts("", "db-0").contains("localhost"));
    }

    #[test]
    fn a_name_the_host_knows_is_not_given_a_second_address() {
        let host = "10.0.0.7\tdb-0.example db-0 # main\n";
        assert_eq!(hosts(host, "db-0"), host);
        assert!(hosts("10.0.0.7 x # db-0\n", "db-0").ends_with("127.0.1.1\tdb-0\n"));
    }
}
