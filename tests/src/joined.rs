//! A scratch host that is a node of a real cluster.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use crate::bridge::{self, Bridge};
use crate::clock::Clock;
use crate::cluster::{Answer, ClusterError, ControlPlane, Credentials, Recipe};
use crate::host::{Host, HostError, SOON};
use crate::process::run;
use crate::programs::Built;
use crate::wait::{WaitedInVain, wait_for};

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum JoinedError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Something did not come to pass.
    #[error("{vain}\n--- the bridge's last words:\n{bridge}\n--- the daemon's:\n{daemon}")]
    Vain {
        /// What.
        vain: WaitedInVain,
        /// The bridge's last words.
        bridge: String,
        /// The daemon's.
        daemon: String,
    },
}

/// A cluster of one node.
#[derive(Debug)]
pub struct Joined {
    // Before the others: it asks both.
    /// The node's bridge.
    pub bridge: Bridge,
    /// The node's host.
    pub host: Host,
    /// The cluster.
    pub plane: ControlPlane,
}

/// The node's name.
pub const NODE: &str = "host-1";
/// The node's kubelet port.
pub const PORT: SocketAddr = SocketAddr::new(IpAddr::V4(ADDRESS), 10250);
/// The node's address, which is its pods' too.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

impl Joined {
    /// Brings all up, and waits until the node is ready.
    ///
    /// # Errors
    /// What does not come up.
    pub fn start() -> Result<Self, JoinedError> {
        Self::with(&Recipe::default(), "")
    }

    /// The same with a control plane of this recipe, and this at the end of the daemon's configuration.
    ///
    /// # Errors
    /// What does not come up.
    pub fn with(recipe: &Recipe, config: &str) -> Result<Self, JoinedError> {
        Self::of(Built::here().map_err(HostError::from)?, recipe, config, &[])
    }

    /// The same with the programs of another build, and further arguments of the bridge.
    ///
    /// # Errors
    /// What does not come up.
    pub fn of(built: Built, recipe: &Recipe, config: &str, arguments: &[&str]) -> Result<Self, JoinedError> {
        let host = Host::of(built, &format!("{}{config}", bridge::CONFIG))?;
        Self::around(host, recipe, arguments)
    }

    /// The same around a host whose daemon has not been started, with all that [`bridge::CONFIG`] says in its configuration.
    ///
    /// # Errors
    /// What does not come up.
    pub fn around(mut host: Host, recipe: &Recipe, arguments: &[&str]) -> Result<Self, JoinedError> {
        let address = own_network()?;
        let plane = ControlPlane::start(&Recipe { address, ..recipe.clone() })?;
        host.start()?;
        let bridge = Bridge::start_with(&host, NODE, address, &plane.kubeconfig_of_node(NODE)?, arguments)?;
        let joined = Self { bridge, host, plane };
        joined.prepare()?;
        Ok(joined)
    }

    /// The same by `barepod kube join` with a token, and further arguments of the bridge.
    ///
    /// # Errors
    /// What does not come up.
    pub fn by_token(recipe: &Recipe, arguments: &[&str]) -> Result<Self, JoinedError> {
        let address = own_network()?;
        let plane = ControlPlane::start(&Recipe { address, ..recipe.clone() })?;
        let host = Host::started(bridge::CONFIG)?;
        Self::joining(host, plane, address, arguments)
    }

    fn joining(host: Host, plane: ControlPlane, address: IpAddr, arguments: &[&str]) -> Result<Self, JoinedError> {
        let joining = join(&host, &plane, &plane.bootstrap_token(), &[]);
        host.barepod(&joining.iter().map(String::as_str).collect::<Vec<_>>())?;
        let bridge = Bridge::of_joined(&host, address, arguments)?;
        let joined = Self { bridge, host, plane };
        joined.prepare()?;
        Ok(joined)
    }

    /// The same of a host with a wall clock of its own, and that clock.
    ///
    /// # Errors
    /// What does not come up.
    pub fn with_own_clock() -> Result<(Self, Clock), JoinedError> {
        let address = own_network()?;
        let plane = ControlPlane::start(&Recipe { address, ..Recipe::default() })?;
        let mut host = Host::new(bridge::CONFIG)?;
        let clock = host.own_clock()?;
        host.start()?;
        Ok((Self::joining(host, plane, address, &[])?, clock))
    }

    /// A cluster by whose API server a client's streams reach the node: passed on where the client speaks a WebSocket, or
    /// translated into SPDY. The node says which of both it takes.
    ///
    /// # Errors
    /// What does not come up.
    pub fn with_streams(passed_on: bool) -> Result<Self, JoinedError> {
        let gate: &[&str] = match passed_on {
            true => &[],
            false => &["--feature-gates", "ExtendWebSocketsToKubelet=false"],
        };
        let joined = Self::of(Built::here().map_err(HostError::from)?, &Recipe::default(), "", gate)?;
        joined.approve_serving_certificate()?;
        joined.until("the node to say what it can", |joined| {
            let node = joined.get(&["node", NODE])?;
            let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
            let says = node["status"]["declaredFeatures"].to_string().contains("ExtendWebSockets");
            (port.is_some_and(|port| port > 0) && says == passed_on).then_some(())
        })?;
        Ok(joined)
    }

