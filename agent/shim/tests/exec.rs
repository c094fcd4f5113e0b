//! One more process in a running container.

#![expect(clippy::unwrap_used, reason = "in a test, an error is a failure")]

mod support;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use barepod_shim::wire::exec_result::Result as Outcome;
use barepod_shim::wire::exit::How;
use barepod_shim::wire::start_failed::Stage;
use barepod_shim::wire::{Exec, ExecResult, Namespaces, Start, Started, User, read_frame, write_frame};
use support::until;

struct Running {
    helper: Child,
    channel: UnixStream,
}

/// The channel becomes descriptor 3 by way of a shell, which is how any parent would do it without unsafe code.
fn exec(exec: &Exec, stdin: Stdio) -> Running {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs: OwnedFd = theirs.into();
    barepod_sys::descriptor::on_exec(&theirs, barepod_sys::descriptor::OnExec::Keep).unwrap();
    let script = format!("exec 3<&{fd}; exec \"$0\" exec", fd = theirs.as_raw_fd());
    let helper = Command::new("bash")
        .args(["-c", &script, &support::binary()])
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut channel = ours;
    channel.set_read_timeout(Some(support::PATIENCE)).unwrap();
    write_frame(&mut channel, exec).unwrap();
    Running { helper, channel }
}

impl Running {
    fn outcome(&mut self) -> Outcome {
        match read_frame::<ExecResult>(&mut self.channel) {
            Ok(Some(result)) => result.result.unwrap(),
            other => {
                let mut said = String::new();
                self.helper.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("{other:?}; {:?}; {said}", self.helper.wait());
            }
        }
    }

    fn code(&mut self) -> How {
        match self.outcome() {
            Outcome::Exit(exit) => exit.how.unwrap(),
            Outcome::Failure(failure) => panic!("{failure:?}"),
        }
    }

    fn output(mut self) -> (How, String) {
        let code = self.code();
        let output = self.helper.wait_with_output().unwrap();
        (code, String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
    }
}

fn request(started: &Started, start: &Start, script: &str) -> Exec {
    Exec {
        target_pid: started.pid,
        target_start_ticks: started.start_ticks,
        argv: ["sh", "-c", script].map(String::from).to_vec(),
        env: vec!["PATH=/usr/bin:/bin".into()],
        user: start.user.clone(),
        cgroup: start.cgroup.clone(),
        ..Exec::default()
    }
}

#[test]
fn it_runs_in_the_containers_namespaces_cgroup_and_user() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let mut start = host.start(
        1,
        "mount -t tmpfs t /mnt 2>/dev/null; echo inside > /mnt/mark; mount -t proc p /proc; echo ready; sleep 1000",
    );
    start.namespaces = Some(Namespaces { mount: true, uts: true, ipc: true, pid: true, cgroup: true });
    start.hostname = "inside".into();
    start.capabilities = vec![21];
    let started = shim.start(start.clone());
    until("it is ready", || host.lines(1).first().cloned());
    let leaf = host.leaf(1);

    let mut ask = request(
        &started,
        &start,
        "cat /mnt/mark; hostname; cat /proc/1/comm; id -u; id -G; pwd; echo error >&2; exit 9",
    );
    ask.user = Some(User { uid: 1234, gid: 2345, groups: vec![7] });
    ask.cwd = "/usr".into();
    let (code, output) = exec(&ask, Stdio::null()).output();
    let mut sleeper = exec(&request(&started, &start, "exec sleep 1001"), Stdio::null());
    let procs = until("it is in the leaf", || {
        fs::read_to_string(leaf.join("cgroup.procs")).ok().filter(|text| text.lines().count() >= 3)
    });

    assert_eq!(code, How::Code(9));
    assert_eq!(output, "inside\ninside\nsh\n1234\n2345 7\n/usr\nerror\n");
    assert!(!procs.is_empty());
    shim.kill(1);
    assert_eq!(sleeper.code(), How::Signal(9), "it dies with the container");
    sleeper.helper.wait().unwrap();
}

#[test]
fn input_reaches_it() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let start = host.start(1, "sleep 1000");
    let started = shim.start(start.clone());

    let mut running = exec(&request(&started, &start, "tr a-z A-Z"), Stdio::piped());
    running.helper.stdin.take().unwrap().write_all(b"hello").unwrap();

    assert_eq!(running.output(), (How::Code(0), "HELLO".to_owned()));
}

#[test]
fn it_has_a_controlling_terminal_if_asked_for() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let start = host.start(1, "sleep 1000");
    let started = shim.start(start.clone());
    let mut pair = barepod_sys::terminal::open().unwrap();
    let mut ask =
        request(&started, &start, "test -t 0 && echo typed > /dev/tty && read line && echo got $line > /dev/tty");
    ask.tty = true;

    let mut running = exec(&ask, Stdio::from(pair.terminal.try_clone().unwrap()));
    pair.controller.write_all(b"word\n").unwrap();
    let mut shown = String::new();
    while !shown.contains("got word") {
        let mut chunk = [0; 64];
        let count = pair.controller.read(&mut chunk).unwrap();
        shown.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }

    assert!(shown.contains("typed"), "{shown:?}");
    assert_eq!(running.code(), How::Code(0));
    running.helper.wait().unwrap();
}

#[test]
fn it_is_killed_when_nobody_waits_for_it_any_more() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let start = host.start(1, "sleep 1000");
    let started = shim.start(start.clone());
    let mark = host.scratch().join("pid");

    let mut running =
        exec(&request(&started, &start, &format!("echo $$ > {}; exec sleep 1001", mark.display())), Stdio::null());
    let pid = until("it runs", || fs::read_to_string(&mark).ok().filter(|text| text.ends_with('\n')));
    drop(running.channel);

    until("it is gone", || (!Path::new(&format!("/proc/{}", pid.trim())).exists()).then_some(()));
    running.helper.wait().unwrap();
}

#[test]
fn failures_name_their_stage() {
    let mut host = host_or_skip!();
    let mut shim = host.shim();
    let start = host.start(1, "sleep 1000");
    let started = shim.start(start.clone());
    let mut missing = request(&started, &start, "");
    missing.argv = vec!["no-such-program".into()];
    let mut another = request(&started, &start, "");
    another.target_start_ticks += 1;

    let mut first = exec(&missing, Stdio::null());
    let mut second = exec(&another, Stdio::null());

    assert!(matches!(first.outcome(), Outcome::Failure(f) if f.stage() == Stage::Exec && f.errno == 2));
    assert!(matches!(second.outcome(), Outcome::Failure(f) if f.stage() == Stage::View && f.errno == 3));
    first.helper.wait().unwrap();
    second.helper.wait().unwrap();
}

#[test]
fn without_descriptor_3_it_says_so() {
    let output = Command::new("bash")
        .args(["-c", "exec 3<&-; exec \"$0\" exec", &support::binary()])
        .stdin(File::open("/dev/null").unwrap())
        .output()
        .unwrap();

    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("descriptor 3"));
}
