//! `barepod apply`: manifests are checked together, then saved and put in force, objects before the pods that refer to them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use barepod_core::{Accepted, Denied, Verb};
use barepod_manifest::{HostFacts, Manifests, Object, ObjectRef, Objects, ParsedPod};
use barepod_model::{Manifest, Reason, Source};
use barepod_policy::{Subject, User};
use barepod_reader::{Diagnostic, Diagnostics, ReadPod, may_apply};
use tokio::task::{JoinError, JoinSet};

use super::file::{FileSource, hidden, name_of, subject};
use super::index::{Known, Name};
use crate::supervisor::{Handle, Request};

/// What became of one pod of an apply.
#[derive(Debug)]
pub(crate) struct PodOutcome {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) result: Result<Accepted, Denied>,
    /// Accepted, but something is not as it should be.
    pub(crate) warning: Option<String>,
}

impl PodOutcome {
    fn new((namespace, name): Name, result: Result<Accepted, Denied>, warning: Option<String>) -> Self {
        Self { namespace, name, result, warning }
    }
}

/// What became of one object of an apply.
#[derive(Debug)]
pub(crate) struct ObjectOutcome {
    pub(crate) id: ObjectRef,
    pub(crate) result: Result<Verb, Denied>,
}

/// What became of an apply.
#[derive(Debug, Default)]
pub(crate) struct ApplyOutcome {
    pub(crate) diagnostics: Diagnostics,
    pub(crate) objects: Vec<ObjectOutcome>,
    pub(crate) pods: Vec<PodOutcome>,
}

/// Pods that are accepted and saved at the same time: their syncs share the disk's work.
const AT_ONCE: usize = 64;

/// One file without errors.
struct Sound {
    name: String,
    text: String,
    found: Manifests,
    /// Made with all objects of the call, whether they are accepted or not.
    pods: Vec<ReadPod>,
}

/// A pod to be applied, and the file it will have.
struct Wanted {
    read: ReadPod,
    refers: BTreeSet<ObjectRef>,
    text: String,
}

/// What became of it.
struct Accepting {
    name: Name,
    path: PathBuf,
    refers: BTreeSet<ObjectRef>,
    /// What is to be told of the host.
    host: Vec<String>,
    result: Result<Accepted, Denied>,
    /// `None` if it was denied.
    saved: Option<io::Result<String>>,
}

/// The disk is waited for where nobody else waits: the pod is being started meanwhile.
async fn accept(supervisor: &Handle, wanted: Wanted, path: PathBuf, user: User) -> Accepting {
    let Wanted { read: ReadPod { pod, host }, refers, text } = wanted;
    let (name, owner) = (name_of(&pod), user.uid);
    let result = supervisor.ask(Request::Apply(Box::new(pod), subject(user))).await;
    let saved = if result.is_ok() { Some(save(&path, text, owner).await) } else { None };
    Accepting { name, path, refers, host, result, saved }
}

impl Sound {
    /// The author's own words, comments and all, where the file is this one thing's alone.
    fn text_of(&self, manifest: &Manifest) -> String {
        if self.found.pods.len() + self.found.objects.len() == 1 { self.text.clone() } else { pretty(manifest) }
    }
}

impl FileSource {
    pub(super) async fn apply(&mut self, files: Vec<(String, String)>, dry_run: bool, user: User) -> ApplyOutcome {
        let mut outcome = ApplyOutcome::default();
        let sound = self.check(files, &mut outcome.diagnostics);
        if dry_run {
            self.judge(&sound, &subject(user), &mut outcome.diagnostics);
            return outcome;
        }
        let mut touched = BTreeSet::new();
        for file in &sound {
            for object in &file.found.objects {
                let result = self.apply_object(object, file.text_of(&object.manifest), &user).await;
                if !matches!(result, Ok(Verb::Unchanged)) {
                    let name = format!("{}/{}/{}", object.id.kind, object.id.namespace, object.id.name);
                    self.supervisor.note_object(user.uid, &name, result.as_ref().err());
                }
                if matches!(result, Ok(Verb::Created | Verb::Configured)) {
                    touched.insert(object.id.clone());
                }
                outcome.objects.push(ObjectOutcome { id: object.id.clone(), result });
            }
        }
        let pods = sound.into_iter().flat_map(|file| self.wanted(file)).collect();
        self.apply_pods(pods, &user, &mut outcome).await;
        self.look_up_again(&touched).await;
        outcome
    }

