//! What a container sees and may do, asked of real processes: names and network files, groups and owners of volumes, mount
//! rules, namespaces, the kernel's restrictions.

use barepod_tests::host::{Host, HostError};
use barepod_tests::pods;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs a line of shell in a pod's first container; what it prints.
fn asked(host: &Host, pod: &str, script: &str) -> std::result::Result<String, HostError> {
    let said = host.barepod(&["exec", pod, "--", "sh", "-c", script])?;
    Ok(said.trim_end().to_owned())
}

/// A host with one running pod of this spec beside its idle container.
fn running(config: &str, change: impl FnOnce(&mut Value)) -> Result<Host> {
    let host = Host::started(config)?;
    let mut pod = pods::idle("pod");
    change(&mut pod["spec"]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    Ok(host)
}

// ---- names and the network ----

#[test]
fn a_pod_has_the_names_and_the_resolver_it_asks_for() -> Result {
    let host = running("", |spec| {
        spec["hostname"] = json!("db");
        spec["subdomain"] = json!("peers");
        spec["hostAliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["one.example", "two"]}]);
        spec["dnsPolicy"] = json!("None");
        spec["dnsConfig"] = json!({"nameservers": ["127.0.0.53"], "searches": ["a.example", "b.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    })?;
    assert_eq!(asked(&host, "pod", "hostname")?, "db");
    assert_eq!(asked(&host, "pod", "hostname --fqdn")?, "db.peers.default.svc.cluster.local");
    assert_eq!(asked(&host, "pod", "getent hosts two | tr -s ' ' | cut -d' ' -f1")?, "10.1.2.3");
    let wanted = "nameserver 127.0.0.53\nsearch a.example b.example\noptions ndots:2 edns0";
    assert_eq!(asked(&host, "pod", "cat /etc/resolv.conf")?, wanted);
    let hosts = asked(&host, "pod", "cat /etc/hosts")?;
    let own = std::fs::read_to_string("/etc/hosts")?;
    assert!(hosts.starts_with(own.trim_end()), "the host's network is the pod's: {hosts}");
    Ok(())
}

#[test]
fn a_host_name_is_the_full_one_where_that_is_asked_for_and_dns_is_added_to_the_hosts() -> Result {
    let host = running("", |spec| {
        spec["subdomain"] = json!("peers");
        spec["setHostnameAsFQDN"] = json!(true);
        spec["dnsPolicy"] = json!("ClusterFirst");
        spec["dnsConfig"] = json!({"searches": ["more.example"]});
    })?;
    assert_eq!(asked(&host, "pod", "uname -n; cat /etc/hostname")?, ["pod.peers.default.svc.cluster.local"; 2].join("\n"));
    let text = asked(&host, "pod", "cat /etc/resolv.conf")?;
    assert!(text.lines().any(|line| line.starts_with("search ") && line.ends_with("more.example")), "{text}");
    let own = std::fs::read_to_string("/etc/resolv.conf")?;
    for server in own.lines().filter(|line| line.starts_with("nameserver ")).take(3) {
        assert!(text.lines().any(|line| line == server), "{server} is missing: {text}");
    }
    let other = {
        let mut pod = pods::idle("other");
        pod["spec"]["hostnameOverride"] = json!("a.b.example");
        pod
    };
    host.apply_object(&other)?;
    host.ready("other")?;
    assert_eq!(asked(&host, "other", "uname -n")?, "a.b.example");
    Ok(())
}
