//! A task as a pod. Pure: what the host and the client have said is given.

use std::collections::{BTreeMap, HashMap};

use barepod_api::CPUS_ANNOTATION;
use serde_json::{Map, Value, json};

use crate::config::{Config, Container, OnStop, What};
use crate::env::{self, Agents, Life};
use crate::volumes::VolumeError;
use crate::wire::driver::TaskConfig;
use crate::{names, resources, volumes};

/// What a pod follows from, beside the task.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// The manifest's text, where the task has one.
    pub(crate) text: Option<&'a str>,
    pub(crate) agents: &'a Agents,
    /// All of the host's CPU, in thousandths of one.
    pub(crate) cpu: u64,
    /// The task's user and its group, as numbers.
    pub(crate) user: Option<(u32, Option<u32>)>,
}

/// A pod, and the objects that came with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Built {
    pub(crate) pod: Value,
    pub(crate) objects: Vec<Value>,
    pub(crate) id: PodId,
}

/// Which pod a task is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PodId {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Why a task is no pod.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("the manifest cannot be read: {0}")]
    Yaml(String),
    #[error("the manifest has {0} pods: a task is one v1/Pod, with ConfigMaps and Secrets beside it")]
    NotOnePod(usize),
    #[error("the pod has no containers")]
    NoContainers,
    #[error("config.ports names {0:?}, and the group's network has no port of that label")]
    Port(String),
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// # Errors
/// What is wrong with the task's `config` or manifest.
pub(crate) fn build(task: &TaskConfig, config: &Config, around: &Surroundings<'_>) -> Result<Built, BuildError> {
    let (mut pod, objects) = match (&config.what, around.text) {
        (What::Container(container), _) => (of_container(task, container), Vec::new()),
        (What::Pod(_) | What::Adopted { .. }, text) => read(text.unwrap_or_default())?,
    };
    let id = identify(task, config, pod["metadata"]["name"].as_str());
    describe(&mut pod, task, &id);
    let life = if config.on_stop == OnStop::Detach { Life::Longer } else { Life::Allocation };
    let variables = env::of_task(&task.env, &task.device_env, around.agents, life);
    furnish(&mut pod, &variables, &volumes::of_task(task, config)?)?;
    bound(&mut pod, task, config, around);
    claim_ports(&mut pod, task, config)?;
    let into_namespace = |mut object: Value| {
        object["metadata"]["namespace"] = json!(id.namespace);
        object
    };
    Ok(Built { pod, objects: objects.into_iter().map(into_namespace).collect(), id })
}

fn of_container(task: &TaskConfig, container: &Container) -> Value {
    let literal = |text: &String| literal(text);
    let command: Vec<_> = container.command.iter().map(literal).collect();
    let args: Vec<_> = container.args.iter().map(literal).collect();
    let mut made =
        json!({"name": names::label(&task.name), "image": container.image, "command": command, "args": args});
    if let Some(directory) = &container.work_dir {
        made["workingDir"] = json!(directory);
    }
    let spec = json!({
        "restartPolicy": container.restart.word(),
        // As Nomad's kill_timeout; more is the client's to say when it stops the task, and the preset's.
        "terminationGracePeriodSeconds": 5,
        "containers": [made],
    });
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": spec})
}

/// Kubernetes would expand `$(NAME)`; Nomad has done what there is to expand.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn read(text: &str) -> Result<(Value, Vec<Value>), BuildError> {
    let documents = barepod_yaml::documents(text).map_err(|fault| {
        BuildError::Yaml(format!("line {}, column {}: {}", fault.place.line, fault.place.column, fault.message))
    })?;
    let values = documents.iter().map(barepod_yaml::Node::to_json).filter(|value| !value.is_null());
    let (mut pods, objects): (Vec<_>, Vec<_>) = values.partition(|value| value["kind"] == "Pod");
    match (pods.pop(), pods.len()) {
        (Some(pod), 0) => Ok((pod, objects)),
        (pod, others) => Err(BuildError::NotOnePod(others + usize::from(pod.is_some()))),
    }
}

