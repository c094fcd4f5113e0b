//! Plans for a made-up host, and one for the host under the tests.

use barepod_model::{Bytes, Credentials, Env, NamespaceUse};

use super::*;
use crate::view::{Host, HostMount};

#[derive(Default)]
struct FakeHost {
    nodes: BTreeMap<PathBuf, Node>,
    mounts: Vec<HostMount>,
    /// Directories that are there when their parent is read, and gone when they are.
    vanishing: BTreeSet<PathBuf>,
    /// What nobody may look at.
    hanging: BTreeSet<PathBuf>,
}

impl FakeHost {
    /// A merged-/usr host with PostgreSQL installed and barepod's directories.
    fn debian() -> Self {
        let mut host = Self::default();
        for path in [
            "/boot",
            "/dev",
            "/etc/postgresql/15/main",
            "/etc/barepod",
            "/home/alice",
            "/lost+found",
            "/proc",
            "/root",
            "/run/barepod",
            "/srv/db",
            "/sys",
            "/tmp",
            "/usr/bin",
            "/usr/lib",
            "/var/lib/barepod/volumes",
            "/var/lib/docker",
            "/var/lib/apt",
            "/var/log/barepod",
            "/var/tmp",
        ] {
            host.put(path, Kind::Directory);
        }
        for path in ["/etc/hosts", "/etc/passwd", "/swapfile", "/var/lib/stamp"] {
            host.put(path, Kind::File);
        }
        host.put("/bin", Kind::Link("usr/bin".into()));
        host.put("/var/run", Kind::Link("/run".into()));
        host.put("/etc/resolv.conf", Kind::Link("../run/systemd/resolve/stub-resolv.conf".into()));
        host.put("/srv/link", Kind::Link("db".into()));
        host.nodes.get_mut(Path::new("/var/lib")).unwrap().mode = 0o751;
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            host.put(&format!("/dev/{device}"), Kind::File);
        }
        host
    }

    fn put(&mut self, path: &str, kind: Kind) {
        for parent in Path::new(path).ancestors().skip(1) {
            let node = Node { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0 };
            self.nodes.entry(parent.to_owned()).or_insert(node);
        }
        self.nodes.insert(path.into(), Node { kind, mode: 0o755, uid: 0, gid: 0 });
    }

    fn mount(&mut self, point: &str, file_system: &str) {
        self.put(point, Kind::Directory);
        self.mounts.push(HostMount { point: point.into(), file_system: file_system.to_owned() });
    }
}

impl HostDirs for FakeHost {
    fn node(&self, path: &Path) -> io::Result<Option<Node>> {
        assert!(!path.ancestors().any(|above| self.hanging.contains(above)), "{} is looked at", path.display());
        Ok(self.nodes.get(path).cloned())
    }

    fn entries(&self, directory: &Path, unseen: &BTreeSet<PathBuf>) -> io::Result<Vec<(OsString, Node)>> {
        if self.vanishing.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = |path: &Path| path.parent() == Some(directory);
        let looked_at = |path: &&PathBuf| inside(path) && !unseen.contains(*path);
        assert!(
            !self.nodes.keys().filter(looked_at).any(|path| self.hanging.contains(path)),
            "all of {directory:?} is looked at"
        );
        let name = |path: &Path| path.file_name().unwrap().to_owned();
        Ok(self.nodes.iter().filter(|(path, _)| inside(path)).map(|(path, node)| (name(path), node.clone())).collect())
    }

    fn mounts(&self) -> io::Result<Vec<HostMount>> {
        Ok(self.mounts.clone())
    }
}

/// Carries a plan out in the mind: every target must be there when its turn comes, and nothing may be made where the host
/// is bound.
#[derive(Default)]
struct Imagined {
    /// What is mounted where, newest last; `None` is a file system of its own.
    mounted: Vec<(PathBuf, Option<PathBuf>)>,
    made: BTreeSet<PathBuf>,
}

impl Imagined {
    fn carry_out(host: &FakeHost, view: &View) -> Self {
        let mut imagined = Self::default();
        for mount in &view.mounts {
            imagined.step(host, mount);
        }
        imagined
    }

