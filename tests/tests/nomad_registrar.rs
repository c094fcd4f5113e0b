//! A host's pods in the books of a real Nomad cluster with ACLs, and Nomad's own in the daemon's: nothing that happens to Nomad
//! or to who keeps the books happens to a pod.

use std::os::unix::fs::MetadataExt as _;

use barepod_tests::bridge::{Bridge, CONFIG};
use barepod_tests::free_port;
use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::nomad::{Nomad, NomadError, Options, raw_exec};
use barepod_tests::{Tier, keeper, pods, tier};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const ACCOUNTED: &str = "nomad.barepod.dev/Accounted";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn memory(allocation: &Value) -> &Value {
    &allocation["AllocatedResources"]["Tasks"]["pod"]["Memory"]["MemoryMB"]
}

/// Waits until a pod is told that it is counted, or that it is not, and gives the sentence.
fn told(host: &Host, bridge: &Bridge, pod: &str, status: &str) -> Result<String> {
    let found = host.until(format!("{pod} to be told {status}"), SOON, |host| {
        let object = host.pod(pod).ok()?;
        let condition = object["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == ACCOUNTED)?.clone();
        (condition["status"] == status).then(|| condition["message"].as_str().unwrap_or_default().to_owned())
    });
    found.map_err(|error| format!("{error}\n--- the bridge:\n{}", bridge.last_words()).into())
}

/// A pod that runs until it is told to end, and asks for so much memory.
fn asking(name: &str, memory: &str) -> Value {
    let mut pod = pods::idle(name);
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m", "memory": memory}});
    pod
}

#[test]
fn setup_prepares_a_cluster_and_this_host_once_and_shows_no_token() -> Result {
    let mut host = Host::in_view(CONFIG)?;
    host.start()?;
    let mut nomad = Nomad::start_with(&host, Options { bare: true, acl: true, ..Options::default() })?;
    let management = nomad.token().ok_or("no token")?.to_owned();

    let without = nomad.setup(&host, None, &[])?;
    assert!(!without.status.success() && text(&without.stderr).contains("NOMAD_TOKEN"), "{without:?}");
    let wrong = nomad.setup(&host, Some("11111111-2222-3333-4444-555555555555"), &[])?;
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("403"), "{wrong:?}");
    let odd = nomad.setup(&host, Some(&management), &["--nomad-namespace", "a b"])?;
    assert!(!odd.status.success() && text(&odd.stderr).contains("no namespace"), "{odd:?}");
    assert!(!host.path("etc/barepod/nomad").exists());

    let first = nomad.setup(&host, Some(&management), &[])?;
    assert!(first.status.success(), "{first:?}");
    assert_eq!(text(&first.stdout).matches("written  ").count(), 6, "{first:?}");
    let second = nomad.setup(&host, Some(&management), &[])?;
    assert_eq!(text(&second.stdout).matches("unchanged").count(), 6, "{second:?}");

    let file = host.path("etc/barepod/nomad/token");
    let token = std::fs::read_to_string(&file)?.trim().to_owned();
    let metadata = file.metadata()?;
    assert_eq!((metadata.mode() & 0o777, metadata.uid()), (0o600, 65_534), "it is for the bridge alone");
    for output in [&first, &second] {
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains(&token) && !said.contains(&management), "{said}");
    }

    // It is for its namespace alone, and there for pods alone.
    let namespace = nomad.get("/v1/namespace/barepod")?;
    assert_eq!(namespace["Capabilities"]["EnabledTaskDrivers"], json!(["barepod"]));
    nomad.ask_as(Some(&token), "GET", "/v1/jobs?namespace=barepod", &Value::Null)?;
    let refused = nomad.ask_as(Some(&token), "DELETE", "/v1/job/web?namespace=default", &Value::Null);
    assert!(matches!(&refused, Err(NomadError::Refused { answer, .. }) if answer.contains("403")), "{refused:?}");

    // A file of somebody else's is in the way, and says so.
    nomad.stop_agent()?;
    nomad.start_agent()?;
    nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
    std::fs::write(nomad.directory().join("nomad.d/barepod.hcl"), "plugin \"other\" {}")?;
    let foreign = nomad.setup(&host, Some(&management), &[])?;
    assert!(!foreign.status.success() && text(&foreign.stderr).contains("move it away"), "{foreign:?}");

    // A token that nobody knows any more is replaced.
    std::fs::remove_file(nomad.directory().join("nomad.d/barepod.hcl"))?;
    std::fs::write(&file, "11111111-2222-3333-4444-555555555555")?;
    let third = nomad.setup(&host, Some(&management), &["--token-ttl", "20h"])?;
    assert!(text(&third.stdout).contains("which ends at"), "{third:?}");
    let renewed = std::fs::read_to_string(&file)?.trim().to_owned();
    nomad.ask_as(Some(&renewed), "GET", "/v1/jobs?namespace=barepod", &Value::Null)?;
    Ok(())
}

