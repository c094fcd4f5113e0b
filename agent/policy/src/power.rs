//! Powers: what a pod may demand beyond being there, and which words of a rule allow each.

use std::fmt;
use std::path::{Path, PathBuf};

use barepod_model::{Bytes, CAPABILITIES, HostPort, MilliCpu, Namespace, Pattern};

use crate::host::Host;
use crate::policy::{HostPath, Rule, VolumeType};
use crate::words::{Profile, Who};

/// Something that a rule must allow by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// A preset, with the version found, if it has one.
    Preset {
        /// Its name.
        name: String,
        /// Its version.
        version: Option<String>,
    },
    /// To run a program that the manifest, or the user of an exec, names.
    Command(String),
    /// To run any program at all, in the place of one that is named: why it comes to that.
    AnyCommand(String),
    /// To run as this user.
    User {
        /// Its id.
        uid: u32,
        /// It is the account of the container's preset.
        of_preset: bool,
    },
    /// To belong to this group, which is none of the user's own.
    Group {
        /// Its id.
        gid: u32,
        /// It is a group of the preset's account.
        of_preset: bool,
    },
    /// A volume that is no path of the host.
    Volume(VolumeType),
    /// A path of the host.
    HostPath {
        /// As it is written.
        path: PathBuf,
        /// It may be written to, or is made if it is missing.
        write: bool,
    },
    /// A device of the host.
    Device(PathBuf),
    /// A capability, by kernel number.
    Capability(u32),
    /// `allowPrivilegeEscalation`.
    PrivilegeEscalation,
    /// `privileged`.
    Privileged,
    /// `hostPID`.
    HostPid,
    /// `hostIPC`.
    HostIpc,
    /// `procMount: Unmasked`.
    UnmaskedProc,
    /// `mountPropagation: Bidirectional`.
    Bidirectional,
    /// A seccomp profile: `Unconfined` or `localhost/NAME`.
    Seccomp(String),
    /// An AppArmor profile, in the same words.
    AppArmor(String),
    /// A sysctl, by name.
    Sysctl(String),
    /// A probe or hook that asks a host other than the pod's own.
    ProbeHost(String),
    /// To wait for a pod of another namespace, which then ends after this one.
    DependsOn(Namespace),
    /// A port of the host, which no other pod may have then.
    HostPort(HostPort),
    /// So much CPU; `None` is all there is.
    Cpu(Option<MilliCpu>),
    /// So much memory; `None` is all there is.
    Memory(Option<Bytes>),
    /// So many processes; `None` is as many as there may be.
    Pids(Option<u64>),
}

impl Power {
    /// Whether a rule allows it.
    pub(crate) fn is_allowed_by(&self, rule: &Rule, host: &dyn Host) -> bool {
        let allow = &rule.allow;
        match self {
            Power::Preset { name, version } => allow.presets.iter().any(|(wanted, versions)| {
                let fits = |pattern: &Pattern| version.as_ref().is_some_and(|version| pattern.matches(version));
                wanted.matches(name) && versions.as_ref().is_none_or(fits)
            }),
            Power::Command(program) => any(&allow.commands, program),
            Power::AnyCommand(_) => allow.commands.iter().any(Pattern::is_everything),
            Power::User { uid, of_preset } => {
                let by_preset = *of_preset && *uid != 0 && allow.users.contains(&Who::Preset);
                by_preset || allow.users.iter().any(|who| who.is_user(*uid, host))
            }
            Power::Group { gid, of_preset } => {
                let by_preset = *of_preset && *gid != 0 && allow.groups.contains(&Who::Preset);
                by_preset || allow.groups.iter().any(|who| who.is_group(*gid, host))
            }
            Power::Volume(kind) => allow.volumes.contains(kind),
            Power::HostPath { path, write } => lies_in(&allow.host_paths, path, *write, host),
            Power::Device(path) => any(&allow.devices, &host.real(path).to_string_lossy()),
            Power::Capability(number) => allow.capabilities.all || allow.capabilities.numbers.contains(number),
            Power::PrivilegeEscalation => allow.privilege_escalation,
            Power::Privileged => allow.privileged,
            Power::HostPid => allow.host_pid,
            Power::HostIpc => allow.host_ipc,
            Power::UnmaskedProc => allow.unmasked_proc,
            Power::Bidirectional => allow.bidirectional,
            Power::Seccomp(profile) => profiles(&allow.seccomp, profile),
            Power::AppArmor(profile) => profiles(&allow.app_armor, profile),
            Power::Sysctl(name) => any(&allow.sysctls, name),
            Power::ProbeHost(name) => any(&allow.probe_hosts, name),
            Power::DependsOn(namespace) => any(&rule.subjects.namespaces, namespace.as_str()),
            Power::HostPort(port) => allow.host_ports.iter().any(|ports| ports.contains(&port.number)),
            Power::Cpu(wanted) => within(*wanted, allow.limits.cpu),
            Power::Memory(wanted) => within(*wanted, allow.limits.memory),
            Power::Pids(wanted) => within(*wanted, allow.limits.pids),
        }
    }

