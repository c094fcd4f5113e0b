//! The command line of the daemon.

use std::path::{Path, PathBuf};

use barepod_linux::Dirs;
use barepod_telemetry::LogFormat;
use clap::Parser;

/// The barepod daemon: runs bare-metal services as Kubernetes pods on this host.
#[derive(Debug, Parser)]
#[command(name = "barepodd", version, max_term_width = 100)]
pub(crate) struct Args {
    /// Put state, runtime files, logs and configuration under this directory instead of /, e.g. for a trial.
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,

    /// The configuration file [default: /etc/barepod/barepod.yaml].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// The barepod-shim binary [default: beside this one, else /usr/libexec/barepod/barepod-shim].
    #[arg(long, value_name = "FILE")]
    pub(crate) shim: Option<PathBuf>,

    /// The barepod-prober binary [default: beside this one, else /usr/libexec/barepod/barepod-prober].
    #[arg(long, value_name = "FILE")]
    pub(crate) prober: Option<PathBuf>,

    /// Check the configuration and the policy, and end.
    #[arg(long)]
    pub(crate) check_config: bool,

    /// How to write the daemon's own log [default: journald where the service manager connects it, else text].
    #[arg(long, value_enum)]
    pub(crate) log_format: Option<LogFormat>,

    /// For tests: make each durable ledger write take this much longer.
    #[arg(long, hide = true, default_value_t = 0, value_name = "MILLISECONDS")]
    pub(crate) ledger_sync_delay: u64,

    /// For tests: die by SIGKILL before this effect of the core is carried out, counted from 1.
    #[arg(long, hide = true, value_name = "NUMBER")]
    pub(crate) die_at_effect: Option<u64>,
}

impl Args {
    pub(crate) fn dirs(&self) -> Dirs {
        self.root.as_deref().map_or_else(Dirs::system, Dirs::under)
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| self.dirs().config.join("barepod.yaml"))
    }

    pub(crate) fn policy_file(&self) -> PathBuf {
        self.dirs().config.join("policy.yaml")
    }

    pub(crate) fn shim_binary(&self) -> PathBuf {
        self.shim.clone().unwrap_or_else(|| installed("barepod-shim"))
    }

    pub(crate) fn prober_binary(&self) -> PathBuf {
        self.prober.clone().unwrap_or_else(|| installed("barepod-prober"))
    }
}

/// A program of this release: beside this one, else where packages put it.
fn installed(name: &str) -> PathBuf {
    let beside = std::env::current_exe().ok().map(|here| here.with_file_name(name));
    beside.filter(|path| path.exists()).unwrap_or_else(|| Path::new("/usr/libexec/barepod").join(name))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }
}
