//! `barepod version`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::VersionRequest;

use crate::args::Version;
use crate::output::print;
use crate::refusal::from_status;

pub(super) async fn run(socket: &Path, args: &Version) -> Result<ExitCode> {
    print(concat!("client: ", env!("CARGO_PKG_VERSION"), "\n"))?;
    if args.client {
        return Ok(ExitCode::SUCCESS);
    }
    let mut client = barepod_api::connect(socket).await?;
    let answer = client.version(VersionRequest {}).await.map_err(from_status)?.into_inner();
    print(&format!("daemon: {} (cgroup {})\n", answer.version, answer.cgroup))?;
    Ok(ExitCode::SUCCESS)
}
