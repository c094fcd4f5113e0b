//! Jobs of a real Nomad agent as its users write them: scaled, checked, with variables and volumes, and changed by canaries and
//! back again.

use std::os::unix::fs::PermissionsExt as _;

use barepod_tests::host::{Host, SOON, alive};
use barepod_tests::nomad::Nomad;
use barepod_tests::pods::IDLE;
use barepod_tests::terminal::Terminal;
use barepod_tests::{free_port, keeper, programs};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A job of one group, with this in it before the task, this in its task, and this as its task's `config`.
fn job(name: &str, group: &str, task: &str, config: &str) -> String {
    format!(
        r#"
job "{name}" {{
  type = "service"
  group "main" {{
    restart {{
      attempts = 0
      mode     = "fail"
    }}
    {group}
    task "main" {{
      driver = "barepod"
      {task}
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

fn shell(script: &str) -> String {
    format!("command = \"/bin/sh\"\n        args = [\"-c\", {}]", Value::from(script))
}

/// The allocations of a job that run and are to.
fn running(nomad: &Nomad, job: &str) -> Option<Vec<Value>> {
    let all = nomad.get(&format!("/v1/job/{job}/allocations")).ok()?;
    let is_running = |one: &&Value| one["ClientStatus"] == "running" && one["DesiredStatus"] == "run";
    Some(all.as_array()?.iter().filter(is_running).cloned().collect())
}

/// The host pid of the pod of an allocation.
fn pid(host: &Host, allocation: &Value) -> Result<u32> {
    let id = allocation["ID"].as_str().unwrap_or_default();
    Ok(host.running(&format!("main-{}", &id[..8]))?)
}

/// Waits until the check of an allocation has this outcome.
fn checked(nomad: &Nomad, allocation: &str, status: &str) -> Result {
    let all = || nomad.get(&format!("/v1/client/allocation/{allocation}/checks"));
    let is_so = || all().ok()?.as_object()?.values().any(|check| check["Status"] == status).then_some(());
    nomad
        .until(&format!("a check to be a {status}"), |_| is_so())
        .map_err(|error| format!("{:?}\n{error}", all()).into())
}

#[test]
fn a_job_is_checked_scaled_and_has_a_variable_and_a_host_volume() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    let node = nomad.node().ok_or("no node")?["ID"].clone();
    let (data, program) = (host.path("data"), host.path("srv"));
    for directory in [&data, &program] {
        std::fs::create_dir_all(directory)?;
    }
    // A program of the host is nobody.
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777))?;
    std::fs::copy(programs::musl("answers")?, program.join("answers"))?;
    let capability = json!({"AttachmentMode": "file-system", "AccessMode": "single-node-writer"});
    let volume = json!({"Volume": {
        "Name": "data", "Namespace": "default", "NodeID": node, "HostPath": data, "RequestedCapabilities": [capability],
    }});
    nomad.ask("PUT", "/v1/volume/host/register", &volume)?;
    let variable = json!({"Path": "nomad/jobs/web", "Namespace": "default", "Items": {"greeting": "from a variable"}});
    nomad.ask("PUT", "/v1/var/nomad/jobs/web", &variable)?;

    let group = r#"
    volume "data" {
      type            = "host"
      source          = "data"
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
    }
    network {
      port "http" {}
    }
    service {
      name     = "web"
      port     = "http"
      provider = "nomad"
      check {
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }
"#;
    let task = r#"
      volume_mount {
        volume      = "data"
        destination = "/data"
      }
      template {
        data        = "{{ with nomadVar \"nomad/jobs/web\" }}{{ .greeting }}{{ end }}"
        destination = "local/greeting"
      }
"#;
    let config = format!(
        r#"command = "/srv/answers"
        args    = ["${{NOMAD_PORT_http}}", "/data"]
        volumes = ["{}:/srv:ro"]"#,
        program.display()
    );
    nomad.run(&job("web", group, task, &config))?;
    let allocation = nomad.has("web", "running", None)?;
    let id = allocation["ID"].as_str().ok_or("no id")?;
    checked(&nomad, id, "success")?;
    assert_eq!(nomad.get("/v1/service/web")?[0]["AllocID"], id);
    let asked = std::fs::read_to_string(data.join("requests"))?;
    assert!(asked.contains("/health"), "it writes into the volume what it is asked: {asked}");
    let script = "cat $NOMAD_TASK_DIR/greeting";
    let said = nomad.says(&["alloc", "exec", "-i=false", "-t=false", id, "/bin/sh", "-c", script])?;
    assert_eq!(said, "from a variable");
    let before = pid(&host, &allocation)?;

    // A check that fails is told, and is no reason to touch the task.
    std::fs::write(data.join("status"), "500")?;
    checked(&nomad, id, "failure")?;
    assert_eq!(pid(&host, &allocation)?, before);
    nomad.stop("web", true)?;

    // Up and down again; who stays keeps its process.
    let at_once = "update {\n      max_parallel = 0\n    }";
    nomad.run(&job("many", at_once, "", &shell(IDLE)))?;
    let first = nomad.has("many", "running", None)?;
    let before = pid(&host, &first)?;
    for count in [3, 1] {
        nomad.says(&["job", "scale", "-detach", "many", &count.to_string()])?;
        let all =
            nomad.until(&format!("{count} to run"), |nomad| running(nomad, "many").filter(|all| all.len() == count))?;
        host.until(format!("{count} pods"), SOON, |host| {
            let names = host.barepod(&["get", "pods", "-o", "name"]).ok()?;
            (names.lines().filter(|name| name.starts_with("pod/main-")).count() == count).then_some(())
        })?;
        if all.iter().any(|one| one["ID"] == first["ID"]) {
            assert_eq!(pid(&host, &first)?, before);
        }
    }
    Ok(())
}

/// A host with the preset, and a directory for its service.
fn host_with_keeper() -> Result<Host> {
    let mut host = Host::in_view("")?;
    keeper::install(&host, "")?;
    std::fs::create_dir_all(host.path("data"))?;
    host.start()?;
    Ok(host)
}

/// A job with canaries, of this version, with its data there.
fn careful(version: u32, data: &str) -> String {
    let update = r#"
    update {
      canary            = 1
      max_parallel      = 1
      health_check      = "task_states"
      min_healthy_time  = "1s"
      healthy_deadline  = "40s"
      progress_deadline = "50s"
    }
"#;
    let task = format!("env {{ VERSION = \"{version}\" }}");
    job("db", update, &task, &format!("image = \"keeper\"\n        volumes = [\"{data}:/dir\"]"))
}

#[test]
fn a_canary_beside_a_single_writer_is_refused_with_a_reason_and_one_with_a_directory_of_its_own_is_promoted() -> Result
{
    let host = host_with_keeper()?;
    let nomad = Nomad::start(&host)?;
    let shared = host.path("data").display().to_string();
    nomad.run(&careful(1, &shared))?;
    let first = nomad.has("db", "running", None)?;
    let before = pid(&host, &first)?;
    nomad.until("the first version to be healthy", |nomad| {
        (nomad.get("/v1/job/db/deployment").ok()?["Status"] == "successful").then_some(())
    })?;

    nomad.run(&careful(2, &shared))?;
    let told = nomad.until("the canary", |nomad| nomad.allocation("db").filter(|one| one["ID"] != first["ID"]))?;
    // It waits for half a minute: who has the directory may be about to end.
    let why = nomad.within(2 * SOON, "why it does not start", |nomad| {
        let one = nomad.get(&format!("/v1/allocation/{}", told["ID"].as_str()?)).ok()?;
        let events = one["TaskStates"]["main"]["Events"].to_string();
        events.contains("data path").then_some(events)
    })?;
    assert!(why.contains("is held by pod default/main-"), "{why}");
    assert_eq!(pid(&host, &first)?, before, "the one writer is the same");

    // Each with a directory of its own.
    nomad.run(&careful(3, "${NOMAD_TASK_DIR}"))?;
    let canary = nomad.until("the canary to be healthy", |nomad| {
        let all = running(nomad, "db")?;
        all.into_iter().find(|one| one["JobVersion"] == 2 && one["DeploymentStatus"]["Healthy"] == true)
    })?;
    assert_eq!(pid(&host, &first)?, before);
    let process = pid(&host, &canary)?;
    let deployment = nomad.get("/v1/job/db/deployment")?["ID"].as_str().unwrap_or_default().to_owned();
    nomad.says(&["deployment", "promote", "-detach", &deployment])?;
    nomad.until("the former one to end", |nomad| {
        let all = running(nomad, "db")?;
        (all.len() == 1 && all[0]["ID"] == canary["ID"]).then_some(())
    })?;
    assert_eq!(pid(&host, &canary)?, process);
    Ok(())
}

#[test]
fn a_version_that_does_not_work_is_taken_back() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    let update = r#"
    update {
      auto_revert       = true
      health_check      = "task_states"
      min_healthy_time  = "1s"
      healthy_deadline  = "10s"
      progress_deadline = "15s"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
"#;
    nomad.run(&job("web", update, "", &shell(IDLE)))?;
    nomad.has("web", "running", None)?;
    nomad.until("the first version to be healthy", |nomad| {
        (nomad.get("/v1/job/web/deployment").ok()?["Status"] == "successful").then_some(())
    })?;
    nomad.run(&job("web", update, "", &shell("exit 7")))?;
    let again = nomad.until("the first version to run again", |nomad| {
        let version = nomad.get("/v1/job/web").ok()?["Version"].as_u64()?;
        let all = running(nomad, "web")?;
        all.into_iter().find(|one| version == 2 && one["JobVersion"] == 2)
    })?;
    assert!(alive(pid(&host, &again)?));
    Ok(())
}

#[test]
fn a_task_is_entered_from_a_terminal_and_has_actions() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    let action = r#"
      action "greet" {
        command = "/bin/sh"
        args    = ["-c", "echo greetings from $NOMAD_TASK_NAME"]
      }
"#;
    nomad.run(&job("web", "", action, &shell(IDLE)))?;
    let allocation = nomad.has("web", "running", None)?;
    let id = allocation["ID"].as_str().ok_or("no id")?;

    let said = nomad.says(&["action", "-job=web", "-group=main", "-task=main", "greet"])?;
    assert!(said.contains("greetings from main"), "{said}");

    let mut terminal = Terminal::run(nomad.line(&["alloc", "exec", "-i", "-t", id, "/bin/sh"]), 31, 97)?;
    // Nothing is echoed that could be taken for the answer.
    terminal.write("test -t 0 && echo is-a-$((1+1))-tty; stty size\n")?;
    let shown = terminal.read_until("31 97")?;
    assert!(shown.contains("is-a-2-tty"), "{shown}");
    terminal.resize(44, 80)?;
    terminal.write("sleep 0.2; stty size\n")?;
    terminal.read_until("44 80")?;
    terminal.write("exit 5\n")?;
    assert_eq!(terminal.child.wait("the client", SOON)?.code(), Some(5));
    Ok(())
}

#[test]
fn a_task_that_takes_more_than_its_memory_is_told_so_and_one_with_memory_max_may_take_more() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    nomad.run(&job("hungry", "", "", &shell("exec tail /dev/zero")))?;
    let told = nomad.until("why it ended", |nomad| {
        let events = nomad.allocation("hungry")?["TaskStates"]["main"]["Events"].take();
        events.as_array()?.iter().find(|event| event["Type"] == "Terminated").cloned()
    })?;
    assert_eq!(told["Details"]["oom_killed"], "true", "{told}");
    assert!(told["DisplayMessage"].to_string().contains("OOM"), "{told}");

    let oversubscribed = json!({"MemoryOversubscriptionEnabled": true});
    nomad.ask("PUT", "/v1/operator/scheduler/configuration", &oversubscribed)?;
    let more = job("more", "", "", &shell(IDLE)).replace("memory = 32", "memory = 32\n        memory_max = 48");
    nomad.run(&more)?;
    let allocation = nomad.has("more", "running", None)?;
    let id = allocation["ID"].as_str().unwrap_or_default();
    let pod = host.pod(&format!("main-{}", &id[..8]))?;
    let resources = &pod["status"]["containerStatuses"][0]["resources"];
    assert_eq!((&resources["requests"]["memory"], &resources["limits"]["memory"]), (&json!("32Mi"), &json!("48Mi")));
    Ok(())
}

#[test]
fn the_examples_run_as_they_are() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    host.apply_object(&barepod_tests::pods::idle("hello"))?;
    let adopted = host.running("hello")?;
    let password = json!({"Path": "nomad/jobs/shop", "Namespace": "default", "Items": {"password": "from-a-variable"}});
    nomad.ask("PUT", "/v1/var/nomad/jobs/shop", &password)?;

    nomad.run(include_str!("../../examples/nomad/hello.hcl"))?;
    nomad.has("hello", "running", None)?;
    nomad.until("the task to greet", |nomad| {
        nomad.says(&["alloc", "logs", "-job", "hello"]).ok().filter(|log| log == "hello from hello\n")
    })?;
    nomad.run(include_str!("../../examples/nomad/adopt.hcl"))?;
    nomad.has("look-after-hello", "running", None)?;
    assert_eq!(nomad.says(&["alloc", "exec", "-job", "look-after-hello", "id", "-un"])?, "nobody\n");

    // On another port, which may be taken here.
    let port = free_port()?.to_string();
    nomad.run(&include_str!("../../examples/nomad/postgresql.hcl").replace("5432", &port))?;
    nomad.has("shop", "running", None)?;
    host.ready("shop-postgresql-0")?;
    let ask = format!("PGPASSWORD=from-a-variable psql -h 127.0.0.1 -p {port} -U postgres -XAtc 'select 1'");
    assert_eq!(host.asked("shop-postgresql-0", "postgresql", &ask)?, "1");
    let database = host.running("shop-postgresql-0")?;
    for job in ["shop", "look-after-hello"] {
        nomad.stop(job, true)?;
    }
    nomad.until("the jobs to be forgotten", |nomad| nomad.allocation("shop").is_none().then_some(()))?;
    assert_eq!((host.running("shop-postgresql-0")?, host.running("hello")?), (database, adopted));
    Ok(())
}
