//! A pod's ephemeral containers: which of them the daemon is told of, and what is said of those that it does not take.
//!
//! Nothing takes one from a pod again: one that is refused here would keep every later change of its pod from being made, and
//! every later one from being started. So it is left out, and says why.
//!
//! | the API server has | the host has | so |
//! |---|---|---|
//! | one, no end of it | nothing of it | it is new: the daemon is told of it |
//! | one, its end | nothing of it | the host has forgotten it: it is not started again, and its end stays |
//! | nothing of it | one | the server was restored from an older copy: it stays |

use std::collections::{BTreeMap, BTreeSet};

use barepod_api::v1;
use k8s_openapi::api::core::v1::{EphemeralContainer, Pod};
use serde_json::{Value, json};

/// Why something is not taken: reason and message.
pub(crate) type Refusal = (String, String);

const STATUSES: &str = "ephemeralContainerStatuses";

/// The pod with those that the daemon is to have.
pub(crate) fn told(pod: &Pod, here: Option<&v1::Pod>) -> Pod {
    let known = names_here(here);
    let ended = names_of_ended(pod);
    let is_forgotten = |name: &str| ended.contains(name) && !known.contains(name);
    let mut told = pod.clone();
    let Some(spec) = &mut told.spec else { return told };
    let mut list = spec.ephemeral_containers.take().unwrap_or_default();
    list.retain(|container| !is_forgotten(&container.name));
    let lost = of_object(here).into_iter().filter(|lost| list.iter().all(|container| container.name != lost.name));
    list.extend(lost.collect::<Vec<_>>());
    spec.ephemeral_containers = (!list.is_empty()).then_some(list);
    told
}

/// Names of those that the host has not taken yet.
pub(crate) fn new(told: &Pod, here: Option<&v1::Pod>) -> Vec<String> {
    let known = names_here(here);
    list(told).map(|container| container.name.clone()).filter(|name| !known.contains(name.as_str())).collect()
}

/// The pod without these.
pub(crate) fn without(told: &Pod, names: &BTreeSet<String>) -> Pod {
    let mut told = told.clone();
    for list in told.spec.iter_mut().filter_map(|spec| spec.ephemeral_containers.as_mut()) {
        list.retain(|container| !names.contains(&container.name));
    }
    told
}

/// Adds to a status what it lacks of those that are not here: how they ended, and why they are not taken.
pub(crate) fn complete(status: &mut Value, pod: &Pod, left_out: &BTreeMap<String, Refusal>, refused: Option<&Refusal>) {
    let mut statuses = status[STATUSES].as_array().cloned().unwrap_or_default();
    for container in list(pod) {
        if statuses.iter().any(|known| known["name"] == *container.name) {
            continue;
        }
        let refusal = left_out.get(&container.name).or(refused);
        statuses.extend(end_of(pod, &container.name).or_else(|| refusal.map(|refusal| waiting(container, refusal))));
    }
    if !statuses.is_empty() {
        status[STATUSES] = json!(statuses);
    }
}

fn waiting(container: &EphemeralContainer, (reason, message): &Refusal) -> Value {
    json!({
        "name": container.name, "image": container.image.clone().unwrap_or_default(), "imageID": "",
        "ready": false, "restartCount": 0, "lastState": {},
        "state": {"waiting": {"reason": reason, "message": message}},
    })
}

fn list(pod: &Pod) -> impl Iterator<Item = &EphemeralContainer> {
    pod.spec.iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten())
}

fn names_here(here: Option<&v1::Pod>) -> BTreeSet<&str> {
    let containers = here.into_iter().flat_map(|here| &here.containers);
    containers.filter(|container| container.ephemeral).map(|container| container.name.as_str()).collect()
}

fn of_object(here: Option<&v1::Pod>) -> Vec<EphemeralContainer> {
    let object: Option<Value> = here.and_then(|here| serde_json::from_str(&here.object).ok());
    let list = object.map(|mut object| object["spec"]["ephemeralContainers"].take());
    list.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default()
}

fn names_of_ended(pod: &Pod) -> BTreeSet<&str> {
    list(pod).map(|container| container.name.as_str()).filter(|name| end_of(pod, name).is_some()).collect()
}