#[test]
fn pods_are_counted_with_what_they_have_and_whatever_happens_to_nomad_their_processes_are_the_same() -> Result {
    let (mut host, mut nomad, mut bridge) = Nomad::with_bridge(Options::default())?;
    let port = free_port()?;
    let pod = |memory: &str| {
        let mut pod = asking("pg", memory);
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": port, "hostPort": port}]);
        pod
    };
    host.apply_object(&pod("100Mi"))?;
    let before = host.running("pg")?;
    let same = |host: &Host| -> Result {
        assert_eq!(host.running("pg")?, before);
        Ok(())
    };

    let first = nomad.counted("pg", |one| *memory(one) == 100)?;
    assert_eq!(first["AllocatedResources"]["Shared"]["Ports"][0]["Value"], port);
    let services = nomad.get(&format!("/v1/service/default-pg-{port}?namespace=barepod"))?;
    assert_eq!(services[0]["Port"], port, "{services}");
    told(&host, &bridge, "pg", "True")?;

    // A resize follows.
    host.apply_object(&pod("150Mi"))?;
    nomad.counted("pg", |one| *memory(one) == 150)?;
    same(&host)?;

    // What an operator takes away or stops comes again.
    let id = nomad.job_of("pg").ok_or("no job")?["ID"].as_str().unwrap_or_default().to_owned();
    for purge in [true, false] {
        let index = nomad.job_of("pg").ok_or("no job")?["JobModifyIndex"].take();
        nomad.ask("DELETE", &format!("/v1/job/{id}?namespace=barepod&purge={purge}"), &Value::Null)?;
        nomad.until("the job to be another", |nomad| {
            nomad.job_of("pg").filter(|job| job["JobModifyIndex"] != index && job["Stop"] == false)
        })?;
        nomad.counted("pg", |one| *memory(one) == 150)?;
        same(&host)?;
    }

    // So it is after a drain.
    let node = nomad.node().ok_or("no node")?["ID"].as_str().unwrap_or_default().to_owned();
    nomad.says(&["node", "drain", "-enable", "-force", "-yes", "-detach", &node])?;
    let why = told(&host, &bridge, "pg", "False")?;
    assert!(why.contains("eligibility"), "{why}");
    same(&host)?;
    nomad.says(&["node", "drain", "-disable", "-yes", &node])?;
    nomad.counted("pg", |one| *memory(one) == 150)?;
    told(&host, &bridge, "pg", "True")?;

    // The agent dies, and its plugin lives; the bridge dies; the daemon dies.
    let index = nomad.job_of("pg").ok_or("no job")?["JobModifyIndex"].take();
    nomad.kill_agent()?;
    host.apply_object(&asking("late", "50Mi"))?;
    host.running("late")?;
    nomad.start_agent()?;
    nomad.counted("late", |one| *memory(one) == 50)?;
    bridge.kill()?;
    host.kill_daemon()?;
    host.start()?;
    bridge.launch()?;
    host.apply_object(&asking("later", "50Mi"))?;
    nomad.counted("later", |_| true)?;
    nomad.counted("pg", |one| *memory(one) == 150)?;
    same(&host)?;
    assert_eq!(nomad.job_of("pg").ok_or("no job")?["JobModifyIndex"], index, "what was right was not touched");

    // A pod that goes takes its job with it, and no other one.
    host.barepod(&["delete", "pod", "late"])?;
    nomad.until("the job to be purged", |nomad| nomad.job_of("late").is_none().then_some(()))?;
    assert!(nomad.job_of("pg").is_some() && nomad.job_of("later").is_some());
    assert!(alive(before));
    Ok(())
}

