//! The view: the root that a process sees, put together in its own mount namespace, mount by mount.
//!
//! Targets are resolved inside the view, whatever symbolic links lie there; a bind is restricted before it is attached,
//! so that there is no moment at which it is writable and should not be.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path};

use barepod_sys::mount::{self, Depth, Propagation, Restrictions};
use barepod_sys::path::{self, Kind};

use crate::failure::{At as _, Failure};
use crate::wire;
use crate::wire::mount::Kind as MountKind;
use crate::wire::start_failed::Stage;

const ROOT: &str = "/";
const ALREADY_THERE: i32 = 17;
const INVALID: i32 = 22;

/// Builds the view and makes it the root. This process must be in a mount namespace of its own.
///
/// # Errors
/// The first mount that failed, by its target; mounts marked optional do not fail for a missing source.
pub fn enter(view: &wire::View) -> Result<(), Failure> {
    build(view, &view.mounts.iter().collect::<Vec<_>>())
}

/// The same but for what depends on the process that is to live in it.
///
/// # Errors
/// As [`enter`].
pub fn enter_early(view: &wire::View) -> Result<(), Failure> {
    build(view, &split(&view.mounts).0)
}

/// What [`enter_early`] left, by the process that is to live in it, in the mount namespace that was made so.
///
/// # Errors
/// As [`enter`].
pub fn complete(view: &wire::View) -> Result<(), Failure> {
    let root = path::refer(Path::new(ROOT)).at(Stage::View, ROOT)?;
    let mut builder = Builder { place: Path::new(ROOT), root, shared: VecDeque::new() };
    for entry in split(&view.mounts).1 {
        builder.carry_out(entry).at(Stage::View, &entry.target)?;
    }
    Ok(())
}

/// What can be made beforehand, and what is of a PID or cgroup namespace, with all that lies in it.
fn split(mounts: &[wire::Mount]) -> (Vec<&wire::Mount>, Vec<&wire::Mount>) {
    let mut own: Vec<&Path> = Vec::new();
    mounts.iter().partition(|entry| {
        let target = Path::new(&entry.target);
        let is_own = matches!(entry.kind(), MountKind::Proc | MountKind::Cgroup2);
        if is_own {
            own.push(target);
        }
        !is_own && !own.iter().any(|own| target != *own && target.starts_with(own))
    })
}

fn build(view: &wire::View, mounts: &[&wire::Mount]) -> Result<(), Failure> {
    let shared = mounts.iter().filter(|entry| entry.shared);
    let shared = shared.map(|entry| copy_of_source(entry).at(Stage::View, &entry.target)).collect::<Result<_, _>>()?;
    // slave, not private: otherwise no bind could become a slave of the host's mount any more
    mount::propagate_all(Propagation::Slave).at(Stage::View, ROOT)?;
    let mut builder = Builder::new(view, shared)?;
    for entry in mounts {
        builder.carry_out(entry).at(Stage::View, &entry.target)?;
    }
    if view.read_only {
        let read_only = Restrictions { read_only: true, ..Restrictions::default() };
        mount::restrict(builder.root.as_fd(), Depth::One, read_only, None).at(Stage::View, ROOT)?;
    }
    mount::become_root(&builder.root).at(Stage::View, ROOT)
}

struct Builder<'a> {
    place: &'a Path,
    root: OwnedFd,
    /// Copies of what is shared with the host, in the order of their entries: made while they were peers of the host's.
    shared: VecDeque<OwnedFd>,
}

impl<'a> Builder<'a> {
    /// A root must be a mount: unless the first entry mounts one, the directory is bound on itself.
    fn new(view: &'a wire::View, shared: VecDeque<OwnedFd>) -> Result<Self, Failure> {
        let place = Path::new(&view.root);
        let mut builder = Self { place, root: path::refer(place).at(Stage::View, &view.root)?, shared };
        if view.mounts.first().is_none_or(|first| first.target != ROOT) {
            let copy = mount::copy_of(builder.root.as_fd(), Depth::One).at(Stage::View, &view.root)?;
            builder.attach(copy, ROOT).at(Stage::View, &view.root)?;
        }
        Ok(builder)
    }

