//! Data directories of pods as host volumes of Nomad: a job of the same namespace may read one, and lands where it is.
//!
//! Nomad keeps such a volume (`/v1/volume/host`, from 1.10 on) until it is told otherwise; what is in the directory is nothing
//! to it. A volume says by its parameters whose it is, so that nobody else's is touched.

use std::collections::BTreeMap;

use barepod_api::v1;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::job::NODE;
use crate::node::Node;
use crate::wanted::{Stance, stance};
use crate::{Client, ClientError};

/// Directories by the names of their volumes.
type Directories = BTreeMap<String, String>;

/// What is to be there, and what may stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Of pods that run.
    needed: Directories,
    /// Of those that have not begun, are about to end, or nobody knows of.
    left: Directories,
}

impl Wanted {
    /// Of all pods there are.
    pub(crate) fn of<'a>(pods: impl Iterator<Item = &'a v1::Pod>) -> Self {
        let mut wanted = Self::default();
        for pod in pods {
            let directories = match stance(pod) {
                Stance::Counted(_) => &mut wanted.needed,
                Stance::Left => &mut wanted.left,
                Stance::Absent => continue,
            };
            directories.extend(named(pod));
        }
        wanted
    }

    fn keeps(&self, volume: &Volume) -> bool {
        [&self.needed, &self.left].iter().any(|all| all.get(&volume.name) == Some(&volume.host_path))
    }
}

/// `NAMESPACE.POD`, with a number where it has several.
fn named(pod: &v1::Pod) -> impl Iterator<Item = (String, String)> {
    let base = format!("{}.{}", pod.namespace, pod.name);
    let mut paths = pod.data_paths.clone();
    paths.sort();
    let several = paths.len() > 1;
    let name = move |number: usize| if several { format!("{base}.{number}") } else { base.clone() };
    paths.into_iter().enumerate().map(move |(number, path)| (name(number), path))
}

/// A volume as Nomad lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stub {
    #[serde(rename = "ID")]
    id: String,
    modify_index: u64,
}

/// A volume as Nomad describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    name: String,
    #[serde(default)]
    host_path: String,
    #[serde(default)]
    parameters: Option<BTreeMap<String, String>>,
}

impl Volume {
    fn is_of(&self, node: &Node) -> bool {
        self.parameters.as_ref().and_then(|all| all.get(NODE)) == Some(&node.id)
    }
}

/// What is known of this node's volumes.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// What was last seen to.
    settled: Option<Wanted>,
    /// Those there are, by identity, and when each was last changed.
    known: BTreeMap<String, (u64, Volume)>,
}

impl Volumes {
    /// All is looked at again.
    pub(crate) fn doubt(&mut self) {
        self.settled = None;
    }

    /// Makes them what they should be.
    pub(crate) async fn settle(&mut self, client: &Client, node: &Node, wanted: &Wanted) -> Result<(), ClientError> {
        if self.settled.as_ref() == Some(wanted) {
            return Ok(());
        }
        self.settled = None;
        self.look(client, node).await?;
        let surplus = self.known.iter().filter(|(_, (_, volume))| volume.is_of(node) && !wanted.keeps(volume));
        for id in surplus.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            remove(client, &id).await?;
            self.known.remove(&id);
        }
        let is_there = |name: &String| self.known.values().any(|(_, volume)| volume.name == *name);
        let missing: Vec<_> = wanted.needed.iter().filter(|(name, _)| !is_there(name)).collect();
        for (name, path) in missing {
            let body = body(client, node, name, path);
            client
                .put::<Value>(&format!("/v1/volume/host/register?namespace={}", client.settings().namespace), &body)
                .await?;
            tracing::info!(volume = name, path, "registered");
        }
        self.settled = Some(wanted.clone());
        Ok(())
    }

    async fn look(&mut self, client: &Client, node: &Node) -> Result<(), ClientError> {
        let stubs: Vec<Stub> = client.get(&listed(client, node)).await?;
        let mut known = BTreeMap::new();
        for Stub { id, modify_index } in stubs {
            let volume = match self.known.remove(&id) {
                Some((index, volume)) if index == modify_index => volume,
                Some(_) | None => match client.get(&at(client, &id)).await {
                    Err(error) if error.is_not_found() => continue,
                    other => other?,
                },
            };
            known.insert(id, (modify_index, volume));
        }
        self.known = known;
        Ok(())
    }
}

/// Takes all of this node's back; how many there were.
pub(crate) async fn take_back(client: &Client, node: &Node) -> Result<usize, ClientError> {
    let mut volumes = Volumes::default();
    volumes.look(client, node).await?;
    let ours: Vec<_> = volumes.known.iter().filter(|(_, (_, volume))| volume.is_of(node)).map(|(id, _)| id).collect();
    for id in &ours {
        remove(client, id).await?;
    }
    Ok(ours.len())
}

fn listed(client: &Client, node: &Node) -> String {
    format!("/v1/volumes?type=host&namespace={}&node_id={}", client.settings().namespace, node.id)
}

fn at(client: &Client, id: &str) -> String {
    format!("/v1/volume/host/{id}?namespace={}", client.settings().namespace)
}

/// Without a plugin nothing is done to the directory.
async fn remove(client: &Client, id: &str) -> Result<(), ClientError> {
    match client.delete::<Value>(&at(client, id)).await {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(|_| tracing::info!(volume = id, "its pod is gone, and Nomad forgets it")),
    }
}

/// The one writer is the pod.
fn body(client: &Client, node: &Node, name: &str, path: &str) -> Value {
    let capability = json!({"AttachmentMode": "file-system", "AccessMode": "single-node-reader-only"});
    json!({"Volume": {
        "Name": name, "Namespace": client.settings().namespace, "NodeID": node.id, "HostPath": path,
        "RequestedCapabilities": [capability], "Parameters": {NODE: node.id},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, phase: &str, paths: &[&str]) -> v1::Pod {
        v1::Pod {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            source: "file".to_owned(),
            phase: phase.to_owned(),
            booked: Some(v1::Amounts::default()),
            data_paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..v1::Pod::default()
        }
    }

    fn directories(all: &[(&str, &str)]) -> Directories {
        all.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect()
    }

    #[test]
    fn a_pod_that_runs_needs_its_volumes_one_that_ends_may_keep_them_and_one_that_is_over_has_none() {
        let pods = [
            pod("pg", "Running", &["/srv/pg"]),
            pod("minio", "Running", &["/srv/b", "/srv/a"]),
            pod("late", "Unknown", &["/srv/late"]),
            pod("gone", "Failed", &["/srv/gone"]),
            v1::Pod { source: "nomad".to_owned(), ..pod("task", "Running", &["/srv/task"]) },
        ];
        let wanted = Wanted::of(pods.iter());
        let needed = [("default.pg", "/srv/pg"), ("default.minio.0", "/srv/a"), ("default.minio.1", "/srv/b")];
        assert_eq!(wanted.needed, directories(&needed));
        assert_eq!(wanted.left, directories(&[("default.late", "/srv/late")]));
    }

    #[test]
    fn a_volume_of_another_directory_is_not_kept() {
        let wanted = Wanted { needed: directories(&[("default.pg", "/srv/pg")]), ..Wanted::default() };
        let volume =
            |path: &str| Volume { name: "default.pg".to_owned(), host_path: path.to_owned(), parameters: None };
        assert!(wanted.keeps(&volume("/srv/pg")) && !wanted.keeps(&volume("/srv/old")));
    }
}
