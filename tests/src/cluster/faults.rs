//! What befalls a control plane: its API server dies or hangs, and its store is set back to an earlier state.

use std::path::PathBuf;
use std::process::Command;

use super::{ClusterError, ControlPlane};
use crate::process;

/// A state of the store, as long as the control plane is there.
#[derive(Clone, Debug)]
pub struct Snapshot(PathBuf);

impl ControlPlane {
    /// SIGKILL to the API server.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill_api_server(&self) -> Result<(), ClusterError> {
        self.servers.api_server.kill()
    }

    /// Starts the API server that was killed, and waits until it is ready.
    ///
    /// # Errors
    /// It ends, or does not become ready.
    pub fn start_api_server(&self) -> Result<(), ClusterError> {
        self.servers.api_server.start()?;
        self.await_api_server()
    }

    /// SIGSTOP to the API server: connections are accepted by the kernel, and nothing is answered.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze_api_server(&self) -> Result<(), ClusterError> {
        self.servers.api_server.freeze()
    }

    /// SIGCONT to the API server.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw_api_server(&self) -> Result<(), ClusterError> {
        self.servers.api_server.thaw()
    }

    /// SIGKILL to the controller manager: no node is found lost, no pod made or removed.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill_controller_manager(&self) -> Result<(), ClusterError> {
        self.servers.controller_manager.kill()
    }

    /// Starts the controller manager that was killed.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_controller_manager(&self) -> Result<(), ClusterError> {
        self.servers.controller_manager.start()
    }

    /// Keeps the state of the store: the files that an etcd would leave that is killed now, from which it recovers. For as
    /// long as they are copied etcd is stopped.
    ///
    /// # Errors
    /// etcd does not run, or the files cannot be copied.
    pub fn snapshot(&self) -> Result<Snapshot, ClusterError> {
        let copy = self.scratch.join(format!("etcd-{}", self.next()));
        self.servers.etcd.freeze()?;
        let copied = process::run(Command::new("cp").arg("-a").arg(self.data()).arg(&copy));
        self.servers.etcd.thaw()?;
        copied?;
        Ok(Snapshot(copy))
    }

    /// Sets the store back, as after a disaster: everything is killed, and started again on what was kept. What has happened
    /// since is unknown to it, and resource versions are given out a second time.
    ///
    /// # Errors
    /// The files cannot be put back, or the control plane does not come up again.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), ClusterError> {
        for server in self.servers.all() {
            server.kill()?;
        }
        fs_err::remove_dir_all(self.data())?;
        process::run(Command::new("cp").arg("-a").arg(&snapshot.0).arg(self.data()))?;
        self.come_up()
    }
}
