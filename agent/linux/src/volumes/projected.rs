//! Volumes of made files, with the layout that Kubernetes documents: programs see all new contents at once or none.
//!
//! ```text
//!   volume/
//!     tls.crt  ─▶ ..data/tls.crt          what programs open; a link for each first component of a path
//!     ..data   ─▶ ..1763725000123456789   replaced by one rename: this is the moment of the change
//!     ..1763725000123456789/tls.crt       the files themselves, never changed
//! ```

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown, symlink,
};
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use barepod_model::{Projected, ProjectedFile};

use super::error::{VolumeError, at, refused};
use super::{Warnings, mount_memory, private, remove, title};

/// The link to what is shown.
const DATA: &str = "..data";
/// It, before it takes the place of the old one.
const NEXT: &str = "..data_tmp";

/// What an `fsGroup` may do with files, and with directories besides.
const GROUP_READS: u32 = 0o440;
const GROUP_ENTERS: u32 = 0o2550;

/// Makes the volume, or its new contents. What is unchanged is left alone. With a group, its files belong to that and may
/// be read by it, whatever mode they were asked for.
pub(super) fn make(
    path: &Path,
    volume: &str,
    projected: &Projected,
    group: Option<u32>,
) -> Result<Warnings, VolumeError> {
    if let Some(missing) = &projected.missing {
        if fs::symlink_metadata(path.join(DATA)).is_ok() {
            return Ok(vec![format!("volume {volume:?} keeps its contents: {missing}")]);
        }
        return Err(VolumeError::Missing { volume: volume.to_owned(), missing: missing.clone() });
    }
    for file in &projected.files {
        check(volume, &file.path)?;
    }
    let failed = |source| at(&title(volume), path, source);
    place(path, projected.in_memory).map_err(failed)?;
    if !shows(path, &projected.files, group).map_err(failed)? {
        publish(path, &projected.files, group).map_err(failed)?;
    }
    tidy(path, &projected.files)?;
    Ok(Warnings::new())
}

/// Where the volume's files are at present. A container that mounts one of them keeps it as it is, as in Kubernetes.
pub(super) fn shown(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path.join(DATA))
}

/// Manifests are checked before; this is the last gate before the file system.
fn check(volume: &str, path: &Path) -> Result<(), VolumeError> {
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let ours = path.as_os_str().as_encoded_bytes().starts_with(b"..");
    match plain && !ours && !path.as_os_str().is_empty() {
        true => Ok(()),
        false => Err(refused(volume, "the path of a file must be relative and must not begin with or contain ..")),
    }
}

fn place(path: &Path, in_memory: bool) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        private(parent)?;
    }
    if !path.exists() {
        fs::create_dir(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o755))?;
    }
    if in_memory { mount_memory(path, "mode=0755") } else { Ok(()) }
}

/// Whether the files are there as they are wanted.
fn shows(path: &Path, files: &[ProjectedFile], group: Option<u32>) -> io::Result<bool> {
    let data = path.join(DATA);
    if fs::symlink_metadata(&data).is_err() || count(&data)? != files.len() {
        return Ok(false);
    }
    Ok(files.iter().all(|file| {
        let at = data.join(&file.path);
        let fits = |found: fs::Metadata| {
            found.mode() & 0o7777 == mode(file, group) && group.is_none_or(|group| found.gid() == group)
        };
        fs::read(&at).is_ok_and(|found| found == file.contents.0) && fs::symlink_metadata(&at).is_ok_and(fits)
    }))
}

fn count(directory: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

fn publish(path: &Path, files: &[ProjectedFile], group: Option<u32>) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let name = format!("..{}", now.as_nanos());
    let directory = path.join(&name);
    make_directory(&directory, group)?;
    for file in files {
        write(&directory, file, group)?;
    }
    let next = path.join(NEXT);
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    symlink(&name, &next)?;
    fs::rename(&next, path.join(DATA))?;
    for top in tops(files) {
        match symlink(Path::new(DATA).join(top), path.join(top)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn make_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o755).create(path)?;
    chown(path, None, group)?;
    fs::set_permissions(path, Permissions::from_mode(0o755 | group.map_or(0, |_| GROUP_ENTERS)))
}

fn mode(file: &ProjectedFile, group: Option<u32>) -> u32 {
    file.mode & 0o777 | group.map_or(0, |_| GROUP_READS)
}

/// Closed to everybody until it is complete.
fn write(directory: &Path, file: &ProjectedFile, group: Option<u32>) -> io::Result<()> {
    let mut at = directory.to_owned();
    for part in file.path.parent().into_iter().flat_map(Path::components) {
        at.push(part);
        if !at.exists() {
            make_directory(&at, group)?;
        }
    }
    let path = directory.join(&file.path);
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    opened.write_all(&file.contents.0)?;
    fchown(&opened, None, group)?;
    opened.set_permissions(Permissions::from_mode(mode(file, group)))
}

/// Removes what no longer shows anything: links of files that are gone, and former contents.
fn tidy(path: &Path, files: &[ProjectedFile]) -> Result<(), VolumeError> {
    let failed = |source| at("removing former contents", path, source);
    let current = fs::read_link(path.join(DATA)).map_err(failed)?;
    let tops = tops(files);
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name != DATA && name != current.as_os_str() && !tops.contains(name.as_os_str()) {
            remove::tree(&entry.path())?;
        }
    }
    Ok(())
}

