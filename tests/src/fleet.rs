//! Several hosts, each with an address of its own, that are the nodes of a real cluster.

use crate::bridge::{self, Bridge, hand_over};
use crate::cluster::{ClusterError, ControlPlane, Recipe};
use crate::host::{Host, HostError, SOON};
use crate::joined::has_condition;
use crate::logs;
use crate::network::{Network, NetworkError};
use crate::wait::{WaitedInVain, wait_for};

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Something did not come to pass.
    #[error("{vain}\n{last_words}")]
    Vain {
        /// What.
        vain: WaitedInVain,
        /// What all hosts said last.
        last_words: String,
    },
}

/// A host that is a node.
#[derive(Debug)]
pub struct Node {
    // Before its host: it asks the daemon.
    /// Its bridge.
    pub bridge: Bridge,
    /// Its daemon, and what it runs.
    pub host: Host,
    /// What the cluster calls it.
    pub name: String,
}

/// A cluster of several nodes. The first one's bridge runs the controllers.
#[derive(Debug)]
pub struct Fleet {
    // In the order in which they go.
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Its control plane, on the machine's own address in the network.
    pub plane: ControlPlane,
    /// What joins them.
    pub network: Network,
}

impl Fleet {
    /// Brings all up, with a control plane of this recipe, and waits until all nodes are ready. `config` is at the end of each daemon's configuration; `prepare` sees
    /// each host before its daemon starts.
    ///
    /// # Errors
    /// What does not come up.
    pub fn start(
        hosts: u8,
        recipe: &Recipe,
        config: &str,
        prepare: impl Fn(&Host) -> Result<(), HostError>,
    ) -> Result<Self, FleetError> {
        let network = Network::new(hosts)?;
        let plane = ControlPlane::start(&Recipe { address: network.address(), ..recipe.clone() })?;
        plane.install()?;
        let mut nodes = Vec::new();
        for (number, place) in network.hosts().iter().enumerate() {
            let name = format!("host-{}", number + 1);
            let mut host = Host::in_view(&format!("{}{config}", bridge::CONFIG))?;
            prepare(&host)?;
            host.set_network(place);
            host.start()?;
            let controllers = match number {
                0 => Some(hand_over(&host, &plane.kubeconfig_of_controllers()?, "controllers")?.display().to_string()),
                _ => None,
            };
            let more = controllers.as_deref().map(|file| vec!["--controllers-kubeconfig", file]).unwrap_or_default();
            let bridge = Bridge::start_with(&host, &name, place.address(), &plane.kubeconfig_of_node(&name)?, &more)?;
            nodes.push(Node { bridge, host, name });
        }
        let fleet = Self { nodes, plane, network };
        for node in &fleet.nodes {
            fleet.until(&format!("{} to be ready", node.name), |fleet| {
                let there = fleet.plane.get(&["node", &node.name]).ok()?;
                has_condition(&there, "Ready", "True").then_some(())
            })?;
        }
        Ok(fleet)
    }

    /// Waits; what was said last is in the error.
    ///
    /// # Errors
    /// It does not come to pass.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T, FleetError> {
        wait_for(what, SOON, || look(self)).map_err(|vain| {
            let words = |node: &Node| {
                let (bridge, daemon, name) = (node.bridge.last_words(), node.host.last_words(), &node.name);
                let logs = logs::last_words(&node.host);
                format!(
                    "--- {name}'s bridge:\n{bridge}\n--- {name}'s daemon:\n{daemon}\n--- {name}'s containers:\n{logs}"
                )
            };
            FleetError::Vain { vain, last_words: self.nodes.iter().map(words).collect::<Vec<_>>().join("\n") }
        })
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}
