//! A preset file as it is written. The rustdoc of each key is what the JSON Schema and `configs/presets/README.md` say of
//! it (`cargo xtask gen`). What a text means is looked at in `load`.

use std::collections::BTreeMap;

use crate::read::{Placed, Text, record};
use crate::word::{AbsolutePath, Capability, FileMode, Limit, PortText, Resource, Signal, choice};

/// The format of preset files.
pub(crate) const API_VERSION: &str = "barepod.dev/v1alpha1";

record! {
    /// What stands in for a container image.
    pub(crate) struct PresetFile {
        /// The format of this file: `barepod.dev/v1alpha1`.
        "apiVersion" => api_version: Text,
        /// `Preset`.
        "kind" => kind: Text,
        /// Its name: lower case letters, digits and `-`. A preset of the administrator takes the place of a built-in one of
        /// the same name.
        "name" => name: Text,
        /// What it is called in lists and messages; its name if absent.
        "title" => title: Option<String>,
        /// The preset it is a change of: all that is not written here is as there. Its own name means the built-in one.
        "extends" => extends: Option<Text>,
        /// Image names it answers to, without tags. `postgres` and `docker.io/library/postgres` are one name. `*` stands
        /// for anything but `/`, `**` for anything. The most precise name wins, then the administrator's preset. A
        /// preset without images and without a parent answers to `command:NAME`.
        "images" => images: Vec<Text>,
        /// Where the software lies. Absent: it has no version.
        "versions" => versions: Option<VersionsFile>,
        /// Whom it runs as. With a tree as root it may be absent: then as the image's own user, but never as root.
        "user" => user: Option<UserFile>,
        /// A directory tree that it sees as `/`. Absent: the host's own root, read-only.
        "root" => root: Option<RootFile>,
        /// Environment, below the manifest's own; templates.
        "env" => env: BTreeMap<String, Text>,
        /// Directories shared with the host; merged by `path`.
        "shared" => shared: Vec<SharedFile>,
        /// Capabilities, without `CAP_`.
        "capabilities" => capabilities: Vec<Capability>,
        /// Files may be written in volumes and directories of its own alone (Landlock), a second lock behind the view; from
        /// Linux 6.12 on abstract sockets of others are out of reach as well. What is brought in by `barepod exec` can
        /// then not trace it.
        "landlock" => landlock: bool,
        /// What the host should be like; merged by `name`. Looked at when a pod is applied; the host is never changed.
        "hostChecks" => host_checks: Vec<HostCheckFile>,
        /// The contract of the image's own service. Absent: it runs the commands it is given.
        "service" => service: Option<Placed<ServiceFile>>,
        /// What a pod of it needs, for `barepod run`.
        "run" => run: Option<RunFile>,
    }
}

record! {
    /// What a pod needs that runs a preset by nothing but its name.
    pub(crate) struct RunFile {
        /// Arguments; templates.
        "args" => args: Vec<Text>,
        /// Variables; templates.
        "env" => env: BTreeMap<String, Text>,
        /// Directories that are to be kept: each gets a claim. Merged by `name`.
        "volumes" => volumes: Vec<RunVolumeFile>,
        /// Variables of the contract that passwords are made for. With `file` in the contract the service reads it from a
        /// file, else it gets the variable.
        "passwords" => passwords: Vec<Text>,
    }
}

record! {
    /// A directory that is to be kept.
    pub(crate) struct RunVolumeFile {
        /// Its name; the claim's is that of the pod with this one behind it.
        "name" => name: Text,
        /// Where the image has it; a template.
        "path" => path: Text,
    }
}

record! {
    /// A directory tree as root, for instance an unpacked image.
    pub(crate) struct RootFile {
        /// Absolute path of the tree. `{name}` stands for the last part of the image's name, `{repository}` for all of it
        /// without the registry, `{registry}` for the registry, `{tag}` for the tag (`latest` if there is none).
        "tree" => tree: Text,
        /// A file with the image's configuration, as OCI has it (`config.Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`,
        /// `StopSignal`). Absent: `TREE.json` beside the tree, if it is there.
        "config" => config: Option<Text>,
        /// The configuration itself, in the place of a file; what is missing here is taken from the file.
        "image" => image: Option<ImageFile>,
    }
}

