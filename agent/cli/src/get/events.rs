//! Events, as `kubectl get events` shows them.

use barepod_api::v1::Event;
use serde_json::{Value, json};

use super::{Item, Kind, List, Object};
use crate::output::{age, rfc3339};

/// What has no pod is of the host itself.
const HOST: &str = "host";

/// A list of events at a time.
pub(crate) fn list(events: Vec<Event>, now: i64) -> List {
    List {
        kind: Kind::Events,
        headings: &["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        wide: &["CONTAINER", "SOURCE", "NAME"],
        items: events.into_iter().map(|event| item(&event, now)).collect(),
    }
}

/// `Normal` or `Warning`.
pub(crate) fn kind(event: &Event) -> &'static str {
    if event.warning { "Warning" } else { "Normal" }
}

fn item(event: &Event, now: i64) -> Item {
    let name = name(event);
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let cells = vec![
        age(event.time.as_ref(), now),
        kind(event).to_owned(),
        event.reason.clone(),
        if event.pod.is_empty() { HOST.to_owned() } else { format!("pod/{}", event.pod) },
        // A table has one line for each.
        event.message.trim().replace('\n', " "),
    ];
    let wide = vec![or_none(&event.container), or_none(&event.source), name.clone()];
    let object = Object::from(object(event, &name));
    Item { namespace: event.namespace.clone(), name, cells, wide, object }
}

/// As Kubernetes names them: by what they are about, and when.
fn name(event: &Event) -> String {
    let time = event.time.unwrap_or_default();
    let about = if event.pod.is_empty() { HOST } else { &event.pod };
    format!("{about}.{:x}", i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos))
}

/// The `v1/Event`.
fn object(event: &Event, name: &str) -> Value {
    let time = rfc3339(event.time.as_ref());
    let kind_of = if event.pod.is_empty() { "Node" } else { "Pod" };
    let mut about =
        json!({"kind": kind_of, "namespace": event.namespace, "name": event.pod, "uid": event.uid, "apiVersion": "v1"});
    if !event.container.is_empty() {
        about["fieldPath"] = json!(format!("spec.containers{{{}}}", event.container));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": event.namespace, "creationTimestamp": time},
        "involvedObject": about,
        "type": kind(event),
        "reason": event.reason,
        "message": event.message,
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "source": {"component": "barepod"},
        "reportingComponent": "barepod",
        "reportingInstance": "",
    })
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Timestamp;

    use super::super::{Form, Layout};
    use super::*;

    fn events() -> List {
        let event = |seconds, warning, reason: &str, container: &str, message: &str| Event {
            time: Some(Timestamp { seconds, nanos: 0 }),
            namespace: "shop".to_owned(),
            pod: "db".to_owned(),
            uid: "u".to_owned(),
            container: container.to_owned(),
            warning,
            reason: reason.to_owned(),
            message: message.to_owned(),
            source: "file".to_owned(),
            number: 0,
        };
        let killing = event(1000, false, "Killing", "main", "is stopped\nbecause it is deleted\n");
        list(vec![killing, event(1030, true, "OutOfmemory", "", "2Gi are asked for")], 1090)
    }

    #[test]
    fn events_are_listed_as_kubectl_lists_them() {
        let layout = Layout { form: &Form::Table, namespaces: false, headings: true, labels: false, single: false };
        let wide = Layout { form: &Form::Wide, namespaces: true, ..layout };
        let text = format!("{}\n{}", events().render(layout).unwrap(), events().render(wide).unwrap());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn an_event_is_an_object_of_kubernetes() {
        let form = Form::parse(
            "jsonpath={range .items[*]}{.metadata.name} {.involvedObject.fieldPath} {.lastTimestamp}\n{end}",
        );
        let layout = Layout { form: &form.unwrap(), namespaces: false, headings: true, labels: false, single: false };
        let text = events().render(layout).unwrap();
        let expected =
            "db.e8d4a51000 spec.containers{main} 1970-01-01T00:16:40Z\ndb.efd0c8bc00  1970-01-01T00:17:10Z\n";
        assert_eq!(text, expected);
    }
}
