//! The command line's grammar: here the verbs, and what all of them take; what each takes, in a module of its own.

mod bench;
mod chosen;
mod condition;
mod config;
mod describe;
mod doctor;
mod events;
mod get;
mod host;
mod kube;
mod life;
mod log;
mod manifest;
mod nomad;
mod policy;
mod port;
mod preset;
mod run;
mod selectors;
mod session;
mod top;
mod version;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::target;

pub(crate) use bench::{Bench, BenchDisk, BenchOutput, BenchWork};
pub(crate) use chosen::Chosen;
pub(crate) use condition::{Condition, ConditionVerb};
pub(crate) use config::{Config, ConfigOutput, ConfigView};
pub(crate) use describe::Describe;
pub(crate) use doctor::{Doctor, DoctorOutput};
pub(crate) use events::{EventType, Events};
pub(crate) use get::Get;
pub(crate) use host::{Host, Shutdown};
pub(crate) use kube::{Kube, KubeJoin, KubeVerb};
pub(crate) use life::{Delete, Halt, Restart};
pub(crate) use log::Logs;
pub(crate) use manifest::{Apply, Diff, Validate};
pub(crate) use nomad::{Nomad, NomadReset, NomadSetup};
pub(crate) use policy::{Policy, PolicyCheck, Source, VerdictOutput};
pub(crate) use port::{Port, PortList};
pub(crate) use preset::{Preset, PresetVerb, Subject};
pub(crate) use run::{Run, RunOutput};
pub(crate) use selectors::Selectors;
pub(crate) use session::{Attach, Cp, Exec};
pub(crate) use top::{Top, TopOutput};
pub(crate) use version::Version;

/// Run bare-metal services as Kubernetes pods on this host.
#[derive(Debug, Parser)]
#[command(name = "barepod", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Args {
    /// The daemon's socket.
    #[arg(
        long,
        global = true,
        env = "BAREPOD_SOCKET",
        default_value = "/run/barepod/barepod.sock",
        value_name = "PATH"
    )]
    pub(crate) socket: PathBuf,

    /// The pod's namespace.
    #[arg(short, long, global = true, env = "BAREPOD_NAMESPACE", default_value = "default", value_name = "NAME")]
    pub(crate) namespace: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Accept manifests: create pods, or change them to what the file says.
    Apply(Apply),
    /// Run a preset by its name, without a manifest: with claims for its data, and passwords that are made.
    ///
    /// Passwords are shown once, and kept in a Secret among the manifests of this host, in a file that root alone can read.
    Run(Run),
    /// Say what is wrong with manifests. Needs no daemon, and changes nothing.
    ///
    /// They are read as the daemon would read them, with this host's presets and the objects among its manifests. What the
    /// policy says to them, `barepod policy check` tells.
    ///
    /// Exit codes: 0 they can be applied; 1 something is wrong; 2 the command line was wrong.
    Validate(Validate),
    /// Show what an apply would change of the pods there are. Changes nothing.
    ///
    /// Exit codes: 0 nothing; 1 something; 2 the command line was wrong; 3 a manifest has errors. Objects beside pods are not
    /// compared.
    Diff(Diff),
    /// Show pods, events, volumes or presets.
    Get(Get),
    /// Show all that is known of pods, with their recent events.
    Describe(Describe),
    /// Show logs of containers.
    Logs(Logs),
    /// Run a command in a running container.
    Exec(Exec),
    /// Show what a running container writes from now on, and pass standard input on to it.
    Attach(Attach),
    /// Show what pods and containers use of CPU, memory and disks, and what they wait for; on a terminal, again and again.
    ///
    /// PSI is the share of the last ten seconds in which something waited for a CPU, for memory, for disks. What this host does
    /// not count is shown as `-`.
    Top(Top),
    /// Copy files into a container, or out of it. It needs a `tar` there.
    ///
    /// Out of a container come plain files and directories; links, devices and rights to become another user are left out.
    Cp(Cp),
    /// Look at the ports of pods.
    #[command(subcommand)]
    Port(Port),
    /// Stop pods' containers gracefully and start them again.
    Restart(Restart),
    /// Stop pods, so that nothing of them runs until they are started: also after a boot.
    ///
    /// They keep name, data and their part of the host. A pod that is changed meanwhile stays stopped.
    Stop(Halt),
    /// Start pods that were stopped.
    Start(Halt),
    /// Set what others have to say of a pod: the conditions that its readinessGates name.
    Condition(Condition),
    /// Stop pods gracefully and remove them. Their claims and logs stay.
    Delete(Delete),
    /// Show recent events.
    Events(Events),
    /// The host's policy: who may run what.
    #[command(subcommand)]
    Policy(Policy),
    /// Look at presets: what stands in for images on this host. Needs no daemon.
    Preset(Preset),
    /// Make this host a node of a Kubernetes cluster. Needs no daemon.
    Kube(Kube),
    /// Look whether this host is as its services want it, and print the commands that mend it. Changes nothing.
    ///
    /// Asks the daemon which pods there are; without one, the manifests of this host are read.
    ///
    /// Exit codes: 0 nothing is to be mended; 1 something is; 2 the command line was wrong.
    Doctor(Doctor),
    /// Measure this host.
    #[command(subcommand)]
    Bench(Bench),
    /// The daemon's configuration.
    #[command(subcommand)]
    Config(Config),
    /// Have a Nomad cluster run pods on this host, and count those that run here already.
    #[command(subcommand)]
    Nomad(Nomad),
    /// What is about the host as a whole.
    #[command(subcommand)]
    Host(Host),
    /// Print what makes a shell complete commands, options and the names of pods. Packages install it.
    Completion {
        /// The shell that reads it.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write manual pages of all commands into a directory: packages do.
    #[command(hide = true)]
    Manual {
        /// An existing directory.
        directory: PathBuf,
    },
    /// Show the versions of this command and of the daemon.
    Version(Version),
}

/// Reads a command line.
///
/// # Errors
/// What is wrong with it, for a person.
pub(crate) fn parse(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Args, clap::Error> {
    let matches = Args::command().try_get_matches_from(words)?;
    let args = Args::from_arg_matches(&matches)?;
    args.command.check().map_err(|message| {
        let mut command = Args::command();
        command.build();
        let verb = matches.subcommand_name().and_then(|verb| command.find_subcommand_mut(verb));
        match verb {
            Some(verb) => verb.error(ErrorKind::ValueValidation, message),
            None => command.error(ErrorKind::ValueValidation, message),
        }
    })?;
    Ok(args)
}

impl Command {
    /// What the grammar cannot say.
    fn check(&self) -> Result<(), String> {
        match self {
            Command::Get(args) => args.check(),
            Command::Delete(args) => args.check(),
            Command::Describe(args) => args.chosen.check(),
            Command::Restart(args) => args.chosen.check(),
            Command::Stop(args) | Command::Start(args) => args.chosen.check(),
            Command::Logs(args) => target::check(args.pod.as_slice(), &args.selectors),
            Command::Top(args) => target::check(args.pod.as_slice(), &args.selectors),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }
}
