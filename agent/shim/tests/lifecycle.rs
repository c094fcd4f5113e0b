//! A process under a shim: how it starts, what it is given, how its end is told.

mod support;

use barepod_shim::layout;
use barepod_shim::wire::exit::How;
use barepod_shim::wire::start_failed::Stage;
use barepod_shim::wire::{Rlimit, Signal, request};
use support::until;

const NO_ENTRY: i32 = 2;
const NO_ACCESS: i32 = 13;

#[test]
fn an_exit_code_a_signal_and_the_output_are_told() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();

    let code = shim.run(host.start(1, "echo out; echo err >&2; exit 42"));
    let signal = shim.run(host.start(2, "kill -KILL $$"));

    assert_eq!(code.how, Some(How::Code(42)));
    assert_eq!(signal.how, Some(How::Signal(9)));
    let mut log = host.log(1);
    log.sort();
    assert_eq!(log, [("stderr", "F", "err"), ("stdout", "F", "out")].map(|(a, b, c)| (a.into(), b.into(), c.into())));
}

#[test]
fn a_later_daemon_is_told_what_happened_in_its_absence() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let go = host.scratch().join("go");
    shim.start(host.start(1, &format!("while [ ! -e {} ]; do sleep 0.01; done; exit 7", go.display())));
    drop(shim);

    let running = host.connect();
    assert!(running.welcome.current.as_ref().is_some_and(|attempt| attempt.exit.is_none() && attempt.pid > 0));
    assert_eq!((running.welcome.pod_uid.as_str(), running.welcome.container.as_str()), ("uid-1", "main"));
    drop(running);
    std::fs::write(&go, "").unwrap();
    let attempt = until("the exit is told", || host.connect().welcome.current.filter(|attempt| attempt.empty));

    assert_eq!(attempt.exit.unwrap().how, Some(How::Code(7)));
}

#[test]
fn what_the_main_process_leaves_behind_is_killed_before_emptied() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let leaf = host.leaf(1);

    shim.start(host.start(1, "sleep 1000 & (setsid sleep 1000 &) ; exit 3"));
    let exit = shim.exited();
    shim.emptied();

    assert_eq!(exit.how, Some(How::Code(3)));
    assert_eq!(std::fs::read_to_string(leaf.join("cgroup.procs")).unwrap(), "");
}

#[test]
fn signals_reach_the_main_process_of_their_attempt_only() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(1, "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 1000 & wait; done"));
    until("the trap is set", || host.lines(1).contains(&"ready".to_owned()).then_some(()));

    shim.send(request::Request::Signal(Signal { attempt: 9, signal: 9 }));
    shim.send(request::Request::Signal(Signal { attempt: 1, signal: 15 }));

    assert_eq!(shim.exited().how, Some(How::Code(5)));
    shim.emptied();
    assert_eq!(host.lines(1), ["ready", "got it"]);
}

#[test]
fn kill_ends_everything_of_an_attempt() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(1, "trap '' TERM INT HUP; sleep 1000 & sleep 1000"));

    shim.kill(1);

    assert_eq!(shim.exited().how, Some(How::Signal(9)));
    assert!(!shim.emptied().oom);
}

#[test]
fn sigterm_ends_a_shim_but_not_before_its_container() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(1, "sleep 1000"));

    terminate(host.shim_pid());

    shim.stats();
    shim.kill(1);
    assert_eq!(shim.exited().how, Some(How::Signal(9)), "it is there to see the end");
    shim.emptied();
    assert!(host.shim_exit().success());
}

#[test]
fn sigterm_ends_a_shim_that_has_nothing_left() {
    let mut host = host_or_skip!();
    host.shim().run(host.start(1, "exit 3"));

    terminate(host.shim_pid());

    assert!(host.shim_exit().success());
    host.spawn();
    let seen = host.connect().welcome.current.unwrap();
    assert_eq!(seen.exit.unwrap().how, Some(How::Code(3)), "the next one knows how it ended");
}

fn terminate(pid: u32) {
    let sent = std::process::Command::new("kill").arg(pid.to_string()).status().expect("kill can be run");
    assert!(sent.success());
}

