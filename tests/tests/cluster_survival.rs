//! Whatever happens to the API server, the bridge and the objects in between: the same process runs on, and the status is
//! true again soon. Only evidence ends a pod, and each kind of it does.

use std::time::{Duration, Instant};

use barepod_tests::bridge::Bridge;
use barepod_tests::cluster::false_server::{Answer, FalseApiServer, Times};
use barepod_tests::host::{alive, signal};
use barepod_tests::joined::{ADDRESS, Joined, NODE, has_condition, shell};
use barepod_tests::pods::IDLE;
use barepod_tests::{Tier, tier};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// So soon after the API server can be used again, its status is true.
const TRUE_AGAIN: Duration = Duration::from_secs(5);

/// Ends with 3 when the file appears; it is then started again, and removes the file first.
fn crasher(name: &str) -> Value {
    let script = "rm -f /dir/end; while [ ! -e /dir/end ]; do sleep 0.05; done; exit 3";
    let mut pod = shell(name, script);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "dir", "mountPath": "/dir"}]);
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    pod
}

fn restarts(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["restartCount"]
}

#[test]
fn an_api_server_that_dies_freezes_or_is_away_touches_no_process_and_is_told_the_truth_again() -> Result {
    let cluster = Joined::start()?;
    let directory = cluster.host.path("dir");
    std::fs::create_dir(&directory)?;
    let mut pod = crasher("crasher");
    pod["spec"]["volumes"] = json!([{"name": "dir", "hostPath": {"path": directory, "type": "Directory"}}]);
    cluster.apply(&pod)?;
    cluster.apply(&shell("calm", IDLE))?;
    let pid = cluster.ready("calm")?;
    cluster.ready("crasher")?;
    for (count, frozen) in [(1, false), (2, true)] {
        match frozen {
            true => cluster.plane.freeze_api_server()?,
            false => cluster.plane.kill_api_server()?,
        }
        // Meanwhile a process ends and another takes its place.
        std::fs::write(directory.join("end"), "")?;
        cluster.host.container("crasher", "started again", |status| {
            status["restartCount"] == count && !status["state"]["running"].is_null()
        })?;
        match frozen {
            true => cluster.plane.thaw_api_server()?,
            false => cluster.plane.start_api_server()?,
        }
        let usable = Instant::now();
        cluster.pod_until("crasher", "as it is", |pod| *restarts(pod) == count)?;
        assert!(usable.elapsed() < TRUE_AGAIN, "true again after {:?}", usable.elapsed());
        assert_eq!(cluster.host.pid("calm"), Some(pid));
        let pod = cluster.plane.get(&["pod", "calm"])?;
        assert!(has_condition(&pod, "Ready", "True") && *restarts(&pod) == 0, "{pod}");
    }
    Ok(())
}

#[test]
fn a_bridge_killed_again_and_again_loses_no_pod_and_no_deletion() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 10,
        Tier::All => 200,
    };
    let mut cluster = Joined::start()?;
    cluster.apply(&shell("stays", IDLE))?;
    cluster.apply(&shell("goes", IDLE))?;
    let (stays, goes) = (cluster.ready("stays")?, cluster.ready("goes")?);
    for round in 0..rounds {
        cluster.bridge.kill()?;
        cluster.bridge.launch()?;
        // Somewhere between its first instruction and well after it has listed all pods.
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(round * 83 % 1000) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(alive(stays) && alive(goes), "round {round}");
    }
    cluster.bridge.kill()?;
    cluster.kubectl(&["delete", "pod", "goes", "--wait=false"])?;
    cluster.bridge.launch()?;
    cluster.gone("goes")?;
    assert!(!alive(goes));
    assert_eq!(cluster.ready("stays")?, stays);
    assert_eq!(*restarts(&cluster.plane.get(&["pod", "stays"])?), 0);
    Ok(())
}

