//! A page, done on a scratch host of its own.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::console::{self, Step};
use super::session::{Said, Session};
use super::{Block, Page, Placed};
use crate::host::{Host, HostError, SOON, signal};
use crate::wait::wait_for;

/// The policy of a host as packages install it.
const POLICY: &str = include_str!("../../../configs/policy.yaml");

/// The configuration of a page's host: its socket is nogroup's, so that a page can be somebody else than root.
const CONFIG: &str = "socketGroup: nogroup\n";

/// Verbs that only look. What they show comes to be a moment after what was done.
const LOOKING: [&str; 9] = ["get", "describe", "events", "logs", "policy", "doctor", "top", "port", "bench"];

/// Why a page is not true.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A file of the page.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Something on it.
    #[error("{}:{line}: {what}", page.display())]
    Wrong {
        /// The page.
        page: PathBuf,
        /// Where.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// Does all that a page shows, in its order, on one host.
///
/// # Errors
/// Something does not go as the page says.
pub fn run(page: &Page) -> Result<(), PageError> {
    let mut host = Host::new(CONFIG)?;
    host.set_policy(Some(POLICY))?;
    host.start()?;
    let mut session = Session::on(&host)?;
    for block in &page.blocks {
        let at = |line| move |what: String| PageError::Wrong { page: page.path.clone(), line, what };
        match &block.what {
            Block::File { name, text } => write(&host, &session, name, text)?,
            Block::Console(text) => {
                let steps = console::steps(block.line, text).map_err(|wrong| at(wrong.line)(wrong.what))?;
                for (index, step) in steps.iter().enumerate() {
                    // Who fails says so to the next command.
                    let asked = steps.get(index + 1).is_some_and(|next| next.what.command == "echo $?");
                    do_step(&mut host, &mut session, step, asked).map_err(at(step.line))?;
                }
            }
            Block::Shell(_) | Block::Other(_) => {}
        }
    }
    Ok(())
}

/// In one stroke, as an editor saves. The host keeps a control group of its own.
fn write(host: &Host, session: &Session, name: &str, text: &str) -> Result<(), PageError> {
    let path = session.path(name);
    if let Some(directory) = path.parent() {
        fs_err::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    let group =
        if name == "/etc/barepod/barepod.yaml" { format!("cgroup: {}\n", host.cgroup()) } else { String::new() };
    fs_err::write(&new, group + text)?;
    Ok(fs_err::rename(new, path)?)
}

fn do_step(host: &mut Host, session: &mut Session, step: &Placed<Step>, asked: bool) -> Result<(), String> {
    let Step { command, expected } = &step.what;
    if let Some(verb) = command.strip_prefix("systemctl ").and_then(|rest| rest.strip_suffix(" barepod")) {
        return manage(host, verb);
    }
    let right = |said: &Said| console::fits(expected, &said.lines) && (said.code == 0 || asked);
    let mut last = None;
    let mut look = || match session.run(command) {
        Ok(said) if right(&said) => Some(Ok(())),
        Ok(said) => {
            last = Some(said);
            None
        }
        Err(error) => Some(Err(error.to_string())),
    };
    let done = if looks(command) { wait_for("it", SOON, look).ok() } else { look() };
    if let Some(done) = done {
        return done.map_err(|error| format!("`{command}`: {error}"));
    }
    let Some(said) = last else { return Err("nothing was said".to_owned()) };
    let mut text = format!("`{command}`");
    if said.code != 0 && !asked {
        let _ = write!(text, " ended with {}; where that is meant, `echo $?` comes next", said.code);
    }
    if console::fits(expected, &said.lines) {
        let _ = write!(text, ":\n    {}", said.lines.join("\n    "));
    } else {
        let difference = console::difference(expected, &said.lines);
        let _ = write!(text, " printed something else (- the page, + the command):\n{difference}");
    }
    let _ = write!(text, "\n--- the daemon's last words:\n{}", host.last_words());
    Err(text)
}

/// On a scratch host the test is the service manager.
fn manage(host: &mut Host, verb: &str) -> Result<(), String> {
    let managed = match verb {
        "stop" => host.stop_daemon(),
        "start" => host.start(),
        "restart" => host.stop_daemon().and_then(|()| host.start()),
        "reload" => match host.daemon_pid() {
            Some(pid) => signal(pid, "HUP").map_err(HostError::from),
            None => return Err("there is no daemon to reload".to_owned()),
        },
        "kill -s KILL" => host.kill_daemon(),
        _ => return Err(format!("nobody here knows how to {verb} a unit")),
    };
    managed.map_err(|error| error.to_string())
}

/// Whether a command changes nothing, so that it may be asked again.
fn looks(command: &str) -> bool {
    let mut words = command.split_whitespace().skip_while(|word| *word != "barepod").skip(1);
    words.find(|word| !word.starts_with('-')).is_some_and(|verb| LOOKING.contains(&verb))
        || ["cat ", "grep ", "ls ", "tail "].iter().any(|reader| command.starts_with(reader))
}
