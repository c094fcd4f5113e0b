//! A preset file as it is written. Unknown keys are errors; what a text means is looked at in `load`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::word::{AbsolutePath, FileMode, Signal};

/// A text that is a template or an expression, with its place.
pub(crate) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PresetFile {
    /// Its name, unique in the catalogue.
    pub(crate) preset: Text,
    /// What it is called in lists.
    pub(crate) title: String,
    /// Image names it answers to, without tags.
    pub(crate) images: Vec<Text>,
    /// Where the software lies. Absent: it has no version.
    pub(crate) versions: Option<VersionsFile>,
    /// Who it runs as.
    pub(crate) user: UserFile,
    /// What it sees as `/`. Absent: the host's own root.
    pub(crate) root: Option<RootFile>,
    /// Environment below the manifest's, in templates.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, Text>,
    /// Directories shared with the host.
    #[serde(default)]
    pub(crate) shared: Vec<SharedFile>,
    /// Capabilities by kernel number.
    #[serde(default)]
    pub(crate) capabilities: Vec<u32>,
    /// The contract of the image's own service. Absent: it only runs the commands it is given.
    pub(crate) service: Option<ServiceFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RootFile {
    pub(crate) tree: AbsolutePath,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionsFile {
    /// Where it may lie, in order of preference.
    pub(crate) places: Vec<PlaceFile>,
    /// Command whose first number with a dot or digit is the full version; templates with `dir`.
    pub(crate) read: Vec<Text>,
    /// How an installed version is held against a longer one in the tag.
    pub(crate) minor: Minor,
    /// How a missing version is installed: the first whose `when_exists` is there; templates with `version`.
    pub(crate) install: Vec<InstallFile>,
}

/// How the rest of a version, beyond what the directory's name says, must agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Minor {
    /// What is installed may be newer: minor releases are compatible.
    AtLeast,
    /// It must be the same.
    Exact,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlaceFile {
    /// Absolute path; `{version}` stands for what is the version, once at most.
    pub(crate) dir: Text,
    /// A file in it without which it does not count.
    pub(crate) program: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstallFile {
    pub(crate) when_exists: AbsolutePath,
    pub(crate) command: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserFile {
    /// Host account.
    pub(crate) name: String,
    /// Host group; absent: the account's own.
    pub(crate) group: Option<String>,
    /// Ids in the image that stand for this account, as users and as groups.
    #[serde(default)]
    pub(crate) image_ids: Vec<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SharedFile {
    pub(crate) host: AbsolutePath,
    pub(crate) path: AbsolutePath,
    pub(crate) mode: FileMode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServiceFile {
    /// The program's name in `args` and `command`.
    pub(crate) program: String,
    /// Names of the image's own entry points, which do here what the preset does.
    #[serde(default)]
    pub(crate) entrypoints: Vec<String>,
    /// Values in order, each seeing those before.
    #[serde(default)]
    pub(crate) vars: Vec<VarFile>,
    /// What makes a request impossible.
    #[serde(default)]
    pub(crate) checks: Vec<CheckFile>,
    /// What its author should know.
    #[serde(default)]
    pub(crate) warnings: Vec<CheckFile>,
    /// Settings that follow the limits.
    #[serde(default)]
    pub(crate) tuning: Vec<TuningFile>,
    /// Program and arguments; those of the manifest are added.
    pub(crate) argv: Vec<Text>,
    /// Working directory where the manifest has none.
    pub(crate) cwd: Option<Text>,
    pub(crate) init: Option<InitFile>,
    #[serde(default)]
    pub(crate) files: Vec<RenderedFileFile>,
    #[serde(default)]
    pub(crate) owned_dirs: Vec<OwnedDirFile>,
    /// Directories that no two pods may write at once; an empty text is left out.
    #[serde(default)]
    pub(crate) data_paths: Vec<Text>,
    /// Size of `/dev/shm` in bytes.
    pub(crate) shm_bytes: Option<Text>,
    #[serde(default)]
    pub(crate) oom_score_adj: i32,
    #[serde(default)]
    pub(crate) rlimits: Vec<RlimitFile>,
    #[serde(default)]
    pub(crate) probes: ProbesFile,
    pub(crate) stop: StopFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VarFile {
    pub(crate) name: Text,
    /// An expression.
    pub(crate) value: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckFile {
    /// An expression: if it is true, there is something to say.
    pub(crate) when: Text,
    /// The container's field that is to blame.
    pub(crate) field: String,
    pub(crate) message: Text,
    pub(crate) hint: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TuningFile {
    /// The setting's name.
    pub(crate) set: String,
    /// An expression: whether it is set at all.
    pub(crate) when: Text,
    pub(crate) value: Text,
    /// Why this value, for people.
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InitFile {
    pub(crate) creates: Text,
    pub(crate) argv_prefix: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenderedFileFile {
    /// Path in the view.
    pub(crate) path: AbsolutePath,
    pub(crate) mode: FileMode,
    /// A file beside the preset that holds the contents.
    pub(crate) source: Option<Text>,
    /// The contents themselves.
    pub(crate) contents: Option<Text>,
    /// No template: taken as it is.
    #[serde(default)]
    pub(crate) raw: bool,
    /// See `RenderedFile::follows_resources`.
    #[serde(default)]
    pub(crate) follows_resources: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnedDirFile {
    /// A template; an empty text is left out.
    pub(crate) path: Text,
    pub(crate) mode: FileMode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RlimitFile {
    /// Linux' number.
    pub(crate) resource: u32,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbesFile {
    pub(crate) startup: Option<ProbeFile>,
    pub(crate) readiness: Option<ProbeFile>,
    pub(crate) liveness: Option<ProbeFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeFile {
    pub(crate) command: Vec<Text>,
    #[serde(default)]
    pub(crate) initial_delay_seconds: u32,
    pub(crate) period_seconds: u32,
    pub(crate) timeout_seconds: u32,
    pub(crate) failure_threshold: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopFile {
    pub(crate) stages: Vec<StageFile>,
    pub(crate) min_grace_seconds: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageFile {
    /// `SIGINT`.
    pub(crate) signal: Signal,
    /// Absent: at once.
    pub(crate) before_end_seconds: Option<u32>,
}