record! {
    /// The configuration of an image.
    pub(crate) struct ImageFile {
        /// Program and first arguments; `command` of a container takes its place, and that of `cmd`.
        "entrypoint" => entrypoint: Option<Vec<String>>,
        /// Further arguments; `args` of a container take their place.
        "cmd" => cmd: Option<Vec<String>>,
        /// Environment.
        "env" => env: BTreeMap<String, String>,
        /// User, or `user:group`, by name or number; names are looked up in the tree's own `/etc/passwd`.
        "user" => user: Option<String>,
        /// Working directory.
        "workingDir" => working_dir: Option<AbsolutePath>,
        /// What ends it; SIGTERM if absent.
        "stopSignal" => stop_signal: Option<Signal>,
    }
}

record! {
    /// Where the software lies, and which of it a tag means.
    pub(crate) struct VersionsFile {
        /// Where it may lie; several versions may be there side by side.
        "places" => places: Vec<PlaceFile>,
        /// Command whose first number is the full version; templates with `dir`.
        "read" => read: Vec<Text>,
        /// Which version may stand in for another one; `minor` if absent.
        "compatible" => compatible: Option<Compatible>,
        /// Letters that tags begin with before the number, like `RELEASE.`; a `v` is always understood.
        "tagPrefix" => tag_prefix: Option<String>,
        /// How a missing version is installed; the first that fits the distribution. `command` and `about` are templates
        /// with `version`.
        "install" => install: Vec<InstallFile>,
    }
}

choice! {
    /// How the rest of a version, beyond what the directory's name says, must agree.
    pub(crate) enum Compatible as "kind of compatibility" {
        /// A newer release of the series that the tag names: minor releases only mend faults.
        "minor" => Minor,
        /// The same.
        "exact" => Exact,
        /// Any newer one.
        "newer" => Newer,
    }
}

record! {
    /// A place for software.
    pub(crate) struct PlaceFile {
        /// Absolute path; `{version}` stands for the version, once at most.
        "dir" => dir: Text,
        /// A file in it without which it does not count.
        "program" => program: String,
        /// Distributions that have it there, by `ID` or `ID_LIKE` of `/etc/os-release`, with `:VERSION_ID` for one
        /// release of it. Absent: all.
        "distributions" => distributions: Vec<String>,
    }
}

record! {
    /// How software is installed.
    pub(crate) struct InstallFile {
        /// As in `places`.
        "distributions" => distributions: Vec<String>,
        /// The command.
        "command" => command: Text,
        /// What else is to be known, like which repository has it.
        "about" => about: Option<Text>,
    }
}

record! {
    /// Whom it runs as.
    pub(crate) struct UserFile {
        /// Account of the host; with a tree as root, of the tree.
        "name" => name: String,
        /// Group; absent: the account's own.
        "group" => group: Option<String>,
        /// Ids in the image that stand for this account, as users and as groups.
        "imageIds" => image_ids: Vec<u32>,
    }
}

record! {
    /// A directory that host and container share.
    pub(crate) struct SharedFile {
        /// Path on the host; made if it is missing.
        "host" => host: AbsolutePath,
        /// Path in the container.
        "path" => path: AbsolutePath,
        /// Mode when it has to be made.
        "mode" => mode: FileMode,
    }
}

record! {
    /// Something that the host should be like. One of `sysctl`, `file`, `limit`, `clock` says what is looked at.
    pub(crate) struct HostCheckFile {
        /// Its name, for lists and merges.
        "name" => name: Text,
        /// The value of this sysctl, like `vm.overcommit_memory`.
        "sysctl" => sysctl: Option<Text>,
        /// The contents of this file of the host, without the last line break.
        "file" => file: Option<AbsolutePath>,
        /// The hard value of this resource limit, which no container can exceed.
        "limit" => limit: Option<Resource>,
        /// Whether the kernel holds its clock to be synchronised.
        "clock" => clock: bool,
        /// An expression that sees `value`, `memory`, `cpu`, `version`: if it is true, there is something to say. What
        /// the host does not have is not looked at.
        "when" => when: Text,
        /// `warn` if absent.
        "severity" => severity: Option<Severity>,
        /// What is wrong; a template.
        "message" => message: Text,
        /// What to do; a template.
        "hint" => hint: Text,
        /// What it should be, in a few words, as `barepod doctor` shows it; a template.
        "wants" => wants: Option<Text>,
        /// The command that makes it so and keeps it so over a boot, as `barepod doctor` shows it; a template.
        "command" => command: Option<Text>,
    }
}

