//! The socket to which a service says how it is: who is heard, and what the deaths of shims cost.

#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_shim::layout;
use barepod_shim::wire::notify::Access;
use barepod_shim::wire::{Heard, Notify, Reexec, Start, event, request};
use support::{Host, PATIENCE, Shim, until};

/// Longer than the whole budget of words takes.
const LONG: Duration = Duration::from_secs(2);

fn socket(host: &Host) -> PathBuf {
    host.dir.join(layout::NOTIFY).join(layout::NOTIFY_SOCKET)
}

/// A service that waits until it is told to go on, by files in the scratch directory.
fn start(host: &Host, access: Access, script: &str) -> Start {
    let mut start = host.start(0, script);
    start.env.push(format!("NOTIFY_SOCKET={}", socket(host).display()));
    start.notify = Some(Notify { access: access.into() });
    start
}

fn heard(shim: &mut Shim) -> Heard {
    match shim.event() {
        event::Event::Heard(heard) => heard,
        other => panic!("Heard expected, not {other:?}"),
    }
}

/// Until it is so.
fn heard_as(shim: &mut Shim, wanted: impl Fn(&Heard) -> bool) -> Heard {
    loop {
        let heard = heard(shim);
        if wanted(&heard) {
            return heard;
        }
    }
}

/// Another process says it, in this group or where this test is, and stays until it has been heard: who has gone cannot be
/// found in a group any more.
fn say_from(host: &Host, group: Option<&Path>, text: &str) {
    tell_from(host, group, ["--say", &text.replace('\n', ";")]);
}

fn tell_from(host: &Host, group: Option<&Path>, words: [&str; 2]) {
    let teller = barepod_tests::programs::musl("teller").unwrap();
    let enter = group.map_or(String::new(), |group| format!("echo $$ > {}/cgroup.procs; ", group.display()));
    let script = format!("{enter}exec \"$0\" \"$@\"");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).arg(teller).args(words).env("NOTIFY_SOCKET", socket(host));
    assert!(command.status().unwrap().success(), "{words:?} was not said");
}

#[test]
fn who_may_speak_is_decided_by_the_main_process_or_by_the_group() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let order = start(&host, Access::All, "sleep 1000");
    shim.start(order);
    say_from(&host, Some(&host.leaf(0)), "READY=1\nSTATUS=from inside");
    let said = heard(&mut shim);
    assert!(said.ready.is_some() && said.status == "from inside" && said.refused == 0);
    say_from(&host, None, "STATUS=from outside");
    let said = heard_as(&mut shim, |said| said.refused > 0);
    assert_eq!(said.status, "from inside");
    assert!(said.refusal.contains("not of this container"), "{}", said.refusal);
    shim.kill(0);
}

#[test]
fn only_the_main_process_is_heard_where_nothing_else_is_said() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let order = start(&host, Access::Main, "sleep 1000");
    shim.start(order);
    say_from(&host, Some(&host.leaf(0)), "READY=1");
    let said = heard(&mut shim);
    assert!(said.ready.is_none() && said.refusal.contains("is not the main process"), "{}", said.refusal);
    shim.kill(0);
}

#[test]
fn what_was_said_is_told_to_the_daemon_that_comes_later_and_to_the_shim_that_takes_over() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let order = start(&host, Access::All, "sleep 1000");
    let pid = shim.start(order).pid;
    drop(shim);
    say_from(&host, Some(&host.leaf(0)), &format!("READY=1\nSTATUS=once\nWATCHDOG_USEC=7000000\nMAINPID={pid}"));
    let shim = host.connect();
    let said = shim.welcome.current.clone().unwrap().heard.unwrap();
    assert!(said.ready.is_some() && said.status == "once" && said.deaf_ns == 0);
    drop(shim);
    host.kill_shim();
    let shim = host.shim();
    let again = shim.welcome.current.clone().unwrap().heard.unwrap();
    assert_eq!(
        (&again.ready, &again.status, again.watchdog_timeout_ns),
        (&said.ready, &said.status, Some(7_000_000_000))
    );
    assert!(again.deaf_ns > 0 && again.serial > said.serial);
    say_from(&host, Some(&host.leaf(0)), "STATUS=to another shim");
    let mut shim = shim;
    assert_eq!(heard(&mut shim).status, "to another shim");
    shim.kill(0);
}

#[test]
fn a_shim_that_becomes_another_binary_goes_on_listening_and_loses_no_word() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let order = start(&host, Access::All, "sleep 1000");
    shim.start(order);
    shim.send(request::Request::Reexec(Reexec { path: support::binary() }));
    let event::Event::Welcome(welcome) = shim.event() else { panic!("Welcome expected") };
    assert_eq!(welcome.current.unwrap().heard.unwrap().deaf_ns, 0, "nobody was deaf");
    say_from(&host, Some(&host.leaf(0)), "READY=1");
    assert!(heard(&mut shim).ready.is_some());
    shim.kill(0);
}

#[test]
fn another_main_process_gets_the_signals_also_from_the_next_shim() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let got = host.scratch().join("got");
    let script = format!("(trap 'echo second > {0}; exit' TERM; while :; do sleep 0.1; done) & wait", got.display());
    let order = start(&host, Access::All, &script);
    let main = shim.start(order).pid;
    let second = until("the second process", || {
        let pids = std::fs::read_to_string(host.leaf(0).join("cgroup.procs")).ok()?;
        pids.lines().filter_map(|line| line.parse::<u32>().ok()).find(|pid| {
            let parent = barepod_sys::proc::stat(Path::new("/proc"), *pid).map(|stat| stat.parent);
            parent.is_ok_and(|parent| parent == main)
        })
    });
    say_from(&host, Some(&host.leaf(0)), &format!("MAINPID={second}"));
    assert_eq!(heard(&mut shim).main_pid, second);
    drop(shim);
    host.kill_shim();
    let mut shim = host.shim();
    assert_eq!(shim.welcome.current.clone().unwrap().heard.unwrap().main_pid, second);
    shim.send(request::Request::Signal(barepod_shim::wire::Signal { attempt: 0, signal: 15 }));
    until("the second process to get the signal", || got.exists().then_some(()));
    shim.kill(0);
}

#[test]
fn who_says_too_much_waits_and_is_heard_in_the_end() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let order = start(&host, Access::All, "sleep 1000");
    shim.start(order);
    let began = std::time::Instant::now();
    tell_from(&host, Some(&host.leaf(0)), ["--flood", "200"]);
    let said = heard_as(&mut shim, |said| said.status == "199");
    assert_eq!(said.refused, 0);
    assert!(began.elapsed() > LONG / 2 && began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    shim.kill(0);
}
