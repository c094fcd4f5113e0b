//! `barepod restart`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::RestartRequest;

use super::Client;
use crate::args::Restart;
use crate::output::print;
use crate::refusal::from_status;
use crate::target::{self, Target};

pub(super) async fn run(mut client: Client, namespace: String, args: Restart) -> Result<ExitCode> {
    let container = args.container.unwrap_or_default();
    for Target { namespace, name } in target::meant(&mut client, &namespace, &args.chosen).await? {
        let request = RestartRequest { namespace, name: name.clone(), container: container.clone() };
        client.restart(request).await.map_err(from_status)?;
        print(&format!("pod/{name} restarted\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
