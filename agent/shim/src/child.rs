//! What the new process does between clone and exec. It has a copy of the shim's memory, nothing else runs in it, and it
//! talks to the shim over a pipe that exec closes.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use barepod_sys::capability;
use barepod_sys::clone::{self, Namespace};
use barepod_sys::descriptor;
use barepod_sys::identity;
use barepod_sys::mount::{self, Propagation};
use barepod_sys::pass;
use barepod_sys::path;
use barepod_sys::process::{self, Program};
use barepod_sys::signal;
use barepod_sys::standby::{LastSteps, Standby};
use barepod_sys::terminal;

use crate::confine::{self, Confine};
use crate::failure::{self, At as _, Failure, errno};
use crate::launch::Theirs;
use crate::ready::Kept;
use crate::view;
use crate::wire::start_failed::Stage;
use crate::wire::{Event, Exec, GetReady, Joined, Namespaces, Start, Sysctl, User, Warning, event, write_frame};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_UMASK: u32 = 0o022;
const INVALID: i32 = 22;
const NO_ENTRY: i32 = 2;
const NO_ACCESS: i32 = 13;
const NOT_A_DIRECTORY: i32 = 20;
/// The code a child ends with when it could not become the program. Nobody counts on it: the pipe has told why.
const FAILED: i32 = 127;

/// The child's end of the pipe.
#[derive(Debug)]
pub struct Report {
    pipe: PipeWriter,
    attempt: u32,
}

impl Report {
    /// For this attempt; 0 for `Exec`.
    #[must_use]
    pub fn new(pipe: PipeWriter, attempt: u32) -> Self {
        Self { pipe, attempt }
    }

    pub(crate) fn warn(&mut self, what: String, error: &io::Error) {
        let warning = Warning { attempt: self.attempt, what, errno: errno(error), detail: error.to_string() };
        self.tell(event::Event::Warning(warning).into());
    }

    fn fail(&mut self, failure: Failure) -> i32 {
        self.tell(event::Event::StartFailed(failure.of_attempt(self.attempt)).into());
        FAILED
    }

    fn tell(&mut self, event: Event) {
        // a shim that died meanwhile cannot be told anything; the process goes on without it
        let _ = write_frame(&mut self.pipe, &event);
    }
}

/// The whole way of a new attempt. Comes back only when it failed.
pub fn begin(start: &Start, kept: Option<&Kept>, streams: Theirs, mut report: Report) -> i32 {
    match prepare(start, kept, streams, &mut report) {
        Ok(never) => match never {},
        Err(failure) => report.fail(failure),
    }
}

/// The way of a new attempt up to its last steps, for which it waits to be told. Comes back only when it failed.
pub fn stand_by(start: &Start, kept: &Kept, streams: Theirs, told: &PipeReader, mut report: Report) -> i32 {
    let settled = settle(start, Some(kept), streams, &mut report);
    let standby = settled.and_then(|confine| last_steps(start, &confine));
    // also its copies of the shim's lock, of its connection and of the other ends of these
    let ready = standby.and_then(|standby| {
        let alone = descriptor::close_all_but([told.as_fd(), report.pipe.as_fd()]);
        alone.at(Stage::Prepare, "open files").map(|()| standby)
    });
    match ready {
        Ok(standby) => standby.wait(told.as_fd(), report.pipe.as_fd()),
        Err(failure) => report.fail(failure),
    }
}

fn last_steps(start: &Start, confine: &Confine) -> Result<Standby, Failure> {
    let name = start.argv.first().map_or("", String::as_str);
    let cwd = working_directory(&start.cwd);
    let complaint = |stage, object: &str| failure::complaint(start.attempt, stage, object);
    let program = Program::new(&start.argv, &start.env).at(Stage::Exec, name)?;
    let steps = LastSteps {
        directory: (Path::new(cwd), complaint(Stage::Chdir, cwd)),
        filter: confine.last_filter().map(|filter| (filter, complaint(Stage::User, confine::FILTER))),
        program: &program,
        places: (&places(name, &start.env), complaint(Stage::Exec, name)),
    };
    Standby::new(&steps).at(Stage::Exec, name)
}

