//! `barepod-shim pause`: the first process of a PID namespace that the containers of a pod share, as Kubernetes' pause is.
//!
//! It takes the orphans of the pod and does nothing else. Daemon and shims may die: it is nobody's child, holds no
//! connection, and waits for nothing but ends of children. Its own end is that of every process in the namespace, so
//! nothing ends it but a SIGKILL from outside. It has no rights, and its root is an empty directory that cannot be
//! written: a container that reaches `/proc/1/root` finds nothing there.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use barepod_sys::clone::{self, Namespace, SingleThreaded};
use barepod_sys::poll::{Interest, Poll};
use barepod_sys::signal::{self, Signals};
use barepod_sys::{descriptor, identity, proc, process, wait};

use crate::child::{Powers, become_user};
use crate::failure::{At as _, Failure};
use crate::layout;
use crate::view;
use crate::wire::start_failed::Stage;
use crate::wire::{self, Mount, User, View, mount};

/// As pause has it in Kubernetes: an account that no image uses.
const NOBODY: u32 = 65535;
/// Kubernetes' `PodInfraOOMAdj`: the kernel looks elsewhere first.
const OOM_SCORE: &str = "-998";
const PROC: &str = "/proc";

/// Makes it, and writes down which process it is.
///
/// # Errors
/// As clone3(2), or when it did not come to its rest; nothing is left then.
pub fn begin(directory: &Path) -> io::Result<()> {
    let root = directory.join(layout::PAUSE_ROOT);
    fs::create_dir_all(&root)?;
    let (go, mut tell) = io::pipe()?;
    let (mut said, says) = io::pipe()?;
    let alone = SingleThreaded::check()?;
    let child = clone::spawn(alone, [Namespace::Pid, Namespace::Mount], None, || be_first(&root, go, says))?;
    let stat = proc::stat(Path::new(PROC), child.pid)?;
    // Before it may go on: one that nobody knows of must not stay.
    let record = directory.join(layout::PAUSE_RECORD);
    let beside = record.with_extension("new");
    fs::write(&beside, format!("{} {}\n", child.pid, stat.start_ticks))?;
    fs::rename(beside, record)?;
    tell.write_all(b"1")?;
    said.read_exact(&mut [0]).map_err(|_| io::Error::other("it did not come to its rest"))
}

/// What [`begin`] wrote down: pid and start time.
#[must_use]
pub fn parse_record(text: &str) -> Option<wire::Process> {
    let (pid, ticks) = text.trim_end().split_once(' ')?;
    Some(wire::Process { pid: pid.parse().ok()?, start_ticks: ticks.parse().ok()? })
}

fn be_first(root: &Path, mut go: PipeReader, mut says: PipeWriter) -> i32 {
    let alone = descriptor::close_all_but([go.as_fd(), says.as_fd()]);
    let Ok(signals) = alone.and_then(|()| Signals::block(&[signal::CHILD])) else { return 1 };
    let may_go_on = go.read_exact(&mut [0]).is_ok();
    if let Err(failure) = settle(root) {
        eprintln!("barepod-shim pause: {failure:?}");
        return 1;
    }
    if !may_go_on || says.write_all(b"1").is_err() || leave().is_err() {
        return 1;
    }
    drop((go, says));
    take_orphans(&signals)
}

/// No rights, nothing to see, nothing open.
fn settle(root: &Path) -> Result<(), Failure> {
    // What a signal from inside would do is nothing: it is the first process, and handles none.
    process::new_session().at(Stage::Limits, "session")?;
    process::set_name("barepod-pause").at(Stage::Limits, "name")?;
    if fs::write("/proc/self/oom_score_adj", OOM_SCORE).is_err() {
        eprintln!("barepod-shim pause: no right to an oom_score_adj of {OOM_SCORE}");
    }
    let null = File::options().read(true).write(true).open("/dev/null").at(Stage::Prepare, "/dev/null")?;
    identity::set_umask(0);
    view::enter(&nothing(root))?;
    let powers = Powers { no_new_privileges: true, ..Powers::default() };
    become_user(Some(&User { uid: NOBODY, gid: NOBODY, groups: Vec::new() }), powers)?;
    // also where the host is set up to let processes be looked into that have changed their user
    process::close_to_others().at(Stage::Limits, "dumpable")?;
    [0, 1].into_iter().try_for_each(|number| descriptor::duplicate_to(&null, number)).at(Stage::Prepare, "/dev/null")
}

/// An empty root.
fn nothing(root: &Path) -> View {
    let empty = Mount {
        kind: mount::Kind::Tmpfs.into(),
        target: "/".to_owned(),
        data: "size=4k,mode=555".to_owned(),
        no_suid: true,
        no_dev: true,
        no_exec: true,
        ..Mount::default()
    };
    View { root: root.to_string_lossy().into_owned(), mounts: vec![empty], read_only: true }
}

/// Nothing more is said on the daemon's log.
fn leave() -> io::Result<()> {
    descriptor::duplicate_to(io::stdin(), 2)
}

fn take_orphans(signals: &Signals) -> i32 {
    loop {
        while let Ok(Some(ended)) = wait::peek() {
            let _ = wait::reap(ended.pid);
        }
        let mut poll = Poll::<1>::default();
        poll.set(0, Some((signals.as_fd(), Interest::Read)));
        // It fails for want of memory at most, and then it is tried again.
        let _ = poll.wait(None);
        while let Ok(Some(_)) = signals.take() {}
    }
}
