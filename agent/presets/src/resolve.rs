//! A request and its preset to what is started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use barepod_model::{
    Brought, Bytes, CAPABILITIES, Confinement, ContainerRequest, Credentials, Env, FollowsResources, Launch, Probe,
    ProbeHandler, Reason, RequestError, Resolved, Resources, Root, SharedDir, StopPlan, StopStage,
};
use minijinja::Value;

use crate::contract::{self, Mode};
use crate::error::refuse;
use crate::file::PresetFile;
use crate::host::Host;
use crate::host_check::Want;
use crate::image::Image;
use crate::service::Judge;
use crate::template::{self, Scope};
use crate::tree_root::TreeRoot;
use crate::tuning::Setting;
use crate::user::Who;
use crate::version::{self, Chosen, Version};
use crate::{host_check, service, user};

/// Kubernetes' and runc's size of `/dev/shm`.
const DEFAULT_SHM: Bytes = Bytes(64 << 20);
/// `CAP_SYS_ADMIN`.
const SYS_ADMIN: u32 = 21;

/// Resolves a request with the preset that answers to its image, and says what became of its tuning.
pub(crate) fn resolve(
    preset: &PresetFile,
    image: &Image,
    request: &ContainerRequest,
    host: &dyn Host,
    judge: Judge,
) -> Result<(Resolved, Vec<Setting>), RequestError> {
    let tree = preset.root.as_ref().map(|root| TreeRoot::find(root, image, host)).transpose()?;
    let mode = mode(preset, request, tree.as_ref());
    let chosen = chosen(preset, image, host)?;
    let who = who(preset, request, tree.as_ref(), &mode, host)?;
    let mut scope = container_scope(request, image, chosen.as_ref());
    let name = who.name.clone().unwrap_or_else(|| who.user.uid.to_string());
    scope.set("user", template::map([("name", Value::from(name)), ("uid", who.user.uid.into())]));
    let env = env(preset, request, tree.as_ref(), &who, &scope)?;
    scope.set("env", template::map(env.iter().map(|(name, value)| (name, Value::from(value.as_str())))));
    let warnings = host_check::look(&preset.host_checks, &scope, host)?;
    let launch = launch(preset, request, tree.as_ref(), &who, env);
    let mut resolved = plain(label(preset, image, chosen.as_ref()), launch, tree.as_ref());
    resolved.fs_group = who.fs_group;
    resolved.warnings.extend(chosen.and_then(|c| c.warning).into_iter().chain(warnings));
    resolved.brought = brought(preset, request, tree.as_ref(), who.own, &resolved.launch);
    match (mode, &preset.service) {
        (Mode::Service(args), Some(service)) => {
            let settings = service::resolve(service, args, request, scope, judge, &mut resolved)?;
            resolved.brought.service = true;
            resolved.brought.variables.extend(resolved.launch.follows_resources.env.iter().cloned());
            resolved.brought.commands = probe_commands(&resolved);
            Ok((resolved, settings))
        }
        (Mode::Service(words) | Mode::Command(words), _) => Ok((command(words, resolved)?, Vec::new())),
    }
}

/// What a preset wants of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostWants {
    /// The preset, with the version found: `mongodb 7.0.14`.
    pub preset: String,
    /// What it wants, in the order of its file.
    pub wants: Vec<Want>,
}

/// What a preset wants of the host for a container with these limits.
pub(crate) fn host_wants(
    preset: &PresetFile,
    image: &Image,
    resources: &Resources,
    host: &dyn Host,
) -> Result<HostWants, RequestError> {
    let chosen = chosen(preset, image, host)?;
    let scope = scope(image, resources, chosen.as_ref());
    let wants =
        preset.host_checks.iter().map(|check| host_check::want(check, &scope, host)).collect::<Result<_, _>>()?;
    Ok(HostWants { preset: label(preset, image, chosen.as_ref()), wants })
}

pub(crate) fn chosen(preset: &PresetFile, image: &Image, host: &dyn Host) -> Result<Option<Chosen>, RequestError> {
    let versions = preset.versions.as_ref();
    versions.map(|versions| version::choose(image, preset.title(), versions, host)).transpose()
}