fn prepare(start: &Start, kept: Option<&Kept>, streams: Theirs, report: &mut Report) -> Result<Infallible, Failure> {
    let confine = settle(start, kept, streams, report)?;
    execute(&start.argv, &start.env, &start.cwd, &confine)
}

/// All but the last steps.
fn settle(start: &Start, kept: Option<&Kept>, streams: Theirs, report: &mut Report) -> Result<Confine, Failure> {
    // others may share its PID namespace and see it before it is the program
    process::close_to_others().at(Stage::Prepare, "dumpable")?;
    let groups = start.cgroup.as_ref().map_or(&[][..], |cgroup| cgroup.legacy.as_slice());
    join_legacy(open_legacy(groups)?)?;
    begin_session(streams.standard)?;
    set_oom_score(start.oom_score_adj, report);
    identity::set_umask(0);
    join(start.joined.as_ref())?;
    match kept {
        Some(kept) => kept.enter(start)?,
        None => {
            set_sysctls(&start.sysctls)?;
            enter_view(start)?;
        }
    }
    if let Some(socket) = streams.terminal {
        open_terminal(start, &socket)?;
    }
    set_limits(start, report);
    identity::set_umask(if start.umask == 0 { DEFAULT_UMASK } else { start.umask });
    let confine = Confine::new(start.confinement.clone(), start.no_new_privileges);
    confine.while_root(report)?;
    let powers = Powers {
        capabilities: &start.capabilities,
        ambient: &start.ambient_capabilities,
        no_new_privileges: start.no_new_privileges,
    };
    become_user(start.user.as_ref(), powers)?;
    Ok(confine)
}

/// The way of one more process in a running container, whose namespaces have been joined but for what `join_last` joins.
/// Comes back only when it failed.
pub fn begin_exec(
    exec: &Exec,
    join_last: impl FnOnce() -> Result<(), Failure>,
    legacy: Vec<(String, File)>,
    standard: [impl AsFd; 3],
    mut report: Report,
) -> i32 {
    match join_last().and_then(|()| join_legacy(legacy)).and_then(|()| prepare_exec(exec, standard, &mut report)) {
        Ok(never) => match never {},
        Err(failure) => report.fail(failure),
    }
}

fn prepare_exec(exec: &Exec, standard: [impl AsFd; 3], report: &mut Report) -> Result<Infallible, Failure> {
    begin_session(standard)?;
    if exec.tty {
        terminal::control(io::stdin()).at(Stage::Limits, "controlling terminal")?;
    }
    identity::set_umask(DEFAULT_UMASK);
    let confine = Confine::new(exec.confinement.clone(), exec.no_new_privileges);
    confine.while_root(report)?;
    let powers = Powers {
        capabilities: &exec.capabilities,
        ambient: &exec.ambient_capabilities,
        no_new_privileges: exec.no_new_privileges,
    };
    become_user(exec.user.as_ref(), powers)?;
    execute(&exec.argv, &exec.env, &exec.cwd, &confine)
}

/// The `tasks` files of v1 groups, which a process may have to open before it joins another's view.
///
/// # Errors
/// The first that cannot be opened.
pub fn open_legacy(groups: &[String]) -> Result<Vec<(String, File)>, Failure> {
    let open = |group: &String| {
        let file = File::options().write(true).open(Path::new(group).join("tasks")).at(Stage::Cgroup, group)?;
        Ok((group.clone(), file))
    };
    groups.iter().map(open).collect()
}

/// On v1 a process goes where it wants by writing 0 to `tasks`; `cgroup.procs` takes a lock that costs milliseconds.
fn join_legacy(groups: Vec<(String, File)>) -> Result<(), Failure> {
    groups.into_iter().try_for_each(|(group, mut tasks)| tasks.write_all(b"0").at(Stage::Cgroup, &group))
}

