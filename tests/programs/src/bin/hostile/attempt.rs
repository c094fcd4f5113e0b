//! An attempt, and what came of it.

use std::io;
use std::path::PathBuf;

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It got out; what it got.
    Out(String),
    /// It was held back; how.
    Held(String),
    /// It could not be made at all here; why.
    NotMade(String),
}

use Outcome::{Held, NotMade, Out};

impl Outcome {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Out(_) => "out",
            Held(_) => "held",
            NotMade(_) => "not-made",
        }
    }

    pub(crate) fn detail(&self) -> &str {
        match self {
            Out(text) | Held(text) | NotMade(text) => text,
        }
    }

    /// Success is out; a kernel without the call makes no attempt possible.
    pub(crate) fn of<T>(result: io::Result<T>, got: &str) -> Self {
        match result {
            Ok(_) => Out(got.to_owned()),
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                NotMade("this kernel has no such call".to_owned())
            }
            Err(error) => Held(error.to_string()),
        }
    }

    /// For calls that check rights first and then find fault with nonsense: only a refusal for want of rights holds.
    pub(crate) fn unless_refused(result: io::Result<usize>, got: &str) -> Self {
        match result {
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => Held(error.to_string()),
                Some(libc::ENOSYS) => NotMade("this kernel has no such call".to_owned()),
                _ => Out(format!("{got} ({error})")),
            },
            Ok(_) => Out(got.to_owned()),
        }
    }

    /// The first that gets out; else what the last says.
    pub(crate) fn any(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let mut last = NotMade("nothing to try it on".to_owned());
        for outcome in outcomes {
            match outcome {
                Out(_) => return outcome,
                Held(_) => last = outcome,
                NotMade(_) if matches!(last, NotMade(_)) => last = outcome,
                NotMade(_) => {}
            }
        }
        last
    }
}

/// What there is to get at, told by the test.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    /// Words that only those may read to whom they belong.
    pub(crate) mark: String,
    /// The victim's main process, by its pid on the host.
    pub(crate) victim: u32,
    /// A directory of its own that can be written.
    pub(crate) own: PathBuf,
    /// The host's path of what is called so, e.g. `ledger`.
    places: Vec<(String, PathBuf)>,
}

impl Targets {
    pub(crate) fn from_env() -> Self {
        let var = |name: &str| std::env::var(name).unwrap_or_default();
        let places = var("HOSTILE_PLACES");
        let place = |line: &str| line.split_once('=').map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        Self {
            mark: var("HOSTILE_MARK"),
            victim: var("HOSTILE_VICTIM").parse().unwrap_or_default(),
            own: PathBuf::from(var("HOSTILE_OWN")),
            places: places.split(',').filter_map(place).collect(),
        }
    }

    pub(crate) fn place(&self, name: &str) -> Option<&PathBuf> {
        self.places.iter().find(|(known, _)| known == name).map(|(_, path)| path)
    }
}

/// One way out.
pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Targets) -> Outcome,
}
