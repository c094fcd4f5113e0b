//! This host as Nomad knows it.

use barepod_api::v1;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError};

/// Why it is not known there.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Nomad does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent is a server alone.
    #[error("the Nomad agent at {0} is no client: `address` must be that of the agent on this host, and that a client")]
    NoClient(String),
}

/// What an agent says of itself; keys are Nomad's.
#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    pub(crate) config: AgentConfig,
    stats: Stats,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgentConfig {
    #[serde(default)]
    pub(crate) plugin_dir: String,
    #[serde(default)]
    pub(crate) data_dir: String,
    #[serde(rename = "ACL")]
    acl: Option<Acl>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Acl {
    enabled: bool,
}

#[derive(Debug, Deserialize)]
struct Stats {
    client: Option<ClientStats>,
}

#[derive(Debug, Deserialize)]
struct ClientStats {
    node_id: Option<String>,
}

impl Agent {
    pub(crate) async fn ask(client: &Client) -> Result<Self, ClientError> {
        client.get("/v1/agent/self").await
    }

    /// Whether tokens are asked for.
    pub(crate) fn has_acl(&self) -> bool {
        self.config.acl.as_ref().is_some_and(|acl| acl.enabled)
    }

    pub(crate) fn node_id(&self) -> Option<&str> {
        self.stats.client.as_ref()?.node_id.as_deref()
    }
}

/// A client's node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Node {
    /// Its identity.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its pool.
    #[serde(default)]
    pub node_pool: String,
    /// What it has.
    pub node_resources: NodeResources,
}

/// Part of what a node has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeResources {
    /// CPU.
    pub cpu: NodeCpu,
}

/// A node's CPU.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeCpu {
    /// All of it, in MHz.
    pub cpu_shares: u64,
}

impl Node {
    /// The node of the agent that is asked.
    pub(crate) async fn find(client: &Client) -> Result<Self, NodeError> {
        Self::find_as(client).await
    }

    /// The same, as far as `T` wants to know it.
    pub(crate) async fn find_as<T: DeserializeOwned>(client: &Client) -> Result<T, NodeError> {
        let agent = Agent::ask(client).await?;
        let none = || NodeError::NoClient(client.settings().address.clone());
        let id = agent.node_id().filter(|id| !id.is_empty()).ok_or_else(none)?;
        Ok(client.get(&format!("/v1/node/{id}")).await?)
    }

    /// The beginning of its identity, as Nomad shows it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }
}

/// What CPU is on both sides: a client's MHz are a host's thousandths of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// All of the client's, in MHz.
    pub mhz: u64,
    /// All of the host's, in thousandths of one.
    pub milli: u64,
}

impl Scale {
    /// Of this node on a host that the daemon describes so.
    #[must_use]
    pub fn of(node: &Node, host: &v1::HostResponse) -> Self {
        let milli = host.capacity.map(|amounts| amounts.cpu_milli).unwrap_or_default();
        Self { mhz: node.node_resources.cpu.cpu_shares.max(1), milli: milli.max(1) }
    }

    /// Rounded up: nobody gets anything for nothing.
    #[must_use]
    pub fn to_mhz(self, milli: u64) -> u64 {
        milli.saturating_mul(self.mhz).div_ceil(self.milli)
    }

    /// Rounded up, as above.
    #[must_use]
    pub fn to_milli(self, mhz: u64) -> u64 {
        mhz.saturating_mul(self.milli).div_ceil(self.mhz)
    }
}
