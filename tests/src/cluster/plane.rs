//! The control plane: brought up, asked by kubectl, and gone with its owner.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::certificates::Subject;
use super::kubeconfig::User;
use super::pki::Pki;
use super::server::Server;
use super::settings::{Settings, url};
use super::{Answer, ClusterError, Connection, Credentials, SOON, https, kubeconfig};
use crate::peers::{ETCD, KUBERNETES};
use crate::process;
use crate::wait::wait_for;
use crate::{Scratch, steady_port};

/// How long the API server may take until it is ready.
const START: Duration = Duration::from_secs(120);
/// How long kubectl may take.
const COMMAND: Duration = Duration::from_secs(120);

/// What users are given to install.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/kubernetes");
const BOOTSTRAP: &str = include_str!("bootstrap.yaml");
const AUTHENTICATION: &str = include_str!("authentication.yaml");

/// What a control plane is like.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Where the API server listens: the loopback address, unless hosts of other network namespaces are to reach it.
    pub address: IpAddr,
    /// Further arguments of the API server.
    pub api_server: Vec<String>,
    /// Further arguments of the controller manager, such as `--node-monitor-grace-period=10s`.
    pub controller_manager: Vec<String>,
    /// Further arguments of the scheduler.
    pub scheduler: Vec<String>,
}

impl Default for Recipe {
    fn default() -> Self {
        let none = Vec::new;
        let address = Ipv4Addr::LOCALHOST.into();
        Self { address, api_server: none(), controller_manager: none(), scheduler: none() }
    }
}

/// A control plane that is up.
#[derive(Debug)]
pub struct ControlPlane {
    // Before the scratch directory, so that all have ended before their files go.
    pub(super) servers: Servers,
    address: SocketAddr,
    pub(super) pki: Pki,
    admin: PathBuf,
    /// Files of its own that were named by a number.
    numbers: AtomicU32,
    pub(super) scratch: Scratch,
}

/// Those it is made of.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) controller_manager: Server,
    pub(super) scheduler: Server,
    pub(super) api_server: Server,
    pub(super) etcd: Server,
}

impl Servers {
    /// All, clients first.
    pub(super) fn all(&self) -> [&Server; 4] {
        [&self.controller_manager, &self.scheduler, &self.api_server, &self.etcd]
    }
}

impl ControlPlane {
    /// Brings one up, and waits until pods and nodes can be made in it.
    ///
    /// # Errors
    /// A server is not built, ends, or does not become ready; the error has its last words.
    pub fn start(recipe: &Recipe) -> Result<Self, ClusterError> {
        let scratch = Scratch::new()?;
        let address = SocketAddr::new(recipe.address, steady_port(recipe.address)?);
        let pki = Pki::new(scratch.join("pki"), &recipe.address.to_string())?;
        let server = url(address.ip(), address.port());
        let admin = pki.kubeconfig(&server, "kubernetes-admin", Some("system:masters"))?;
        let servers = servers(recipe, address, &pki, &scratch)?;
        let plane = Self { servers, address, pki, admin, numbers: AtomicU32::new(0), scratch };
        plane.come_up()?;
        plane.bootstrap()?;
        plane.until("the default ServiceAccount and the roles of nodes", SOON, |plane| {
            let wanted = ["serviceaccount/default", "clusterrole/system:node", "clusterrole/system:node-bootstrapper"];
            plane.kubectl(&[&["get", "-o", "name"][..], &wanted].concat()).ok()
        })?;
        Ok(plane)
    }

    /// Where the API server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `https://ADDRESS:PORT`.
    pub fn server(&self) -> String {
        url(self.address.ip(), self.address.port())
    }

    /// Runs kubectl as the cluster's administrator; its standard output.
    ///
    /// # Errors
    /// kubectl fails: what it says is in the error.
    pub fn kubectl(&self, args: &[&str]) -> Result<String, ClusterError> {
        self.kubectl_as(&self.admin, args)
    }

