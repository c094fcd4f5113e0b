//! Volumes: the directories that claims are.

use barepod_api::v1::Volume;
use serde_json::json;

use super::{Item, Kind, List, Object};
use crate::output::{age, rfc3339, size};

/// A list of volumes at a time.
pub(crate) fn list(volumes: Vec<Volume>, now: i64) -> List {
    List {
        kind: Kind::Volumes,
        headings: &["NAME", "PODS", "AGE", "PATH"],
        wide: &["USED", "AVAILABLE"],
        items: volumes.into_iter().map(|volume| item(volume, now)).collect(),
    }
}

fn item(volume: Volume, now: i64) -> Item {
    let pods = if volume.pods.is_empty() { "<none>".to_owned() } else { volume.pods.join(",") };
    let cells = vec![volume.name.clone(), pods, age(volume.created.as_ref(), now), volume.path.clone()];
    let wide = vec![size(volume.used), size(volume.available)];
    let mut object = json!({
        "apiVersion": "barepod.dev/v1alpha1",
        "kind": "Volume",
        "metadata": {"name": volume.name, "namespace": volume.namespace},
        "path": volume.path,
        "pods": volume.pods,
    });
    if volume.created.is_some() {
        object["metadata"]["creationTimestamp"] = json!(rfc3339(volume.created.as_ref()));
    }
    for (key, bytes) in [("usedBytes", volume.used), ("availableBytes", volume.available)] {
        if let Some(bytes) = bytes {
            object[key] = json!(bytes);
        }
    }
    Item { namespace: volume.namespace, name: volume.name, cells, wide, object: Object::from(object) }
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Timestamp;

    use super::super::{Form, Layout};
    use super::*;

    #[test]
    fn volumes_are_listed_with_their_pods_and_those_that_nobody_has() {
        let volume = |name: &str, pods: &[&str], used: Option<u64>| Volume {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            path: format!("/var/lib/barepod/volumes/shop/{name}"),
            pods: pods.iter().map(|it| (*it).to_owned()).collect(),
            created: used.map(|_| Timestamp { seconds: 0, nanos: 0 }),
            used,
            available: Some(20 << 30),
        };
        let volumes = vec![volume("db-data", &["db"], Some(5 << 20)), volume("old", &[], None)];
        let layout = Layout { form: &Form::Wide, namespaces: true, headings: true, labels: false, single: false };
        insta::assert_snapshot!(list(volumes, 300).render(layout).unwrap(), @r"
        NAMESPACE   NAME      PODS     AGE         PATH                                    USED    AVAILABLE
        shop        db-data   db       5m          /var/lib/barepod/volumes/shop/db-data   5.0Mi   20Gi
        shop        old       <none>   <unknown>   /var/lib/barepod/volumes/shop/old       -       20Gi
        ");
    }
}
