//! A view that stands ready for the next attempt: the process cannot tell it from one made at its start.

#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod support;

use std::fs;
use std::path::Path;

use barepod_shim::wire::exit::How;
use barepod_shim::wire::mount::Kind;
use barepod_shim::wire::{GetReady, Mount, Namespaces, Start, View, request};
use support::{Host, Shim, until};

const ALL: Namespaces = Namespaces { mount: true, uts: true, ipc: true, pid: true, cgroup: true };

fn mount(kind: Kind, source: &Path, target: &str) -> Mount {
    let source = source.to_str().unwrap().to_owned();
    Mount { kind: kind.into(), source, target: target.into(), make_target: kind == Kind::Bind, ..Mount::default() }
}

/// The host's programs, a directory of this test's, and `/proc`, `/sys` and a mask below them.
fn view(host: &Host, data: &Path) -> View {
    let root = host.scratch().join("root");
    fs::create_dir_all(&root).unwrap();
    let empty = Path::new("");
    let mut mounts = vec![Mount { data: "mode=0755".into(), ..mount(Kind::Tmpfs, empty, "/") }];
    for directory in ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"] {
        match fs::read_link(directory) {
            Ok(link) => mounts.push(mount(Kind::Symlink, &link, directory)),
            Err(_) if Path::new(directory).exists() => {
                mounts.push(Mount {
                    read_only: true,
                    recursive: true,
                    ..mount(Kind::Bind, Path::new(directory), directory)
                });
            }
            Err(_) => {}
        }
    }
    mounts.push(mount(Kind::Directory, empty, "/proc"));
    mounts.push(mount(Kind::Proc, empty, "/proc"));
    mounts.push(mount(Kind::Mask, empty, "/proc/keys"));
    mounts.push(Mount { optional: true, ..mount(Kind::RemountReadOnly, empty, "/proc/sys") });
    mounts.push(mount(Kind::Directory, empty, "/sys"));
    mounts.push(mount(Kind::Sysfs, empty, "/sys"));
    mounts.push(Mount { read_only: true, ..mount(Kind::Cgroup2, empty, "/sys/fs/cgroup") });
    mounts.push(mount(Kind::Bind, data, "/data"));
    mounts.push(mount(Kind::Bind, Path::new("/dev/null"), "/dev/null"));
    View { root: root.to_str().unwrap().into(), mounts, read_only: true }
}

/// Tells all that can be told of the surroundings, but for numbers that differ from mount to mount.
const LOOK: &str = "hostname; echo pid $$; cat /data/file; cut -d' ' -f4- /proc/self/mountinfo | sed 's/ master:[0-9]*//'; \
                    cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs | head -1; cat /proc/keys | wc -c; \
                    touch /proc/sys/x 2>&1; touch /x 2>&1; ls -l /proc/self/fd | wc -l; umask";

fn start(host: &Host, attempt: u32, view: &View) -> Start {
    let mut start = host.start(attempt, LOOK);
    start.namespaces = Some(ALL);
    start.hostname = "inside".into();
    start.view = Some(view.clone());
    start
}

fn get_ready(shim: &mut Shim, name: &str, view: &View) {
    let (namespaces, hostname) = (Some(ALL), "inside".to_owned());
    let asked = GetReady { name: name.into(), namespaces, hostname, view: Some(view.clone()), ..GetReady::default() };
    shim.send(request::Request::GetReady(asked));
}

/// The child that makes it has ended, so what it made is kept.
fn until_made(host: &Host) {
    let children = format!("/proc/{0}/task/{0}/children", host.shim_pid());
    until("the view is made", || fs::read_to_string(&children).ok().filter(|text| text.is_empty()));
}

fn data(host: &Host, text: &str) -> std::path::PathBuf {
    let data = host.scratch().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("file"), text).unwrap();
    data
}

#[test]
fn a_process_cannot_tell_whether_its_view_stood_ready() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);

    shim.run(start(&host, 1, &view));
    get_ready(&mut shim, "two", &view);
    shim.stats();
    until_made(&host);
    let exit = shim.run(Start { ready: "two".into(), ..start(&host, 2, &view) });

    assert_eq!(exit.how, Some(How::Code(0)));
    // the order of the mounts is another
    let sorted = |attempt| {
        let mut lines = host.lines(attempt);
        lines.sort();
        lines
    };
    assert_eq!(sorted(2), sorted(1));
    assert!(host.lines(1).contains(&"pid 1".to_owned()) && host.lines(1).contains(&"inside".to_owned()));
}

/// A view that stands ready under the name `one`; what it shows has changed since.
fn made_before_a_change(host: &Host, shim: &mut Shim) -> View {
    let data = data(host, "before\n");
    let view = view(host, &data);
    get_ready(shim, "one", &view);
    shim.stats();
    until_made(host);
    fs::rename(&data, host.scratch().join("moved")).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "after\n").unwrap();
    view
}

#[test]
fn it_is_really_used_and_shows_what_there_was_when_it_was_made() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let view = made_before_a_change(&host, &mut shim);

    shim.run(Start { ready: "one".into(), ..start(&host, 1, &view) });
    shim.run(Start { ready: "one".into(), ..start(&host, 2, &view) });

    assert!(host.lines(1).contains(&"before".to_owned()), "{:?}", host.lines(1));
    assert!(host.lines(2).contains(&"after".to_owned()), "it is used once: {:?}", host.lines(2));
}

#[test]
fn a_start_that_means_another_one_makes_its_own() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let view = made_before_a_change(&host, &mut shim);

    shim.run(Start { ready: "other".into(), ..start(&host, 1, &view) });

    assert!(host.lines(1).contains(&"after".to_owned()), "{:?}", host.lines(1));
}

#[test]
fn a_view_that_cannot_be_made_harms_nobody() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let good = view(&host, &data);
    let mut bad = good.clone();
    bad.mounts.push(mount(Kind::Bind, Path::new("/no/such/source"), "/missing"));
    get_ready(&mut shim, "one", &bad);
    shim.stats();
    until_made(&host);

    let exit = shim.run(Start { ready: "one".into(), ..start(&host, 1, &good) });

    assert_eq!(exit.how, Some(How::Code(0)));
}

#[test]
fn what_is_being_made_goes_with_its_shim() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    for round in 0..5 {
        get_ready(&mut shim, &round.to_string(), &view);
        shim.stats();
        let shim_pid = host.shim_pid();
        let children = fs::read_to_string(format!("/proc/{shim_pid}/task/{shim_pid}/children")).unwrap();
        host.kill_shim();
        for child in children.split_whitespace() {
            let stat = Path::new("/proc").join(child).join("stat");
            until("the child has ended", || {
                fs::read_to_string(&stat).map_or(true, |s| s.contains(") Z ")).then_some(())
            });
        }
        shim = host.shim();
    }
}
