//! A view made before it is needed, so that a restart does not wait for it.
//!
//! ```text
//!   None ──GetReady──▶ Making ──the child says so──▶ Made ──Start of that name──▶ None
//!                         └──it failed, or hangs: nobody waits for it──▶ None
//! ```
//!
//! A child makes the namespaces and the view; then this process keeps the namespaces open and the child ends. They cost no
//! process, no memory of this one's, and nothing in the attempt's cgroup. What hangs, like a mount of a server that is away,
//! hangs the child alone.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use barepod_sys::clone::{self, Child, Namespace, SingleThreaded};
use barepod_sys::{descriptor, pidfd, signal};

use crate::child;
use crate::failure::{At as _, Failure};
use crate::launch::wanted;
use crate::view;
use crate::wire::start_failed::Stage;
use crate::wire::{GetReady, Start};

/// What can be kept without a process in it.
const KEPT: [Namespace; 3] = [Namespace::Mount, Namespace::Uts, Namespace::Ipc];

/// A view that is being made, or stands ready.
#[derive(Debug)]
pub struct Ready {
    name: String,
    state: State,
}

#[derive(Debug)]
enum State {
    /// By this child. It holds on to its namespaces until `release` is closed.
    Making { child: Child, namespaces: Vec<Namespace>, said: PipeReader, release: PipeWriter },
    /// By one that has ended.
    Made(Kept),
}

/// Namespaces with a view in them and no process.
#[derive(Debug)]
pub struct Kept(Vec<(Namespace, OwnedFd)>);

impl Ready {
    /// Begins to make one.
    ///
    /// # Errors
    /// As pipe(2) and clone3(2).
    pub fn begin(asked: &GetReady) -> io::Result<Self> {
        let (said, mut says) = io::pipe()?;
        let (released, release) = io::pipe()?;
        let namespaces: Vec<_> =
            wanted(asked.namespaces.unwrap_or_default()).filter(|namespace| KEPT.contains(namespace)).collect();
        let child = clone::spawn(SingleThreaded::check()?, namespaces.iter().copied(), None, || {
            // also its copies of the shim's lock and of the other ends: should it hang, nobody waits for those
            let alone = descriptor::close_all_but([says.as_fd(), released.as_fd()]);
            match alone.is_ok() && child::make_ready(asked).is_ok() && says.write_all(b"1").is_ok() {
                true => wait_for_release(released),
                false => 1,
            }
        })?;
        let state = State::Making { child, namespaces, said, release };
        Ok(Self { name: asked.name.clone(), state })
    }

    /// Where the child speaks.
    #[must_use]
    pub fn says(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Making { said, .. } => Some(said.as_fd()),
            State::Made(_) => None,
        }
    }

    /// Hears the child: keeps what it made. `None` if it made nothing.
    #[must_use]
    pub fn hear(self) -> Option<Self> {
        let Self { name, state } = self;
        let kept = match state {
            State::Making { child, namespaces, mut said, release } => {
                said.read_exact(&mut [0]).ok()?;
                let keep = |namespace| clone::keep(child.pid, namespace).map(|kept| (namespace, kept));
                let kept = namespaces.into_iter().map(keep).collect::<io::Result<_>>().ok()?;
                drop(release);
                Kept(kept)
            }
            State::Made(kept) => kept,
        };
        Some(Self { name, state: State::Made(kept) })
    }

    /// What stands ready for this start.
    #[must_use]
    pub fn take(self, start: &Start) -> Option<Kept> {
        match self.state {
            State::Made(kept) if !start.ready.is_empty() && self.name == start.ready => Some(kept),
            State::Made(_) | State::Making { .. } => {
                self.dismiss();
                None
            }
        }
    }

    /// It is not needed any more.
    pub fn dismiss(self) {
        if let State::Making { child, .. } = self.state {
            // it may be hanging; its end is seen like that of any child
            let _ = pidfd::send_signal(child.pidfd.as_fd(), signal::KILL);
        }
    }
}

/// Until the other end is closed, or the shim is dead: either way this process is not needed any more.
fn wait_for_release(mut released: PipeReader) -> i32 {
    let _ = released.read(&mut [0]);
    0
}

impl Kept {
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
