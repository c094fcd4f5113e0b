//! The host as a whole.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Host {
    /// End all pods in order because the host goes down, and wait for that. They are begun again after the next boot.
    Shutdown(Shutdown),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Shutdown {
    /// The host stays up after all: begin them again.
    #[arg(long)]
    pub(crate) call_off: bool,
}
