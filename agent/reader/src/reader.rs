//! The steps of reading, and what is said on the way.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use barepod_api::v1;
use barepod_linux::Dirs;
use barepod_manifest::{Cluster, Context, HostFacts, ManifestError, Manifests, Object, Objects, ParsedPod};
use barepod_model::{Pod, PodUid, Reason, Source};
use barepod_policy::{Policy, Subject, Verb, Verdict};
use barepod_presets::{Catalogue, PresetError};

use crate::LocalHost;
use crate::facts;

/// One thing to say about a manifest.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Nothing of its file is taken; else it is a warning.
    pub is_error: bool,
    /// The code.
    pub reason: Reason,
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 if there is none.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The field's path; may be empty.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The likely fix.
    pub hint: Option<String>,
}

impl Diagnostic {
    fn new(is_error: bool, error: ManifestError) -> Self {
        let ManifestError { reason, file, line, column, field, message, hint } = error;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { is_error, reason, file, line: number(line), column: number(column), field, message, hint }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        write!(f, " [{}]", self.reason)
    }
}

/// As it is sent.
impl From<Diagnostic> for v1::Diagnostic {
    fn from(diagnostic: Diagnostic) -> Self {
        let severity = match diagnostic.is_error {
            true => v1::diagnostic::Severity::Error,
            false => v1::diagnostic::Severity::Warning,
        };
        Self {
            severity: severity.into(),
            reason: diagnostic.reason.to_string(),
            file: diagnostic.file,
            line: diagnostic.line,
            column: diagnostic.column,
            field: diagnostic.field,
            message: diagnostic.message,
            hint: diagnostic.hint.unwrap_or_default(),
        }
    }
}

/// All there is to say.
#[derive(Debug, Default)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    fn add(&mut self, is_error: bool, errors: Vec<ManifestError>) {
        self.0.extend(errors.into_iter().map(|error| Diagnostic::new(is_error, error)));
    }
}

/// A pod that may be applied.
#[derive(Debug, Clone)]
pub struct ReadPod {
    /// The pod.
    pub pod: Pod,
    /// What is not as its presets would have it on this host, and what to do.
    pub host: Vec<String>,
}

/// Reads manifests.
#[derive(Debug)]
pub struct Reader {
    catalogue: Catalogue,
    state: PathBuf,
    claims: PathBuf,
    labels: RwLock<BTreeMap<String, String>>,
}

impl Reader {
    /// With the built-in presets, and those in the configuration's `presets` directory.
    ///
    /// # Errors
    /// A fault in a built-in preset. One in the administrator's own is said and leaves that one out: it must not keep the
    /// daemon from looking after what runs.
    pub fn new(dirs: &Dirs, labels: BTreeMap<String, String>) -> Result<Self, PresetError> {
        let mut catalogue = Catalogue::built_in()?;
        for fault in catalogue.add_dir(&dirs.config.join("presets")) {
            tracing::error!("a preset is left out: {fault}");
        }
        Ok(Self { catalogue, state: dirs.state.clone(), claims: dirs.claims(), labels: RwLock::new(labels) })
    }

    /// Reads a file's text; nothing if it has errors.
    pub fn read(&self, file: &str, text: &str, diagnostics: &mut Diagnostics) -> Option<Manifests> {
        match barepod_manifest::read_all(file, text) {
            Ok(mut found) => {
                diagnostics.add(false, std::mem::take(&mut found.warnings));
                Some(found)
            }
            Err(errors) => {
                diagnostics.add(true, errors);
                None
            }
        }
    }

