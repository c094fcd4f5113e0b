//! Tasks of a real Nomad agent, run by barepod: nothing that happens to the agent, to the plugin or to the daemon happens to
//! them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use barepod_goplugin::wire::Empty;
use barepod_goplugin::wire::grpc_controller_client::GrpcControllerClient;
use barepod_goplugin::wire::grpc_stdio_client::GrpcStdioClient;
use barepod_nomad::HANDSHAKE;
use barepod_nomad::wire::base::base_plugin_client::BasePluginClient;
use barepod_nomad::wire::base::{PluginInfoRequest, SetConfigRequest};
use barepod_nomad::wire::driver::FingerprintRequest;
use barepod_nomad::wire::driver::driver_client::DriverClient;
use barepod_nomad::wire::driver::fingerprint_response::HealthState;
use barepod_tests::host::{Host, SOON, alive, signal};
use barepod_tests::nomad::Nomad;
use barepod_tests::peers::NOMAD_HARNESS;
use barepod_tests::pods::{self, IDLE};
use barepod_tests::process::{self, Owned};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A job of one task that runs a line of shell.
fn job(name: &str, script: &str, more: &str) -> String {
    format!(
        r#"
job "{name}" {{
  type = "service"
  group "main" {{
    restart {{
      attempts = 1
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }}
    reschedule {{
      attempts  = 0
      unlimited = false
    }}
    task "main" {{
      driver = "barepod"
      {more}
      config {{
        command = "/bin/sh"
        args    = ["-c", {script}]
      }}
      resources {{
        cpu    = 50
        memory = 64
      }}
    }}
  }}
}}
"#,
        script = Value::from(script),
    )
}

/// The host pid of the pod of a job's task.
fn pid(host: &Host, nomad: &Nomad, job: &str) -> Result<u32> {
    let allocation = nomad.has(job, "running", None)?;
    let id = allocation["ID"].as_str().unwrap_or_default();
    Ok(host.running(&format!("main-{}", &id[..8]))?)
}

#[test]
fn a_task_runs_with_its_logs_and_is_entered_signalled_restarted_and_stopped() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    let script =
        format!("trap 'echo heard' HUP; env; echo begun; echo bad >&2; cat $NOMAD_TASK_DIR/made; echo; {IDLE}");
    let more = r#"
      env { OWN = "of the $task" }
      template {
        data        = "made by a template"
        destination = "local/made"
      }
    "#;
    nomad.run(&job("web", &script, more))?;
    let first = pid(&host, &nomad, "web")?;
    let allocation = nomad.has("web", "running", None)?;
    let id = allocation["ID"].as_str().ok_or("no id")?;

    let logs = nomad.until("the task's log", |nomad| {
        nomad.says(&["alloc", "logs", id]).ok().filter(|logs| logs.contains("made by a template"))
    })?;
    assert!(logs.contains("OWN=of the $task") && logs.contains(&format!("NOMAD_ALLOC_ID={id}")), "{logs}");
    assert!(!logs.contains("AGENT_SECRET"), "the agent's own environment is not the task's: {logs}");
    assert_eq!(nomad.says(&["alloc", "logs", "-stderr", id])?, "bad\n");

    let said = nomad.says(&["alloc", "exec", "-i=false", "-t=false", id, "/bin/sh", "-c", "echo $OWN; exit 0"])?;
    assert_eq!(said, "of the $task\n");
    let failed = nomad.command(&["alloc", "exec", "-i=false", "-t=false", id, "/bin/sh", "-c", "exit 5"])?;
    assert_eq!(failed.status.code(), Some(5));

    nomad.says(&["alloc", "signal", "-s", "SIGHUP", id])?;
    nomad.until("the signal to be heard", |nomad| {
        nomad.says(&["alloc", "logs", id]).ok().filter(|logs| logs.contains("heard"))
    })?;
    nomad.until("stats", |nomad| {
        let stats = nomad.get(&format!("/v1/client/allocation/{id}/stats")).ok()?;
        stats["ResourceUsage"]["MemoryStats"]["Usage"].as_u64().filter(|usage| *usage > 0)
    })?;

    nomad.says(&["alloc", "restart", id])?;
    let second = host.until("another process", SOON, |_| pid(&host, &nomad, "web").ok().filter(|pid| *pid != first))?;
    assert!(!alive(first) && alive(second));

    nomad.stop("web", false)?;
    nomad.has("web", "complete", None)?;
    host.until("the pod to be gone", SOON, |host| {
        host.barepod(&["get", "pods", "-A"]).ok().filter(|all| !all.contains("main-"))
    })?;
    assert!(!alive(second));
    Ok(())
}

