//! The server of an agent that is a client alone: a process of its own, and a way to it that can be cut.

use std::io;
use std::net::Ipv4Addr;

use serde_json::Value;

use super::{Nomad, NomadError};
use crate::host::signal;
use crate::link::Link;
use crate::process::Owned;
use crate::scratch::steady_port;

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    process: Option<Owned>,
    pub(super) ports: [u16; 3],
    /// What clients take for it.
    pub(super) link: Link,
}

impl Server {
    pub(super) fn new() -> io::Result<Self> {
        let port = || steady_port(Ipv4Addr::LOCALHOST.into());
        let ports = [port()?, port()?, port()?];
        Ok(Self { process: None, link: Link::to((Ipv4Addr::LOCALHOST, ports[1]).into())?, ports })
    }
}

impl Nomad {
    /// Starts the server that is a process of its own, and waits until it leads; nothing where there is none.
    ///
    /// # Errors
    /// It does not lead.
    pub fn start_server(&mut self) -> Result<(), NomadError> {
        if self.server.is_none() {
            return Ok(());
        }
        let process = self.spawn(&[self.directory.join("server.json")], "server.log")?;
        if let Some(server) = &mut self.server {
            server.process = Some(process);
        }
        self.has_leader()
    }

    /// SIGKILL to the server that is a process of its own.
    ///
    /// # Errors
    /// As kill(2).
    pub fn kill_server(&mut self) -> Result<(), NomadError> {
        let process = self.server.as_mut().and_then(|server| server.process.take());
        process.map_or(Ok(()), |mut process| Ok(process.kill()?))
    }

    /// Another signal to it, as `STOP`.
    ///
    /// # Errors
    /// As kill(2).
    pub fn signal_server(&self, name: &str) -> Result<(), NomadError> {
        let process = self.server.as_ref().and_then(|server| server.process.as_ref());
        process.map_or(Ok(()), |process| Ok(signal(process.id(), name)?))
    }

    /// From now on client and server do not hear each other.
    pub fn cut(&self) {
        self.server.iter().for_each(|server| server.link.cut());
    }

    /// They do again.
    pub fn mend(&self) {
        self.server.iter().for_each(|server| server.link.mend());
    }

    /// What the servers take the node for: ready, down, disconnected.
    pub fn node_is(&self, status: &str) -> Option<Value> {
        self.node().filter(|node| node["Status"] == status)
    }
}
