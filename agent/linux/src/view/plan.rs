//! The plan: which mounts in which order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use barepod_model::{Launch, Root};
use barepod_shim::wire::mount::Kind as MountKind;
use barepod_shim::wire::{Mount, View};

use super::host_dirs::{HostDirs, HostMount, Kind, Node, is_of_this_machine};
use super::kernel;
use super::mount::{
    Without, bind, bind_read_only, bind_within, directory, file, file_system, link, mask, read_only, tmpfs,
};
use super::private;

/// What a placed thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A directory.
    Directory,
    /// A file, socket or device.
    File,
}

/// Something of the host put into the view: a volume, a shared directory, a file made for the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// What it is, for errors: `volume "data"`.
    pub what: String,
    /// Where it is on the host. It exists.
    pub source: PathBuf,
    /// What it must not leave although its contents are not barepod's: the shim resolves the rest of `source` inside
    /// this directory. `None` trusts the path.
    pub within: Option<PathBuf>,
    /// Where it is to be in the view; absolute, without `..`.
    pub path: PathBuf,
    /// What it is.
    pub place: Place,
    /// Not writable.
    pub read_only: bool,
    /// Device nodes in it work.
    pub devices: bool,
    /// How it is mounted beyond that.
    pub manner: Manner,
}

/// How something is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Where it is not writable, what the host has mounted below it stays as it is there.
    pub writable_below: bool,
    /// What the host mounts below it later arrives.
    pub slave: bool,
    /// So does this, and what is mounted below it inside is mounted on the host.
    pub shared: bool,
    /// Its source (with `within`: that) has no link on its way: one that is found there is not followed but an error.
    pub no_links: bool,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What the process is started with.
    pub launch: &'a Launch,
    /// What is put into the view. Of two that are nested, the outer one is mounted first, whatever their order here.
    pub placements: &'a [Placement],
    /// Paths of the host that are masked where the host's root shows them.
    pub hidden: &'a [PathBuf],
    /// Paths of the host that are masked wherever a placement would show them.
    pub secret: &'a [PathBuf],
    /// An empty directory on the host.
    pub root: &'a Path,
    /// The pod's `/dev/shm` on the host; without one the view has one of its own.
    pub shared_memory: Option<&'a Path>,
    /// A directory on the host that holds an empty `upper` and an empty `work`, for a writable tree.
    pub overlay: &'a Path,
}

/// Why there is no view.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The host cannot be looked at.
    #[error("cannot look at {} on the host", path.display())]
    Host {
        /// What was looked at.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A path in the view that cannot be used.
    #[error("{what} cannot be mounted at {}: {rule}", path.display())]
    Path {
        /// What was to be put there.
        what: String,
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        rule: &'static str,
    },
    /// A file where a directory has to be, or the other way round.
    #[error("{what} cannot be mounted at {}: it is a {}, and there is a {} at that path", path.display(), name(*place), other(*place))]
    Mismatch {
        /// What was to be put there.
        what: String,
        /// The path.
        path: PathBuf,
        /// What it is.
        place: Place,
    },
    /// A mount point is missing in a volume that cannot be written.
    #[error(
        "{what} cannot be mounted at {}: the path does not exist in {outer}, which is read-only; make it there, or mount \
         {outer} writable",
        path.display()
    )]
    ReadOnlyParent {
        /// What was to be put there.
        what: String,
        /// The path.
        path: PathBuf,
        /// What it would have to be made in.
        outer: String,
    },
    /// The wire to the shim carries UTF-8.
    #[error("the path {} is not UTF-8", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
    },
    /// A tree's path that overlayfs cannot be given.
    #[error("the directory tree {} cannot be a root: its path holds one of , : \\", path.display())]
    TreePath {
        /// The path.
        path: PathBuf,
    },
    /// A tree that is not there.
    #[error("the directory tree {} is not a directory on this host", path.display())]
    NoTree {
        /// The path.
        path: PathBuf,
    },
}

fn name(place: Place) -> &'static str {
    match place {
        Place::Directory => "directory",
        Place::File => "file",
    }
}

fn other(place: Place) -> &'static str {
    match place {
        Place::Directory => "file",
        Place::File => "directory",
    }
}