#[test]
fn whatever_dies_the_task_keeps_its_process() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let mut nomad = Nomad::start(&host)?;
    nomad.run(&job("steady", IDLE, ""))?;
    let before = pid(&host, &nomad, "steady")?;
    let allocation = nomad.has("steady", "running", None)?;
    let id = allocation["ID"].as_str().ok_or("no id")?.to_owned();
    let is_steady = |nomad: &Nomad, host: &Host| -> Result {
        let now = nomad.has("steady", "running", None)?;
        assert_eq!(now["ID"].as_str(), Some(id.as_str()));
        assert_eq!(now["TaskStates"]["main"]["Restarts"], 0);
        assert_eq!(pid(host, nomad, "steady")?, before);
        // The driver knows it still.
        nomad.until("the task to be entered", |nomad| {
            nomad.says(&["alloc", "exec", "-i=false", "-t=false", &id, "/bin/true"]).ok()
        })?;
        Ok(())
    };

    // The plugin.
    let [plugin] = nomad.plugins()[..] else { return Err("not one plugin".into()) };
    signal(plugin, "KILL")?;
    nomad.until("another plugin", |nomad| nomad.plugins().into_iter().find(|pid| *pid != plugin))?;
    is_steady(&nomad, &host)?;

    // The agent, at once: its plugin survives, and is known to the next one.
    let plugins = nomad.plugins();
    nomad.kill_agent()?;
    nomad.start_agent()?;
    nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
    is_steady(&nomad, &host)?;
    assert_eq!(nomad.plugins(), plugins, "a plugin outlives its agent");

    // The agent, in order.
    nomad.stop_agent()?;
    nomad.start_agent()?;
    nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
    is_steady(&nomad, &host)?;

    // The daemon: the driver is unhealthy meanwhile, and nothing else.
    host.kill_daemon()?;
    let driver = nomad.until("the driver to be unhealthy", |nomad| nomad.driver_is(false))?;
    assert!(driver["HealthDescription"].to_string().contains("barepodd"), "{driver}");
    assert!(alive(before));
    host.start()?;
    nomad.until("the driver to be healthy", |nomad| nomad.driver_is(true))?;
    is_steady(&nomad, &host)?;

    // What ends while nobody looks is known afterwards.
    nomad.stop_agent()?;
    signal(before, "KILL")?;
    nomad.start_agent()?;
    let states = nomad.until("the end to be told", |nomad| {
        let state = nomad.allocation("steady")?["TaskStates"]["main"].take();
        state["Events"].as_array()?.iter().any(|event| event["Type"] == "Terminated").then_some(state)
    })?;
    let told = states["Events"].to_string();
    assert!(told.contains(r#""signal":"9""#), "{told}");
    Ok(())
}

#[test]
fn an_adopted_pod_and_a_detached_one_outlive_resize_drain_and_purge() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    host.apply_object(&pods::idle("pg"))?;
    let adopted = host.running("pg")?;
    let job = |memory: u32| {
        format!(
            r#"
job "keep" {{
  type = "system"
  group "main" {{
    task "adopted" {{
      driver = "barepod"
      config {{ adopt = "default/pg" }}
      resources {{
        cpu    = 50
        memory = {memory}
      }}
    }}
    task "own" {{
      driver = "barepod"
      config {{
        command = "/bin/sh"
        args    = ["-c", {script}]
        on_stop = "detach"
      }}
      resources {{
        cpu    = 50
        memory = {memory}
      }}
    }}
  }}
}}
"#,
            script = Value::from(IDLE),
        )
    };
    nomad.run(&job(64))?;
    let first = nomad.has("keep", "running", None)?;
    let own = host.running("keep-own-0")?;
    let same = |host: &Host| -> Result {
        assert_eq!((host.running("pg")?, host.running("keep-own-0")?), (adopted, own));
        Ok(())
    };
    let limit = |host: &Host| {
        let pod = host.pod("keep-own-0").ok()?;
        let status = &pod["status"]["containerStatuses"][0];
        status["resources"]["limits"]["memory"].as_str().map(str::to_owned)
    };
    assert_eq!(limit(&host).as_deref(), Some("64Mi"));

    // A resize is another allocation, and the same processes with other limits.
    nomad.run(&job(96))?;
    let second = nomad.has("keep", "running", first["ID"].as_str())?;
    host.until("the new limit", SOON, |host| limit(host).filter(|limit| limit == "96Mi"))?;
    same(&host)?;

    // A drain.
    let node = nomad.node().ok_or("no node")?["ID"].as_str().unwrap_or_default().to_owned();
    nomad.says(&["node", "drain", "-enable", "-force", "-yes", "-detach", &node])?;
    nomad.until("the allocation to be over", |nomad| {
        let id = second["ID"].as_str()?;
        nomad.get(&format!("/v1/allocation/{id}")).ok().filter(|it| it["ClientStatus"] == "complete")
    })?;
    host.reason("keep-own-0", "Orphaned")?;
    same(&host)?;
    nomad.says(&["node", "drain", "-disable", "-yes", &node])?;
    nomad.has("keep", "running", second["ID"].as_str())?;
    host.until("the pod to be wanted again", SOON, |host| {
        host.pod("keep-own-0").ok()?["status"]["reason"].is_null().then_some(())
    })?;
    same(&host)?;

    // A purge.
    nomad.stop("keep", true)?;
    host.reason("keep-own-0", "Orphaned")?;
    same(&host)?;
    // What nobody wants any more is an operator's to end.
    host.barepod(&["delete", "pod", "keep-own-0"])?;
    host.until("it to be gone", SOON, |_| (!alive(own)).then_some(()))?;
    assert!(alive(adopted));
    Ok(())
}

