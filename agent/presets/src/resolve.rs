//! A request and its preset to what is started.

use std::collections::BTreeMap;
use std::path::PathBuf;

use barepod_model::{Bytes, ContainerRequest, Env, Launch, Reason, RequestError, Resolved, Root, SharedDir, StopPlan};
use minijinja::Value;

use crate::contract::{self, Mode};
use crate::error::refuse;
use crate::file::PresetFile;
use crate::host::Host;
use crate::image::Image;
use crate::template::{self, Scope};
use crate::version::{self, Chosen, Version};
use crate::{service, user};

/// Kubernetes' and runc's size of `/dev/shm`.
const DEFAULT_SHM: Bytes = Bytes(64 << 20);

/// Resolves a request with the preset that answers to its image.
pub(crate) fn resolve(
    preset: &PresetFile,
    image: &Image,
    request: &ContainerRequest,
    host: &dyn Host,
) -> Result<Resolved, RequestError> {
    let mode = contract::mode(request, preset.service.as_ref());
    let chosen = match &preset.versions {
        Some(versions) => Some(version::choose(image, &preset.title, versions, host)?),
        None => None,
    };
    let who = user::resolve(&request.user, &preset.user, &mode, host)?;
    let mut scope = scope(request, chosen.as_ref());
    let name = who.name.unwrap_or_else(|| who.user.uid.to_string());
    scope.set("user", template::map([("name", Value::from(name)), ("uid", who.user.uid.into())]));
    let env = env(preset, request, &scope)?;
    scope.set("env", template::map(env.iter().map(|(name, value)| (name, Value::from(value.as_str())))));
    let launch = Launch {
        argv: Vec::new(),
        init: None,
        env: Env(env),
        cwd: request.working_dir.clone().unwrap_or_else(|| PathBuf::from("/")),
        user: who.user,
        root: preset.root.as_ref().map_or(Root::Host, |root| Root::Tree(root.tree.0.clone())),
        read_only_root: request.read_only_root,
        mounts: request.mounts.clone(),
        shared: shared(preset),
        files: Vec::new(),
        owned_dirs: Vec::new(),
        shm_size: DEFAULT_SHM,
        capabilities: capabilities(preset, request),
        no_new_privileges: request.allow_privilege_escalation != Some(true),
        rlimits: Vec::new(),
        oom_score_adj: 0,
        namespaces: request.namespaces,
        tty: request.tty,
        hostname: request.hostname.clone(),
        as_written: None,
        network: request.network.clone(),
        confinement: request.confinement.clone(),
    };
    let resolved = plain(label(preset, chosen.as_ref()), launch, chosen.and_then(|c| c.warning));
    let resolved = Resolved { fs_group: who.fs_group, ..resolved };
    match (mode, &preset.service) {
        (Mode::Service(args), Some(service)) => service::resolve(service, args, request, scope, resolved),
        (Mode::Service(words) | Mode::Command(words), _) => command(words, resolved),
    }
}

/// Without a service of its own: no probes, SIGTERM.
fn plain(preset: String, launch: Launch, warning: Option<RequestError>) -> Resolved {
    Resolved {
        preset,
        launch,
        stop: StopPlan::default(),
        startup: None,
        readiness: None,
        liveness: None,
        data_paths: Vec::new(),
        fs_group: None,
        warnings: warning.into_iter().collect(),
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

fn label(preset: &PresetFile, chosen: Option<&Chosen>) -> String {
    let name = &preset.preset.value;
    chosen.map_or_else(|| name.clone(), |c| format!("{name} {}", c.installed.version))
}

fn scope(request: &ContainerRequest, chosen: Option<&Chosen>) -> Scope {
    let mut scope = Scope::default();
    if let Some(chosen) = chosen {
        let Version(numbers) = &chosen.installed.version;
        let major = numbers.first().copied().unwrap_or_default();
        let full = chosen.installed.version.to_string();
        scope.set("version", template::map([("full", Value::from(full)), ("major", major.into())]));
        scope.set("dir", chosen.installed.dir.display().to_string());
    }
    scope.set("memory", request.resources.memory_limit.map(|m| m.0));
    scope.set("cpu", request.resources.cpu_limit.map(|c| c.0));
    scope
}

/// The preset's variables, below those of the manifest.
fn env(
    preset: &PresetFile,
    request: &ContainerRequest,
    scope: &Scope,
) -> Result<BTreeMap<String, String>, RequestError> {
    let mut env = BTreeMap::new();
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

/// Those of the preset, less what is dropped, and what is added.
fn capabilities(preset: &PresetFile, request: &ContainerRequest) -> Vec<u32> {
    let wanted = &request.capabilities;
    let dropped = |c: &u32| wanted.drop_all || wanted.drop.contains(c);
    let mut kept: Vec<u32> = preset.capabilities.iter().copied().filter(|c| !dropped(c)).collect();
    kept.extend(&wanted.add);
    kept.sort_unstable();
    kept.dedup();
    kept
}