    /// What the policy would deny is an error of a trial.
    fn judge(&self, sound: &[Sound], subject: &Subject, diagnostics: &mut Diagnostics) {
        let held = self.rules.held();
        let files: Vec<_> = sound.iter().map(|file| (file.name.clone(), file.text.clone())).collect();
        let names: Vec<_> = sound.iter().map(|file| file.name.as_str()).collect();
        // What there is to say of the files themselves has been said.
        let said = &mut Diagnostics::default();
        let verdicts = self.reader.judge(&files, &self.index.objects, &held.policy, subject, said);
        for message in verdicts.iter().filter_map(|verdict| held.word(verdict).err()) {
            diagnostics.0.push(Diagnostic {
                is_error: true,
                reason: Reason::Forbidden,
                file: names.join(", "),
                line: 0,
                column: 0,
                field: String::new(),
                message,
                hint: None,
            });
        }
    }

    /// Reads all files, and makes their pods with all their objects on trial. With an error nothing of a file is taken.
    fn check(&self, files: Vec<(String, String)>, diagnostics: &mut Diagnostics) -> Vec<Sound> {
        let mut read = Vec::new();
        for (name, text) in files {
            read.extend(self.reader.read(&name, &text, diagnostics).map(|found| (name, text, found)));
        }
        let mut objects = self.index.objects.clone();
        read.iter().flat_map(|(_, _, found)| &found.objects).for_each(|object| drop(objects.insert(object.clone())));
        let host = self.reader.facts();
        let mut sound = Vec::new();
        for (name, text, found) in read {
            let pods = self.assemble(found.pods.clone(), &objects, &host, diagnostics);
            sound.extend(pods.map(|pods| Sound { name, text, found, pods }));
        }
        sound
    }

