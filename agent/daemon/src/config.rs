//! `/etc/barepod/barepod.yaml`. Every key is optional, an unknown one is refused.

mod eviction;
mod force;
pub(crate) mod resources;
mod shown;
mod words;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_core::BackoffFigures;
use barepod_model::Bytes;
use serde::Deserialize;

pub(crate) use force::{Force, force};

/// The configuration as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Name of the group below the cgroup root in which all pods live.
    pub(crate) cgroup: String,
    /// Members of this group may use the socket, besides root.
    pub(crate) socket_group: Option<String>,
    /// This user may speak for a cluster, besides root.
    pub(crate) bridge_user: Option<String>,
    /// Restart back-off.
    pub(crate) backoff: BackoffFigures,
    /// A container's log is rotated at this size.
    pub(crate) log_max_size: Bytes,
    /// Log files kept of one attempt, the current one included.
    pub(crate) log_max_files: u32,
    /// Who is asked by probes and hooks that name no host.
    pub(crate) probe_address: IpAddr,
    /// Name servers of the cluster, for pods whose DNS policy begins with it.
    pub(crate) cluster_dns: Vec<IpAddr>,
    /// Labels of this host, beside those that every node has.
    pub(crate) node_labels: BTreeMap<String, String>,
    /// What pods may have of the host.
    pub(crate) resources: resources::ResourceRules,
    /// Containers that ask for no seccomp profile get barepod's own.
    pub(crate) seccomp_default: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cgroup: "barepod".to_owned(),
            socket_group: None,
            bridge_user: None,
            backoff: BackoffFigures::default(),
            // kubelet's defaults (KubeletConfiguration containerLogMaxSize, containerLogMaxFiles).
            log_max_size: Bytes(10 << 20),
            log_max_files: 5,
            // Pods share the host's network, and a service there may listen on the loopback alone.
            probe_address: Ipv4Addr::LOCALHOST.into(),
            cluster_dns: Vec::new(),
            node_labels: BTreeMap::new(),
            resources: resources::ResourceRules::default(),
            seccomp_default: true,
        }
    }
}