/// What a container has from the preset, or from the tree that stands for its image, and not from its manifest.
fn brought(
    preset: &PresetFile,
    request: &ContainerRequest,
    tree: Option<&TreeRoot>,
    user: Option<Credentials>,
    launch: &Launch,
) -> Brought {
    Brought {
        user,
        capabilities: preset.capabilities.iter().map(|capability| capability.0).collect(),
        service: tree.is_some_and(|tree| tree.runs_its_own(request)),
        commands: BTreeSet::new(),
        variables: launch.env.0.keys().filter(|name| !request.env.0.contains_key(*name)).cloned().collect(),
    }
}

/// What the preset's own probes run.
fn probe_commands(resolved: &Resolved) -> BTreeSet<Vec<String>> {
    let probes = [&resolved.startup, &resolved.readiness, &resolved.liveness];
    let command = |probe: &Probe| match &probe.handler {
        ProbeHandler::Exec { command } => Some(command.clone()),
        ProbeHandler::Http(_) | ProbeHandler::Tcp { .. } | ProbeHandler::Grpc { .. } => None,
    };
    probes.into_iter().flatten().filter_map(command).collect()
}

/// A tree without a service has its own entry point.
fn mode(preset: &PresetFile, request: &ContainerRequest, tree: Option<&TreeRoot>) -> Mode {
    match (tree, &preset.service) {
        (Some(tree), None) => Mode::Command(tree.words(request)),
        (_, service) => contract::mode(request, service.as_deref()),
    }
}

fn who(
    preset: &PresetFile,
    request: &ContainerRequest,
    tree: Option<&TreeRoot>,
    mode: &Mode,
    host: &dyn Host,
) -> Result<Who, RequestError> {
    match (tree, &preset.user) {
        (Some(tree), of_preset) => {
            user::resolve_in_tree(&request.user, of_preset.as_ref(), tree.config.user.as_deref(), &tree.accounts)
        }
        (None, Some(of_preset)) => user::resolve(&request.user, of_preset, mode, host),
        (None, None) => Err(refuse(
            Reason::InvalidPreset,
            "image",
            format!("the preset {} does not say whom it runs as", preset.name),
            "add user to it",
        )),
    }
}

fn launch(
    preset: &PresetFile,
    request: &ContainerRequest,
    tree: Option<&TreeRoot>,
    who: &Who,
    env: BTreeMap<String, String>,
) -> Launch {
    let of_image = tree.and_then(|tree| tree.config.working_dir.clone());
    let capabilities = capabilities(preset, request);
    Launch {
        argv: Vec::new(),
        init: Vec::new(),
        env: Env(env),
        cwd: request.working_dir.clone().or(of_image).unwrap_or_else(|| PathBuf::from("/")),
        user: who.user.clone(),
        root: tree.map_or(Root::Host, |tree| Root::Tree(tree.tree.clone())),
        read_only_root: request.read_only_root,
        mounts: request.mounts.clone(),
        shared: shared(preset),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: DEFAULT_SHM,
        no_new_privileges: !may_gain(request, &capabilities),
        capabilities,
        rlimits: Vec::new(),
        oom_score_adj: 0,
        namespaces: request.namespaces,
        tty: request.tty,
        stdin: request.stdin,
        env_files: request.env_files.clone(),
        hostname: request.hostname.clone(),
        as_written: None,
        network: request.network.clone(),
        confinement: Confinement { landlock: preset.landlock, ..request.confinement.clone() },
        notify: None,
        follows_resources: FollowsResources::default(),
    }
}

/// Without a service of its own: no probes, and the signal that the image names, or SIGTERM.
fn plain(preset: String, launch: Launch, tree: Option<&TreeRoot>) -> Resolved {
    let signal = tree.and_then(|tree| tree.config.stop_signal);
    let stages = signal.map(|signal| vec![StopStage { signal, before_end: None }]);
    let default = StopPlan::default();
    Resolved {
        preset,
        brought: Brought::default(),
        launch,
        stop: StopPlan { stages: stages.unwrap_or(default.stages), ..default },
        startup: None,
        readiness: None,
        liveness: None,
        data_paths: Vec::new(),
        pids_limit: None,
        oom_group: true,
        fs_group: None,
        warnings: Vec::new(),
    }
}

