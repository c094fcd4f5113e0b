//! Many nodes in one process. Each runs what the bridge runs for one, with its own credentials and connections, against a
//! simulated daemon on a socket of its own. There is no kubelet port, and no certificate is renewed.
//!
//! ```text
//!   API server ◀── barepod_node::run ──socket──▶ Daemon      one node
//!              ◀── barepod_node::run ──socket──▶ Daemon      the next
//!                         ...
//! ```

mod daemon;
mod pod;
mod service;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use barepod_api::v1::barepod_server::BarepodServer;
use barepod_credentials::NodeName;
use barepod_node::{Access, Files, Settings};
use clap::Parser;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use daemon::Daemon;
use service::Service;

/// Runs the nodes of a list until it is killed.
#[derive(Debug, Parser)]
#[command(name = "barepod-fleet", version)]
struct Args {
    /// The nodes, one a line: `NAME KUBECONFIG`.
    #[arg(long, value_name = "FILE")]
    nodes: PathBuf,
    /// Where the sockets of their daemons are made.
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Milliseconds from the begin of one to that of the next.
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pace: u64,
}

fn main() -> anyhow::Result<()> {
    // As the bridge does: what it holds is measured here.
    barepod_sys::allocator::share_one_arena();
    let args = Args::parse();
    barepod_telemetry::init(None)?;
    rustls::crypto::ring::default_provider().install_default().ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(fleet(&args))
}

async fn fleet(args: &Args) -> anyhow::Result<()> {
    let list = std::fs::read_to_string(&args.nodes)
        .with_context(|| format!("cannot read the list of nodes, {}", args.nodes.display()))?;
    let mut nodes = tokio::task::JoinSet::new();
    for (number, line) in list.lines().enumerate() {
        let (name, kubeconfig) = line
            .split_once(' ')
            .with_context(|| format!("{}:{}: write NAME KUBECONFIG", args.nodes.display(), number + 1))?;
        let name: NodeName = name.parse().with_context(|| format!("{}:{}", args.nodes.display(), number + 1))?;
        nodes.spawn(node(name, PathBuf::from(kubeconfig), args.directory.clone(), address(number)));
        tokio::time::sleep(Duration::from_millis(args.pace)).await;
    }
    // None of them ends by itself, unless something is wrong.
    match nodes.join_next().await {
        Some(ended) => ended?,
        None => anyhow::bail!("{} names no node", args.nodes.display()),
    }
}

/// One node, for ever.
async fn node(name: NodeName, kubeconfig: PathBuf, directory: PathBuf, address: IpAddr) -> anyhow::Result<()> {
    let socket = directory.join(format!("{name}.sock"));
    let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen at {}", socket.display()))?;
    let service = Service(Daemon::new(name.as_str()));
    let daemon = tonic::transport::Server::builder()
        .add_service(BarepodServer::new(service))
        .serve_with_incoming(UnixListenerStream::new(listener));
    let bridge = bridge(&name, kubeconfig, &directory, &socket, address);
    tokio::select! {
        ended = daemon => Ok(ended?),
        ended = bridge => ended,
    }
}

/// What `barepod-bridge --port 0 --rotate-server-certificates false` does.
async fn bridge(
    name: &NodeName,
    kubeconfig: PathBuf,
    directory: &Path,
    socket: &Path,
    address: IpAddr,
) -> anyhow::Result<()> {
    let files = Files {
        kubeconfig,
        bootstrap_kubeconfig: directory.join(format!("{name}.bootstrap-kubeconfig")),
        certificates: directory.join(format!("{name}.pki")),
    };
    let stop = CancellationToken::new();
    let access = Access::gain(files, name.clone(), &stop).await?;
    let access = access.with_context(|| format!("{name} was stopped"))?;
    let settings = Settings {
        name: name.to_string(),
        addresses: vec![address],
        labels: BTreeMap::new(),
        taints: Vec::new(),
        max_pods: 110,
        web_sockets: true,
    };
    barepod_node::run(access, barepod_api::reach(socket), settings, watch::channel(None).1, watch::channel(()).1, stop)
        .await;
    anyhow::bail!("{name} has ended")
}

/// An address that no other of them has: nobody is asked there.
fn address(number: usize) -> IpAddr {
    let [.., a, b] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    Ipv4Addr::new(10, 64, a, b).into()
}
