//! Many nodes without hosts on one real control plane, and what they ask of it.
//!
//! ```text
//!   kube-apiserver ◀──cable 0── barepod-fleet: the bridge's own code for each node, on simulated daemons
//!     and etcd     ◀──cable 1── hollow kubelets: kubelet's own code, on a simulated runtime (Kubernetes' kubemark)
//! ```
//!
//! Requests are counted by the API server, bytes by the kernel on either cable, with all headers.

use std::fs::File;
use std::io::{self, Write as _};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::Scratch;
use crate::cluster::{Audit, ClusterError, ControlPlane, Recipe};
use crate::joined::has_condition;
use crate::network::{Network, NetworkError};
use crate::peers::{KUBEMARK, NotBuilt};
use crate::process::{Owned, ProcessError, tail};
use crate::programs::{Built, ProgramError};

/// Between two looks at all nodes, or all pods.
const LOOK: Duration = Duration::from_secs(1);
/// As many descriptors as may be had: a node has eight, and a process 1024 where nothing is said.
const WITH_DESCRIPTORS: &str = r#"ulimit -n "$(ulimit -H -n)" && exec "$@""#;

/// What went wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum SimulatedError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A program of ours.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A program of Kubernetes'.
    #[error(transparent)]
    NotBuilt(#[from] NotBuilt),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A process of nodes, of which none ends by itself.
    #[error("a process has ended: {how}\n--- the last words of the nodes:\n{nodes}")]
    Ended {
        /// Which, and how.
        how: String,
        /// What the nodes said last.
        nodes: String,
    },
    /// Something did not come to pass.
    #[error("{error}\n--- the last words of the nodes:\n{nodes}")]
    Vain {
        /// What.
        error: ClusterError,
        /// What the nodes said last.
        nodes: String,
    },
}

/// Whose code a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bridge's.
    Barepod,
    /// Kubelet's.
    Kubelet,
}

impl Kind {
    /// What the names of such nodes begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Barepod => "barepod-",
            Self::Kubelet => "kubelet-",
        }
    }

    /// The name of one.
    pub fn node(self, number: usize) -> String {
        format!("{}{number:04}", self.prefix())
    }

    fn cable(self) -> u8 {
        match self {
            Self::Barepod => 0,
            Self::Kubelet => 1,
        }
    }
}

/// A control plane with such nodes.
#[derive(Debug)]
pub struct Simulated {
    // In the order in which they go.
    nodes: Vec<(Kind, Owned)>,
    /// The control plane.
    pub plane: ControlPlane,
    /// What the nodes ask of it.
    pub audit: Audit,
    network: Network,
    scratch: Scratch,
}