#[test]
fn each_failure_to_start_names_its_stage_and_object() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let plain = host.scratch().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let plain = plain.to_str().unwrap().to_owned();
    let mut cases = Vec::new();
    let mut start = host.start(1, "");
    start.argv = vec!["no-such-program".into()];
    cases.push((start, Stage::Exec, NO_ENTRY, "no-such-program".to_owned()));
    let mut start = host.start(2, "");
    start.argv = vec![plain.clone()];
    cases.push((start, Stage::Exec, NO_ACCESS, plain.clone()));
    let mut start = host.start(3, "");
    start.cwd = "/no/such/directory".into();
    cases.push((start, Stage::Chdir, NO_ENTRY, "/no/such/directory".into()));
    let mut start = host.start(4, "");
    start.cgroup.as_mut().unwrap().unified = "/no/such/group".into();
    cases.push((start, Stage::Cgroup, NO_ENTRY, "/no/such/group".into()));
    let mut start = host.start(5, "");
    start.user = None;
    cases.push((start, Stage::User, 22, "no user is given".into()));
    let mut start = host.start(6, "");
    start.log.as_mut().unwrap().directory = format!("{plain}/logs");
    cases.push((start, Stage::Prepare, 20, format!("{plain}/logs")));

    for (start, stage, errno, object) in cases {
        let attempt = start.attempt;
        let failed = shim.start_failed(start);
        assert_eq!((failed.stage(), failed.errno, failed.object), (stage, errno, object));
        let seen = host.connect().welcome.current.unwrap();
        assert_eq!((seen.attempt, seen.pid, seen.empty, seen.failure.is_some()), (attempt, 0, true, true));
        shim = host.connect();
    }
    assert_eq!(shim.run(host.start(7, "exit 0")).how, Some(How::Code(0)));
}

#[test]
fn the_process_has_the_user_groups_capabilities_and_limits_it_was_given() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start =
        host.start(1, "cat /proc/self/status; ulimit -n; umask; pwd; echo \"$HELLO\"; cat /proc/self/oom_score_adj");
    start.user = Some(barepod_shim::wire::User { uid: 1234, gid: 2345, groups: vec![7, 3456] });
    start.capabilities = vec![10];
    start.no_new_privileges = true;
    start.rlimits = vec![Rlimit { resource: 7, soft: 123, hard: 456 }];
    start.umask = 0o077;
    start.cwd = "/usr".into();
    start.env.push("HELLO=world".into());
    start.oom_score_adj = 321;

    shim.run(start);

    let text = host.lines(1).join("\n");
    for expected in [
        "Uid:\t1234\t1234\t1234\t1234",
        "Gid:\t2345\t2345\t2345\t2345",
        "Groups:\t7 3456 ",
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000400",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "SigBlk:\t0000000000000000",
        "SigIgn:\t0000000000000000",
        "\n123\n0077\n/usr\nworld\n321",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
}

#[test]
fn root_keeps_only_the_capabilities_it_was_given() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = host.start(1, "grep Cap /proc/self/status");
    start.capabilities = vec![0, 10];

    shim.run(start);

    let text = host.lines(1).join("\n");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert!(text.contains(&format!("{set}:\t0000000000000401")), "{text}");
    }
}

#[test]
fn nothing_of_the_shim_is_open_in_the_process() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();

    shim.run(host.start(1, "ls /proc/$$/fd"));

    let lines = host.lines(1);
    assert_eq!(lines[..3], ["0", "1", "2"]);
    // the shell's own copies are above 9; nothing was inherited
    assert!(lines[3..].iter().all(|fd| fd == "10" || fd == "255"), "{lines:?}");
}

#[test]
fn dev_stdout_can_be_opened_again_by_the_service_user() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = host.start(1, "echo again > /dev/stdout; echo error > /dev/stderr");
    start.user = Some(barepod_shim::wire::User { uid: 1234, gid: 1234, groups: vec![] });

    assert_eq!(shim.run(start).how, Some(How::Code(0)));

    let mut lines = host.lines(1);
    lines.sort();
    assert_eq!(lines, ["again", "error"]);
}