#[test]
fn a_pod_for_which_nomad_has_no_room_runs_uncounted_is_told_so_and_evicts_nobody() -> Result {
    let (host, nomad, bridge) =
        Nomad::with_bridge(Options { raw_exec: true, memory: Some(1024), ..Options::default() })?;
    // Even where the cluster lets jobs evict others.
    let preempt = json!({"PreemptionConfig": {"ServiceSchedulerEnabled": true, "SystemSchedulerEnabled": true}});
    nomad.ask("PUT", "/v1/operator/scheduler/configuration", &preempt)?;
    nomad.run(&raw_exec("web", 10, 700, free_port()?))?;
    let web = nomad.has("web", "running", None)?;

    host.apply_object(&asking("large", "600Mi"))?;
    let before = host.running("large")?;
    let why = told(&host, &bridge, "large", "False")?;
    assert!(why.contains("would evict default/web"), "{why}");
    host.apply_object(&asking("huge", "2000Mi"))?;
    host.running("huge")?;
    let why = told(&host, &bridge, "huge", "False")?;
    assert!(why.contains("no room left") && why.contains("memory"), "{why}");
    let events = host.barepod(&["events"])?;
    assert!(events.contains("Unaccounted") && events.contains("would evict default/web"), "{events}");
    assert!(nomad.job_of("large").is_none() && nomad.job_of("huge").is_none());

    // Less is counted; and so it is when somebody else makes room.
    host.apply_object(&asking("huge", "64Mi"))?;
    told(&host, &bridge, "huge", "True")?;
    assert_eq!(nomad.has("web", "running", None)?["ID"], web["ID"]);
    nomad.stop("web", true)?;
    nomad.counted("large", |one| *memory(one) == 600)?;
    told(&host, &bridge, "large", "True")?;
    assert_eq!(host.running("large")?, before);
    Ok(())
}

#[test]
fn what_nomad_gives_to_its_own_tasks_is_no_pods_until_they_end_whoever_is_away() -> Result {
    let (mut host, nomad, mut bridge) = Nomad::with_bridge(Options { raw_exec: true, ..Options::default() })?;
    let port = free_port()?;
    nomad.run(&raw_exec("web", 50, 300, port))?;
    nomad.has("web", "running", None)?;
    host.said("what others have booked is another")?;

    // All of the host but less than the task has.
    let total = std::fs::read_to_string("/proc/meminfo")?;
    let total: u64 = total.split_whitespace().nth(1).ok_or("no MemTotal")?.parse()?;
    let nearly = format!("{}Ki", total - (200 << 10));
    host.apply_object(&asking("large", &nearly))?;
    let why = host.reason("large", "OutOfmemory")?;
    let mut listening = pods::idle("listening");
    listening["spec"]["containers"][0]["ports"] = json!([{"containerPort": port, "hostPort": port}]);
    host.apply_object(&listening)?;
    host.reason("listening", "NodePorts")?;
    assert!(why["status"]["message"].to_string().contains("used: "), "{why}");

    // Nobody says it any more, and it holds.
    bridge.kill()?;
    host.kill_daemon()?;
    host.start()?;
    host.reason("large", "OutOfmemory")?;
    host.reason("listening", "NodePorts")?;

    nomad.stop("web", true)?;
    bridge.launch()?;
    host.running("large")?;
    host.running("listening")?;
    Ok(())
}

