//! Certificates of a Nomad cluster: the agent's, without which it is not asked, and a client's, without which it does not answer.

use std::os::unix::fs::chown;
use std::path::PathBuf;

use crate::cluster::ClusterError;
use crate::cluster::certificates::{Authority, Files, Subject};
use crate::host::Host;

/// Debian's nobody, which the bridge runs as.
const NOBODY: u32 = 65_534;
/// As `nomad tls cert create` has it; no address of the agent's is in its certificate.
pub(super) const SERVER: &str = "client.global.nomad";

/// Where they are.
#[derive(Debug)]
pub struct Tls {
    authority: Authority,
    directory: PathBuf,
    pub(super) agent: Files,
    client: Files,
}

impl Tls {
    pub(super) fn new(host: &Host) -> Result<Self, ClusterError> {
        let directory = host.path("nomad-pki");
        std::fs::create_dir_all(&directory)?;
        let authority = Authority::new(&directory, "ca")?;
        let names = [SERVER, "server.global.nomad", "localhost"].map(str::to_owned);
        let agent = authority.sign(&Subject::server("agent", &names))?.write(&directory, "agent")?;
        let client = authority.sign(&Subject::client("host", None))?.write(&directory, "client")?;
        let tls = Self { authority, directory, agent, client };
        tls.give()?;
        Ok(tls)
    }

    /// The bridge must be able to read them.
    fn give(&self) -> Result<(), ClusterError> {
        Ok(chown(&self.client.key, Some(NOBODY), Some(NOBODY))?)
    }

    /// Who signs.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// A client's certificate.
    pub fn certificate(&self) -> &PathBuf {
        &self.client.certificate
    }

    /// Its key.
    pub fn key(&self) -> &PathBuf {
        &self.client.key
    }

    /// Another certificate for the client, in the same place.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn renew(&self) -> Result<(), ClusterError> {
        self.authority.sign(&Subject::client("host", None))?.write(&self.directory, "client")?;
        self.give()
    }
}
