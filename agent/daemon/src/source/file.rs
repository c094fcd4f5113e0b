//! The source `file`: pods whose manifests lie in a directory of this host, with the objects they refer to.
//!
//! One task owns the directory. It learns of changes by inotify, of other file systems mounted over it by mountinfo, and
//! of `barepod apply` and `delete` by its channel; whatever comes, it compares the directory with what it knew. A changed
//! object is looked up again for the pods of all files that refer to it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{Accepted, Denied, Event, Evidence, Input, PodView, Severity};
use barepod_manifest::{Object, ObjectRef, ParsedPod};
use barepod_model::{Pod, PodUid, Reason, Source};
use barepod_policy::{Policy, Subject, User, Verdict};
use barepod_reader::{Diagnostics, ReadPod, Reader, may_apply, user_of};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::apply::ApplyOutcome;
use super::directory::{self, Absence, Contents, Identity, Snapshot};
use super::index::{Index, Known, Name};
use crate::board::Board;
use crate::journal::Journal;
use crate::policy::Rules;
use crate::supervisor::{Handle, Request};
use crate::watch::DirectoryWatch;

/// A rename or an editor's save is several events; after this pause the directory is looked at as a whole.
const SETTLE: Duration = Duration::from_millis(100);

/// Why a request to the source failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("the manifest {} cannot be removed, so the pod is left as it is", path.display())]
    Remove { path: PathBuf, source: io::Error },
}

enum Order {
    Apply { files: Vec<(String, String)>, dry_run: bool, user: User, reply: oneshot::Sender<ApplyOutcome> },
    Judge { files: Vec<(String, String)>, subject: Subject, policy: Policy, reply: oneshot::Sender<Judged> },
    Delete { pod: Arc<PodView>, grace: Option<Duration>, reply: oneshot::Sender<Result<Accepted, FileError>> },
}

/// What a policy says to some files.
pub(crate) type Judged = (Vec<Verdict>, Diagnostics);

/// The way to the source.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    orders: mpsc::Sender<Order>,
}

impl Files {
    /// Checks, accepts and saves manifests.
    pub(crate) async fn apply(&self, files: Vec<(String, String)>, dry_run: bool, user: User) -> Option<ApplyOutcome> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Apply { files, dry_run, user, reply }).await.ok()?;
        answer.await.ok()
    }

    /// What a policy says to manifests, beside the objects there are.
    pub(crate) async fn judge(&self, files: Vec<(String, String)>, subject: Subject, policy: Policy) -> Option<Judged> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Judge { files, subject, policy, reply }).await.ok()?;
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

/// The task that owns the manifests directory.
pub(crate) struct FileSource {
    pub(super) dir: PathBuf,
    pub(super) reader: Arc<Reader>,
    pub(super) supervisor: Handle,
    pub(super) rules: Rules,
    board: Arc<Board>,
    journal: Arc<Journal>,
    orders: mpsc::Receiver<Order>,
    identity: Option<Identity>,
    pub(super) index: Index,
}

impl FileSource {
    pub(crate) fn new(
        dir: PathBuf,
        reader: Arc<Reader>,
        supervisor: Handle,
        rules: Rules,
        (board, journal): (Arc<Board>, Arc<Journal>),
    ) -> (Self, Files) {
        let (sender, orders) = mpsc::channel(16);
        let (identity, index) = (None, Index::default());
        let source = Self { dir, reader, supervisor, rules, board, journal, orders, identity, index };
        (source, Files { orders: sender })
    }

    /// Runs until `stop`. Pods of files run on.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut watch = DirectoryWatch::new(&self.dir);
        let mut policy = self.rules.follow();
        // Which pods there are must be known before their UIDs are asked for.
        self.supervisor.pulse().await;
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
                // Cancel-safe: a change stays unseen until it is told.
                Ok(()) = policy.changed() => self.try_again().await,
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
            Order::Apply { files, dry_run, user, reply } => {
                reply.send(self.apply(files, dry_run, user).await).ok();
            }
            Order::Judge { files, subject, policy, reply } => {
                let mut diagnostics = Diagnostics::default();
                let verdicts = self.reader.judge(&files, &self.index.objects, &policy, &subject, &mut diagnostics);
                reply.send((verdicts, diagnostics)).ok();
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
            self.index.files.keys().filter(|path| !snapshot.files.contains_key(*path)).cloned().collect();
        let before = self.identity.replace(snapshot.identity);
        // First what is there: a pod whose file was renamed is then known under its new one.
        self.take_in(&snapshot).await;
        if let Some(before) = before.filter(|_| !gone.is_empty()) {
            let absence = directory::judge(before, snapshot.identity, gone.len(), snapshot.files.len());
            self.take_out(gone, &absence).await;
        }
    }

    async fn take_in(&mut self, snapshot: &Snapshot) {
        let mut changed = Vec::new();
        for (path, contents) in &snapshot.files {
            match contents {
                Err(message) => {
                    tracing::warn!(path = %path.display(), message, "a manifest cannot be read; its pods run on")
                }
                Ok(Contents { text, owner }) => match self.index.files.get_mut(path) {
                    Some(known) if known.text == *text => known.owner = *owner,
                    Some(_) | None => changed.push((path.clone(), text.clone(), *owner)),
                },
            }
        }
        self.take_in_files(changed).await;
    }

