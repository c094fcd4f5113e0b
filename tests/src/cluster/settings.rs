//! The arguments of the servers.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::certificates::Files;
use super::pki::Pki;

/// Of Services. Nobody routes it here.
const SERVICE_RANGE: &str = "10.96.0.0/16";

/// What the arguments say: everything but what the caller adds.
pub(super) struct Settings<'a> {
    pub(super) pki: &'a Pki,
    /// Where the API server listens.
    pub(super) api_server: SocketAddr,
    /// Where etcd listens, on this host alone, for the API server and for its like.
    pub(super) etcd: [u16; 2],
    pub(super) controller_manager: u16,
    pub(super) scheduler: u16,
    /// A file.
    pub(super) authentication: &'a Path,
    /// Of the two that are clients of the API server.
    pub(super) kubeconfigs: [&'a Path; 2],
}

impl Settings<'_> {
    /// etcd's. What it writes survives its own death; nobody pulls the plug here, so it need not wait for the disk.
    pub(super) fn etcd(&self, data: &Path) -> Vec<String> {
        let [client, peer] = self.etcd.map(|port| format!("https://127.0.0.1:{port}"));
        let mut all = vec![
            format!("--data-dir={}", data.display()),
            "--name=default".to_owned(),
            format!("--initial-cluster=default={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--listen-peer-urls={peer}"),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            "--client-cert-auth".to_owned(),
            "--peer-client-cert-auth".to_owned(),
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ];
        let pki = self.pki;
        all.push(file("trusted-ca-file", &pki.etcd.files().certificate));
        all.push(file("peer-trusted-ca-file", &pki.etcd.files().certificate));
        all.extend(files("cert-file", "key-file", &pki.etcd_server));
        all.extend(files("peer-cert-file", "peer-key-file", &pki.etcd_server));
        all
    }

    /// The API server's.
    pub(super) fn api_server(&self) -> Vec<String> {
        let (pki, address) = (self.pki, self.api_server.ip());
        let mut all = vec![
            format!("--bind-address={address}"),
            format!("--advertise-address={address}"),
            format!("--secure-port={}", self.api_server.port()),
            format!("--etcd-servers=https://127.0.0.1:{}", self.etcd[0]),
            format!("--service-cluster-ip-range={SERVICE_RANGE}"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--enable-bootstrap-token-auth".to_owned(),
            "--allow-privileged".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            // An aggregated API (metrics) is asked where its pods are: there is no proxy for Services here.
            "--enable-aggregator-routing".to_owned(),
            "--profiling=false".to_owned(),
        ];
        if address.is_loopback() {
            // No EndpointSlice may have a loopback address, that of the Service `kubernetes` neither.
            all.push("--endpoint-reconciler-type=none".to_owned());
        }
        all.push(file("authentication-config", self.authentication));
        all.push(file("client-ca-file", &pki.cluster.files().certificate));
        all.push(file("requestheader-client-ca-file", &pki.front_proxy.files().certificate));
        all.push(file("kubelet-certificate-authority", &pki.cluster.files().certificate));
        all.push(file("etcd-cafile", &pki.etcd.files().certificate));
        all.push(file("service-account-key-file", &pki.service_accounts.certificate));
        all.push(file("service-account-signing-key-file", &pki.service_accounts.key));
        all.extend(files("tls-cert-file", "tls-private-key-file", &pki.api_server));
        all.extend(files("etcd-certfile", "etcd-keyfile", &pki.etcd_client));
        all.extend(files("kubelet-client-certificate", "kubelet-client-key", &pki.kubelet_client));
        all.extend(files("proxy-client-cert-file", "proxy-client-key-file", &pki.front_proxy_client));
        all
    }

    /// The controller manager's: all controllers that are on by default, and those for bootstrap tokens.
    pub(super) fn controller_manager(&self) -> Vec<String> {
        let pki = self.pki;
        let mut all = client(self.kubeconfigs[0], self.controller_manager, &pki.controller_manager);
        all.push("--controllers=*,bootstrap-signer-controller,token-cleaner-controller".to_owned());
        all.push("--use-service-account-credentials".to_owned());
        all.push(format!("--service-cluster-ip-range={SERVICE_RANGE}"));
        all.push(file("root-ca-file", &pki.cluster.files().certificate));
        all.push(file("client-ca-file", &pki.cluster.files().certificate));
        all.push(file("requestheader-client-ca-file", &pki.front_proxy.files().certificate));
        all.push(file("service-account-private-key-file", &pki.service_accounts.key));
        all.extend(files("cluster-signing-cert-file", "cluster-signing-key-file", pki.cluster.files()));
        all
    }

    /// The scheduler's.
    pub(super) fn scheduler(&self) -> Vec<String> {
        client(self.kubeconfigs[1], self.scheduler, &self.pki.scheduler)
    }
}

/// The arguments of both servers that are clients of the API server. There is one of each: nobody has to be elected.
fn client(kubeconfig: &Path, port: u16, certificate: &Files) -> Vec<String> {
    let mut all = vec![
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        "--leader-elect=false".to_owned(),
        "--profiling=false".to_owned(),
    ];
    all.extend(
        ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"].map(|flag| file(flag, kubeconfig)),
    );
    all.extend(files("tls-cert-file", "tls-private-key-file", certificate));
    all
}

fn file(flag: &str, path: &Path) -> String {
    format!("--{flag}={}", path.display())
}

fn files(certificate: &str, key: &str, files: &Files) -> [String; 2] {
    [file(certificate, &files.certificate), file(key, &files.key)]
}

/// `https://ADDRESS:PORT`.
pub(super) fn url(address: IpAddr, port: u16) -> String {
    format!("https://{}", SocketAddr::new(address, port))
}
