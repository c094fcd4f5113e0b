//! A pod's volumes and files on the host: made, given to their users, found again, removed.
//!
//! | volume | where it is | when it goes |
//! |---|---|---|
//! | emptyDir | `<state>/pods/<uid>/volumes/<name>`, with a tmpfs on it if it is to be memory | with the pod |
//! | configMap, secret, downwardAPI, projected | the same; in memory unless it is made from ConfigMaps alone | with the pod |
//! | claim | `<state>/volumes/<namespace>/<claim>` | never |
//! | hostPath | where it says | never |
//!
//! What is in a volume belongs to whoever runs in the container: nothing here follows a symbolic link that lies in one.

mod beneath;
mod env_file;
mod error;
mod etc;
mod files;
mod group;
mod host_path;
mod last_words;
mod links;
mod memory;
mod ownership;
mod projected;
mod propagation;
mod remove;
mod usage;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use barepod_model::{
    Attempt, Bytes, Container, ContainerKey, HugePageSize, Launch, MountPropagation, Pod, PodUid, Root, SharedDir,
    Volume, VolumeKind, VolumeMount,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::Dirs;
use crate::view::{Manner, Place, Placement};

use beneath::Links;
pub use env_file::read as env_of_files;
pub use error::VolumeError;
use error::{at, refused};
pub use last_words::read as last_words;
pub use usage::{DiskUse, disk_usage};

/// What was found worth saying on the way; the pod runs all the same.
pub type Warnings = Vec<String>;

/// Makes everything a pod has before its first container: its directory, its volumes. Repeated after each change of the
/// pod and after a reboot; what is there stays.
///
/// # Errors
/// See [`VolumeError`]; each names the volume.
pub fn prepare_pod(dirs: &Dirs, pod: &Pod) -> Result<Warnings, VolumeError> {
    let own = dirs.pod(&pod.uid);
    private(&own).map_err(|source| at("the pod's directory", &own, source))?;
    let mut warnings = Warnings::new();
    for volume in &pod.volumes {
        warnings.extend(make(dirs, pod, volume)?);
    }
    Ok(warnings)
}

/// Makes everything a container has before an attempt: sub paths, shared directories, directories of its user, files made
/// for it, the place of its view. The answer is what its view shows. The attempt before may still run. `cluster_dns` are the
/// cluster's name servers; none where the host is told of none.
///
/// # Errors
/// See [`VolumeError`].
pub fn prepare_container(
    dirs: &Dirs,
    pod: &Pod,
    container: &Container,
    attempt: Attempt,
    cluster_dns: &[IpAddr],
) -> Result<Vec<Placement>, VolumeError> {
    let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
    let launch = &container.launch;
    let mut placements = Vec::new();
    for mount in &launch.mounts {
        let placement = volume_placement(dirs, pod, mount)?;
        let devices = placement.devices || launch.confinement.privileged;
        placements.push(Placement { devices, ..placement });
    }
    for shared in &launch.shared {
        placements.push(shared_placement(shared, launch.user.uid, launch.user.gid)?);
    }
    take_ownership(&placements, launch)?;
    forget_before(dirs, &key, attempt)?;
    let etc = etc::files(launch, &pod.namespace, cluster_dns);
    placements.extend(files::write(&dirs.files(&key, attempt), launch, &placements, etc)?);
    let log = dirs.termination_log(&key, attempt);
    placements.extend(last_words::place(&log, &container.termination_message, &placements)?);
    make_root(dirs, &key, launch)?;
    Ok(placements)
}

/// Makes the directories in volumes that the container's user must own, as far as they are missing.
///
/// # Errors
/// See [`VolumeError`].
pub fn take_ownership(placements: &[Placement], launch: &Launch) -> Result<(), VolumeError> {
    launch.owned_dirs.iter().try_for_each(|owned| ownership::take(placements, owned, &launch.user))
}

/// Removes what was made for attempts before the last.
fn forget_before(dirs: &Dirs, key: &ContainerKey, attempt: Attempt) -> Result<(), VolumeError> {
    let last = attempt.0.saturating_sub(1);
    for made in [dirs.files(key, attempt), dirs.termination_log(key, attempt)] {
        let Some(all) = made.parent() else { continue };
        for old in entries(all).map_err(|source| at("what was made for the container", all, source))? {
            let number = old.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok());
            if number.is_none_or(|number| number < last) {
                remove::tree(&old)?;
            }
        }
    }
    Ok(())
}

