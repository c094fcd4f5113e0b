//! A policy file as it is written. Unknown keys are errors; what a text means is looked at in `load`.

use serde::Deserialize;
use serde_saphyr::Spanned;

/// A text with its place.
pub(crate) type Text = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PolicyFile {
    pub(crate) api_version: Text,
    pub(crate) kind: Text,
    pub(crate) rules: Vec<RuleFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct RuleFile {
    pub(crate) name: Text,
    pub(crate) subjects: SubjectsFile,
    pub(crate) verbs: Vec<Text>,
    #[serde(default)]
    pub(crate) allow: AllowFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SubjectsFile {
    pub(crate) sources: Vec<Text>,
    pub(crate) namespaces: Vec<Text>,
    #[serde(default)]
    pub(crate) users: Vec<Text>,
    #[serde(default)]
    pub(crate) groups: Vec<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct AllowFile {
    pub(crate) presets: Vec<Text>,
    pub(crate) commands: Vec<Text>,
    pub(crate) users: Vec<Text>,
    pub(crate) groups: Vec<Text>,
    pub(crate) volumes: Vec<Text>,
    pub(crate) host_paths: Vec<HostPathFile>,
    pub(crate) devices: Vec<Text>,
    pub(crate) capabilities: Vec<Text>,
    pub(crate) allow_privilege_escalation: bool,
    pub(crate) privileged: bool,
    #[serde(rename = "hostPID")]
    pub(crate) host_pid: bool,
    #[serde(rename = "hostIPC")]
    pub(crate) host_ipc: bool,
    pub(crate) proc_mount: Vec<Text>,
    pub(crate) mount_propagation: Vec<Text>,
    pub(crate) seccomp_profiles: Vec<Text>,
    pub(crate) app_armor_profiles: Vec<Text>,
    pub(crate) sysctls: Vec<Text>,
    pub(crate) probe_hosts: Vec<Text>,
    pub(crate) host_ports: Vec<Text>,
    pub(crate) limits: LimitsFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct HostPathFile {
    pub(crate) path_prefix: Text,
    #[serde(default)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(crate) struct LimitsFile {
    pub(crate) cpu: Option<Text>,
    pub(crate) memory: Option<Text>,
    pub(crate) pids: Option<u64>,
    pub(crate) pods: Option<u32>,
}