    /// The host as it is now.
    #[must_use]
    pub fn facts(&self) -> HostFacts {
        facts::gather(&self.state, &self.labels.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The host has these labels from now on.
    pub fn set_labels(&self, labels: BTreeMap<String, String>) {
        *self.labels.write().unwrap_or_else(PoisonError::into_inner) = labels;
    }

    /// Makes pods of a file's pods, with what they refer to looked up in `objects`; nothing if one has errors. `living`
    /// knows the UID of a pod that is there already.
    pub fn assemble(
        &self,
        parsed: Vec<ParsedPod>,
        source: Source,
        objects: &Objects,
        host: &HostFacts,
        living: impl Fn(&ParsedPod) -> Option<PodUid>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<ReadPod>> {
        let mut pods = Vec::new();
        let mut sound = true;
        for pod in parsed {
            let uid = living(&pod);
            let context = Context { claims_root: &self.claims, objects, host, cluster: None, lives: uid.is_some() };
            match self.made(pod, source, uid.unwrap_or_else(new_uid), &context, diagnostics) {
                Some(pod) => pods.push(pod),
                None => sound = false,
            }
        }
        sound.then_some(pods)
    }

    /// Makes a pod of one that a cluster, or where there is none a Nomad client, has bound here; nothing if it has errors.
    /// `lives`: it is there already.
    pub fn assemble_bound(
        &self,
        parsed: ParsedPod,
        uid: PodUid,
        (objects, cluster): (&Objects, Option<&Cluster>),
        host: &HostFacts,
        lives: bool,
        diagnostics: &mut Diagnostics,
    ) -> Option<ReadPod> {
        let source = if cluster.is_some() { Source::Kubernetes } else { Source::Nomad };
        let context = Context { claims_root: &self.claims, objects, host, cluster, lives };
        self.made(parsed, source, uid, &context, diagnostics)
    }

    fn made(
        &self,
        pod: ParsedPod,
        source: Source,
        uid: PodUid,
        context: &Context<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Option<ReadPod> {
        let resolve = |request: &_| self.catalogue.resolve(request, &barepod_presets::LocalHost);
        match pod.into_pod(source, uid, context, resolve) {
            Ok(assembled) => {
                let of_host = assembled.warnings.iter().filter(|w| w.reason == Reason::HostCheckFailed);
                let hint = |w: &ManifestError| w.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
                let host = of_host.map(|warning| format!("{}{}", warning.message, hint(warning))).collect();
                diagnostics.add(false, assembled.warnings);
                Some(ReadPod { pod: assembled.pod, host })
            }
            Err(errors) => {
                diagnostics.add(true, errors);
                None
            }
        }
    }

    /// The presets there are, with the images that each answers to.
    pub fn presets(&self) -> impl Iterator<Item = (&str, Vec<String>)> {
        self.catalogue.images()
    }

    /// What a policy says to each pod of some files, with all their objects on trial beside `objects`.
    #[must_use]
    pub fn judge(
        &self,
        files: &[(String, String)],
        objects: &Objects,
        policy: &Policy,
        subject: &Subject,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Verdict> {
        let read = files.iter().filter_map(|(name, text)| self.read(name, text, diagnostics));
        let read: Vec<Manifests> = read.collect();
        let mut objects = objects.clone();
        read.iter().flat_map(|file| &file.objects).for_each(|object| drop(objects.insert(object.clone())));
        let mut verdicts = Vec::new();
        for object in read.iter().flat_map(|file| &file.objects) {
            verdicts.push(may_apply(policy, subject, object));
        }
        for file in read {
            let pods = self.assemble(file.pods, subject.source, &objects, &self.facts(), |_| None, diagnostics);
            let pods = pods.into_iter().flatten();
            verdicts.extend(pods.map(|read| barepod_policy::judge(policy, subject, &read.pod, &LocalHost)));
        }
        verdicts
    }
}

/// Whether somebody may have this object in the place of the one of its name.
#[must_use]
pub fn may_apply(policy: &Policy, subject: &Subject, object: &Object) -> Verdict {
    let id = &object.id;
    let (namespace, what) = match id.namespace.as_str() {
        "" => (None, id.to_string()),
        namespace => (Some(namespace), format!("{id} of namespace {namespace}")),
    };
    barepod_policy::may(policy, subject, Verb::Apply, (namespace, &what), None, &LocalHost)
}

fn new_uid() -> PodUid {
    PodUid::new(uuid::Uuid::new_v4().to_string()).expect("a UUID is made of hexadecimal digits and '-'")
}
