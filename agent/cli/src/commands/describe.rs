//! `barepod describe`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{Container, Event, EventsRequest, ListRequest, Pod, Said, Termination};
use serde_json::Value;

use super::Client;
use crate::args::Describe;
use crate::output::{self, Table, print};
use crate::refusal::{fail, from_status};
use crate::target::{self, Target};

pub(super) async fn run(mut client: Client, namespace: String, args: Describe) -> Result<ExitCode> {
    let targets = target::meant(&mut client, &namespace, &args.chosen).await?;
    let mut failed = false;
    for (number, target) in targets.iter().enumerate() {
        match one(&mut client, target).await {
            Ok(text) => print(&format!("{}{text}", if number > 0 { "\n\n" } else { "" }))?,
            Err(error) => {
                failed = true;
                fail(&error);
            }
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn one(client: &mut Client, Target { namespace, name }: &Target) -> Result<String> {
    let request = ListRequest { namespace: namespace.clone(), name: name.clone(), ..ListRequest::default() };
    let pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    let Some(pod) = pods.first() else {
        bail!("there is no pod {name} in namespace {namespace}; see `barepod get pods -A`")
    };
    let mut events = events(client, namespace, name).await?;
    // Others may have had the name before.
    events.retain(|event| event.uid == pod.uid);
    Ok(render(pod, &events, output::now()))
}

async fn events(client: &mut Client, namespace: &str, name: &str) -> Result<Vec<Event>> {
    let request = EventsRequest {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        follow: false,
        ..EventsRequest::default()
    };
    let mut stream = client.events(request).await.map_err(from_status)?.into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.map_err(from_status)? {
        events.push(event);
    }
    Ok(events)
}

fn render(pod: &Pod, events: &[Event], now: i64) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            writeln!(text, "{:<13} {value}", format!("{name}:")).expect("writing to a String cannot fail");
        }
    };
    field("Name", &pod.name);
    field("Namespace", &pod.namespace);
    field("UID", &pod.uid);
    field("Source", &pod.source);
    field("Created", &output::time(pod.created.as_ref()));
    field("Status", &pod.phase);
    field("Reason", &pod.reason);
    field("Message", &pod.message);
    field("Ready", if pod.ready { "true" } else { "false" });
    field("Generation", &pod.generation.to_string());
    if pod.stopped.is_some() {
        field("Stopped since", &output::time(pod.stopped.as_ref()));
    }
    if pod.deletion.is_some() {
        field("Ending since", &output::time(pod.deletion.as_ref()));
    }
    let object: Value = serde_json::from_str(&pod.object).unwrap_or_default();
    let kinds =
        [("Init containers", (true, false)), ("Containers", (false, false)), ("Ephemeral containers", (false, true))];
    for (heading, kind) in kinds {
        let of_kind: Vec<_> = pod.containers.iter().filter(|c| (c.init, c.ephemeral) == kind).collect();
        if !of_kind.is_empty() {
            text.push_str(&format!("{heading}:\n"));
            text.extend(of_kind.into_iter().map(|one| container(one, &object)));
        }
    }
    text.push_str(&conditions(&object));
    text.push_str("Events:\n");
    text.push_str(&event_table(events, now));
    text
}

/// Those of the object's status, as a table.
fn conditions(object: &Value) -> String {
    let Some(conditions) = object["status"]["conditions"].as_array().filter(|all| !all.is_empty()) else {
        return String::new();
    };
    let mut table = Table::new(&["  TYPE", "STATUS", "REASON", "MESSAGE"]);
    for condition in conditions {
        let word = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
        table.row(vec![format!("  {}", word("type")), word("status"), word("reason"), word("message")]);
    }
    format!("Conditions:\n{}", table.render())
}

fn container(container: &Container, object: &Value) -> String {
    let mut lines = vec![format!("  {}:", container.name)];
    let mut field = |name: &str, value: String| lines.push(format!("    {:<15} {value}", format!("{name}:")));
    field("Image", container.image.clone());
    field("Preset", container.preset.clone());
    field("State", state(container, object));
    if !container.message.is_empty() {
        field("Message", container.message.clone());
    }
    if !container.cause.is_empty() {
        field("Stopped", format!("because {}", container.cause));
    }
    if container.pid != 0 {
        field("PID", container.pid.to_string());
    }
    field("Ready", container.ready.to_string());
    field("Restart count", container.restart_count.to_string());
    if let Some(said) = &container.said {
        field("Says", says(said));
    }
    if let Some(last) = &container.last {
        field("Last state", last_state(last));
    }
    lines.join("\n") + "\n"
}

fn state(container: &Container, object: &Value) -> String {
    let since = container.since.as_ref().map(|_| format!(" since {}", output::time(container.since.as_ref())));
    let reason = if container.reason.is_empty() { String::new() } else { format!(" ({})", container.reason) };
    let how = ended(container, object).map(|how| format!(", {how},")).unwrap_or_default();
    format!("{}{reason}{how}{}", container.state, since.unwrap_or_default())
}