#[test]
fn a_node_object_that_is_deleted_comes_back_and_its_pods_run_on() -> Result {
    let cluster = Joined::start()?;
    cluster.apply(&shell("stays", IDLE))?;
    let pid = cluster.ready("stays")?;
    let before = cluster.plane.get(&["node", NODE])?["metadata"]["uid"].clone();
    cluster.kubectl(&["delete", "node", NODE])?;
    cluster.until("the node to be there anew", |cluster| {
        cluster
            .get(&["node", NODE])
            .filter(|node| node["metadata"]["uid"] != before && has_condition(node, "Ready", "True"))
    })?;
    assert_eq!(cluster.ready("stays")?, pid);
    Ok(())
}

#[test]
fn a_pod_deleted_by_force_is_ended_if_that_was_seen_and_an_orphan_if_it_was_not() -> Result {
    let mut cluster = Joined::start()?;
    cluster.apply(&shell("seen", IDLE))?;
    cluster.apply(&shell("unseen", IDLE))?;
    let (seen, unseen) = (cluster.ready("seen")?, cluster.ready("unseen")?);
    let force = |name: &'static str| ["delete", "pod", name, "--force", "--grace-period=0", "--wait=false"];
    cluster.kubectl(&force("seen"))?;
    cluster.until("the one that was seen to be gone", |_| (!alive(seen)).then_some(()))?;

    cluster.bridge.kill()?;
    cluster.kubectl(&force("unseen"))?;
    cluster.bridge.launch()?;
    let orphan = |pod: &Value| pod["status"]["reason"] == "Orphaned";
    cluster.until("the other to be an orphan", |cluster| cluster.host.pod("unseen").ok().filter(orphan))?;
    assert!(alive(unseen));

    // Its successor is evidence: it takes its place, and not before it has gone.
    cluster.apply(&shell("unseen", IDLE))?;
    let successor = cluster.ready("unseen")?;
    assert!(!alive(unseen) && successor != unseen);
    Ok(())
}

#[test]
fn a_cluster_restored_from_an_older_copy_ends_nothing() -> Result {
    let cluster = Joined::start()?;
    cluster.apply(&shell("old", IDLE))?;
    let old = cluster.ready("old")?;
    let copy = cluster.plane.snapshot()?;
    cluster.apply(&shell("new", IDLE))?;
    let new = cluster.ready("new")?;
    cluster.plane.restore(&copy)?;
    let orphan = |pod: &Value| pod["status"]["reason"] == "Orphaned";
    cluster.until("the new one to be an orphan", |cluster| cluster.host.pod("new").ok().filter(orphan))?;
    assert_eq!(cluster.ready("old")?, old);
    assert!(alive(new));
    // Who knows better ends it.
    let refused = cluster.host.barepod(&["delete", "old"]).unwrap_err().to_string();
    assert!(refused.contains("owned by kubernetes"), "{refused}");
    cluster.host.barepod(&["delete", "new"])?;
    assert!(!alive(new));
    Ok(())
}

#[test]
fn a_daemon_that_is_replaced_makes_neither_its_node_nor_a_pod_unready() -> Result {
    let mut cluster = Joined::start()?;
    cluster.apply(&shell("stays", IDLE))?;
    let pid = cluster.ready("stays")?;
    let since = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready").cloned();
        ready.map(|condition| (condition["status"].clone(), condition["lastTransitionTime"].clone()))
    };
    let both =
        |cluster: &Joined| Some((since(&cluster.get(&["node", NODE])?)?, since(&cluster.get(&["pod", "stays"])?)?));
    let before = both(&cluster).ok_or("no conditions")?;
    cluster.host.kill_daemon()?;
    cluster.until("the bridge to miss it", |cluster| {
        cluster.bridge.last_words().contains("barepodd cannot be asked:").then_some(())
    })?;
    cluster.host.start()?;
    // It answers again when a new pod runs.
    cluster.apply(&shell("later", IDLE))?;
    cluster.ready("later")?;
    assert_eq!(both(&cluster).ok_or("no conditions")?, before);
    assert_eq!(cluster.host.pid("stays"), Some(pid));
    Ok(())
}

