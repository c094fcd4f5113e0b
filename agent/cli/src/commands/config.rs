//! `barepod config`.

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::ConfigRequest;
use serde_json::Value;

use super::Client;
use crate::args::{Config, ConfigOutput, ConfigView};
use crate::output::print;
use crate::refusal::from_status;

pub(super) async fn run(mut client: Client, args: Config) -> Result<ExitCode> {
    let Config::View(ConfigView { output }) = args;
    let answer = client.config(ConfigRequest {}).await.map_err(from_status)?.into_inner();
    let config: Value = serde_json::from_str(&answer.config)?;
    match output {
        Some(ConfigOutput::Json) => print(&format!("{config:#}\n"))?,
        None => print(&format!(
            "# {}, with what holds where it says nothing\n{}",
            answer.file,
            serde_saphyr::to_string(&config)?
        ))?,
    }
    if answer.is_stale {
        eprintln!(
            "warning: {} has changed since barepodd started; `systemctl restart barepod` puts it in force",
            answer.file
        );
    }
    Ok(ExitCode::SUCCESS)
}
