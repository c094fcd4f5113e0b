//! Workloads of a real cluster on a barepod node, each run by Kubernetes' own controller.

use barepod_tests::host::alive;
use barepod_tests::joined::{Joined, NODE, has_condition, shell};
use barepod_tests::pods::IDLE;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A template of pods that run a line of shell.
fn template(app: &str, script: &str) -> Value {
    let mut pod = shell(app, script);
    json!({"metadata": {"labels": {"app": app}}, "spec": pod["spec"].take()})
}

fn workload(kind: &str, version: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Names and UIDs of an app's pods that are ready.
fn ready(cluster: &Joined, app: &str) -> Option<Vec<(String, String)>> {
    let pods = cluster.get(&["pods", "-l", &format!("app={app}")])?;
    let ready = pods["items"]
        .as_array()?
        .iter()
        .filter(|pod| has_condition(pod, "Ready", "True") && pod["metadata"]["deletionTimestamp"].is_null());
    let name = |pod: &Value, field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    Some(ready.map(|pod| (name(pod, "name"), name(pod, "uid"))).collect())
}

#[test]
fn a_deployment_is_rolled_out_undone_scaled_and_deleted() -> Result {
    let cluster = Joined::start()?;
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template("web", IDLE)});
    cluster.apply(&workload("Deployment", "apps/v1", "web", &spec))?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let first = ready(&cluster, "web").ok_or("no pods")?;
    assert_eq!(first.len(), 2);
    cluster.kubectl(&["set", "env", "deployment/web", "STAGE=two"])?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    let second = cluster.until("the second generation", |cluster| {
        ready(cluster, "web").filter(|pods| pods.len() == 2 && pods.iter().all(|pod| !first.contains(pod)))
    })?;
    assert_eq!(cluster.host.asked(&second[0].0, "main", "echo $STAGE")?, "two");
    cluster.kubectl(&["rollout", "undo", "deployment/web"])?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    cluster.kubectl(&["scale", "deployment/web", "--replicas=3"])?;
    cluster.until("three of them", |cluster| ready(cluster, "web").filter(|pods| pods.len() == 3))?;
    cluster.kubectl(&["delete", "deployment", "web"])?;
    cluster.until("none of them", |cluster| {
        let pods = cluster.host.barepod(&["get", "pods", "-o", "name"]).ok()?;
        (!pods.contains("web-")).then_some(())
    })?;
    Ok(())
}

#[test]
fn jobs_end_as_their_pods_do_and_a_cron_job_makes_them() -> Result {
    let cluster = Joined::start()?;
    let job = |script: &str| {
        let mut template = template("job", script);
        template["spec"]["restartPolicy"] = json!("Never");
        json!({"backoffLimit": 0, "template": template})
    };
    cluster.apply(&workload("Job", "batch/v1", "well", &job("exit 0")))?;
    cluster.apply(&workload("Job", "batch/v1", "badly", &job("exit 3")))?;
    let schedule = json!({"schedule": "* * * * *", "jobTemplate": {"spec": job("exit 0")}});
    cluster.apply(&workload("CronJob", "batch/v1", "often", &schedule))?;
    cluster.kubectl(&["create", "job", "now", "--from=cronjob/often"])?;
    for (name, condition) in [("well", "Complete"), ("badly", "Failed"), ("now", "Complete")] {
        cluster.until(&format!("job {name} to be {condition}"), |cluster| {
            cluster.get(&["job", name]).filter(|job| has_condition(job, condition, "True"))
        })?;
    }
    Ok(())
}

#[test]
fn a_drained_node_gives_its_pods_up_as_far_as_the_budget_lets_it() -> Result {
    let cluster = Joined::start()?;
    let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "kept"}}, "template": template("kept", IDLE)});
    cluster.apply(&workload("Deployment", "apps/v1", "kept", &spec))?;
    let budget = json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "kept"}}});
    cluster.apply(&workload("PodDisruptionBudget", "policy/v1", "kept", &budget))?;
    cluster.until("the budget to know its pod", |cluster| {
        cluster.get(&["poddisruptionbudget", "kept"]).filter(|budget| budget["status"]["currentHealthy"] == 1)
    })?;
    let drain = ["drain", NODE, "--ignore-daemonsets", "--timeout=3s"];
    let refused = cluster.kubectl(&drain).unwrap_err().to_string();
    assert!(refused.contains("disruption budget"), "{refused}");
    assert_eq!(ready(&cluster, "kept").map(|pods| pods.len()), Some(1));
    assert_eq!(cluster.plane.get(&["node", NODE])?["spec"]["unschedulable"], true);
    cluster.kubectl(&["delete", "poddisruptionbudget", "kept"])?;
    cluster.kubectl(&["drain", NODE, "--ignore-daemonsets", "--timeout=30s"])?;
    assert_eq!(ready(&cluster, "kept").map(|pods| pods.len()), Some(0));
    cluster.kubectl(&["uncordon", NODE])?;
    cluster.until("it to be back", |cluster| ready(cluster, "kept").filter(|pods| pods.len() == 1))?;
    Ok(())
}

