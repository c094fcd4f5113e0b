//! Each field of a pod beside its containers and volumes, seen by a real process.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use barepod_tests::host::{Host, HostError, SOON};
use barepod_tests::pods::{self, sh};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const CONFIG: &str = "\
crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}
nodeLabels: {disk: fast}
clusterDNS: [10.96.0.10]
";

fn running(host: &Host, name: &str, change: impl FnOnce(&mut Value)) -> Result<u32> {
    let mut pod = pods::idle(name);
    change(&mut pod);
    host.apply_object(&pod)?;
    host.ready(name)?;
    Ok(host.running(name)?)
}

fn asked(host: &Host, pod: &str, script: &str) -> std::result::Result<String, HostError> {
    host.asked(pod, "main", script)
}

fn refused(host: &Host, change: impl FnOnce(&mut Value)) -> String {
    let mut pod = pods::idle("refused");
    change(&mut pod);
    host.apply_object(&pod).map_err(|error| error.to_string()).err().unwrap_or_default()
}

fn namespace(process: &str, kind: &str) -> Result<u64> {
    Ok(fs::metadata(format!("/proc/{process}/ns/{kind}"))?.ino())
}

#[test]
fn a_pod_is_what_its_metadata_call_it() -> Result {
    let host = Host::started(CONFIG)?;
    running(&host, "named", |pod| {
        pod["metadata"] = json!({"name": "named", "namespace": "default", "labels": {"colour": "red"},
            "annotations": {"note": "mine"}});
        let from = |path: &str| json!({"fieldRef": {"fieldPath": path}});
        pod["spec"]["containers"][0]["env"] = json!([{"name": "NAME", "valueFrom": from("metadata.name")},
            {"name": "NAMESPACE", "valueFrom": from("metadata.namespace")},
            {"name": "LABEL", "valueFrom": from("metadata.labels['colour']")},
            {"name": "NOTE", "valueFrom": from("metadata.annotations['note']")}]);
    })?;
    assert_eq!(asked(&host, "named", "echo $NAME $NAMESPACE $LABEL $NOTE")?, "named default red mine");
    let shown = host.pod("named")?;
    assert_eq!((&shown["apiVersion"], &shown["kind"]), (&json!("v1"), &json!("Pod")));
    assert!(refused(&host, |pod| pod["apiVersion"] = json!("v2")).contains("UnsupportedKind"));
    assert!(refused(&host, |pod| pod["kind"] = json!("Pot")).contains("UnsupportedKind"));
    Ok(())
}

#[test]
fn a_pod_runs_where_its_runtime_class_and_node_selector_let_it() -> Result {
    let host = Host::started(CONFIG)?;
    running(&host, "fits", |pod| {
        pod["spec"]["runtimeClassName"] = json!("barepod");
        pod["spec"]["os"] = json!({"name": "linux"});
        pod["spec"]["nodeSelector"] = json!({"disk": "fast", "kubernetes.io/os": "linux"});
    })?;
    let said = refused(&host, |pod| pod["spec"]["nodeSelector"] = json!({"disk": "slow"}));
    assert!(said.contains("NodeAffinity") && said.contains("spec.nodeSelector.disk"), "{said}");
    let said = refused(&host, |pod| pod["spec"]["runtimeClassName"] = json!("other"));
    assert!(said.contains("spec.runtimeClassName"), "{said}");
    let said = refused(&host, |pod| pod["spec"]["os"] = json!({"name": "windows"}));
    assert!(said.contains("PodOSNotSupported") && said.contains("spec.os.name"), "{said}");
    Ok(())
}