    /// What pods need, and a node that is ready.
    fn prepare(&self) -> Result<(), JoinedError> {
        self.plane.install()?;
        self.until("the node to be ready", |joined| {
            joined.get(&["node", NODE]).filter(|node| has_condition(node, "Ready", "True")).map(drop)
        })
    }

    /// Approves what the node asks for its kubelet port, as an administrator does, and waits until the port shows it: before
    /// that the API server does not speak to it.
    ///
    /// # Errors
    /// It does not ask, or is not given it.
    pub fn approve_serving_certificate(&self) -> Result<(), JoinedError> {
        let request = self.until("a request for a serving certificate", |joined| {
            let requests = joined.get(&["csr"])?["items"].as_array()?.clone();
            let is_serving = |it: &&Value| it["spec"]["signerName"] == "kubernetes.io/kubelet-serving";
            requests.iter().find(is_serving)?["metadata"]["name"].as_str().map(str::to_owned)
        })?;
        self.kubectl(&["certificate", "approve", &request])?;
        self.until("the kubelet port to show its certificate", |joined| {
            joined.ask_port(&Credentials::none(), ("GET", "/healthz")).ok()
        })?;
        Ok(())
    }

    /// Asks the node's kubelet port itself.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask_port(&self, who: &Credentials, question: (&str, &str)) -> io::Result<Answer> {
        self.plane.ask_at(PORT, who, question)
    }

    /// Waits; what was said last is in the error.
    ///
    /// # Errors
    /// It does not come to pass.
    pub fn until<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T, JoinedError> {
        wait_for(what, SOON, || look(self)).map_err(|vain| {
            let (bridge, daemon) = (self.bridge.last_words(), self.host.last_words());
            JoinedError::Vain { vain, bridge, daemon }
        })
    }

    /// An object, if the API server answers and has it.
    pub fn get(&self, args: &[&str]) -> Option<Value> {
        self.plane.get(args).ok()
    }

    /// Waits until a pod is as it should be.
    ///
    /// # Errors
    /// It does not become so.
    pub fn pod_until(&self, name: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value, JoinedError> {
        self.until(&format!("pod {name} to be {what}"), |joined| joined.get(&["pod", name]).filter(|pod| holds(pod)))
    }

    /// Waits until a pod is ready; its host pid.
    ///
    /// # Errors
    /// It does not become ready.
    pub fn ready(&self, name: &str) -> Result<u32, JoinedError> {
        self.pod_until(name, "ready", |pod| has_condition(pod, "Ready", "True"))?;
        self.until(&format!("{name} to have a process"), |joined| joined.host.pid(name))
    }

    /// Waits until a pod has gone, here and there.
    ///
    /// # Errors
    /// Something of it stays.
    pub fn gone(&self, name: &str) -> Result<(), JoinedError> {
        self.until(&format!("pod {name} to be gone"), |joined| {
            let list = joined.plane.kubectl(&["get", "pods", "-o", "name"]).ok()?;
            (!list.lines().any(|line| line == format!("pod/{name}"))).then_some(())
        })?;
        self.until(&format!("{name} to be gone from the host"), |joined| joined.host.pod(name).is_err().then_some(()))
    }

    /// Applies an object.
    ///
    /// # Errors
    /// As kubectl says.
    pub fn apply(&self, object: &Value) -> Result<(), JoinedError> {
        self.plane.kubectl_apply(&object.to_string())?;
        Ok(())
    }

    /// Runs kubectl.
    ///
    /// # Errors
    /// As it says.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, JoinedError> {
        Ok(self.plane.kubectl(args)?)
    }
}

/// Puts this thread, and all that it starts from now on, into a network of its own; the address of the one host in it.
/// Kubernetes takes no loopback address for the address of a pod.
fn own_network() -> Result<IpAddr, JoinedError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| HostError::Io(errno.into()))?;
    let address = format!("{ADDRESS}/32");
    for arguments in [&["link", "set", "lo", "up"][..], &["addr", "add", &address, "dev", "lo"]] {
        run(Command::new("ip").args(arguments)).map_err(HostError::from)?;
    }
    Ok(ADDRESS.into())
}

/// The arguments of `barepod kube join` for this host to become the node of this cluster.
pub fn join(host: &Host, plane: &ControlPlane, token: &str, more: &[&str]) -> Vec<String> {
    let (server, hash, root) = (plane.server(), plane.ca_hash(), host.path("").display().to_string());
    let arguments = ["kube", "join", &server, "--token", token, "--discovery-token-ca-cert-hash", &hash];
    let arguments = [&arguments[..], &["--node-name", NODE, "--root", &root], more].concat();
    arguments.into_iter().map(str::to_owned).collect()
}

/// Whether an object's condition has this status.
pub fn has_condition(object: &Value, kind: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == status)
}

/// A pod of one container that runs a line of shell.
pub fn shell(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "runtimeClassName": "barepod",
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "main", "image": "host", "command": ["/bin/sh", "-c", script]}],
        },
    })
}