#[test]
fn a_pod_is_resized_in_place_and_both_sides_say_so() -> Result {
    let cluster = Joined::start()?;
    let mut pod = shell("sized", IDLE);
    let resources = |cpu: &str, memory: &str| json!({"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}});
    pod["spec"]["containers"][0]["resources"] = resources("100m", "64Mi");
    cluster.apply(&pod)?;
    let pid = cluster.ready("sized")?;
    let resize = |resources: Value| {
        let patch = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}}).to_string();
        cluster.kubectl(&["patch", "pod", "sized", "--subresource=resize", "--type=strategic", "-p", &patch])
    };
    resize(resources("200m", "96Mi"))?;
    let pod = cluster.pod_until("sized", "larger", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["resources"]["limits"]["memory"] == "96Mi" && status["allocatedResources"]["cpu"] == "200m"
    })?;
    assert_eq!(pod["status"]["observedGeneration"], pod["metadata"]["generation"], "{pod}");
    assert_eq!(cluster.host.pid("sized"), Some(pid));
    // Another pod has what it wants next: it waits, with what it has, until there is room.
    let cpus = std::thread::available_parallelism()?.get() as u64 * 1000;
    let mut other = shell("other", IDLE);
    other["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": format!("{}m", cpus - 500)}});
    cluster.apply(&other)?;
    cluster.ready("other")?;
    resize(resources("900m", "96Mi"))?;
    let pod = cluster.pod_until("sized", "pending", |pod| has_condition(pod, "PodResizePending", "True"))?;
    let conditions = pod["status"]["conditions"].as_array().ok_or("no conditions")?;
    let pending = conditions.iter().find(|condition| condition["type"] == "PodResizePending").ok_or("no condition")?;
    assert_eq!(pending["reason"], "Deferred", "{pod}");
    assert_eq!(pod["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"], "200m");
    cluster.kubectl(&["delete", "pod", "other", "--wait=false"])?;
    let pod = cluster.pod_until("sized", "larger again", |pod| {
        pod["status"]["containerStatuses"][0]["resources"]["limits"]["cpu"] == "900m"
    })?;
    assert!(!has_condition(&pod, "PodResizePending", "True"), "{pod}");
    assert_eq!(cluster.host.pid("sized"), Some(pid));
    Ok(())
}

#[test]
fn a_daemon_set_that_tolerates_everything_is_refused_quietly() -> Result {
    let cluster = Joined::start()?;
    let mut template = template("everywhere", IDLE);
    template["spec"]["containers"][0]["image"] = json!("registry.example.org/kube-proxy:v1");
    template["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    template["spec"].as_object_mut().ok_or("no spec")?.remove("runtimeClassName");
    let spec = json!({"selector": {"matchLabels": {"app": "everywhere"}}, "template": template});
    cluster.apply(&workload("DaemonSet", "apps/v1", "everywhere", &spec))?;
    let refused = |cluster: &Joined| {
        let pods = cluster.get(&["pods", "-l", "app=everywhere"])?;
        let pod = pods["items"].as_array().filter(|pods| pods.len() == 1)?.first()?.clone();
        (pod["status"]["reason"] == "ImagePullBackOff").then_some(pod)
    };
    let pod = cluster.until("its pod to be refused", refused)?;
    assert_eq!(pod["status"]["phase"], "Pending");
    // Another workload has come and gone meanwhile; the controller has made no second pod.
    cluster.apply(&shell("other", IDLE))?;
    cluster.ready("other")?;
    let later = refused(&cluster).ok_or("it is refused no longer")?;
    assert_eq!(later["metadata"]["uid"], pod["metadata"]["uid"]);
    Ok(())
}

#[test]
fn a_pod_of_higher_priority_takes_the_place_of_another_when_that_has_ended() -> Result {
    let cluster = Joined::start()?;
    let most = format!("{}m", std::thread::available_parallelism()?.get() as u64 * 1000 - 300);
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000,
    });
    cluster.apply(&class)?;
    let pod = |name: &str, class: Option<&str>| {
        let mut pod = shell(name, IDLE);
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": most}});
        if let Some(class) = class {
            pod["spec"]["priorityClassName"] = json!(class);
        }
        pod
    };
    cluster.apply(&pod("low", None))?;
    let low = cluster.ready("low")?;
    cluster.apply(&pod("high", Some("high")))?;
    cluster.ready("high")?;
    assert!(!alive(low), "both run");
    cluster.gone("low")?;
    Ok(())
}
