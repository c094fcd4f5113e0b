//! What a process sees: its root, its namespaces, and no way out of them.

#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use barepod_shim::wire::exit::How;
use barepod_shim::wire::mount::Kind;
use barepod_shim::wire::start_failed::Stage;
use barepod_shim::wire::{Mount, Namespaces, Start, View};
use support::Host;

const ALL: Namespaces = Namespaces { mount: true, uts: true, ipc: true, pid: true, cgroup: true };

fn mount(kind: Kind, source: impl AsRef<Path>, target: &str) -> Mount {
    Mount {
        kind: kind.into(),
        source: source.as_ref().to_str().unwrap().into(),
        target: target.into(),
        ..Mount::default()
    }
}

fn bind(source: impl AsRef<Path>, target: &str) -> Mount {
    Mount { make_target: true, ..mount(Kind::Bind, source, target) }
}

/// A private root on a tmpfs with the host's programs in it, read-only.
fn private_root(host: &Host) -> Vec<Mount> {
    let mut mounts = vec![Mount { data: "mode=0755".into(), ..mount(Kind::Tmpfs, "", "/") }];
    for directory in ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"] {
        let path = Path::new(directory);
        match fs::read_link(path) {
            Ok(link) => mounts.push(mount(Kind::Symlink, link, directory)),
            Err(_) if path.exists() => {
                mounts.push(Mount { read_only: true, recursive: true, ..bind(path, directory) });
            }
            Err(_) => {}
        }
    }
    mounts.push(Mount { mode: 0o1777, ..mount(Kind::Directory, "", "/tmp") });
    mounts.push(mount(Kind::Directory, "", "/proc"));
    mounts.push(Mount { no_suid: true, no_dev: true, no_exec: true, ..mount(Kind::Proc, "", "/proc") });
    mounts.push(bind("/dev/null", "/dev/null"));
    fs::create_dir_all(root(host)).unwrap();
    mounts
}

fn root(host: &Host) -> PathBuf {
    host.scratch().join("root")
}

fn start(host: &Host, attempt: u32, mounts: Vec<Mount>, script: &str) -> Start {
    let view = View { root: root(host).to_str().unwrap().into(), mounts, read_only: false };
    let mut start = host.start(attempt, script);
    start.namespaces = Some(ALL);
    start.hostname = "inside".into();
    start.view = Some(view);
    start
}

#[test]
fn a_private_root_shows_what_was_put_there_and_nothing_else() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = host.scratch().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("file"), "from the host").unwrap();
    let mut mounts = private_root(&host);
    mounts.push(bind(&data, "/var/lib/data"));
    mounts.push(Mount { data: "size=64k,mode=1777".into(), ..mount(Kind::Directory, "", "/dev/shm") });
    mounts.push(Mount { data: "size=64k,mode=1777".into(), ..mount(Kind::Tmpfs, "", "/dev/shm") });
    let script = "ls / | tr '\\n' ' '; echo; cat /var/lib/data/file; echo; echo back > /var/lib/data/new; hostname; echo pid $$; \
                  stat -c %a /tmp /dev/shm; touch /usr/x 2>/dev/null || echo usr is read-only; [ $(ls /proc | grep -c '^[0-9]') -le 5 ] && echo few; ls /proc/self/fd | wc -l";

    assert_eq!(shim.run(start(&host, 1, mounts, script)).how, Some(How::Code(0)));

    let lines = host.lines(1);
    assert!(!lines[0].contains("home") && lines[0].contains("usr") && lines[0].contains("var"), "{lines:?}");
    assert_eq!(lines[1..8], ["from the host", "inside", "pid 1", "1777", "1777", "usr is read-only", "few"]);
    assert_eq!(fs::read_to_string(data.join("new")).unwrap(), "back\n");
    assert!(fs::read_dir(root(&host)).unwrap().next().is_none(), "nothing appears on the host");
}