/// Whether `path` of the view exists, as far as the host can tell: in what is placed there, else in the root it has.
///
/// # Errors
/// It cannot be looked at.
pub fn is_present(root: &Root, placements: &[Placement], path: &Path) -> io::Result<bool> {
    if let Some((placement, rest)) = around(placements, path) {
        return beneath::exists(&placement.source, Links::of(placement), rest);
    }
    match root {
        Root::Host => beneath::exists(Path::new("/"), Links::Trusted, relative(path)),
        Root::Tree(tree) => beneath::exists(tree, Links::Trusted, relative(path)),
    }
}

/// Removes everything that goes with the pod. Claims, host paths and logs stay. Nothing to remove is success.
///
/// # Errors
/// See [`VolumeError`].
pub fn tear_down(dirs: &Dirs, pod: &PodUid) -> Result<(), VolumeError> {
    let own = dirs.pod(pod);
    let volumes = own.join("volumes");
    for volume in entries(&volumes).map_err(|source| at("the pod's volumes", &volumes, source))? {
        unmount(&volume).map_err(|source| at("a memory volume", &volume, source))?;
    }
    remove::tree(&dirs.made_files(pod))?;
    remove::tree(&own)
}

/// The innermost of `placements` that shows `path`, and the rest of the path in it.
fn around<'a, 'p>(placements: &'a [Placement], path: &'p Path) -> Option<(&'a Placement, &'p Path)> {
    placements
        .iter()
        .filter_map(|placement| path.strip_prefix(&placement.path).ok().map(|rest| (placement, rest)))
        .max_by_key(|(placement, _)| placement.path.components().count())
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn make(dirs: &Dirs, pod: &Pod, volume: &Volume) -> Result<Warnings, VolumeError> {
    check_name(&volume.name)?;
    match &volume.kind {
        VolumeKind::EmptyDir { memory, huge_pages, size_limit } => {
            let path = dirs.empty_dir(&pod.uid, &volume.name);
            let size = if *memory { memory::size(pod, *size_limit) } else { *size_limit };
            let made = empty_dir(&path, *memory, *huge_pages, size);
            let made = made.and_then(|()| group::give(pod, volume, &path));
            made.map_err(|source| at(&title(&volume.name), &path, source))?;
            Ok(Warnings::new())
        }
        VolumeKind::Claim { claim, .. } => {
            check_name(claim)?;
            let path = dirs.claim(&pod.namespace, claim);
            let made = make_claim(&path, pod, &volume.name).and_then(|()| group::give(pod, volume, &path));
            made.map_err(|source| at(&title(&volume.name), &path, source))?;
            Ok(Warnings::new())
        }
        VolumeKind::HostPath { path, kind } => host_path::check(dirs, &volume.name, path, *kind),
        VolumeKind::Projected(files) => {
            let group = pod.fs_group.map(|group| group.gid);
            projected::make(&dirs.empty_dir(&pod.uid, &volume.name), &volume.name, files, group)
        }
    }
}

/// As kubelet makes it: everybody may write, since it may be shared by containers of several users. In memory it has the sticky
/// bit too, which is what a tmpfs has of itself and kubelet leaves: a file is removed by its owner alone, as in `/tmp`.
fn empty_dir(path: &Path, memory: bool, huge: Option<HugePageSize>, size: Option<Bytes>) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        private(parent)?;
    }
    if !path.exists() {
        fs::create_dir(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o777))?;
    }
    let size = size.map(|limit| format!(",size={}", limit.0)).unwrap_or_default();
    match (huge, memory) {
        (Some(pages), _) => {
            let options = format!("mode=0777,pagesize={}{size}", pages.bytes().0);
            mount_unless_there("hugetlbfs", path, &options)
        }
        (None, true) => mount_memory(path, &format!("mode=1777{size}")),
        (None, false) => Ok(()),
    }
}