/// A pod that outlives its allocation is known by its place in the job, so that the next allocation finds it; any other one by
/// its task's id, which is another one for each start.
fn identify(task: &TaskConfig, config: &Config, given: Option<&str>) -> PodId {
    let namespace = names::label(&task.namespace);
    let index = task.env.get("NOMAD_ALLOC_INDEX").map_or("0", String::as_str);
    match config.on_stop {
        OnStop::Detach => {
            let base = format!("{}-{}-{index}", task.job_id, given.unwrap_or(&task.name));
            let place = [&task.namespace, &task.job_id, &task.task_group_name, &task.name].map(String::as_str);
            let identity = format!("nomad-place\n{}\n{index}", place.join("\n"));
            PodId { namespace, name: names::label(&base), uid: names::uid(&identity) }
        }
        OnStop::Stop => {
            let short = task.alloc_id.get(..8).unwrap_or(&task.alloc_id);
            let base = format!("{}-{short}", given.unwrap_or(&task.name));
            PodId { namespace, name: names::label(&base), uid: names::uid(&format!("nomad-task\n{}", task.id)) }
        }
    }
}

/// Its name here, and where it comes from, for people and for programs.
fn describe(pod: &mut Value, task: &TaskConfig, id: &PodId) {
    let metadata = object(&mut pod["metadata"]);
    metadata.remove("generateName");
    metadata.insert("namespace".to_owned(), json!(id.namespace));
    metadata.insert("name".to_owned(), json!(id.name));
    metadata.insert("uid".to_owned(), json!(id.uid));
    let annotations = object(metadata.entry("annotations").or_insert_with(|| json!({})));
    let origin =
        [("namespace", &task.namespace), ("job", &task.job_id), ("group", &task.task_group_name), ("task", &task.name)];
    // Nobody but the client gives CPUs.
    annotations.remove(CPUS_ANNOTATION);
    let cpus = task.resources.as_ref().and_then(|given| given.linux_resources.as_ref()).map(|linux| &linux.cpuset_cpus);
    if let Some(cpus) = cpus.filter(|cpus| !cpus.is_empty()) {
        annotations.insert(CPUS_ANNOTATION.to_owned(), json!(cpus));
    }
    for (what, value) in origin {
        annotations.insert(format!("nomad.barepod.dev/{what}"), json!(value));
    }
}

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it has just been made one")
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("it has just been made one")
}

/// Variables and volumes for each container. What a manifest says itself stands.
fn furnish(pod: &mut Value, variables: &BTreeMap<String, String>, binds: &[volumes::Bind]) -> Result<(), BuildError> {
    let spec = &mut pod["spec"];
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        return Err(BuildError::NoContainers);
    }
    let (made, mounts): (Vec<_>, Vec<_>) =
        binds.iter().enumerate().map(|(number, bind)| volumes::as_manifest(number, bind)).unzip();
    if !made.is_empty() {
        list(&mut spec["volumes"]).extend(made);
    }
    for kind in ["initContainers", "containers"] {
        for container in spec[kind].as_array_mut().into_iter().flatten() {
            let env = list(&mut container["env"]);
            let is_given = |name: &String| env.iter().any(|variable| variable["name"] == **name);
            let more = variables.iter().filter(|(name, _)| !is_given(name));
            let more: Vec<_> = more.map(|(name, value)| json!({"name": name, "value": literal(value)})).collect();
            env.extend(more);
            if !mounts.is_empty() {
                list(&mut container["volumeMounts"]).extend(mounts.iter().cloned());
            }
        }
    }
    Ok(())
}

/// User and resources: of the one container, or of the pod as a whole.
fn bound(pod: &mut Value, task: &TaskConfig, config: &Config, around: &Surroundings<'_>) {
    let spec = &mut pod["spec"];
    let amounts = task.resources.as_ref().map(|given| resources::of_task(given, around.cpu));
    let place = match config.what {
        What::Container(_) => &mut spec["containers"][0],
        What::Pod(_) | What::Adopted { .. } => spec,
    };
    if let Some(amounts) = amounts {
        place["resources"] = amounts;
    }
    if let Some((user, group)) = around.user {
        let context = object(&mut place["securityContext"]);
        context.insert("runAsUser".to_owned(), json!(user));
        if let Some(group) = group {
            context.insert("runAsGroup".to_owned(), json!(group));
        }
    }
}

/// Ports of the group that the first container has for itself: no other pod of this host gets them.
fn claim_ports(pod: &mut Value, task: &TaskConfig, config: &Config) -> Result<(), BuildError> {
    let ports = task.resources.iter().flat_map(|resources| &resources.ports);
    let known: HashMap<_, _> = ports.map(|port| (port.label.as_str(), port.value)).collect();
    for label in &config.ports {
        let number = known.get(label.as_str()).ok_or_else(|| BuildError::Port(label.clone()))?;
        let claimed = json!({"containerPort": number, "hostPort": number});
        list(&mut pod["spec"]["containers"][0]["ports"]).push(claimed);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
