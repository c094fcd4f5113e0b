//! What the kubelet port is told.

use std::collections::BTreeMap;

use anyhow::Context as _;
use barepod_credentials::{Kubeconfig, NodeName};
use barepod_kubelet::Settings;
use clap::CommandFactory as _;

use crate::args::Args;

/// # Errors
/// A file that was named cannot be read.
pub(crate) fn settings(args: &Args, node: &NodeName) -> anyhow::Result<Settings> {
    Ok(Settings {
        node: node.clone(),
        socket: args.socket.clone(),
        address: args.address,
        port: args.port,
        client_authority: client_authority(args)?,
        rotates_server_certificates: args.rotate_server_certificates,
        max_pods: args.max_pods,
        flags: flags(),
    })
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