/// Top-level directories that are empty in a view of the host: people's, the boot loader's, and places where other disks
/// are mounted. What a container needs of them comes as a volume.
const EMPTY: [&str; 5] = ["boot", "home", "media", "mnt", "root"];
/// Top-level directories that a view of the host has for itself.
const OWN: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];
/// Top-level directories that are nobody's.
const SKIPPED: [&str; 1] = ["lost+found"];
/// Data of other supervisors on the same host.
const FOREIGN: [&str; 7] = [
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/nomad",
    "/var/log/pods",
];
/// The most links that a path may lead through, as in the kernel.
const MAX_LINKS: usize = 40;

/// Makes the plan.
///
/// # Errors
/// See [`ViewError`].
pub fn plan(host: &dyn HostDirs, request: &Request<'_>) -> Result<View, ViewError> {
    let mut planner = Planner::new(host, request)?;
    planner.cover()?;
    for placement in outer_first(request.placements) {
        planner.place(placement)?;
    }
    planner.finish()
}

fn outer_first(placements: &[Placement]) -> Vec<&Placement> {
    let mut sorted: Vec<_> = placements.iter().collect();
    sorted.sort_by_key(|placement| placement.path.components().count());
    sorted
}

/// What takes the place of something the base shows. Sorted by path, an outer one comes before what is in it.
enum Layer {
    /// A tmpfs like the directory, with the directory's entries bound into it.
    Imitation(Node),
    /// An empty tmpfs like the directory.
    Own(Node),
    /// Hidden.
    Masked,
    /// What the host has mounted there.
    Mounted,
}

/// Where a path of the view lies.
enum Ground<'a> {
    /// In something placed before.
    Placed(&'a Located),
    /// In a directory that has nothing of the base.
    Blank(PathBuf),
    /// In the base.
    Base,
}

/// Something placed, with its path in the view free of links.
struct Located {
    what: String,
    source: PathBuf,
    path: PathBuf,
    place: Place,
    read_only: bool,
    shared: bool,
}

struct Planner<'a> {
    host: &'a dyn HostDirs,
    request: &'a Request<'a>,
    /// What the view shows: `/`, or the tree.
    base: PathBuf,
    is_host: bool,
    is_overlay: bool,
    layers: BTreeMap<PathBuf, Layer>,
    /// Directories that have nothing of the base.
    blank: BTreeSet<PathBuf>,
    located: Vec<Located>,
    /// Mount points made and mounted on.
    placed: Vec<Mount>,
}

impl<'a> Planner<'a> {
    fn new(host: &'a dyn HostDirs, request: &'a Request<'a>) -> Result<Self, ViewError> {
        let (base, is_host, is_overlay) = match &request.launch.root {
            Root::Host => (PathBuf::from("/"), true, false),
            Root::Tree(tree) => (tree.clone(), false, !request.launch.read_only_root),
        };
        let planner = Self {
            host,
            request,
            base,
            is_host,
            is_overlay,
            layers: BTreeMap::new(),
            blank: ["/dev", "/proc", "/sys"].map(PathBuf::from).into(),
            located: Vec::new(),
            placed: Vec::new(),
        };
        if !is_host {
            planner.check_tree()?;
        }
        Ok(planner)
    }

    fn check_tree(&self) -> Result<(), ViewError> {
        let path = self.base.clone();
        if self.is_overlay && path.as_os_str().as_encoded_bytes().iter().any(|byte| b",:\\".contains(byte)) {
            return Err(ViewError::TreePath { path });
        }
        match self.look(&path)? {
            Some(Node { kind: Kind::Directory, .. }) => Ok(()),
            Some(_) | None => Err(ViewError::NoTree { path }),
        }
    }

    /// Decides what of the base is not shown as it is.
    fn cover(&mut self) -> Result<(), ViewError> {
        let mounts = if self.is_overlay { BTreeMap::new() } else { self.mounts()? };
        self.leave_out(&mounts);
        if self.is_host {
            let plain = |mode| Node { kind: Kind::Directory, mode, uid: 0, gid: 0 };
            for (path, mode) in [("/run", 0o755), ("/tmp", 0o1777), ("/var/tmp", 0o1777)] {
                self.own(PathBuf::from(path), plain(mode))?;
            }
            self.blank.extend(EMPTY.iter().map(|name| Path::new("/").join(name)));
            let foreign = FOREIGN.iter().map(Path::new);
            for path in foreign.chain(self.request.hidden.iter().map(PathBuf::as_path)) {
                self.hide(path)?;
            }
            if private::is_privy(self.request.launch) {
                let found = private::find(self.host, &self.blank);
                for path in found.map_err(|(path, source)| failed(&path, source))? {
                    self.hide(&path)?;
                }
            }
        }
        self.show(&mounts);
        Ok(())
    }