    fn over(&self, path: &Path) -> Option<&(PathBuf, Option<PathBuf>)> {
        self.mounted.iter().rev().find(|(target, _)| path.starts_with(target))
    }

    fn exists(&self, host: &FakeHost, path: &Path) -> bool {
        match self.over(path) {
            None => false,
            Some((target, _)) if target == path => true,
            Some((target, Some(source))) => {
                host.nodes.contains_key(&source.join(path.strip_prefix(target).unwrap())) || self.made.contains(path)
            }
            Some((_, None)) => self.made.contains(path),
        }
    }

    fn step(&mut self, host: &FakeHost, mount: &Mount) {
        let target = PathBuf::from(&mount.target);
        match mount.kind() {
            MountKind::Directory | MountKind::File | MountKind::Symlink => self.make(host, &target),
            MountKind::Mask | MountKind::RemountReadOnly => {}
            MountKind::Bind => {
                if mount.make_target {
                    self.make(host, &target);
                }
                assert!(self.exists(host, &target), "nothing to mount on: {mount:?}");
                self.mounted.push((target, Some(PathBuf::from(&mount.source))));
            }
            _ => {
                let below_sys = target.starts_with("/sys");
                assert!(target == Path::new("/") || below_sys || self.exists(host, &target), "{mount:?}");
                self.mounted.push((target, None));
            }
        }
    }

    fn make(&mut self, host: &FakeHost, path: &Path) {
        if self.exists(host, path) {
            return;
        }
        assert!(self.exists(host, path.parent().unwrap()), "no parent to make {} in", path.display());
        let (_, source) = self.over(path).unwrap();
        let volume = source.as_ref().is_some_and(|source| source.starts_with("/var/lib/barepod"));
        assert!(source.is_none() || volume, "{} would appear on the host", path.display());
        self.made.insert(path.to_owned());
    }

    /// Where the host has what the view shows at `path`.
    fn source(&self, path: &str) -> Option<PathBuf> {
        let (target, source) = self.over(Path::new(path))?;
        source.as_ref().map(|source| {
            let rest = Path::new(path).strip_prefix(target).unwrap();
            if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) }
        })
    }
}

fn launch(root: Root) -> Launch {
    Launch {
        argv: vec!["/usr/bin/true".to_owned()],
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: Env::default(),
        cwd: "/".into(),
        user: Credentials { uid: 26, gid: 26, groups: Vec::new() },
        root,
        read_only_root: false,
        mounts: Vec::new(),
        shared: Vec::new(),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: Bytes(1 << 28),
        capabilities: Vec::new(),
        no_new_privileges: true,
        rlimits: Vec::new(),
        oom_score_adj: 0,
        namespaces: NamespaceUse::default(),
        tty: false,
        stdin: barepod_model::Stdin::Closed,
        env_files: Vec::new(),
        hostname: "db".to_owned(),
        as_written: None,
        network: barepod_model::NetworkFiles::default(),
        confinement: barepod_model::Confinement::default(),
        notify: None,
    }
}

fn volume(path: &str) -> Placement {
    Placement {
        what: format!("volume {path}"),
        source: "/var/lib/barepod/volumes".into(),
        within: None,
        path: path.into(),
        place: Place::Directory,
        read_only: false,
        devices: false,
        manner: super::Manner::default(),
    }
}

fn rendered(path: &str) -> Placement {
    Placement { source: "/var/lib/barepod/file".into(), place: Place::File, read_only: true, ..volume(path) }
}

fn plan_for(host: &FakeHost, launch: &Launch, placements: &[Placement]) -> Result<View, ViewError> {
    let barepod = ["/var/lib/barepod", "/run/barepod", "/etc/barepod", "/var/log/barepod"].map(PathBuf::from);
    let request = Request {
        launch,
        placements,
        hidden: &barepod,
        secret: &barepod[..3],
        root: Path::new("/view"),
        overlay: Path::new("/overlay"),
        shared_memory: None,
    };
    plan(host, &request)
}

fn host_plan(host: &FakeHost, placements: &[Placement]) -> View {
    plan_for(host, &launch(Root::Host), placements).unwrap()
}

