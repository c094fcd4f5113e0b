//! `barepod nomad`: this host as a client of a Nomad cluster.

mod status;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barepod_registrar::Settings;
use barepod_registrar::setup::{Step, Unwanted, Wanted, reset, setup};

use crate::args::{Nomad, NomadReset, NomadSetup};
use crate::output::print;

/// Where Nomad's own command line looks for a token.
const TOKEN: &str = "NOMAD_TOKEN";

pub(super) async fn run(socket: &Path, args: Nomad) -> Result<ExitCode> {
    match args {
        Nomad::Setup(args) => {
            let steps = setup(&wanted(socket, *args)?).await?;
            print(&(told(&steps) + NEXT))?;
            Ok(ExitCode::SUCCESS)
        }
        Nomad::Status(place) => status::show(&place.root, socket).await,
        Nomad::Reset(NomadReset { place, nomad_config }) => {
            let unwanted = Unwanted { root: place.root, socket: socket.to_owned(), nomad_config };
            let steps = reset(&unwanted).await?;
            print(&(taken_back(&steps) + LAST))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn wanted(socket: &Path, args: NomadSetup) -> Result<Wanted> {
    let management_token = match &args.management_token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            Some(text.trim().to_owned())
        }
        None => std::env::var(TOKEN).ok().filter(|token| !token.is_empty()),
    };
    let settings = Settings {
        address: args.address,
        namespace: args.nomad_namespace,
        region: args.region,
        token_file: None,
        ca_file: args.ca_file,
        cert_file: args.cert_file,
        key_file: args.key_file,
        tls_server_name: args.tls_server_name,
        collect_logs: args.collect_logs,
    };
    Ok(Wanted {
        settings,
        management_token,
        token_ttl: args.token_ttl,
        root: args.place.root,
        socket: socket.to_owned(),
        driver: args.driver,
        nomad_config: args.nomad_config,
        plugin_dir: args.plugin_dir,
    })
}

fn told(steps: &[Step]) -> String {
    let verb = |step: &Step| if step.changed { "written  " } else { "unchanged" };
    steps.iter().map(|step| format!("{}  {}\n", verb(step), step.what)).collect()
}

fn taken_back(steps: &[Step]) -> String {
    let verb = |step: &Step| if step.changed { "taken back" } else { "not there " };
    steps.iter().map(|step| format!("{}  {}\n", verb(step), step.what)).collect()
}

const NEXT: &str = "\n\
    What comes next:\n  \
      systemctl restart nomad                   it reads its configuration of plugins when it starts; tasks run on\n  \
      systemctl enable --now barepod-bridge     (restart it, if it runs): it keeps the pods of this host in Nomad's books\n  \
      a rule for the source `nomad` in /etc/barepod/policy.yaml, if jobs are to run pods here\n  \
      barepod nomad status                      shows how far it is\n";

const LAST: &str = "\n\
    Pods run on. What comes next:\n  \
      systemctl restart nomad barepod-bridge    (disable the bridge, if it serves no Kubernetes cluster)\n  \
      nomad acl token delete ACCESSOR           of the token `barepod-bridge` of this host, where the cluster has ACLs\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_and_what_was_not_is_said() {
        let step = |changed, what: &str| Step { changed, what: what.to_owned() };
        let said = told(&[step(true, "one"), step(false, "other")]);
        assert!(said.starts_with("written    one\nunchanged  other\n"), "{said}");
    }
}
