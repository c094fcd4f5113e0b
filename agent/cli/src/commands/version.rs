//! `barepod version`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::VersionRequest;

use crate::args::Version;
use crate::refusal::from_status;

pub(super) async fn run(socket: &Path, args: &Version) -> Result<ExitCode> {
    println!("client: {}", env!("CARGO_PKG_VERSION"));
    if args.client {
        return Ok(ExitCode::SUCCESS);
    }
    let mut client = barepod_api::connect(socket).await?;
    let answer = client.version(VersionRequest {}).await.map_err(from_status)?.into_inner();
    println!("daemon: {} (cgroup {})", answer.version, answer.cgroup);
    Ok(ExitCode::SUCCESS)
}
