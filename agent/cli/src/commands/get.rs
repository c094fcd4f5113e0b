//! `barepod get`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{ListRequest, Pod, watch_response};

use super::Client;
use crate::args::{Get, Output};
use crate::output;
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Get) -> Result<ExitCode> {
    let name = wanted(&args)?;
    let all = args.all_namespaces && name.is_none();
    let request = ListRequest {
        namespace: if all { String::new() } else { namespace.clone() },
        name: name.clone().unwrap_or_default(),
        uid: String::new(),
    };
    if args.watch {
        return watch(client, request, args.output, all).await;
    }
    let mut pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    match (&name, pods.is_empty()) {
        (Some(name), true) => bail!("there is no pod {name} in namespace {namespace}; see `barepod get pods -A`"),
        (None, true) if matches!(args.output, None | Some(Output::Wide)) => {
            eprintln!("No pods{}.", if all { String::new() } else { format!(" in namespace {namespace}") });
        }
        (Some(_) | None, _) => output::print(&output::render(&pods, args.output, all, name.is_some())?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// `pods`, `pod NAME`, `pod/NAME`.
fn wanted(args: &Get) -> Result<Option<String>> {
    match (&args.name, target::is_kind(&args.kind)) {
        (name, true) => Ok(name.clone()),
        (None, false) if args.kind.contains('/') => target::name(&args.kind).map(Some),
        (_, false) => bail!("there is no type {:?} here; {}", args.kind, instead(&args.kind)),
    }
}

/// What shows it.
fn instead(kind: &str) -> &'static str {
    match kind.trim_end_matches('s') {
        "preset" | "image" => "write `barepod preset list`",
        "event" => "write `barepod events`",
        "node" | "no" => "write `barepod kube status`, or kubectl on its cluster",
        "policy" => "write `barepod policy show`",
        "port" | "service" | "svc" => "write `barepod port list`: services listen on the host's own addresses",
        "secret" | "configmap" | "cm" => "they lie in /etc/barepod/manifests",
        "volume" | "pvc" | "pv" | "persistentvolumeclaim" => "claims are directories below /var/lib/barepod/volumes",
        "deployment" | "deploy" | "statefulset" | "st" | "daemonset" | "job" | "all" => {
            "what makes pods is shown as its pods: write `barepod get pods`"
        }
        _ => "write `barepod get pods` or `barepod get pod NAME`",
    }
}

async fn watch(mut client: Client, request: ListRequest, how: Option<Output>, all: bool) -> Result<ExitCode> {
    let mut changes = client.watch(request).await.map_err(from_status)?.into_inner();
    let mut heading = true;
    while let Some(change) = changes.message().await.map_err(from_status)? {
        let kind = change.kind();
        let Some(mut pod) = change.pod else { continue };
        if kind == watch_response::Kind::Gone {
            "Gone".clone_into(&mut pod.phase);
        }
        output::print(&line(&pod, how, all, heading)?)?;
        heading = false;
    }
    bail!("barepodd ended; services run on without it")
}

/// A change as one line, or one object; the table's heading comes once.
fn line(pod: &Pod, how: Option<Output>, all: bool, heading: bool) -> Result<String> {
    let text = output::render(std::slice::from_ref(pod), how, all, true)?;
    let table = matches!(how, None | Some(Output::Wide));
    Ok(match text.split_once('\n') {
        Some((_, rest)) if table && !heading => rest.to_owned(),
        Some(_) | None => text,
    })
}
