//! Volumes on temporary directories. Owners are the testing user's, so that no root is needed; `as_root` changes owners and
//! mounts.

use std::os::unix::fs::symlink;

use barepod_model::{ContainerName, Credentials, HostPathType, Launch, OwnedDir, RenderedFile};

use super::*;
use crate::testing::{container, launch};

struct Scratch {
    dir: tempfile::TempDir,
    dirs: Dirs,
    pod: Pod,
}

impl Scratch {
    fn new(volumes: Vec<Volume>, mounts: Vec<VolumeMount>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let dirs = Dirs::under(&dir.path().join("barepod"));
        let mut launch = launch();
        launch.mounts = mounts;
        Self { pod: pod(volumes, launch), dir, dirs }
    }

    fn launch(&mut self) -> &mut Launch {
        &mut self.pod.containers[0].launch
    }

    fn prepare(&self) -> Result<Vec<Placement>, VolumeError> {
        prepare_pod(&self.dirs, &self.pod)?;
        prepare_container(&self.dirs, &self.pod, &self.pod.containers[0], Attempt(0), &[])
    }

    fn host_path(&self, name: &str, kind: HostPathType) -> Volume {
        Volume {
            name: "h".to_owned(),
            claim: None,
            kind: VolumeKind::HostPath { path: self.dir.path().join(name), kind },
        }
    }
}

fn pod(volumes: Vec<Volume>, launch: Launch) -> Pod {
    let container = Container { launch, ..container("db") };
    Pod { volumes, ..crate::testing::pod("uid-1", vec![container]) }
}

fn claim() -> Volume {
    Volume {
        name: "data".to_owned(),
        claim: None,
        kind: VolumeKind::Claim { claim: "data-db-0".to_owned(), read_only: false },
    }
}

fn empty() -> Volume {
    Volume {
        name: "data".to_owned(),
        claim: None,
        kind: VolumeKind::EmptyDir { memory: false, huge_pages: None, size_limit: None },
    }
}