/// The first components of the files' paths.
fn tops(files: &[ProjectedFile]) -> BTreeSet<&OsStr> {
    files.iter().filter_map(|file| file.path.iter().next()).collect()
}

#[cfg(test)]
mod tests {
    use barepod_model::Contents;

    use super::*;

    fn make(path: &Path, volume: &str, projected: &Projected) -> Result<Warnings, VolumeError> {
        super::make(path, volume, projected, None)
    }

    fn file(path: &str, text: &str, mode: u32) -> ProjectedFile {
        ProjectedFile { path: path.into(), contents: Contents(text.into()), mode }
    }

    fn of(files: &[ProjectedFile]) -> Projected {
        Projected { files: files.to_vec(), in_memory: false, missing: None }
    }

    fn volume() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("volumes/v");
        (scratch, path)
    }

    fn names(path: &Path) -> BTreeSet<String> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn files_have_their_contents_modes_and_directories() {
        let (_scratch, path) = volume();
        make(&path, "v", &of(&[file("a", "1", 0o400), file("d/e/f", "2", 0o644)])).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
        assert_eq!(fs::read(path.join("d/e/f")).unwrap(), b"2");
        assert_eq!(fs::metadata(path.join("a")).unwrap().mode() & 0o7777, 0o400);
        assert_eq!(fs::metadata(path.join("d/e")).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_link(path.join("d")).unwrap(), Path::new("..data/d"));
    }

    #[test]
    fn new_contents_come_all_at_once_and_leave_nothing_of_the_old_behind() {
        let (_scratch, path) = volume();
        make(&path, "v", &of(&[file("a", "1", 0o644), file("gone", "x", 0o644)])).unwrap();
        let mut held = fs::File::open(path.join("a")).unwrap();
        let before = shown(&path).unwrap();
        make(&path, "v", &of(&[file("a", "2", 0o644), file("b", "3", 0o644)])).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"2");
        assert_eq!(names(&path).len(), 4, "two links, ..data and what it points to: {:?}", names(&path));
        assert!(!before.exists());
        let mut old = String::new();
        io::Read::read_to_string(&mut held, &mut old).unwrap();
        assert_eq!(old, "1", "whoever has it open reads what was");
    }

    #[test]
    fn equal_contents_change_nothing() {
        let (_scratch, path) = volume();
        let wanted = of(&[file("a", "1", 0o644)]);
        make(&path, "v", &wanted).unwrap();
        let before = shown(&path).unwrap();
        make(&path, "v", &wanted).unwrap();
        assert_eq!(shown(&path).unwrap(), before);
        make(&path, "v", &of(&[file("a", "1", 0o600)])).unwrap();
        assert_ne!(shown(&path).unwrap(), before, "a mode is a change");
        make(&path, "v", &of(&[])).unwrap();
        assert_eq!(names(&path).len(), 2);
    }

    #[test]
    fn what_a_crash_left_behind_is_taken_away() {
        let (_scratch, path) = volume();
        let wanted = of(&[file("a", "1", 0o644)]);
        make(&path, "v", &wanted).unwrap();
        fs::create_dir(path.join("..17")).unwrap();
        fs::write(path.join("..17/half"), "").unwrap();
        symlink("..17", path.join(NEXT)).unwrap();
        make(&path, "v", &of(&[file("a", "2", 0o644)])).unwrap();
        assert_eq!(names(&path).len(), 3, "{:?}", names(&path));
    }

    #[test]
    fn what_is_missing_keeps_a_new_volume_from_being_made_and_an_old_one_as_it_is() {
        let (_scratch, path) = volume();
        let missing = Projected { missing: Some("secret \"s\" not found".to_owned()), ..of(&[]) };
        let error = make(&path, "v", &missing).unwrap_err();
        assert!(error.to_string().contains("secret \"s\" not found"), "{error}");
        make(&path, "v", &of(&[file("a", "1", 0o644)])).unwrap();
        assert_eq!(make(&path, "v", &missing).unwrap().len(), 1);
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
    }

    #[test]
    fn no_file_leaves_the_volume_or_takes_the_place_of_its_links() {
        let (_scratch, path) = volume();
        for name in ["../a", "/a", "", "..data", "a/../b"] {
            assert!(make(&path, "v", &of(&[file(name, "", 0o644)])).is_err(), "{name:?}");
        }
    }

    #[test]
    fn with_a_group_files_are_its_own_and_it_may_read_them() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("volume");
        let wanted = of(&[file("d/a", "1", 0o400)]);
        make(&path, "v", &wanted).unwrap();
        super::make(&path, "v", &wanted, Some(4321)).unwrap();
        let found = fs::metadata(path.join("d/a")).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o7777), (4321, 0o440), "as root");
        let before = shown(&path).unwrap();
        super::make(&path, "v", &wanted, Some(4321)).unwrap();
        assert_eq!(shown(&path).unwrap(), before, "what is as it should be stays");
    }
}
