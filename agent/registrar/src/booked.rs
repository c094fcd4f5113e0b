//! What Nomad has given on this host to tasks that are no pods. Pure.
//!
//! Tasks of the driver `barepod` are pods, and the daemon counts those itself. Of a group with tasks of both kinds each task
//! counts for itself, and the group's disk counts where there is one that is no pod. Cores that any task has for itself are
//! told as they are: the client does not put pods where they are not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use barepod_api::v1;
use serde::Deserialize;

use crate::node::Scale;

/// The driver whose tasks are pods.
pub const DRIVER: &str = "barepod";
const MIB: u64 = 1 << 20;

/// An allocation as Nomad shows it; what Go has as nil is null.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allocation {
    /// Whose it is.
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// Where that is.
    pub namespace: String,
    /// Its group within the job.
    pub task_group: String,
    /// What its client says: pending, running, complete, failed, lost, unknown.
    pub client_status: String,
    /// What the servers want: run, stop, evict.
    pub desired_status: String,
    /// What it was given.
    pub allocated_resources: Option<Allocated>,
    /// The job as it was then.
    pub job: Option<Job>,
}

/// A job, as far as it is looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Job {
    task_groups: Option<Vec<Group>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Group {
    name: String,
    tasks: Option<Vec<Task>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Task {
    name: String,
    driver: String,
}

/// What an allocation was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allocated {
    tasks: Option<BTreeMap<String, TaskResources>>,
    task_lifecycles: Option<BTreeMap<String, Option<Lifecycle>>>,
    shared: Shared,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TaskResources {
    cpu: Cpu,
    memory: Memory,
    networks: Option<Vec<Network>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Cpu {
    cpu_shares: i64,
    reserved_cores: Option<Vec<u16>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Memory {
    #[serde(rename = "MemoryMB")]
    mib: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Lifecycle {
    hook: String,
    sidecar: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Shared {
    #[serde(rename = "DiskMB")]
    disk_mib: i64,
    networks: Option<Vec<Network>>,
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Network {
    reserved_ports: Option<Vec<Port>>,
    dynamic_ports: Option<Vec<Port>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Port {
    value: u32,
}

impl Allocation {
    /// Whether it has something of the host: its client has not said that it is over.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !matches!(self.client_status.as_str(), "complete" | "failed" | "lost")
    }

    /// Whether it is to go on.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.is_live() && self.desired_status == "run"
    }

    /// A task whose driver is not known is no pod.
    fn is_pod(&self, task: &str) -> bool {
        let groups = self.job.iter().flat_map(|job| job.task_groups.iter().flatten());
        let mut tasks = groups.filter(|group| group.name == self.task_group).flat_map(|it| it.tasks.iter().flatten());
        tasks.any(|it| it.name == task && it.driver == DRIVER)
    }
}

/// MHz and MiB.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    mhz: u64,
    mib: u64,
}

impl AddAssign for Sum {
    fn add_assign(&mut self, other: Self) {
        self.mhz = self.mhz.saturating_add(other.mhz);
        self.mib = self.mib.saturating_add(other.mib);
    }
}

impl Sum {
    fn max(self, other: Self) -> Self {
        Self { mhz: self.mhz.max(other.mhz), mib: self.mib.max(other.mib) }
    }
}

/// All that they have that is not barepod's to count.
#[must_use]
pub fn booked(allocations: &[Allocation], scale: Scale) -> v1::Booking {
    let (mut sum, mut disk, mut ports, mut cpus) = (Sum::default(), 0_u64, BTreeSet::new(), BTreeSet::new());
    for allocation in allocations.iter().filter(|allocation| allocation.is_live()) {
        let Some(given) = &allocation.allocated_resources else { continue };
        // Also those of tasks that are pods: no other pod runs there.
        cpus.extend(
            given.tasks.iter().flatten().flat_map(|(_, task)| task.cpu.reserved_cores.iter().flatten().copied()),
        );
        let foreign: Vec<_> = given.tasks.iter().flatten().filter(|(name, _)| !allocation.is_pod(name)).collect();
        if foreign.is_empty() {
            continue;
        }
        sum += together(&foreign, given);
        disk = disk.saturating_add(amount(given.shared.disk_mib));
        let networks = given.shared.networks.iter().flatten();
        let networks = networks.chain(foreign.iter().flat_map(|(_, task)| task.networks.iter().flatten()));
        let of = |network: &Network| [&network.reserved_ports, &network.dynamic_ports].map(Clone::clone);
        ports.extend(networks.flat_map(of).flatten().flatten().map(|port| port.value));
        ports.extend(given.shared.ports.iter().flatten().map(|port| port.value));
    }
    v1::Booking {
        amounts: Some(v1::Amounts {
            cpu_milli: scale.to_milli(sum.mhz),
            memory: sum.mib.saturating_mul(MIB),
            ephemeral_storage: disk.saturating_mul(MIB),
            ..v1::Amounts::default()
        }),
        ports: ports.into_iter().filter(|port| (1..=65_535).contains(port)).collect(),
        cpus: cpus.into_iter().map(u32::from).collect(),
    }
}

/// As Nomad adds them up: those that run one after the other have the same place, but for cores of their own.
fn together(tasks: &[(&String, &TaskResources)], given: &Allocated) -> Sum {
    let (mut first, mut main, mut last, mut cores) = (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    for (name, task) in tasks {
        let mut has = Sum { mhz: amount(task.cpu.cpu_shares), mib: amount(task.memory.mib) };
        if task.cpu.reserved_cores.as_ref().is_some_and(|cores| !cores.is_empty()) {
            cores.mhz = cores.mhz.saturating_add(std::mem::take(&mut has.mhz));
        }
        let lifecycle = given.task_lifecycles.as_ref().and_then(|all| all.get(*name)?.as_ref());
        match lifecycle.map(|lifecycle| (lifecycle.hook.as_str(), lifecycle.sidecar)) {
            Some(("prestart", false)) => first += has,
            Some(("prestart", true)) => {
                first += has;
                main += has;
            }
            Some(("poststop", _)) => last += has,
            Some(_) | None => main += has,
        }
    }
    cores += main.max(first).max(last);
    cores
}

fn amount(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SCALE: Scale = Scale { mhz: 4000, milli: 2000 };

    fn allocation(status: &str, tasks: &[(&str, &str, u64, u64)], shared: Value) -> Value {
        let of = |task: &(&str, &str, u64, u64)| json!({"Name": task.0, "Driver": task.1});
        let given = |(name, _, mhz, mib): &(&str, &str, u64, u64)| {
            (name.to_string(), json!({"Cpu": {"CpuShares": mhz, "ReservedCores": null}, "Memory": {"MemoryMB": mib}}))
        };
        json!({
            "JobID": "j", "TaskGroup": "g", "ClientStatus": status, "DesiredStatus": "run",
            "Job": {"TaskGroups": [{"Name": "g", "Tasks": tasks.iter().map(of).collect::<Vec<_>>()}]},
            "AllocatedResources": {
                "Tasks": tasks.iter().map(given).collect::<serde_json::Map<_, _>>(),
                "Shared": shared,
            },
        })
    }

    fn count(allocations: Value) -> (u64, u64, u64, Vec<u32>) {
        let allocations: Vec<Allocation> = serde_json::from_value(allocations).unwrap();
        let booking = booked(&allocations, SCALE);
        let amounts = booking.amounts.unwrap();
        (amounts.cpu_milli, amounts.memory / MIB, amounts.ephemeral_storage / MIB, booking.ports)
    }

    #[test]
    fn tasks_of_other_drivers_count_and_pods_and_what_is_over_do_not() {
        let disk = || json!({"DiskMB": 300, "Ports": [{"Value": 8080}], "Networks": null});
        assert_eq!(
            count(json!([
                allocation("running", &[("a", "raw_exec", 1000, 64), ("b", "barepod", 500, 32)], disk()),
                allocation("pending", &[("a", "docker", 1, 1)], json!({"DiskMB": 10})),
                allocation("running", &[("a", "barepod", 1000, 64)], disk()),
                allocation("complete", &[("a", "exec", 1000, 64)], disk()),
            ])),
            (501, 65, 310, vec![8080])
        );
    }

    #[test]
    fn tasks_one_after_the_other_have_the_same_place() {
        let mut one = allocation(
            "running",
            &[("main", "exec", 100, 100), ("early", "exec", 300, 50), ("side", "exec", 10, 10)],
            json!({}),
        );
        one["AllocatedResources"]["TaskLifecycles"] = json!({
            "main": null,
            "early": {"Hook": "prestart", "Sidecar": false},
            "side": {"Hook": "prestart", "Sidecar": true},
        });
        assert_eq!(count(json!([one])), (155, 110, 0, vec![]));
        one["AllocatedResources"]["Tasks"]["main"]["Cpu"]["ReservedCores"] = json!([1]);
        assert_eq!(count(json!([one])).0, 205, "cores are nobody else's at any time");
    }

    #[test]
    fn cores_of_ones_own_are_known_by_their_numbers_also_those_of_pods() {
        let mut all = [
            allocation("running", &[("a", "raw_exec", 2000, 64)], json!({})),
            allocation("running", &[("a", "barepod", 2000, 64)], json!({})),
            allocation("failed", &[("a", "exec", 2000, 64)], json!({})),
        ];
        for (one, core) in all.iter_mut().zip([1, 3, 0]) {
            one["AllocatedResources"]["Tasks"]["a"]["Cpu"]["ReservedCores"] = json!([core]);
        }
        let allocations: Vec<Allocation> = serde_json::from_value(json!(all)).unwrap();
        assert_eq!(booked(&allocations, SCALE).cpus, [1, 3]);
    }

    #[test]
    fn an_allocation_without_its_job_is_none_of_ours() {
        let mut one = allocation(
            "running",
            &[("a", "barepod", 1000, 64)],
            json!({"Networks": [
                {"ReservedPorts": [{"Value": 22}], "DynamicPorts": null}
            ]}),
        );
        one["Job"] = Value::Null;
        assert_eq!(count(json!([one])), (500, 64, 0, vec![22]));
    }
}