#[test]
fn the_books_are_kept_over_tls_and_credentials_may_be_exchanged_under_way() -> Result {
    let (host, nomad, bridge) = Nomad::with_bridge(Options { tls: true, ..Options::default() })?;
    let tls = nomad.tls().ok_or("no certificates")?;
    host.apply_object(&asking("first", "50Mi"))?;
    nomad.counted("first", |one| *memory(one) == 50)?;
    let said = |what: &str| {
        host.until(format!("the bridge to say {what:?}"), SOON, |_| bridge.log().contains(what).then_some(()))
            .map_err(|error| format!("{error}\n--- the bridge:\n{}", bridge.last_words()))
    };

    // A token that nobody knows.
    let file = host.path("etc/barepod/nomad/token");
    let token = std::fs::read(&file)?;
    std::fs::write(&file, "11111111-2222-3333-4444-555555555555\n")?;
    host.apply_object(&asking("second", "51Mi"))?;
    said("gets another one")?;
    std::fs::write(&file, &token)?;
    nomad.counted("second", |one| *memory(one) == 51)?;

    // Half a key, and then another certificate with its own.
    std::fs::write(tls.key(), "-----BEGIN PRIVATE KEY-----\n")?;
    host.apply_object(&asking("third", "52Mi"))?;
    said("no PEM file")?;
    tls.renew()?;
    nomad.counted("third", |one| *memory(one) == 52)?;
    assert!(!bridge.log().contains(String::from_utf8(token)?.trim()), "no token is shown");
    Ok(())
}

#[test]
fn a_job_says_what_its_pod_is_may_use_and_is_asked() -> Result {
    let (host, nomad, _bridge) = Nomad::with_bridge(Options::default())?;
    let port = free_port()?;
    let mut pod = asking("web", "50Mi");
    let labels = json!({"app.kubernetes.io/version": "1.35", "app.kubernetes.io/component": "frontend"});
    pod["metadata"]["labels"] = labels;
    let container = &mut pod["spec"]["containers"][0];
    container["command"] = json!(["busybox", "httpd", "-f", "-p", port.to_string(), "-h", "/etc"]);
    container["resources"]["limits"] = json!({"memory": "80Mi"});
    container["ports"] = json!([{"name": "http", "containerPort": port, "hostPort": port}]);
    container["readinessProbe"] = json!({"httpGet": {"port": "http", "path": "/hostname"}, "periodSeconds": 1});
    host.apply_object(&pod)?;

    let allocation = nomad.counted("web", |one| *memory(one) == 50)?;

    let resources = &allocation["AllocatedResources"]["Tasks"]["pod"]["Memory"];
    assert_eq!(resources["MemoryMaxMB"], 0, "the cluster does not let memory be oversubscribed: {resources}");
    let job = &allocation["Job"];
    assert_eq!((&job["Meta"]["barepod_preset"], &job["Meta"]["barepod_image"]), (&json!("host"), &json!("host")));
    assert_eq!(job["TaskGroups"][0]["Tasks"][0]["Resources"]["MemoryMaxMB"], 80);
    nomad.until("the node to say what stands there", |nomad| {
        let attributes = nomad.node()?["Attributes"].take();
        let says = |key: &str, value: &str| attributes[format!("driver.barepod.service.default.web.{key}")] == value;
        (says("preset", "host") && says("version", "1.35") && says("role", "frontend")).then_some(())
    })?;
    let id = allocation["ID"].as_str().ok_or("no id")?;
    nomad.until("the check to succeed", |nomad| {
        let checks = nomad.get(&format!("/v1/client/allocation/{id}/checks")).ok()?;
        let is_right = |check: &Value| check["Status"] == "success" && check["StatusCode"] == 200;
        checks.as_object()?.values().any(is_right).then_some(())
    })?;

    let oversubscribed = json!({"MemoryOversubscriptionEnabled": true});
    nomad.ask("PUT", "/v1/operator/scheduler/configuration", &oversubscribed)?;
    pod["spec"]["containers"][0]["resources"]["limits"]["memory"] = json!("90Mi");
    host.apply_object(&pod)?;
    let most = |one: &Value| one["AllocatedResources"]["Tasks"]["pod"]["Memory"]["MemoryMaxMB"] == 90;
    nomad.counted("web", most)?;
    Ok(())
}

