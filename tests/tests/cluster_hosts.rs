//! Three hosts of a real cluster with what a cluster has beside its control plane: kube-proxy and CoreDNS, both run by barepod.
//! Databases that know each other by name, through all that an administrator does to them.

use std::collections::{BTreeMap, BTreeSet};

use barepod_tests::bridge::put;
use barepod_tests::cluster::Recipe;
use barepod_tests::fleet::{Fleet, Node};
use barepod_tests::host::Host;
use barepod_tests::joined::has_condition;
use barepod_tests::peers::{COREDNS, KUBE_PROXY};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const ADDONS: &str = include_str!("stateful/addons.yaml");
const MANIFEST: &str = include_str!("stateful/postgresql.yaml");
const NAMESPACE: &str = "data";

/// Puts the addons' programs on the host, and says where they are.
fn programs(host: &Host) -> std::result::Result<(), barepod_tests::host::HostError> {
    let presets = host.path("etc/barepod/presets");
    std::fs::create_dir_all(&presets)?;
    for (peer, name) in [(KUBE_PROXY, "kube-proxy"), (COREDNS, "coredns")] {
        let built = peer.program(name).map_err(std::io::Error::other)?;
        put(&built, host.path(name))?;
        let place = json!({"dir": host.path("").display().to_string(), "program": name});
        let preset = json!({
            "apiVersion": "barepod.dev/v1alpha1", "kind": "Preset", "name": name, "extends": name,
            "versions": {"places": [place]},
        });
        std::fs::write(presets.join(format!("{name}.yaml")), preset.to_string())?;
    }
    Ok(())
}

struct Databases {
    fleet: Fleet,
}

impl Databases {
    fn start() -> Result<Self> {
        let fleet = Fleet::start(3, &Recipe::default(), "clusterDNS: [10.96.0.10]\n", programs)?;
        fleet.plane.kubectl_apply(&ADDONS.replace("SERVER", &fleet.plane.server()))?;
        fleet.plane.kubectl(&["create", "namespace", NAMESPACE])?;
        fleet.plane.kubectl(&["label", "namespace", NAMESPACE, "barepod.dev/host-network=true"])?;
        fleet.until("a kube-proxy on each host, and a name server", |fleet| {
            let proxies = fleet.plane.get(&["-n", "kube-system", "daemonset", "kube-proxy"]).ok()?;
            let names = fleet.plane.get(&["-n", "kube-system", "deployment", "coredns"]).ok()?;
            (proxies["status"]["numberReady"] == 3 && names["status"]["readyReplicas"] == 1).then_some(())
        })?;
        Ok(Self { fleet })
    }

    /// Runs kubectl in their namespace.
    fn kubectl(&self, args: &[&str]) -> Result<String> {
        Ok(self.fleet.plane.kubectl(&[&["-n", NAMESPACE], args].concat())?)
    }

    fn get(&self, args: &[&str]) -> Option<Value> {
        self.fleet.plane.get(&[&["-n", NAMESPACE], args].concat()).ok()
    }

    /// Where a database is.
    fn node(&self, pod: &str) -> Result<&Node> {
        let there = self.get(&["pod", pod]).ok_or("no such pod")?;
        let name = there["spec"]["nodeName"].as_str().ok_or("it is nowhere")?;
        Ok(self.fleet.node(name).ok_or("a foreign node")?)
    }

    /// What a line of shell says in a database's container.
    fn asked(&self, pod: &str, script: &str) -> Result<String> {
        let args = ["exec", "-n", NAMESPACE, pod, "-c", "postgresql", "--", "sh", "-c", script];
        Ok(self.node(pod)?.host.barepod(&args)?.trim().to_owned())
    }

    /// What a database answers to another one, which asks for it by name.
    fn sql(&self, from: &str, to: &str, statement: &str) -> Result<String> {
        let psql = "PGPASSWORD=change-me PGCONNECT_TIMEOUT=5 psql -X -A -t -v ON_ERROR_STOP=1 -U postgres";
        self.asked(from, &format!("{psql} -h {to} -c \"{statement}\""))
    }

    /// UIDs by name of the databases that are ready.
    fn ready(&self) -> BTreeMap<String, String> {
        let pods = self.get(&["pods", "-l", "app=db"]).unwrap_or_default();
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let ready = pods
            .into_iter()
            .filter(|pod| has_condition(pod, "Ready", "True") && pod["metadata"]["deletionTimestamp"].is_null());
        let text = |pod: &Value, key: &str| pod["metadata"][key].as_str().unwrap_or_default().to_owned();
        ready.map(|pod| (text(&pod, "name"), text(&pod, "uid"))).collect()
    }

    /// Which pod has this name.
    fn uid(&self, pod: &str) -> Option<String> {
        self.get(&["pod", pod])?["metadata"]["uid"].as_str().map(str::to_owned)
    }

    /// Waits until three are ready, none of them of these.
    fn successors(&self, of: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        Ok(self.fleet.until("three other databases to be ready", |_| {
            let ready = self.ready();
            (ready.len() == 3 && ready.iter().all(|(name, uid)| of.get(name) != Some(uid))).then_some(ready)
        })?)
    }

    /// Each of the three says what was written to it.
    fn know(&self) -> Result {
        for number in 0..3 {
            let name = format!("db-{number}.db");
            assert_eq!(self.sql("db-0", &name, "select n from t")?, number.to_string(), "{name}");
        }
        Ok(())
    }
}

