//! What the kubelet port is told.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use barepod_credentials::{Kubeconfig, NodeName};
use barepod_kubelet::Settings;
use clap::CommandFactory as _;
use tokio::sync::watch;

use crate::args::Args;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// As the options have it.
pub(crate) fn settings(args: &Args, node: &NodeName, client_authority: watch::Receiver<Option<String>>) -> Settings {
    Settings {
        node: node.clone(),
        socket: args.socket.clone(),
        address: args.address,
        port: args.port,
        client_authority,
        rotates_server_certificates: args.rotate_server_certificates,
        max_pods: args.max_pods,
        flags: flags(),
    }
}

/// Who signs clients' certificates; and what keeps it as the file has it, which somebody may renew.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn watched_authority(
    args: Args,
) -> anyhow::Result<(watch::Receiver<Option<String>>, impl Future<Output = ()>)> {
    let (sender, receiver) = watch::channel(client_authority(&args)?);
    let keep = async move {
        let mut said = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let found = client_authority(&args).map_err(|error| format!("{error:#}"));
            match found {
                // A kubeconfig that is gone takes nobody's rights away, and a file without a word is one that is being written.
                Ok(None) => {}
                Ok(Some(authority)) if authority.trim().is_empty() => {}
                Ok(authority) => {
                    said = None;
                    sender.send_if_modified(|before| {
                        let is_another = *before != authority;
                        *before = authority;
                        is_another
                    });
                }
                Err(error) if said.as_ref() != Some(&error) => {
                    tracing::error!("{error}: the authority of clients stays as it was");
                    said = Some(error);
                }
                Err(_) => {}
            }
        }
    };
    Ok((receiver, keep))
}

/// Of a cluster as kubeadm makes it, one authority signs servers and clients.
fn client_authority(args: &Args) -> anyhow::Result<Option<String>> {
    match &args.client_ca_file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            text.map(Some).with_context(|| format!("cannot read {}", file.display()))
        }
        None => Ok(Kubeconfig::read(&args.kubeconfig)?.and_then(|kubeconfig| kubeconfig.authority)),
    }
}

/// Options as they are in force: none of them is a secret.
fn flags() -> BTreeMap<String, String> {
    let matches = Args::command().get_matches();
    let of = |name: &str| {
        let values = matches.get_raw(name)?;
        Some(values.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(","))
    };
    matches.ids().filter_map(|id| Some((id.as_str().replace('_', "-"), of(id.as_str())?))).collect()
}
