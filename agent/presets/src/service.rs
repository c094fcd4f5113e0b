//! The image's own service: its checks, configuration, initialisation, probes and stop.

use std::path::PathBuf;
use std::time::Duration;

use barepod_model::{
    Bytes, ContainerRequest, HttpGet, HttpScheme, InitStep, Notify, NotifyAccess, OwnedDir, Probe, ProbeHandler,
    Reason, RenderedFile, RequestError, Resolved, Rlimit, StopPlan, StopStage,
};
use minijinja::Value;

use crate::arguments::shell_quoted;
use crate::contract;
use crate::error::refuse;
use crate::file::{
    AccessFile, CheckFile, InitFile, NotifyFile, OwnedDirFile, ProbeFile, RenderedFileFile, RlimitFile, ServiceFile,
    StopFile,
};
use crate::read::{Placed, Text};
use crate::template::Scope;
use crate::tuning::{Setting, Tuned};
use crate::word::PortText;

/// What becomes of a request that does not keep the contract of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// It is refused.
    Refuse,
    /// It is told: somebody only wants to see what would come out.
    Note,
}

/// Adds to `resolved` what the service brings; the answer is what became of its tuning. `args` are those of the manifest.
pub(crate) fn resolve(
    service: &ServiceFile,
    args: Vec<String>,
    request: &ContainerRequest,
    mut scope: Scope,
    judge: Judge,
    resolved: &mut Resolved,
) -> Result<Vec<Setting>, RequestError> {
    let args = if args.is_empty() { service.default_args.clone() } else { args };
    scope.set("args", args.iter().map(String::as_str).collect::<Value>());
    for var in &service.vars {
        let value = scope.value(&var.value)?;
        scope.set(var.name.value.as_str(), value);
    }
    match (kept(service, &args, request, &scope), judge) {
        (Ok(warnings), _) => resolved.warnings.extend(warnings),
        (Err(error), Judge::Note) => resolved.warnings.push(error),
        (Err(error), Judge::Refuse) => return Err(error),
    }
    let tuned = Tuned::of(&service.tuning, &args, request, &scope)?;
    let (list, by_name) = tuned.values();
    scope.set("tuning", list);
    scope.set("tuned", by_name);
    launch(service, tuned.args, args, request, &scope, resolved)?;
    resolved.launch.follows_resources.env = tuned.env.iter().map(|(name, _)| name.clone()).collect();
    resolved.launch.env.0.extend(tuned.env);
    around(service, &scope, resolved)?;
    Ok(tuned.settings)
}

/// What is to be said of a request that keeps the contract, else how it does not.
fn kept(
    service: &ServiceFile,
    args: &[String],
    request: &ContainerRequest,
    scope: &Scope,
) -> Result<Vec<RequestError>, RequestError> {
    let contract = service.contract.as_ref();
    let mut warnings = contract.map(|c| contract::look(c, args, request, scope)).transpose()?.unwrap_or_default();
    if let Some(error) = said(&service.checks, scope)?.into_iter().next() {
        return Err(error);
    }
    warnings.extend(said(&service.warnings, scope)?);
    Ok(warnings)
}

/// What is started, and what it finds.
fn launch(
    service: &ServiceFile,
    tuned: Vec<String>,
    args: Vec<String>,
    request: &ContainerRequest,
    scope: &Scope,
    resolved: &mut Resolved,
) -> Result<(), RequestError> {
    let launch = &mut resolved.launch;
    launch.argv = scope.render_all(&service.argv)?;
    launch.follows_resources.argv = (launch.argv.len(), tuned.len());
    launch.argv.extend(tuned.into_iter().chain(args));
    if let (None, Some(dir)) = (&request.working_dir, &service.working_dir) {
        launch.cwd = PathBuf::from(scope.render(dir)?);
    }
    launch.init = init(&service.init, scope)?;
    launch.files = service.files.iter().map(|file| rendered(file, scope)).collect::<Result<_, _>>()?;
    launch.owned_dirs = owned_dirs(&service.owned_dirs, scope)?;
    if let Some(bytes) = &service.shm_bytes {
        launch.shm_size = shm_size(bytes, scope)?;
    }
    launch.oom_score_adj =
        service.oom_score_adj.as_deref().and_then(|adj| i32::try_from(*adj).ok()).unwrap_or_default();
    resolved.oom_group = !service.oom_kills_alone;
    resolved.pids_limit = service.pids_limit.as_deref().and_then(|limit| u64::try_from(*limit).ok());
    launch.rlimits = service.rlimits.iter().map(rlimit).collect();
    Ok(())
}