choice! {
    /// What becomes of a pod whose host is not as it should be.
    pub(crate) enum Severity as "severity" {
        /// It runs, and is told.
        "warn" => Warn,
        /// It is not admitted.
        "refuse" => Refuse,
    }
}

record! {
    /// The contract of the image's own service.
    pub(crate) struct ServiceFile {
        /// The program's name in `args` and `command`; the file name of `argv[0]` if absent.
        "program" => program: Option<String>,
        /// Names of the image's own entry points, which do here what the preset does.
        "entrypoints" => entrypoints: Vec<String>,
        /// What the image documents of its environment, arguments and files.
        "contract" => contract: Option<ContractFile>,
        /// Values in order, each seeing those before; merged by `name`.
        "vars" => vars: Vec<VarFile>,
        /// What makes a request impossible; merged by `name`.
        "checks" => checks: Vec<CheckFile>,
        /// What its author should know; merged by `name`.
        "warnings" => warnings: Vec<CheckFile>,
        /// Settings that follow the limits, each with its reason; merged by `set`.
        "tuning" => tuning: Vec<TuningFile>,
        /// Program and arguments; those of the manifest are added. Templates.
        "argv" => argv: Vec<Text>,
        /// Arguments where the manifest has none, like the image's cmd.
        "defaultArgs" => default_args: Vec<String>,
        /// Working directory where the manifest has none; a template.
        "workingDir" => working_dir: Option<Text>,
        /// Steps before the first start, in order; merged by `name`.
        "init" => init: Vec<InitFile>,
        /// Files made for it; merged by `path`.
        "files" => files: Vec<RenderedFileFile>,
        /// Directories in volumes that its user must own; merged by `path`.
        "ownedDirs" => owned_dirs: Vec<OwnedDirFile>,
        /// Directories that no two pods may write at once; templates, an empty text is left out.
        "dataPaths" => data_paths: Vec<Text>,
        /// Size of `/dev/shm` in bytes, a template; 64 MiB if absent.
        "shmBytes" => shm_bytes: Option<Text>,
        /// From -1000, never killed for memory, to 1000; by Kubernetes' arithmetic if absent or 0.
        "oomScoreAdj" => oom_score_adj: Option<Placed<i64>>,
        /// Whether one process that must go for memory goes alone, because the service lives through its loss; if absent,
        /// all go together (`memory.oom.group`).
        "oomKillsAlone" => oom_kills_alone: bool,
        /// Processes and threads it may have at most; no limit if absent.
        "pidsLimit" => pids_limit: Option<Placed<i64>>,
        /// Resource limits; merged by `resource`.
        "rlimits" => rlimits: Vec<RlimitFile>,
        /// Probes where the manifest has none of the kind.
        "probes" => probes: Option<ProbesFile>,
        /// It speaks to barepod by sd_notify(3): it has started when it has said `READY=1`. Its startup probe is then for
        /// those who switch that off, by the annotation `notify.barepod.dev/CONTAINER: "off"`.
        "notify" => notify: Option<NotifyFile>,
        /// How it is stopped; SIGTERM and the manifest's grace if absent.
        "stop" => stop: Option<Placed<StopFile>>,
    }
}

record! {
    /// What an image documents.
    pub(crate) struct ContractFile {
        /// Where it is documented.
        "source" => source: String,
        /// Variables it reads; merged by `name`.
        "env" => env: Vec<VariableFile>,
        /// Beginnings of names that are its own: a variable that begins so and is not listed is a warning.
        "prefixes" => prefixes: Vec<String>,
        /// Arguments it does not take here; merged by `name`.
        "args" => args: Vec<ArgumentFile>,
        /// Paths it reads; merged by `path`.
        "files" => files: Vec<ContractPathFile>,
    }
}