#[test]
fn restrictions_of_a_recursive_bind_hold_for_what_is_mounted_below() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let outer = host.scratch().join("outer");
    fs::create_dir_all(outer.join("inner")).unwrap();
    let inner = barepod_sys::path::refer(&outer.join("inner")).unwrap();
    barepod_sys::mount::file_system("tmpfs", "t", std::os::fd::AsFd::as_fd(&inner), Default::default(), "").unwrap();
    let mut mounts = private_root(&host);
    mounts.push(Mount { read_only: true, recursive: true, no_exec: true, ..bind(&outer, "/tree") });
    mounts.push(Mount { recursive: true, ..bind(&outer, "/open") });
    let script = "touch /tree/a 2>/dev/null || echo ro; touch /tree/inner/a 2>/dev/null || echo inner ro; \
                  touch /open/a /open/inner/a && echo rw; grep -c ' /tree.*noexec' /proc/self/mountinfo";

    shim.run(start(&host, 1, mounts, script));

    assert_eq!(host.lines(1), ["ro", "inner ro", "rw", "2"]);
}

#[test]
fn a_target_behind_a_symbolic_link_stays_inside_the_view() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let (victim, volume) = (host.scratch().join("victim"), host.scratch().join("volume"));
    fs::create_dir_all(&victim).unwrap();
    fs::create_dir_all(&volume).unwrap();
    let up = "../".repeat(20);
    symlink(&victim, volume.join("absolute")).unwrap();
    symlink(format!("{up}{}", victim.display()), volume.join("relative")).unwrap();
    symlink("/proc/1/root", volume.join("magic")).unwrap();
    fs::write(host.scratch().join("payload"), "x").unwrap();
    for (attempt, link) in (1..).zip(["absolute", "relative"]) {
        let mut mounts = private_root(&host);
        mounts.push(bind(&volume, "/volume"));
        mounts.push(mount(Kind::Directory, "", &format!("/volume/{link}/made")));
        mounts.push(mount(Kind::File, "", &format!("/volume/{link}/file")));
        mounts.push(bind(host.scratch().join("payload"), &format!("/volume/{link}/bound")));

        shim.send(barepod_shim::wire::request::Request::Start(start(&host, attempt, mounts, "exit 0")));
        match shim.event() {
            barepod_shim::wire::event::Event::StartFailed(failed) => assert_eq!(failed.stage(), Stage::View),
            _ => {
                shim.exited();
                shim.emptied();
            }
        }
        assert!(fs::read_dir(&victim).unwrap().next().is_none(), "{link} led outside");
    }
    let mut mounts = private_root(&host);
    mounts.push(bind(&volume, "/volume"));
    mounts.push(mount(Kind::Directory, "", "/volume/magic/tmp/barepod-escaped"));
    let failed = shim.start_failed(start(&host, 9, mounts, "exit 0"));
    assert_eq!((failed.stage(), failed.object.as_str()), (Stage::View, "/volume/magic/tmp/barepod-escaped"));
    assert!(!Path::new("/tmp/barepod-escaped").exists());
}

#[test]
fn a_source_inside_a_volume_never_leaves_the_volume() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let volume = host.scratch().join("volume");
    fs::create_dir_all(volume.join("good")).unwrap();
    fs::write(volume.join("good/file"), "good").unwrap();
    symlink("/etc", volume.join("evil")).unwrap();
    let inside = |source: &str| Mount { source_root: volume.to_str().unwrap().into(), ..bind(source, "/sub") };
    let mut good = private_root(&host);
    good.push(inside("good"));
    let mut evil = private_root(&host);
    evil.push(inside("evil"));

    assert_eq!(shim.run(start(&host, 1, good, "cat /sub/file; exit 5")).how, Some(How::Code(5)));
    let failed = shim.start_failed(start(&host, 2, evil, "exit 0"));

    assert_eq!(host.lines(1), ["good"]);
    assert_eq!((failed.stage(), failed.errno, failed.object.as_str()), (Stage::View, 2, "/sub"));
}

