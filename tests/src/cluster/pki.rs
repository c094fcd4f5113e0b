//! All keys and certificates of one control plane.

use std::path::PathBuf;

use super::ClusterError;
use super::certificates::{Authority, Files, Subject, key_pair};
use super::kubeconfig::{self, User};

/// The first address of the range of Services: that of the Service `kubernetes`.
const SERVICE: &str = "10.96.0.1";

/// What the servers are given.
#[derive(Debug)]
pub(super) struct Pki {
    directory: PathBuf,
    /// Signs users, nodes and servers.
    pub(super) cluster: Authority,
    /// Signs those who may say on whose behalf they ask.
    pub(super) front_proxy: Authority,
    pub(super) etcd: Authority,
    pub(super) etcd_server: Files,
    pub(super) etcd_client: Files,
    pub(super) api_server: Files,
    pub(super) kubelet_client: Files,
    pub(super) front_proxy_client: Files,
    pub(super) controller_manager: Files,
    pub(super) scheduler: Files,
    pub(super) service_accounts: Files,
}

impl Pki {
    /// New ones, for an API server that is reached at this address.
    pub(super) fn new(directory: PathBuf, address: &str) -> Result<Self, ClusterError> {
        fs_err::create_dir_all(&directory)?;
        let authority = |name| Authority::new(&directory, name);
        let (cluster, front_proxy, etcd) = (authority("ca")?, authority("front-proxy-ca")?, authority("etcd-ca")?);
        let signed = |by: &Authority, subject: Subject<'_>| by.sign(&subject)?.write(&directory, subject.name);
        let local = ["127.0.0.1", "localhost"].map(str::to_owned);
        let names =
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
        let here = [&local[..], &names.map(str::to_owned), &[SERVICE.to_owned(), address.to_owned()]].concat();
        Ok(Self {
            etcd_server: signed(&etcd, Subject::server("etcd", &local))?,
            etcd_client: signed(&etcd, Subject::client("kube-apiserver-etcd-client", None))?,
            api_server: signed(&cluster, Subject::server("kube-apiserver", &here))?,
            kubelet_client: signed(&cluster, Subject::client("kube-apiserver-kubelet-client", None))?,
            front_proxy_client: signed(&front_proxy, Subject::client("front-proxy-client", None))?,
            controller_manager: signed(&cluster, Subject::server("kube-controller-manager", &local))?,
            scheduler: signed(&cluster, Subject::server("kube-scheduler", &local))?,
            service_accounts: key_pair(&directory, "service-accounts")?,
            cluster,
            front_proxy,
            etcd,
            directory,
        })
    }

    /// Writes the kubeconfig of a user, with a new certificate, for an API server at this URL.
    pub(super) fn kubeconfig(&self, server: &str, name: &str, group: Option<&str>) -> Result<PathBuf, ClusterError> {
        let pair = self.cluster.sign(&Subject::client(name, group))?;
        let text = kubeconfig::text(server, &self.cluster.certificate(), &User::Certificate(&pair));
        let port = server.rsplit(':').next().unwrap_or_default();
        let path = self.directory.join(format!("{}-{port}.kubeconfig", name.replace(':', "_")));
        fs_err::write(&path, text)?;
        Ok(path)
    }
}
