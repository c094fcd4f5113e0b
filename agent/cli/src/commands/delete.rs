//! `barepod delete`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barepod_api::v1::{DeleteRequest, ListRequest, watch_response};

use super::Client;
use crate::args::Delete;
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Delete) -> Result<ExitCode> {
    let mut ending = Vec::new();
    for name in target::names(&args.pods)? {
        let request = DeleteRequest {
            namespace: namespace.clone(),
            name: name.clone(),
            uid: String::new(),
            grace_seconds: args.grace_period,
        };
        let answer = client.delete(request).await.map_err(from_status)?.into_inner();
        println!("pod/{name} deleted");
        ending.push(answer.uid);
    }
    if !args.no_wait {
        for uid in ending {
            until_gone(&mut client, uid).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
