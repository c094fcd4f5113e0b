//! Versions.

#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// This command only; do not ask the daemon.
    #[arg(long)]
    pub(crate) client: bool,
}
