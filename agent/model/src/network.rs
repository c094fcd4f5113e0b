//! What the files of `/etc` tell a container of its own name and of the network: `hosts`, `resolv.conf`.

use serde::{Deserialize, Serialize};

/// The domain of clusters of which nobody says otherwise.
pub const CLUSTER_DOMAIN: &str = "cluster.local";

/// What the pod asks for beyond the host's own files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct NetworkFiles {
    /// `hostAliases`: lines added to `/etc/hosts`.
    pub aliases: Vec<HostAlias>,
    /// The domain below which the pod's host name is known (`subdomain`): `<subdomain>.<namespace>.svc.<cluster domain>`;
    /// empty without one.
    pub domain: String,
    /// `dnsPolicy` and `dnsConfig`.
    pub dns: Dns,
    /// `hostNetwork`: the pod says itself that its network is the host's. It is so anyhow; `/etc/hosts` tells the difference, as
    /// kubelet's does.
    #[serde(default)]
    pub host_network: bool,
}

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    /// The address, as it was written.
    pub ip: String,
    /// The names it gets.
    pub names: Vec<String>,
}

/// How names are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Dns {
    /// What the rest is added to.
    pub base: DnsBase,
    /// `dnsConfig.nameservers`.
    pub nameservers: Vec<String>,
    /// `dnsConfig.searches`.
    pub searches: Vec<String>,
    /// `dnsConfig.options`: name, and value if it has one.
    pub options: Vec<(String, Option<String>)>,
}

/// What a pod's `resolv.conf` begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum DnsBase {
    /// The host's own (`Default`, and `ClusterFirst` with `hostNetwork: true`).
    #[default]
    Host,
    /// The cluster's, where the host is told of it; else the host's (`ClusterFirst`, `ClusterFirstWithHostNet`).
    Cluster,
    /// Nothing (`None`).
    Nothing,
}