    /// An empty directory in place of the host's. Where the host has none, nobody expects one.
    fn own(&mut self, path: PathBuf, node: Node) -> Result<(), ViewError> {
        let top_level = path.components().count() == 2;
        let there = matches!(self.base_node(&path)?, Some(Node { kind: Kind::Directory, .. }));
        if top_level || there {
            self.blank.insert(path.clone());
            self.layers.insert(path, Layer::Own(node));
        }
        Ok(())
    }

    fn hide(&mut self, path: &Path) -> Result<(), ViewError> {
        let path = self.resolve(path, "a hidden path")?;
        if self.blank_above(&path).is_some() {
            return Ok(());
        }
        if let Some(node) = self.base_node(&path)? {
            if node.kind == Kind::Directory {
                self.blank.insert(path.clone());
            }
            self.layers.insert(path, Layer::Masked);
        }
        Ok(())
    }

    /// The file systems mounted below the base, by their path in the view; of several at one path the uppermost.
    fn mounts(&self) -> Result<BTreeMap<PathBuf, String>, ViewError> {
        let mounts = self.host.mounts().map_err(|source| failed(Path::new("/proc/self/mountinfo"), source))?;
        let below = |mount: HostMount| {
            let below = mount.point.strip_prefix(&self.base).ok().filter(|below| !below.as_os_str().is_empty())?;
            below.to_str()?;
            Some((Path::new("/").join(below), mount.file_system))
        };
        Ok(mounts.into_iter().filter_map(below).collect())
    }

