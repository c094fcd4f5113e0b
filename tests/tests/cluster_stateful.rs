//! A StatefulSet of PostgreSQL in a real cluster, as anybody writes it but for one line: its claim, its Service, its
//! successors.

use barepod_tests::bridge::{Bridge, hand_over};
use barepod_tests::joined::{ADDRESS, Joined, NODE, has_condition};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const MANIFEST: &str = include_str!("stateful/postgresql.yaml");

struct Database {
    cluster: Joined,
}

impl Database {
    fn sql(&self, statement: &str) -> Result<String> {
        let shell = format!("psql -X -A -t -v ON_ERROR_STOP=1 -U postgres -c \"{statement}\"");
        Ok(self.cluster.host.asked("db-0", "postgresql", &shell)?)
    }

    /// Waits until another pod than this one is ready under the name; its UID.
    fn successor(&self, of: &Value) -> Result<Value> {
        let pod = self
            .cluster
            .pod_until("db-0", "ready", |pod| pod["metadata"]["uid"] != *of && has_condition(pod, "Ready", "True"))?;
        Ok(pod["metadata"]["uid"].clone())
    }
}

#[test]
fn postgresql_keeps_its_name_its_data_and_its_place_in_the_service_over_all_its_successors() -> Result {
    let mut cluster = Joined::start()?;
    let controllers = hand_over(&cluster.host, cluster.plane.admin(), "controllers")?.display().to_string();
    let kubeconfig = cluster.plane.kubeconfig_of_node(NODE)?;
    cluster.bridge.kill()?;
    let more = ["--controllers-kubeconfig", &controllers];
    cluster.bridge = Bridge::start_with(&cluster.host, NODE, ADDRESS.into(), &kubeconfig, &more)?;
    cluster.plane.kubectl_apply(MANIFEST)?;
    let database = Database { cluster };
    let first = database.successor(&Value::Null)?;
    assert_eq!(database.sql("create table t as select generate_series(1, 1000) n")?, "SELECT 1000");

    let cluster = &database.cluster;
    let claim = cluster.plane.get(&["persistentvolumeclaim", "data-db-0"])?;
    assert_eq!(claim["status"]["phase"], "Bound");
    let volume = claim["spec"]["volumeName"].as_str().ok_or("no volume")?;
    let data = cluster.host.path("var/lib/barepod/volumes/default").join(volume);
    assert!(data.join("pgdata/PG_VERSION").exists(), "the data is not in {}", data.display());
    cluster.until("the Service to lead to it", |cluster| {
        let slices = cluster.get(&["endpointslices", "-l", "kubernetes.io/service-name=db"])?;
        let endpoint = &slices["items"][0]["endpoints"][0];
        let leads = endpoint["addresses"] == json!([ADDRESS.to_string()]) && endpoint["conditions"]["ready"] == true;
        leads.then_some(())
    })?;

    cluster.kubectl(&["delete", "pod", "db-0", "--wait=false"])?;
    let second = database.successor(&first)?;
    assert_eq!(database.sql("select count(*) from t")?, "1000");
    assert!(cluster.host.log().contains("attempt 0 ended with exit code 0"), "not stopped cleanly");

    cluster.kubectl(&["rollout", "restart", "statefulset/db"])?;
    let third = database.successor(&second)?;
    cluster.kubectl(&["rollout", "status", "statefulset/db", "--timeout=60s"])?;
    assert_eq!(database.sql("select count(*) from t")?, "1000");

    cluster.kubectl(&["set", "resources", "statefulset/db", "--limits=memory=384Mi"])?;
    database.successor(&third)?;
    assert_eq!(database.sql("select count(*) from t")?, "1000");

    cluster.kubectl(&["scale", "statefulset/db", "--replicas=0"])?;
    cluster.gone("db-0")?;
    assert!(data.join("pgdata/PG_VERSION").exists(), "data went with the pod");
    Ok(())
}