#[test]
fn masked_paths_are_empty_and_cannot_be_written() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = host.scratch().join("data");
    fs::create_dir_all(data.join("secret")).unwrap();
    fs::write(data.join("secret/key"), "hidden").unwrap();
    fs::write(data.join("password"), "hidden").unwrap();
    let mut mounts = private_root(&host);
    mounts.push(bind(&data, "/data"));
    mounts.push(mount(Kind::Mask, "", "/data/secret"));
    mounts.push(mount(Kind::Mask, "", "/data/password"));
    mounts.push(mount(Kind::Mask, "", "/data/missing"));
    let script = "ls /data/secret | wc -l; cat /data/password | wc -c; touch /data/secret/x 2>/dev/null || echo closed";

    shim.run(start(&host, 1, mounts, script));

    assert_eq!(host.lines(1), ["0", "0", "closed"]);
    assert_eq!(fs::read_to_string(data.join("password")).unwrap(), "hidden");
}

#[test]
fn a_read_only_root_leaves_volumes_writable() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = host.scratch().join("data");
    fs::create_dir_all(&data).unwrap();
    let mut mounts = private_root(&host);
    mounts.push(bind(&data, "/data"));
    mounts.push(mount(Kind::Directory, "", "/frozen"));
    mounts.push(bind("/usr", "/frozen"));
    mounts.push(mount(Kind::RemountReadOnly, "", "/frozen"));
    let mut start = start(
        &host,
        1,
        mounts,
        "touch /x 2>/dev/null || echo ro; touch /frozen/x 2>/dev/null || echo frozen; touch /data/x && echo rw",
    );
    start.view.as_mut().unwrap().read_only = true;

    shim.run(start);

    assert_eq!(host.lines(1), ["ro", "frozen", "rw"]);
}

#[test]
fn a_tree_under_an_overlay_is_a_root_whose_lower_stays_as_it_is() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let place = |name: &str| host.scratch().join(name);
    // upper and work must lie on one file system that can hold an upper
    let disk = place("disk");
    fs::create_dir_all(&disk).unwrap();
    let target = barepod_sys::path::refer(&disk).unwrap();
    barepod_sys::mount::file_system("tmpfs", "t", std::os::fd::AsFd::as_fd(&target), Default::default(), "").unwrap();
    for name in ["disk/upper", "disk/work", "tree/etc", "root"] {
        fs::create_dir_all(place(name)).unwrap();
    }
    fs::write(place("tree/etc/name"), "lower").unwrap();
    let data = format!(
        "lowerdir={},upperdir={},workdir={}",
        place("tree").display(),
        place("disk/upper").display(),
        place("disk/work").display()
    );
    let mut mounts = vec![Mount { data, ..mount(Kind::Overlay, "", "/") }];
    mounts.extend(private_root(&host).into_iter().skip(1).filter(|mount| mount.target != "/etc"));

    let exit = shim.run(start(&host, 1, mounts, "cat /etc/name; echo upper > /etc/name; exit 3"));

    assert_eq!((exit.how, host.lines(1)), (Some(How::Code(3)), vec!["lower".to_owned()]));
    assert_eq!(fs::read_to_string(place("tree/etc/name")).unwrap(), "lower");
    assert_eq!(fs::read_to_string(place("disk/upper/etc/name")).unwrap(), "upper\n");
}

#[test]
fn only_optional_sources_may_be_missing() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut optional = private_root(&host);
    optional.push(Mount { optional: true, ..bind("/no/such/source", "/data") });
    let mut needed = private_root(&host);
    needed.push(bind("/no/such/source", "/data"));

    assert_eq!(shim.run(start(&host, 1, optional, "exit 1")).how, Some(How::Code(1)));
    let failed = shim.start_failed(start(&host, 2, needed, "exit 1"));

    assert_eq!((failed.stage(), failed.errno, failed.object.as_str()), (Stage::View, 2, "/data"));
}