/// A policy by which Nomad's jobs may have pods of their own, and do nothing to those of others.
const OWN_ALONE: &str = r#"apiVersion: barepod.dev/v1alpha1
kind: Policy
rules:
  - name: jobs
    subjects: {sources: [nomad], namespaces: ["*"]}
    verbs: [apply]
    allow: {presets: ["*"], commands: ["*"], users: ["*"], groups: ["*"]}
  - name: the-hosts-own
    subjects: {sources: [file], namespaces: ["*"], users: [root]}
    verbs: ["*"]
    allow: {presets: ["*"], commands: ["*"], users: [root, "*"], groups: [root, "*"]}
"#;

#[test]
fn an_adopted_pod_of_the_host_is_counted_and_nothing_else_unless_the_policy_says_so() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    host.apply_object(&pods::idle("pg"))?;
    let before = host.running("pg")?;
    let policy = host.path("etc/barepod/policy.yaml");
    let all = std::fs::read_to_string(&policy)?;
    let put = |text: &str, word: &str| -> Result {
        std::fs::write(&policy, text)?;
        host.until(format!("the policy to have {word:?}"), SOON, |host| {
            host.barepod(&["policy", "show"]).ok()?.contains(word).then_some(())
        })?;
        Ok(())
    };
    put(OWN_ALONE, "the-hosts-own")?;
    let adopting = |on_stop: &str| {
        format!(
            r#"
job "guest" {{
  group "main" {{
    restart {{
      attempts = 0
      mode     = "fail"
    }}
    reschedule {{
      attempts  = 0
      unlimited = false
    }}
    task "main" {{
      driver = "barepod"
      config {{
        adopt   = "default/pg"
        on_stop = "{on_stop}"
      }}
    }}
  }}
}}
"#
        )
    };

    nomad.run(&adopting("stop"))?;
    let failed = nomad.has("guest", "failed", None)?;
    let why = failed["TaskStates"]["main"]["Events"].to_string();
    assert!(why.contains("Forbidden") && why.contains("delete pod default/pg, source nomad"), "{why}");
    nomad.stop("guest", true)?;

    nomad.run(&adopting("detach"))?;
    let counted = nomad.has("guest", "running", failed["ID"].as_str())?;
    let id = counted["ID"].as_str().ok_or("no id")?;
    let refused = nomad.command(&["alloc", "exec", "-i=false", "-t=false", id, "/bin/id"])?;
    let said = text(&refused.stdout) + &text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("exec pod default/pg, source nomad"), "{said}");
    let refused = nomad.command(&["alloc", "signal", "-s", "SIGTERM", id])?;
    assert!(!refused.status.success(), "{refused:?}");
    nomad.stop("guest", true)?;
    assert_eq!(host.running("pg")?, before);

    // With a rule, it is as for its own.
    put(&all, "everything")?;
    nomad.run(&adopting("stop"))?;
    let counted = nomad.has("guest", "running", counted["ID"].as_str())?;
    let id = counted["ID"].as_str().ok_or("no id")?;
    assert!(nomad.says(&["alloc", "exec", "-i=false", "-t=false", id, "/bin/id", "-un"])?.contains("nobody"));
    nomad.stop("guest", true)?;
    host.until("the pod to end with its job", SOON, |_| (!alive(before)).then_some(()))?;
    Ok(())
}

