//! barepod-bridge: what connects a host's barepodd with a Kubernetes cluster, a Nomad cluster, or both. A client of the daemon's
//! socket, without rights on the host; all network is here.

mod args;
mod kubelet;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use barepod_credentials::{Kubeconfig, NodeName, User};
use barepod_kubelet::{Dealt, KubeletPort};
use barepod_node::{Access, FeatureGate, Files, Settings};
use barepod_registrar::Registrar;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::args::Args;

fn main() -> ExitCode {
    barepod_sys::allocator::share_one_arena();
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
    let name = node_name(&args)?;
    let settings = settings(&args, &name)?;
    let daemon = barepod_api::reach(&args.socket);
    tokio::spawn(end_at_signal(stop.clone())?);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = settings.name, "begins");
    let (books, booked) = watch::channel(());
    let registrar = registrar(&args, books, &stop)?;
    if let Some(registrar) = registrar.filter(|_| !has_joined(&args)) {
        registrar.await?;
        tracing::info!("ended; pods run on");
        return Ok(());
    }
    if let Some(kubeconfig) = &args.controllers_kubeconfig {
        let client = barepod_node::connect(kubeconfig).await?;
        tokio::spawn(until(stop.clone(), barepod_operator::run(client, identity(&name))));
    }
    if let Some(access) = Access::gain(files(&args), name.clone(), &stop).await? {
        let access = access.with_serving_certificate(args.rotate_server_certificates);
        let (listening, served) = match args.port {
            0 => (watch::channel(None).1, None),
            _ => {
                let (authority, keep) = kubelet::watched_authority(args.clone())?;
                tokio::spawn(until(stop.clone(), keep));
                let settings = kubelet::settings(&args, &name, authority);
                // Of its own connection, so that nothing that is streamed holds up the node.
                let daemon = barepod_api::reach(&args.socket);
                let standing = access.standing();
                let dealings = move || Dealt { client_ends: standing.client_ends(), answers: standing.answers() };
                let (client, serving) = (access.client(), access.serving());
                let port = KubeletPort::new(&settings, daemon, client, Arc::new(dealings), serving)?;
                (port.listening(), Some(tokio::spawn(port.run(stop.clone()))))
            }
        };
        barepod_node::run(access, daemon, settings, listening, booked, stop).await;
        if let Some(served) = served {
            served.await?;
        }
    }
    tracing::info!("ended; pods run on");
    Ok(())
}

/// What keeps this host's pods in Nomad's books, where that is wanted, and says when it has booked something here.
fn registrar(
    args: &Args,
    books: watch::Sender<()>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let settings = match barepod_registrar::Settings::read(&args.nomad_config) {
        Ok(Some(settings)) => settings,
        // What was booked holds until `barepod nomad reset` gives it back.
        Ok(None) => return Ok(None),
        // What is wrong with the one cluster's is no reason to leave the other one.
        Err(error) if has_joined(args) => {
            tracing::error!("pods are not counted by Nomad: {error}");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let client = barepod_registrar::Client::new(settings)?;
    let registrar = Registrar::new(client, args.socket.clone(), args.nomad_config.clone(), books);
    Ok(Some(tokio::spawn(registrar.run(stop.clone()))))
}

/// Whether there is anything of a Kubernetes cluster.
fn has_joined(args: &Args) -> bool {
    let files = [Some(&args.kubeconfig), Some(&args.bootstrap_kubeconfig), args.controllers_kubeconfig.as_ref()];
    files.into_iter().flatten().any(|file| file.exists())
}

async fn until(stop: CancellationToken, what: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = what => {}
    }
}

/// Tells this process from every other that would lead.
fn identity(name: &NodeName) -> String {
    format!("{name}_{}", uuid::Uuid::new_v4())
}

fn files(args: &Args) -> Files {
    Files {
        kubeconfig: args.kubeconfig.clone(),
        bootstrap_kubeconfig: args.bootstrap_kubeconfig.clone(),
        certificates: args.cert_dir.clone(),
    }
}

/// As it was said here, or when the host joined, or as the host is called.
fn node_name(args: &Args) -> anyhow::Result<NodeName> {
    if let Some(name) = &args.node_name {
        return Ok(name.clone());
    }
    let said = [&args.kubeconfig, &args.bootstrap_kubeconfig].into_iter().find_map(|path| {
        let kubeconfig = Kubeconfig::read(path).ok()??;
        match kubeconfig.user {
            User::Certificate(identity) => identity.certificate().node(),
            User::File(_) | User::Token(_) | User::Nobody => kubeconfig.node,
        }
    });
    said.map_or_else(NodeName::of_host, Ok).context("this host's own name will not do")
}

fn settings(args: &Args, name: &NodeName) -> anyhow::Result<Settings> {
    let labels = args.node_labels.iter().map(|label| {
        let split = label.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        split.with_context(|| format!("{label:?} is no label; write key=value"))
    });
    Ok(Settings {
        name: name.to_string(),
        addresses: args.node_ip.clone(),
        labels: labels.collect::<anyhow::Result<_>>()?,
        taints: args.register_with_taints.clone(),
        max_pods: args.max_pods,
        // Of two words the last one counts.
        web_sockets: args.feature_gates.last().is_none_or(|FeatureGate::ExtendWebSocketsToKubelet(enabled)| *enabled),
    })
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