/// How a container that does not run any more has ended, by the object's status.
fn ended(container: &Container, object: &Value) -> Option<String> {
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let mut statuses = lists.iter().filter_map(|list| object["status"][list].as_array()).flatten();
    let terminated = &statuses.find(|status| status["name"] == container.name)?["state"]["terminated"];
    let number = |name: &str| terminated[name].as_i64();
    number("signal").map_or_else(
        || number("exitCode").map(|code| format!("exit code {code}")),
        |signal| Some(format!("signal {signal}")),
    )
}

/// What a service says of itself, its own words at the end.
fn says(said: &Said) -> String {
    let stage = match (said.stopping, said.reloading, said.ready) {
        (true, _, _) => "stopping",
        (false, true, _) => "reloading",
        (false, false, true) => "ready",
        (false, false, false) => "not ready yet",
    };
    let mut words = vec![stage.to_owned()];
    words.extend((said.main_pid != 0).then(|| format!("main PID {}", said.main_pid)));
    words.extend((!said.error.is_empty()).then(|| format!("error: {}", said.error)));
    words.extend((!said.status.is_empty()).then(|| format!("{:?}", said.status)));
    words.join(", ")
}

fn last_state(last: &Termination) -> String {
    let how =
        if last.signal == 0 { format!("exit code {}", last.exit_code) } else { format!("signal {}", last.signal) };
    let message = if last.message.is_empty() { String::new() } else { format!(": {}", last.message) };
    let cause = if last.cause.is_empty() { String::new() } else { format!("; stopped because {}", last.cause) };
    format!("terminated ({}), {how}, at {}{message}{cause}", last.reason, output::time(last.finished.as_ref()))
}

fn event_table(events: &[Event], now: i64) -> String {
    if events.is_empty() {
        return "  none\n".to_owned();
    }
    let mut table = Table::new(&["  TYPE", "REASON", "AGE", "CONTAINER", "MESSAGE"]);
    for event in events {
        let kind = if event.warning { "  Warning" } else { "  Normal" };
        table.row(vec![
            kind.to_owned(),
            event.reason.clone(),
            output::age(event.time.as_ref(), now),
            event.container.clone(),
            event.message.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use barepod_api::v1::Timestamp;
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn text(text: &str) -> String {
        text.to_owned()
    }

    fn database() -> Container {
        let last = Termination {
            exit_code: 137,
            signal: 9,
            reason: text("OOMKilled"),
            message: text("its memory limit is 1Gi, and it had 1023.98Mi at most"),
            started: at(100),
            finished: at(3_000),
            cause: String::new(),
        };
        Container {
            name: text("postgresql"),
            image: text("postgres:15"),
            preset: text("postgresql 15.20"),
            state: text("running"),
            ready: true,
            started: true,
            restart_count: 1,
            pid: 4711,
            since: at(3_060),
            last: Some(last),
            said: Some(Said { ready: true, status: text("ready for connections"), main_pid: 4712, ..Said::default() }),
            ..Container::default()
        }
    }

    fn exporter() -> Container {
        let last = Termination {
            exit_code: 0,
            reason: text("Completed"),
            finished: at(3_500),
            cause: text("its liveness probe failed: HTTP probe failed with statuscode: 500"),
            ..Termination::default()
        };
        Container {
            name: text("exporter"),
            image: text("command:exporter"),
            preset: text("exporter"),
            state: text("waiting"),
            reason: text("CrashLoopBackOff"),
            message: text("back-off 10s restarting failed container=exporter"),
            restart_count: 3,
            last: Some(last),
            ..Container::default()
        }
    }

    #[test]
    fn a_pod_is_described_with_why_each_container_last_stopped() {
        let conditions = json!([
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": "containers with unready status: [exporter]"},
            {"type": "PodScheduled", "status": "True"},
        ]);
        let ended = Container {
            name: text("init"),
            image: text("host"),
            preset: text("host"),
            state: text("terminated"),
            reason: text("Error"),
            since: at(90),
            init: true,
            cause: text("its pod was changed"),
            ..Container::default()
        };
        let pod = Pod {
            uid: text("7f7a7c1c-0000-4000-8000-000000000001"),
            namespace: text("shop"),
            name: text("db"),
            source: text("file"),
            phase: text("CrashLoopBackOff"),
            generation: 2,
            created: at(80),
            containers: vec![ended, database(), exporter()],
            object: json!({"status": {
                "conditions": conditions,
                "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 3}}}],
            }})
            .to_string(),
            ..Pod::default()
        };
        let event = |seconds, warning, reason: &str, container: &str, message: &str| Event {
            time: at(seconds),
            warning,
            reason: text(reason),
            container: text(container),
            message: text(message),
            ..Event::default()
        };
        let events = [
            event(
                3_000,
                true,
                "OOMKilling",
                "postgresql",
                "the kernel killed its main process for memory: its memory limit is 1Gi, and it had 1023.98Mi at most",
            ),
            event(
                3_500,
                true,
                "Unhealthy",
                "exporter",
                "Liveness probe failed: HTTP probe failed with statuscode: 500",
            ),
        ];
        insta::assert_snapshot!(render(&pod, &events, 3_600));
    }

    #[test]
    fn a_pod_without_containers_and_events_says_so() {
        let pod =
            Pod { name: text("db"), namespace: text("default"), stopped: at(100), deletion: at(200), ..Pod::default() };
        insta::assert_snapshot!(render(&pod, &[], 300));
    }
}