    fn carry_out(&mut self, entry: &wire::Mount) -> io::Result<()> {
        match entry.kind() {
            MountKind::Bind => self.bind(entry),
            MountKind::Tmpfs => self.file_system(entry, "tmpfs"),
            MountKind::Proc => self.file_system(entry, "proc"),
            MountKind::Devpts => self.file_system(entry, "devpts"),
            MountKind::Mqueue => self.file_system(entry, "mqueue"),
            MountKind::Sysfs => self.file_system(entry, "sysfs"),
            MountKind::Cgroup2 => self.file_system(entry, "cgroup2"),
            MountKind::Overlay => self.file_system(entry, "overlay"),
            MountKind::Directory => self.directory(&entry.target, Owner::of(entry)),
            MountKind::Symlink => self.link(entry),
            MountKind::File => self.file(&entry.target, Owner::of(entry)),
            MountKind::Mask => self.mask(entry),
            MountKind::RemountReadOnly => self.seal(entry),
            // also a kind that only a later daemon knows
            MountKind::Unspecified => Err(io::Error::from_raw_os_error(INVALID)),
        }
    }

    fn bind(&mut self, entry: &wire::Mount) -> io::Result<()> {
        let source = match find_source(entry) {
            Err(error) if entry.optional && is_missing(&error) => return Ok(()),
            source => source?,
        };
        if entry.make_target {
            match path::kind(source.as_fd())? {
                Kind::Directory => self.directory(&entry.target, Owner::ROOT)?,
                Kind::Other => self.file(&entry.target, Owner::ROOT)?,
            }
        }
        let depth = depth(entry);
        let (copy, propagation) = match self.shared.pop_front_if(|_| entry.shared) {
            Some(copy) => (copy, None),
            // It is too late for it.
            None if entry.shared => return Err(io::Error::from_raw_os_error(INVALID)),
            None if entry.slave => (mount::copy_of(source.as_fd(), depth)?, Some(Propagation::Slave)),
            None => (mount::copy_of(source.as_fd(), depth)?, Some(Propagation::Private)),
        };
        mount::restrict(copy.as_fd(), depth, restrictions(entry, entry.read_only), propagation)?;
        self.attach(copy, &entry.target)
    }

    fn file_system(&mut self, entry: &wire::Mount, kind: &str) -> io::Result<()> {
        let target = self.find(&entry.target)?;
        let source = if entry.source.is_empty() { kind } else { &entry.source };
        mount::file_system(kind, source, target.as_fd(), restrictions(entry, entry.read_only), &entry.data)?;
        self.reopen_root(&entry.target)
    }

    fn mask(&mut self, entry: &wire::Mount) -> io::Result<()> {
        let target = match self.find(&entry.target) {
            Err(error) if is_missing(&error) => return Ok(()),
            target => target?,
        };
        match path::kind(target.as_fd())? {
            Kind::Directory => {
                let closed = Restrictions { read_only: true, no_suid: true, no_dev: true, no_exec: true };
                mount::file_system("tmpfs", "mask", target.as_fd(), closed, "size=0,mode=0555")
            }
            Kind::Other => {
                let null = path::refer(Path::new("/dev/null"))?;
                mount::attach(mount::copy_of(null.as_fd(), Depth::One)?.as_fd(), target.as_fd())
            }
        }
    }

    /// What is no mount point of its own becomes one.
    fn seal(&mut self, entry: &wire::Mount) -> io::Result<()> {
        let target = match self.find(&entry.target) {
            Err(error) if entry.optional && is_missing(&error) => return Ok(()),
            target => target?,
        };
        match mount::restrict(target.as_fd(), Depth::One, restrictions(entry, true), None) {
            Err(error) if error.raw_os_error() == Some(INVALID) => {
                let copy = mount::copy_of(target.as_fd(), Depth::One)?;
                mount::restrict(copy.as_fd(), Depth::One, restrictions(entry, true), None)?;
                mount::attach(copy.as_fd(), target.as_fd())
            }
            done => done,
        }
    }

    fn link(&self, entry: &wire::Mount) -> io::Result<()> {
        let (parent, name) = self.parent(&entry.target)?;
        path::make_link(parent.as_fd(), name, &entry.source)?;
        path::give(path::refer_to_itself(parent.as_fd(), name)?.as_fd(), entry.uid, entry.gid)
    }