    /// Empty directories in place of what may hang: from here on nobody looks at it.
    fn leave_out(&mut self, mounts: &BTreeMap<PathBuf, String>) {
        for path in mounts.iter().filter(|(_, kind)| !is_of_this_machine(kind)).map(|(path, _)| path) {
            if self.blank_above(path).is_none() {
                self.blank.insert(path.clone());
                let plain = Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 };
                self.layers.insert(path.clone(), Layer::Own(plain));
            }
        }
    }

    fn show(&mut self, mounts: &BTreeMap<PathBuf, String>) {
        for path in mounts.iter().filter(|(_, kind)| is_of_this_machine(kind)).map(|(path, _)| path) {
            // A bind of a top-level directory shows what is mounted on it.
            let shown_already = path.components().count() == 2;
            if !shown_already && self.blank_above(path).is_none() {
                self.layers.entry(path.clone()).or_insert(Layer::Mounted);
            }
        }
    }

    /// Puts one thing into the view.
    fn place(&mut self, placement: &Placement) -> Result<(), ViewError> {
        let what = placement.what.as_str();
        check_path(placement)?;
        let path = self.resolve(&placement.path, what)?;
        check_ground(what, &path)?;
        utf8(&placement.source)?;
        let mut mounts = self.mount_point(placement, &path)?;
        mounts.push(self.bound(placement, &path));
        if placement.manner.writable_below && placement.read_only {
            mounts.push(read_only(&path));
        }
        let secrets = self.secrets_in(placement, &path);
        if placement.manner.shared && !secrets.is_empty() {
            // They are hidden by a mount, which the host would have as well.
            return Err(cannot(
                placement,
                &path,
                "what holds barepod's own directories shares no mounts with the host",
            ));
        }
        mounts.extend(secrets);
        self.placed.extend(mounts);
        self.located.push(Located {
            what: what.to_owned(),
            source: placement.source.clone(),
            path,
            place: placement.place,
            read_only: placement.read_only,
            shared: placement.manner.shared,
        });
        Ok(())
    }

    fn bound(&self, placement: &Placement, path: &Path) -> Mount {
        let without = Without { suid: self.request.launch.no_new_privileges, dev: !placement.devices, exec: false };
        let recursive = placement.place == Place::Directory;
        let mount = match &placement.within {
            None => bind(&placement.source, path, without),
            Some(root) => bind_within(root, &placement.source, path, without),
        };
        // What is to be read-only by itself alone is made so when it is in its place: no process runs there yet.
        let all_read_only = placement.read_only && !placement.manner.writable_below;
        let Manner { slave, shared, no_links, .. } = placement.manner;
        Mount { read_only: all_read_only, recursive, slave, shared, no_links, ..mount }
    }

    /// A volume that holds barepod's own directories shows them empty.
    fn secrets_in(&self, placement: &Placement, path: &Path) -> Vec<Mount> {
        let below = |secret: &PathBuf| {
            let rest = secret.strip_prefix(&placement.source).ok()?;
            (!rest.as_os_str().is_empty()).then(|| path.join(rest))
        };
        self.request.secret.iter().filter_map(below).map(|path| mask(&path)).collect()
    }

    /// What has to be made so that `path` can be mounted on.
    fn mount_point(&mut self, placement: &Placement, path: &Path) -> Result<Vec<Mount>, ViewError> {
        match self.ground(path) {
            Ground::Placed(outer) => self.point_in_placed(placement, path, outer),
            Ground::Blank(area) => {
                if let Some(layer @ Layer::Masked) = self.layers.get_mut(&area) {
                    // Room is needed in it.
                    *layer = Layer::Own(Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 });
                }
                Ok(points(&area, path, placement.place))
            }
            Ground::Base => self.point_in_base(placement, path),
        }
    }

    fn point_in_placed(&self, placement: &Placement, path: &Path, outer: &Located) -> Result<Vec<Mount>, ViewError> {
        if outer.shared {
            let rule = "it would appear on the host, with which the volume above it shares its mounts";
            return Err(cannot(placement, path, rule));
        }
        let rest = path.strip_prefix(&outer.path).unwrap_or(Path::new(""));
        if let Some(node) = self.look(&outer.source.join(rest))? {
            return fits(placement, path, &node).map(|()| Vec::new());
        }
        if outer.read_only || outer.place == Place::File {
            return Err(ViewError::ReadOnlyParent {
                what: placement.what.clone(),
                path: path.to_owned(),
                outer: outer.what.clone(),
            });
        }
        Ok(points(&outer.path, path, placement.place))
    }

    fn point_in_base(&mut self, placement: &Placement, path: &Path) -> Result<Vec<Mount>, ViewError> {
        if let Some(node) = self.base_node(path)? {
            return fits(placement, path, &node).map(|()| Vec::new());
        }
        let (parent, node) = self.nearest(path)?;
        if node.kind != Kind::Directory {
            return Err(ViewError::Mismatch { what: placement.what.clone(), path: parent, place: Place::Directory });
        }
        if !self.is_overlay && parent != Path::new("/") {
            self.layers.insert(parent.clone(), Layer::Imitation(node));
        }
        Ok(points(&parent, path, placement.place))
    }

    /// The nearest parent of `path` that the base has.
    fn nearest(&self, path: &Path) -> Result<(PathBuf, Node), ViewError> {
        for parent in path.ancestors().skip(1) {
            if let Some(node) = self.base_node(parent)? {
                return Ok((parent.to_owned(), node));
            }
        }
        Ok((PathBuf::from("/"), Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 }))
    }

    fn ground(&self, path: &Path) -> Ground<'_> {
        let around = |located: &&Located| path != located.path && path.starts_with(&located.path);
        let placed = self.located.iter().filter(around).max_by_key(|located| located.path.components().count());
        match (placed, self.blank_above(path)) {
            (Some(located), _) => Ground::Placed(located),
            (None, Some(area)) => Ground::Blank(area),
            (None, None) => Ground::Base,
        }
    }

    /// The innermost blank directory that `path` is or lies in.
    fn blank_above(&self, path: &Path) -> Option<PathBuf> {
        path.ancestors().find(|above| self.blank.contains(*above)).map(Path::to_owned)
    }

    /// `path` as the view will have it, without links on the way.
    fn resolve(&self, path: &Path, what: &str) -> Result<PathBuf, ViewError> {
        let mut left: VecDeque<OsString> = names(path);
        let mut found = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = left.pop_front() {
            if name == ".." {
                found.pop();
                continue;
            }
            let next = found.join(name);
            match self.link_at(&next)? {
                None => found = next,
                Some(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        let (what, path) = (what.to_owned(), path.to_owned());
                        return Err(ViewError::Path { what, path, rule: "it leads through too many symbolic links" });
                    }
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    for name in names(&target).into_iter().rev() {
                        left.push_front(name);
                    }
                }
            }
        }
        utf8(&found)?;
        Ok(found)
    }

    /// The link that the view has at `path`. Links in volumes are the shim's to resolve, which never leaves the view.
    fn link_at(&self, path: &Path) -> Result<Option<PathBuf>, ViewError> {
        match self.ground(path) {
            Ground::Placed(_) | Ground::Blank(_) => return Ok(None),
            Ground::Base => {}
        }
        Ok(self.base_node(path)?.and_then(|node| match node.kind {
            Kind::Link(target) => Some(target),
            Kind::Directory | Kind::File => None,
        }))
    }

    fn base_node(&self, path: &Path) -> Result<Option<Node>, ViewError> {
        self.look(&self.on_host(path))
    }

    fn on_host(&self, path: &Path) -> PathBuf {
        self.base.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn look(&self, path: &Path) -> Result<Option<Node>, ViewError> {
        self.host.node(path).map_err(|source| failed(path, source))
    }

    /// Everything in its order.
    fn finish(self) -> Result<View, ViewError> {
        let mut mounts = if self.is_overlay { vec![self.overlay()?] } else { self.top()? };
        for (path, layer) in &self.layers {
            self.lay(path, layer, &mut mounts)?;
        }
        mounts.extend(kernel::mounts(self.request.launch, self.request.shared_memory, &self.host_devices()?));
        // What is mounted right over a layer is whoever's it is: it is not the layer that would be sealed.
        let bare = |path: &PathBuf| !self.located.iter().any(|located| located.path == *path);
        let sealed: Vec<Mount> =
            self.layers.iter().filter(|(path, _)| bare(path)).filter_map(|(path, layer)| seal(path, layer)).collect();
        mounts.extend(self.placed);
        mounts.extend(sealed);
        // It is kept for the next attempt.
        mounts.shrink_to_fit();
        utf8(self.request.root)?;
        Ok(View { root: self.request.root.to_string_lossy().into_owned(), mounts, read_only: !self.is_overlay })
    }

    fn host_devices(&self) -> Result<Vec<(OsString, Node)>, ViewError> {
        let path = Path::new("/dev");
        match self.request.launch.confinement.privileged {
            true => self.host.entries(path, &BTreeSet::new()).map_err(|source| failed(path, source)),
            false => Ok(Vec::new()),
        }
    }

    fn overlay(&self) -> Result<Mount, ViewError> {
        utf8(&self.base)?;
        utf8(self.request.overlay)?;
        let (tree, overlay) = (self.base.display(), self.request.overlay.display());
        let data = format!("lowerdir={tree},upperdir={overlay}/upper,workdir={overlay}/work");
        let without = Without { dev: true, ..self.without() };
        Ok(file_system(MountKind::Overlay, Path::new("/"), data, without))
    }

    /// A root of its own with the base's top-level entries.
    fn top(&self) -> Result<Vec<Mount>, ViewError> {
        let root = Path::new("/");
        let plain = Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 };
        let mut mounts = vec![tmpfs(root, &plain, self.without())];
        for (name, node) in self.entries(root)? {
            let path = root.join(&name);
            match if self.is_host { special(&name, &node.kind) } else { Special::No } {
                Special::Empty => mounts.push(directory(&path, 0o755)),
                Special::Elsewhere => {}
                Special::No => self.entry(&path, &node, &mut mounts),
            }
        }
        if self.is_host {
            mounts.extend([directory(Path::new("/run"), 0o755), directory(Path::new("/tmp"), 0o1777)]);
        }
        Ok(mounts)
    }

    /// What carries out one layer.
    fn lay(&self, path: &Path, layer: &Layer, mounts: &mut Vec<Mount>) -> Result<(), ViewError> {
        match layer {
            Layer::Own(node) => {
                mounts.push(tmpfs(path, node, Without { exec: false, ..Without::ANY }));
                if path == Path::new("/run") {
                    mounts.push(directory(Path::new("/run/lock"), 0o1777));
                }
            }
            Layer::Masked => mounts.push(mask(path)),
            Layer::Mounted => mounts.push(bind_read_only(&self.on_host(path), path, self.without())),
            Layer::Imitation(node) => {
                mounts.push(tmpfs(path, node, self.without()));
                for (name, node) in self.entries(path)? {
                    self.entry(&path.join(name), &node, mounts);
                }
            }
        }
        Ok(())
    }

    /// One entry of the base in a directory that has been made.
    fn entry(&self, path: &Path, node: &Node, mounts: &mut Vec<Mount>) {
        let covered = matches!(self.layers.get(path), Some(Layer::Own(_) | Layer::Imitation(_) | Layer::Masked));
        mounts.push(match &node.kind {
            Kind::Link(to) => link(to, path),
            Kind::Directory if covered => directory(path, 0o755),
            Kind::File if covered => file(path),
            // One step for both: what is made shows nothing of itself.
            Kind::Directory | Kind::File => {
                Mount { make_target: true, ..bind_read_only(&self.on_host(path), path, self.without()) }
            }
        });
    }

    /// Entries of the base whose names the wire can carry. One that is not UTF-8 cannot be bound alone; it is left out of
    /// an imitated directory.
    fn entries(&self, path: &Path) -> Result<Vec<(OsString, Node)>, ViewError> {
        let directory = self.on_host(path);
        let unseen =
            self.blank.iter().filter(|blank| blank.parent() == Some(path)).map(|blank| self.on_host(blank)).collect();
        let mut entries = self.host.entries(&directory, &unseen).map_err(|source| failed(&directory, source))?;
        entries.retain(|(name, node)| {
            let link_is_text = match &node.kind {
                Kind::Link(to) => to.to_str().is_some(),
                Kind::Directory | Kind::File => true,
            };
            name.to_str().is_some() && link_is_text
        });
        Ok(entries)
    }

    fn without(&self) -> Without {
        Without { suid: self.request.launch.no_new_privileges, dev: true, exec: false }
    }
}

