//! What a host's pods are to who places jobs beside them: attributes of the node, which constraints may ask for.
//!
//! Only of pods that Nomad did not start: theirs have other names in each allocation, and each change of a node's attributes
//! has the servers look at all jobs there again (`nomad/node_endpoint.go`, `shouldCreateNodeEval`).

use barepod_api::v1::Pod;
use serde_json::Value;

/// Who somebody is among several of one kind, in Kubernetes' own labels.
const ROLE: &str = "app.kubernetes.io/component";
/// Which version it is, where the image does not say.
const VERSION: &str = "app.kubernetes.io/version";

/// One of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// `NAMESPACE.NAME`.
    pub(crate) name: String,
    preset: String,
    version: Option<String>,
    role: Option<String>,
}

/// What a pod is, once a process of it has run and until it is over.
pub(crate) fn of(pod: &Pod, object: &Value) -> Option<Service> {
    let first = pod.containers.iter().find(|container| !container.init && !container.ephemeral)?;
    if pod.source == "nomad" || pod.phase != "Running" || pod.deletion.is_some() {
        return None;
    }
    let label = |name: &str| object["metadata"]["labels"][name].as_str().map(str::to_owned);
    Some(Service {
        name: format!("{}.{}", pod.namespace, pod.name),
        preset: first.preset.clone(),
        version: tag(&first.image).map(str::to_owned).or_else(|| label(VERSION)),
        role: label(ROLE),
    })
}

/// `15` of `registry:5000/library/postgres:15@sha256:...`.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    last.split_once(':').map(|(_, tag)| tag)
}

impl Service {
    /// As attributes of the node.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (String, &str)> {
        let Self { name, preset, version, role } = self;
        let all = [("preset", Some(preset)), ("version", version.as_ref()), ("role", role.as_ref())];
        let known = all.into_iter().filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)));
        known.map(move |(key, value)| (format!("driver.barepod.service.{name}.{key}"), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::{Container, Timestamp};
    use serde_json::json;

    use super::*;

    fn pod(image: &str) -> Pod {
        let container = Container { image: image.to_owned(), preset: "postgresql".to_owned(), ..Container::default() };
        let [namespace, name, phase] = ["default", "pg", "Running"].map(str::to_owned);
        Pod { namespace, name, phase, containers: vec![container], ..Pod::default() }
    }

    fn attributes(pod: &Pod, labels: &Value) -> Vec<String> {
        let service = of(pod, &json!({"metadata": {"labels": labels}}));
        service.iter().flat_map(Service::attributes).map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn preset_version_and_role_are_told_as_far_as_they_are_known() {
        let labels = json!({ROLE: "primary", VERSION: "15.4"});
        let of = |key: &str| format!("driver.barepod.service.default.pg.{key}");
        assert_eq!(
            attributes(&pod("postgres:15"), &labels),
            [of("preset=postgresql"), of("version=15"), of("role=primary")]
        );
        assert_eq!(attributes(&pod("host"), &json!({VERSION: "7"})), [of("preset=postgresql"), of("version=7")]);
        assert_eq!(attributes(&pod("host"), &Value::Null), [of("preset=postgresql")]);
    }

    #[test]
    fn what_nomad_has_started_and_what_is_about_to_end_is_not_told() {
        let nomads = Pod { source: "nomad".to_owned(), ..pod("postgres:15") };
        let ending = Pod { deletion: Some(Timestamp::default()), ..pod("postgres:15") };
        let over = Pod { phase: "Failed".to_owned(), ..pod("postgres:15") };
        for pod in [nomads, ending, over] {
            assert_eq!(attributes(&pod, &Value::Null), [""; 0]);
        }
    }

    #[test]
    fn a_tag_is_none_of_a_registrys_port() {
        for (image, wanted) in [
            ("postgres:15", Some("15")),
            ("registry:5000/library/postgres", None),
            ("registry:5000/postgres:15-bookworm@sha256:00", Some("15-bookworm")),
            ("host", None),
        ] {
            assert_eq!(tag(image), wanted, "{image}");
        }
    }
}
