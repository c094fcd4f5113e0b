//! Manifests read here, as the daemon would read them: with this host's presets, and with the objects among its manifests.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use barepod_api::v1::{self, ManifestFile};
use barepod_linux::Dirs;
use barepod_manifest::{Manifests, Objects};
use barepod_model::Source;
use barepod_reader::{Diagnostics, ReadPod, Reader};
use serde_json::Value;

/// What was found.
pub(crate) struct Found {
    /// Pods of the files without errors, each with the name of its file.
    pub(crate) pods: Vec<(String, ReadPod)>,
    /// Objects beside them: their kind and name.
    pub(crate) objects: Vec<String>,
    pub(crate) diagnostics: Vec<v1::Diagnostic>,
}

/// Reads manifests. Nothing is changed, and no daemon is asked.
pub(crate) fn read(root: &Path, files: &[ManifestFile]) -> Result<Found> {
    let dirs = Dirs::under(root);
    let reader = Reader::new(&dirs, node_labels(&dirs.config.join("barepod.yaml")))?;
    let mut said = Diagnostics::default();
    let read = |file: &ManifestFile| Some((file.name.clone(), reader.read(&file.name, &file.text, &mut said)?));
    let read: Vec<(String, Manifests)> = files.iter().filter_map(read).collect();
    let mut objects = known(&dirs.manifests());
    let own: Vec<_> = read.iter().flat_map(|(_, found)| &found.objects).collect();
    own.iter().for_each(|object| drop(objects.insert((*object).clone())));
    let names = own.iter().map(|object| object.id.to_string()).collect();
    let facts = reader.facts();
    let mut pods = Vec::new();
    for (name, found) in read {
        let made = reader.assemble(found.pods, Source::File, &objects, &facts, |_| None, &mut said);
        pods.extend(made.into_iter().flatten().map(|pod| (name.clone(), pod)));
    }
    Ok(Found { pods, objects: names, diagnostics: said.0.into_iter().map(Into::into).collect() })
}

/// The objects among the host's manifests, as far as they can be read: what is wrong with others is no business of this.
fn known(manifests: &Path) -> Objects {
    let mut objects = Objects::default();
    let entries = std::fs::read_dir(manifests).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known)));
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let found = barepod_manifest::read_all(&path.display().to_string(), &text).unwrap_or_default();
        found.objects.into_iter().for_each(|object| drop(objects.insert(object)));
    }
    objects
}

/// `nodeLabels` of the configuration, which a pod may select by.
fn node_labels(config: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let config: Value = serde_saphyr::from_str(&text).unwrap_or_default();
    let labels = config["nodeLabels"].as_object().cloned().unwrap_or_default();
    labels.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect()
}