#[test]
fn it_is_told_how_far_it_is_and_what_was_set_up_is_taken_back_while_pods_run_on() -> Result {
    let (host, mut nomad, mut bridge) = Nomad::with_bridge(Options { raw_exec: true, ..Options::default() })?;
    let root = host.path("").display().to_string();
    let status = |host: &Host| -> Result<(bool, String)> {
        let output = host.command(&["nomad", "status", "--root", &root])?.output()?;
        Ok((output.status.success(), text(&output.stdout) + &text(&output.stderr)))
    };
    let port = free_port()?;
    nomad.run(&raw_exec("web", 50, 300, port))?;
    nomad.has("web", "running", None)?;
    host.apply_object(&asking("pg", "50Mi"))?;
    let before = host.running("pg")?;
    told(&host, &bridge, "pg", "True")?;
    let all = ["memory 300Mi".to_owned(), format!("ports {port}")];
    let said = host.until("all to be well", SOON, |host| {
        let (is_well, said) = status(host).ok()?;
        (is_well && all.iter().all(|wanted| said.contains(wanted))).then_some(said)
    })?;
    assert!(said.contains("1 of 1 counted") && said.contains("Driver:              healthy"), "{said}");

    let config = nomad.directory().join("nomad.d").display().to_string();
    let reset = ["nomad", "reset", "--root", &root, "--nomad-config", &config];
    let said = host.barepod(&reset)?;
    assert_eq!(said.matches("taken back").count(), 5, "{said}");
    assert!(nomad.job_of("pg").is_none());
    assert!(!host.path("etc/barepod/nomad/token").exists() && !nomad.directory().join("nomad.d/barepod.hcl").exists());
    let (is_well, said) = status(&host)?;
    assert!(!is_well && said.contains("`barepod nomad setup` does that") && !said.contains("reset"), "{said}");

    // Who kept the books writes nothing more, whether it is the same or another one.
    let another = asking("another", "50Mi");
    host.apply_object(&another)?;
    host.running("another")?;
    host.until("the bridge to know", SOON, |_| bridge.log().contains("registrar.yaml is gone").then_some(()))?;
    bridge.kill()?;
    bridge.launch()?;
    nomad.stop_agent()?;
    nomad.start_agent()?;
    assert!(nomad.job_of("pg").is_none() && nomad.job_of("another").is_none());
    let said = host.barepod(&reset)?;
    assert_eq!(said.matches("taken back").count(), 1, "what is booked is given back in any case: {said}");
    assert_eq!(host.running("pg")?, before);
    Ok(())
}

