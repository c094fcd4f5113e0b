use super::*;
use crate::config::{Manifest, RestartPolicy};
use crate::wire::driver::{LinuxResources, PortMapping, Resources};

fn task() -> TaskConfig {
    let text = |text: &str| text.to_owned();
    TaskConfig {
        id: text("0a1b2c3d-0000-0000-0000-000000000000/db/12345678"),
        name: text("db"),
        alloc_id: text("0a1b2c3d-0000-0000-0000-000000000000"),
        alloc_dir: text("/srv/nomad/alloc/0a1b2c3d-0000-0000-0000-000000000000"),
        namespace: text("default"),
        job_id: text("shop"),
        task_group_name: text("data"),
        env: [("NOMAD_ALLOC_INDEX", "1"), ("PRICE", "5$")].map(|(k, v)| (text(k), text(v))).into(),
        resources: Some(Resources {
            ports: vec![PortMapping { label: text("sql"), value: 5432, ..PortMapping::default() }],
            ..Resources::default()
        }),
        ..TaskConfig::default()
    }
}

fn config(what: What, on_stop: OnStop) -> Config {
    Config { what, on_stop, ports: Vec::new(), volumes: Vec::new(), alloc_dirs: on_stop == OnStop::Stop }
}

fn container() -> What {
    let restart = RestartPolicy::Never;
    What::Container(Container {
        image: "postgres:15".to_owned(),
        args: vec!["$x".to_owned()],
        restart,
        ..Container::default()
    })
}

fn made(task: &TaskConfig, config: &Config, text: Option<&str>) -> Result<Built, String> {
    let agents = HashMap::new();
    let around = Surroundings { text, agents: &agents, cpu: 2000, user: Some((1000, None)) };
    build(task, config, &around).map_err(|error| error.to_string())
}

#[test]
fn a_container_is_a_pod_that_nomad_starts_again() {
    let mut config = config(container(), OnStop::Stop);
    config.ports.push("sql".to_owned());
    let Built { pod, id, .. } = made(&task(), &config, None).unwrap();

    assert_eq!((id.namespace.as_str(), id.name.as_str()), ("default", "db-0a1b2c3d"));
    assert_eq!(pod["metadata"]["uid"], json!(id.uid));
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["$$x"]));
    assert_eq!(container["securityContext"], json!({"runAsUser": 1000}));
    assert_eq!(container["ports"], json!([{"containerPort": 5432, "hostPort": 5432}]));
    let price = container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == "PRICE");
    assert_eq!(price.unwrap()["value"], "5$$");
    let mounts: Vec<_> = container["volumeMounts"].as_array().unwrap().iter().map(|m| m["mountPath"].clone()).collect();
    let below = |path: &str| json!(format!("/srv/nomad/alloc/0a1b2c3d-0000-0000-0000-000000000000/{path}"));
    assert_eq!(mounts, ["alloc", "db/local", "db/secrets"].map(below));
}

#[test]
fn each_start_is_another_pod_of_the_same_name() {
    let config = config(container(), OnStop::Stop);
    let first = made(&task(), &config, None).unwrap().id;
    let again = TaskConfig { id: "0a1b2c3d-0000-0000-0000-000000000000/db/87654321".to_owned(), ..task() };
    let second = made(&again, &config, None).unwrap().id;
    assert_eq!(first.name, second.name);
    assert_ne!(first.uid, second.uid);
}

#[test]
fn what_outlives_its_allocation_is_the_same_pod_in_the_next_one() {
    let config = config(container(), OnStop::Detach);
    let next = TaskConfig {
        id: "ffffffff-0000-0000-0000-000000000000/db/1".to_owned(),
        alloc_id: "ffffffff-0000-0000-0000-000000000000".to_owned(),
        alloc_dir: "/srv/nomad/alloc/ffffffff-0000-0000-0000-000000000000".to_owned(),
        ..task()
    };
    assert_eq!(made(&task(), &config, None).unwrap(), made(&next, &config, None).unwrap());
}

#[test]
fn a_manifest_keeps_what_it_says_and_gets_what_it_does_not() {
    let text = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: elsewhere}
data: {a: b}
---
apiVersion: v1
kind: Pod
metadata: {name: pg}
spec:
  containers:
    - {name: main, image: host, env: [{name: PRICE, value: mine}]}
";
    let config = config(What::Pod(Manifest::Text(text.to_owned())), OnStop::Stop);
    let Built { pod, objects, id } = made(&task(), &config, Some(text)).unwrap();

    assert_eq!(id.name, "pg-0a1b2c3d");
    assert_eq!(objects[0]["metadata"]["namespace"], "default");
    let env = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let prices: Vec<_> = env.iter().filter(|variable| variable["name"] == "PRICE").collect();
    assert_eq!(prices, [&json!({"name": "PRICE", "value": "mine"})]);
    assert_eq!(pod["spec"]["securityContext"]["runAsUser"], 1000);
    assert!(pod["spec"]["resources"].is_object());
}

#[test]
fn cores_are_the_clients_to_give() {
    let text = "
apiVersion: v1
kind: Pod
metadata: {name: pg, annotations: {nomad.barepod.dev/cpus: 0-63}}
spec: {containers: [{name: main, image: host}]}
";
    let config = config(What::Pod(Manifest::Text(text.to_owned())), OnStop::Stop);
    let cpus = |task: &TaskConfig| {
        made(task, &config, Some(text)).unwrap().pod["metadata"]["annotations"][CPUS_ANNOTATION].clone()
    };
    assert_eq!(cpus(&task()), Value::Null);
    let linux_resources = Some(LinuxResources { cpuset_cpus: "3,4".to_owned(), ..LinuxResources::default() });
    let resources = Some(Resources { linux_resources, ..Resources::default() });
    assert_eq!(cpus(&TaskConfig { resources, ..task() }), "3,4");
}

#[test]
fn what_is_no_pod_is_refused() {
    let config = |text: &str| config(What::Pod(Manifest::Text(text.to_owned())), OnStop::Stop);
    let refused = |text: &str| made(&task(), &config(text), Some(text)).unwrap_err();
    assert!(refused("kind: ConfigMap").contains("has 0 pods"));
    assert!(refused("kind: Pod\n---\nkind: Pod").contains("has 2 pods"));
    assert!(refused("kind: Pod").contains("no containers"));
    assert!(refused("{").contains("cannot be read"));

    let mut ports = self::config(container(), OnStop::Stop);
    ports.ports.push("http".to_owned());
    assert!(made(&task(), &ports, None).unwrap_err().contains("\"http\""));
}
