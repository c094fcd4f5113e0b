//! Joining: from what an administrator was given to a file by which the bridge gets its certificate.

use std::io;
use std::path::{Path, PathBuf};

use hyper::StatusCode;

use crate::discovery::{DiscoveryError, authorities, discover};
use crate::endpoint::Endpoint;
use crate::files::Owner;
use crate::hash::KeyHash;
use crate::https::{Asker, HttpsError, get};
use crate::kubeconfig::{Kubeconfig, KubeconfigError, User};
use crate::layout::Layout;
use crate::name::NodeName;
use crate::token::BootstrapToken;
use crate::trust::Believed;

/// What may be asked for a certificate with.
const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests?limit=1";

/// How a cluster is found.
#[derive(Debug, Clone)]
pub enum Introduction {
    /// By its address and a token.
    Token {
        /// Where its API server is.
        server: Endpoint,
        /// What it lets this host in by.
        token: BootstrapToken,
        /// How its authority is known.
        trust: Trust,
    },
    /// By a kubeconfig with a bootstrap token.
    File(PathBuf),
}

/// How the authority of a cluster is known.
#[derive(Debug, Clone)]
pub enum Trust {
    /// By the hash of its key, one of these.
    Hashes(Vec<KeyHash>),
    /// Not at all: whoever knows the token is believed.
    Unsafe,
}

/// What has been done.
#[derive(Debug, Clone)]
pub struct Joined {
    /// Where the cluster says it is.
    pub server: Endpoint,
    /// The node to be.
    pub node: NodeName,
    /// The file that was written.
    pub file: PathBuf,
    /// What was there before, and is gone.
    pub removed: Vec<PathBuf>,
}

/// Why a host does not join. Nothing is written then.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// It has.
    #[error(
        "this host has joined a cluster already: there is {}; `barepod kube status` shows which, `--force` joins anew, and \
         `barepod kube reset` takes it back", .0.display()
    )]
    AlreadyJoined(PathBuf),
    /// The cluster is not known.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// A file cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no such file.
    #[error("there is no file {}", .0.display())]
    Missing(PathBuf),
    /// It has no token.
    #[error(
        "{} has no bootstrap token: its user must have `token: ID.SECRET`, as `kubeadm token create` prints it", .0.display()
    )]
    NoToken(PathBuf),
    /// The cluster was not asked.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The cluster does not know the token.
    #[error(
        "{0} refuses the token: it has expired, was deleted, or may not be used for authentication; \
         `kubeadm token create` in the cluster makes a new one"
    )]
    TokenRefused(Endpoint),
    /// The cluster does not let it ask.
    #[error(
        "{0} knows the token, but does not let it ask for a certificate; in the cluster, do `kubectl create \
         clusterrolebinding barepod-bootstrap --clusterrole=system:node-bootstrapper --group=system:bootstrappers`"
    )]
    NotAllowed(Endpoint),
    /// The cluster answers in another way.
    #[error("{server} answers {status} where it is asked for certificate requests")]
    Odd {
        /// Where.
        server: Endpoint,
        /// What.
        status: StatusCode,
    },
    /// A file cannot be written or removed.
    #[error("cannot write what the bridge needs; this takes the rights of root")]
    Write(#[source] io::Error),
}

/// Lets this host join: everything is checked first, then one file is written. With `force`, what is there of another time is
/// removed.
///
/// # Errors
/// The cluster cannot be found, is not believed or does not know the token, or the host has joined one already.
pub async fn join(
    layout: &Layout,
    introduction: &Introduction,
    node: NodeName,
    force: bool,
) -> Result<Joined, JoinError> {
    if let Some(trace) = layout.trace().filter(|_| !force) {
        return Err(JoinError::AlreadyJoined(trace));
    }
    let kubeconfig = match introduction {
        Introduction::Token { server, token, trust } => {
            let hashes = match trust {
                Trust::Hashes(hashes) => hashes.as_slice(),
                Trust::Unsafe => &[],
            };
            let found = discover(server, token, hashes).await?;
            Kubeconfig { user: User::Token(token.expose()), ..found }
        }
        Introduction::File(path) => of_file(path)?,
    };
    may_ask(&kubeconfig).await?;
    let kubeconfig = Kubeconfig { node: Some(node.clone()), ..kubeconfig };
    let removed = if force { layout.reset().map_err(JoinError::Write)? } else { Vec::new() };
    let file = layout.bootstrap_kubeconfig.clone();
    kubeconfig.write_for(&file, Owner::bridge(&layout.configuration)).map_err(JoinError::Write)?;
    Ok(Joined { server: kubeconfig.server, node, file, removed })
}

fn of_file(path: &Path) -> Result<Kubeconfig, JoinError> {
    let kubeconfig = Kubeconfig::read(path)?.ok_or_else(|| JoinError::Missing(path.to_owned()))?;
    match &kubeconfig.user {
        User::Token(_) => Ok(kubeconfig),
        User::Certificate(_) | User::File(_) | User::Nobody => Err(JoinError::NoToken(path.to_owned())),
    }
}

/// The token is good for what comes next.
async fn may_ask(kubeconfig: &Kubeconfig) -> Result<(), JoinError> {
    let Kubeconfig { server, server_name, user, .. } = kubeconfig;
    let User::Token(token) = user else { return Ok(()) };
    let asker = Asker { token: Some(token), identity: None, server_name: server_name.as_deref() };
    let authorities = authorities(kubeconfig)?;
    let server = server.clone();
    match get(&server, REQUESTS, Believed::Signed(&authorities), asker).await?.status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED => Err(JoinError::TokenRefused(server)),
        StatusCode::FORBIDDEN => Err(JoinError::NotAllowed(server)),
        status => Err(JoinError::Odd { server, status }),
    }
}