    /// All objects first, whatever the files are called, then the pods that need them.
    pub(super) async fn take_in_files(&mut self, files: Vec<(PathBuf, String, u32)>) {
        let (mut touched, mut read) = (BTreeSet::new(), Vec::new());
        for (path, text, owner) in files {
            let mut diagnostics = Diagnostics::default();
            let found = self.reader.read(&path.display().to_string(), &text, &mut diagnostics);
            warn(&path, &diagnostics);
            // What was accepted from this file stands; the text is kept so that it is complained about once.
            let known = self.index.files.entry(path.clone()).or_default();
            *known = Known { text, owner, denied: false, ..std::mem::take(known) };
            let Some(mut found) = found else { continue };
            self.keep_permitted(&path, &mut found.objects);
            let change = self.index.take(&path, found.objects, Path::exists);
            change.said.iter().for_each(|said| tracing::warn!(path = %path.display(), "{said}"));
            self.tell_dropped(&change.dropped);
            touched.extend(change.touched);
            read.push((path, found.pods));
        }
        for path in self.index.referring(&touched) {
            if !read.iter().any(|(known, _)| *known == path) {
                read.extend(self.read_again(&path).map(|pods| (path, pods)));
            }
        }
        for (path, pods) in read {
            self.take_in_pods(&path, pods).await;
        }
    }

    /// Drops the objects that the policy does not let the file's owner have.
    fn keep_permitted(&mut self, path: &Path, objects: &mut Vec<Object>) {
        let Some(known) = self.index.files.get_mut(path) else { return };
        let (held, subject) = (self.rules.held(), subject(user_of(known.owner, None)));
        objects.retain(|object| match held.word(&may_apply(&held.policy, &subject, object)) {
            Ok(()) => true,
            Err(message) => {
                tracing::warn!(path = %path.display(), reason = %Reason::Forbidden, "denied: {message}");
                known.denied = true;
                false
            }
        });
    }

    /// Another policy holds: what the one before denied may be allowed now. What is there already is not touched.
    async fn try_again(&mut self) {
        let denied = self.index.files.iter().filter(|(_, known)| known.denied);
        let files = denied.map(|(path, known)| (path.clone(), known.text.clone(), known.owner)).collect();
        self.take_in_files(files).await;
    }

    /// The pods of a file whose text is known. What is to be said of it has been said.
    fn read_again(&self, path: &Path) -> Option<Vec<ParsedPod>> {
        let text = &self.index.files.get(path)?.text;
        let found = self.reader.read(&path.display().to_string(), text, &mut Diagnostics::default())?;
        Some(found.pods)
    }

    async fn take_in_pods(&mut self, path: &Path, parsed: Vec<ParsedPod>) {
        let refers = parsed.iter().flat_map(|pod| pod.references(&self.index.objects)).collect();
        let known = self.index.files.entry(path.to_owned()).or_default();
        known.refers = refers;
        let (before, by) = (known.pods.clone(), subject(user_of(known.owner, None)));
        let mut diagnostics = Diagnostics::default();
        let objects = &self.index.objects;
        let read = self.reader.assemble(
            parsed,
            Source::File,
            objects,
            &self.reader.facts(),
            |pod| self.living(pod),
            &mut diagnostics,
        );
        warn(path, &diagnostics);
        let Some(read) = read else { return };
        let (mut pods, mut forbidden) = (BTreeSet::new(), false);
        for ReadPod { pod, host } in read {
            let name = name_of(&pod);
            if let Some(other) = self.index.file_of(&name).filter(|other| *other != path && other.exists()) {
                tracing::warn!(path = %path.display(), other = %other.display(), namespace = name.0, pod = name.1,
                    "two manifests describe one pod; the earlier one stands");
                continue;
            }
            pods.insert(name.clone());
            let uid = pod.uid.clone();
            match self.supervisor.ask(Request::Apply(Box::new(pod), by.clone())).await {
                Ok(_) => self.tell_of_host(&name, host),
                Err(denied) => {
                    tracing::warn!(path = %path.display(), reason = %denied.reason, "denied: {denied}");
                    if denied.reason == Reason::Forbidden {
                        forbidden = true;
                        self.tell_forbidden(uid, denied.message);
                    }
                }
            }
        }
        let dropped: Vec<Name> = before.difference(&pods).cloned().collect();
        let known = self.index.files.entry(path.to_owned()).or_default();
        known.pods = pods;
        known.denied |= forbidden;
        // Edited out of a file that is there and sound: as good as its removal.
        self.remove(&dropped).await;
    }

    /// A pod that lives goes on as it is; who looks at it should know that it is not as its file says.
    fn tell_forbidden(&self, pod: PodUid, message: String) {
        if let Some(view) = self.board.get(&pod) {
            let (severity, reason) = (Severity::Warning, Reason::Forbidden);
            self.journal.add(Event { pod, container: None, severity, reason, message }, Some(&view));
        }
    }

