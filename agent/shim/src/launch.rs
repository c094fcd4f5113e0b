//! The shim's side of a start: FIFOs, log, record, and the clone into the attempt's cgroup.

use std::fs::{self, File};
use std::io::{self, PipeReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use barepod_logs::cri::Stream;
use barepod_sys::clone::{self, Child, ChildrenElsewhere, Namespace, SingleThreaded};
use barepod_sys::{path, pidfd, proc};

use crate::cgroup::Group;
use crate::child::{self, Report};
use crate::failure::{At as _, Failure};
use crate::input::Input;
use crate::journal::Journal;
use crate::layout;
use crate::output::{Output, Source};
use crate::ready::Kept;
use crate::standard::Standard;
use crate::wire;
use crate::wire::Start;
use crate::wire::start_failed::Stage;

/// Only the service's user may open its FIFOs again.
const FIFO_MODE: u32 = 0o600;
const NON_BLOCKING: i32 = 0o4000;
const NO_SUCH_PROCESS: i32 = 3;
const NULL: &str = "/dev/null";

/// What stands ready before the clone.
#[derive(Debug)]
pub struct Prepared {
    /// The attempt's cgroup.
    pub group: Group,
    /// Where its output goes.
    pub output: Output,
    theirs: Theirs,
    standard: Standard,
}

/// The child's side.
#[derive(Debug)]
pub struct Theirs {
    /// Its standard streams, at least until it opens a terminal.
    pub standard: [File; 3],
    /// Where it sends the other side of that.
    pub terminal: Option<UnixStream>,
}

/// This side, once the child is there.
#[derive(Debug)]
pub struct Ours {
    /// The attempt's cgroup.
    pub group: Group,
    /// Where its output goes.
    pub output: Output,
    /// Its input.
    pub standard: Standard,
}

/// Makes what a start needs of the shim's own.
///
/// # Errors
/// The step that failed; what was made is found and removed by the next attempt.
pub fn prepare(directory: &Path, start: &Start, journal: Option<Journal>) -> Result<Prepared, Failure> {
    let cgroup = start.cgroup.clone().unwrap_or_default();
    let group = Group::open(&cgroup).at(Stage::Cgroup, &cgroup.unified)?;
    let log = start.log.clone().unwrap_or_default();
    let journal = journal.map_or_else(|| Journal::open(directory), Ok).at(Stage::Prepare, layout::JOURNAL)?;
    let mut output = Output::begin(journal, &log, start.attempt).at(Stage::Prepare, &log.directory)?;
    let Ends { standard, theirs, sources } = ends(directory, start)?;
    sources.into_iter().for_each(|(stream, source)| output.set_source(stream, source));
    Ok(Prepared { group, output, theirs, standard })
}

/// Where a process's output comes from.
pub type Sources = Vec<(Stream, Source)>;

/// Both ends of what a process is given to read and write.
#[derive(Debug)]
pub struct Ends {
    /// The shim's ends of its input.
    pub standard: Standard,
    /// The child's.
    pub theirs: Theirs,
    /// The shim's ends of its output, unless it is a terminal, which the child opens.
    pub sources: Sources,
}

/// Makes them.
///
/// # Errors
/// The one that could not be made.
pub fn ends(directory: &Path, start: &Start) -> Result<Ends, Failure> {
    match start.tty {
        true => terminal_ends().at(Stage::Prepare, "terminal"),
        false => fifo_ends(directory, start),
    }
}

/// Clones. The pipe tells what the child has to say until it becomes the program.
///
/// # Errors
/// The step that failed; nothing runs then.
pub fn clone(start: &Start, prepared: Prepared, kept: Option<&Kept>) -> Result<(Child, PipeReader, Ours), Failure> {
    let Prepared { group, output, theirs, standard } = prepared;
    let unified = start.cgroup.as_ref().map_or("", |cgroup| cgroup.unified.as_str());
    let leaf = File::open(unified).at(Stage::Cgroup, unified)?;
    let (status, write_end) = io::pipe().at(Stage::Prepare, "pipe")?;
    let report = Report::new(write_end, start.attempt);
    let is_kept = |namespace: &Namespace| kept.is_some_and(|kept| kept.has(*namespace));
    let namespaces = wanted(start.namespaces.unwrap_or_default()).filter(|namespace| !is_kept(namespace));
    let alone = SingleThreaded::check().at(Stage::Clone, "threads")?;
    let _among_others = joined_pid(start)?;
    let child = clone::spawn(alone, namespaces, Some(leaf.as_fd()), || child::begin(start, kept, theirs, report))
        .at(Stage::Clone, "clone3")?;
    Ok((child, status, Ours { group, output, standard }))
}

/// The child is born into the pod's PID namespace, if it has one.
fn joined_pid(start: &Start) -> Result<Option<ChildrenElsewhere>, Failure> {
    let Some(first) = start.joined.as_ref().and_then(|joined| joined.pid) else { return Ok(None) };
    let name = format!("first process of the pod, {}", first.pid);
    let held = pidfd::open(first.pid).at(Stage::Clone, &name)?;
    let stat = proc::stat(Path::new("/proc"), first.pid).at(Stage::Clone, &name)?;
    if stat.start_ticks != first.start_ticks {
        return Err(io::Error::from_raw_os_error(NO_SUCH_PROCESS)).at(Stage::Clone, &name);
    }
    ChildrenElsewhere::with(held.as_fd()).map(Some).at(Stage::Clone, &name)
}

/// The source of a FIFO that exists, for a shim that takes over.
///
/// # Errors
/// As open(2).
pub fn reopen_fifo(path: &Path) -> io::Result<Source> {
    Ok(Source::fifo(File::options().read(true).custom_flags(NON_BLOCKING).open(path)?))
}

/// Removes the FIFOs of an attempt.
pub fn remove_fifos(directory: &Path, attempt: u32) {
    let all =
        [layout::stdin(directory, attempt), layout::stdout(directory, attempt), layout::stderr(directory, attempt)];
    for path in all {
        // they may never have been made; the directory goes with the pod in any case
        let _ = fs::remove_file(path);
    }
}

pub(crate) fn wanted(namespaces: wire::Namespaces) -> impl Iterator<Item = Namespace> {
    Namespace::ALL.into_iter().filter(move |namespace| match namespace {
        Namespace::Mount => namespaces.mount,
        Namespace::Uts => namespaces.uts,
        Namespace::Ipc => namespaces.ipc,
        Namespace::Pid => namespaces.pid,
        Namespace::Cgroup => namespaces.cgroup,
    })
}

/// The writing end of the FIFO that is an attempt's stdin, for a shim that takes over.
///
/// # Errors
/// As open(2): `ENXIO` when the service has closed it.
pub fn reopen_stdin(path: &Path) -> io::Result<Input> {
    Ok(Input::new(File::options().write(true).custom_flags(NON_BLOCKING).open(path)?))
}

fn make_fifo(path: &Path, start: &Start) -> io::Result<()> {
    let user = start.user.clone().unwrap_or_default();
    path::make_fifo(path, FIFO_MODE)?;
    std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
}

/// Its reader and this process's writing end. Nobody waits for the other side: a reader that never blocks comes first.
fn stdin_ends(path: &Path, start: &Start) -> io::Result<(File, Input)> {
    make_fifo(path, start)?;
    let _first = File::options().read(true).custom_flags(NON_BLOCKING).open(path)?;
    let input = reopen_stdin(path)?;
    Ok((File::open(path)?, input))
}

fn fifo_ends(directory: &Path, start: &Start) -> Result<Ends, Failure> {
    let mut sources = Sources::new();
    let mut make = |path: &Path, stream: Stream| -> io::Result<File> {
        make_fifo(path, start)?;
        sources.push((stream, reopen_fifo(path)?));
        // for reading too: while the service holds it open, a dead shim is no broken pipe
        File::options().read(true).write(true).open(path)
    };
    remove_fifos(directory, start.attempt);
    let (stdin, input) = match start.stdin {
        true => {
            let (stdin, input) =
                stdin_ends(&layout::stdin(directory, start.attempt), start).at(Stage::Prepare, "stdin")?;
            (stdin, Some(input))
        }
        false => (null().at(Stage::Prepare, NULL)?, None),
    };
    let stdout = make(&layout::stdout(directory, start.attempt), Stream::Stdout).at(Stage::Prepare, "stdout")?;
    let stderr = make(&layout::stderr(directory, start.attempt), Stream::Stderr).at(Stage::Prepare, "stderr")?;
    let theirs = Theirs { standard: [stdin, stdout, stderr], terminal: None };
    Ok(Ends { standard: Standard { input, ..Standard::default() }, theirs, sources })
}

/// The child opens the terminal in its own view, where it has a name; nothing is written before.
fn terminal_ends() -> io::Result<Ends> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = Theirs { standard: [null()?, null()?, null()?], terminal: Some(theirs) };
    Ok(Ends { standard: Standard { terminal: Some(ours), ..Standard::default() }, theirs, sources: Sources::new() })
}

fn null() -> io::Result<File> {
    File::options().read(true).write(true).open(NULL)
}
