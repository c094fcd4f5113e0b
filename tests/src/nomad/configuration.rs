//! What the agent is told.

use serde_json::{Value, json};

use super::Nomad;

/// The name of a network of the client that has a single address.
pub const ONE: &str = "one";

/// How it differs from the plainest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Nothing of barepod is there: no plugin, and no configuration of it.
    pub bare: bool,
    /// With ACLs; the management token is used for everything that is asked here.
    pub acl: bool,
    /// With TLS, and certificates on both sides.
    pub tls: bool,
    /// Further drivers.
    pub raw_exec: bool,
    /// What its client believes to have, in MiB.
    pub memory: Option<u32>,
}

impl Nomad {
    pub(super) fn configuration(&self) -> Value {
        let [http, rpc, serf] = self.ports;
        let Options { bare, acl, raw_exec, memory, tls: _ } = self.options;
        let secured = self.tls.as_ref().map(|tls| {
            json!({
                "http": true,
                "verify_https_client": true,
                "ca_file": tls.authority(),
                "cert_file": tls.agent.certificate,
                "key_file": tls.agent.key,
            })
        });
        let drivers = if raw_exec { "barepod,raw_exec" } else { "barepod" };
        let mut plugins = json!({"raw_exec": {"config": {"enabled": raw_exec}}});
        if !bare {
            plugins["barepod-nomad-driver"] = json!({"config": {"socket": self.socket}});
        }
        let clouds = "env_aws,env_azure,env_digitalocean,env_gce,cni,consul,vault";
        json!({
            "name": "host-1",
            "data_dir": self.directory.join("data"),
            "plugin_dir": self.directory.join("plugins"),
            "bind_addr": "127.0.0.1",
            "ports": {"http": http, "rpc": rpc, "serf": serf},
            // It refuses to take the loopback address for its own by itself.
            "advertise": {"http": "127.0.0.1", "rpc": "127.0.0.1", "serf": "127.0.0.1"},
            "disable_update_check": true,
            "log_level": "DEBUG",
            "server": {"enabled": true, "bootstrap_expect": 1, "raft_multiplier": 1, "heartbeat_grace": "5s"},
            "client": {
                "enabled": true,
                "network_interface": "lo",
                "host_network": [{ONE: {"cidr": "127.0.0.1/32"}}],
                "options": {"driver.allowlist": drivers, "fingerprint.denylist": clouds},
                "memory_total_mb": memory.unwrap_or_default(),
            },
            "acl": {"enabled": acl},
            "tls": secured.unwrap_or_else(|| json!({})),
            "telemetry": {"publish_allocation_metrics": true, "collection_interval": "1s"},
            "plugin": plugins,
        })
    }
}