/// A file system in memory, unless there is one already.
fn mount_memory(path: &Path, options: &str) -> io::Result<()> {
    mount_unless_there("tmpfs", path, options)
}

fn mount_unless_there(kind: &str, path: &Path, options: &str) -> io::Result<()> {
    if !is_mounted(path)? {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some(kind), path, Some(kind), flags, Some(options))?;
    }
    Ok(())
}

/// A new claim belongs to those who write to it: one user alone, or everybody if they are several.
fn make_claim(path: &Path, pod: &Pod, volume: &str) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        private(parent)?;
    }
    let mut writers: Vec<_> =
        pod.containers.iter().filter(|one| writes(one, volume)).map(|one| &one.launch.user).collect();
    writers.dedup_by_key(|user| user.uid);
    DirBuilder::new().mode(0o700).create(path)?;
    match writers.as_slice() {
        [] => Ok(()),
        [user] => std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid)),
        _ => fs::set_permissions(path, Permissions::from_mode(0o777)),
    }
}

fn writes(container: &Container, volume: &str) -> bool {
    container.launch.mounts.iter().any(|mount| mount.volume == volume && !mount.read_only)
}

/// The volume of this name and where it lies.
fn volume_root<'a>(dirs: &Dirs, pod: &'a Pod, name: &str) -> Result<(PathBuf, &'a Volume), VolumeError> {
    let volume = pod.volumes.iter().find(|volume| volume.name == name);
    let volume = volume.ok_or_else(|| VolumeError::Unknown { volume: name.to_owned() })?;
    let root = match &volume.kind {
        VolumeKind::EmptyDir { .. } | VolumeKind::Projected(_) => dirs.empty_dir(&pod.uid, name),
        VolumeKind::Claim { claim, .. } => dirs.claim(&pod.namespace, claim),
        VolumeKind::HostPath { path, .. } => host_path::real(dirs, name, path)?,
    };
    Ok((root, volume))
}

fn volume_placement(dirs: &Dirs, pod: &Pod, mount: &VolumeMount) -> Result<Placement, VolumeError> {
    let (source, volume) = volume_root(dirs, pod, &mount.volume)?;
    let what = title(&volume.name);
    let is_host_path = matches!(volume.kind, VolumeKind::HostPath { .. });
    let read_only = match &volume.kind {
        VolumeKind::EmptyDir { .. } | VolumeKind::HostPath { .. } => false,
        VolumeKind::Claim { read_only, .. } => *read_only,
        VolumeKind::Projected(_) => true,
    };
    let (source, within) = if mount.sub_path.as_os_str().is_empty() {
        (source, None)
    } else {
        check_sub_path(&volume.name, &mount.sub_path)?;
        let root = sub_path_root(volume, source, &mount.sub_path)?;
        (root.join(&mount.sub_path), Some(root))
    };
    let links = if is_host_path { Links::Refused } else { Links::Trusted };
    let place = match &within {
        None => place_of(&source),
        Some(root) => beneath::place(root, links, &mount.sub_path),
    };
    let place = place.map_err(|cause| at(&what, &source, cause))?;
    if mount.propagation == MountPropagation::Bidirectional {
        propagation::check(&volume.name, &source)?;
    }
    Ok(Placement {
        what,
        source,
        within,
        path: mount.path.clone(),
        place,
        read_only: read_only || mount.read_only,
        // A device that is named is meant; those that lie in a directory are for privileged containers.
        devices: is_host_path && place == Place::File,
        manner: Manner { no_links: is_host_path, ..manner(mount, place) },
    })
}

/// A directory alone can have something mounted below it.
fn manner(mount: &VolumeMount, place: Place) -> Manner {
    Manner {
        writable_below: place == Place::Directory && !mount.recursive_read_only,
        slave: mount.propagation == MountPropagation::HostToContainer,
        shared: mount.propagation == MountPropagation::Bidirectional,
        no_links: false,
    }
}

