//! What of the configuration can change while the daemon runs, and when it takes force.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Config;
use super::resources::ResourceRules;

/// When a key of the file takes force that was changed while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Force {
    /// With a reload.
    AtOnce,
    /// With a reload, for each container when it is started next.
    NextStart,
    /// When the daemon is started anew: the groups of what runs are made by it.
    Restart,
}

/// Of a key, with a dot between it and the one it stands below.
pub(crate) fn force(key: &str) -> Force {
    match key {
        "cgroup"
        | "resources.podPidsLimit"
        | "resources.cpuCFSQuotaPeriodMilliseconds"
        | "resources.memoryReservationPolicy"
        | "resources.cpuManagerPolicy"
        | "resources.reservedSystemCPUs" => Force::Restart,
        "containerLogMaxSize" | "containerLogMaxFiles" | "clusterDNS" | "seccompDefault" => Force::NextStart,
        _ => Force::AtOnce,
    }
}

impl Config {
    /// What a reload makes of it where the file says something else: all that can change is the file's.
    pub(crate) fn reloaded(&self, file: Config) -> Config {
        let Config {
            cgroup: _,
            socket_group,
            bridge_user,
            backoff,
            log_max_size,
            log_max_files,
            probe_address,
            cluster_dns,
            node_labels,
            resources: ResourceRules { groups: _, reserved, max_pods, pressure, reserved_cpus: _ },
            seccomp_default,
        } = file;
        let ResourceRules { groups, reserved_cpus, .. } = self.resources.clone();
        Config {
            cgroup: self.cgroup.clone(),
            socket_group,
            bridge_user,
            backoff,
            log_max_size,
            log_max_files,
            probe_address,
            cluster_dns,
            node_labels,
            resources: ResourceRules { groups, reserved, max_pods, pressure, reserved_cpus },
            seccomp_default,
        }
    }

    /// The keys in which two differ.
    pub(crate) fn difference(&self, other: &Config) -> Vec<String> {
        let (own, others) = (by_key(self.shown()), by_key(other.shown()));
        let mut keys: Vec<_> =
            own.keys().chain(others.keys()).filter(|key| own.get(*key) != others.get(*key)).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter().cloned().collect()
    }
}

/// Each key with its value; those of `resources` for themselves.
fn by_key(shown: Value) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    for (key, value) in shown.as_object().cloned().unwrap_or_default() {
        match (key.as_str(), value) {
            ("resources", Value::Object(inner)) => {
                keys.extend(inner.into_iter().map(|(key, value)| (format!("resources.{key}"), value)));
            }
            (_, value) => drop(keys.insert(key, value)),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parse;
    use super::*;

    fn read(text: &str) -> Config {
        parse(Path::new("barepod.yaml"), text).unwrap()
    }

    #[test]
    fn a_reload_takes_all_that_can_change_and_leaves_the_rest_for_a_restart() {
        let held = read("cgroup: a\ncontainerLogMaxFiles: 3\n");
        let file = read(
            "cgroup: b\nclusterDNS: [10.0.0.1]\nseccompDefault: false\nresources: {maxPods: 3, podPidsLimit: 9, \
             systemReserved: {cpu: 1}, evictionExemptPriority: 7}\n",
        );
        let next = held.reloaded(file.clone());
        assert_eq!((next.cgroup.as_str(), next.resources.max_pods, next.seccomp_default), ("a", Some(3), false));
        assert_eq!(next.resources.groups.pod_pids, None);
        assert_eq!(next.difference(&file), ["cgroup", "resources.podPidsLimit"]);
        assert!(next.difference(&file).iter().all(|key| force(key) == Force::Restart));
        let changed = held.difference(&next);
        assert_eq!(
            changed,
            [
                "clusterDNS",
                "containerLogMaxFiles",
                "resources.evictionExemptPriority",
                "resources.maxPods",
                "resources.systemReserved",
                "seccompDefault"
            ]
        );
        assert!(changed.iter().all(|key| force(key) != Force::Restart));
        assert_eq!(next.difference(&next.clone()), [""; 0]);
    }

    const INSTALLED: &str = include_str!("../../../../configs/barepod.yaml");

    /// The keys of the file that packages install, also those behind `#`, each with what is said before it.
    fn explained() -> BTreeMap<String, String> {
        let (mut keys, mut prose, mut parent, mut ended) = (BTreeMap::new(), String::new(), String::new(), false);
        for line in INSTALLED.lines().skip_while(|line| !line.is_empty()) {
            let bare = line.strip_prefix('#').unwrap_or(line);
            let words =
                bare.strip_prefix("  # ").or_else(|| bare.strip_prefix(' ').filter(|_| !bare.starts_with("  ")));
            match (words, bare.split_once(':')) {
                (Some(words), _) => {
                    prose = if std::mem::take(&mut ended) { words.to_owned() } else { format!("{prose} {words}") };
                }
                (None, Some((key, _))) => {
                    ended = true;
                    let below = key.strip_prefix("  ").map(|below| format!("{parent}.{below}"));
                    if below.is_none() {
                        key.clone_into(&mut parent);
                    }
                    keys.insert(below.unwrap_or_else(|| key.to_owned()), prose.clone());
                }
                (None, None) => {}
            }
        }
        keys
    }

    #[test]
    fn the_file_that_is_installed_explains_every_key_and_says_when_a_change_of_it_takes_force() {
        let explained = explained();
        let optional = ["socketGroup", "bridgeUser", "resources.maxPods", "resources.podPidsLimit"];
        for key in by_key(Config::default().shown()).keys().map(String::as_str).chain(optional) {
            let said = match force(key) {
                Force::AtOnce => "A reload puts it in force.",
                Force::NextStart => "A reload puts it in force at each container's next start.",
                Force::Restart => "It needs a restart.",
            };
            let prose = explained.get(key).unwrap_or_else(|| panic!("nothing is said of {key}"));
            assert!(prose.ends_with(said), "{key}: {prose}");
        }
    }
}