#[test]
fn three_databases_find_each_other_by_name_and_keep_their_data_through_all_that_is_done_to_them() -> Result {
    let databases = Databases::start()?;
    let fleet = &databases.fleet;
    let manifest = fleet.plane.path("databases.yaml");
    std::fs::write(&manifest, MANIFEST.replace("replicas: 1", "replicas: 3"))?;
    databases.kubectl(&["apply", "-f", &manifest.display().to_string()])?;
    let first = databases.successors(&BTreeMap::new())?;

    // One on each host: they have the same port.
    let places = (0..3).map(|number| Ok(databases.node(&format!("db-{number}"))?.name.clone()));
    let places = places.collect::<Result<Vec<_>>>()?;
    assert_eq!(places.iter().collect::<BTreeSet<_>>().len(), 3, "{places:?}");
    let addresses: BTreeSet<_> = fleet.network.hosts().iter().map(|host| host.address().to_string()).collect();
    fleet.until("the Service to lead to all three", |_| {
        let slices = databases.get(&["endpointslices", "-l", "kubernetes.io/service-name=db"])?;
        let endpoints = slices["items"][0]["endpoints"].as_array()?.clone();
        let ready = endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true);
        let led: BTreeSet<_> = ready.filter_map(|one| Some(one["addresses"][0].as_str()?.to_owned())).collect();
        (led == addresses).then_some(())
    })?;

    // By name, through the cluster's name server, which is itself a Service's pod.
    let second = databases.get(&["pod", "db-1"]).ok_or("no db-1")?["status"]["podIP"].clone();
    fleet.until("db-0 to find db-1", |_| {
        let found = databases.asked("db-0", "getent ahostsv4 db-1.db").ok()?;
        (found.split_whitespace().next() == second.as_str()).then_some(())
    })?;
    for number in 0..3 {
        let name = format!("db-{number}.db.{NAMESPACE}.svc.cluster.local");
        let answer = databases.sql("db-0", &name, &format!("create table t as select {number} n"))?;
        assert_eq!(answer, "SELECT 1");
    }
    databases.know()?;
    // By the ClusterIP of a Service, with the certificate of that name.
    let account = "/var/run/secrets/kubernetes.io/serviceaccount";
    let tls = format!(
        "openssl s_client -connect kubernetes.default.svc:443 -verify_return_error -CAfile {account}/ca.crt \
         -verify_hostname kubernetes.default.svc </dev/null 2>&1"
    );
    let said = databases.asked("db-0", &tls)?;
    assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    let shown = databases.kubectl(&["describe", "pod", "db-0"])?;
    assert!(shown.contains("Started") && shown.contains(&places[0]), "{shown}");

    databases.kubectl(&["scale", "statefulset/db", "--replicas=2"])?;
    fleet.until("two of them", |_| (databases.ready().len() == 2).then_some(()))?;
    databases.kubectl(&["scale", "statefulset/db", "--replicas=3"])?;
    fleet.until("three of them again", |_| (databases.ready().len() == 3).then_some(()))?;
    databases.know()?;
    assert_eq!(databases.uid("db-0").as_ref(), first.get("db-0"), "scaling touches the last ones only");

    let before = databases.ready();
    databases.kubectl(&["rollout", "restart", "statefulset/db"])?;
    let restarted = databases.successors(&before)?;
    databases.kubectl(&["set", "resources", "statefulset/db", "--limits=memory=384Mi"])?;
    let smaller = databases.successors(&restarted)?;
    databases.kubectl(&["rollout", "undo", "statefulset/db"])?;
    let undone = databases.successors(&smaller)?;
    let limits = databases.get(&["pod", "db-0"]).ok_or("no db-0")?["spec"]["containers"][0]["resources"].clone();
    assert_eq!(limits["limits"]["memory"], "512Mi");
    databases.know()?;

    // Its data are there and nowhere else: it waits for its host.
    let host = databases.node("db-1")?.name.clone();
    databases.kubectl(&["create", "poddisruptionbudget", "db", "--selector=app=db", "--max-unavailable=1"])?;
    fleet.until("the budget to be known", |_| {
        databases.get(&["pdb", "db"]).filter(|budget| budget["status"]["disruptionsAllowed"] == 1).map(drop)
    })?;
    databases.kubectl(&["drain", &host, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"])?;
    fleet.until("db-1 to wait", |_| {
        let pod = databases.get(&["pod", "db-1"])?;
        (pod["status"]["phase"] == "Pending" && pod["spec"]["nodeName"].is_null()).then_some(())
    })?;
    let other = databases.node("db-2")?.name.clone();
    let refused =
        databases.kubectl(&["drain", &other, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=5s"]);
    assert!(refused.is_err(), "the budget is spent");
    assert_eq!(databases.uid("db-2").as_ref(), undone.get("db-2"));
    databases.kubectl(&["uncordon", &host])?;
    databases.kubectl(&["uncordon", &other])?;
    fleet.until("db-1 to be back", |_| (databases.ready().len() == 3).then_some(()))?;
    assert_eq!(databases.node("db-1")?.name, host);
    databases.know()?;

    databases.kubectl(&["delete", "statefulset", "db"])?;
    fleet.until("all to be gone", |_| {
        let listed = databases.kubectl(&["get", "pods", "-o", "name"]).ok()?;
        let here = |node: &Node| node.host.barepod(&["get", "pods", "-A", "-o", "name"]);
        (listed.is_empty() && fleet.nodes.iter().all(|node| here(node).is_ok_and(|pods| !pods.contains("db-"))))
            .then_some(())
    })?;
    let claims = databases.get(&["pvc"]).ok_or("no claims")?;
    assert_eq!(claims["items"].as_array().map(Vec::len), Some(3), "data went with the pods");
    Ok(())
}