#[test]
fn limits_that_cannot_be_had_are_warnings_and_the_process_runs() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = host.start(1, "exit 0");
    start.rlimits = vec![Rlimit { resource: 99, soft: 1, hard: 1 }];

    assert_eq!(shim.run(start).how, Some(How::Code(0)));

    assert!(shim.warnings.iter().any(|warning| warning.what == "rlimit 99" && warning.attempt == 1));
}

#[test]
fn a_number_is_never_used_twice_and_never_beside_a_living_one() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    shim.start(host.start(5, "sleep 1000"));

    shim.send(request::Request::Start(host.start(6, "")));
    assert!(shim.refused().message.contains("attempt 5 is left"));
    shim.quit();
    assert_eq!(shim.refused().request, "Quit");
    shim.kill(5);
    shim.exited();
    shim.emptied();
    for number in [0, 4, 5] {
        shim.send(request::Request::Start(host.start(number, "")));
        assert_eq!(shim.refused().request, "Start");
    }

    shim.quit();
    assert!(host.shim_exit().success());
}

#[test]
fn two_shims_never_share_a_directory() {
    let mut host = host_or_skip!();
    let _first = host.shim();

    let second = host.command().output().unwrap();

    assert_eq!(second.status.code(), Some(layout::EXIT_LOCKED.into()));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another shim holds the lock"));
    host.connect();
}

#[test]
fn hangup_and_interrupt_do_not_end_a_shim() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let pidfd = barepod_sys::pidfd::open(host.shim_pid()).unwrap();

    for signal in [1, 2] {
        barepod_sys::pidfd::send_signal(std::os::fd::AsFd::as_fd(&pidfd), signal).unwrap();
    }

    assert_eq!(shim.run(host.start(1, "exit 4")).how, Some(How::Code(4)));
}

#[test]
fn a_kill_for_memory_is_told_on_v1() {
    let mut host = host_or_skip!();
    let memory = std::path::Path::new("/sys/fs/cgroup/memory");
    if !memory.join("memory.limit_in_bytes").exists() {
        barepod_tests::skip!("no v1 memory hierarchy");
    }
    let leaf = memory.join(format!("barepod-test-{}", std::process::id()));
    std::fs::create_dir(&leaf).unwrap();
    std::fs::write(leaf.join("memory.limit_in_bytes"), "8388608").unwrap();
    let mut shim = host.shim();
    let mut start = host.start(1, "");
    start.argv = ["perl", "-e", "my @hoard; push @hoard, 'x' x 1_000_000 while 1"].map(String::from).to_vec();
    let cgroup = start.cgroup.as_mut().unwrap();
    cgroup.legacy = vec![leaf.to_str().unwrap().into()];
    cgroup.legacy_memory = leaf.to_str().unwrap().into();

    let mut second = host.start(2, "kill -KILL $$");
    shim.start(start);
    let exit = shim.exited();
    let emptied = shim.emptied();
    until("the group can go", || std::fs::remove_dir(&leaf).ok());
    second.cgroup.as_mut().unwrap().legacy_memory = leaf.to_str().unwrap().into();
    let other = shim.run(second);

    assert_eq!((exit.how, exit.oom, emptied.oom), (Some(How::Signal(9)), true, true));
    assert_eq!((other.how, other.oom), (Some(How::Signal(9)), false));
}

#[test]
fn a_directory_may_have_a_path_longer_than_a_socket_address() {
    let mut host = host_or_skip!();
    let long = host.scratch().join("d".repeat(100)).join("shim");
    std::fs::create_dir_all(&long).unwrap();
    std::fs::rename(host.dir.join(layout::IDENTITY), long.join(layout::IDENTITY)).unwrap();
    host.dir = long;

    assert_eq!(host.shim().run(host.start(1, "exit 3")).how, Some(How::Code(3)));
}

#[test]
fn a_shim_is_told_apart_by_its_version_and_says_how_it_is_called() {
    let shim = &support::binary();

    let version = std::process::Command::new(shim).arg("--version").output().unwrap();
    let wrong = std::process::Command::new(shim).arg("dance").output().unwrap();

    assert_eq!(version.stdout, format!("barepod-shim {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
    assert_eq!(wrong.status.code(), Some(layout::EXIT_USAGE.into()));
}
