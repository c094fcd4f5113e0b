//! `barepod logs`.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::LogsRequest;

use super::Client;
use crate::args::Logs;
use crate::refusal::from_status;
use crate::target;

pub(super) async fn run(mut client: Client, namespace: String, args: Logs) -> Result<ExitCode> {
    let request = LogsRequest {
        namespace,
        name: target::name(&args.pod)?,
        container: args.container.unwrap_or_default(),
        follow: args.follow,
        previous: args.previous,
        tail_lines: args.tail,
        since_seconds: args.since,
        timestamps: args.timestamps,
        ..LogsRequest::default()
    };
    let mut log = client.logs(request).await.map_err(from_status)?.into_inner();
    let mut out = io::stdout().lock();
    while let Some(chunk) = log.message().await.map_err(from_status)? {
        match out.write_all(&chunk.data).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
