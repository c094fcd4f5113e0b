//! A Nomad server that is a process of its own goes away, or does not hear its client any more, and comes back: an adopted pod has
//! the same process, and in the end both say the same of what runs here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use barepod_tests::bridge::Bridge;
use barepod_tests::host::{Host, SOON, alive};
use barepod_tests::nomad::{Nomad, Options};
use barepod_tests::pods::{self, IDLE};
use barepod_tests::{Tier, tier, wait_for};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long it is away, beyond what it takes to be missed.
fn away() -> Duration {
    match tier() {
        Tier::Everyday => Duration::from_secs(3),
        Tier::All => Duration::from_secs(240),
    }
}

/// A client that comes back is asked of it again after up to half a minute, and may then be told to wait as long.
const BACK: Duration = SOON.saturating_mul(2);

/// A pod that Nomad counts in whole MiB.
fn asking(name: &str) -> Value {
    let mut pod = pods::idle(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "50m", "memory": "50Mi"}});
    pod
}

/// A job of one task of the driver, with this in its group, and this as its task's `config`.
fn job(name: &str, group: &str, config: &str) -> String {
    format!(
        r#"
job "{name}" {{
  type = "service"
  group "main" {{
    {group}
    restart {{
      attempts = 100
      interval = "1h"
      delay    = "1s"
      mode     = "delay"
    }}
    task "main" {{
      driver = "barepod"
      config {{
        {config}
      }}
      resources {{
        cpu    = 20
        memory = 32
      }}
    }}
  }}
}}
"#
    )
}

fn idle(more: &str) -> String {
    format!("command = \"/bin/sh\"\n        args = [\"-c\", {}]\n        {more}", Value::from(IDLE))
}

/// For so long a group's allocations are waited for.
fn lost_after(time: &str) -> String {
    format!("disconnect {{\n      lost_after = \"{time}\"\n      replace    = false\n    }}")
}

/// The pods of a host that run, by their names, and the process of each.
fn processes(host: &Host) -> Result<BTreeMap<String, u32>> {
    let names = host.barepod(&["get", "pods", "-A", "-o", "name"])?;
    let names = names.lines().filter_map(|name| name.strip_prefix("pod/"));
    Ok(names.filter_map(|name| Some((name.to_owned(), host.pid(name)?))).collect())
}

/// The pod that an allocation stands for: one that is adopted, one of a place in the job, or the allocation's own.
fn pod_of(allocation: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let config = &allocation["Job"]["TaskGroups"][0]["Tasks"][0]["Config"];
    match (config["adopt"].as_str(), config["on_stop"].as_str()) {
        (Some(adopted), _) => adopted.rsplit('/').next().unwrap_or_default().to_owned(),
        (None, Some("detach")) => format!("{}-main-0", text(&allocation["JobID"])),
        (None, _) => format!("main-{}", text(&allocation["ID"]).get(..8).unwrap_or_default()),
    }
}

/// What Nomad says that runs here, by the names of the pods.
fn known(nomad: &Nomad) -> Option<Vec<String>> {
    let node = nomad.node_is("ready")?["ID"].as_str()?.to_owned();
    let all = nomad.get(&format!("/v1/node/{node}/allocations")).ok()?;
    let (wanted, over): (Vec<_>, Vec<_>) = all.as_array()?.iter().partition(|one| one["DesiredStatus"] == "run");
    // What is on its way is no answer.
    let is_settled = wanted.iter().all(|one| one["ClientStatus"] == "running")
        && over.iter().all(|one| ["complete", "failed", "lost"].iter().any(|status| one["ClientStatus"] == *status));
    let mut names: Vec<_> = wanted.into_iter().map(pod_of).collect();
    names.sort();
    is_settled.then_some(names)
}

/// Waits until Nomad counts what runs here, all of it, each once, and nothing else; and gives it.
fn agree(host: &Host, nomad: &Nomad) -> Result<BTreeMap<String, u32>> {
    let is_so = |nomad: &Nomad| {
        let here = processes(host).ok()?;
        (known(nomad)? == here.keys().cloned().collect::<Vec<_>>()).then_some(here)
    };
    nomad
        .within(BACK, "Nomad to know what runs here", is_so)
        .map_err(|error| format!("{error}\n--- here: {:?}\n--- Nomad: {:?}", processes(host), known(nomad)).into())
}