record! {
    /// A variable of an image.
    pub(crate) struct VariableFile {
        /// Its name.
        "name" => name: Text,
        /// What it does.
        "about" => about: String,
        /// There is also NAME_FILE, which names a file with the value; not both may be given.
        "file" => file: bool,
        /// It must be there and not be empty, it or its file.
        "required" => required: bool,
        /// The values it may have.
        "values" => values: Vec<String>,
        /// What is to be known of it here: it is accepted, and this is a warning. A template.
        "warning" => warning: Option<Text>,
        /// Why it cannot be given here: a request that has it is refused. A template.
        "refused" => refused: Option<Text>,
    }
}

record! {
    /// Arguments that are not taken.
    pub(crate) struct ArgumentFile {
        /// Its name, for merges.
        "name" => name: Text,
        /// The flags, as they are written: `-D`, `--data-directory`; each also with `=VALUE`.
        "flags" => flags: Vec<String>,
        /// Names of settings, given as `-c NAME=VALUE` or `--NAME=VALUE`.
        "settings" => settings: Vec<String>,
        /// Why they are not taken; a template.
        "message" => message: Text,
        /// What to do instead; a template.
        "hint" => hint: Text,
    }
}

record! {
    /// A path of an image.
    pub(crate) struct ContractPathFile {
        /// The path.
        "path" => path: AbsolutePath,
        /// What is done with what lies there.
        "about" => about: String,
    }
}

record! {
    /// A value of its own.
    pub(crate) struct VarFile {
        /// Its name in templates.
        "name" => name: Text,
        /// An expression.
        "value" => value: Text,
    }
}

record! {
    /// A condition with something to say.
    pub(crate) struct CheckFile {
        /// Its name, for merges.
        "name" => name: Text,
        /// An expression: if it is true, there is something to say.
        "when" => when: Text,
        /// The container's field that is to blame, like `args` or `env[NAME]`.
        "field" => field: String,
        /// What is wrong; a template.
        "message" => message: Text,
        /// What to do; a template.
        "hint" => hint: Text,
    }
}

record! {
    /// A setting that follows the limits. It is given to the service as an argument, as a variable, or by a file's
    /// template, which sees all of them as `tuning` (a list of `name`, `value`, `why`) and each as `tuned.NAME`. What the
    /// manifest gives wins.
    pub(crate) struct TuningFile {
        /// The setting's name.
        "set" => set: Text,
        /// An expression: whether it is set at all; always if absent.
        "when" => when: Option<Text>,
        /// The value; a template.
        "value" => value: Text,
        /// An expression: what the manifest itself gives. If it is defined, that wins and nothing is set.
        "given" => given: Option<Text>,
        /// The flag that it is given with: as `FLAG=VALUE`, unless the manifest's `args` have the flag.
        "flag" => flag: Option<String>,
        /// Arguments that it is given with, which see `value`, unless the manifest's `args` have the first of them.
        "args" => args: Vec<Text>,
        /// The variable that it is given with, unless the manifest's `env` has it.
        "env" => env: Option<String>,
        /// Why this value.
        "why" => why: String,
        /// Where that is documented.
        "source" => source: Option<String>,
    }
}

record! {
    /// A step before the first start. It runs as the container's user in the container's view, and may be killed at any
    /// point: it is done when its mark is there. One of `run` and `exec`.
    pub(crate) struct InitFile {
        /// Its name.
        "name" => name: Text,
        /// An expression: whether there is this step; always if absent.
        "when" => when: Option<Text>,
        /// Its mark: the path whose presence says that it is done. A template.
        "creates" => creates: Text,
        /// A command; when it has succeeded, the mark is made if it is not there yet. Needs `/bin/sh` in the view.
        "run" => run: Vec<Text>,
        /// A command that makes the mark itself, last of all, and then becomes its further arguments.
        "exec" => exec: Vec<Text>,
    }
}

record! {
    /// A file made for the container. One of `source` and `contents`.
    pub(crate) struct RenderedFileFile {
        /// Path in the container.
        "path" => path: Placed<AbsolutePath>,
        /// Its mode; it belongs to the container's user.
        "mode" => mode: FileMode,
        /// A file beside this one that holds the contents.
        "source" => source: Option<Text>,
        /// The contents themselves; a template.
        "contents" => contents: Option<Text>,
        /// The contents are no template.
        "raw" => raw: bool,
        /// The contents follow the limits: new ones take force at the next start and are no reason for one.
        "followsResources" => follows_resources: bool,
    }
}

