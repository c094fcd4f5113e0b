//! The variables of a task. A client gives a driver without a file system of its own the whole environment of the Nomad agent,
//! the agent's secrets among it, with the task's own on top.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;

/// Variables of the agent's own process.
pub(crate) type Agents = HashMap<String, String>;

/// How long the variables of a pod hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as the allocation.
    Allocation,
    /// Longer: over several of them, and over changes of its resources. A variable of the allocation would mean a new process
    /// for each.
    Longer,
}

/// Of the allocation, or of its resources.
const PASSING: [&str; 12] = [
    "NOMAD_ALLOC_DIR",
    "NOMAD_ALLOC_ID",
    "NOMAD_ALLOC_NAME",
    "NOMAD_CPU_CORES",
    "NOMAD_CPU_LIMIT",
    "NOMAD_MEMORY_LIMIT",
    "NOMAD_MEMORY_MAX_LIMIT",
    "NOMAD_SECRETS_DIR",
    "NOMAD_SHORT_ALLOC_ID",
    "NOMAD_TASK_DIR",
    "NOMAD_TOKEN",
    "NOMAD_UNIX_ADDR",
];

/// What of it the task is to have: without what is the agent's, with what devices bring.
pub(crate) fn of_task(
    all: &HashMap<String, String>,
    devices: &HashMap<String, String>,
    agents: &Agents,
    life: Life,
) -> BTreeMap<String, String> {
    let is_own = |(name, value): &(&String, &String)| devices.contains_key(*name) || agents.get(*name) != Some(*value);
    let lasts = |(name, _): &(&String, &String)| life == Life::Allocation || !PASSING.contains(&name.as_str());
    let own = all.iter().filter(is_own).filter(lasts);
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The agent's variables: those that this process has from the agent that started it, and those of the one that speaks with it
/// now, which may be another.
pub(crate) fn of_agent(pid: Option<i32>) -> Agents {
    let text = |text: OsString| text.into_string().ok();
    let inherited = std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?)));
    let mut agents: Agents = inherited.collect();
    let present = pid.and_then(|pid| std::fs::read(format!("/proc/{pid}/environ")).ok()).unwrap_or_default();
    for variable in present.split(|byte| *byte == 0) {
        if let Some((name, value)) = std::str::from_utf8(variable).ok().and_then(|variable| variable.split_once('=')) {
            agents.insert(name.to_owned(), value.to_owned());
        }
    }
    agents
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(variables: &[(&str, &str)]) -> HashMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_the_agents_stays_with_the_agent() {
        let agents = map(&[("PATH", "/bin"), ("VAULT_TOKEN", "secret"), ("LANG", "C"), ("CUDA_VISIBLE_DEVICES", "0")]);
        let mut all = agents.clone();
        all.extend(map(&[("NOMAD_TASK_NAME", "db"), ("LANG", "de_DE"), ("POSTGRES_PASSWORD", "x")]));
        let task = of_task(&all, &map(&[("CUDA_VISIBLE_DEVICES", "0")]), &agents, Life::Allocation);
        let names: Vec<_> = task.keys().map(String::as_str).collect();
        assert_eq!(names, ["CUDA_VISIBLE_DEVICES", "LANG", "NOMAD_TASK_NAME", "POSTGRES_PASSWORD"]);
    }

    #[test]
    fn a_pod_that_outlives_its_allocation_has_no_variables_of_it() {
        let all = map(&[("NOMAD_ALLOC_ID", "1"), ("NOMAD_MEMORY_LIMIT", "256"), ("NOMAD_JOB_NAME", "pg")]);
        let task = of_task(&all, &HashMap::new(), &HashMap::new(), Life::Longer);
        assert_eq!(task.into_keys().collect::<Vec<_>>(), ["NOMAD_JOB_NAME"]);
    }

    #[test]
    fn the_agent_that_speaks_now_counts_as_well_as_the_one_that_started_the_plugin() {
        let own = i32::try_from(std::process::id()).unwrap();
        let agents = of_agent(Some(own));
        assert!(agents.contains_key("PATH"));
        assert_eq!(of_agent(None).get("PATH"), agents.get("PATH"));
    }
}