impl Simulated {
    /// A control plane without nodes.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start() -> Result<Self, SimulatedError> {
        let (scratch, network) = (Scratch::new()?, Network::new(2)?);
        let audit = Audit::new(scratch.path())?;
        let recipe = Recipe { address: network.address(), api_server: audit.arguments(), ..Recipe::default() };
        let plane = ControlPlane::start(&recipe)?;
        plane.install()?;
        Ok(Self { nodes: Vec::new(), plane, audit, network, scratch })
    }

    /// Begins so many nodes of barepod in one process, so many milliseconds apart.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin_barepod(&mut self, built: &Built, count: usize, pace: u64) -> Result<(), SimulatedError> {
        let mut list = String::new();
        for name in (0..count).map(|number| Kind::Barepod.node(number)) {
            list += &format!("{name} {}\n", self.plane.kubeconfig_of_node(&name)?.display());
        }
        let (file, directory) = (self.scratch.join("nodes"), self.scratch.join("sockets"));
        fs_err::write(&file, list)?;
        fs_err::create_dir(&directory)?;
        let mut command = self.host(Kind::Barepod).command("sh");
        command.args(["-c", WITH_DESCRIPTORS, "sh"]).arg(built.host("barepod-fleet")?);
        command.arg("--nodes").arg(file).arg("--directory").arg(directory);
        command.arg(format!("--pace={pace}")).env("BAREPOD_LOG", "warn").env("NO_COLOR", "1");
        self.begin(Kind::Barepod, command)
    }

    /// Begins so many hollow kubelets, a process each.
    ///
    /// # Errors
    /// kubemark is not built, or does not start.
    pub fn begin_kubelets(&mut self, count: usize) -> Result<(), SimulatedError> {
        for number in 0..count {
            let name = Kind::Kubelet.node(number);
            let kubeconfig = self.plane.kubeconfig_of_node(&name)?;
            let mut command = self.host(Kind::Kubelet).command(KUBEMARK.program("kubemark")?);
            command.args(["--morph=kubelet", "--use-host-image-service=false", "--kubelet-read-only-port=0", "--v=0"]);
            command.arg(format!("--name={name}")).arg(format!("--kubelet-port={}", 10_250 + number));
            command.arg("--kubeconfig").arg(kubeconfig).env("TMPDIR", self.scratch.path());
            self.begin(Kind::Kubelet, command)?;
        }
        Ok(())
    }

    fn begin(&mut self, kind: Kind, mut command: std::process::Command) -> Result<(), SimulatedError> {
        let log = File::options().create(true).append(true).open(self.log(kind))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.nodes.push((kind, Owned::spawn(&mut command)?));
        Ok(())
    }

    /// Waits until so many nodes of this kind are ready.
    ///
    /// # Errors
    /// They are not.
    pub fn ready(&mut self, kind: Kind, count: usize, limit: Duration) -> Result<(), SimulatedError> {
        self.until(
            &format!("{count} nodes {}* to be ready", kind.prefix()),
            limit,
            "nodes",
            |node| named(node, kind.prefix()) && has_condition(node, "Ready", "True"),
            count,
        )
    }

    /// Makes a pod for each of these pairs of its own name and its node's.
    ///
    /// # Errors
    /// The API server does not take one.
    pub fn create(&self, pods: &[(String, String)]) -> Result<(), SimulatedError> {
        let items: Vec<_> = pods.iter().map(|(name, node)| pod(name, node)).collect();
        let path = self.scratch.join("pods.json");
        fs_err::File::create(&path)?
            .write_all(json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string().as_bytes())?;
        self.plane.kubectl(&["create", "-o", "name", "-f", &path.display().to_string()])?;
        Ok(())
    }

    /// Waits until exactly these many pods, whose names begin so, are there and run.
    ///
    /// # Errors
    /// They do not.
    pub fn running(&mut self, prefix: &str, count: usize, limit: Duration) -> Result<(), SimulatedError> {
        self.until(
            &format!("{count} pods {prefix}* to run"),
            limit,
            "namespaces/default/pods",
            |pod| named(pod, prefix) && (count == 0 || has_condition(pod, "Ready", "True")),
            count,
        )
    }

    fn until(
        &mut self,
        what: &str,
        limit: Duration,
        resource: &str,
        counts: impl Fn(&Value) -> bool,
        count: usize,
    ) -> Result<(), SimulatedError> {
        let (path, Self { nodes, plane, .. }) = (format!("/api/v1/{resource}"), &mut *self);
        let waited = plane.until(what, limit, |plane| {
            if let Some(ended) = ended(nodes) {
                return Some(Err(ended));
            }
            let all = plane.kubectl(&["get", "--raw", &path]).ok()?;
            let all: Value = serde_json::from_str(&all).ok()?;
            let there = all["items"].as_array()?.iter().filter(|it| counts(it)).count();
            if there != count {
                std::thread::sleep(LOOK);
            }
            (there == count).then_some(Ok(()))
        });
        match waited {
            Ok(Ok(())) => Ok(()),
            Ok(Err(how)) => Err(SimulatedError::Ended { how, nodes: self.last_words() }),
            Err(error) => Err(SimulatedError::Vain { error, nodes: self.last_words() }),
        }
    }

    /// Bytes that have passed between the nodes of this kind and the API server, both ways.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn bytes(&self, kind: Kind) -> Result<u64, SimulatedError> {
        Ok(self.network.bytes(kind.cable())?)
    }

    /// Connections to the API server that nodes of this kind have now.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn connections(&self, kind: Kind) -> Result<usize, SimulatedError> {
        let Some(pid) = self.pids(kind).first().copied() else { return Ok(0) };
        let text = fs_err::read_to_string(format!("/proc/{pid}/net/tcp"))?;
        let port = format!(":{:04X}", self.plane.address().port());
        // Address, the other's address, and 01: established (proc_net_tcp).
        let is_one = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.get(2).is_some_and(|other| other.ends_with(&port)) && fields.get(3) == Some(&"01")
        };
        Ok(text.lines().filter(is_one).count())
    }

    /// The processes of this kind's nodes.
    pub fn pids(&self, kind: Kind) -> Vec<u32> {
        self.nodes.iter().filter(|(of, _)| *of == kind).map(|(_, process)| process.id()).collect()
    }

    /// Fails where one of the nodes' processes has ended.
    ///
    /// # Errors
    /// One has.
    pub fn check(&mut self) -> Result<(), SimulatedError> {
        match ended(&mut self.nodes) {
            Some(how) => Err(SimulatedError::Ended { how, nodes: self.last_words() }),
            None => Ok(()),
        }
    }

    /// What the nodes said last.
    pub fn last_words(&self) -> String {
        let words = |kind: Kind| tail(&std::fs::read_to_string(self.log(kind)).unwrap_or_default(), 20);
        [Kind::Barepod, Kind::Kubelet].map(words).join("\n")
    }

    fn log(&self, kind: Kind) -> std::path::PathBuf {
        self.scratch.join(format!("{}nodes.log", kind.prefix()))
    }

    fn host(&self, kind: Kind) -> &crate::network::NetworkHost {
        &self.network.hosts()[usize::from(kind.cable())]
    }
}

/// Which process of theirs has ended, and how.
fn ended(nodes: &mut [(Kind, Owned)]) -> Option<String> {
    nodes.iter_mut().find_map(|(kind, process)| {
        let status = process.ended().ok()??;
        Some(format!("of the nodes {}*, with {status}", kind.prefix()))
    })
}

fn named(object: &Value, prefix: &str) -> bool {
    object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with(prefix))
}

/// As an author would write it; the API server gives it the token of its ServiceAccount besides.
fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "simulated"}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "main", "image": "host", "command": ["sleep", "infinity"]}],
        },
    })
}
