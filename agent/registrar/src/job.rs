//! A pod as a job of Nomad's. Pure.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::booked::DRIVER;
use crate::check::Port;
use crate::node::{Node, Scale};
use crate::wanted::Wanted;

/// Of the job's `meta`: the identity of the node, and what it was made of.
pub(crate) const NODE: &str = "barepod_node";
pub(crate) const GENERATION: &str = "barepod_generation";
const MIB: u64 = 1 << 20;
/// What Nomad takes at least, in MiB.
const LEAST: u64 = 10;
const SECOND: u64 = 1_000_000_000;
/// The highest there is: nobody's job evicts the entry of what runs all the same.
const PRIORITY: u8 = 100;

/// Where the jobs go.
#[derive(Debug, Clone)]
pub struct Place {
    /// The client of this host.
    pub node: Node,
    /// The namespace.
    pub namespace: String,
    /// CPU on both sides.
    pub scale: Scale,
    /// Nomad collects what pods write.
    pub collect_logs: bool,
}

/// A job as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name and identity.
    pub id: String,
    /// What it was made of, in few letters.
    pub generation: String,
    /// As Nomad takes it.
    pub body: Value,
    /// The pod.
    pub pod: Wanted,
}

/// What the names of all jobs of a node begin with.
#[must_use]
pub fn prefix(node: &Node) -> String {
    format!("barepod-{}-", node.short())
}

/// The name of a pod's job: no namespace has a dot.
#[must_use]
pub fn id(node: &Node, namespace: &str, name: &str) -> String {
    format!("{}{namespace}.{name}", prefix(node))
}

impl Job {
    /// The job that counts a pod.
    #[must_use]
    pub fn of(pod: Wanted, place: &Place) -> Self {
        let id = id(&place.node, &pod.namespace, &pod.name);
        let mut body = body(&id, &pod, place);
        let digest: String = Sha256::digest(body.to_string()).iter().take(8).map(|it| format!("{it:02x}")).collect();
        body["Meta"][GENERATION] = json!(digest);
        Self { id, generation: digest, body, pod }
    }
}

fn body(id: &str, pod: &Wanted, place: &Place) -> Value {
    let mib = |bytes: u64| bytes.div_ceil(MIB).max(LEAST);
    let label = |port: &Port| format!("p{}", port.number);
    let network = json!({
        "Mode": "host",
        "ReservedPorts": pod.ports.iter().map(|port| json!({"Label": label(port), "Value": port.number}))
            .collect::<Vec<_>>(),
    });
    let service = |port: &Port| {
        json!({
            "Name": service_name(pod, port),
            "PortLabel": label(port),
            "Provider": "nomad",
            "Checks": port.check.body().into_iter().collect::<Vec<_>>(),
        })
    };
    let mut resources = json!({
        "CPU": place.scale.to_mhz(pod.amounts.cpu_milli).max(1),
        "MemoryMB": mib(pod.amounts.memory),
    });
    // Nomad takes it where the cluster lets memory be oversubscribed, and says so where not.
    if let Some(limit) = pod.memory_limit.map(mib).filter(|limit| *limit > mib(pod.amounts.memory)) {
        resources["MemoryMaxMB"] = json!(limit);
    }
    let task = json!({
        "Name": "pod",
        "Driver": DRIVER,
        "Config": {"adopt": format!("{}/{}", pod.namespace, pod.name), "on_stop": "detach"},
        "Resources": resources,
        // Else each task has a process of Nomad's that collects its log.
        "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 5, "Disabled": !place.collect_logs},
    });
    json!({
        "ID": id,
        "Name": id,
        "Namespace": place.namespace,
        "Type": "service",
        "Priority": PRIORITY,
        "Datacenters": ["*"],
        "NodePool": if place.node.node_pool.is_empty() { "default" } else { &place.node.node_pool },
        "Constraints": [{"LTarget": "${node.unique.id}", "RTarget": place.node.id, "Operand": "="}],
        // There is nothing to be rolled out.
        "Update": {"MaxParallel": 0},
        "Meta": meta(pod, place),
        "TaskGroups": [{
            "Name": "pod",
            "Count": 1,
            // The service runs on while its node is not heard of, and nobody else can have its place.
            "Disconnect": {"LostAfter": 8760 * 3600 * SECOND, "Replace": false, "Reconcile": "keep_original"},
            "RestartPolicy": {"Attempts": 100, "Interval": 3600 * SECOND, "Delay": 5 * SECOND, "Mode": "delay"},
            "ReschedulePolicy": {"Unlimited": true, "Delay": 30 * SECOND, "DelayFunction": "constant"},
            "EphemeralDisk": {"SizeMB": mib(pod.amounts.ephemeral_storage)},
            "Networks": if pod.ports.is_empty() { Vec::new() } else { vec![network] },
            "Services": pod.ports.iter().map(service).collect::<Vec<_>>(),
            "Tasks": [task],
        }],
    })
}

