//! `barepod restart`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::RestartRequest;

use super::Client;
use crate::args::Restart;
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Restart) -> Result<ExitCode> {
    let name = target::name(&args.pod)?;
    let request = RestartRequest { namespace, name: name.clone(), container: args.container.unwrap_or_default() };
    client.restart(request).await.map_err(from_status)?;
    println!("pod/{name} restarted");
    Ok(ExitCode::SUCCESS)
}
