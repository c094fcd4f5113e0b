//! What `explain` and `render` look at: the containers of a manifest, of a pod of the daemon, or of a preset alone.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use barepod_api::v1::ListRequest;
use barepod_manifest::{Context, HostFacts, ManifestError, Objects, read_all};
use barepod_model::{ContainerRequest, PodUid, RequestError, Resolved, Source};
use barepod_presets::{Catalogue, LocalHost};
use serde_json::json;

use super::Surroundings;
use crate::args::Subject;
use crate::refusal::from_status;

/// Calls `look` with each container that is meant; what it answers goes on into the pod.
pub(super) async fn each(
    surroundings: &Surroundings<'_>,
    catalogue: &Catalogue,
    subject: &Subject,
    mut look: impl FnMut(&ContainerRequest) -> Result<Resolved, RequestError>,
) -> Result<bool> {
    let manifests = manifests(surroundings, catalogue, subject).await?;
    let mut sound = true;
    for (file, text) in manifests {
        sound &= read(&file, &text, &mut look);
    }
    Ok(sound)
}

async fn manifests(
    surroundings: &Surroundings<'_>,
    catalogue: &Catalogue,
    subject: &Subject,
) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for path in &subject.filename {
        found.push((path.display().to_string(), fs_err::read_to_string(path)?));
    }
    match subject.name.as_deref() {
        Some(name) if name.starts_with("pod/") => found.push(of_daemon(surroundings, name).await?),
        Some(name) => found.push(of_preset(catalogue, name, subject)),
        None if found.is_empty() => bail!("name a preset, an image or pod/NAME, or give a manifest with -f"),
        None => {}
    }
    Ok(found)
}

/// The manifest of a pod that the daemon has.
async fn of_daemon(surroundings: &Surroundings<'_>, word: &str) -> Result<(String, String)> {
    let name = crate::target::name(word)?;
    let mut client = barepod_api::connect(surroundings.socket).await?;
    let namespace = surroundings.namespace.to_owned();
    let request = ListRequest { namespace, name: name.clone(), uid: String::new() };
    let pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    let Some(pod) = pods.into_iter().next() else { bail!("there is no pod {name}; see `barepod get pods -A`") };
    let mut object: serde_json::Value = serde_json::from_str(&pod.object).context("the daemon's answer is no JSON")?;
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    Ok((word.to_owned(), object.to_string()))
}

/// A pod of one container of a preset, or of an image.
fn of_preset(catalogue: &Catalogue, name: &str, subject: &Subject) -> (String, String) {
    let image = catalogue.image_of(name).unwrap_or_else(|| name.to_owned());
    let mut limits = serde_json::Map::new();
    limits.extend(subject.memory.iter().map(|memory| ("memory".to_owned(), json!(memory))));
    limits.extend(subject.cpu.iter().map(|cpu| ("cpu".to_owned(), json!(cpu))));
    let env: Vec<_> = subject
        .env
        .iter()
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    // As `barepod run` would mount them: that there is none is no fault of who asks about a preset.
    let kept = catalogue.run_plan(name, &LocalHost).map(|plan| plan.volumes).unwrap_or_default();
    let mounts: Vec<_> = kept.iter().map(|(name, path)| json!({"name": name, "mountPath": path})).collect();
    let volumes: Vec<_> = kept.iter().map(|(name, _)| json!({"name": name, "emptyDir": {}})).collect();
    let container = json!({
        "name": "main", "image": image, "args": subject.args, "env": env, "resources": {"limits": limits}, "volumeMounts": mounts,
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "explained"},
        "spec": {"containers": [container], "volumes": volumes},
    });
    (name.to_owned(), pod.to_string())
}

/// Whether nothing was wrong.
fn read(file: &str, text: &str, look: &mut dyn FnMut(&ContainerRequest) -> Result<Resolved, RequestError>) -> bool {
    let found = match read_all(file, text) {
        Ok(found) => found,
        Err(errors) => return complain(&errors),
    };
    let mut objects = Objects::default();
    found.objects.iter().for_each(|object| drop(objects.insert(object.clone())));
    let facts = HostFacts::default();
    let claims_root: PathBuf = Path::new("/var/lib/barepod/volumes").to_owned();
    let context = Context { claims_root: &claims_root, objects: &objects, host: &facts, cluster: None, lives: true };
    let mut sound = true;
    for pod in found.pods {
        let uid = PodUid::new("00000000-0000-0000-0000-000000000000").expect("a UID");
        if let Err(errors) = pod.into_pod(Source::File, uid, &context, &mut *look) {
            sound = complain(&errors);
        }
    }
    sound
}

fn complain(errors: &[ManifestError]) -> bool {
    errors.iter().for_each(|error| eprintln!("{error}"));
    false
}