#[test]
fn data_directories_are_volumes_that_a_job_may_read_and_go_without_their_pod_but_for_what_is_in_them() -> Result {
    let mut host = Host::in_view(CONFIG)?;
    keeper::install(&host, "")?;
    host.start()?;
    let mut nomad = Nomad::start_with(&host, Options { bare: true, acl: true, ..Options::default() })?;
    nomad.prepare(&host)?;
    let bridge = Bridge::of_nomad(&host)?;
    let data = host.path("data");
    std::fs::create_dir_all(&data)?;
    std::fs::write(data.join("rows"), "of the pod")?;
    let keeper = |name: &str| {
        let mut pod = keeper::pod(name, &data);
        pod["spec"]["containers"][0]["resources"] = asking(name, "50Mi")["spec"]["containers"][0]["resources"].take();
        pod
    };
    host.apply_object(&keeper("pg"))?;
    host.running("pg")?;
    let volumes = |nomad: &Nomad| nomad.get("/v1/volumes?type=host&namespace=barepod").ok();
    let volume = nomad.until("the volume", |nomad| volumes(nomad)?.as_array()?.first().cloned());
    let volume = volume.map_err(|error| format!("{error}\n--- the bridge:\n{}", bridge.last_words()))?;
    assert_eq!(volume["Name"], "default.pg");
    let id = volume["ID"].as_str().ok_or("no id")?;
    let known = nomad.get(&format!("/v1/volume/host/{id}?namespace=barepod"))?;
    assert_eq!(known["HostPath"], data.display().to_string(), "{known}");

    // Where the data are, a job reads them.
    nomad.run(
        r#"
job "backup" {
  namespace = "barepod"
  group "main" {
    volume "data" {
      type            = "host"
      source          = "default.pg"
      access_mode     = "single-node-reader-only"
      attachment_mode = "file-system"
      read_only       = true
    }
    task "main" {
      driver = "barepod"
      volume_mount {
        volume      = "data"
        destination = "/data"
        read_only   = true
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "cat /data/rows; touch /data/x || echo ', no more'; sleep 1000000"]
      }
      resources {
        cpu    = 20
        memory = 32
      }
    }
  }
}
"#,
    )?;
    let read = nomad.until("the job to read", |nomad| {
        let said = nomad.says(&["alloc", "logs", "-namespace", "barepod", "-job", "backup"]).ok()?;
        (said == "of the pod, no more\n").then_some(())
    });
    read.map_err(|error| format!("{error}\n{:?}", nomad.get("/v1/job/backup/allocations?namespace=barepod")))?;
    nomad.says(&["job", "stop", "-namespace", "barepod", "-purge", "-detach", "backup"])?;

    // One that Nomad has of somebody else is nobody's to take away.
    let other = host.path("other");
    std::fs::create_dir_all(&other)?;
    let node = nomad.node().ok_or("no node")?["ID"].clone();
    let capability = json!({"AttachmentMode": "file-system", "AccessMode": "single-node-writer"});
    let foreign = json!({"Volume": {
        "Name": "foreign", "Namespace": "barepod", "NodeID": node, "HostPath": other, "RequestedCapabilities": [capability],
    }});
    nomad.ask("PUT", "/v1/volume/host/register?namespace=barepod", &foreign)?;
    host.barepod(&["delete", "pod", "pg"])?;
    let left = |nomad: &Nomad| {
        let names = volumes(nomad)?.as_array()?.iter().map(|volume| volume["Name"].clone()).collect::<Vec<_>>();
        (names == ["foreign"]).then_some(())
    };
    nomad.within(2 * SOON, "the volume to be forgotten", left)?;
    assert_eq!(std::fs::read_to_string(data.join("rows"))?, "of the pod");

    // And so `barepod nomad reset` does.
    host.apply_object(&keeper("again"))?;
    nomad.until("the volume of another pod", |nomad| (volumes(nomad)?.as_array()?.len() == 2).then_some(()))?;
    let (root, config) = (host.path("").display().to_string(), nomad.directory().join("nomad.d").display().to_string());
    let said = host.barepod(&["nomad", "reset", "--root", &root, "--nomad-config", &config])?;
    assert!(said.contains("1 jobs") && said.contains("1 volumes"), "{said}");
    left(&nomad).ok_or("the volume is left")?;
    Ok(())
}

/// The CPUs that a process may run on.
fn cpus(pid: u32) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

/// Whether a list as `0-2,5` has this CPU.
fn lists(list: &str, cpu: u32) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let [first, last] = [first, last].map(|number| number.parse().unwrap_or(u32::MAX));
        (first..=last).contains(&cpu)
    })
}

#[test]
fn cores_that_nomad_gives_away_are_no_pods_but_that_of_their_task_and_come_back_when_it_ends() -> Result {
    let (host, nomad, bridge) = Nomad::with_bridge(Options { raw_exec: true, ..Options::default() })?;
    host.apply_object(&asking("pg", "50Mi"))?;
    let process = host.running("pg")?;
    let all = cpus(process).ok_or("no process")?;
    let cores = |job: &str, driver: &str, text: &str| {
        text.replace("cpu    = 50", "cores  = 1").replace("raw_exec", driver).replace("\"web\"", &format!("\"{job}\""))
    };
    let job = raw_exec("web", 50, 50, free_port()?);
    for driver in ["raw_exec", "barepod"] {
        let name = format!("own-{driver}");
        nomad.run(&cores(&name, driver, &job))?;
        let one = nomad.has(&name, "running", None)?;
        let one = nomad.get(&format!("/v1/allocation/{}", one["ID"].as_str().ok_or("no id")?))?;
        let own = one["AllocatedResources"]["Tasks"]["main"]["Cpu"]["ReservedCores"][0].to_string();
        let apart = host.until("the pod to keep off", SOON, |_| cpus(process).filter(|now| *now != all));
        let apart = apart.map_err(|error| format!("{error}\n--- the bridge:\n{}", bridge.last_words()))?;
        assert!(!lists(&apart, own.parse()?), "{apart} has {own}");
        if driver == "barepod" {
            let task = host.running(&format!("main-{}", &one["ID"].as_str().ok_or("no id")?[..8]))?;
            assert_eq!(cpus(task), Some(own));
        }
        nomad.stop(&name, true)?;
        host.until("the pod to run everywhere again", SOON, |_| cpus(process).filter(|now| *now == all))?;
    }
    assert_eq!(host.running("pg")?, process);
    Ok(())
}