    /// The same as somebody else.
    ///
    /// # Errors
    /// kubectl fails: what it says is in the error.
    pub fn kubectl_as(&self, kubeconfig: &Path, args: &[&str]) -> Result<String, ClusterError> {
        let output =
            process::output(&mut self.command(kubeconfig, args)?, &format!("kubectl {}", args.join(" ")), COMMAND)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Err(ClusterError::Refused { args: args.join(" "), status: output.status, stderr })
    }

    /// kubectl, to be run.
    ///
    /// # Errors
    /// It is not built.
    pub fn command(&self, kubeconfig: &Path, args: &[&str]) -> Result<Command, ClusterError> {
        let mut command = Command::new(KUBERNETES.program("kubectl")?);
        command.arg("--kubeconfig").arg(kubeconfig).arg("--cache-dir").arg(self.scratch.join("kubectl"));
        command.args(args);
        Ok(command)
    }

    /// Applies manifests given as text.
    ///
    /// # Errors
    /// kubectl fails: what it says is in the error.
    pub fn kubectl_apply(&self, manifests: &str) -> Result<String, ClusterError> {
        let path = self.manifests(manifests)?;
        self.kubectl(&["apply", "-f", &path])
    }

    /// The same as somebody else, who need not be allowed to read.
    ///
    /// # Errors
    /// kubectl fails: what it says is in the error.
    pub fn kubectl_create_as(&self, kubeconfig: &Path, manifests: &str) -> Result<String, ClusterError> {
        let path = self.manifests(manifests)?;
        self.kubectl_as(kubeconfig, &["create", "-f", &path])
    }

    /// Installs what a cluster needs for nodes of barepod, as its users do.
    ///
    /// # Errors
    /// kubectl fails: what it says is in the error.
    pub fn install(&self) -> Result<(), ClusterError> {
        self.kubectl(&["apply", "-k", MANIFESTS]).map(drop)
    }

    /// A kubeconfig of who the controllers are, once all is [installed](Self::install).
    ///
    /// # Errors
    /// There is no such ServiceAccount, or it cannot be written.
    pub fn kubeconfig_of_controllers(&self) -> Result<PathBuf, ClusterError> {
        let token = self.kubectl(&["create", "token", "-n", "barepod-system", "barepod-controllers"])?;
        self.kubeconfig_with_token("controllers", token.trim())
    }

