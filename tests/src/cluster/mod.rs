//! A real Kubernetes control plane for one test: etcd, kube-apiserver, kube-controller-manager and kube-scheduler, with
//! certificates of its own, in a scratch directory, on free ports of one address. Nothing of it outlives its owner.
//!
//! It is as strict as a cluster of kubeadm's: TLS everywhere, Node and RBAC authorization, NodeRestriction, bootstrap tokens,
//! and nobody is anonymous but who asks for health or for `cluster-info`. What certificates a node needs it gets as there.

mod audit;
pub(crate) mod certificates;
mod error;
pub mod false_server;
mod faults;
mod https;
mod kubeconfig;
mod pem;
mod pki;
mod plane;
mod server;
mod settings;

pub use audit::{Audit, Audited};
pub use error::ClusterError;
pub use faults::Snapshot;
pub use https::{Answer, Connection, Credentials};
pub use pem::pem;
pub use plane::{ControlPlane, Recipe};

/// How long anything that should happen soon may take on a loaded machine.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(60);
