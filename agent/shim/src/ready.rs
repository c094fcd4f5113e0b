//! A view made before it is needed, so that a restart does not wait for it.
//!
//! ```text
//!   None ──GetReady──▶ Making ──the child says so──▶ Made ──Start of that name──▶ None
//!    ▲                    │                           └──for a whole start──▶ Waiting ──Go of that name──▶ None
//!    └────────────────────┴───it failed, or hangs: nobody waits for it───────────┘
//! ```
//!
//! A child makes the namespaces and the view; then this process keeps the namespaces open and the child ends. They cost no
//! process, no memory of this one's, and nothing in the attempt's cgroup. What hangs, like a mount of a server that is away,
//! hangs the child alone. Where the whole start is known, another child goes into the view and waits there; it holds the
//! namespaces then.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use barepod_sys::clone::{self, Child, Namespace, SingleThreaded};
use barepod_sys::{descriptor, pidfd, signal};

use crate::child;
use crate::failure::{At as _, Failure};
use crate::launch::wanted;
use crate::standby::{Standby, Waits};
use crate::view;
use crate::wire::start_failed::Stage;
use crate::wire::{GetReady, Go, Start};

/// What can be kept without a process in it.
const KEPT: [Namespace; 3] = [Namespace::Mount, Namespace::Uts, Namespace::Ipc];

/// What is being made, or stands ready.
#[derive(Debug)]
pub struct Ready {
    name: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A view, by this child. It holds on to its namespaces until `release` is closed. `start` is what comes then.
    Making {
        child: Child,
        namespaces: Vec<Namespace>,
        said: PipeReader,
        release: PipeWriter,
        start: Option<Box<Start>>,
    },
    /// A view, by one that has ended.
    Made(Kept),
    /// A process in its view.
    Waiting(Box<Standby>),
}

/// Namespaces with a view in them and no process.
#[derive(Debug)]
pub struct Kept(Vec<(Namespace, OwnedFd)>);

impl Ready {
    /// Begins to make it.
    ///
    /// # Errors
    /// As pipe(2) and clone3(2).
    pub fn begin(mut asked: GetReady) -> io::Result<Self> {
        let start = asked.start.take().map(Box::new);
        if let Some(start) = &start {
            asked.namespaces = start.namespaces;
            asked.hostname.clone_from(&start.hostname);
            asked.view.clone_from(&start.view);
            asked.joined.clone_from(&start.joined);
            asked.sysctls.clone_from(&start.sysctls);
        }
        let (said, mut says) = io::pipe()?;
        let (released, release) = io::pipe()?;
        let namespaces: Vec<_> =
            wanted(asked.namespaces.unwrap_or_default()).filter(|namespace| KEPT.contains(namespace)).collect();
        let child = clone::spawn(SingleThreaded::check()?, namespaces.iter().copied(), None, || {
            // also its copies of the shim's lock and of the other ends: should it hang, nobody waits for those
            let alone = descriptor::close_all_but([says.as_fd(), released.as_fd()]);
            match alone.is_ok() && child::make_ready(&asked).is_ok() && says.write_all(b"1").is_ok() {
                true => wait_for_release(released),
                false => 1,
            }
        })?;
        let state = State::Making { child, namespaces, said, release, start };
        Ok(Self { name: asked.name, state })
    }

    /// Where there will be news of it.
    #[must_use]
    pub fn says(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Making { said, .. } => Some(said.as_fd()),
            State::Made(_) => None,
            State::Waiting(standby) => Some(standby.says()),
        }
    }

    /// Hears the news and goes on. `None` if nothing comes of it.
    #[must_use]
    pub fn hear(self, directory: &Path) -> Option<Self> {
        let Self { name, state } = self;
        let state = match state {
            State::Making { child, namespaces, mut said, release, start } => {
                said.read_exact(&mut [0]).ok()?;
                let keep = |namespace| clone::keep(child.pid, namespace).map(|kept| (namespace, kept));
                let kept = Kept(namespaces.into_iter().map(keep).collect::<io::Result<_>>().ok()?);
                drop(release);
                match start {
                    Some(start) => State::Waiting(Box::new(stand_by(directory, &start, &kept)?)),
                    None => State::Made(kept),
                }
            }
            State::Made(kept) => State::Made(kept),
            State::Waiting(mut standby) => match standby.hear() {
                Waits::Yes => State::Waiting(standby),
                Waits::No => {
                    standby.end(directory);
                    return None;
                }
            },
        };
        Some(Self { name, state })
    }

    /// The process with this number has ended. `None` if it was what stood ready.
    #[must_use]
    pub fn ended(self, pid: u32, directory: &Path) -> Option<Self> {
        match self.state {
            State::Waiting(standby) if standby.child.pid == pid => {
                standby.end(directory);
                None
            }
            State::Waiting(_) | State::Making { .. } | State::Made(_) => Some(self),
        }
    }

    /// What stands ready for this start.
    #[must_use]
    pub fn take(self, start: &Start, directory: &Path) -> Option<Kept> {
        match self.state {
            State::Made(kept) if !start.ready.is_empty() && self.name == start.ready => Some(kept),
            State::Made(_) | State::Making { .. } | State::Waiting(_) => {
                self.dismiss(directory);
                None
            }
        }
    }

    /// The process that stands ready under this name.
    #[must_use]
    pub fn into_standby(self, go: &Go, directory: &Path) -> Option<Standby> {
        match self.state {
            State::Waiting(standby) if self.name == go.ready && standby.attempt == go.attempt => Some(*standby),
            State::Waiting(_) | State::Made(_) | State::Making { .. } => {
                self.dismiss(directory);
                None
            }
        }
    }

    /// It is not needed any more. When this returns, nothing of it is in the attempt's cgroup.
    pub fn dismiss(self, directory: &Path) {
        match self.state {
            // it may be hanging; its end is seen like that of any child
            State::Making { child, .. } => drop(pidfd::send_signal(child.pidfd.as_fd(), signal::KILL)),
            State::Made(_) => {}
            State::Waiting(standby) => standby.end(directory),
        }
    }
}

/// One that cannot be made is missed by nobody: a start that does not find it is made as any other, and tells why.
fn stand_by(directory: &Path, start: &Start, kept: &Kept) -> Option<Standby> {
    let told =
        |why: &Failure| eprintln!("barepod-shim: attempt {}: no process stands ready for it: {why:?}", start.attempt);
    Standby::begin(directory, start, kept).inspect_err(told).ok()
}

/// Until the other end is closed, or the shim is dead: either way this process is not needed any more.
fn wait_for_release(mut released: PipeReader) -> i32 {
    let _ = released.read(&mut [0]);
    0
}

impl Kept {
    /// The mount namespace of a process. While it is kept, the process ends without taking its mounts down first.
    ///
    /// # Errors
    /// As open(2).
    pub fn mounts_of(pid: u32) -> io::Result<Self> {
        Ok(Self(vec![(Namespace::Mount, clone::keep(pid, Namespace::Mount)?)]))
    }

    /// Whether this namespace is among them.
    #[must_use]
    pub fn has(&self, namespace: Namespace) -> bool {
        self.0.iter().any(|(kept, _)| *kept == namespace)
    }

    /// Goes into them and completes the view.
    ///
    /// # Errors
    /// As [`view::complete`], or the namespace that was not entered.
    pub fn enter(&self, start: &Start) -> Result<(), Failure> {
        for (namespace, kept) in &self.0 {
            clone::enter(*namespace, kept.as_fd()).at(Stage::View, namespace.file_name())?;
        }
        match &start.view {
            Some(view) => view::complete(view),
            None => Ok(()),
        }
    }
}