fn begin_session([stdin, stdout, stderr]: [impl AsFd; 3]) -> Result<(), Failure> {
    signal::reset().at(Stage::Limits, "signals")?;
    process::new_session().at(Stage::Limits, "session")?;
    descriptor::duplicate_to(stdin, 0).at(Stage::Prepare, "stdin")?;
    descriptor::duplicate_to(stdout, 1).at(Stage::Prepare, "stdout")?;
    descriptor::duplicate_to(stderr, 2).at(Stage::Prepare, "stderr")
}

/// Opens it where its programs can name it, and sends its other side to the shim.
fn open_terminal(start: &Start, socket: &UnixStream) -> Result<(), Failure> {
    const PLACE: &str = "/dev/pts";
    let root = path::refer(Path::new("/")).at(Stage::View, PLACE)?;
    let pair = terminal::open_in(root.as_fd()).at(Stage::View, PLACE)?;
    if let Some(user) = &start.user {
        terminal::give_to(&pair.terminal, user.uid, user.gid).at(Stage::View, PLACE)?;
    }
    pass::send(socket.as_fd(), pair.controller.as_fd()).at(Stage::Prepare, "terminal")?;
    for number in 0..=2 {
        descriptor::duplicate_to(&pair.terminal, number).at(Stage::Prepare, "terminal")?;
    }
    terminal::control(io::stdin()).at(Stage::Limits, "controlling terminal")
}

/// Before the view, whose `/proc` may be another or missing. A value below the present one needs `CAP_SYS_RESOURCE`.
fn set_oom_score(score: i32, report: &mut Report) {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", score.to_string()) {
        report.warn(format!("oom_score_adj {score}"), &error);
    }
}

/// The way of a process that only makes a view, to be kept by whoever holds its namespaces.
pub fn make_ready(wanted: &GetReady) -> Result<(), Failure> {
    identity::set_umask(0);
    join(wanted.joined.as_ref())?;
    // through the host's /proc, which shows this process its own namespaces
    set_sysctls(&wanted.sysctls)?;
    view::enter_early(&wanted.view.clone().unwrap_or_default())?;
    set_host_name(wanted.namespaces.unwrap_or_default(), &wanted.hostname)
}

/// Goes into the pod's namespaces, by their paths on the host.
fn join(joined: Option<&Joined>) -> Result<(), Failure> {
    let Some(Joined { ipc, uts, .. }) = joined else { return Ok(()) };
    for (namespace, path) in [(Namespace::Ipc, ipc), (Namespace::Uts, uts)] {
        if !path.is_empty() {
            let file = File::open(path).at(Stage::View, path)?;
            clone::enter(namespace, file.as_fd()).at(Stage::View, path)?;
        }
    }
    Ok(())
}

/// In namespaces of this process's own: the daemon asks for no other parameters.
fn set_sysctls(sysctls: &[Sysctl]) -> Result<(), Failure> {
    sysctls.iter().try_for_each(|Sysctl { name, value }| {
        let file = Path::new("/proc/sys").join(name.replace('.', "/"));
        fs::write(file, value).at(Stage::Limits, &format!("sysctl {name}"))
    })
}

fn enter_view(start: &Start) -> Result<(), Failure> {
    let namespaces = start.namespaces.unwrap_or_default();
    match &start.view {
        Some(view) if !view.root.is_empty() && namespaces.mount => view::enter(view)?,
        Some(view) if !view.root.is_empty() => {
            return Err(io::Error::from_raw_os_error(INVALID)).at(Stage::View, "a view needs a mount namespace");
        }
        Some(_) | None if namespaces.mount => mount::propagate_all(Propagation::Private).at(Stage::View, "/")?,
        Some(_) | None => {}
    }
    set_host_name(namespaces, &start.hostname)
}

fn set_host_name(namespaces: Namespaces, name: &str) -> Result<(), Failure> {
    if namespaces.uts && !name.is_empty() {
        identity::set_host_name(name).at(Stage::Limits, name)?;
    }
    Ok(())
}