    fn file(&self, target: &str, owner: Owner) -> io::Result<()> {
        if self.find(target).is_ok() {
            return Ok(());
        }
        let (parent, name) = self.parent(target)?;
        path::make_file(parent.as_fd(), name, owner.mode_or(0o644))?;
        owner.take(parent, name, owner.mode_or(0o644))
    }

    fn directory(&self, target: &str, owner: Owner) -> io::Result<()> {
        if self.find(target).is_ok() {
            return Ok(());
        }
        let (parent, name) = self.parent(target)?;
        match path::make_directory(parent.as_fd(), name, owner.mode_or(0o755)) {
            // somebody else was faster; a link that leads nowhere is found out by the next look
            Err(error) if error.raw_os_error() == Some(ALREADY_THERE) => return self.find(target).map(|_| ()),
            made => made?,
        }
        owner.take(parent, name, owner.mode_or(0o755))
    }

    /// The directory that `target` lies in, made if it is missing, and the last name.
    fn parent<'t>(&self, target: &'t str) -> io::Result<(OwnedFd, &'t str)> {
        let path = Path::new(target);
        let Some(Component::Normal(name)) = path.components().next_back() else {
            return Err(io::Error::from_raw_os_error(INVALID));
        };
        let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().and_then(Path::to_str).ok_or(io::ErrorKind::InvalidInput)?;
        if parent != ROOT && !parent.is_empty() {
            self.directory(parent, Owner::ROOT)?;
        }
        Ok((self.find(parent)?, name))
    }

    fn find(&self, target: &str) -> io::Result<OwnedFd> {
        path::refer_inside(self.root.as_fd(), Path::new(if target.is_empty() { ROOT } else { target }))
    }

    fn attach(&mut self, copy: OwnedFd, target: &str) -> io::Result<()> {
        mount::attach(copy.as_fd(), self.find(target)?.as_fd())?;
        self.reopen_root(target)
    }

    /// What lies on top of the root is found only by its path on the host.
    fn reopen_root(&mut self, target: &str) -> io::Result<()> {
        if Path::new(target) == Path::new(ROOT) {
            self.root = path::refer(self.place)?;
        }
        Ok(())
    }
}

/// Whose something is that has to be made.
#[derive(Debug, Clone, Copy)]
struct Owner {
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Owner {
    const ROOT: Self = Self { mode: 0, uid: 0, gid: 0 };

    fn of(entry: &wire::Mount) -> Self {
        Self { mode: entry.mode, uid: entry.uid, gid: entry.gid }
    }

    fn mode_or(self, default: u32) -> u32 {
        if self.mode == 0 { default } else { self.mode }
    }

    /// The owner first: a change of owner may take set-ID bits away. In a volume somebody may have put something else in
    /// the place of what was made, so no link is followed: at this moment it would lead into the host's own root.
    fn take(self, parent: OwnedFd, name: &str, mode: u32) -> io::Result<()> {
        let made = path::refer_to_itself(parent.as_fd(), name)?;
        path::give(made.as_fd(), self.uid, self.gid)?;
        path::set_mode(made.as_fd(), mode)
    }
}

fn find_source(entry: &wire::Mount) -> io::Result<OwnedFd> {
    let refer = if entry.no_links { path::refer_without_links } else { path::refer };
    if entry.source_root.is_empty() {
        return refer(Path::new(&entry.source));
    }
    let root = refer(Path::new(&entry.source_root))?;
    path::refer_inside(root.as_fd(), Path::new(if entry.source.is_empty() { ROOT } else { &entry.source }))
}

fn copy_of_source(entry: &wire::Mount) -> io::Result<OwnedFd> {
    mount::copy_of(find_source(entry)?.as_fd(), depth(entry))
}

fn depth(entry: &wire::Mount) -> Depth {
    if entry.recursive { Depth::Tree } else { Depth::One }
}

fn restrictions(entry: &wire::Mount, read_only: bool) -> Restrictions {
    Restrictions { read_only, no_suid: entry.no_suid, no_dev: entry.no_dev, no_exec: entry.no_exec }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