/// What the API server says of one that has ended.
fn end_of(pod: &Pod, name: &str) -> Option<Value> {
    let mut statuses = pod.status.iter().flat_map(|status| status.ephemeral_container_statuses.iter().flatten());
    let status = statuses.find(|status| status.name == name)?;
    status.state.as_ref()?.terminated.as_ref()?;
    serde_json::to_value(status).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod of the API server, with these ephemeral containers and the states of some.
    fn pod(names: &[&str], states: &[(&str, &str)]) -> Pod {
        let containers: Vec<_> = names.iter().map(|name| json!({"name": name, "image": "host"})).collect();
        let status = |(name, state): &(&str, &str)| {
            let state = match *state {
                "terminated" => json!({"terminated": {"exitCode": 3}}),
                state => json!({state: {}}),
            };
            json!({"name": name, "image": "host", "imageID": "", "ready": false, "restartCount": 0, "state": state})
        };
        let statuses: Vec<_> = states.iter().map(status).collect();
        let object = json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "main"}], "ephemeralContainers": containers},
            "status": {"ephemeralContainerStatuses": statuses},
        });
        serde_json::from_value(object).unwrap()
    }

    fn here(names: &[&str]) -> v1::Pod {
        let container =
            |name: &&str| v1::Container { name: (*name).to_owned(), ephemeral: true, ..v1::Container::default() };
        let list: Vec<_> = names.iter().map(|name| json!({"name": name, "image": "host"})).collect();
        v1::Pod {
            containers: names
                .iter()
                .map(container)
                .chain([v1::Container { name: "main".to_owned(), ..v1::Container::default() }])
                .collect(),
            object: json!({"spec": {"ephemeralContainers": list}}).to_string(),
            ..v1::Pod::default()
        }
    }

    fn names(pod: &Pod) -> Vec<&str> {
        list(pod).map(|container| container.name.as_str()).collect()
    }

    #[test]
    fn what_is_new_is_told_and_what_the_host_has_forgotten_after_its_end_is_not() {
        let pod = pod(&["a", "b", "c"], &[("a", "terminated"), ("b", "running")]);
        assert_eq!(names(&told(&pod, None)), ["b", "c"]);
        let known = here(&["a"]);
        assert_eq!(names(&told(&pod, Some(&known))), ["a", "b", "c"]);
        assert_eq!(new(&told(&pod, Some(&known)), Some(&known)), ["b", "c"]);
    }

    #[test]
    fn what_an_older_copy_of_the_api_server_lacks_stays() {
        let known = here(&["a"]);
        let told = told(&pod(&["b"], &[]), Some(&known));
        assert_eq!(names(&told), ["b", "a"]);
        assert_eq!(new(&told, Some(&known)), ["b"]);
    }

    #[test]
    fn a_pod_without_any_is_told_as_it_is() {
        let plain = pod(&[], &[]);
        assert_eq!(told(&plain, Some(&here(&[]))).spec.unwrap().ephemeral_containers, None);
    }

    #[test]
    fn what_is_not_here_says_why_or_how_it_ended() {
        let pod = pod(&["a", "b", "c", "d"], &[("a", "terminated"), ("b", "running")]);
        let mut status = json!({"ephemeralContainerStatuses": [{"name": "b", "state": {"running": {}}}]});
        let refusal = |reason: &str| (reason.to_owned(), "why".to_owned());
        let left_out = BTreeMap::from([("c".to_owned(), refusal("Forbidden"))]);
        complete(&mut status, &pod, &left_out, None);
        let statuses = status[STATUSES].as_array().unwrap();
        let shown: Vec<_> = statuses.iter().map(|status| status["name"].as_str().unwrap()).collect();
        assert_eq!(shown, ["b", "a", "c"], "of d nothing is known yet");
        assert_eq!(statuses[1]["state"]["terminated"]["exitCode"], 3);
        assert_eq!(statuses[2]["state"]["waiting"], json!({"reason": "Forbidden", "message": "why"}));

        complete(&mut status, &pod, &left_out, Some(&refusal("InvalidValue")));
        assert_eq!(status[STATUSES][3]["state"]["waiting"]["reason"], "InvalidValue");
        assert_eq!(
            without(&pod, &BTreeSet::from(["b".to_owned()])).spec.unwrap().ephemeral_containers.unwrap().len(),
            3
        );
    }
}