fn command(words: Vec<String>, mut resolved: Resolved) -> Result<Resolved, RequestError> {
    if words.first().is_none_or(String::is_empty) {
        let message = "this image has no program of its own";
        return Err(refuse(Reason::MissingField, "command", message, "name the program to run"));
    }
    resolved.launch.argv = words;
    Ok(resolved)
}

impl PresetFile {
    /// What it is called in messages.
    pub(crate) fn title(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name.value)
    }
}

fn label(preset: &PresetFile, image: &Image, chosen: Option<&Chosen>) -> String {
    let name = &preset.name.value;
    match (chosen, &preset.root) {
        (Some(chosen), _) => format!("{name} {}", chosen.installed.version),
        (None, Some(_)) => format!("{name} {}", image.fill("{name}:{tag}")),
        (None, None) => name.clone(),
    }
}

fn container_scope(request: &ContainerRequest, image: &Image, chosen: Option<&Chosen>) -> Scope {
    let mut scope = scope(image, &request.resources, chosen);
    scope.set("container", request.name.as_str());
    scope.set("hostname", request.hostname.as_str());
    let mounts = request.mounts.iter().map(|mount| Value::from(mount.path.display().to_string()));
    scope.set("mounts", mounts.collect::<Value>());
    scope
}

/// What does not depend on the rest of the container.
pub(crate) fn scope(image: &Image, resources: &Resources, chosen: Option<&Chosen>) -> Scope {
    let mut scope = Scope::default();
    if let Some(chosen) = chosen {
        let Version(numbers) = &chosen.installed.version;
        let number = |index: usize| Value::from(numbers.get(index).copied().unwrap_or_default());
        let full = Value::from(chosen.installed.version.to_string());
        scope.set("version", template::map([("full", full), ("major", number(0)), ("minor", number(1))]));
        scope.set("dir", chosen.installed.dir.display().to_string());
    }
    scope.set(
        "image",
        template::map([("name", Value::from(image.fill("{name}"))), ("tag", image.fill("{tag}").into())]),
    );
    scope.set("memory", resources.memory_limit.map(|m| m.0));
    scope.set("cpu", resources.cpu_limit.map(|c| c.0));
    scope
}

/// The image's variables, below the preset's, below those of the manifest.
fn env(
    preset: &PresetFile,
    request: &ContainerRequest,
    tree: Option<&TreeRoot>,
    who: &Who,
    scope: &Scope,
) -> Result<BTreeMap<String, String>, RequestError> {
    let mut env = tree.map(|tree| tree.env(who.home.as_deref())).unwrap_or_default();
    for (name, text) in &preset.env {
        env.insert(name.clone(), scope.render(text)?);
    }
    env.extend(request.env.0.clone());
    Ok(env)
}

fn shared(preset: &PresetFile) -> Vec<SharedDir> {
    let shared = |dir: &crate::file::SharedFile| SharedDir {
        host: dir.host.0.clone(),
        path: dir.path.0.clone(),
        mode: dir.mode.0,
    };
    preset.shared.iter().map(shared).collect()
}

/// Those of the preset, less and more what the manifest says, in the order that container runtimes have: all added, all
/// dropped, some added, some dropped. A privileged container has all.
fn capabilities(preset: &PresetFile, request: &ContainerRequest) -> Vec<u32> {
    let wanted = &request.capabilities;
    let all = || (0..).take(CAPABILITIES.len());
    if request.confinement.privileged {
        return all().collect();
    }
    let mut kept: BTreeSet<u32> = preset.capabilities.iter().map(|c| c.0).collect();
    if wanted.add_all {
        kept.extend(all());
    }
    if wanted.drop_all {
        kept.clear();
    }
    kept.extend(&wanted.add);
    kept.retain(|capability| !wanted.drop.contains(capability));
    kept.into_iter().collect()
}

/// Whether an exec may give more rights than its caller has. Who may do everything cannot be kept from it.
fn may_gain(request: &ContainerRequest, capabilities: &[u32]) -> bool {
    let all = request.confinement.privileged || capabilities.contains(&SYS_ADMIN);
    all || request.allow_privilege_escalation == Some(true)
}
