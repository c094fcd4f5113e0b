//! Reading the configuration again while pods run: what can change takes force, what cannot is said, and a file that is
//! broken or gone changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use barepod_core::{HostRules, Input, Severity};
use barepod_linux::Dirs;
use barepod_model::Reason;
use barepod_reader::Reader;

use crate::config::{self, Config, Force, force};
use crate::grpc::{self, Access};
use crate::journal::Journal;
use crate::settings::Settings;
use crate::supervisor::Handle;
use crate::whole;

/// What a reload changes.
#[derive(Debug)]
pub(crate) struct Reload {
    pub(crate) file: PathBuf,
    /// The file was there when the daemon started.
    pub(crate) was_there: bool,
    pub(crate) dirs: Dirs,
    pub(crate) settings: Settings,
    pub(crate) access: Access,
    pub(crate) socket: PathBuf,
    pub(crate) reader: Arc<Reader>,
    pub(crate) supervisor: Handle,
    pub(crate) journal: Arc<Journal>,
}

impl Reload {
    /// Reads the file, and puts in force what can be.
    pub(crate) async fn run(&mut self) {
        match self.read() {
            Ok((file, access)) => self.put(file, access).await,
            Err(fault) => {
                let message = format!("the configuration is as it was: {fault}");
                self.journal.add_host(Severity::Warning, Reason::ConfigInvalid, message);
            }
        }
    }

    fn read(&mut self) -> Result<(Config, Access), String> {
        let is_there = self.file.exists();
        if self.was_there && !is_there {
            return Err(format!("{} is gone; an empty one would mean the defaults", self.file.display()));
        }
        self.was_there = is_there;
        let config = config::read(&self.file).map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        let access = Access::new(config.socket_group.as_deref(), config.bridge_user.as_deref());
        let access = access.map_err(|error| format!("{}: {error}", self.file.display()))?;
        Ok((config, access))
    }

    async fn put(&self, file: Config, access: Access) {
        let held = self.settings.now();
        let next = held.reloaded(file.clone());
        let (changed, waiting) = (held.difference(&next), next.difference(&file));
        if !changed.is_empty() {
            self.settings.put(next.clone());
            self.reader.set_labels(next.node_labels.clone());
            self.let_in(access);
            let capacity = next.resources.capacity(whole::amounts(&self.dirs.state), Vec::new());
            let rules = HostRules {
                backoff: next.backoff,
                amounts: capacity.amounts,
                pods: capacity.pods,
                pressure: next.resources.pressure.clone(),
            };
            self.supervisor.tell(Input::Ruled { rules: Box::new(rules) }).await;
        }
        self.journal.add_host(Severity::Normal, Reason::ConfigReloaded, told(&changed));
        if !waiting.is_empty() {
            let message = format!(
                "{} will be as {} says after a restart of barepodd (systemctl restart barepod; services run on)",
                waiting.join(", "),
                self.file.display()
            );
            self.journal.add_host(Severity::Warning, Reason::ConfigNeedsRestart, message);
        }
    }

    fn let_in(&self, access: Access) {
        if access.group() != self.access.group()
            && let Err(error) = grpc::give_to(&self.socket, &access)
        {
            tracing::error!(%error, "the socket's group is as it was");
        }
        self.access.follow(&access);
    }
}

/// What is said of the keys that are others now.
fn told(changed: &[String]) -> String {
    let those = |of: Force| changed.iter().filter(|key| force(key) == of).cloned().collect::<Vec<_>>().join(", ");
    let (at_once, next_start) = (those(Force::AtOnce), those(Force::NextStart));
    match (at_once.is_empty(), next_start.is_empty()) {
        (true, true) => "the configuration was read again: nothing that can change has changed".to_owned(),
        (false, true) => format!("changed: {at_once}"),
        (true, false) => format!("changed for containers that are started from now on: {next_start}"),
        (false, false) => format!("changed: {at_once}; for containers that are started from now on: {next_start}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_of_each_key_when_it_takes_force() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(told(&keys(&["nodeLabels", "resources.maxPods"])), "changed: nodeLabels, resources.maxPods");
        assert_eq!(
            told(&keys(&["clusterDNS", "probeAddress"])),
            "changed: probeAddress; for containers that are started from now on: clusterDNS"
        );
        assert!(told(&keys(&["clusterDNS"])).ends_with("from now on: clusterDNS"));
        assert!(told(&[]).contains("nothing"));
    }
}