/// What may happen to those around a pod.
#[derive(Debug, Clone, Copy)]
enum Outage {
    AgentKilled,
    AgentStopped,
    PluginKilled,
    DaemonKilled,
    BridgeKilled,
    AllKilled,
    Drained,
    Purged,
    Resized,
}

const OUTAGES: [Outage; 9] = [
    Outage::AgentKilled,
    Outage::PluginKilled,
    Outage::DaemonKilled,
    Outage::Purged,
    Outage::BridgeKilled,
    Outage::Resized,
    Outage::AllKilled,
    Outage::Drained,
    Outage::AgentStopped,
];

#[test]
fn again_and_again_something_goes_away_and_the_adopted_pod_has_its_process_and_its_entry() -> Result {
    let rounds = match tier() {
        Tier::Everyday => 3,
        Tier::All => 50,
    };
    let (mut host, mut nomad, mut bridge) = Nomad::with_bridge(Options::default())?;
    let mut mib = 50;
    host.apply_object(&asking("pg", &format!("{mib}Mi")))?;
    let before = host.running("pg")?;
    nomad.counted("pg", |one| *memory(one) == mib)?;
    // Every kind has its turn over the days.
    let first = usize::try_from(std::process::id())?;
    for round in 0..rounds {
        let outage = OUTAGES[(first + round) % OUTAGES.len()];
        println!("round {round}: {outage:?}");
        match outage {
            Outage::AgentKilled => {
                nomad.kill_agent()?;
                nomad.start_agent()?;
            }
            Outage::AgentStopped => {
                nomad.stop_agent()?;
                nomad.start_agent()?;
            }
            Outage::PluginKilled => {
                let plugin = nomad.until("a plugin", |nomad| nomad.plugins().first().copied())?;
                signal(plugin, "KILL")?;
                nomad.until("another plugin", |nomad| nomad.plugins().into_iter().find(|pid| *pid != plugin))?;
            }
            Outage::DaemonKilled => {
                host.kill_daemon()?;
                host.start()?;
            }
            Outage::BridgeKilled => {
                bridge.kill()?;
                bridge.launch()?;
            }
            Outage::AllKilled => {
                bridge.kill()?;
                nomad.kill_agent()?;
                host.kill_daemon()?;
                host.start()?;
                nomad.start_agent()?;
                bridge.launch()?;
            }
            Outage::Drained => {
                let node = nomad.until("the node", |nomad| Some(nomad.node()?["ID"].as_str()?.to_owned()))?;
                nomad.says(&["node", "drain", "-enable", "-force", "-yes", "-detach", &node])?;
                told(&host, &bridge, "pg", "False")?;
                nomad.says(&["node", "drain", "-disable", "-yes", &node])?;
            }
            Outage::Purged => {
                let job = nomad.until("the job", |nomad| nomad.job_of("pg"))?;
                let id = job["ID"].as_str().ok_or("no id")?;
                nomad.ask("DELETE", &format!("/v1/job/{id}?namespace=barepod&purge=true"), &Value::Null)?;
            }
            Outage::Resized => {
                mib += 1;
                host.apply_object(&asking("pg", &format!("{mib}Mi")))?;
            }
        }
        nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
        nomad.counted("pg", |one| *memory(one) == mib)?;
        told(&host, &bridge, "pg", "True")?;
        assert_eq!(host.running("pg")?, before, "{outage:?}");
        let pod = host.pod("pg")?;
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{outage:?}");
    }
    Ok(())
}