    fn assemble(
        &self,
        pods: Vec<ParsedPod>,
        objects: &Objects,
        host: &HostFacts,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<ReadPod>> {
        self.reader.assemble(pods, Source::File, objects, host, |pod| self.living(pod), diagnostics)
    }

    /// The pods of a file, which refer to the objects that are in force now: one of this call may have been denied.
    fn wanted(&self, file: Sound) -> Vec<Wanted> {
        let refers: Vec<_> = file.found.pods.iter().map(|pod| pod.references(&self.index.objects)).collect();
        let pods = match refers.iter().all(BTreeSet::is_empty) {
            true => file.pods.clone(),
            // Its warnings have been given.
            false => {
                let (parsed, host) = (file.found.pods.clone(), self.reader.facts());
                self.assemble(parsed, &self.index.objects, &host, &mut Diagnostics::default()).unwrap_or_default()
            }
        };
        let wanted = |(read, refers): (ReadPod, _)| Wanted { text: file.text_of(&read.pod.manifest), read, refers };
        pods.into_iter().zip(refers).map(wanted).collect()
    }

    /// An object is in force when its file is written: there is nothing else to it.
    async fn apply_object(&mut self, object: &Object, text: String, user: &User) -> Result<Verb, Denied> {
        let id = &object.id;
        let held = self.rules.held();
        held.word(&may_apply(&held.policy, &subject(user.clone()), object))
            .map_err(|message| Denied { reason: Reason::Forbidden, message })?;
        if self.index.forbids(object) {
            let message = format!("{id} is immutable: remove its file first, or use another name");
            return Err(Denied { reason: Reason::Immutable, message });
        }
        let path = match self.index.file_of_object(id) {
            Some(path) => self.sole(path, &id.to_string())?,
            None if id.namespace.is_empty() => self.dir.join(format!("{}_{}.yaml", id.kind, id.name)),
            None => self.dir.join(format!("{}_{}_{}.yaml", id.kind, id.namespace, id.name)),
        };
        let verb = match self.index.objects.get(id) {
            None => Verb::Created,
            Some(known) if known == object => Verb::Unchanged,
            Some(_) => Verb::Configured,
        };
        if self.index.files.get(&path).is_none_or(|known| known.text != text) {
            let saved = save(&path, text, user.uid).await.map_err(|error| {
                let message = format!("{} cannot be written, so nothing was changed: {error}", path.display());
                Denied { reason: Reason::LedgerUnavailable, message }
            })?;
            let known = self.index.files.entry(path.clone()).or_default();
            *known = Known { text: saved, owner: user.uid, ..std::mem::take(known) };
        }
        self.index.take(&path, vec![object.clone()], Path::exists);
        Ok(verb)
    }

    /// Many at once, each to its own end, since each waits for the disk; those of one name one after another.
    async fn apply_pods(&mut self, pods: Vec<Wanted>, user: &User, outcome: &mut ApplyOutcome) {
        let mut left = pods.into_iter().peekable();
        while left.peek().is_some() {
            let mut names = BTreeSet::new();
            let mut batch = Vec::new();
            while let Some(wanted) = left.next_if(|next| batch.len() < AT_ONCE && names.insert(name_of(&next.read.pod)))
            {
                batch.push(wanted);
            }
            self.apply_batch(batch, user, outcome).await;
        }
    }

    async fn apply_batch(&mut self, batch: Vec<Wanted>, user: &User, outcome: &mut ApplyOutcome) {
        let mut tasks = JoinSet::new();
        let mut results: Vec<Option<PodOutcome>> = Vec::new();
        for (place, wanted) in batch.into_iter().enumerate() {
            let name = name_of(&wanted.read.pod);
            match self.home(&name) {
                Ok(path) => {
                    let (supervisor, user) = (self.supervisor.clone(), user.clone());
                    tasks.spawn(async move { (place, accept(&supervisor, wanted, path, user).await) });
                    results.push(None);
                }
                Err(denied) => results.push(Some(PodOutcome::new(name, Err(denied), None))),
            }
        }
        while let Some(done) = tasks.join_next().await {
            match done.map_err(JoinError::try_into_panic) {
                Ok((place, accepted)) => results[place] = Some(self.take_accepted(accepted, user.uid)),
                // A panic of the task is one of this one; one that is cut off ends with the daemon.
                Err(Ok(panic)) => std::panic::resume_unwind(panic),
                Err(Err(_)) => {}
            }
        }
        outcome.pods.extend(results.into_iter().flatten());
    }

    fn take_accepted(&mut self, accepted: Accepting, owner: u32) -> PodOutcome {
        let Accepting { name, path, refers, host, result, saved } = accepted;
        if result.is_ok() {
            self.tell_of_host(&name, host);
        }
        let warning = match saved {
            None => None,
            Some(Ok(text)) => {
                let known = Known { text, owner, pods: BTreeSet::from([name.clone()]), refers, ..Known::default() };
                self.index.files.insert(path, known);
                None
            }
            Some(Err(error)) => Some(format!(
                "the pod is accepted and runs, but its manifest could not be saved as {}: {error}; apply it again once that is mended",
                path.display()
            )),
        };
        PodOutcome::new(name, result, warning)
    }

    /// Pods of other files that refer to objects that are new or different.
    async fn look_up_again(&mut self, touched: &BTreeSet<ObjectRef>) {
        let paths = self.index.referring(touched);
        let files = paths.into_iter().filter_map(|path| self.index.text_of(path)).collect();
        self.take_in_files(files).await;
    }

    /// The file in which a pod's manifest lies or will lie.
    pub(super) fn home(&self, name: &Name) -> Result<PathBuf, Denied> {
        match self.index.file_of(name) {
            Some(path) => self.sole(path, &format!("pod {}/{}", name.0, name.1)),
            None => Ok(self.dir.join(format!("{}_{}.yaml", name.0, name.1))),
        }
    }

    /// A file may be written anew or removed if it describes one thing.
    fn sole(&self, path: &Path, what: &str) -> Result<PathBuf, Denied> {
        let count = self.index.files.get(path).map_or(0, Known::len);
        if count > 1 {
            let message = format!("{what} is one of {count} in {}; edit or remove that file instead", path.display());
            return Err(Denied { reason: Reason::NotOwner, message });
        }
        Ok(path.to_owned())
    }
}

fn pretty(manifest: &Manifest) -> String {
    let value: serde_json::Value = serde_json::from_str(&manifest.0).unwrap_or_default();
    format!("{value:#}\n")
}

async fn save(path: &Path, text: String, owner: u32) -> io::Result<String> {
    let to = path.to_owned();
    let written = tokio::task::spawn_blocking(move || write_atomically(&to, &text, owner).map(|()| text)).await;
    written.map_err(io::Error::other)?
}

/// Temporary file, sync, rename, sync of the directory; 0600, for a manifest may hold passwords. It belongs to who applied
/// it, whom the policy is asked about whenever it is read.
fn write_atomically(path: &Path, text: &str, owner: u32) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = hidden(path, "new");
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true).options_mut().mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(text.as_bytes())?;
    std::os::unix::fs::fchown(&file, Some(owner), None)?;
    file.sync_all()?;
    fs_err::rename(&temporary, path)?;
    fs_err::File::open(dir)?.sync_all()
}
