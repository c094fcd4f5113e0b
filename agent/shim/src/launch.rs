//! The shim's side of a start: FIFOs, log, record, and the clone into the attempt's cgroup.

use std::fs::{self, File};
use std::io::{self, PipeReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use barepod_logs::cri::Stream;
use barepod_sys::clone::{self, Child, Namespace, SingleThreaded};
use barepod_sys::{path, terminal};

use crate::cgroup::Group;
use crate::child::{self, Report};
use crate::failure::{At as _, Failure};
use crate::journal::Journal;
use crate::layout;
use crate::output::{Output, Source};
use crate::ready::Kept;
use crate::wire;
use crate::wire::Start;
use crate::wire::start_failed::Stage;

/// Only the service's user may open its FIFOs again.
const FIFO_MODE: u32 = 0o600;
const NON_BLOCKING: i32 = 0o4000;

/// What stands ready before the clone.
#[derive(Debug)]
pub struct Prepared {
    /// The attempt's cgroup.
    pub group: Group,
    /// Where its output goes.
    pub output: Output,
    standard: [File; 3],
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
    let standard = match start.tty {
        true => terminal_ends(start, &mut output).at(Stage::Prepare, "terminal")?,
        false => fifo_ends(directory, start, &mut output)?,
    };
    Ok(Prepared { group, output, standard })
}

/// Clones. The pipe tells what the child has to say until it becomes the program.
///
/// # Errors
/// The step that failed; nothing runs then.
pub fn clone(
    start: &Start,
    prepared: Prepared,
    kept: Option<&Kept>,
) -> Result<(Child, PipeReader, Group, Output), Failure> {
    let Prepared { group, output, standard } = prepared;
    let unified = start.cgroup.as_ref().map_or("", |cgroup| cgroup.unified.as_str());
    let leaf = File::open(unified).at(Stage::Cgroup, unified)?;
    let (status, write_end) = io::pipe().at(Stage::Prepare, "pipe")?;
    let report = Report::new(write_end, start.attempt);
    let is_kept = |namespace: &Namespace| kept.is_some_and(|kept| kept.has(*namespace));
    let namespaces = wanted(start.namespaces.unwrap_or_default()).filter(|namespace| !is_kept(namespace));
    let alone = SingleThreaded::check().at(Stage::Clone, "threads")?;
    let child = clone::spawn(alone, namespaces, Some(leaf.as_fd()), || child::begin(start, kept, standard, report))
        .at(Stage::Clone, "clone3")?;
    Ok((child, status, group, output))
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
    for path in [layout::stdout(directory, attempt), layout::stderr(directory, attempt)] {
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

fn fifo_ends(directory: &Path, start: &Start, output: &mut Output) -> Result<[File; 3], Failure> {
    let user = start.user.clone().unwrap_or_default();
    let mut make = |path: &Path, stream: Stream| -> io::Result<File> {
        path::make_fifo(path, FIFO_MODE)?;
        std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
        output.set_source(stream, reopen_fifo(path)?);
        // for reading too: while the service holds it open, a dead shim is no broken pipe
        File::options().read(true).write(true).open(path)
    };
    remove_fifos(directory, start.attempt);
    let stdin = File::open("/dev/null").at(Stage::Prepare, "/dev/null")?;
    let stdout = make(&layout::stdout(directory, start.attempt), Stream::Stdout).at(Stage::Prepare, "stdout")?;
    let stderr = make(&layout::stderr(directory, start.attempt), Stream::Stderr).at(Stage::Prepare, "stderr")?;
    Ok([stdin, stdout, stderr])
}

fn terminal_ends(start: &Start, output: &mut Output) -> io::Result<[File; 3]> {
    let pair = terminal::open()?;
    if let Some(user) = &start.user {
        terminal::give_to(&pair.terminal, user.uid, user.gid)?;
    }
    output.set_source(Stream::Stdout, Source::Terminal(pair.controller));
    Ok([pair.terminal.try_clone()?, pair.terminal.try_clone()?, pair.terminal])
}
