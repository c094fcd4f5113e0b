//! The directories that claims are. They outlive their pods, so that they are looked for on the disk.

use std::fs::{DirEntry, Metadata};
use std::path::Path;
use std::sync::Arc;

use barepod_api::v1;
use barepod_core::PodView;
use barepod_linux::volumes::disk_usage;
use barepod_model::VolumeKind;
use nix::sys::statvfs::statvfs;

use super::stats::in_the_background;
use crate::hands::Host;

/// Those that are asked for, of the namespaces that may be seen.
pub(super) async fn list(
    host: &Arc<Host>,
    wanted: v1::VolumesRequest,
    sees: impl Fn(&str) -> bool + Send + 'static,
) -> Vec<v1::Volume> {
    let (root, views) = (host.dirs.claims(), host.board.list());
    let count = wanted.count;
    let look = move || find(&root, &wanted, &views, sees);
    // Who counts files steps back behind all others.
    if count { in_the_background(look).await } else { tokio::task::spawn_blocking(look).await.ok() }.unwrap_or_default()
}

fn find(
    root: &Path,
    wanted: &v1::VolumesRequest,
    views: &[Arc<PodView>],
    sees: impl Fn(&str) -> bool,
) -> Vec<v1::Volume> {
    let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
    let mut found = Vec::new();
    for (namespace, directory) in directories(root) {
        if !fits(&wanted.namespace, &namespace) || !sees(&namespace) {
            continue;
        }
        for (name, claim) in directories(&directory.path()) {
            if fits(&wanted.name, &name) {
                let pods = users(&namespace, &name, views);
                found.push(volume(&claim.path(), namespace.clone(), name, pods, wanted.count));
            }
        }
    }
    found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    found
}

/// What cannot be read is not there.
fn directories(path: &Path) -> impl Iterator<Item = (String, DirEntry)> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry)))
}

/// The pods that have this claim.
fn users(namespace: &str, claim: &str, views: &[Arc<PodView>]) -> Vec<String> {
    let pods = views.iter().filter_map(|view| view.pod.as_deref());
    let has = |kind: &VolumeKind| matches!(kind, VolumeKind::Claim { claim: of, .. } if of == claim);
    let users = pods.filter(|pod| pod.namespace.as_str() == namespace && pod.volumes.iter().any(|it| has(&it.kind)));
    let mut names: Vec<_> = users.map(|pod| pod.name.to_string()).collect();
    names.sort();
    names
}

fn volume(path: &Path, namespace: String, name: String, pods: Vec<String>, count: bool) -> v1::Volume {
    let space = statvfs(path).ok();
    v1::Volume {
        namespace,
        name,
        path: path.display().to_string(),
        pods,
        created: path.symlink_metadata().ok().as_ref().and_then(created),
        used: count.then(|| disk_usage(path).ok()).flatten().map(|used| used.bytes.0),
        available: space.map(|of| of.blocks_available() * of.fragment_size()),
    }
}

fn created(of: &Metadata) -> Option<v1::Timestamp> {
    let since = of.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(v1::Timestamp {
        seconds: i64::try_from(since.as_secs()).ok()?,
        nanos: i32::try_from(since.subsec_nanos()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(root: &Path, namespace: &str, name: &str) -> Vec<(String, String, bool)> {
        let wanted =
            v1::VolumesRequest { namespace: namespace.to_owned(), name: name.to_owned(), count: name == "data" };
        let found = find(root, &wanted, &[], |namespace| namespace != "secret");
        found.into_iter().map(|it| (it.namespace, it.name, it.used.is_some_and(|used| used > 0))).collect()
    }

    #[test]
    fn directories_of_claims_are_found_without_a_pod_and_links_and_the_unseen_are_not() {
        let root = tempfile::tempdir().unwrap();
        for path in ["shop/data", "shop/logs", "other/data", "secret/data"] {
            std::fs::create_dir_all(root.path().join(path)).unwrap();
        }
        std::fs::write(root.path().join("shop/data/file"), [1; 9000]).unwrap();
        std::fs::write(root.path().join("shop/file"), "").unwrap();
        std::os::unix::fs::symlink("/", root.path().join("shop/link")).unwrap();
        let named = |list: &[(&str, &str, bool)]| -> Vec<(String, String, bool)> {
            list.iter().map(|(a, b, used)| ((*a).to_owned(), (*b).to_owned(), *used)).collect()
        };
        let all = named(&[("other", "data", false), ("shop", "data", false), ("shop", "logs", false)]);
        assert_eq!(found(root.path(), "", ""), all);
        assert_eq!(found(root.path(), "shop", "data"), named(&[("shop", "data", true)]));
        assert_eq!(found(&root.path().join("none"), "", ""), []);
    }
}