/// What is wrong with the configuration file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("the configuration cannot be read")]
    Read(#[source] std::io::Error),
    /// It is not what it should be.
    #[error("{}:{place}: {message}", path.display())]
    Parse { path: PathBuf, place: String, message: String },
    /// A value breaks a rule.
    #[error("{}:{line}: {key}: {message}", path.display())]
    Value { path: PathBuf, line: usize, key: &'static str, message: String },
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Raw {
    cgroup: Option<String>,
    socket_group: Option<String>,
    bridge_user: Option<String>,
    crash_loop_back_off: RawBackoff,
    container_log_max_size: Option<String>,
    container_log_max_files: Option<u32>,
    probe_address: Option<String>,
    #[serde(rename = "clusterDNS")]
    cluster_dns: Vec<String>,
    node_labels: BTreeMap<String, String>,
    resources: resources::Raw,
    seccomp_default: Option<bool>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RawBackoff {
    initial_seconds: Option<f64>,
    max_seconds: Option<f64>,
}

/// Reads the file; without one, the defaults hold.
///
/// # Errors
/// What is wrong with it, where, and what is right.
pub(crate) fn read(path: &Path) -> Result<Config, ConfigError> {
    match fs_err::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(ConfigError::Read(error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Config::default());
    }
    let raw: Raw = serde_saphyr::from_str(text).map_err(|error| {
        let (place, message) = words::of(&error.to_string());
        ConfigError::Parse { path: path.to_owned(), place, message }
    })?;
    let place = |(key, message)| ConfigError::Value { path: path.to_owned(), line: line_of(text, key), key, message };
    check(raw).map_err(place)
}

/// The line on which a key stands, or, if it is missing, the one that it belongs below.
fn line_of(text: &str, key: &str) -> usize {
    let line = key.rsplit('.').find_map(|part| line_with(text, part));
    line.unwrap_or(1)
}

fn line_with(text: &str, key: &str) -> Option<usize> {
    let has_it = |line: &str| {
        let code = line.split(" #").next().unwrap_or(line);
        !code.trim_start().starts_with('#')
            && code.split([' ', '{', ',', '"', '\'']).any(|word| word.trim_end_matches(':') == key)
    };
    text.lines().position(has_it).map(|at| at + 1)
}

fn check(raw: Raw) -> Result<Config, (&'static str, String)> {
    let value = |key: &'static str, message: String| (key, message);
    let defaults = Config::default();
    let cgroup = raw.cgroup.unwrap_or(defaults.cgroup);
    if cgroup.is_empty() || cgroup.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(value("cgroup", format!("{cgroup:?} is not a relative path; write for example barepod")));
    }
    let log_max_size = match raw.container_log_max_size {
        Some(size) => size.parse().map_err(|e| value("containerLogMaxSize", format!("{e}")))?,
        None => defaults.log_max_size,
    };
    let log_max_files = raw.container_log_max_files.unwrap_or(defaults.log_max_files);
    if log_max_files < 2 {
        return Err(value("containerLogMaxFiles", format!("{log_max_files} is too few; write at least 2")));
    }
    let probe_address = match raw.probe_address {
        Some(address) => address.parse().map_err(|_| {
            value("probeAddress", format!("{address:?} is no address; write for example 127.0.0.1 or ::1"))
        })?,
        None => defaults.probe_address,
    };
    let cluster_dns = cluster_dns(&raw.cluster_dns).map_err(|message| value("clusterDNS", message))?;
    for (key, label) in &raw.node_labels {
        let plain = |text: &str, more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
        if key.is_empty() || !plain(key, "-_./") || label.len() > 63 || !plain(label, "-_.") {
            return Err(value("nodeLabels", format!("{key}: {label:?} is no label; write for example disk: fast")));
        }
    }
    let backoff = backoff(&raw.crash_loop_back_off, defaults.backoff).map_err(|m| value("crashLoopBackOff", m))?;
    let resources = resources::parse(&raw.resources)?;
    Ok(Config {
        cgroup,
        socket_group: raw.socket_group,
        bridge_user: raw.bridge_user,
        backoff,
        log_max_size,
        log_max_files,
        probe_address,
        cluster_dns,
        node_labels: raw.node_labels,
        resources,
        seccomp_default: raw.seccomp_default.unwrap_or(defaults.seccomp_default),
    })
}

/// A resolver takes three.
fn cluster_dns(raw: &[String]) -> Result<Vec<IpAddr>, String> {
    if raw.len() > 3 {
        return Err(format!("{} are too many name servers; a resolver takes 3", raw.len()));
    }
    let parse = |text: &String| {
        text.parse()
            .map_err(|_| format!("{text:?} is no address; write for example [10.96.0.10], the address of kube-dns"))
    };
    raw.iter().map(parse).collect()
}

fn backoff(raw: &RawBackoff, defaults: BackoffFigures) -> Result<BackoffFigures, String> {
    let seconds = |value: Option<f64>, default| match value {
        None => Ok(default),
        Some(s) => Duration::try_from_secs_f64(s).map_err(|_| format!("{s} is not a number of seconds")),
    };
    let figures = BackoffFigures {
        initial: seconds(raw.initial_seconds, defaults.initial)?,
        max: seconds(raw.max_seconds, defaults.max)?,
    };
    if figures.initial > figures.max {
        return Err("initialSeconds is larger than maxSeconds".to_owned());
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Config, String> {
        parse(Path::new("barepod.yaml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(parse_text("# nothing\n"), Ok(Config::default()));
    }

    #[test]
    fn values_are_taken() {
        let config = parse_text("containerLogMaxSize: 1Mi\ncrashLoopBackOff:\n  initialSeconds: 0\n").unwrap();
        assert_eq!(config.log_max_size, Bytes(1 << 20));
        assert_eq!(config.backoff.initial, Duration::ZERO);
    }

    #[test]
    fn what_is_reserved_is_not_for_pods() {
        let text = "resources: {systemReserved: {cpu: 500m, memory: 1Gi}, maxPods: 7, podPidsLimit: 100}";
        let rules = parse_text(text).unwrap().resources;
        let host = barepod_model::Amounts {
            cpu: barepod_model::MilliCpu(2000),
            memory: Bytes(4 << 30),
            ..barepod_model::Amounts::default()
        };
        let left = rules.capacity(host, Vec::new());
        assert_eq!((left.amounts.cpu.0, left.amounts.memory, left.pods), (1500, Bytes(3 << 30), Some(7)));
        assert_eq!(rules.groups.pod_pids, Some(100));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse_text("cgroup: a\ncontainerLogMaxSizes: 1Mi\n").unwrap_err();
        assert!(error.contains("containerLogMaxSizes") && error.contains('2'), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_what_was_meant() {
        for (text, meant) in [
            ("containerLogMaxSizes: 1Mi", Some("containerLogMaxSize")),
            ("CGroup: a", Some("cgroup")),
            ("clusterDns: []", Some("clusterDNS")),
            ("crashLoopBackoff: {}", Some("crashLoopBackOff")),
            ("crashLoopBackOff: {maxSecond: 1}", Some("maxSeconds")),
            ("resources: {maxPod: 1}", Some("maxPods")),
            ("resources: {evictionhard: {}}", Some("evictionHard")),
            ("nodeLabel: {a: b}", Some("nodeLabels")),
            ("something: else", None),
        ] {
            let error = parse_text(text).unwrap_err();
            let said = meant.map(|meant| format!("did you mean {meant:?}?"));
            assert_eq!(error.contains("did you mean"), said.is_some(), "{error}");
            assert!(error.contains(&said.unwrap_or_default()), "{error}");
        }
    }

    /// As people get them wrong, each on the second line of its file.
    const WRONG: [&str; 24] = [
        "cgroups: barepod",
        "cgroup: /barepod",
        "socketgroup: barepod",
        "crashLoopBackoff: {initialSeconds: 1}",
        "crashLoopBackOff: {initialSeconds: 10s}",
        "crashLoopBackOff: {initialSeconds: 500}",
        "containerLogMaxSize: 10MB",
        "containerLogMaxFiles: 1",
        "containerLogMaxFiles: five",
        "probeAddress: localhost",
        "clusterDNS: 10.96.0.10",
        "clusterDNS: [kube-dns]",
        "nodeLabels: [disk]",
        "nodeLabels: {disk: very fast}",
        "seccompDefault: RuntimeDefault",
        "maxPods: 110",
        "resources: {maxPods: many}",
        "resources: {podPidsLimit: 0}",
        "resources: {systemReserved: {gpu: '1'}}",
        "resources: {evictionHard: {memory: 100Mi}}",
        "resources: {evictionHard: {memory.available: 101%}}",
        "resources: {evictionSoft: {memory.available: 1Gi}}",
        "resources: {cpuManagerPolicy: static}",
        "cgroup: a\n  b: c",
    ];

    #[test]
    fn every_wrong_file_is_answered_with_the_line_and_what_to_write_instead() {
        let said = |text: &&str| {
            let error = parse_text(&format!("# a change\n{text}\n")).expect_err(text);
            format!("{text}\n    {}\n", error.replace('\n', "\n    "))
        };
        insta::assert_snapshot!(WRONG.iter().map(said).collect::<String>());
    }

    #[test]
    fn a_value_that_breaks_its_rule_is_refused_by_key() {
        for (text, key) in [
            ("containerLogMaxFiles: 1", "containerLogMaxFiles"),
            ("containerLogMaxSize: 1GB", "containerLogMaxSize"),
            ("cgroup: ../x", "cgroup"),
            ("crashLoopBackOff: {initialSeconds: 500}", "crashLoopBackOff"),
            ("crashLoopBackOff: {initialSeconds: -1}", "crashLoopBackOff"),
            ("probeAddress: localhost", "probeAddress"),
            ("clusterDNS: [kube-dns]", "clusterDNS"),
            ("clusterDNS: [10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4]", "clusterDNS"),
            ("nodeLabels: {disk: very fast}", "nodeLabels"),
            ("resources: {cpuManagerPolicy: static}", "reservedSystemCPUs"),
            ("resources: {cpuManagerPolicy: static, reservedSystemCPUs: 2-1}", "reservedSystemCPUs"),
            ("resources: {reservedSystemCPUs: '0'}", "reservedSystemCPUs"),
            ("resources: {cpuManagerPolicy: dynamic}", "cpuManagerPolicy"),
            ("resources: {podPidsLimit: 0}", "resources.podPidsLimit"),
            ("resources: {cpuCFSQuotaPeriodMilliseconds: 2000}", "cpuCFSQuotaPeriodMilliseconds"),
            ("resources: {memoryReservationPolicy: Some}", "memoryReservationPolicy"),
            ("resources: {systemReserved: {gpu: '1'}}", "systemReserved"),
            ("resources: {systemReserved: {memory: 1GB}}", "systemReserved"),
        ] {
            let error = parse_text(text).unwrap_err();
            assert!(error.contains(key), "{text}: {error}");
        }
    }
}
