//! `barepod manual`: manual pages out of the grammar, one for each command.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;

use crate::args::Args;

pub(super) fn run(directory: &Path) -> Result<ExitCode> {
    clap_mangen::generate_to(Args::command().disable_help_subcommand(true), directory)?;
    Ok(ExitCode::SUCCESS)
}