#[test]
fn what_goes_wrong_is_told_in_the_allocations_status() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let nomad = Nomad::start(&host)?;
    let of = |name: &str, config: &str| {
        job(name, "x", "")
            .replace(&format!("command = \"/bin/sh\"\n        args    = [\"-c\", {}]", Value::from("x")), config)
    };
    let told = |name: &str, what: &str| -> Result {
        let events = || nomad.allocation(name).map(|mut it| it["TaskStates"]["main"]["Events"].take().to_string());
        let said = nomad.until(&format!("{name} to say {what}"), |_| events().filter(|all| all.contains(what)));
        said.map(drop).map_err(|error| format!("{:?}\n{error}", events()).into())
    };
    nomad.run(&of("nothing", r#"work_dir = "/""#))?;
    nomad.run(&of("image", r#"image = "no-such-image:1""#))?;
    nomad.run(&of("program", r#"command = "/no/such/program""#))?;
    nomad.run(&of("absent", r#"adopt = "default/absent""#))?;
    nomad.run(&job("code", "exit 3", ""))?;
    told("nothing", "nothing to run")?;
    told("image", "no preset answers to the image")?;
    told("program", "/no/such/program")?;
    told("absent", "there is no pod default/absent")?;
    told("code", "Exit Code: 3")?;

    host.set_policy(Some("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules: []\n"))?;
    host.until("the policy to hold", SOON, |host| {
        host.barepod(&["policy", "show"]).ok().filter(|text| text.contains("rules: []"))
    })?;
    nomad.run(&job("denied", IDLE, ""))?;
    told("denied", "Forbidden")?;
    Ok(())
}

#[test]
fn nomads_own_harness_finds_nothing_wrong_with_the_driver() -> Result {
    let mut host = Host::in_view("")?;
    host.start()?;
    let mut harness = Command::new(NOMAD_HARNESS.program("nomad-harness.test")?);
    harness.args(["-test.v", "-test.timeout=100s"]);
    harness.env("DRIVER", host.program("barepod-nomad-driver")?).env("SOCKET", host.path("run/barepod/barepod.sock"));
    let directory = host.path("harness");
    std::fs::create_dir_all(&directory)?;
    harness.current_dir(&directory).env("TMPDIR", &directory);
    let output = process::output(&mut harness, "Nomad's harness", Duration::from_secs(110))?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Where a plugin listens, by its handshake's only line.
fn handshake(plugin: &mut Owned) -> Result<PathBuf> {
    let mut line = String::new();
    BufReader::new(plugin.stdout().ok_or("no output")?).read_line(&mut line)?;
    let fields: Vec<_> = line.trim_end().split('|').collect();
    let ["1", "2", "unix", socket, "grpc", ""] = fields[..] else { return Err(line.into()) };
    Ok(socket.into())
}

async fn connect(socket: &Path) -> Result<Channel> {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Ok(Endpoint::from_static("http://plugin.invalid").connect_with_connector(connector).await?)
}

#[tokio::test]
async fn the_driver_serves_a_host_outlives_it_and_ends_when_it_is_told_to() -> Result {
    let host = Host::new("")?;
    let directory = host.path("plugin");
    std::fs::create_dir_all(&directory)?;
    let mut command = Command::new(host.program("barepod-nomad-driver")?);
    command.env(HANDSHAKE.cookie_key, HANDSHAKE.cookie_value).env("PLUGIN_PROTOCOL_VERSIONS", "2");
    command.env("PLUGIN_UNIX_SOCKET_DIR", &directory);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut plugin = Owned::spawn(&mut command)?;
    let socket = handshake(&mut plugin)?;
    assert!(socket.starts_with(&directory));

    // A terminal's signal, and a host that dies.
    signal(plugin.id(), "INT")?;
    drop(connect(&socket).await?);
    let channel = connect(&socket).await?;
    let health = tonic_health::pb::HealthCheckRequest { service: "plugin".to_owned() };
    let health = tonic_health::pb::health_client::HealthClient::new(channel.clone()).check(health).await?;
    assert_eq!(health.into_inner().status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    let mut output = GrpcStdioClient::new(channel.clone()).stream_stdio(()).await?.into_inner();

    // No daemon is there, and nothing fails for that.
    let mut base = BasePluginClient::new(channel.clone());
    let info = base.plugin_info(PluginInfoRequest {}).await?.into_inner();
    assert_eq!((info.name.as_str(), info.plugin_api_versions), ("barepod", vec!["v0.1.0".to_owned()]));
    // {"socket": "/nowhere", "disable_log_collection": nil}
    let msgpack_config = b"\x82\xa6socket\xa8/nowhere\xb6disable_log_collection\xc0".to_vec();
    base.set_config(SetConfigRequest { msgpack_config, ..SetConfigRequest::default() }).await?;
    let prints = DriverClient::new(channel.clone()).fingerprint(FingerprintRequest {}).await?;
    let print = prints.into_inner().message().await?.ok_or("no fingerprint")?;
    assert_eq!(print.health(), HealthState::Undetected);
    assert!(print.health_description.contains("/nowhere"), "{}", print.health_description);

    GrpcControllerClient::new(channel).shutdown(Empty {}).await?;
    assert!(plugin.wait("the plugin", SOON)?.success());
    assert!(output.message().await.is_ok_and(|message| message.is_none()), "its streams have ended in order");
    assert_eq!(std::fs::read_dir(&directory)?.count(), 0);
    Ok(())
}

#[test]
fn the_driver_started_by_hand_says_what_it_is() -> Result {
    let host = Host::new("")?;
    let output = process::output(&mut Command::new(host.program("barepod-nomad-driver")?), "the driver", SOON)?;
    assert!(!output.status.success() && output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not by hand"), "{said}");
    Ok(())
}
