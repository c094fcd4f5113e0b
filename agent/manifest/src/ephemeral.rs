//! `ephemeralContainers`: what may be said of them, and of whom they look at.

use barepod_model::{ContainerKind, ContainerName, Ephemeral, Manifest, Reason};
use k8s_openapi::api::core::v1;

use crate::check::nearest;
use crate::container::{self, ParsedContainer, Surroundings};
use crate::error::{Finding, Findings};
use crate::place::FieldPath;

/// Reads one.
pub(crate) fn parse(
    from: &v1::EphemeralContainer,
    pod: &Surroundings<'_>,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<ParsedContainer> {
    whole_volumes(from, &path.key("volumeMounts"), out);
    let target = target(from, pod.spec, &path.key("targetContainerName"), out);
    let written = Manifest(serde_json::to_string(from).unwrap_or_default());
    let parsed = container::parse(&as_container(from), ContainerKind::Ephemeral, pod, path, out)?;
    Some(ParsedContainer { ephemeral: Some(Ephemeral { target, written }), ..parsed })
}

/// The tables refuse what is left out here.
fn as_container(from: &v1::EphemeralContainer) -> v1::Container {
    let from = from.clone();
    v1::Container {
        name: from.name,
        image: from.image,
        command: from.command,
        args: from.args,
        working_dir: from.working_dir,
        env: from.env,
        env_from: from.env_from,
        volume_mounts: from.volume_mounts,
        security_context: from.security_context,
        stdin: from.stdin,
        stdin_once: from.stdin_once,
        tty: from.tty,
        termination_message_path: from.termination_message_path,
        termination_message_policy: from.termination_message_policy,
        ..v1::Container::default()
    }
}

/// As Kubernetes' validation has it.
fn whole_volumes(from: &v1::EphemeralContainer, path: &FieldPath, out: &mut Findings) {
    for (i, mount) in from.volume_mounts.iter().flatten().enumerate() {
        for (field, value) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                let message = "an ephemeral container mounts a volume as a whole";
                let finding = Finding::new(Reason::InvalidValue, &path.index(i).key(field), message);
                out.error(finding.hint("remove it, and look below the mount"));
            }
        }
    }
}

/// One of the others, but not another ephemeral one.
fn target(
    from: &v1::EphemeralContainer,
    spec: &v1::PodSpec,
    path: &FieldPath,
    out: &mut Findings,
) -> Option<ContainerName> {
    let name = from.target_container_name.as_deref().filter(|name| !name.is_empty())?;
    let names = || spec.containers.iter().chain(spec.init_containers.iter().flatten()).map(|one| one.name.as_str());
    if !names().any(|known| known == name) {
        let finding = Finding::new(Reason::InvalidValue, path, format!("the pod has no container {name:?}"));
        let hint = nearest(name, names()).map(|name| format!("did you mean {name:?}?"));
        out.error(finding.hint(hint.unwrap_or_else(|| "name one of containers or initContainers".to_owned())));
        return None;
    }
    ContainerName::new(name).ok()
}
