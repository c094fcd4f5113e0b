//! What the agent is told.

use std::io;

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
    /// The server is a process of its own, and misses a client as soon as Nomad lets it.
    pub apart: bool,
}

/// Who an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Both,
    Client,
    Server,
}

impl Nomad {
    /// Writes it for each agent there is.
    pub(super) fn write_configuration(&self) -> io::Result<()> {
        let write = |name: &str, role| std::fs::write(self.directory.join(name), self.configuration(role).to_string());
        if self.server.is_none() {
            return write("agent.json", Role::Both);
        }
        write("agent.json", Role::Client)?;
        write("server.json", Role::Server)
    }

    fn configuration(&self, role: Role) -> Value {
        let Options { acl, .. } = self.options;
        let server = self.server.as_ref().filter(|_| role == Role::Server);
        let [http, rpc, serf] = server.map_or(self.ports, |server| server.ports);
        let secured = self.tls.as_ref().map(|tls| {
            json!({
                "http": true,
                "verify_https_client": true,
                "ca_file": tls.authority(),
                "cert_file": tls.agent.certificate,
                "key_file": tls.agent.key,
            })
        });
        let (name, data) = if role == Role::Server { ("server-1", "server") } else { ("host-1", "data") };
        // What a server says of itself is what clients go on with.
        let advertised = server.map_or_else(|| "127.0.0.1".to_owned(), |server| server.link.address().to_string());
        json!({
            "name": name,
            "data_dir": self.directory.join(data),
            "plugin_dir": self.directory.join("plugins"),
            "bind_addr": "127.0.0.1",
            "ports": {"http": http, "rpc": rpc, "serf": serf},
            // It refuses to take the loopback address for its own by itself.
            "advertise": {"http": "127.0.0.1", "rpc": advertised, "serf": "127.0.0.1"},
            "disable_update_check": true,
            "log_level": "DEBUG",
            "server": self.of_server(role),
            "client": self.of_client(role),
            "acl": {"enabled": acl},
            "tls": secured.unwrap_or_else(|| json!({})),
            "telemetry": {"publish_allocation_metrics": true, "collection_interval": "1s"},
            "plugin": if role == Role::Server { json!({}) } else { self.plugins_wanted() },
        })
    }

    fn of_server(&self, role: Role) -> Value {
        if role == Role::Client {
            return json!({"enabled": false});
        }
        let mut server = json!({"enabled": true, "bootstrap_expect": 1, "raft_multiplier": 1, "heartbeat_grace": "5s"});
        if role == Role::Server {
            server["min_heartbeat_ttl"] = json!("1s");
        }
        server
    }

    fn of_client(&self, role: Role) -> Value {
        if role == Role::Server {
            return json!({"enabled": false});
        }
        let Options { raw_exec, memory, .. } = self.options;
        let drivers = if raw_exec { "barepod,raw_exec" } else { "barepod" };
        let clouds = "env_aws,env_azure,env_digitalocean,env_gce,cni,consul,vault";
        json!({
            "enabled": true,
            "servers": self.server.iter().map(|server| server.link.address().to_string()).collect::<Vec<_>>(),
            "network_interface": "lo",
            "host_network": [{ONE: {"cidr": "127.0.0.1/32"}}],
            "options": {"driver.allowlist": drivers, "fingerprint.denylist": clouds},
            "memory_total_mb": memory.unwrap_or_default(),
        })
    }

    fn plugins_wanted(&self) -> Value {
        let Options { bare, raw_exec, .. } = self.options;
        let mut plugins = json!({"raw_exec": {"config": {"enabled": raw_exec}}});
        if !bare {
            plugins["barepod-nomad-driver"] = json!({"config": {"socket": self.socket}});
        }
        plugins
    }
}
