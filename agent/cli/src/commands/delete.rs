//! `barepod delete`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{DeleteRequest, ListRequest, watch_response};

use super::Client;
use crate::args::Delete;
use crate::output::print;
use crate::refusal::{fail, from_status};
use crate::target::{self, Target};

pub(super) async fn run(mut client: Client, namespace: String, args: Delete) -> Result<ExitCode> {
    let (mut ending, mut refused) = (Vec::new(), false);
    for Target { namespace, name } in wanted(&mut client, namespace, &args).await? {
        let grace_seconds = args.grace_period;
        let request = DeleteRequest { namespace, name: name.clone(), uid: String::new(), grace_seconds };
        match client.delete(request).await {
            Ok(answer) => {
                print(&format!("pod/{name} deleted\n"))?;
                ending.push(answer.into_inner().uid);
            }
            // Of many pods some may be another's to delete: a cluster's, say. The others go.
            Err(status) if args.all || args.selectors.are_given() => {
                refused = true;
                fail(&from_status(status));
            }
            Err(status) => return Err(from_status(status)),
        }
    }
    if !args.no_wait {
        for uid in ending {
            until_gone(&mut client, uid).await?;
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn wanted(client: &mut Client, namespace: String, args: &Delete) -> Result<Vec<Target>> {
    let namespace = if args.all_namespaces { String::new() } else { namespace };
    if !args.all {
        return target::chosen(client, &namespace, &args.pods, &args.selectors).await;
    }
    let pods = target::selected(client, &namespace, &args.selectors).await?;
    Ok(pods.into_iter().map(|pod| Target { namespace: pod.namespace, name: pod.name }).collect())
}

async fn until_gone(client: &mut Client, uid: String) -> Result<()> {
    let request = ListRequest { uid, ..ListRequest::default() };
    let mut changes = client.watch(request).await.map_err(from_status)?.into_inner();
    let mut present = false;
    while let Some(change) = changes.message().await.map_err(from_status)? {
        match change.kind() {
            watch_response::Kind::Present => present = true,
            watch_response::Kind::Gone => return Ok(()),
            watch_response::Kind::Synced if !present => return Ok(()),
            watch_response::Kind::Synced => {}
        }
    }
    bail!("barepodd ended while the pod was ending; it goes on with that when it is back")
}