/// How a top-level name of the host is treated.
enum Special {
    /// An empty directory.
    Empty,
    /// Made elsewhere, or not at all.
    Elsewhere,
    /// As every other.
    No,
}

fn special(name: &OsStr, kind: &Kind) -> Special {
    let is = |names: &[&str]| names.iter().any(|one| name == *one);
    if is(&EMPTY) {
        Special::Empty
    } else if is(&OWN) || is(&SKIPPED) || *kind == Kind::File {
        // Files at the top are swap files and markers.
        Special::Elsewhere
    } else {
        Special::No
    }
}

/// Made for the mount points in it, and not to be written afterwards.
fn seal(path: &Path, layer: &Layer) -> Option<Mount> {
    match layer {
        Layer::Imitation(_) => Some(read_only(path)),
        Layer::Own(_) if !matches!(path.to_str(), Some("/run" | "/tmp" | "/var/tmp")) => Some(read_only(path)),
        Layer::Own(_) | Layer::Masked | Layer::Mounted => None,
    }
}

/// The directories between `from`, which is there, and `path`, then `path` itself.
fn points(from: &Path, path: &Path, place: Place) -> Vec<Mount> {
    let mut made: Vec<Mount> = path
        .ancestors()
        .skip(1)
        .take_while(|above| *above != from && above.starts_with(from))
        .map(|above| directory(above, 0o755))
        .collect();
    made.reverse();
    if path != from {
        made.push(match place {
            Place::Directory => directory(path, 0o755),
            Place::File => file(path),
        });
    }
    made
}