record! {
    /// A directory in a volume that the container's user must own.
    pub(crate) struct OwnedDirFile {
        /// A template; an empty text is left out.
        "path" => path: Text,
        /// Mode when it has to be made.
        "mode" => mode: FileMode,
    }
}

record! {
    /// A resource limit.
    pub(crate) struct RlimitFile {
        /// Its name, like `nofile`.
        "resource" => resource: Resource,
        /// A number or `infinity`.
        "soft" => soft: Limit,
        /// A number or `infinity`; as `soft` if absent.
        "hard" => hard: Option<Limit>,
    }
}

record! {
    /// Probes, as in a container's manifest.
    pub(crate) struct ProbesFile {
        /// Whether it has started.
        "startup" => startup: Option<Placed<ProbeFile>>,
        /// Whether it may be asked.
        "readiness" => readiness: Option<Placed<ProbeFile>>,
        /// Whether it must be started anew.
        "liveness" => liveness: Option<Placed<ProbeFile>>,
    }
}

record! {
    /// A probe. One of `exec`, `httpGet`, `tcpSocket`, `grpc`.
    pub(crate) struct ProbeFile {
        /// An expression: whether there is this probe; always if absent.
        "when" => when: Option<Text>,
        /// A command in the container.
        "exec" => exec: Option<ExecFile>,
        /// An HTTP request.
        "httpGet" => http_get: Option<HttpGetFile>,
        /// A connection.
        "tcpSocket" => tcp_socket: Option<PortFile>,
        /// gRPC's health service.
        "grpc" => grpc: Option<GrpcFile>,
        /// 0 if absent.
        "initialDelaySeconds" => initial_delay_seconds: Option<u32>,
        /// 10 if absent.
        "periodSeconds" => period_seconds: Option<u32>,
        /// 1 if absent.
        "timeoutSeconds" => timeout_seconds: Option<u32>,
        /// 3 if absent.
        "failureThreshold" => failure_threshold: Option<u32>,
    }
}

record! {
    /// A command.
    pub(crate) struct ExecFile {
        /// Program and arguments; templates.
        "command" => command: Vec<Text>,
    }
}

record! {
    /// An HTTP request.
    pub(crate) struct HttpGetFile {
        /// The path; a template.
        "path" => path: Text,
        /// The port: a number or a template.
        "port" => port: PortText,
        /// By HTTPS, without looking at the certificate.
        "https" => https: bool,
    }
}

record! {
    /// A port.
    pub(crate) struct PortFile {
        /// Its number, or a template.
        "port" => port: PortText,
    }
}

record! {
    /// gRPC's health service.
    pub(crate) struct GrpcFile {
        /// Its port: a number or a template.
        "port" => port: PortText,
        /// The service's name; empty if absent.
        "service" => service: Option<String>,
    }
}

record! {
    /// How a service speaks to barepod.
    pub(crate) struct NotifyFile {
        /// Whose words count; `main` if absent.
        "access" => access: Option<AccessFile>,
        /// So long after its start it must have said `READY=1`, or it is restarted; any time if absent.
        "startSeconds" => start_seconds: Option<u32>,
        /// So often it must say `WATCHDOG=1` once it is ready, or it is restarted; never if absent.
        "watchdogSeconds" => watchdog_seconds: Option<u32>,
    }
}

choice! {
    /// Whose words count.
    pub(crate) enum AccessFile as "access" {
        /// Those of the main process.
        "main" => Main,
        /// Those of every process of the container.
        "all" => All,
    }
}

record! {
    /// How a service is stopped.
    pub(crate) struct StopFile {
        /// Signals, the first at once.
        "stages" => stages: Vec<StageFile>,
        /// The least time it gets: a pod's own grace counts if it is longer.
        "minGraceSeconds" => min_grace_seconds: Option<u32>,
    }
}

record! {
    /// A signal on the way to the end.
    pub(crate) struct StageFile {
        /// Its name, like `SIGINT`.
        "signal" => signal: Signal,
        /// So long before the end of the grace; at once if absent.
        "beforeEndSeconds" => before_end_seconds: Option<u32>,
    }
}
