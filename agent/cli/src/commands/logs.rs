//! `barepod logs`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{ListRequest, LogsRequest, Pod};
use tokio::sync::mpsc;

use super::Client;
use crate::args::Logs;
use crate::output::{Reader, pass};
use crate::refusal::{fail, from_status};
use crate::target;

/// kubectl's, for pods that are selected.
const TAIL_OF_MANY: u64 = 10;

/// One container's log, and what its lines begin with.
struct Log {
    request: LogsRequest,
    prefix: String,
}

pub(super) async fn run(mut client: Client, namespace: String, args: Logs) -> Result<ExitCode> {
    let logs = wanted(&mut client, namespace, &args).await?;
    match &logs[..] {
        [log] if log.prefix.is_empty() => whole(&mut client, log).await,
        _ if args.follow => together(&client, logs).await,
        _ => one_by_one(&mut client, logs).await,
    }
}

async fn wanted(client: &mut Client, namespace: String, args: &Logs) -> Result<Vec<Log>> {
    let name = args.pod.as_deref().filter(|_| !args.selectors.are_given()).map(target::name).transpose()?;
    let named = args.container.clone().unwrap_or_default();
    let Some(name) = name else {
        let pods = target::selected(client, &namespace, &args.selectors).await?;
        if pods.is_empty() {
            eprintln!("No such pods in namespace {namespace}.");
        }
        let meant = |pod: &Pod| if args.all_containers { containers(pod) } else { vec![named.clone()] };
        let of = |pod: &Pod| meant(pod).into_iter().map(|it| log(args, pod, it)).collect::<Vec<_>>();
        return Ok(pods.iter().flat_map(of).collect());
    };
    if !args.all_containers && !args.prefix {
        let pod = Pod { namespace, name, ..Pod::default() };
        return Ok(vec![log(args, &pod, named)]);
    }
    let request = ListRequest { namespace: namespace.clone(), name: name.clone(), uid: String::new() };
    let pods = client.list(request).await.map_err(from_status)?.into_inner().pods;
    let Some(pod) = pods.first() else {
        bail!("there is no pod {name} in namespace {namespace}; see `barepod get pods -A`")
    };
    let containers = if args.all_containers { containers(pod) } else { vec![named] };
    Ok(containers.into_iter().map(|container| log(args, pod, container)).collect())
}

/// In the order in which they begin.
fn containers(pod: &Pod) -> Vec<String> {
    pod.containers.iter().map(|container| container.name.clone()).collect()
}

fn log(args: &Logs, pod: &Pod, container: String) -> Log {
    // Which one is meant by none is the daemon's to say; a pod that has one has no other.
    let shown = match (&container[..], &pod.containers[..]) {
        ("", [one]) => one.name.clone(),
        (named, _) => named.to_owned(),
    };
    let prefix = if args.prefix { format!("[pod/{}/{shown}] ", pod.name) } else { String::new() };
    let request = LogsRequest {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        container,
        follow: args.follow,
        previous: args.previous,
        tail_lines: args.tail.or(args.selectors.are_given().then_some(TAIL_OF_MANY)),
        since_seconds: args.since,
        timestamps: args.timestamps,
        ..LogsRequest::default()
    };
    Log { request, prefix }
}

/// As it is.
async fn whole(client: &mut Client, log: &Log) -> Result<ExitCode> {
    let mut stream = client.logs(log.request.clone()).await.map_err(from_status)?.into_inner();
    while let Some(chunk) = stream.message().await.map_err(from_status)? {
        if pass(&chunk.data)? == Reader::Gone {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One after the other. What is wrong with one keeps nobody from the others.
async fn one_by_one(client: &mut Client, logs: Vec<Log>) -> Result<ExitCode> {
    let mut failed = false;
    for log in logs {
        let (sender, mut lines) = mpsc::channel(16);
        let reading = tokio::spawn(read(client.clone(), log, sender));
        while let Some(line) = lines.recv().await {
            if pass(&line)? == Reader::Gone {
                return Ok(ExitCode::SUCCESS);
            }
        }
        failed |= tell(reading.await?);
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Line by line as they come, until all have ended.
async fn together(client: &Client, logs: Vec<Log>) -> Result<ExitCode> {
    let (sender, mut lines) = mpsc::channel(16);
    let mut reading = tokio::task::JoinSet::new();
    for log in logs {
        reading.spawn(read(client.clone(), log, sender.clone()));
    }
    drop(sender);
    while let Some(line) = lines.recv().await {
        if pass(&line)? == Reader::Gone {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let failed = reading.join_all().await.into_iter().map(tell).fold(false, |any, failed| any | failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tell(outcome: Result<()>) -> bool {
    outcome.as_ref().err().map(fail).is_some()
}

/// Sends whole lines on.
async fn read(mut client: Client, log: Log, lines: mpsc::Sender<Vec<u8>>) -> Result<()> {
    let mut stream = client.logs(log.request).await.map_err(from_status)?.into_inner();
    let mut left = Vec::new();
    while let Some(chunk) = stream.message().await.map_err(from_status)? {
        left.extend_from_slice(&chunk.data);
        let whole = left.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let rest = left.split_off(whole);
        if !send(&lines, &log.prefix, &std::mem::replace(&mut left, rest)).await {
            return Ok(());
        }
    }
    // The last line may have no end. Whatever comes after it begins a line of its own.
    if !left.is_empty() {
        left.push(b'\n');
    }
    send(&lines, &log.prefix, &left).await;
    Ok(())
}

/// Whether anybody still wants them.
async fn send(lines: &mpsc::Sender<Vec<u8>>, prefix: &str, text: &[u8]) -> bool {
    let text: Vec<u8> =
        text.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [prefix.as_bytes(), line].concat()).collect();
    text.is_empty() || lines.send(text).await.is_ok()
}