fn mounted(sub_path: &str) -> VolumeMount {
    VolumeMount {
        volume: "data".to_owned(),
        path: "/data".into(),
        sub_path: sub_path.into(),
        read_only: false,
        sub_path_expr: None,
        recursive_read_only: false,
        propagation: barepod_model::MountPropagation::None,
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn chain(error: &VolumeError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[test]
fn an_empty_dir_goes_with_the_pod_and_a_claim_stays() {
    let two = Volume { name: "scratch".to_owned(), ..empty() };
    let scratch = Scratch::new(vec![claim(), two], vec![mounted("")]);
    let placements = scratch.prepare().unwrap();
    let claim = scratch.dirs.claim(&scratch.pod.namespace, "data-db-0");
    assert_eq!((placements[0].source.as_path(), mode(&claim)), (claim.as_path(), 0o700));
    assert_eq!(mode(&scratch.dirs.empty_dir(&scratch.pod.uid, "scratch")), 0o777);
    fs::write(claim.join("precious"), "").unwrap();

    tear_down(&scratch.dirs, &scratch.pod.uid).unwrap();

    assert!(claim.join("precious").exists() && !scratch.dirs.pod(&scratch.pod.uid).exists());
    tear_down(&scratch.dirs, &scratch.pod.uid).unwrap();
}

#[test]
fn preparing_again_keeps_what_is_in_the_volumes() {
    let scratch = Scratch::new(vec![empty()], vec![mounted("")]);
    let source = scratch.prepare().unwrap()[0].source.clone();
    fs::write(source.join("x"), "1").unwrap();
    scratch.prepare().unwrap();
    assert_eq!(fs::read(source.join("x")).unwrap(), b"1");
}

#[test]
fn a_volume_name_cannot_leave_its_directory() {
    for name in ["..", "a/b", "", ".", "/etc"] {
        let volume = Volume { name: name.to_owned(), ..empty() };
        let scratch = Scratch::new(vec![volume], vec![]);
        assert!(matches!(scratch.prepare(), Err(VolumeError::Refused { .. })), "{name:?}");
    }
}

#[test]
fn a_missing_sub_path_is_made_like_its_volume() {
    let scratch = Scratch::new(vec![empty()], vec![mounted("a/b")]);
    let placement = &scratch.prepare().unwrap()[0];
    let volume = scratch.dirs.empty_dir(&scratch.pod.uid, "data");
    assert_eq!((&placement.source, placement.within.as_ref()), (&volume.join("a/b"), Some(&volume)));
    assert_eq!(mode(&volume.join("a")), 0o777);
}

#[test]
fn a_sub_path_cannot_leave_its_volume() {
    let scratch = Scratch::new(vec![empty()], vec![mounted("../../x")]);
    assert!(matches!(scratch.prepare(), Err(VolumeError::Refused { .. })));

    let scratch = Scratch::new(vec![empty()], vec![mounted("link/new")]);
    prepare_pod(&scratch.dirs, &scratch.pod).unwrap();
    symlink(scratch.dir.path(), scratch.dirs.empty_dir(&scratch.pod.uid, "data").join("link")).unwrap();
    let refused = scratch.prepare().unwrap_err();
    assert!(chain(&refused).contains("symbolic links"), "{}", chain(&refused));
    assert!(!scratch.dir.path().join("new").exists());
}

#[test]
fn host_paths_are_checked_as_kubernetes_checks_them() {
    let cases = [
        ("file", HostPathType::Directory, Some("not a directory")),
        ("dir", HostPathType::File, Some("not a file")),
        ("none", HostPathType::Directory, Some("DirectoryOrCreate")),
        ("none", HostPathType::File, Some("FileOrCreate")),
        ("none", HostPathType::Socket, Some("not a socket")),
        ("file", HostPathType::CharDevice, Some("not a character device")),
        ("file", HostPathType::BlockDevice, Some("not a block device")),
        ("dir", HostPathType::DirectoryOrCreate, None),
        ("made/dir", HostPathType::DirectoryOrCreate, None),
        ("made-file", HostPathType::FileOrCreate, None),
        ("none/file", HostPathType::FileOrCreate, Some("cannot use")),
        ("file", HostPathType::Unset, None),
        ("socket", HostPathType::Socket, None),
    ];
    for (name, kind, complaint) in cases {
        let mut scratch = Scratch::new(vec![], vec![]);
        fs::write(scratch.dir.path().join("file"), "").unwrap();
        fs::create_dir(scratch.dir.path().join("dir")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(scratch.dir.path().join("socket")).unwrap();
        scratch.pod.volumes = vec![scratch.host_path(name, kind)];
        let checked = prepare_pod(&scratch.dirs, &scratch.pod);
        match complaint {
            None => assert_eq!(checked.unwrap(), Warnings::new(), "{name} {kind:?}"),
            Some(complaint) => {
                let refused = checked.unwrap_err().to_string();
                assert!(refused.contains(complaint) && refused.contains("\"h\""), "{refused}");
            }
        }
    }
}

#[test]
fn a_host_path_that_nobody_checked_is_made_with_a_warning() {
    let mut scratch = Scratch::new(vec![], vec![]);
    scratch.pod.volumes = vec![scratch.host_path("new", HostPathType::Unset)];
    let warnings = prepare_pod(&scratch.dirs, &scratch.pod).unwrap();
    assert!(warnings[0].contains("did not exist"), "{warnings:?}");
    assert!(scratch.dir.path().join("new").is_dir());
}

#[test]
fn no_host_path_leads_into_barepods_own_directories_not_even_through_a_link() {
    let mut scratch = Scratch::new(vec![], vec![VolumeMount { volume: "h".to_owned(), ..mounted("") }]);
    fs::create_dir_all(&scratch.dirs.state).unwrap();
    symlink(&scratch.dirs.state, scratch.dir.path().join("link")).unwrap();
    for name in ["barepod/var/lib/barepod/ledger", "link"] {
        scratch.pod.volumes = vec![scratch.host_path(name, HostPathType::Unset)];
        assert!(matches!(scratch.prepare(), Err(VolumeError::OwnDirectory { .. })), "{name}");
    }
}

#[test]
fn a_directory_of_the_service_is_made_inside_the_volume() {
    let mut scratch = Scratch::new(vec![claim()], vec![mounted("")]);
    scratch.launch().owned_dirs = vec![OwnedDir { path: "/data/pgdata".into(), mode: 0o700 }];
    let placements = scratch.prepare().unwrap();
    assert_eq!(mode(&placements[0].source.join("pgdata")), 0o700);
}

#[test]
fn a_directory_of_the_service_outside_all_volumes_is_an_error() {
    let mut scratch = Scratch::new(vec![claim()], vec![mounted("")]);
    scratch.launch().owned_dirs = vec![OwnedDir { path: "/elsewhere".into(), mode: 0o700 }];
    assert!(matches!(scratch.prepare(), Err(VolumeError::NoVolume { .. })));
}

#[test]
fn a_link_in_a_volume_does_not_lead_ownership_astray() {
    let mut scratch = Scratch::new(vec![claim()], vec![mounted("")]);
    let source = scratch.prepare().unwrap()[0].source.clone();
    symlink("/etc", source.join("pgdata")).unwrap();
    scratch.launch().owned_dirs = vec![OwnedDir { path: "/data/pgdata".into(), mode: 0o700 }];
    assert!(matches!(scratch.prepare(), Err(VolumeError::Io { .. })));
}

#[test]
fn files_made_for_a_container_are_written_anew_and_closed_to_others() {
    let mut scratch = Scratch::new(vec![], vec![]);
    for contents in ["one", "two"] {
        scratch.launch().files = vec![RenderedFile {
            path: "/etc/x.conf".into(),
            contents: contents.to_owned(),
            mode: 0o400,
            follows_resources: false,
        }];
        let placements = scratch.prepare().unwrap();
        let file = placements.iter().find(|one| one.path == Path::new("/etc/x.conf")).unwrap();
        assert_eq!((fs::read_to_string(&file.source).unwrap().as_str(), mode(&file.source)), (contents, 0o400));
        assert_eq!(mode(file.source.parent().unwrap()), 0o700);
        assert!(file.read_only && file.place == Place::File);
    }
}

#[test]
fn the_three_files_of_etc_give_way_to_what_the_pod_has_there() {
    let mut scratch = Scratch::new(vec![empty()], vec![]);
    let etc = |placements: &[Placement]| placements.iter().filter(|one| one.path.starts_with("/etc")).count();
    assert_eq!(etc(&scratch.prepare().unwrap()), 3);
    scratch.launch().mounts = vec![VolumeMount { path: "/etc/hosts".into(), ..mounted("") }];
    assert_eq!(etc(&scratch.prepare().unwrap()), 3);
    scratch.launch().mounts = vec![VolumeMount { path: "/etc".into(), ..mounted("") }];
    assert_eq!(etc(&scratch.prepare().unwrap()), 1);
}

#[test]
fn what_is_done_is_found_where_the_container_would_find_it() {
    let scratch = Scratch::new(vec![claim()], vec![mounted("")]);
    let placements = scratch.prepare().unwrap();
    let done = Path::new("/data/pgdata/PG_VERSION");
    assert!(!is_present(&Root::Host, &placements, done).unwrap());
    fs::create_dir(placements[0].source.join("pgdata")).unwrap();
    fs::write(placements[0].source.join("pgdata/PG_VERSION"), "15").unwrap();
    assert!(is_present(&Root::Host, &placements, done).unwrap());
    assert!(is_present(&Root::Host, &placements, Path::new("/usr")).unwrap());
    symlink("/usr", placements[0].source.join("out")).unwrap();
    assert!(!is_present(&Root::Host, &placements, Path::new("/data/out/bin")).unwrap(), "it would leave the volume");
}

#[test]
fn a_writable_tree_gets_a_new_upper_directory_each_time() {
    let mut scratch = Scratch::new(vec![], vec![]);
    scratch.launch().root = Root::Tree("/usr".into());
    scratch.prepare().unwrap();
    let key = ContainerKey { pod: scratch.pod.uid.clone(), container: ContainerName::new("db").unwrap() };
    let upper = scratch.dirs.overlay(&key).join("upper");
    fs::write(upper.join("left"), "").unwrap();
    scratch.prepare().unwrap();
    assert!(upper.is_dir() && !upper.join("left").exists());
}

#[test]
fn removal_follows_no_link_and_knows_no_depth() {
    let scratch = Scratch::new(vec![empty()], vec![]);
    scratch.prepare().unwrap();
    let volume = scratch.dirs.empty_dir(&scratch.pod.uid, "data");
    let outside = scratch.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    let mut deep = volume;
    for _ in 0..300 {
        deep.push("d");
        fs::create_dir(&deep).unwrap();
        fs::write(deep.join("f"), "").unwrap();
    }
    tear_down(&scratch.dirs, &scratch.pod.uid).unwrap();
    assert!(outside.join("precious").exists() && !scratch.dirs.pod(&scratch.pod.uid).exists());
}

mod as_root {
    use super::*;

    const STRANGER: Credentials = Credentials { uid: 12_345, gid: 12_346, groups: Vec::new() };

    fn owner(path: &Path) -> (u32, u32) {
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.gid())
    }

    #[test]
    fn what_is_new_or_empty_is_given_to_the_user() {
        let mut scratch = Scratch::new(vec![claim()], vec![mounted("")]);
        scratch.launch().user = STRANGER;
        scratch.launch().owned_dirs = vec![OwnedDir { path: "/data/a/b".into(), mode: 0o750 }];
        let source = scratch.prepare().expect("this test changes owners: run it as root")[0].source.clone();
        assert_eq!(owner(&source), (12_345, 12_346));
        assert_eq!((owner(&source.join("a/b")), mode(&source.join("a/b"))), ((12_345, 12_346), 0o750));
    }

    #[test]
    fn what_holds_somebody_elses_files_is_left_alone_with_the_command_that_helps() {
        let mut scratch = Scratch::new(vec![], vec![VolumeMount { volume: "h".to_owned(), ..mounted("") }]);
        scratch.pod.volumes = vec![scratch.host_path("data", HostPathType::Directory)];
        let data = scratch.dir.path().join("data");
        fs::create_dir_all(data.join("lost+found")).unwrap();
        scratch.launch().user = STRANGER;
        scratch.launch().owned_dirs = vec![OwnedDir { path: "/data".into(), mode: 0o700 }];
        fs::write(data.join("precious"), "").unwrap();
        let refused = scratch.prepare().unwrap_err();
        assert!(refused.to_string().contains("chown -R 12345:12346"), "{refused}");
        assert_eq!(owner(&data), (0, 0));

        fs::remove_file(data.join("precious")).unwrap();
        scratch.prepare().unwrap();
        assert_eq!(owner(&data), (12_345, 12_346), "lost+found alone is an empty disk");
    }

    #[test]
    fn a_memory_volume_is_mounted_once_and_unmounted_with_the_pod() {
        let kind = VolumeKind::EmptyDir { memory: true, huge_pages: None, size_limit: Some(Bytes(1 << 20)) };
        let scratch = Scratch::new(vec![Volume { name: "data".to_owned(), claim: None, kind }], vec![mounted("")]);
        let source = scratch.prepare().expect("this test mounts a tmpfs: run it as root")[0].source.clone();
        fs::write(source.join("x"), "1").unwrap();
        scratch.prepare().unwrap();
        assert!(source.join("x").exists());
        assert!(fs::write(source.join("big"), vec![0; 2 << 20]).is_err(), "the size limit holds");
        tear_down(&scratch.dirs, &scratch.pod.uid).unwrap();
        assert!(!scratch.dirs.pod(&scratch.pod.uid).exists());
    }

    #[test]
    fn what_is_mounted_in_a_volume_is_not_emptied() {
        let scratch = Scratch::new(vec![empty()], vec![mounted("")]);
        let source = scratch.prepare().unwrap()[0].source.clone();
        let (outside, inside) = (scratch.dir.path().join("outside"), source.join("inside"));
        for dir in [&outside, &inside] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(outside.join("precious"), "").unwrap();
        let none: Option<&str> = None;
        mount(Some(&outside), &inside, none, MsFlags::MS_BIND, none).expect("this test mounts: run it as root");

        let refused = tear_down(&scratch.dirs, &scratch.pod.uid);

        assert!(outside.join("precious").exists());
        umount2(&inside, MntFlags::MNT_DETACH).unwrap();
        assert!(matches!(refused, Err(VolumeError::Mounted { .. })), "{refused:?}");
        tear_down(&scratch.dirs, &scratch.pod.uid).unwrap();
    }
}