fn fits(placement: &Placement, path: &Path, node: &Node) -> Result<(), ViewError> {
    match (placement.place, &node.kind) {
        (Place::Directory, Kind::File) | (Place::File, Kind::Directory) => {
            Err(ViewError::Mismatch { what: placement.what.clone(), path: path.to_owned(), place: placement.place })
        }
        (Place::Directory, Kind::Directory) | (Place::File, Kind::File) | (_, Kind::Link(_)) => Ok(()),
    }
}

fn check_path(placement: &Placement) -> Result<(), ViewError> {
    let plain = placement.path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if plain && placement.path.is_absolute() {
        return Ok(());
    }
    Err(cannot(placement, &placement.path, "it must be an absolute path without .."))
}

fn cannot(placement: &Placement, path: &Path, rule: &'static str) -> ViewError {
    ViewError::Path { what: placement.what.clone(), path: path.to_owned(), rule }
}

fn check_ground(what: &str, path: &Path) -> Result<(), ViewError> {
    let rule = if path == Path::new("/") {
        "the root itself is not a mount point"
    } else if path.starts_with("/proc") || path.starts_with("/sys") {
        "/proc and /sys are the kernel's"
    } else {
        return Ok(());
    };
    Err(ViewError::Path { what: what.to_owned(), path: path.to_owned(), rule })
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn utf8(path: &Path) -> Result<(), ViewError> {
    if path.to_str().is_some() { Ok(()) } else { Err(ViewError::NotUtf8 { path: path.to_owned() }) }
}

fn failed(path: &Path, source: io::Error) -> ViewError {
    ViewError::Host { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