fn of_kind(view: &View, kind: MountKind) -> Vec<&Mount> {
    view.mounts.iter().filter(|mount| mount.kind() == kind).collect()
}

fn at<'a>(view: &'a View, kind: MountKind, target: &str) -> Option<&'a Mount> {
    of_kind(view, kind).into_iter().find(|mount| mount.target == target)
}

#[test]
fn every_step_of_a_plan_finds_what_the_steps_before_it_made() {
    let mut host = FakeHost::debian();
    host.mount("/srv/db", "ext4");
    host.mount("/var/lib/apt", "ext4");
    let placements = [
        volume("/var/lib/postgresql/data"),
        volume("/var/lib/postgresql/data/pg_wal"),
        volume("/data"),
        volume("/srv/new/deep"),
        volume("/run/postgresql"),
        volume("/tmp"),
        volume("/dev/shm"),
        volume("/home/alice/work"),
        volume("/var/run/secrets/x"),
        volume("/docker-entrypoint-initdb.d"),
        rendered("/etc/hosts"),
        rendered("/etc/resolv.conf"),
        rendered("/etc/postgresql/15/main/conf.d/tuned.conf"),
        rendered("/var/lib/docker/inside"),
    ];
    let view = host_plan(&host, &placements);
    let imagined = Imagined::carry_out(&host, &view);
    for (path, source) in [
        ("/var/lib/postgresql/data", "/var/lib/barepod/volumes"),
        ("/usr/lib", "/usr/lib"),
        ("/etc/passwd", "/etc/passwd"),
        ("/var/lib/apt", "/var/lib/apt"),
        ("/var/lib/stamp", "/var/lib/stamp"),
        ("/etc/hosts", "/var/lib/barepod/file"),
        ("/etc/postgresql/15/main/conf.d/tuned.conf", "/var/lib/barepod/file"),
    ] {
        assert_eq!(imagined.source(path), Some(source.into()), "{path}");
    }
    assert_eq!(imagined.source("/home/alice"), None);
}

#[test]
fn everything_of_the_host_is_read_only_and_bound_alone() {
    let mut host = FakeHost::debian();
    host.mount("/var/lib/apt", "ext4");
    let view = host_plan(&host, &[volume("/var/lib/postgresql/data")]);
    assert!(view.read_only);
    for mount in of_kind(&view, MountKind::Bind) {
        let of_host = !mount.source.starts_with("/dev/") && !mount.source.starts_with("/var/lib/barepod");
        if of_host {
            assert!(mount.read_only && !mount.recursive && mount.no_suid && mount.no_dev, "{mount:?}");
        }
    }
}

#[test]
fn only_the_nearest_parent_is_imitated_like_it_is_and_sealed_at_the_end() {
    let host = FakeHost::debian();
    let view = host_plan(&host, &[volume("/var/lib/postgresql/data")]);
    let tmpfs: Vec<_> = of_kind(&view, MountKind::Tmpfs).into_iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(tmpfs, ["/", "/run", "/tmp", "/var/lib", "/var/tmp", "/dev", "/dev/shm"]);
    assert_eq!(at(&view, MountKind::Tmpfs, "/var/lib").unwrap().data, "mode=751,uid=0,gid=0");
    let last = view.mounts.last().unwrap();
    assert_eq!((last.kind(), last.target.as_str()), (MountKind::RemountReadOnly, "/var/lib"));
}

#[test]
fn a_mount_point_that_exists_needs_no_imitation() {
    let host = FakeHost::debian();
    let view = host_plan(&host, &[volume("/srv/db"), rendered("/etc/hosts")]);
    assert!(at(&view, MountKind::Tmpfs, "/srv").is_none() && at(&view, MountKind::Tmpfs, "/etc").is_none());
}

#[test]
fn barepod_and_other_supervisors_are_masked() {
    let host = FakeHost::debian();
    let view = host_plan(&host, &[]);
    for path in ["/var/lib/barepod", "/etc/barepod", "/var/log/barepod", "/var/lib/docker", "/proc/kcore"] {
        assert!(at(&view, MountKind::Mask, path).is_some(), "{path}");
    }
    assert!(at(&view, MountKind::Mask, "/run/barepod").is_none(), "the whole of /run is the container's own");
}

