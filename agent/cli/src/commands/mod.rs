//! The verbs, one file each.

pub(crate) mod apply;
mod attach;
mod bench;
mod condition;
mod config;
mod cp;
mod delete;
mod describe;
mod diff;
mod doctor;
mod events;
mod exec;
mod get;
mod halt;
mod host;
mod kube;
mod logs;
mod manual;
mod nomad;
mod policy;
mod port;
mod preset;
mod restart;
mod run;
mod top;
mod validate;
mod version;

use std::process::ExitCode;

use anyhow::Result;
use barepod_api::v1::barepod_client::BarepodClient;
use tonic::transport::Channel;

use crate::args::{Args, Command};
use crate::complete;

pub(crate) type Client = BarepodClient<Channel>;

/// Runs one command.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let Args { socket, namespace, command } = args;
    let command = match command {
        Command::Version(version) => return version::run(&socket, &version).await,
        Command::Kube(args) => return kube::run(args).await,
        Command::Nomad(args) => return nomad::run(&socket, args).await,
        Command::Policy(args) => return policy::run(&socket, args).await,
        Command::Get(args) => return get::run(&socket, namespace, args).await,
        Command::Run(args) => return run::run(&socket, namespace, args).await,
        Command::Bench(args) => return bench::run(&socket, namespace, args).await,
        Command::Validate(args) => return validate::run(&args),
        Command::Diff(args) => return diff::run(&socket, args).await,
        Command::Doctor(args) => return doctor::run(&socket, args).await,
        Command::Host(args) => return host::run(&socket, args).await,
        Command::Completion { shell } => return complete::script(shell),
        Command::Manual { directory } => return manual::run(&directory),
        Command::Preset(preset) => {
            let surroundings = preset::Surroundings { socket: &socket, namespace: &namespace };
            return preset::run(surroundings, preset).await;
        }
        command => command,
    };
    let client = barepod_api::connect(&socket).await?;
    match command {
        Command::Apply(args) => apply::run(client, args).await,
        Command::Describe(args) => describe::run(client, namespace, args).await,
        Command::Logs(args) => logs::run(client, namespace, args).await,
        Command::Attach(args) => attach::run(client, namespace, args).await,
        Command::Exec(args) => exec::run(client, namespace, args).await,
        Command::Top(args) => top::run(client, namespace, args).await,
        Command::Config(args) => config::run(client, args).await,
        Command::Cp(args) => cp::run(client, namespace, args).await,
        Command::Port(args) => port::run(client, namespace, args).await,
        Command::Restart(args) => restart::run(client, namespace, args).await,
        Command::Stop(args) => halt::stop(client, namespace, args).await,
        Command::Start(args) => halt::start(client, namespace, args).await,
        Command::Condition(args) => condition::run(client, namespace, args).await,
        Command::Delete(args) => delete::run(client, namespace, args).await,
        Command::Events(args) => events::run(client, namespace, args).await,
        Command::Version(_)
        | Command::Kube(_)
        | Command::Nomad(_)
        | Command::Policy(_)
        | Command::Get(_)
        | Command::Doctor(_)
        | Command::Validate(_)
        | Command::Diff(_)
        | Command::Run(_)
        | Command::Host(_)
        | Command::Bench(_)
        | Command::Preset(_)
        | Command::Completion { .. }
        | Command::Manual { .. } => unreachable!("answered above, for they need no daemon, or wait for it"),
    }
}