/// What people see of the pod in its job, and the registrar of the job.
fn meta(pod: &Wanted, place: &Place) -> Value {
    let list = |of: fn(&(String, String)) -> &String| {
        pod.presets.iter().map(of).map(String::as_str).collect::<Vec<_>>().join(",")
    };
    json!({
        NODE: place.node.id,
        "barepod_pod_uid": pod.uid,
        "barepod_preset": list(|(preset, _)| preset),
        "barepod_image": list(|(_, image)| image),
    })
}

/// `NAMESPACE-POD-PORT`, where that is a DNS label.
fn service_name(pod: &Wanted, port: &Port) -> String {
    let name = format!("{}-{}-{}", pod.namespace, pod.name.replace('.', "-"), port.number);
    if name.len() <= 63 {
        return name;
    }
    let digest: String = Sha256::digest(&name).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{digest}", name[..54].trim_end_matches('-'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::check::{Check, Every};
    use crate::node::{NodeCpu, NodeResources};
    use barepod_api::v1::Amounts;

    pub(crate) fn place() -> Place {
        let node_resources = NodeResources { cpu: NodeCpu { cpu_shares: 5000 } };
        let node = Node { id: "0a1b2c3d-rest".to_owned(), node_pool: String::new(), node_resources };
        Place { node, namespace: "barepod".to_owned(), scale: Scale { mhz: 5000, milli: 2000 }, collect_logs: false }
    }

    pub(crate) fn wanted(name: &str) -> Wanted {
        Wanted {
            namespace: "default".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            amounts: Amounts { cpu_milli: 500, memory: 200 * MIB + 1, ..Amounts::default() },
            memory_limit: None,
            ports: vec![
                Port { number: 5432, check: Check::Connect(Every::default()) },
                Port { number: 53, check: Check::None },
            ],
            presets: vec![("postgresql".to_owned(), "postgres:15".to_owned())],
        }
    }

    #[test]
    fn a_job_has_what_its_pod_has_and_nothing_for_nothing() {
        let job = Job::of(wanted("pg"), &place());
        assert_eq!(job.id, "barepod-0a1b2c3d-default.pg");
        let group = &job.body["TaskGroups"][0];
        let task = &group["Tasks"][0];
        assert_eq!((&task["Resources"]["CPU"], &task["Resources"]["MemoryMB"]), (&json!(1250), &json!(201)));
        assert_eq!(task["Config"], json!({"adopt": "default/pg", "on_stop": "detach"}));
        assert_eq!(group["EphemeralDisk"]["SizeMB"], 10);
        assert_eq!(group["Networks"][0]["ReservedPorts"][0], json!({"Label": "p5432", "Value": 5432}));
        assert_eq!(group["Services"][0]["Name"], "default-pg-5432");
        assert_eq!(
            (group["Services"][0]["Checks"].as_array().map(Vec::len), &group["Services"][1]["Checks"]),
            (Some(1), &json!([]))
        );
        assert_eq!(job.body["Constraints"][0]["RTarget"], "0a1b2c3d-rest");
    }

    #[test]
    fn a_limit_above_what_is_asked_for_is_the_most_that_it_may_use() {
        let resources = |limit| {
            let job = Job::of(Wanted { memory_limit: limit, ..wanted("pg") }, &place());
            job.body["TaskGroups"][0]["Tasks"][0]["Resources"].clone()
        };
        assert_eq!(resources(None)["MemoryMaxMB"], Value::Null);
        assert_eq!(resources(Some(200 * MIB + 1))["MemoryMaxMB"], Value::Null, "a guaranteed pod has what it asks for");
        assert_eq!(resources(Some(400 * MIB))["MemoryMaxMB"], 400);
    }

    #[test]
    fn whatever_changes_is_another_generation() {
        let job = |change: fn(&mut Wanted)| {
            let mut pod = wanted("pg");
            change(&mut pod);
            Job::of(pod, &place()).generation
        };
        let same = job(|_| {});
        assert_eq!(same, job(|_| {}));
        for other in [
            job(|pod| pod.amounts.memory += MIB),
            job(|pod| pod.amounts.cpu_milli += 1),
            job(|pod| pod.ports.truncate(1)),
            job(|pod| pod.ports[0].check = Check::None),
            job(|pod| pod.memory_limit = Some(MIB << 10)),
            job(|pod| pod.presets.clear()),
            job(|pod| pod.uid.push('x')),
        ] {
            assert_ne!(other, same);
        }
    }

    #[test]
    fn the_name_of_a_service_is_a_dns_label() {
        let mut pod = wanted("a.b");
        let port = pod.ports[0].clone();
        assert_eq!(service_name(&pod, &port), "default-a-b-5432");
        pod.name = "long-".repeat(30);
        assert!(service_name(&pod, &port).len() <= 63);
    }
}
