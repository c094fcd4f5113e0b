//! The clock of a node jumps: hours and more than a year, ahead and back. No process ends for it, nothing waits for the clock
//! to be right again, and nobody is told a falsehood about a pod.

use std::time::{Duration, Instant};

use barepod_tests::joined::{Joined, NODE, has_condition, shell};
use barepod_tests::pods::IDLE;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// So soon after its clock is right again, the node tells the truth.
const TRUE_AGAIN: Duration = Duration::from_secs(5);

fn restarts(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["restartCount"]
}

/// The condition `Ready`, and since when.
fn ready(object: &Value) -> Option<(Value, Value)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
    Some((ready["status"].clone(), ready["lastTransitionTime"].clone()))
}

#[test]
fn a_clock_that_jumps_ends_no_process_delays_nothing_and_makes_nothing_unready() -> Result {
    let (cluster, clock) = Joined::with_own_clock()?;
    let directory = cluster.host.path("dir");
    std::fs::create_dir(&directory)?;
    // Ends with 3 when the file appears; it is then started again, and removes the file first.
    let mut crasher = shell("crasher", "rm -f /dir/end; while [ ! -e /dir/end ]; do sleep 0.05; done; exit 3");
    crasher["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "dir", "mountPath": "/dir"}]);
    crasher["spec"]["securityContext"] = json!({"runAsUser": 0});
    crasher["spec"]["volumes"] = json!([{"name": "dir", "hostPath": {"path": directory, "type": "Directory"}}]);
    cluster.apply(&crasher)?;
    cluster.apply(&shell("calm", IDLE))?;
    let pid = cluster.ready("calm")?;
    cluster.ready("crasher")?;
    let both = || Some((ready(&cluster.get(&["node", NODE])?)?, ready(&cluster.get(&["pod", "calm"])?)?));
    let before = both().ok_or("no conditions")?;

    // With the last two, every certificate is one of the future or of the past.
    for (count, jump) in (1..).zip([2 * HOUR, -2 * HOUR, 400 * DAY, -400 * DAY]) {
        println!("{jump} seconds");
        clock.set(jump)?;
        std::fs::write(directory.join("end"), "")?;
        cluster.host.container("crasher", "started again", |status| {
            status["restartCount"] == count && !status["state"]["running"].is_null()
        })?;
        if jump.abs() < DAY {
            // The API server is asked and believed, and told what happens here, with its events.
            cluster.pod_until("crasher", "as it is", |pod| *restarts(pod) == count)?;
            let name = format!("passing-{count}");
            cluster.apply(&shell(&name, IDLE))?;
            cluster.ready(&name)?;
            cluster.until("its events to be told", |cluster| {
                cluster.kubectl(&["events", "--for", &format!("pod/{name}")]).ok()?.contains("Started").then_some(())
            })?;
            cluster.kubectl(&["delete", "pod", &name, "--wait=false"])?;
            cluster.gone(&name)?;
        }

        clock.set(0)?;
        let right = Instant::now();
        cluster.pod_until("crasher", "as it is", |pod| *restarts(pod) == count)?;
        assert!(right.elapsed() < TRUE_AGAIN, "true again after {:?}", right.elapsed());
        assert_eq!(cluster.host.pid("calm"), Some(pid), "after a jump by {jump} seconds");
        let calm = cluster.plane.get(&["pod", "calm"])?;
        assert!(has_condition(&calm, "Ready", "True") && *restarts(&calm) == 0, "{calm}");
        assert_eq!(both().ok_or("no conditions")?, before, "after a jump by {jump} seconds");
    }
    Ok(())
}