#[test]
fn what_is_mounted_below_a_masked_directory_is_not_taken_along() {
    let mut host = FakeHost::debian();
    host.mount("/var/lib/barepod/pods/x/volumes/memory", "tmpfs");
    host.mount("/var/lib/docker/overlay2/y/merged", "overlay");
    let view = host_plan(&host, &[]);
    for mount in of_kind(&view, MountKind::Bind) {
        assert!(!["memory", "merged"].iter().any(|name| mount.target.ends_with(name)), "{mount:?}");
    }
}

#[test]
fn what_a_file_server_has_is_neither_looked_at_nor_shown() {
    let mut host = FakeHost::debian();
    host.put("/var/lib/share/secret/deep", Kind::Directory);
    for (point, file_system) in [("/srv/nfs", "nfs4"), ("/data", "cifs"), ("/var/lib/share", "autofs")] {
        host.mount(point, file_system);
        host.hanging.insert(point.into());
    }
    let mut launch = launch(Root::Host);
    launch.user.uid = 0;
    let placements = [volume("/srv/nfs/database"), volume("/data"), volume("/srv/new")];
    let view = plan_for(&host, &launch, &placements).unwrap();
    let imagined = Imagined::carry_out(&host, &view);
    for empty in ["/srv/nfs", "/var/lib/share", "/data"] {
        assert!(at(&view, MountKind::Tmpfs, empty).is_some(), "{empty}");
    }
    for placed in ["/srv/nfs/database", "/data", "/srv/new"] {
        assert_eq!(imagined.source(placed).as_deref(), Some(Path::new("/var/lib/barepod/volumes")), "{placed}");
    }
}

#[test]
fn a_disk_that_is_mounted_when_it_is_looked_at_is_shown_once_it_is_mounted() {
    let mut host = FakeHost::debian();
    host.mount("/srv/db", "autofs");
    host.mount("/srv/db", "ext4");
    assert!(at(&host_plan(&host, &[]), MountKind::Bind, "/srv/db").is_some());
}

#[test]
fn homes_are_empty_and_leftovers_do_not_appear() {
    let host = FakeHost::debian();
    let view = host_plan(&host, &[]);
    assert!(at(&view, MountKind::Directory, "/home").is_some());
    assert!(at(&view, MountKind::Directory, "/root").is_some());
    for path in ["/home", "/root", "/boot", "/lost+found", "/swapfile"] {
        assert!(at(&view, MountKind::Bind, path).is_none(), "{path}");
    }
    assert!(at(&view, MountKind::Directory, "/lost+found").is_none());
}

#[test]
fn merged_usr_links_are_made_again() {
    let view = host_plan(&FakeHost::debian(), &[]);
    assert_eq!(at(&view, MountKind::Symlink, "/bin").unwrap().source, "usr/bin");
}

#[test]
fn links_on_the_way_are_followed_as_the_view_has_them() {
    let host = FakeHost::debian();
    let view = host_plan(&host, &[volume("/srv/link"), volume("/var/run/postgresql"), rendered("/etc/resolv.conf")]);
    for target in ["/srv/db", "/run/postgresql", "/run/systemd/resolve/stub-resolv.conf"] {
        assert!(at(&view, MountKind::Bind, target).is_some(), "{target}");
    }
}

#[test]
fn a_loop_of_links_is_refused() {
    let mut host = FakeHost::debian();
    host.put("/srv/a", Kind::Link("b".into()));
    host.put("/srv/b", Kind::Link("a".into()));
    let refused = plan_for(&host, &launch(Root::Host), &[volume("/srv/a/x")]).unwrap_err();
    assert!(refused.to_string().contains("too many symbolic links"), "{refused}");
}