fn set_limits(start: &Start, report: &mut Report) {
    for limit in &start.rlimits {
        if let Err(error) = identity::set_limit(limit.resource, limit.soft, limit.hard) {
            report.warn(format!("rlimit {}", limit.resource), &error);
            lower_to_hard(limit.resource, limit.soft);
        }
    }
}

/// What can be had without raising the hard limit is better than nothing.
fn lower_to_hard(resource: u32, soft: u64) {
    if let Ok((_, hard)) = identity::limit(resource) {
        let _already_warned = identity::set_limit(resource, soft.min(hard), hard);
    }
}

/// Capabilities as container runtimes give them: bounding, permitted and effective, and nothing inheritable but what is
/// ambient.
pub(crate) fn become_user(user: Option<&User>, powers: Powers<'_>) -> Result<(), Failure> {
    let Powers { capabilities, ambient, no_new_privileges } = powers;
    let invalid = || io::Error::from_raw_os_error(INVALID);
    let user = user.ok_or_else(invalid).at(Stage::User, "no user is given")?;
    let kept: capability::Set = capabilities.iter().copied().collect();
    capability::limit_bounding(kept).at(Stage::User, "capability bounding set")?;
    identity::set_groups(&user.groups).at(Stage::User, "groups")?;
    identity::set_gid(user.gid).at(Stage::User, &format!("gid {}", user.gid))?;
    if !ambient.is_empty() {
        capability::keep_over_change_of_user().at(Stage::User, "capabilities")?;
    }
    identity::set_uid(user.uid).at(Stage::User, &format!("uid {}", user.uid))?;
    capability::clear_ambient().at(Stage::User, "ambient capabilities")?;
    capability::set(kept).at(Stage::User, "capabilities")?;
    if !ambient.is_empty() {
        capability::raise_ambient(ambient.iter().copied().collect()).at(Stage::User, "ambient capabilities")?;
    }
    if no_new_privileges {
        process::forbid_new_privileges().at(Stage::User, "no_new_privs")?;
    }
    Ok(())
}

/// What a process may do beyond what its user may.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Powers<'a> {
    /// All others are dropped.
    pub(crate) capabilities: &'a [u32],
    /// Of these, what a user other than root has in effect as well.
    pub(crate) ambient: &'a [u32],
    pub(crate) no_new_privileges: bool,
}

fn working_directory(cwd: &str) -> &str {
    if cwd.is_empty() { "/" } else { cwd }
}

fn execute(argv: &[String], env: &[String], cwd: &str, confine: &Confine) -> Result<Infallible, Failure> {
    let cwd = working_directory(cwd);
    std::env::set_current_dir(cwd).at(Stage::Chdir, cwd)?;
    let name = argv.first().map_or("", String::as_str);
    let program = Program::new(argv, env).at(Stage::Exec, name)?;
    descriptor::close_on_exec_from(3).at(Stage::Exec, name)?;
    confine.at_last()?;
    Err(search(&program, &places(name, env))).at(Stage::Exec, name)
}

/// Where a program may lie, as execvp(3) looks for it, on the `PATH` of its own environment.
fn places(name: &str, env: &[String]) -> Vec<PathBuf> {
    if name.contains('/') {
        return vec![PathBuf::from(name)];
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let directories = path.split(':').filter(|_| !name.is_empty());
    directories.map(|directory| Path::new(if directory.is_empty() { "." } else { directory }).join(name)).collect()
}

/// The first that can be executed; a file without `#!` is not given to a shell.
fn search(program: &Program, places: &[PathBuf]) -> io::Error {
    if let [only] = places {
        return program.execute(only);
    }
    let mut result = io::Error::from_raw_os_error(NO_ENTRY);
    for place in places {
        let error = program.execute(place);
        match error.raw_os_error() {
            Some(NO_ENTRY | NOT_A_DIRECTORY) => {}
            Some(NO_ACCESS) => result = error,
            _ => return error,
        }
    }
    result
}
