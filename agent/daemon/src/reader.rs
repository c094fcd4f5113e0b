//! From a manifest's text to pods that may be applied: manifest, presets, this host's software and accounts.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use barepod_linux::Dirs;
use barepod_manifest::{Context, ManifestError, Manifests, Objects, ParsedPod};
use barepod_model::{Pod, PodUid, Reason, Source};
use barepod_presets::{Catalogue, LocalHost, PresetError};

use crate::facts;

/// One thing to say about a manifest.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostic {
    pub(crate) is_error: bool,
    pub(crate) reason: Reason,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) field: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
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

/// All there is to say.
#[derive(Debug, Default)]
pub(crate) struct Diagnostics(pub(crate) Vec<Diagnostic>);

impl Diagnostics {
    fn add(&mut self, is_error: bool, errors: Vec<ManifestError>) {
        self.0.extend(errors.into_iter().map(|error| Diagnostic::new(is_error, error)));
    }
}

/// Reads manifests.
#[derive(Debug)]
pub(crate) struct Reader {
    catalogue: Catalogue,
    state: PathBuf,
    claims: PathBuf,
    labels: BTreeMap<String, String>,
}

impl Reader {
    /// With the built-in presets, and those in the configuration's `presets` directory.
    ///
    /// # Errors
    /// A fault in a built-in preset. One in the administrator's own is said and leaves that one out: it must not keep the
    /// daemon from looking after what runs.
    pub(crate) fn new(dirs: &Dirs, labels: BTreeMap<String, String>) -> Result<Self, PresetError> {
        let mut catalogue = Catalogue::built_in()?;
        for fault in catalogue.add_dir(&dirs.config.join("presets")) {
            tracing::error!("a preset is left out: {fault}");
        }
        Ok(Self { catalogue, state: dirs.state.clone(), claims: dirs.state.join("volumes"), labels })
    }

    /// Reads a file's text; nothing if it has errors.
    pub(crate) fn read(&self, file: &str, text: &str, diagnostics: &mut Diagnostics) -> Option<Manifests> {
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

    /// Makes pods of a file's pods, with what they refer to looked up in `objects`; nothing if one has errors. `living`
    /// knows the UID of a pod that is there already.
    pub(crate) fn assemble(
        &self,
        parsed: Vec<ParsedPod>,
        source: Source,
        objects: &Objects,
        living: impl Fn(&ParsedPod) -> Option<PodUid>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Pod>> {
        let host = facts::gather(&self.state, &self.labels);
        let mut pods = Vec::new();
        let mut sound = true;
        for pod in parsed {
            let uid = living(&pod);
            let context = Context { claims_root: &self.claims, objects, host: &host, lives: uid.is_some() };
            let resolve = |request: &_| self.catalogue.resolve(request, &LocalHost);
            match pod.into_pod(source, uid.unwrap_or_else(new_uid), &context, resolve) {
                Ok(assembled) => {
                    diagnostics.add(false, assembled.warnings);
                    pods.push(assembled.pod);
                }
                Err(errors) => {
                    diagnostics.add(true, errors);
                    sound = false;
                }
            }
        }
        sound.then_some(pods)
    }
}

fn new_uid() -> PodUid {
    PodUid::new(uuid::Uuid::new_v4().to_string()).expect("a UUID is made of hexadecimal digits and '-'")
}
