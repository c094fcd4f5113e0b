//! Nomad's resources as Kubernetes' requests and limits.
//!
//! MHz are a weight and no bound, as everywhere in Nomad: their part of what the client gives away, of this host's CPUs, is
//! what the pod requests. Memory is requested, and memory_max, or else memory, is the limit.

use serde_json::{Value, json};

use crate::wire::driver::Resources;

const MIB: u64 = 1 << 20;

/// `resources` of a container or a pod. `host` is all of the host's CPU, in thousandths of one.
pub(crate) fn of_task(given: &Resources, host: u64) -> Value {
    let mut requests = json!({});
    let mut limits = json!({});
    if let Some(milli) = milli(given, host) {
        requests["cpu"] = json!(format!("{milli}m"));
    }
    let memory = given.allocated_resources.as_ref().and_then(|allocated| allocated.memory.as_ref());
    if let Some(memory) = memory {
        let bytes = |mib: i64| u64::try_from(mib).unwrap_or_default().saturating_mul(MIB);
        let (asked, most) = (bytes(memory.memory_mb), bytes(memory.memory_mb.max(memory.memory_max_mb)));
        if asked > 0 {
            requests["memory"] = json!(asked.to_string());
        }
        // A memory_max of -1 is no limit at all.
        if most > 0 && memory.memory_max_mb >= 0 {
            limits["memory"] = json!(most.to_string());
        }
    }
    json!({"requests": requests, "limits": limits})
}

fn milli(given: &Resources, host: u64) -> Option<u64> {
    let part = given.linux_resources.as_ref()?.percent_ticks;
    #[expect(clippy::cast_precision_loss, reason = "no host has so many CPUs")]
    let milli = (part.clamp(0.0, 1.0) * host as f64).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the host's")]
    let milli = milli as u64;
    (part > 0.0 && host > 0).then_some(milli.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::driver::{AllocatedMemoryResources, AllocatedTaskResources, LinuxResources};

    fn given(memory_mb: i64, memory_max_mb: i64, percent_ticks: f64) -> Resources {
        let memory = Some(AllocatedMemoryResources { memory_mb, memory_max_mb });
        Resources {
            allocated_resources: Some(AllocatedTaskResources { memory, ..AllocatedTaskResources::default() }),
            linux_resources: Some(LinuxResources { percent_ticks, ..LinuxResources::default() }),
            ports: Vec::new(),
        }
    }

    #[test]
    fn memory_is_bounded_by_memory_max_where_that_is_given() {
        let of = |given| of_task(&given, 4000);
        let wanted = json!({"requests": {"cpu": "1000m", "memory": "268435456"}, "limits": {"memory": "268435456"}});
        assert_eq!(of(given(256, 0, 0.25)), wanted);
        assert_eq!(of(given(256, 512, 0.25))["limits"], json!({"memory": "536870912"}));
        assert_eq!(of(given(256, -1, 0.25))["limits"], json!({}));
    }

    #[test]
    fn a_part_of_the_cpu_is_at_least_a_thousandth() {
        assert_eq!(of_task(&given(1, 0, 0.00001), 4000)["requests"]["cpu"], "1m");
        assert_eq!(of_task(&given(1, 0, 0.0), 4000)["requests"].get("cpu"), None);
    }
}