#[test]
fn a_host_that_has_lost_all_processes_starts_its_pods_from_the_ledger_while_the_api_server_is_away() -> Result {
    let mut cluster = Joined::start()?;
    let mut pod = shell("kept", "echo $WORD > /data/word; trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done");
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    let directory = cluster.host.path("data");
    std::fs::create_dir(&directory)?;
    pod["spec"]["containers"][0]["env"] =
        json!([{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "word"}}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    pod["spec"]["volumes"] = json!([{"name": "data", "hostPath": {"path": directory, "type": "Directory"}}]);
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "words"}, "stringData": {"word": "dear"}});
    cluster.apply(&secret)?;
    cluster.apply(&pod)?;
    let pid = cluster.ready("kept")?;
    cluster.plane.kill_api_server()?;
    let shims = cluster.host.shims("kept")?;
    cluster.host.kill_daemon()?;
    for process in shims.into_iter().chain([pid]) {
        signal(process, "KILL")?;
    }
    std::fs::remove_dir_all(cluster.host.path("run/barepod/shims"))?;
    std::fs::remove_file(directory.join("word"))?;
    cluster.host.start()?;
    cluster.until("its process to have begun anew", |_| {
        (std::fs::read_to_string(directory.join("word")).ok()?.trim() == "dear").then_some(())
    })?;
    cluster.plane.start_api_server()?;
    let pod = cluster.pod_until("kept", "told of", |pod| *restarts(pod) == 1)?;
    assert!(has_condition(&pod, "PodScheduled", "True"), "{pod}");
    Ok(())
}

/// What an API server may answer though it is not so.
const LIES: [(&str, Answer); 10] = [
    ("list", Answer::Status(404)),
    ("watch", Answer::Status(404)),
    ("list", Answer::Status(500)),
    ("watch", Answer::Status(500)),
    ("list", Answer::RetryAfter(1)),
    ("list", Answer::EmptyList),
    ("list", Answer::HalfList),
    ("watch", Answer::WatchError(410)),
    ("list", Answer::Cut),
    ("list", Answer::CutAfter(100)),
];

#[test]
fn an_api_server_that_lies_ends_nothing_and_is_believed_again_when_it_says_the_truth() -> Result {
    let mut cluster = Joined::start()?;
    let server = FalseApiServer::start(&cluster.plane)?;
    let kubeconfig = server.kubeconfig_of_node(&cluster.plane, NODE)?;
    cluster.bridge.kill()?;
    cluster.bridge = Bridge::start(&cluster.host, NODE, ADDRESS.into(), &kubeconfig)?;
    let names = ["a", "b", "c", "d"];
    names.iter().try_for_each(|name| cluster.apply(&shell(name, IDLE)))?;
    let pids = names.iter().map(|name| cluster.ready(name)).collect::<std::result::Result<Vec<_>, _>>()?;
    for (verb, lie) in LIES {
        let told = format!("{lie:?} to {verb}");
        let rule = server.answer(lie, Times::Always, move |asked| asked.is(verb, "pods"));
        if verb == "list" {
            // A watch that is only cut goes on where it was.
            server.answer(Answer::WatchError(410), Times::First(1), |asked| asked.is("watch", "pods"));
        }
        server.cut_connections();
        cluster.until(&format!("the lie {told} to be told"), |_| (rule.hits() >= 1).then_some(()))?;
        rule.end();
        cluster.until(&format!("the truth to be known after {told}"), |cluster| {
            let known = |name: &&str| cluster.host.pod(name).is_ok_and(|pod| pod["status"]["reason"] != "Orphaned");
            names.iter().all(known).then_some(())
        })?;
        for (name, pid) in names.iter().zip(&pids) {
            assert_eq!(cluster.host.pid(name), Some(*pid), "{name} after {told}");
        }
        // And it is listened to: a pod comes and goes.
        cluster.apply(&shell("passing", IDLE))?;
        cluster.ready("passing")?;
        cluster.kubectl(&["delete", "pod", "passing", "--wait=false"])?;
        cluster.gone("passing")?;
    }
    Ok(())
}