    /// An object, such as `pod/name`.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, args: &[&str]) -> Result<Value, ClusterError> {
        Ok(serde_json::from_str(&self.kubectl(&[&["get", "-o", "json"], args].concat())?)?)
    }

    /// Asks the API server as somebody without credentials: the status and the body of the answer.
    ///
    /// # Errors
    /// There is no answer.
    pub fn ask(&self, path: &str) -> io::Result<(u16, String)> {
        self.ask_at(self.address, &Credentials::none(), ("GET", path))
    }

    /// Asks a server of this cluster, such as a node's kubelet port: the status and the body of the answer.
    ///
    /// # Errors
    /// There is no answer, or it is somebody else's.
    pub fn ask_at(&self, address: SocketAddr, who: &Credentials, question: (&str, &str)) -> io::Result<Answer> {
        https::ask(address, self.pki.cluster.certificate_der(), who, question)
    }

    /// A connection to one, on which anything may be said.
    ///
    /// # Errors
    /// There is none.
    pub fn connect_to(&self, address: SocketAddr, who: &Credentials) -> io::Result<Connection> {
        https::connect(address, self.pki.cluster.certificate_der(), who)
    }

    /// A user's certificate and key.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn credentials(&self, name: &str, group: Option<&str>) -> Result<Credentials, ClusterError> {
        self.pki.cluster.sign(&Subject::client(name, group)).map(Credentials::certificate)
    }

    /// The same, but it is over.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn expired_credentials(&self, name: &str, group: Option<&str>) -> Result<Credentials, ClusterError> {
        self.pki.cluster.sign_for_the_past(&Subject::client(name, group)).map(Credentials::certificate)
    }

    /// The same, but of an authority that is not to be asked who users are.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn foreign_credentials(&self, name: &str, group: Option<&str>) -> Result<Credentials, ClusterError> {
        self.pki.front_proxy.sign(&Subject::client(name, group)).map(Credentials::certificate)
    }

    /// The certificate of who has signed those.
    pub fn foreign_ca(&self) -> String {
        self.pki.front_proxy.certificate()
    }

    /// The kubeconfig of the administrator.
    pub fn admin(&self) -> &Path {
        &self.admin
    }

    /// A new kubeconfig of a node, as it has once its request for a certificate is granted.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn kubeconfig_of_node(&self, name: &str) -> Result<PathBuf, ClusterError> {
        self.kubeconfig_of_node_at(name, &self.server())
    }

    /// The same for an API server at another URL.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn kubeconfig_of_node_at(&self, name: &str, server: &str) -> Result<PathBuf, ClusterError> {
        self.pki.kubeconfig(server, &format!("system:node:{name}"), Some("system:nodes"))
    }

    /// A new kubeconfig of any user, for an API server at this URL.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn kubeconfig_of_user_at(
        &self,
        name: &str,
        group: Option<&str>,
        server: &str,
    ) -> Result<PathBuf, ClusterError> {
        self.pki.kubeconfig(server, name, group)
    }

    /// A kubeconfig of who has the bootstrap token and nothing else.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_of_token(&self) -> Result<PathBuf, ClusterError> {
        self.kubeconfig_of_token_at(&self.server())
    }

    /// A kubeconfig of who has another token, such as that of a ServiceAccount.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_with_token(&self, name: &str, token: &str) -> Result<PathBuf, ClusterError> {
        let path = self.scratch.join(format!("{name}-{}.kubeconfig", self.next()));
        fs_err::write(&path, kubeconfig::text(&self.server(), &self.ca(), &User::Token(token)))?;
        Ok(path)
    }

    /// The same for an API server at another URL.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_of_token_at(&self, server: &str) -> Result<PathBuf, ClusterError> {
        let path = self.scratch.join(format!("token-{}.kubeconfig", self.next()));
        fs_err::write(&path, kubeconfig::text(server, &self.ca(), &User::Token(&self.bootstrap_token())))?;
        Ok(path)
    }

    /// A token by which hosts may join; it does not expire.
    pub fn bootstrap_token(&self) -> String {
        let (id, secret) = self.token();
        format!("{id}.{secret}")
    }

    /// `sha256:` and the digest of the authority's public key, by which who joins knows it.
    pub fn ca_hash(&self) -> String {
        self.pki.cluster.key_hash()
    }

    /// The authority's certificate, as PEM.
    pub fn ca(&self) -> String {
        self.pki.cluster.certificate()
    }

    /// The pids of the servers that run.
    pub fn pids(&self) -> Vec<u32> {
        self.servers.all().iter().filter_map(|server| server.pid()).collect()
    }

    /// A path in its scratch directory: logs are `<server>.log`.
    pub fn path(&self, below: &str) -> PathBuf {
        self.scratch.join(below)
    }

    /// Waits for a condition, as long as all servers that were started run.
    ///
    /// # Errors
    /// A server ends, or the condition does not hold within the limit; with the servers' last words.
    pub fn until<T>(
        &self,
        what: impl Into<String>,
        limit: Duration,
        mut condition: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, ClusterError> {
        let look = || match self.servers.all().iter().try_for_each(|server| server.check()) {
            Ok(()) => condition(self).map(Ok),
            Err(error) => Some(Err(error)),
        };
        wait_for(what, limit, look).map_err(|vain| ClusterError::Vain(vain, self.last_words()))?
    }

    /// The ends of all logs.
    pub fn last_words(&self) -> String {
        self.servers.all().map(Server::last_words).join("\n")
    }

    /// A file with these manifests.
    fn manifests(&self, text: &str) -> Result<String, ClusterError> {
        let path = self.scratch.join(format!("manifests-{}.yaml", self.next()));
        std::fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    /// Where etcd keeps its data.
    pub(super) fn data(&self) -> PathBuf {
        data(&self.scratch)
    }

    /// A number that no other file of it has in its name.
    pub(super) fn next(&self) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts all, in the order in which they need each other.
    pub(super) fn come_up(&self) -> Result<(), ClusterError> {
        self.servers.etcd.start()?;
        self.servers.api_server.start()?;
        self.await_api_server()?;
        self.servers.controller_manager.start()?;
        self.servers.scheduler.start()
    }

    /// Waits until the API server answers and says that it is ready.
    pub(super) fn await_api_server(&self) -> Result<(), ClusterError> {
        let ready = |plane: &Self| plane.ask("/readyz").ok().filter(|(status, _)| *status == 200);
        self.until("kube-apiserver to be ready", START, ready).map(drop)
    }

    /// What kubeadm adds. The namespace of `cluster-info` comes a moment after the API server is ready.
    fn bootstrap(&self) -> Result<(), ClusterError> {
        let (id, secret) = self.token();
        let info = kubeconfig::text(&self.server(), &self.ca(), &User::Nobody).trim_end().replace('\n', "\n    ");
        let manifests =
            BOOTSTRAP.replace("TOKEN_ID", &id).replace("TOKEN_SECRET", &secret).replace("CLUSTER_INFO", &info);
        let mut refused = None;
        let applied = self.until("what kubeadm adds to be accepted", SOON, |plane| {
            plane.kubectl_apply(&manifests).map_err(|error| refused = Some(error)).ok()
        });
        match (applied, refused) {
            (Err(ClusterError::Vain(..)), Some(error)) => Err(error),
            (result, _) => result.map(drop),
        }
    }

    /// Of the form that the API server wants, and another one for each control plane.
    fn token(&self) -> (String, String) {
        let digits = self.ca_hash().trim_start_matches("sha256:").to_owned();
        (digits[..6].to_owned(), digits[6..22].to_owned())
    }
}

fn servers(recipe: &Recipe, address: SocketAddr, pki: &Pki, scratch: &Scratch) -> Result<Servers, ClusterError> {
    let local = || -> io::Result<u16> { steady_port(Ipv4Addr::LOCALHOST.into()) };
    let authentication = scratch.join("authentication.yaml");
    std::fs::write(&authentication, AUTHENTICATION)?;
    let of = |name| pki.kubeconfig(&url(address.ip(), address.port()), name, None);
    let kubeconfigs = [of("system:kube-controller-manager")?, of("system:kube-scheduler")?];
    let settings = Settings {
        pki,
        api_server: address,
        etcd: [local()?, local()?],
        controller_manager: local()?,
        scheduler: local()?,
        authentication: &authentication,
        kubeconfigs: [&kubeconfigs[0], &kubeconfigs[1]],
    };
    let of = |name, program, arguments: Vec<String>, further: &[String]| {
        Server::new(name, program, [&arguments, further].concat(), scratch.join(format!("{name}.log")))
    };
    let kubernetes = |name| KUBERNETES.program(name);
    Ok(Servers {
        etcd: of("etcd", ETCD.program("etcd")?, settings.etcd(&data(scratch)), &[]),
        api_server: of("kube-apiserver", kubernetes("kube-apiserver")?, settings.api_server(), &recipe.api_server),
        controller_manager: of(
            "kube-controller-manager",
            kubernetes("kube-controller-manager")?,
            settings.controller_manager(),
            &recipe.controller_manager,
        ),
        scheduler: of("kube-scheduler", kubernetes("kube-scheduler")?, settings.scheduler(), &recipe.scheduler),
    })
}

fn data(scratch: &Scratch) -> PathBuf {
    scratch.join("etcd")
}