    /// Whether a rule has a word on it: what it does not limit, nobody needs to ask it for.
    pub(crate) fn concerns(&self, rule: &Rule) -> bool {
        let limits = &rule.allow.limits;
        match self {
            Power::Cpu(_) => limits.cpu.is_some(),
            Power::Memory(_) => limits.memory.is_some(),
            Power::Pids(_) => limits.pids.is_some(),
            _ => true,
        }
    }

    /// The smallest addition to a rule that would allow it, as it is written there.
    pub(crate) fn addition(&self, host: &dyn Host) -> String {
        match self {
            Power::Preset { name, .. } => format!("allow.presets: [{}]", quoted(name)),
            Power::Command(program) => format!("allow.commands: [{}]", quoted(program)),
            Power::AnyCommand(_) => "allow.commands: [\"*\"]".to_owned(),
            Power::User { of_preset: true, uid: 1.. } => "allow.users: [preset]".to_owned(),
            Power::User { uid, .. } => format!("allow.users: [{}]", user(*uid, host)),
            Power::Group { of_preset: true, gid: 1.. } => "allow.groups: [preset]".to_owned(),
            Power::Group { gid: 0, .. } => "allow.groups: [root]".to_owned(),
            Power::Group { gid, .. } => format!("allow.groups: [{gid}]"),
            Power::Volume(kind) => format!("allow.volumes: [{}]", volume_word(*kind)),
            Power::HostPath { path, write } => {
                let path = quoted(&host.real(path).to_string_lossy());
                let read_only = if *write { "" } else { ", readOnly: true" };
                format!("allow.hostPaths: [{{pathPrefix: {path}{read_only}}}]")
            }
            Power::Device(path) => format!("allow.devices: [{}]", quoted(&host.real(path).to_string_lossy())),
            Power::Capability(number) => format!("allow.capabilities: [{}]", capability(*number)),
            Power::PrivilegeEscalation => "allow.allowPrivilegeEscalation: true".to_owned(),
            Power::Privileged => "allow.privileged: true".to_owned(),
            Power::HostPid => "allow.hostPID: true".to_owned(),
            Power::HostIpc => "allow.hostIPC: true".to_owned(),
            Power::UnmaskedProc => "allow.procMount: [Unmasked]".to_owned(),
            Power::Bidirectional => "allow.mountPropagation: [Bidirectional]".to_owned(),
            Power::Seccomp(profile) => format!("allow.seccompProfiles: [{}]", quoted(profile)),
            Power::AppArmor(profile) => format!("allow.appArmorProfiles: [{}]", quoted(profile)),
            Power::Sysctl(name) => format!("allow.sysctls: [{}]", quoted(name)),
            Power::ProbeHost(name) => format!("allow.probeHosts: [{}]", quoted(name)),
            Power::DependsOn(namespace) => format!("subjects.namespaces: [{}]", quoted(namespace.as_str())),
            Power::HostPort(port) => format!("allow.hostPorts: [{}]", port.number),
            Power::Cpu(Some(cpu)) => format!("allow.limits.cpu: {cpu}, or more"),
            Power::Memory(Some(bytes)) => format!("allow.limits.memory: {bytes}, or more"),
            Power::Pids(Some(pids)) => format!("allow.limits.pids: {pids}, or more"),
            Power::Cpu(None) => "give every container a limit of cpu".to_owned(),
            Power::Memory(None) => "give every container a limit of memory".to_owned(),
            Power::Pids(None) => "remove allow.limits.pids, or limit the pod's processes".to_owned(),
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Power::Preset { name, version: None } => write!(f, "preset {name}"),
            Power::Preset { name, version: Some(version) } => write!(f, "preset {name} {version}"),
            Power::Command(program) => write!(f, "command {program:?}"),
            Power::AnyCommand(why) => write!(f, "any command: {why}"),
            Power::User { uid: 0, .. } => f.write_str("user root"),
            Power::User { uid, of_preset: true } => write!(f, "user {uid}, the preset's own"),
            Power::User { uid, .. } => write!(f, "user {uid}"),
            Power::Group { gid: 0, .. } => f.write_str("group root"),
            Power::Group { gid, of_preset: true } => write!(f, "group {gid}, the preset's own"),
            Power::Group { gid, .. } => write!(f, "group {gid}"),
            Power::Volume(kind) => write!(f, "volume {}", volume_word(*kind)),
            Power::HostPath { path, write: true } => write!(f, "host path {}", path.display()),
            Power::HostPath { path, write: false } => write!(f, "host path {}, read-only", path.display()),
            Power::Device(path) => write!(f, "device {}", path.display()),
            Power::Capability(number) => write!(f, "capability {}", capability(*number)),
            Power::PrivilegeEscalation => f.write_str("privilege escalation"),
            Power::Privileged => f.write_str("a privileged container"),
            Power::HostPid => f.write_str("the host's process IDs"),
            Power::HostIpc => f.write_str("the host's IPC"),
            Power::UnmaskedProc => f.write_str("an unmasked /proc"),
            Power::Bidirectional => f.write_str("mounts that appear on the host"),
            Power::Seccomp(profile) => write!(f, "seccomp profile {profile}"),
            Power::AppArmor(profile) => write!(f, "AppArmor profile {profile}"),
            Power::Sysctl(name) => write!(f, "sysctl {name}"),
            Power::ProbeHost(name) => write!(f, "a question to host {name:?}"),
            Power::DependsOn(namespace) => write!(f, "waiting for pods of namespace {namespace}"),
            Power::HostPort(port) => write!(f, "host port {port}"),
            Power::Cpu(Some(cpu)) => write!(f, "cpu {cpu}"),
            Power::Memory(Some(bytes)) => write!(f, "memory {bytes}"),
            Power::Pids(Some(pids)) => write!(f, "{pids} processes"),
            Power::Cpu(None) => f.write_str("cpu without a limit"),
            Power::Memory(None) => f.write_str("memory without a limit"),
            Power::Pids(None) => f.write_str("processes without a limit"),
        }
    }
}

fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

fn profiles(profiles: &[Profile], wanted: &str) -> bool {
    profiles.iter().any(|profile| profile.allows(wanted))
}

fn within<T: Ord>(wanted: Option<T>, ceiling: Option<T>) -> bool {
    ceiling.is_none_or(|ceiling| wanted.is_some_and(|wanted| wanted <= ceiling))
}

/// Both where their links really lead: a link below an allowed directory opens nothing outside it.
fn lies_in(prefixes: &[HostPath], path: &Path, write: bool, host: &dyn Host) -> bool {
    let real = host.real(path);
    prefixes.iter().any(|allowed| real.starts_with(host.real(&allowed.prefix)) && !(write && allowed.read_only))
}

fn volume_word(kind: VolumeType) -> &'static str {
    match kind {
        VolumeType::EmptyDir => "emptyDir",
        VolumeType::PersistentVolumeClaim => "persistentVolumeClaim",
        VolumeType::Projected => "projected",
    }
}

/// The name, or the number of one that is newer than this program.
fn capability(number: u32) -> String {
    let known = usize::try_from(number).ok().and_then(|number| CAPABILITIES.get(number));
    known.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

fn user(uid: u32, host: &dyn Host) -> String {
    if uid == 0 { "root".to_owned() } else { host.account_of(uid).map_or_else(|| uid.to_string(), |a| a.name) }
}

/// As a word of a YAML list.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if begins && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}
