//! The policy in force: read from its file when that changes, and asked before anything new is done.
//!
//! A file that is broken, or gone while the daemon runs, is said so and changes nothing: the last good one holds. Without a
//! file at the start the built-in policy holds; with a broken one nothing new is allowed until it is mended. What runs
//! already is not asked about.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_model::{Container, Permit, Pod};
use barepod_policy::{Policy, Subject, Verb, Verdict};
use barepod_reader::LocalHost;
use nix::unistd::geteuid;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::watch::DirectoryWatch;

/// A save is several events.
const SETTLE: Duration = Duration::from_millis(100);

/// Where the policy in force is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From its file.
    File,
    /// From this program: there is no file.
    BuiltIn,
    /// From nowhere: the file was broken when the daemon started.
    Nothing,
}

/// What holds.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) policy: Policy,
    pub(crate) text: String,
    pub(crate) origin: Origin,
    /// What is wrong with the file as it is now.
    pub(crate) fault: Option<String>,
}

/// The way to the policy.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    path: PathBuf,
    now: watch::Sender<Arc<InForce>>,
}

impl Rules {
    /// Reads the file, or takes the built-in policy where there is none.
    pub(crate) fn load(path: PathBuf) -> Self {
        let held = match read(&path) {
            Ok(Some((policy, text))) => InForce { policy, text, origin: Origin::File, fault: None },
            Ok(None) => built_in(),
            Err(fault) => {
                tracing::error!("nothing new is allowed until the policy is mended: {fault}");
                let policy = Policy::nothing(&path.display().to_string());
                InForce { policy, text: String::new(), origin: Origin::Nothing, fault: Some(fault) }
            }
        };
        Self { path, now: watch::Sender::new(Arc::new(held)) }
    }

    /// Looks at the file whenever it may have changed, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut watch = DirectoryWatch::new(self.path.parent().unwrap_or(Path::new("/")));
        // It may have changed between the daemon's start and the watch.
        self.look();
        loop {
            // Cancel-safe: what was seen and not dealt with is of no account when the daemon ends.
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.changed() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = watch.settled(SETTLE) => {}
            }
            self.look();
        }
    }

    fn look(&self) {
        let held = self.held();
        let next = match read(&self.path) {
            Ok(Some((policy, text))) => InForce { policy, text, origin: Origin::File, fault: None },
            Ok(None) if held.origin == Origin::BuiltIn => return,
            Ok(None) if held.origin == Origin::Nothing => built_in(),
            Ok(None) => with_fault(&held, format!("{} is gone; the last good one holds", self.path.display())),
            Err(fault) => with_fault(&held, fault),
        };
        let same_rules = next.text == held.text && next.origin == held.origin;
        if same_rules && next.fault == held.fault {
            return;
        }
        match (&next.fault, same_rules) {
            (Some(fault), _) => tracing::error!("the policy is as it was: {fault}"),
            (None, true) => tracing::info!("the policy file is sound again"),
            (None, false) => tracing::info!(path = %self.path.display(), "a new policy is in force"),
        }
        self.now.send_replace(Arc::new(next));
    }

    /// What holds now.
    pub(crate) fn held(&self) -> Arc<InForce> {
        Arc::clone(&self.now.borrow())
    }

    /// Tells when another one holds.
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<InForce>> {
        self.now.subscribe()
    }

    /// The word on a pod. Asks the host for accounts and paths, which may take its time.
    pub(crate) async fn permit(&self, pod: &Pod, subject: &Subject) -> Permit {
        let (held, pod, subject) = (self.held(), pod.clone(), subject.clone());
        let judged = tokio::task::spawn_blocking(move || held.judge(&pod, &subject)).await;
        judged.unwrap_or_else(|error| Permit::Refused { message: format!("the policy could not be asked: {error}") })
    }
}

impl InForce {
    /// The word on a pod.
    pub(crate) fn judge(&self, pod: &Pod, subject: &Subject) -> Permit {
        match barepod_policy::judge(&self.policy, subject, pod, &LocalHost).permit(&self.policy) {
            Permit::Refused { message } => Permit::Refused { message: self.with_fault(message) },
            granted @ Permit::Granted(_) => granted,
        }
    }

    /// Whether somebody may do this; the error says why not.
    pub(crate) fn may(
        &self,
        subject: &Subject,
        verb: Verb,
        (namespace, what): (&str, &str),
        exec: Option<(&str, &Container)>,
    ) -> Result<(), String> {
        let place = (Some(namespace), what);
        self.word(&barepod_policy::may(&self.policy, subject, verb, place, exec, &LocalHost))
    }

    /// A verdict as an answer.
    pub(crate) fn word(&self, verdict: &Verdict) -> Result<(), String> {
        verdict.denial().map_or(Ok(()), |message| Err(self.with_fault(message)))
    }

    fn with_fault(&self, message: String) -> String {
        match &self.fault {
            Some(fault) => format!("{message} (the policy file cannot be used as it is now: {fault})"),
            None => message,
        }
    }
}

fn with_fault(held: &InForce, fault: String) -> InForce {
    InForce { policy: held.policy.clone(), text: held.text.clone(), origin: held.origin, fault: Some(fault) }
}

fn built_in() -> InForce {
    let text = barepod_policy::DEFAULT;
    let policy = barepod_policy::parse("built-in policy", text).expect("its test parses it");
    InForce { policy, text: text.to_owned(), origin: Origin::BuiltIn, fault: None }
}

/// The policy of a file; `None` where there is no file.
///
/// # Errors
/// Why it cannot be used, in one line.
pub(crate) fn read(path: &Path) -> Result<Option<(Policy, String)>, String> {
    let text = fs_err::File::open(path).and_then(|mut file| {
        refuse_writable(path, &file.metadata()?)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(text)
    });
    match text {
        Ok(text) => match barepod_policy::parse(&path.display().to_string(), &text) {
            Ok(policy) => Ok(Some((policy, text))),
            Err(error) => Err(error.to_string()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Whoever may write the policy is the administrator, so nobody else may.
fn refuse_writable(path: &Path, metadata: &Metadata) -> io::Result<()> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if (owner == 0 || owner == geteuid().as_raw()) && mode & 0o022 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::other(format!(
        "{path} may be written by others than root (owner {owner}, mode {mode:04o}); chown root {path}; chmod 0644 {path}"
    )))
}
