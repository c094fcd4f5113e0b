//! The view as a container gets it: a plan for the host under the tests, carried out by the shim's own code in a mount
//! namespace of its own. Needs root.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use barepod_model::{Bytes, Credentials, Env, Launch, NamespaceUse, Root};
use barepod_shim::wire::View;
use nix::sched::{CloneFlags, unshare};

use super::{Host, Place, Placement, Request, plan};

fn launch(root: Root) -> Launch {
    Launch {
        argv: vec!["/usr/bin/true".to_owned()],
        init: Vec::new(),
        follows_resources: barepod_model::FollowsResources::default(),
        env: Env::default(),
        cwd: "/".into(),
        user: Credentials { uid: 0, gid: 0, groups: Vec::new() },
        root,
        read_only_root: false,
        mounts: Vec::new(),
        shared: Vec::new(),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: Bytes(8 << 20),
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

/// A scratch directory on a disk that the view shows: `/tmp` is the container's own.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/var/lib").expect("this test writes below /var/lib: run it as root")
}

struct Case {
    scratch: tempfile::TempDir,
    launch: Launch,
    placements: Vec<Placement>,
}

impl Case {
    fn new(root: Root) -> Self {
        let scratch = scratch();
        for name in ["view", "overlay/upper", "overlay/work", "volume", "state/pods/other"] {
            fs::create_dir_all(scratch.path().join(name)).unwrap();
        }
        fs::write(scratch.path().join("volume/kept"), "kept").unwrap();
        fs::write(scratch.path().join("state/secret"), "").unwrap();
        fs::write(scratch.path().join("file"), "made\n").unwrap();
        Self { scratch, launch: launch(root), placements: Vec::new() }
    }

    fn volume(mut self, path: &str) -> Self {
        self.placements.push(self.placement("volume", path, Place::Directory, false));
        self
    }

    fn file(mut self, path: &str) -> Self {
        self.placements.push(self.placement("file", path, Place::File, true));
        self
    }

    fn placement(&self, source: &str, path: &str, place: Place, read_only: bool) -> Placement {
        Placement {
            what: path.to_owned(),
            source: self.scratch.path().join(source),
            within: None,
            path: path.into(),
            place,
            read_only,
            devices: false,
            manner: super::Manner::default(),
        }
    }

    fn plan(&self) -> View {
        let state = [self.scratch.path().join("state")];
        let request = Request {
            launch: &self.launch,
            placements: &self.placements,
            hidden: &state,
            secret: &state,
            root: &self.scratch.path().join("view"),
            overlay: &self.scratch.path().join("overlay"),
            shared_memory: None,
        };
        plan(&Host, &request).unwrap()
    }

    /// Runs `check` in the view, on a thread of its own that has a mount namespace of its own.
    fn inside(&self, check: impl FnOnce(&Path) + Send) {
        let view = self.plan();
        let enter = || {
            unshare(CloneFlags::CLONE_NEWNS).expect("this test makes a mount namespace: run it as root");
            barepod_shim::view::enter(&view).unwrap();
            check(self.scratch.path());
        };
        let joined = std::thread::scope(|scope| scope.spawn(enter).join());
        if let Err(panic) = joined {
            std::panic::resume_unwind(panic);
        }
    }
}

fn refused(result: std::io::Result<()>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn as_root_the_host_is_seen_and_cannot_be_changed() {
    Case::new(Root::Host).inside(|_| {
        assert!(Path::new("/usr/bin/env").exists() && Path::new("/etc/passwd").exists());
        assert!(Path::new("/bin/sh").exists(), "links at the top are there");
        for path in ["/x", "/etc/x", "/usr/x", "/var/lib/x"] {
            assert_eq!(refused(fs::write(path, "")), ErrorKind::ReadOnlyFilesystem, "{path}");
        }
        assert_eq!(refused(fs::write("/proc/sys/vm/swappiness", "60")), ErrorKind::ReadOnlyFilesystem);
        assert!(fs::read_to_string("/proc/sys/vm/swappiness").is_ok());
        assert!(fs::write("/proc/self/oom_score_adj", "0").is_ok(), "its own OOM score stays its own");
    });
}

#[test]
fn as_root_barepods_own_and_other_peoples_things_are_out_of_sight() {
    Case::new(Root::Host).inside(|scratch| {
        assert_eq!(fs::read_dir(scratch.join("state")).unwrap().count(), 0);
        for path in ["/root", "/home", "/run/lock", "/tmp", "/var/tmp", "/dev/shm"] {
            assert_eq!(fs::read_dir(path).unwrap().count(), 0, "{path}");
        }
        assert_eq!(fs::read("/proc/kcore").unwrap_or_default().len(), 0);
        assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains("/view "), "the host's mounts are gone");
    });
}

#[test]
fn as_root_a_volume_appears_where_the_host_has_no_such_path_and_nothing_appears_on_the_host() {
    let case = Case::new(Root::Host)
        .volume("/var/lib/barepod-no-such-service/deep/data")
        .volume("/barepod-top")
        .file("/etc/barepod-no-such-service/x.conf")
        .file("/etc/hosts");
    case.inside(|_| {
        let data = Path::new("/var/lib/barepod-no-such-service/deep/data");
        assert_eq!(fs::read_to_string(data.join("kept")).unwrap(), "kept");
        fs::write(data.join("new"), "new").unwrap();
        assert_eq!(fs::read_to_string("/barepod-top/new").unwrap(), "new");
        assert_eq!(fs::read_to_string("/etc/barepod-no-such-service/x.conf").unwrap(), "made\n");
        assert_eq!(fs::read_to_string("/etc/hosts").unwrap(), "made\n");
        assert!(Path::new("/etc/passwd").exists() && Path::new("/var/lib/dpkg").exists(), "the neighbours are there");
        assert_eq!(refused(fs::write("/etc/hosts", "")), ErrorKind::ReadOnlyFilesystem);
        assert_eq!(refused(fs::write("/var/lib/barepod-no-such-service/x", "")), ErrorKind::ReadOnlyFilesystem);
        assert_eq!(refused(fs::write("/etc/barepod-no-such-service/y", "")), ErrorKind::ReadOnlyFilesystem);
    });
    assert_eq!(fs::read_to_string(case.scratch.path().join("volume/new")).unwrap(), "new");
    for path in ["/var/lib/barepod-no-such-service", "/barepod-top", "/etc/barepod-no-such-service"] {
        assert!(!Path::new(path).exists(), "{path}");
    }
}

#[test]
fn as_root_a_volume_over_a_directory_that_is_roots_alone_can_be_written() {
    let case = Case::new(Root::Host);
    let private = case.scratch.path().to_str().unwrap().to_owned();
    let case = case.volume(&private);
    case.inside(|volume| {
        assert_eq!(fs::read_to_string(volume.join("kept")).unwrap(), "kept");
        fs::write(volume.join("new"), "new").unwrap();
    });
    assert_eq!(fs::read_to_string(case.scratch.path().join("volume/new")).unwrap(), "new");
}

#[test]
fn as_root_devices_terminals_and_shared_memory_work() {
    Case::new(Root::Host).inside(|_| {
        fs::write("/dev/null", "x").unwrap();
        assert!(fs::metadata("/dev/pts/ptmx").is_ok() && fs::metadata("/dev/ptmx").is_ok());
        assert_eq!(fs::metadata("/dev/shm").unwrap().mode() & 0o7777, 0o1777);
        fs::write("/dev/shm/fits", vec![0; 4 << 20]).unwrap();
        assert!(fs::write("/dev/shm/does-not", vec![0; 8 << 20]).is_err(), "it has the size asked for");
        assert!(!Path::new("/dev/vda").exists());
        fs::write("/run/pid", "1").unwrap();
        fs::write("/tmp/x", "1").unwrap();
        assert_eq!(fs::canonicalize("/var/run").unwrap(), PathBuf::from("/run"));
    });
}

#[test]
fn as_root_a_writable_tree_is_written_to_above_it_and_a_read_only_one_not_at_all() {
    for read_only in [false, true] {
        let mut case = Case::new(Root::Host).volume("/data/deep").file("/etc/made");
        let tree = case.scratch.path().join("tree");
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("etc/own"), "own").unwrap();
        case.launch.root = Root::Tree(tree.clone());
        case.launch.read_only_root = read_only;
        case.inside(|_| {
            assert_eq!(fs::read_to_string("/etc/own").unwrap(), "own");
            assert_eq!(fs::read_to_string("/etc/made").unwrap(), "made\n");
            assert_eq!(fs::read_to_string("/data/deep/kept").unwrap(), "kept");
            assert!(Path::new("/proc/self/status").exists() && Path::new("/dev/null").exists());
            let written = [fs::write("/new", ""), fs::write("/etc/new", "")];
            assert!(written.iter().all(|result| result.is_err() == read_only), "{written:?}");
        });
        assert_eq!(fs::read_dir(&tree).unwrap().count(), 1, "the tree itself stays as it is");
        assert_eq!(case.scratch.path().join("overlay/upper/new").exists(), !read_only);
    }
}
