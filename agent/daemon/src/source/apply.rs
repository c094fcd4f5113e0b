//! `barepod apply`: manifests are checked together, then saved and put in force, objects before the pods that refer to them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use barepod_core::{Accepted, Denied, Verb};
use barepod_manifest::{Manifests, Object, ObjectRef, Objects, ParsedPod};
use barepod_model::{Manifest, Pod, Reason, Source};
use barepod_policy::{Subject, User};
use barepod_reader::{Diagnostic, Diagnostics, ReadPod, may_apply};

use super::file::{FileSource, hidden, name_of, subject};
use super::index::{Known, Name};
use crate::supervisor::Request;

/// What became of one pod of an apply.
#[derive(Debug)]
pub(crate) struct PodOutcome {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) result: Result<Accepted, Denied>,
    /// Accepted, but something is not as it should be.
    pub(crate) warning: Option<String>,
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

/// One file without errors.
struct Sound {
    name: String,
    text: String,
    found: Manifests,
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
                if matches!(result, Ok(Verb::Created | Verb::Configured)) {
                    touched.insert(object.id.clone());
                }
                outcome.objects.push(ObjectOutcome { id: object.id.clone(), result });
            }
        }
        for file in sound {
            self.apply_pods(file, &user, &mut outcome).await;
        }
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
            read.extend(self.reader.read(&name, &text, diagnostics).map(|found| Sound { name, text, found }));
        }
        let mut objects = self.index.objects.clone();
        read.iter().flat_map(|file| &file.found.objects).for_each(|object| drop(objects.insert(object.clone())));
        read.retain(|file| self.assemble(file.found.pods.clone(), &objects, diagnostics).is_some());
        read
    }

    fn assemble(&self, pods: Vec<ParsedPod>, objects: &Objects, diagnostics: &mut Diagnostics) -> Option<Vec<ReadPod>> {
        self.reader.assemble(pods, Source::File, objects, |pod| self.living(pod), diagnostics)
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

    async fn apply_pods(&mut self, file: Sound, user: &User, outcome: &mut ApplyOutcome) {
        let refers: Vec<_> = file.found.pods.iter().map(|pod| pod.references(&self.index.objects)).collect();
        // Its warnings have been given.
        let pods = self.assemble(file.found.pods.clone(), &self.index.objects, &mut Diagnostics::default());
        for (ReadPod { pod, host }, refers) in pods.into_iter().flatten().zip(refers) {
            let (text, name) = (file.text_of(&pod.manifest), name_of(&pod));
            let done = self.apply_pod(pod, refers, text, user).await;
            if done.result.is_ok() {
                self.tell_of_host(&name, host);
            }
            outcome.pods.push(done);
        }
    }

    async fn apply_pod(&mut self, pod: Pod, refers: BTreeSet<ObjectRef>, text: String, user: &User) -> PodOutcome {
        let name = name_of(&pod);
        let (namespace, pod_name) = name.clone();
        let outcome = |result, warning| PodOutcome { namespace, name: pod_name, result, warning };
        let path = match self.home(&name) {
            Ok(path) => path,
            Err(denied) => return outcome(Err(denied), None),
        };
        let result = self.supervisor.ask(Request::Apply(Box::new(pod), subject(user.clone()))).await;
        if result.is_err() {
            return outcome(result, None);
        }
        // The disk is waited for where nobody else waits: the pod is being started meanwhile.
        let warning = match save(&path, text, user.uid).await {
            Ok(text) => {
                let known = Known { text, owner: user.uid, pods: BTreeSet::from([name]), refers, ..Known::default() };
                self.index.files.insert(path, known);
                None
            }
            Err(error) => Some(format!(
                "the pod is accepted and runs, but its manifest could not be saved as {}: {error}; apply it again once that is mended",
                path.display()
            )),
        };
        outcome(result, warning)
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
