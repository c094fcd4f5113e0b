//! A hostile pod: it tries by name every way out of its view that we know of, and tells what came of each.
//!
//! ```text
//!   hostile run                    all attempts, one line of JSON each; each in a process of its own
//!   hostile one NAME               one of them
//!   hostile list                   their names
//!   hostile whoami                 user and capabilities, for attempts by set-id files
//!   hostile serve PATH NAME        a victim: listens on a socket at PATH and on an abstract one
//!   hostile share|unshare KEY      makes and removes shared memory that everybody may attach
//!   hostile session                the number of its session keyring
//!   hostile dig PATH DEPTH         so many directories in each other
//!   hostile lurk MILLISECONDS N    takes hold of every process that appears and is not its own, until there were N of them
//!   hostile swap PATH TARGET MS    lets PATH be a link to TARGET and a directory by turns
//! ```
//!
//! What there is to get at is told by the test, in `HOSTILE_*`. Nothing is broken where an attempt succeeds: files are
//! opened and not written, calls get arguments that only those who have the right to make them are told are wrong.

mod attempt;
mod call;
mod files;
mod kernel;
mod lurk;
mod processes;

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use attempt::{Attempt, Outcome, Targets};
use barepod_sys::pidfd;
use barepod_sys::poll::{Interest, Poll};

/// How long one attempt may take.
const LIMIT: Duration = Duration::from_secs(10);

fn attempts() -> impl Iterator<Item = &'static Attempt> {
    files::ALL.iter().chain(processes::ALL).chain(kernel::ALL)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["run"] => run(),
        ["one", name] => one(name),
        ["list"] => attempts().try_for_each(|attempt| writeln!(io::stdout(), "{}", attempt.name)),
        ["whoami"] => writeln!(io::stdout(), "{}", files::who()),
        ["serve", path, name] => serve(path, name),
        ["share", key] => processes::share(key.parse().unwrap_or_default()),
        ["unshare", key] => processes::unshare(key.parse().unwrap_or_default()),
        ["session"] => processes::session(),
        ["dig", path, depth] => dig(path, depth.parse().unwrap_or_default()),
        ["lurk", milliseconds, number] => lurk::lurk(duration(milliseconds), number.parse().unwrap_or(usize::MAX)),
        ["swap", path, target, milliseconds] => lurk::swap(path, target, duration(milliseconds)),
        _ => Err(io::Error::other("usage: hostile run|one NAME|list|whoami|serve|share|unshare|session|dig|lurk|swap")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody else to tell.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn duration(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap_or_default())
}

/// Each in a process of its own, since some end theirs, and a filter may end it.
fn run() -> io::Result<()> {
    for attempt in attempts() {
        let (word, detail) = separately(attempt.name)?;
        let line = serde_json::json!({"name": attempt.name, "outcome": word, "detail": detail});
        writeln!(io::stdout(), "{line}")?;
    }
    Ok(())
}

fn separately(name: &str) -> io::Result<(String, String)> {
    let mut child = Command::new("/proc/self/exe").args(["one", name]).stdout(Stdio::piped()).spawn()?;
    // What an attempt says fits into the pipe: it never waits for somebody to read.
    if !ends_within(LIMIT, &child)? {
        child.kill()?;
        child.wait()?;
        return Ok(("not-made".to_owned(), "it took too long".to_owned()));
    }
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(match text.trim_end().split_once('\t') {
        Some((word, detail)) => (word.to_owned(), detail.to_owned()),
        None => ("held".to_owned(), format!("its process ended with {}", output.status)),
    })
}

fn ends_within(limit: Duration, child: &Child) -> io::Result<bool> {
    let (held, begin) = (pidfd::open(child.id())?, Instant::now());
    let mut poll = Poll::<1>::default();
    poll.set(0, Some((held.as_fd(), Interest::Read)));
    while !poll.ready(0).any() && begin.elapsed() < limit {
        poll.wait(Some(limit.saturating_sub(begin.elapsed())))?;
    }
    Ok(poll.ready(0).any())
}

fn one(name: &str) -> io::Result<()> {
    let attempt = attempts().find(|attempt| attempt.name == name);
    let attempt = attempt.ok_or_else(|| io::Error::other(format!("there is no attempt {name}")))?;
    if std::env::var_os("HOSTILE_CONTROL").is_some() {
        prepare_control(&Targets::from_env())?;
    }
    let outcome: Outcome = (attempt.run)(&Targets::from_env());
    writeln!(io::stdout(), "{}\t{}", outcome.word(), outcome.detail().replace(['\n', '\t'], " "))
}

/// Where nothing holds it, it must not do harm: a mount namespace of its own, with something to unmount.
fn prepare_control(targets: &Targets) -> io::Result<()> {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    if let Some(mask) = targets.place("mask") {
        mount(Some("mask"), mask, Some("tmpfs"), MsFlags::empty(), none)?;
    }
    // Of UTS namespaces, too: a host name that is set to what it was is still set.
    unshare(CloneFlags::CLONE_NEWUTS)?;
    Ok(())
}

/// Step by step: the whole path is longer than a path may be.
fn dig(path: &str, depth: u32) -> io::Result<()> {
    std::env::set_current_dir(path)?;
    for _ in 0..depth {
        std::fs::create_dir("d")?;
        std::env::set_current_dir("d")?;
    }
    Ok(())
}

fn serve(path: &str, name: &str) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let _listener = UnixListener::bind(path)?;
    let permissions: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(path, permissions)?;
    let _abstract_listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    writeln!(io::stdout(), "listening")?;
    loop {
        std::thread::park();
    }
}