    /// The UID of the living pod that a manifest describes.
    pub(super) fn living(&self, parsed: &ParsedPod) -> Option<PodUid> {
        self.pods().find(|pod| pod.namespace == parsed.namespace && pod.name == parsed.name).map(|pod| pod.uid.clone())
    }

    async fn take_out(&mut self, gone: Vec<PathBuf>, absence: &Absence) {
        let mut dropped = BTreeSet::new();
        for path in gone {
            let (pods, objects) = match absence {
                Absence::Removed => match self.index.remove(&path) {
                    Some((known, objects)) => (known.pods, objects),
                    None => continue,
                },
                // Nobody saw its objects go: they stay as they were.
                Absence::Unknown => match self.index.files.remove(&path) {
                    Some(known) => (known.pods, BTreeSet::new()),
                    None => continue,
                },
            };
            dropped.extend(objects);
            let pods: Vec<Name> = pods.into_iter().filter(|name| self.index.file_of(name).is_none()).collect();
            match absence {
                Absence::Removed => self.remove(&pods).await,
                Absence::Unknown => self.missing(&pods).await,
            }
        }
        self.tell_dropped(&dropped);
        // Another file may define one of them too.
        let heirs = self.index.shadowed(&dropped).into_iter();
        let heirs: Vec<_> = heirs.filter_map(|path| self.index.text_of(path)).collect();
        Box::pin(self.take_in_files(heirs)).await;
    }

    /// Pods keep what they have of an object that is gone; who looks at them should know.
    fn tell_dropped(&self, dropped: &BTreeSet<ObjectRef>) {
        for id in dropped {
            tracing::warn!(object = %id, namespace = id.namespace, "it is described by no file any more; pods keep what they have of it");
            for path in self.index.referring(&BTreeSet::from([id.clone()])) {
                let names = self.index.files.get(&path).map(|known| known.pods.iter().cloned().collect::<Vec<_>>());
                for uid in self.uids(&names.unwrap_or_default()) {
                    let message = format!("{id} was removed: the pod keeps what it has of it, but may not start again");
                    self.degraded(uid, message);
                }
            }
        }
    }

    /// The host is not as the pod's presets would have it.
    pub(super) fn tell_of_host(&self, pod: &Name, said: Vec<String>) {
        let uids = if said.is_empty() { Vec::new() } else { self.uids(std::slice::from_ref(pod)) };
        for message in said {
            uids.iter().for_each(|uid| self.degraded(uid.clone(), message.clone()));
        }
    }

    fn degraded(&self, pod: PodUid, message: String) {
        let view = self.board.get(&pod);
        let (severity, reason) = (Severity::Warning, Reason::Degraded);
        self.journal.add(Event { pod, container: None, severity, reason, message }, view.as_deref());
    }

    async fn all_unknown(&mut self) {
        // Their objects stay as they were: nobody saw them go.
        let pods: Vec<Name> =
            std::mem::take(&mut self.index.files).into_values().flat_map(|known| known.pods).collect();
        self.identity = None;
        self.missing(&pods).await;
    }

    /// Pods of this source that no file describes: nobody saw their file go, so they run on and are shown as orphaned.
    async fn report_missing(&mut self) {
        let described: BTreeSet<Name> =
            self.index.files.values().flat_map(|known| known.pods.iter().cloned()).collect();
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

    /// The file goes first, aside: if the daemon dies in between, a pod without a file is orphaned and runs on, while a
    /// file without a pod would bring the pod back.
    async fn delete(&mut self, view: &PodView, grace: Option<Duration>) -> Result<Accepted, FileError> {
        let name = view.pod.as_deref().map(name_of);
        let path = match name.as_ref().and_then(|name| self.index.file_of(name).map(|_| name)) {
            Some(name) => Some(self.home(name)?),
            None => None,
        };
        let aside = path.as_deref().map(set_aside).transpose()?;
        let request = Request::Delete { pod: view.uid.clone(), grace, evidence: Evidence::Operator };
        let result = self.supervisor.ask(request).await;
        if let (Some(path), Some(aside)) = (path, aside) {
            match &result {
                Ok(_) => {
                    self.index.remove(&path);
                    put_away(fs_err::remove_file(&aside), &aside);
                }
                Err(_) => put_away(fs_err::rename(&aside, &path), &aside),
            }
        }
        Ok(result?)
    }
}

fn warn(path: &Path, diagnostics: &Diagnostics) {
    for diagnostic in &diagnostics.0 {
        tracing::warn!(path = %path.display(), "{diagnostic}");
    }
}

/// Who asks for what lies in files.
pub(super) fn subject(user: User) -> Subject {
    Subject { source: Source::File, user: Some(user) }
}

pub(super) fn name_of(pod: &Pod) -> Name {
    (pod.namespace.to_string(), pod.name.to_string())
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

pub(super) fn hidden(path: &Path, suffix: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{suffix}"))
}
