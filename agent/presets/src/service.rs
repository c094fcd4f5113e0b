//! The image's own service: its checks, configuration, initialisation, probes and stop.

use std::path::PathBuf;
use std::time::Duration;

use barepod_model::{
    Bytes, ContainerRequest, InitStep, OwnedDir, Probe, ProbeHandler, Reason, RenderedFile, RequestError, Resolved,
    Rlimit, StopPlan, StopStage,
};
use minijinja::Value;

use crate::error::refuse;
use crate::file::{CheckFile, InitFile, OwnedDirFile, ProbeFile, RenderedFileFile, ServiceFile, StopFile, Text};
use crate::template::{self, Scope};

/// Adds to `resolved` what the service brings. `args` are those of the manifest.
pub(crate) fn resolve(
    service: &ServiceFile,
    args: Vec<String>,
    request: &ContainerRequest,
    mut scope: Scope,
    mut resolved: Resolved,
) -> Result<Resolved, RequestError> {
    scope.set("args", args.iter().map(String::as_str).collect::<Value>());
    for var in &service.vars {
        let value = scope.value(&var.value)?;
        scope.set(var.name.value.as_str(), value);
    }
    if let Some(error) = said(&service.checks, &scope)?.into_iter().next() {
        return Err(error);
    }
    resolved.warnings.extend(said(&service.warnings, &scope)?);
    scope.set("tuning", tuning(service, &scope)?);
    let launch = &mut resolved.launch;
    launch.argv = scope.render_all(&service.argv)?;
    launch.argv.extend(args);
    if let (None, Some(cwd)) = (&request.working_dir, &service.cwd) {
        launch.cwd = PathBuf::from(scope.render(cwd)?);
    }
    launch.init = service.init.as_ref().map(|init| init_step(init, &scope)).transpose()?;
    launch.files = service.files.iter().map(|file| rendered(file, &scope)).collect::<Result<_, _>>()?;
    launch.owned_dirs = owned_dirs(&service.owned_dirs, &scope)?;
    if let Some(bytes) = &service.shm_bytes {
        launch.shm_size = shm_size(bytes, &scope)?;
    }
    launch.oom_score_adj = service.oom_score_adj;
    launch.rlimits =
        service.rlimits.iter().map(|r| Rlimit { resource: r.resource, soft: r.soft, hard: r.hard }).collect();
    resolved.data_paths = paths(&service.data_paths, &scope)?;
    let probe = |from: &Option<ProbeFile>| from.as_ref().map(|p| probe(p, &scope)).transpose();
    resolved.startup = probe(&service.probes.startup)?;
    resolved.readiness = probe(&service.probes.readiness)?;
    resolved.liveness = probe(&service.probes.liveness)?;
    resolved.stop = stop(&service.stop);
    Ok(resolved)
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

/// The settings that apply, as a list of `name`, `value`, `why`.
fn tuning(service: &ServiceFile, scope: &Scope) -> Result<Value, RequestError> {
    let mut settings = Vec::new();
    for rule in &service.tuning {
        if scope.is_true(&rule.when)? {
            let value = scope.render(&rule.value)?;
            let texts = [("name", rule.set.clone()), ("value", value), ("why", rule.why.clone())];
            settings.push(template::map(texts.map(|(name, text)| (name, Value::from(text)))));
        }
    }
    Ok(Value::from(settings))
}

fn init_step(init: &InitFile, scope: &Scope) -> Result<InitStep, RequestError> {
    Ok(InitStep {
        creates: PathBuf::from(scope.render(&init.creates)?),
        argv_prefix: scope.render_all(&init.argv_prefix)?,
    })
}

fn rendered(file: &RenderedFileFile, scope: &Scope) -> Result<RenderedFile, RequestError> {
    let contents = match &file.contents {
        Some(text) if file.raw => text.value.clone(),
        Some(text) => scope.render(text)?,
        None => String::new(),
    };
    Ok(RenderedFile {
        path: file.path.0.clone(),
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

fn probe(from: &ProbeFile, scope: &Scope) -> Result<Probe, RequestError> {
    Ok(Probe {
        handler: ProbeHandler::Exec { command: scope.render_all(&from.command)? },
        initial_delay: seconds(from.initial_delay_seconds),
        period: seconds(from.period_seconds),
        timeout: seconds(from.timeout_seconds),
        success_threshold: 1,
        failure_threshold: from.failure_threshold,
        termination_grace: None,
    })
}

fn stop(from: &StopFile) -> StopPlan {
    let stages = from.stages.iter();
    let stages = stages.map(|s| StopStage { signal: s.signal.0, before_end: s.before_end_seconds.map(seconds) });
    StopPlan { stages: stages.collect(), min_grace: seconds(from.min_grace_seconds) }
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(value.into())
}