#[test]
fn later_mounts_of_the_host_arrive_only_where_it_was_asked_for() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let shared = host.scratch().join("shared");
    fs::create_dir_all(&shared).unwrap();
    let mount_tmpfs = |path: &Path| {
        let target = barepod_sys::path::refer(path).unwrap();
        barepod_sys::mount::file_system("tmpfs", "t", std::os::fd::AsFd::as_fd(&target), Default::default(), "")
            .unwrap();
    };
    mount_tmpfs(&shared);
    let made = std::process::Command::new("mount").arg("--make-shared").arg(&shared).status().unwrap();
    assert!(made.success());
    fs::create_dir(shared.join("later")).unwrap();
    let mut mounts = private_root(&host);
    mounts.push(Mount { slave: true, recursive: true, ..bind(&shared, "/slave") });
    mounts.push(Mount { recursive: true, ..bind(&shared, "/private") });
    let go = host.scratch().join("go");
    fs::create_dir(&go).unwrap();
    mounts.push(bind(&go, "/go"));
    let script = "while [ ! -e /go/go ]; do sleep 0.01; done; ls /slave/later /private/later; mount -t tmpfs t /slave 2>/dev/null; touch /slave/inner";
    let mut start = start(&host, 1, mounts, script);
    start.capabilities = vec![21];
    shim.start(start);

    mount_tmpfs(&shared.join("later"));
    fs::write(shared.join("later/new"), "").unwrap();
    fs::write(go.join("go"), "").unwrap();
    shim.exited();
    shim.emptied();

    assert_eq!(host.lines(1), ["/private/later:", "", "/slave/later:", "new"]);
    assert!(!shared.join("inner").exists(), "what is mounted inside stays inside");
}

#[test]
fn what_is_mounted_in_a_shared_directory_is_the_hosts_as_well_and_stays() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let (shared, apart) = (host.scratch().join("shared"), host.scratch().join("apart"));
    for (directory, how) in [(&shared, "--make-shared"), (&apart, "--make-private")] {
        fs::create_dir_all(directory).unwrap();
        let command = |args: &[&std::ffi::OsStr]| std::process::Command::new("mount").args(args).status().unwrap();
        assert!(command(&["-t".as_ref(), "tmpfs".as_ref(), "t".as_ref(), directory.as_ref()]).success());
        assert!(command(&[how.as_ref(), directory.as_ref()]).success());
        fs::create_dir(directory.join("below")).unwrap();
    }
    let mut mounts = private_root(&host);
    mounts.push(Mount { shared: true, recursive: true, no_suid: true, ..bind(&shared, "/shared") });
    mounts.push(Mount { recursive: true, ..bind(&apart, "/apart") });
    let script = "for at in /shared /apart; do mount -t tmpfs t $at/below && touch $at/below/inner; done; grep -c ' /shared .*nosuid' /proc/self/mountinfo";
    let mut start = start(&host, 1, mounts, script);
    start.capabilities = vec![21];
    shim.start(start);
    shim.exited();
    shim.emptied();

    assert_eq!(host.lines(1), ["1"], "it is restricted all the same");
    assert!(shared.join("below/inner").exists(), "it outlives who has mounted it");
    assert!(!apart.join("below/inner").exists());
}

#[test]
fn without_a_view_namespaces_are_private_all_the_same() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let place = host.scratch().join("place");
    fs::create_dir_all(&place).unwrap();
    let mut start =
        host.start(1, &format!("mount -t tmpfs t {p} && touch {p}/x && echo mounted; sleep 0.1", p = place.display()));
    start.namespaces = Some(Namespaces { mount: true, ..Namespaces::default() });
    start.capabilities = vec![21];

    shim.run(start);

    assert_eq!(host.lines(1), ["mounted"]);
    assert!(fs::read_dir(&place).unwrap().next().is_none());
}
