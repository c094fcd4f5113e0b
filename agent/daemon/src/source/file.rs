//! The source `file`: pods whose manifests lie in a directory of this host.
//!
//! One task owns the directory. It learns of changes by inotify, of other file systems mounted over it by mountinfo, and
//! of `barepod apply` and `delete` by its channel; whatever comes, it compares the directory with what it knew.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{Accepted, Denied, Evidence, Input, PodView};
use barepod_model::{Pod, PodUid, Reason, Source};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::directory::{self, Absence, Identity, Snapshot};
use crate::board::Board;
use crate::reader::{Diagnostics, Reader};
use crate::supervisor::{Handle, Request};
use crate::watch::DirectoryWatch;

/// A pod's name with its namespace.
type Name = (String, String);

/// A rename or an editor's save is several events; after this pause the directory is looked at as a whole.
const SETTLE: Duration = Duration::from_millis(100);

/// What became of one pod of an apply.
#[derive(Debug)]
pub(crate) struct PodOutcome {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) result: Result<Accepted, Denied>,
    /// Accepted, but something is not as it should be.
    pub(crate) warning: Option<String>,
}

/// What became of an apply.
#[derive(Debug)]
pub(crate) struct ApplyOutcome {
    pub(crate) diagnostics: Diagnostics,
    pub(crate) pods: Vec<PodOutcome>,
}

/// Why a request to the source failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the manifest {} cannot be removed, so the pod is left as it is", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

enum Order {
    Apply { files: Vec<(String, String)>, dry_run: bool, reply: oneshot::Sender<ApplyOutcome> },
    Delete { pod: Arc<PodView>, grace: Option<Duration>, reply: oneshot::Sender<Result<Accepted, FileError>> },
}

/// The way to the source.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    orders: mpsc::Sender<Order>,
}