/// Where a sub path begins. A missing one is made in what the pod writes to, not among made files.
fn sub_path_root(volume: &Volume, source: PathBuf, sub_path: &Path) -> Result<PathBuf, VolumeError> {
    let failed = |cause| at(&title(&volume.name), &source.join(sub_path), cause);
    match &volume.kind {
        VolumeKind::EmptyDir { .. } | VolumeKind::HostPath { .. } | VolumeKind::Claim { .. } => {
            let is_host_path = matches!(volume.kind, VolumeKind::HostPath { .. });
            let links = if is_host_path { Links::Refused } else { Links::Trusted };
            beneath::make_like_root(&source, links, sub_path).map_err(failed)?;
            Ok(source)
        }
        VolumeKind::Projected(_) => {
            let shown = projected::shown(&source).map_err(failed)?;
            match beneath::exists(&shown, Links::Trusted, sub_path).map_err(failed)? {
                true => Ok(shown),
                false => Err(refused(&volume.name, "the subPath names no file in it")),
            }
        }
    }
}

fn place_of(path: &Path) -> io::Result<Place> {
    Ok(if fs::metadata(path)?.is_dir() { Place::Directory } else { Place::File })
}

fn shared_placement(shared: &SharedDir, uid: u32, gid: u32) -> Result<Placement, VolumeError> {
    let what = format!("shared directory {}", shared.host.display());
    make_shared(shared, uid, gid).map_err(|source| at(&what, &shared.host, source))?;
    Ok(Placement {
        what,
        source: shared.host.clone(),
        within: None,
        path: shared.path.clone(),
        place: Place::Directory,
        read_only: false,
        devices: false,
        manner: Manner::default(),
    })
}

/// A directory that is there already is the host's: it stays as it is.
fn make_shared(shared: &SharedDir, uid: u32, gid: u32) -> io::Result<()> {
    if let Some(parent) = shared.host.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::create_dir(&shared.host) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    std::os::unix::fs::chown(&shared.host, Some(uid), Some(gid))?;
    fs::set_permissions(&shared.host, Permissions::from_mode(shared.mode))
}

/// The place where the view is put together, and, for a tree that is written to, a new upper directory.
fn make_root(dirs: &Dirs, key: &ContainerKey, launch: &Launch) -> Result<(), VolumeError> {
    let root = dirs.root(key);
    private(&root).map_err(|source| at("the place of the view", &root, source))?;
    let overlay = dirs.overlay(key);
    match (&launch.root, launch.read_only_root) {
        (Root::Host, _) | (Root::Tree(_), true) => Ok(()),
        (Root::Tree(_), false) => {
            remove::tree(&overlay)?;
            let made = private(&overlay.join("work")).and_then(|()| {
                fs::create_dir(overlay.join("upper"))?;
                fs::set_permissions(overlay.join("upper"), Permissions::from_mode(0o755))
            });
            made.map_err(|source| at("the writable layer", &overlay, source))
        }
    }
}

/// A directory that only root enters, with its parents.
fn private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn title(volume: &str) -> String {
    format!("volume {volume:?}")
}

/// A name that is one component of a path. Manifests are checked before; this is the last gate before the file system.
fn check_name(name: &str) -> Result<(), VolumeError> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(()),
        _ => Err(refused(name, "its name must be a single plain name")),
    }
}

fn check_sub_path(volume: &str, path: &Path) -> Result<(), VolumeError> {
    if path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        Ok(())
    } else {
        Err(refused(volume, "a subPath must be relative and must not contain .."))
    }
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Something is mounted there: it is on another device than its parent. (A bind of the same device is not made here.)
fn is_mounted(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    Ok(fs::symlink_metadata(path)?.dev() != fs::symlink_metadata(parent)?.dev())
}

fn unmount(path: &Path) -> io::Result<()> {
    while is_mounted(path)? {
        umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