/// How it is asked and stopped.
fn around(service: &ServiceFile, scope: &Scope, resolved: &mut Resolved) -> Result<(), RequestError> {
    resolved.data_paths = paths(&service.data_paths, scope)?;
    if let Some(probes) = &service.probes {
        let probe = |from: &Option<Placed<ProbeFile>>| match from {
            Some(from) if scope.holds(from.when.as_ref())? => probe(from, scope).map(Some),
            Some(_) | None => Ok(None),
        };
        resolved.startup = probe(&probes.startup)?;
        resolved.readiness = probe(&probes.readiness)?;
        resolved.liveness = probe(&probes.liveness)?;
    }
    resolved.launch.notify = service.notify.as_ref().map(notify);
    if let Some(from) = &service.stop {
        resolved.stop = stop(from);
    }
    Ok(())
}

fn said(checks: &[CheckFile], scope: &Scope) -> Result<Vec<RequestError>, RequestError> {
    let mut said = Vec::new();
    for check in checks {
        if scope.is_true(&check.when)? {
            let (message, hint) = (scope.render(&check.message)?, scope.render(&check.hint)?);
            said.push(refuse(Reason::InvalidConfiguration, &check.field, message, hint));
        }
    }
    Ok(said)
}

fn init(steps: &[InitFile], scope: &Scope) -> Result<Vec<InitStep>, RequestError> {
    let mut all = Vec::new();
    for step in steps {
        if scope.holds(step.when.as_ref())? {
            all.push(init_step(step, scope)?);
        }
    }
    Ok(all)
}

fn init_step(step: &InitFile, scope: &Scope) -> Result<InitStep, RequestError> {
    let creates = scope.render(&step.creates)?;
    let argv_prefix = if step.run.is_empty() {
        scope.render_all(&step.exec)?
    } else {
        let script = run_once(&step.name.value, &scope.render_all(&step.run)?, &creates);
        ["/bin/sh", "-euc", &script, "barepod-init"].map(str::to_owned).into()
    };
    Ok(InitStep { creates: PathBuf::from(creates), argv_prefix })
}

/// A command that is not repeated once it has succeeded. Its mark is on the disk before anything follows; killed before
/// that, it is run again.
fn run_once(name: &str, command: &[String], mark: &str) -> String {
    let command: Vec<String> = command.iter().map(|word| shell_quoted(word)).collect();
    let (name, mark, made) = (shell_quoted(name), shell_quoted(mark), shell_quoted(&format!("{mark}.barepod-new")));
    format!(
        "echo barepod: init step {name}\n{}\nif [ ! -e {mark} ]; then : > {made}; sync; mv {made} {mark}; fi\nsync\n\
         exec \"$@\"\n",
        command.join(" ")
    )
}

fn rendered(file: &RenderedFileFile, scope: &Scope) -> Result<RenderedFile, RequestError> {
    let contents = match &file.contents {
        Some(text) if file.raw => text.value.clone(),
        Some(text) => scope.render(text)?,
        None => String::new(),
    };
    Ok(RenderedFile {
        path: file.path.value.0.clone(),
        contents,
        mode: file.mode.0,
        follows_resources: file.follows_resources,
    })
}

