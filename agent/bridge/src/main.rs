//! barepod-bridge: what connects a host's barepodd with a Kubernetes cluster. A client of the daemon's socket, without rights
//! on the host; all network is here.

mod args;
mod client;

use std::process::ExitCode;

use anyhow::Context as _;
use barepod_node::Settings;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::args::Args;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("barepod-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    barepod_telemetry::init(args.log_format)?;
    // Its own cryptography, whatever else is linked in.
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(bridge(args))
}

async fn bridge(args: Args) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let settings = settings(&args)?;
    let daemon = barepod_api::reach(&args.socket);
    let client = client::of(&args.kubeconfig).await?;
    tokio::spawn(end_at_signal(stop.clone())?);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = settings.name, "begins");
    if let Some(kubeconfig) = &args.controllers_kubeconfig {
        let controllers = barepod_operator::run(client::of(kubeconfig).await?);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = controllers => {}
            }
        });
    }
    barepod_node::run(client, daemon, settings, stop).await;
    tracing::info!("ended; pods run on");
    Ok(())
}

fn settings(args: &Args) -> anyhow::Result<Settings> {
    let name = match &args.node_name {
        Some(name) => name.clone(),
        None => host_name().context("this host has no name: give one with --node-name")?,
    };
    let labels = args.node_labels.iter().map(|label| {
        let split = label.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        split.with_context(|| format!("{label:?} is no label; write key=value"))
    });
    Ok(Settings {
        name,
        addresses: args.node_ip.clone(),
        labels: labels.collect::<anyhow::Result<_>>()?,
        taints: args.register_with_taints.clone(),
        port: None,
        max_pods: args.max_pods,
    })
}

/// As kubelet names a node: in small letters.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_lowercase();
    (!name.is_empty()).then_some(name)
}

fn end_at_signal(stop: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        stop.cancel();
    })
}