#[test]
fn paths_that_are_no_mount_points_are_refused_with_the_rule() {
    let host = FakeHost::debian();
    for (placement, rule) in [
        (volume("/"), "root itself"),
        (volume("/proc/x"), "kernel's"),
        (volume("/sys/fs"), "kernel's"),
        (volume("/a/../etc"), "without .."),
        (volume("relative"), "absolute"),
        (volume("/etc/hosts"), "there is a file"),
        (rendered("/srv/db"), "there is a directory"),
        (volume("/etc/hosts/below"), "there is a file"),
    ] {
        let refused = plan_for(&host, &launch(Root::Host), std::slice::from_ref(&placement)).unwrap_err().to_string();
        assert!(refused.contains(rule) && refused.contains(&placement.what), "{refused}");
    }
}

#[test]
fn what_would_be_mounted_on_the_host_with_a_shared_volume_is_refused() {
    let host = FakeHost::debian();
    let manner = super::Manner { shared: true, ..super::Manner::default() };
    let shared = Placement { source: "/srv".into(), manner, ..volume("/data") };
    let view = plan_for(&host, &launch(Root::Host), std::slice::from_ref(&shared)).unwrap();
    assert_eq!(
        view.mounts.iter().filter(|mount| mount.shared).map(|mount| &*mount.target).collect::<Vec<_>>(),
        ["/data"]
    );
    let refused = plan_for(&host, &launch(Root::Host), &[shared.clone(), volume("/data/inner")]).unwrap_err();
    assert!(refused.to_string().contains("would appear on the host"), "{refused}");
    let above = Placement { source: "/var".into(), ..shared };
    let refused = plan_for(&host, &launch(Root::Host), &[above]).unwrap_err();
    assert!(refused.to_string().contains("barepod's own directories"), "{refused}");
}

#[test]
fn a_mount_point_in_a_read_only_volume_must_exist() {
    let mut host = FakeHost::debian();
    let outer = Placement { read_only: true, ..volume("/data") };
    let inner = volume("/data/inner");
    let refused = plan_for(&host, &launch(Root::Host), &[inner.clone(), outer.clone()]).unwrap_err();
    assert!(matches!(refused, ViewError::ReadOnlyParent { .. }), "{refused}");
    host.put("/var/lib/barepod/volumes/inner", Kind::Directory);
    plan_for(&host, &launch(Root::Host), &[inner, outer]).unwrap();
}

#[test]
fn a_volume_that_holds_barepods_directories_shows_them_empty() {
    let host = FakeHost::debian();
    let all = Placement { source: "/var".into(), ..volume("/host/var") };
    let view = host_plan(&host, &[all]);
    assert!(at(&view, MountKind::Mask, "/host/var/lib/barepod").is_some());
    assert!(at(&view, MountKind::Mask, "/host/var/log/barepod").is_none(), "logs may be collected");
}

#[test]
fn shared_memory_has_the_size_asked_for_and_zero_is_not_infinity() {
    let host = FakeHost::debian();
    let mut launch = launch(Root::Host);
    let size = |launch: &Launch| {
        at(&plan_for(&host, launch, &[]).unwrap(), MountKind::Tmpfs, "/dev/shm").unwrap().data.clone()
    };
    assert_eq!(size(&launch), "mode=1777,size=268435456");
    launch.shm_size = Bytes(0);
    assert_eq!(size(&launch), "mode=1777,size=67108864");
}

/// A host with secrets for root, for a group, and for its owner.
fn with_secrets() -> FakeHost {
    let mut host = FakeHost::debian();
    for (path, kind, mode) in [
        ("/etc/shadow", Kind::File, 0o640),
        ("/etc/ssl/private", Kind::Directory, 0o710),
        ("/etc/ssl/private/key.pem", Kind::File, 0o644),
        ("/var/lib/app", Kind::Directory, 0o700),
        ("/opt/tool/conf/token", Kind::File, 0o600),
        ("/usr/local/bin/tool", Kind::File, 0o755),
    ] {
        host.put(path, kind);
        host.nodes.get_mut(Path::new(path)).unwrap().mode = mode;
    }
    host
}