#[test]
fn a_pod_has_the_names_and_the_resolver_it_asks_for() -> Result {
    let host = Host::started(CONFIG)?;
    running(&host, "pod", |pod| {
        pod["spec"]["hostname"] = json!("db");
        pod["spec"]["subdomain"] = json!("peers");
        pod["spec"]["setHostnameAsFQDN"] = json!(true);
        pod["spec"]["hostAliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["one.example", "two"]}]);
        pod["spec"]["dnsPolicy"] = json!("None");
        pod["spec"]["dnsConfig"] = json!({"nameservers": ["127.0.0.53"], "searches": ["a.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    })?;
    assert_eq!(asked(&host, "pod", "uname -n")?, "db.peers.default.svc.cluster.local");
    assert_eq!(asked(&host, "pod", "getent hosts two | tr -s ' ' | cut -d' ' -f1")?, "10.1.2.3");
    let wanted = "nameserver 127.0.0.53\nsearch a.example\noptions ndots:2 edns0";
    assert_eq!(asked(&host, "pod", "cat /etc/resolv.conf")?, wanted);
    let cluster = "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local cluster.local";
    running(&host, "of-cluster", |_| {})?;
    assert!(asked(&host, "of-cluster", "cat /etc/resolv.conf")?.starts_with(cluster));
    running(&host, "of-host", |pod| pod["spec"]["hostNetwork"] = json!(true))?;
    assert!(!asked(&host, "of-host", "cat /etc/resolv.conf")?.contains("10.96.0.10"));
    running(&host, "other", |pod| pod["spec"]["hostnameOverride"] = json!("a.b.example"))?;
    assert_eq!(asked(&host, "other", "uname -n")?, "a.b.example");
    Ok(())
}

#[test]
fn a_pod_has_the_host_s_namespaces_where_it_asks_for_them() -> Result {
    let host = Host::started(CONFIG)?;
    let own = running(&host, "own", |_| {})?.to_string();
    let shared = running(&host, "shared", |pod| {
        for field in ["hostPID", "hostIPC", "hostNetwork"] {
            pod["spec"][field] = json!(true);
        }
    })?;
    let shared = shared.to_string();
    for kind in ["pid", "ipc"] {
        assert_eq!(namespace(&shared, kind)?, namespace("self", kind)?, "{kind}");
        assert_ne!(namespace(&own, kind)?, namespace("self", kind)?, "{kind}");
    }
    assert_eq!(namespace(&shared, "net")?, namespace("self", "net")?);
    let pids = asked(&host, "shared", &format!("ls -d /proc/{}", std::process::id()))?;
    assert!(!pids.is_empty(), "it sees this test");
    let together = running(&host, "together", |pod| {
        pod["spec"]["shareProcessNamespace"] = json!(true);
    })?;
    assert_eq!(asked(&host, "together", "cat /proc/1/comm")?, "barepod-pause");
    assert_ne!(namespace(&together.to_string(), "pid")?, namespace("self", "pid")?);
    Ok(())
}

#[test]
fn a_pod_runs_as_whom_its_security_context_says() -> Result {
    let host = Host::started(CONFIG)?;
    running(&host, "pod", |pod| {
        pod["spec"]["securityContext"] = json!({"runAsUser": 1234, "runAsGroup": 4321, "runAsNonRoot": true, "fsGroup": 7777,
            "fsGroupChangePolicy": "Always", "supplementalGroups": [5555], "supplementalGroupsPolicy": "Strict"});
        pod["spec"]["volumes"] = json!([{"name": "own", "emptyDir": {}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/own"}]);
    })?;
    assert_eq!(asked(&host, "pod", "id -u; id -g")?, "1234\n4321");
    let mut groups: Vec<_> = asked(&host, "pod", "id -G")?.split(' ').map(str::to_owned).collect();
    groups.sort();
    assert_eq!(groups, ["4321", "5555", "7777"], "and no group of the account");
    assert_eq!(asked(&host, "pod", "touch /own/new; stat -c %g /own /own/new")?, "7777\n7777");
    let said = refused(&host, |pod| pod["spec"]["securityContext"] = json!({"runAsUser": 0, "runAsNonRoot": true}));
    assert!(said.contains("runAsNonRoot"), "{said}");
    let said = refused(&host, |pod| pod["spec"]["securityContext"] = json!({"fsGroupChangePolicy": "Never"}));
    assert!(said.contains("fsGroupChangePolicy"), "{said}");
    Ok(())
}

#[test]
fn a_pod_ends_and_is_started_again_as_its_policies_say() -> Result {
    let host = Host::started(CONFIG)?;
    for (policy, phase, code) in [("Never", "Failed", 3), ("OnFailure", "Succeeded", 0)] {
        let mut pod = pods::shell(&policy.to_lowercase(), &format!("exit {code}"));
        pod["spec"]["restartPolicy"] = json!(policy);
        host.apply_object(&pod)?;
        host.until(format!("{policy} to be {phase}"), SOON, |host| {
            let pod = host.pod(&policy.to_lowercase()).ok()?;
            (pod["status"]["phase"] == phase && pod["status"]["containerStatuses"][0]["restartCount"] == 0)
                .then_some(())
        })?;
    }
    let mut again = pods::shell("again", "exit 0");
    again["spec"]["restartPolicy"] = json!("Always");
    host.apply_object(&again)?;
    host.container("again", "started again", |status| status["restartCount"].as_u64() > Some(0))?;

    running(&host, "late", |pod| pod["spec"]["activeDeadlineSeconds"] = json!(2))?;
    host.reason("late", "DeadlineExceeded")?;

    let stubborn = "trap '' TERM; while :; do sleep 1000000 & wait; done";
    let mut pod = pods::pod("stubborn", [sh("main", stubborn)]);
    pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
    host.apply_object(&pod)?;
    host.ready("stubborn")?;
    let begun = std::time::Instant::now();
    host.barepod(&["delete", "stubborn"])?;
    host.gone("stubborn")?;
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1), "it had its grace");
    Ok(())
}