/// The job's allocation that is to run, and runs.
fn running(nomad: &Nomad, job: &str) -> Result<Value> {
    Ok(nomad.within(BACK, &format!("{job} to run"), |nomad| {
        let all = nomad.get(&format!("/v1/job/{job}/allocations")).ok()?;
        let is_it = |one: &&Value| one["ClientStatus"] == "running" && one["DesiredStatus"] == "run";
        all.as_array()?.iter().find(is_it).cloned()
    })?)
}

/// For so long these pods have these processes.
fn stay(host: &Host, pods: &BTreeMap<String, u32>, time: Duration) -> Result {
    let begun = Instant::now();
    wait_for("them to have run for so long", time + SOON, || {
        for (name, process) in pods {
            assert!(alive(*process), "{name} after {:?}", begun.elapsed());
        }
        (begun.elapsed() >= time).then_some(())
    })?;
    for (name, process) in pods {
        assert_eq!(host.pid(name), Some(*process), "{name}");
    }
    Ok(())
}

/// Nobody has begun it again.
fn begun_once(host: &Host, name: &str) -> Result {
    assert_eq!(host.pod(name)?["status"]["containerStatuses"][0]["restartCount"], 0, "{name}");
    Ok(())
}

/// How the servers may be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    Killed,
    Frozen,
    /// And the client's agent is killed, and begins without them.
    KilledWithAgent,
}

/// A server and a client apart, and a host whose pods they count, with one of them.
fn counted_apart() -> Result<(Host, Nomad, Bridge)> {
    let (host, nomad, bridge) = Nomad::with_bridge(Options { apart: true, ..Options::default() })?;
    host.apply_object(&asking("pg"))?;
    host.running("pg")?;
    Ok((host, nomad, bridge))
}

#[test]
fn a_server_that_is_lost_touches_nothing_and_knows_when_it_is_back_what_came_and_went_meanwhile() -> Result {
    let (host, mut nomad, bridge) = counted_apart()?;
    nomad.run(&job("own", "", &idle("")))?;
    running(&nomad, "own")?;
    nomad.counted("pg", |_| true)?;
    let mut before = agree(&host, &nomad)?;
    let entry = nomad.counted("pg", |_| true)?["ID"].clone();
    assert_eq!(before.len(), 2, "{before:?}");

    for outage in [Outage::Killed, Outage::Frozen, Outage::KilledWithAgent] {
        println!("{outage:?}");
        match outage {
            Outage::Frozen => nomad.signal_server("STOP")?,
            Outage::Killed | Outage::KilledWithAgent => nomad.kill_server()?,
        }
        if outage == Outage::KilledWithAgent {
            nomad.kill_agent()?;
            nomad.launch_agent()?;
        }
        // Life goes on: what is made and what goes now is Nomad's to know later.
        let late = format!("late-{outage:?}").to_lowercase();
        host.apply_object(&asking(&late))?;
        let process = host.running(&late)?;
        stay(&host, &before, away())?;
        for gone in before.keys().filter(|name| name.starts_with("late")) {
            host.barepod(&["delete", "pod", gone])?;
        }
        before.retain(|name, _| !name.starts_with("late"));
        before.insert(late, process);

        match outage {
            Outage::Frozen => nomad.signal_server("CONT")?,
            Outage::Killed | Outage::KilledWithAgent => nomad.start_server()?,
        }
        let after = agree(&host, &nomad).map_err(|error| format!("{error}\n--- bridge: {}", bridge.last_words()))?;
        assert_eq!(after, before, "{outage:?}");
        assert_eq!(nomad.counted("pg", |_| true)?["ID"], entry, "the entry is the same, {outage:?}");
        for name in before.keys() {
            begun_once(&host, name)?;
        }
    }
    Ok(())
}