#[test]
fn who_runs_as_root_sees_of_the_host_what_everybody_may_read() {
    let host = with_secrets();
    let masked = |change: fn(&mut Launch)| {
        let mut launch = launch(Root::Host);
        change(&mut launch);
        let view = plan_for(&host, &launch, &[]).unwrap();
        Imagined::carry_out(&host, &view);
        let private = ["/etc/shadow", "/etc/ssl/private", "/var/lib/app", "/opt/tool/conf/token"];
        let found = private.map(|path| at(&view, MountKind::Mask, path).is_some());
        assert!(at(&view, MountKind::Mask, "/etc/passwd").is_none());
        assert!(at(&view, MountKind::Mask, "/usr/local/bin/tool").is_none());
        found
    };
    assert_eq!(masked(|_| ()), [false; 4], "permissions hold the others back");
    assert_eq!(masked(|launch| launch.user.uid = 0), [true; 4]);
    assert_eq!(masked(|launch| launch.user.gid = 0), [true; 4]);
    assert_eq!(masked(|launch| launch.user.groups = vec![7, 0]), [true; 4]);
    assert_eq!(masked(|launch| launch.capabilities = vec![2]), [true; 4]);
    let privileged = |launch: &mut Launch| {
        launch.user.uid = 0;
        launch.confinement.privileged = true;
    };
    assert_eq!(masked(privileged), [false; 4]);
}

#[test]
fn a_directory_that_vanishes_while_secrets_are_looked_for_stops_nobody() {
    let mut host = with_secrets();
    host.put("/var/lib/.tmp1/inside", Kind::Directory);
    host.vanishing.insert("/var/lib/.tmp1".into());
    let mut launch = launch(Root::Host);
    launch.user.uid = 0;
    let view = plan_for(&host, &launch, &[]).unwrap();
    assert!(at(&view, MountKind::Mask, "/var/lib/app").is_some(), "what is still there is looked at");
}

#[test]
fn a_secret_of_roots_may_be_mounted_over() {
    let host = with_secrets();
    let mut launch = launch(Root::Host);
    launch.user.uid = 0;
    let view = plan_for(&host, &launch, &[rendered("/etc/shadow"), volume("/etc/ssl/private")]).unwrap();
    let imagined = Imagined::carry_out(&host, &view);
    assert_eq!(imagined.source("/etc/shadow").as_deref(), Some(Path::new("/var/lib/barepod/file")));
    assert_eq!(imagined.source("/etc/ssl/private").as_deref(), Some(Path::new("/var/lib/barepod/volumes")));
    assert!(at(&view, MountKind::RemountReadOnly, "/etc/ssl/private").is_none(), "the volume stays writable");
}

#[test]
fn a_privileged_container_has_every_device_and_nothing_of_the_kernel_masked() {
    let mut host = FakeHost::debian();
    for name in ["vda", "kmsg", "log", "pts"] {
        host.put(&format!("/dev/{name}"), Kind::File);
    }
    host.put("/dev/disk/by-id", Kind::Directory);
    let mut launch = launch(Root::Host);
    launch.confinement.privileged = true;
    let view = plan_for(&host, &launch, &[]).unwrap();
    for device in ["/dev/vda", "/dev/kmsg", "/dev/disk", "/dev/null"] {
        assert!(at(&view, MountKind::Bind, device).is_some_and(|mount| !mount.no_dev), "{device}");
    }
    for own in ["/dev/log", "/dev/pts"] {
        assert!(at(&view, MountKind::Bind, own).is_none(), "{own}");
    }
    assert!(at(&view, MountKind::Mask, "/proc/kcore").is_none());
    assert!(at(&view, MountKind::RemountReadOnly, "/proc/sys").is_none());
    assert!(at(&view, MountKind::Sysfs, "/sys").is_some_and(|mount| !mount.read_only));
    assert!(at(&view, MountKind::Mask, "/var/lib/barepod").is_some(), "barepod's own stays hidden");
    launch.confinement = barepod_model::Confinement { unmasked_proc: true, ..Default::default() };
    let view = plan_for(&host, &launch, &[]).unwrap();
    assert!(at(&view, MountKind::Mask, "/proc/kcore").is_none());
    assert!(at(&view, MountKind::Sysfs, "/sys").is_some_and(|mount| mount.read_only));
    assert!(at(&view, MountKind::Bind, "/dev/vda").is_none());
}

