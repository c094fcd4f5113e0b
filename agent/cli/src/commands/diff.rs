//! `barepod diff`: what an apply would change of the pods there are.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barepod_api::v1::{ListRequest, diagnostic::Severity};
use barepod_reader::ReadPod;
use serde_json::{Value, json};
use similar::TextDiff;

use super::{Client, apply};
use crate::args::Diff;
use crate::offline;
use crate::output::print;
use crate::refusal::from_status;

/// Something would change.
const DIFFERENT: u8 = 1;
/// A manifest has errors.
const UNREAD: u8 = 3;

pub(super) async fn run(socket: &Path, args: Diff) -> Result<ExitCode> {
    let files = args.filename.iter().map(|path| apply::read(path)).collect::<Result<Vec<_>>>()?;
    let found = offline::read(&args.root, &files)?;
    let mut wrong = false;
    for diagnostic in found.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error) {
        eprintln!("{}", apply::render(diagnostic));
        wrong = true;
    }
    if wrong {
        return Ok(ExitCode::from(UNREAD));
    }
    for object in &found.objects {
        eprintln!("{object}: not compared; only pods are");
    }
    let mut client = barepod_api::connect(socket).await?;
    let mut different = false;
    for (file, ReadPod { pod, .. }) in found.pods {
        let name = format!("pod/{}", pod.name);
        let running = running(&mut client, pod.namespace.as_str(), pod.name.as_str()).await?;
        let wanted = serde_json::from_str(&pod.manifest.0).context("a manifest is no JSON")?;
        let wanted = text(written(wanted, pod.namespace.as_str(), pod.name.as_str()))?;
        let running = running.map(text).transpose()?.unwrap_or_default();
        let difference = unified(&running, &wanted, &name, &file);
        different |= !difference.is_empty();
        print(&difference)?;
    }
    Ok(if different { ExitCode::from(DIFFERENT) } else { ExitCode::SUCCESS })
}

async fn running(client: &mut Client, namespace: &str, name: &str) -> Result<Option<Value>> {
    let request = ListRequest { namespace: namespace.to_owned(), name: name.to_owned(), uid: String::new() };
    let pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    let Some(pod) = pods.into_iter().next() else { return Ok(None) };
    let object = serde_json::from_str(&pod.object).context("the daemon's answer is no JSON")?;
    Ok(Some(written(object, namespace, name)))
}

/// What its author wrote: without all that the daemon adds.
fn written(mut object: Value, namespace: &str, name: &str) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        object.insert("apiVersion".to_owned(), json!("v1"));
        object.insert("kind".to_owned(), json!("Pod"));
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            for added in ["uid", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
                metadata.remove(added);
            }
            metadata.insert("name".to_owned(), json!(name));
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
    }
    object
}

fn text(object: Value) -> Result<String> {
    Ok(serde_saphyr::to_string(&object)?)
}

/// As `diff -u` writes it; empty where both are the same.
fn unified(running: &str, wanted: &str, name: &str, file: &str) -> String {
    let (before, after) = (format!("{name} as it is"), format!("{name} of {file}"));
    TextDiff::from_lines(running, wanted).unified_diff().header(&before, &after).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_daemon_adds_is_no_difference_and_what_differs_is_shown_with_its_surroundings() {
        let shown = json!({
            "metadata": {"name": "db", "uid": "u", "generation": 3, "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "db", "image": "postgres:15"}]},
            "status": {"phase": "Running"},
        });
        let same = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "db", "image": "postgres:15"}]}});
        let mut other = same.clone();
        other["spec"]["containers"][0]["image"] = json!("postgres:16");
        let text = |object: Value| text(written(object, "shop", "db")).unwrap();
        assert_eq!(unified(&text(shown.clone()), &text(same), "pod/db", "db.yaml"), "");
        insta::assert_snapshot!(unified(&text(shown), &text(other.clone()), "pod/db", "db.yaml"));
        insta::assert_snapshot!(unified("", &text(other), "pod/db", "db.yaml"));
    }
}
