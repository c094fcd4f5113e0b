//! What stands ready for the next attempt, a view or a whole process: the service cannot tell it from one made at its start.

#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod support;

use std::fs;
use std::path::Path;

use barepod_shim::record;
use barepod_shim::wire::exit::How;
use barepod_shim::wire::mount::Kind;
use barepod_shim::wire::start_failed::Stage;
use barepod_shim::wire::{
    Attempt, AttemptRecord, Dismiss, GetReady, Go, Mount, Namespaces, Start, View, event, request,
};
use barepod_sys::{pidfd, proc};
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
    let view = Some(view.clone());
    let asked = GetReady { name: name.into(), namespaces, hostname, view, ..GetReady::default() };
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

// ---- a process that stands by ----

fn populated(host: &Host, attempt: u32) -> bool {
    fs::read_to_string(host.leaf(attempt).join("cgroup.events")).unwrap().contains("populated 1")
}

/// Has a process stand by for this start; its pid.
fn stand_by(host: &Host, shim: &mut Shim, name: &str, start: Start) -> u32 {
    let leaf = host.leaf(start.attempt);
    shim.send(request::Request::GetReady(GetReady { name: name.into(), start: Some(start), ..GetReady::default() }));
    shim.stats();
    let text = until("a process stands by", || {
        fs::read_to_string(leaf.join("cgroup.procs")).ok().filter(|text| !text.is_empty())
    });
    text.trim().parse().unwrap()
}

fn go(shim: &mut Shim, attempt: u32, name: &str) {
    shim.send(request::Request::Go(Go { attempt, ready: name.into() }));
}

fn gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn signal(pid: u32, number: i32) {
    use std::os::fd::AsFd as _;
    pidfd::send_signal(pidfd::open(pid).unwrap().as_fd(), number).unwrap();
}

#[test]
fn a_service_cannot_tell_whether_its_process_stood_by() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    shim.run(start(&host, 1, &view));
    let waiting = stand_by(&host, &mut shim, "two", start(&host, 2, &view));

    go(&mut shim, 2, "two");

    match shim.event() {
        event::Event::Started(started) => assert_eq!((started.attempt, started.pid), (2, waiting)),
        other => panic!("Started expected, not {other:?}"),
    }
    assert_eq!(shim.exited().how, Some(How::Code(0)));
    shim.emptied();
    let sorted = |attempt| {
        let mut lines = host.lines(attempt);
        lines.sort();
        lines
    };
    assert_eq!(sorted(2), sorted(1));
}

#[test]
fn what_stands_by_is_nothing_to_the_attempt_that_runs() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    shim.start(host.start(1, "sleep 1000000"));
    let waiting = stand_by(&host, &mut shim, "two", start(&host, 2, &view));

    shim.kill(1);

    assert_eq!(shim.exited().how, Some(How::Signal(9)));
    assert_eq!(shim.emptied().attempt, 1);
    assert!(!gone(waiting) && populated(&host, 2));
    go(&mut shim, 2, "two");
    assert!(matches!(shim.event(), event::Event::Started(started) if started.pid == waiting));
}

#[test]
fn without_a_process_that_stands_by_there_is_nothing_to_let_go() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    go(&mut shim, 1, "one");
    assert_eq!(shim.refused().request, "Go");

    for (number, name) in [(1, "other"), (2, "one")] {
        let waiting = stand_by(&host, &mut shim, "one", start(&host, 1, &view));
        go(&mut shim, number, name);
        assert_eq!(shim.refused().request, "Go");
        assert!(gone(waiting) && !populated(&host, 1), "refused means that nothing is left");
    }
    let waiting = stand_by(&host, &mut shim, "one", start(&host, 1, &view));
    signal(waiting, 9);
    until("it has ended", || gone(waiting).then_some(()));
    go(&mut shim, 1, "one");
    assert_eq!(shim.refused().request, "Go");
    assert_eq!(shim.run(start(&host, 1, &view)).how, Some(How::Code(0)), "it can be started all the same");
}

#[test]
fn what_stands_by_goes_when_it_is_dismissed_replaced_or_its_shim_ends() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    stand_by(&host, &mut shim, "one", start(&host, 1, &view));

    shim.send(request::Request::Dismiss(Dismiss {}));
    assert!(matches!(shim.event(), event::Event::Dismissed(_)));
    assert!(!populated(&host, 1));

    let first = stand_by(&host, &mut shim, "one", start(&host, 1, &view));
    stand_by(&host, &mut shim, "two", start(&host, 2, &view));
    assert!(gone(first) && !populated(&host, 1));

    let waiting = stand_by(&host, &mut shim, "three", start(&host, 3, &view));
    host.kill_shim();
    until("it has ended", || gone(waiting).then_some(()));

    let mut shim = host.shim();
    stand_by(&host, &mut shim, "four", start(&host, 4, &view));
    shim.quit();
    assert!(host.shim_exit().success());
    assert!(!populated(&host, 4), "a group can be removed as soon as its shim has ended");
}

#[test]
fn a_shim_that_becomes_another_binary_takes_no_standby_along() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    stand_by(&host, &mut shim, "one", start(&host, 1, &view));

    shim.send(request::Request::Reexec(barepod_shim::wire::Reexec { path: support::binary() }));

    assert!(matches!(shim.event(), event::Event::Welcome(_)));
    assert!(!populated(&host, 1));
    go(&mut shim, 1, "one");
    assert_eq!(shim.refused().request, "Go");
}

#[test]
fn last_steps_that_fail_are_told_like_those_of_any_start() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    let missing = Start { argv: vec!["/no/such/program".into()], ..start(&host, 1, &view) };
    let nowhere = Start { cwd: "/no/such/directory".into(), ..start(&host, 2, &view) };
    for (start, stage, object) in
        [(missing, Stage::Exec, "/no/such/program"), (nowhere, Stage::Chdir, "/no/such/directory")]
    {
        let attempt = start.attempt;
        stand_by(&host, &mut shim, "ready", start);

        go(&mut shim, attempt, "ready");

        match shim.event() {
            event::Event::StartFailed(failed) => {
                assert_eq!((failed.attempt, failed.stage(), failed.errno), (attempt, stage, 2));
                assert_eq!(failed.object, object);
            }
            other => panic!("StartFailed expected, not {other:?}"),
        }
    }
}

/// A shim that dies after it has written down that it lets a process go, and before it does.
#[test]
fn the_end_of_a_process_that_was_never_let_go_is_unknown() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let data = data(&host, "data\n");
    let view = view(&host, &data);
    let wanted = start(&host, 1, &view);
    let pid = stand_by(&host, &mut shim, "one", wanted.clone());
    let start_ticks = proc::stat(Path::new("/proc"), pid).unwrap().start_ticks;
    let files = format!("/proc/{pid}/fd");
    // stdin, stdout, stderr and its two pipes: nothing is left to be done but the last steps
    until("it waits", || (fs::read_dir(&files).unwrap().count() == 5).then_some(()));
    signal(pid, 19);
    host.kill_shim();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let attempt = Attempt { attempt: 1, pid, start_ticks, boot_id, ..Attempt::default() };
    let record =
        AttemptRecord { attempt: Some(attempt), cgroup: wanted.cgroup, log: wanted.log, ..AttemptRecord::default() };
    record::write_attempt(&host.dir, &record).unwrap();

    let mut shim = host.shim();
    assert_eq!(shim.welcome.current.as_ref().map(|current| current.pid), Some(pid));
    signal(pid, 18);

    assert_eq!(shim.exited().how, Some(How::Unknown(true)));
    shim.emptied();
}