#[test]
fn devices_work_only_where_a_placement_says_so() {
    let host = FakeHost::debian();
    let disk = Placement { devices: true, ..volume("/disk") };
    let view = host_plan(&host, &[volume("/data"), disk]);
    assert!(at(&view, MountKind::Bind, "/data").unwrap().no_dev);
    assert!(!at(&view, MountKind::Bind, "/disk").unwrap().no_dev);
}

#[test]
fn a_sub_path_is_resolved_inside_its_volume() {
    let inner = Placement {
        source: "/var/lib/barepod/volumes/a/b".into(),
        within: Some("/var/lib/barepod/volumes".into()),
        ..volume("/data")
    };
    let view = host_plan(&FakeHost::debian(), &[inner]);
    let bind = at(&view, MountKind::Bind, "/data").unwrap();
    assert_eq!((bind.source_root.as_str(), bind.source.as_str()), ("/var/lib/barepod/volumes", "a/b"));
}

fn tree() -> FakeHost {
    let mut host = FakeHost::debian();
    for path in ["/opt/tree/usr/bin", "/opt/tree/etc"] {
        host.put(path, Kind::Directory);
    }
    host.put("/opt/tree/bin", Kind::Link("usr/bin".into()));
    host
}

#[test]
fn a_writable_tree_is_an_overlay_in_which_mount_points_are_made() {
    let view =
        plan_for(&tree(), &launch(Root::Tree("/opt/tree".into())), &[volume("/data"), rendered("/etc/new")]).unwrap();
    assert!(!view.read_only);
    let overlay = &view.mounts[0];
    assert_eq!(overlay.data, "lowerdir=/opt/tree,upperdir=/overlay/upper,workdir=/overlay/work");
    assert_eq!(overlay.target, "/");
    assert!(at(&view, MountKind::Directory, "/data").is_some() && at(&view, MountKind::File, "/etc/new").is_some());
    assert!(at(&view, MountKind::Tmpfs, "/etc").is_none());
}

#[test]
fn a_read_only_tree_is_imitated_like_the_host() {
    let host = tree();
    let mut launch = launch(Root::Tree("/opt/tree".into()));
    launch.read_only_root = true;
    let view = plan_for(&host, &launch, &[volume("/data"), rendered("/etc/new")]).unwrap();
    let imagined = Imagined::carry_out(&host, &view);
    assert!(view.read_only);
    assert_eq!(imagined.source("/usr/bin"), Some("/opt/tree/usr/bin".into()));
    assert_eq!(imagined.source("/data"), Some("/var/lib/barepod/volumes".into()));
    assert_eq!(imagined.source("/etc/new"), Some("/var/lib/barepod/file".into()));
    assert!(at(&view, MountKind::Tmpfs, "/tmp").is_none(), "a tree has the /tmp that it has");
}

#[test]
fn a_tree_that_is_missing_or_cannot_be_an_overlay_is_refused() {
    let mut host = tree();
    host.put("/opt/a:b", Kind::Directory);
    for (path, refusal) in
        [("/opt/none", "not a directory"), ("/etc/hosts", "not a directory"), ("/opt/a:b", "holds one of")]
    {
        let refused = plan_for(&host, &launch(Root::Tree(path.into())), &[]).unwrap_err().to_string();
        assert!(refused.contains(refusal), "{refused}");
    }
}

#[test]
fn a_plan_can_be_made_for_the_host_under_the_tests() {
    let dir = tempfile::tempdir().unwrap();
    let data = Placement { source: dir.path().to_owned(), ..volume("/var/lib/no-such-service/data") };
    let launch = launch(Root::Host);
    let request = Request {
        launch: &launch,
        placements: &[data],
        hidden: &[],
        secret: &[],
        root: dir.path(),
        overlay: dir.path(),
        shared_memory: None,
    };
    let view = plan(&Host, &request).unwrap();
    assert!(at(&view, MountKind::Bind, "/usr").is_some());
    assert!(at(&view, MountKind::Tmpfs, "/var/lib").is_some());
}