#[test]
fn a_client_that_was_missed_keeps_what_is_waited_for_and_what_is_adopted_and_ends_what_was_given_up() -> Result {
    let (host, nomad, bridge) = counted_apart()?;
    // Waited for long enough, not long enough, and not at all.
    nomad.run(&job("kept", &lost_after("1h"), &idle("")))?;
    nomad.run(&job("late", &lost_after("4s"), &idle("")))?;
    nomad.run(&job("lost", "", &idle("")))?;
    nomad.run(&job("loose", "", &idle("on_stop = \"detach\"")))?;
    let [kept, late, lost, loose] = ["kept", "late", "lost", "loose"].map(|name| running(&nomad, name));
    let (kept, late, lost, loose) = (kept?, late?, lost?, loose?);
    let entry = nomad.counted("pg", |_| true)?;
    let here = host.until("five pods", SOON, |host| processes(host).ok().filter(|here| here.len() == 5))?;

    nomad.cut();
    let status = |nomad: &Nomad, one: &Value| -> Option<String> {
        let namespace = one["Namespace"].as_str()?;
        let one = nomad.get(&format!("/v1/allocation/{}?namespace={namespace}", one["ID"].as_str()?)).ok()?;
        one["ClientStatus"].as_str().map(str::to_owned)
    };
    let wanted = [(&entry, "unknown"), (&kept, "unknown"), (&late, "lost"), (&lost, "lost"), (&loose, "lost")];
    for (one, wanted) in wanted {
        let what = format!("{} to be {wanted}", one["JobID"]);
        nomad.until(&what, |nomad| (status(nomad, one)? == wanted).then_some(()))?;
    }
    // Whatever the servers believe, nothing has happened here.
    stay(&host, &here, away())?;

    nomad.mend();
    for (name, former) in [("late", &late), ("lost", &lost), ("loose", &loose)] {
        assert_ne!(running(&nomad, name)?["ID"], former["ID"], "it was given up");
    }
    assert_eq!(running(&nomad, "kept")?["ID"], kept["ID"], "it was waited for");
    assert_eq!(nomad.counted("pg", |_| true)?["ID"], entry["ID"]);
    let after = agree(&host, &nomad).map_err(|error| format!("{error}\n--- bridge: {}", bridge.last_words()))?;
    // A place has its pod back; what an allocation had for itself ends with it.
    for name in ["pg", &pod_of(&kept), "loose-main-0"] {
        assert_eq!((after.get(name), here.contains_key(name)), (here.get(name), true), "{name}");
        begun_once(&host, name)?;
    }
    for former in [late, lost] {
        assert!(!after.contains_key(&pod_of(&former)) && !alive(here[&pod_of(&former)]), "{former}");
    }
    Ok(())
}

#[test]
fn an_adopted_pod_whose_allocation_was_given_up_is_let_go_of_and_taken_over_again() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start_with(&host, Options { apart: true, ..Options::default() })?;
    nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
    host.apply_object(&pods::idle("pg"))?;
    let before = host.running("pg")?;
    for (name, disconnect) in [("given-up", String::new()), ("waited-for", lost_after("1h"))] {
        nomad.run(&job(name, &disconnect, "adopt = \"default/pg\""))?;
        let first = running(&nomad, name)?;
        let wanted = if disconnect.is_empty() { "lost" } else { "unknown" };
        nomad.cut();
        nomad.until(&format!("it to be {wanted}"), |nomad| {
            nomad.allocation(name).filter(|one| one["ID"] != first["ID"] || one["ClientStatus"] == wanted)
        })?;
        stay(&host, &[("pg".to_owned(), before)].into(), away())?;
        nomad.mend();
        let again = running(&nomad, name)?;
        assert_eq!(again["ID"] == first["ID"], wanted == "unknown", "{again}");
        assert_eq!(agree(&host, &nomad)?, [("pg".to_owned(), before)].into());
        begun_once(&host, "pg")?;
        nomad.stop(name, true)?;
        nomad.until("the job to be over", |nomad| known(nomad)?.is_empty().then_some(()))?;
    }
    assert_eq!(host.running("pg")?, before);
    Ok(())
}