/// The paths that are not empty.
fn paths(texts: &[Text], scope: &Scope) -> Result<Vec<PathBuf>, RequestError> {
    let texts = scope.render_all(texts)?;
    Ok(texts.into_iter().filter(|text| !text.is_empty()).map(PathBuf::from).collect())
}

fn owned_dirs(dirs: &[OwnedDirFile], scope: &Scope) -> Result<Vec<OwnedDir>, RequestError> {
    let mut owned = Vec::new();
    for dir in dirs {
        let path = scope.render(&dir.path)?;
        if !path.is_empty() {
            owned.push(OwnedDir { path: PathBuf::from(path), mode: dir.mode.0 });
        }
    }
    Ok(owned)
}

fn shm_size(text: &Text, scope: &Scope) -> Result<Bytes, RequestError> {
    let value = scope.render(text)?;
    value.trim().parse().map(Bytes).map_err(|_| {
        let message = format!("the preset does not work here: {value:?} is no size of /dev/shm");
        refuse(Reason::InvalidPreset, "image", message, "mend the preset")
    })
}

fn rlimit(from: &RlimitFile) -> Rlimit {
    Rlimit { resource: from.resource.0, soft: from.soft.0, hard: from.hard.unwrap_or(from.soft).0 }
}

/// A probe, with Kubernetes' figures where it says none.
fn probe(from: &ProbeFile, scope: &Scope) -> Result<Probe, RequestError> {
    Ok(Probe {
        handler: handler(from, scope)?,
        initial_delay: seconds(from.initial_delay_seconds.unwrap_or(0)),
        period: seconds(from.period_seconds.unwrap_or(10)),
        timeout: seconds(from.timeout_seconds.unwrap_or(1)),
        success_threshold: 1,
        failure_threshold: from.failure_threshold.unwrap_or(3),
        termination_grace: None,
    })
}

fn handler(from: &ProbeFile, scope: &Scope) -> Result<ProbeHandler, RequestError> {
    if let Some(http) = &from.http_get {
        let scheme = if http.https { HttpScheme::Https } else { HttpScheme::Http };
        let (port, path) = (port(&http.port, scope)?, scope.render(&http.path)?);
        return Ok(ProbeHandler::Http(HttpGet { scheme, host: None, port, path, headers: Vec::new() }));
    }
    if let Some(tcp) = &from.tcp_socket {
        return Ok(ProbeHandler::Tcp { host: None, port: port(&tcp.port, scope)? });
    }
    if let Some(grpc) = &from.grpc {
        let service = grpc.service.clone().unwrap_or_default();
        return Ok(ProbeHandler::Grpc { port: port(&grpc.port, scope)?, service });
    }
    let command = from.exec.as_ref().map(|exec| scope.render_all(&exec.command)).transpose()?;
    Ok(ProbeHandler::Exec { command: command.unwrap_or_default() })
}

fn port(text: &PortText, scope: &Scope) -> Result<u16, RequestError> {
    let value = scope.render(&text.0)?;
    value.trim().parse().ok().filter(|port| *port != 0).ok_or_else(|| {
        let message = format!("{value:?} is no port, and the preset's probe asks there");
        refuse(Reason::InvalidConfiguration, "args", message, "give the service a port, or a probe of your own")
    })
}

fn notify(from: &NotifyFile) -> Notify {
    let access = match from.access {
        Some(AccessFile::Main) | None => NotifyAccess::Main,
        Some(AccessFile::All) => NotifyAccess::All,
    };
    Notify { access, start_timeout: from.start_seconds.map(seconds), watchdog: from.watchdog_seconds.map(seconds) }
}

fn stop(from: &StopFile) -> StopPlan {
    let stages = from.stages.iter();
    let stages = stages.map(|s| StopStage { signal: s.signal.0, before_end: s.before_end_seconds.map(seconds) });
    StopPlan { stages: stages.collect(), min_grace: seconds(from.min_grace_seconds.unwrap_or(0)) }
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(value.into())
}
