//! What this host is to a cluster, from its files and from the cluster itself.

use std::path::PathBuf;

use hyper::StatusCode;

use crate::discovery::authorities;
use crate::endpoint::Endpoint;
use crate::https::{Asker, get};
use crate::kubeconfig::{Kubeconfig, KubeconfigError, User};
use crate::layout::Layout;
use crate::name::NodeName;
use crate::request::{SigningRequest, Usage};
use crate::store::{Identity, Store, StoreError};
use crate::trust::Believed;

/// What this host is to a cluster.
#[derive(Debug)]
pub enum Status {
    /// Nothing.
    NotJoined,
    /// It is about to be let in: it has a token.
    Joining {
        /// Where.
        server: Endpoint,
        /// As this node.
        node: Option<NodeName>,
        /// The file that says so.
        file: PathBuf,
        /// What the cluster says to it.
        answer: Answer,
        /// What it has asked for.
        pending: Option<SigningRequest>,
    },
    /// It is one of its nodes.
    Joined(Box<Membership>),
}

/// What a host has that is one of a cluster's nodes.
#[derive(Debug)]
pub struct Membership {
    /// Where.
    pub server: Endpoint,
    /// Its certificate as a client.
    pub client: Identity,
    /// The next one, asked for.
    pub client_pending: Option<SigningRequest>,
    /// Its certificate as a server.
    pub serving: Option<Identity>,
    /// The next one, asked for.
    pub serving_pending: Option<SigningRequest>,
    /// What the cluster says to it.
    pub answer: Answer,
}

/// What the API server says to these credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It knows them.
    Accepted,
    /// It does not.
    Refused,
    /// It was not heard.
    Silent(String),
}

/// Looks, and asks the API server.
///
/// # Errors
/// A file is there and cannot be used.
pub async fn status(layout: &Layout) -> Result<Status, KubeconfigError> {
    let store = Store::new(layout.certificates.clone());
    if let Some(kubeconfig) = Kubeconfig::read(&layout.kubeconfig)? {
        let client = match &kubeconfig.user {
            User::File(path) => identity_in(path)?,
            User::Certificate(identity) => Some(identity.clone()),
            User::Token(_) | User::Nobody => None,
        };
        if let Some(client) = client {
            let answer = ask(&kubeconfig, Some(&client)).await;
            return Ok(Status::Joined(Box::new(Membership {
                server: kubeconfig.server,
                client,
                client_pending: store.pending(Usage::Client).map_err(unusable)?,
                serving: store.identity(Usage::Serving).map_err(unusable)?,
                serving_pending: store.pending(Usage::Serving).map_err(unusable)?,
                answer,
            })));
        }
    }
    let file = layout.bootstrap_kubeconfig.clone();
    let Some(kubeconfig) = Kubeconfig::read(&file)? else { return Ok(Status::NotJoined) };
    let answer = ask(&kubeconfig, None).await;
    let pending = store.pending(Usage::Client).map_err(unusable)?;
    Ok(Status::Joining { server: kubeconfig.server, node: kubeconfig.node, file, answer, pending })
}

fn identity_in(path: &std::path::Path) -> Result<Option<Identity>, KubeconfigError> {
    let malformed = |error: &dyn std::fmt::Display| KubeconfigError::Malformed {
        place: path.display().to_string(),
        reason: error.to_string(),
    };
    crate::files::read(path)?.map(Identity::new).transpose().map_err(|error| malformed(&error))
}

fn unusable(error: StoreError) -> KubeconfigError {
    KubeconfigError::Io(std::io::Error::other(error))
}

/// Anybody may ask for the version of an API server; who shows wrong credentials is told so nevertheless.
async fn ask(kubeconfig: &Kubeconfig, identity: Option<&Identity>) -> Answer {
    let token = match &kubeconfig.user {
        User::Token(token) => Some(token.as_str()),
        User::Certificate(_) | User::File(_) | User::Nobody => None,
    };
    let asker = Asker { token, identity, server_name: kubeconfig.server_name.as_deref() };
    let authorities = match authorities(kubeconfig) {
        Ok(authorities) => authorities,
        Err(error) => return Answer::Silent(error.to_string()),
    };
    match get(&kubeconfig.server, "/version", Believed::Signed(&authorities), asker).await {
        Ok(response) if response.status == StatusCode::UNAUTHORIZED => Answer::Refused,
        Ok(_) => Answer::Accepted,
        Err(error) => Answer::Silent(error.to_string()),
    }
}
