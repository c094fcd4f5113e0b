//! Pods, as `kubectl get pods` shows them.

use barepod_api::v1::{Container, Pod};

use super::{Item, Kind, List, Object};
use crate::output::age;

/// A list of pods at a time.
pub(crate) fn list(pods: Vec<Pod>, now: i64) -> List {
    List {
        kind: Kind::Pods,
        headings: &["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        wide: &["SOURCE", "PID", "PRESET", "UID"],
        items: pods.into_iter().map(|pod| item(pod, now)).collect(),
    }
}

fn item(pod: Pod, now: i64) -> Item {
    let regular = || pod.containers.iter().filter(|c| !c.init && !c.ephemeral);
    let ready = regular().filter(|c| c.ready).count();
    let each = |of: fn(&Container) -> String| regular().map(of).collect::<Vec<_>>().join(",");
    let cells = vec![
        pod.name.clone(),
        format!("{ready}/{}", regular().count()),
        pod.phase.clone(),
        restarts(&pod, now),
        age(pod.created.as_ref(), now),
    ];
    let wide = vec![
        pod.source.clone(),
        each(|c| if c.pid == 0 { "-".to_owned() } else { c.pid.to_string() }),
        each(|c| c.preset.clone()),
        pod.uid.clone(),
    ];
    Item { namespace: pod.namespace, name: pod.name, cells, wide, object: Object::of_text(pod.object) }
}

/// `3 (20s ago)`.
fn restarts(pod: &Pod, now: i64) -> String {
    let count: u32 = pod.containers.iter().map(|c| c.restart_count).sum();
    let last = pod.containers.iter().filter_map(|c| c.last.as_ref()?.finished).max_by_key(|t| t.seconds);
    match last {
        Some(last) if count > 0 => format!("{count} ({} ago)", age(Some(&last), now)),
        Some(_) | None => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::{Termination, Timestamp};

    use super::super::{Form, Layout};
    use super::*;

    #[test]
    fn pods_are_listed_as_kubectl_lists_them() {
        let container = Container {
            name: "db".to_owned(),
            ready: true,
            pid: 4711,
            restart_count: 2,
            preset: "postgresql 15.20".to_owned(),
            last: Some(Termination { finished: Some(Timestamp { seconds: 80, nanos: 0 }), ..Termination::default() }),
            ..Container::default()
        };
        let pod = Pod {
            name: "db".to_owned(),
            namespace: "default".to_owned(),
            phase: "Running".to_owned(),
            source: "file".to_owned(),
            uid: "u".to_owned(),
            created: Some(Timestamp { seconds: 0, nanos: 0 }),
            containers: vec![container],
            ..Pod::default()
        };
        let layout = Layout { form: &Form::Wide, namespaces: true, headings: true, labels: false, single: false };
        insta::assert_snapshot!(list(vec![pod], 100).render(layout).unwrap(), @r"
        NAMESPACE   NAME   READY   STATUS    RESTARTS      AGE    SOURCE   PID    PRESET             UID
        default     db     1/1     Running   2 (20s ago)   100s   file     4711   postgresql 15.20   u
        ");
    }
}
