//! How a host is let into a Kubernetes cluster, and what it is known by there: bootstrap tokens, discovery as kubeadm does it,
//! requests for certificates, and the files that all of this is kept in. For the command line, which joins and shows, and for
//! the bridge, which asks for certificates and renews them.
//!
//! ```text
//!   token, hash ──discovery──▶ bootstrap-kubeconfig ──request, approval──▶ kubeconfig ──▶ client.pem, renewed
//!      barepod kube join             barepod-bridge                                       serving.pem, renewed
//! ```

mod certificate;
mod discovery;
mod endpoint;
pub mod files;
mod hash;
mod https;
mod join;
mod kubeconfig;
mod layout;
mod name;
mod request;
mod requested;
mod self_signed;
mod status;
mod store;
mod token;
mod trust;

pub use certificate::{Certificate, NoCertificate};
pub use discovery::DiscoveryError;
pub use endpoint::{Endpoint, NoEndpoint};
pub use hash::{KeyHash, NoKeyHash};
pub use https::HttpsError;
pub use join::{Introduction, JoinError, Joined, Trust, join};
pub use kubeconfig::{Kubeconfig, KubeconfigError, User};
pub use layout::Layout;
pub use name::{NoNodeName, NodeName};
pub use request::{RequestError, SigningRequest, Usage};
pub use requested::{NoRequest, Requested};
pub use status::{Answer, Membership, Status, status};
pub use store::{Identity, Store, StoreError};
pub use token::{BootstrapToken, NoToken};