impl Files {
    /// Checks, accepts and saves manifests.
    pub(crate) async fn apply(&self, files: Vec<(String, String)>, dry_run: bool) -> Option<ApplyOutcome> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Apply { files, dry_run, reply }).await.ok()?;
        answer.await.ok()
    }

    /// Removes a pod's manifest and ends it.
    pub(crate) async fn delete(&self, pod: Arc<PodView>, grace: Option<Duration>) -> Result<Accepted, FileError> {
        let gone = || Denied { reason: Reason::NotReady, message: "barepodd is ending; try again".to_owned() };
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Delete { pod, grace, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// A manifest file as it was last taken in.
#[derive(Debug, Default)]
struct Known {
    text: String,
    pods: BTreeSet<Name>,
}

/// The task that owns the manifests directory.
pub(crate) struct FileSource {
    dir: PathBuf,
    reader: Arc<Reader>,
    supervisor: Handle,
    board: Arc<Board>,
    orders: mpsc::Receiver<Order>,
    identity: Option<Identity>,
    known: BTreeMap<PathBuf, Known>,
}

impl FileSource {
    pub(crate) fn new(dir: PathBuf, reader: Arc<Reader>, supervisor: Handle, board: Arc<Board>) -> (Self, Files) {
        let (sender, orders) = mpsc::channel(16);
        let source = Self { dir, reader, supervisor, board, orders, identity: None, known: BTreeMap::new() };
        (source, Files { orders: sender })
    }

    /// Runs until `stop`. Pods of files run on.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut watch = DirectoryWatch::new(&self.dir);
        self.look().await;
        self.report_missing().await;
        loop {
            // Cancel-safe: `recv` loses nothing; a change that `changed` has seen and was dropped with is still pending
            // in the watch, which clears only on return.
            tokio::select! {
                () = stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(order) => self.carry_out(order).await,
                    None => return,
                },
                () = watch.changed() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = watch.settled(SETTLE) => {}
                    }
                    self.look().await;
                }
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        // Whoever asked may have gone; what was asked is done all the same.
        match order {
            Order::Apply { files, dry_run, reply } => {
                reply.send(self.apply(files, dry_run).await).ok();
            }
            Order::Delete { pod, grace, reply } => {
                reply.send(self.delete(&pod, grace).await).ok();
            }
        }
    }

    // ---- the directory ----

    /// Compares the directory with what is known, and tells the differences.
    async fn look(&mut self) {
        let snapshot = match directory::read(&self.dir) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, "the manifests directory cannot be read; its pods run on");
                return self.all_unknown().await;
            }
        };
        let gone: Vec<PathBuf> =
            self.known.keys().filter(|path| !snapshot.files.contains_key(*path)).cloned().collect();
        let before = self.identity.replace(snapshot.identity);
        // First what is there: a pod whose file was renamed is then known under its new one.
        self.take_in(&snapshot).await;
        if let Some(before) = before.filter(|_| !gone.is_empty()) {
            let absence = directory::judge(before, snapshot.identity, gone.len(), snapshot.files.len());
            self.take_out(gone, &absence).await;
        }
    }

    async fn take_in(&mut self, snapshot: &Snapshot) {
        for (path, contents) in &snapshot.files {
            match contents {
                Err(message) => {
                    tracing::warn!(path = %path.display(), message, "a manifest cannot be read; its pods run on")
                }
                Ok(text) if self.known.get(path).is_some_and(|known| known.text == *text) => {}
                Ok(text) => self.take_in_file(path, text).await,
            }
        }
    }

    async fn take_in_file(&mut self, path: &Path, text: &str) {
        let read = self.reader.read(&path.display().to_string(), text, Source::File);
        for diagnostic in &read.diagnostics.0 {
            tracing::warn!(path = %path.display(), "{diagnostic}");
        }
        let before = self.known.get(path).map(|known| known.pods.clone()).unwrap_or_default();
        if read.diagnostics.has_errors() {
            // What was accepted from this file stands; the text is kept so that it is complained about once.
            self.known.insert(path.to_owned(), Known { text: text.to_owned(), pods: before });
            return;
        }
        let mut pods = BTreeSet::new();
        for pod in read.pods {
            let name = name_of(&pod);
            if let Some(other) = self.file_of(&name).filter(|other| *other != path && other.exists()) {
                tracing::warn!(path = %path.display(), other = %other.display(), namespace = name.0, pod = name.1,
                    "two manifests describe one pod; the earlier one stands");
                continue;
            }
            pods.insert(name);
            if let Err(denied) = self.supervisor.ask(Request::Apply(Box::new(pod))).await {
                tracing::warn!(path = %path.display(), reason = %denied.reason, "denied: {denied}");
            }
        }
        let dropped: Vec<Name> = before.difference(&pods).cloned().collect();
        self.known.insert(path.to_owned(), Known { text: text.to_owned(), pods });
        // Edited out of a file that is there and sound: as good as its removal.
        self.remove(&dropped).await;
    }

    async fn take_out(&mut self, gone: Vec<PathBuf>, absence: &Absence) {
        for path in gone {
            let Some(known) = self.known.remove(&path) else { continue };
            let pods: Vec<Name> = known.pods.into_iter().filter(|name| self.file_of(name).is_none()).collect();
            match absence {
                Absence::Removed => self.remove(&pods).await,
                Absence::Unknown => self.missing(&pods).await,
            }
        }
    }

    async fn all_unknown(&mut self) {
        let pods: Vec<Name> = std::mem::take(&mut self.known).into_values().flat_map(|known| known.pods).collect();
        self.identity = None;
        self.missing(&pods).await;
    }

    /// Pods of this source that no file describes: nobody saw their file go, so they run on and are shown as orphaned.
    async fn report_missing(&mut self) {
        let described: BTreeSet<Name> = self.known.values().flat_map(|known| known.pods.iter().cloned()).collect();
        let missing: Vec<Name> =
            self.pods().map(|pod| name_of(&pod)).filter(|name| !described.contains(name)).collect();
        self.missing(&missing).await;
    }

    async fn remove(&self, pods: &[Name]) {
        for uid in self.uids(pods) {
            let request = Request::Delete { pod: uid, grace: None, evidence: Evidence::FileRemoved };
            if let Err(denied) = self.supervisor.ask(request).await {
                tracing::warn!(reason = %denied.reason, "a pod whose manifest was removed is not ended: {denied}");
            }
        }
    }

    async fn missing(&self, pods: &[Name]) {
        for pod in self.uids(pods) {
            self.supervisor.tell(Input::Missing { pod }).await;
        }
    }

    fn file_of(&self, name: &Name) -> Option<&Path> {
        self.known.iter().find(|(_, known)| known.pods.contains(name)).map(|(path, _)| path.as_path())
    }

    fn pods(&self) -> impl Iterator<Item = Arc<Pod>> {
        let living = |view: &Arc<PodView>| view.deletion.is_none();
        self.board
            .list()
            .into_iter()
            .filter(living)
            .filter_map(|view| view.pod.clone())
            .filter(|p| p.source == Source::File)
    }

    fn uids(&self, names: &[Name]) -> Vec<PodUid> {
        self.pods().filter(|pod| names.contains(&name_of(pod))).map(|pod| pod.uid.clone()).collect()
    }

    // ---- requests ----

    async fn apply(&mut self, files: Vec<(String, String)>, dry_run: bool) -> ApplyOutcome {
        let mut outcome = ApplyOutcome { diagnostics: Diagnostics::default(), pods: Vec::new() };
        for (name, text) in files {
            let read = self.reader.read(&name, &text, Source::File);
            let sound = !read.diagnostics.has_errors();
            outcome.diagnostics.0.extend(read.diagnostics.0);
            if !sound || dry_run {
                continue;
            }
            let alone = read.pods.len() == 1;
            for pod in read.pods {
                // The author's own words, comments and all, where the file is this pod's alone.
                let text = if alone { text.clone() } else { pretty(&pod) };
                outcome.pods.push(self.apply_pod(pod, text).await);
            }
        }
        outcome
    }

    async fn apply_pod(&mut self, pod: Pod, text: String) -> PodOutcome {
        let name = name_of(&pod);
        let (namespace, pod_name) = name.clone();
        let outcome = |result, warning| PodOutcome { namespace, name: pod_name, result, warning };
        let path = match self.home(&name) {
            Ok(path) => path,
            Err(denied) => return outcome(Err(denied), None),
        };
        let result = self.supervisor.ask(Request::Apply(Box::new(pod))).await;
        let warning = match &result {
            Err(_) => None,
            Ok(_) => self.save(&path, name, text).await.err().map(|error| {
                format!("the pod is accepted and runs, but its manifest could not be saved as {}: {error}; apply it again once that is mended", path.display())
            }),
        };
        outcome(result, warning)
    }

    /// The file in which a pod's manifest lies or will lie.
    fn home(&self, name: &Name) -> Result<PathBuf, Denied> {
        let Some(path) = self.file_of(name) else {
            return Ok(self.dir.join(format!("{}_{}.yaml", name.0, name.1)));
        };
        let count = self.known.get(path).map_or(0, |known| known.pods.len());
        if count > 1 {
            let message = format!(
                "pod {}/{} is one of {count} in {}; edit or remove that file instead",
                name.0,
                name.1,
                path.display()
            );
            return Err(Denied { reason: Reason::NotOwner, message });
        }
        Ok(path.to_owned())
    }

    /// The disk is waited for where nobody else waits: the pod is being started meanwhile.
    async fn save(&mut self, path: &Path, name: Name, text: String) -> io::Result<()> {
        let to = path.to_owned();
        let written = tokio::task::spawn_blocking(move || write_atomically(&to, &text).map(|()| text)).await;
        let text = written.map_err(io::Error::other)??;
        self.known.insert(path.to_owned(), Known { text, pods: BTreeSet::from([name]) });
        Ok(())
    }

    /// The file goes first, aside: if the daemon dies in between, a pod without a file is orphaned and runs on, while a
    /// file without a pod would bring the pod back.
    async fn delete(&mut self, view: &PodView, grace: Option<Duration>) -> Result<Accepted, FileError> {
        let name = view.pod.as_deref().map(name_of);
        let path = match name.as_ref().and_then(|name| self.file_of(name).map(|_| name)) {
            Some(name) => Some(self.home(name)?),
            None => None,
        };
        let aside = path.as_deref().map(set_aside).transpose()?;
        let request = Request::Delete { pod: view.uid.clone(), grace, evidence: Evidence::Operator };
        let result = self.supervisor.ask(request).await;
        if let (Some(path), Some(aside)) = (path, aside) {
            match &result {
                Ok(_) => {
                    self.known.remove(&path);
                    put_away(fs_err::remove_file(&aside), &aside);
                }
                Err(_) => put_away(fs_err::rename(&aside, &path), &aside),
            }
        }
        Ok(result?)
    }
}

fn name_of(pod: &Pod) -> Name {
    (pod.namespace.to_string(), pod.name.to_string())
}

fn pretty(pod: &Pod) -> String {
    let value: serde_json::Value = serde_json::from_str(&pod.manifest.0).unwrap_or_default();
    format!("{value:#}\n")
}

/// Temporary file, sync, rename, sync of the directory; 0600, for a manifest may hold passwords.
fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = hidden(path, "new");
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true).options_mut().mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs_err::rename(&temporary, path)?;
    fs_err::File::open(dir)?.sync_all()
}

fn set_aside(path: &Path) -> Result<PathBuf, FileError> {
    let aside = hidden(path, "deleted");
    fs_err::rename(path, &aside).map_err(|source| FileError::Remove { path: path.to_owned(), source })?;
    Ok(aside)
}

fn put_away(result: io::Result<()>, aside: &Path) {
    if let Err(error) = result {
        tracing::warn!(%error, path = %aside.display(), "a manifest set aside stays there");
    }
}

fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}
