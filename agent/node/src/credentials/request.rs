//! Asking the cluster for a certificate, until it is issued.
//!
//! ```text
//!   kept on disk ──▶ asked for ──▶ approved ──▶ issued ──▶ takes the place of the one before
//!                        │  ▲            │
//!                        │  └─ the object is gone: asked for again under the same name
//!                        └─ denied, failed: forgotten; the next try is a new request
//! ```

use std::net::IpAddr;
use std::time::Duration;

use barepod_credentials::{Identity, NodeName, RequestError, SigningRequest, Store, StoreError, Usage};
use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::call::{CallError, call};
use crate::watching::watch_one;

/// What is approved by a controller is so within this time; after it, somebody has to do it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) usage: Usage,
    pub(super) node: NodeName,
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotIssued {
    /// The API server does not know who asks.
    #[error("the API server refuses the credentials that it is asked with")]
    Unauthorized,
    /// It was not asked.
    #[error(transparent)]
    Call(CallError),
    /// Somebody said no.
    #[error("the request {name} was {outcome}: {message}; another one will be made")]
    Refused { name: String, outcome: &'static str, message: String },
    /// A file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The watch has ended.
    #[error("nothing more is heard of the request")]
    Silent,
}

impl From<CallError> for NotIssued {
    fn from(error: CallError) -> Self {
        if error.is_unauthorized() { Self::Unauthorized } else { Self::Call(error) }
    }
}

/// Asks for a certificate and waits until it is there, however long that takes. What has been asked for before, and was not
/// answered, is asked for again. `waits` is told of a request that nobody approves.
pub(super) async fn ask(
    client: &Client,
    store: &Store,
    wanted: &Wanted,
    mut waits: impl AsyncFnMut(&SigningRequest),
) -> Result<Identity, NotIssued> {
    let request = match store.pending(wanted.usage)?.filter(|pending| pending.is_for(&wanted.names, &wanted.addresses))
    {
        Some(pending) => pending,
        None => {
            let new = SigningRequest::new(wanted.usage, &wanted.node, &wanted.names, &wanted.addresses)?;
            store.begin(&new)?;
            new
        }
    };
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    create(&api, &request).await?;
    let issued = follow(&api, &request, &mut waits).await;
    if matches!(issued, Err(NotIssued::Refused { .. })) {
        store.abandon(wanted.usage)?;
    }
    Ok(store.finish(&request, &issued?)?)
}

async fn create(api: &Api<CertificateSigningRequest>, request: &SigningRequest) -> Result<(), NotIssued> {
    let object = CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(request.name()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.request().as_bytes().to_vec()),
            signer_name: request.usage().signer().to_owned(),
            usages: Some(request.usage().key_usages().map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    match call(api.create(&PostParams::default(), &object)).await {
        Ok(_) => {
            tracing::info!(request = request.name(), "asked for a {}", request.usage().noun());
            Ok(())
        }
        // The name is the request's digest: it is the same one.
        Err(error) if error.is_conflict() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn follow(
    api: &Api<CertificateSigningRequest>,
    request: &SigningRequest,
    waits: &mut impl AsyncFnMut(&SigningRequest),
) -> Result<String, NotIssued> {
    let name = request.name();
    let mut objects = std::pin::pin!(watch_one(api.clone(), &name));
    let mut has_told = false;
    loop {
        let next = objects.next();
        let item = match has_told {
            true => next.await,
            false => match tokio::time::timeout(PATIENCE, next).await {
                Ok(item) => item,
                Err(_) => {
                    has_told = true;
                    waits(request).await;
                    continue;
                }
            },
        };
        match item {
            Some(Ok(Some(object))) => match outcome(&object) {
                Outcome::Issued(certificate) => return Ok(certificate),
                Outcome::Refused(outcome, message) => return Err(NotIssued::Refused { name, outcome, message }),
                Outcome::Open => {}
            },
            // Old requests are removed by the cluster's cleaner.
            Some(Ok(None)) => create(api, request).await?,
            Some(Err(error)) if is_unauthorized(&error) => return Err(NotIssued::Unauthorized),
            Some(Err(error)) => tracing::debug!("the request {name} is not seen: {error}; trying again"),
            None => return Err(NotIssued::Silent),
        }
    }
}

fn is_unauthorized(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status.code == 401,
        watcher::Error::WatchError(status) => status.code == 401,
        _ => false,
    }
}

/// How far a request is.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Open,
    Issued(String),
    Refused(&'static str, String),
}

fn outcome(object: &CertificateSigningRequest) -> Outcome {
    let Some(status) = &object.status else { return Outcome::Open };
    let has = |kind: &str| status.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    for (kind, word) in [("Denied", "denied"), ("Failed", "found wrong by its signer")] {
        if let Some(condition) = has(kind) {
            return Outcome::Refused(word, condition.message.clone().unwrap_or_default());
        }
    }
    match &status.certificate {
        Some(ByteString(certificate)) if !certificate.is_empty() => {
            Outcome::Issued(String::from_utf8_lossy(certificate).into_owned())
        }
        Some(_) | None => Outcome::Open,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: serde_json::Value) -> Outcome {
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "a"},
            "spec": {"request": "", "signerName": "a/b", "usages": []}, "status": status,
        });
        outcome(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_request_is_open_until_it_is_issued_or_refused() {
        let condition = |kind| json!([{"type": kind, "status": "True", "message": "because"}]);
        assert_eq!(of(json!({})), Outcome::Open);
        assert_eq!(of(json!({"conditions": condition("Approved")})), Outcome::Open);
        let issued = json!({"conditions": condition("Approved"), "certificate": "UEVN"});
        assert_eq!(of(issued), Outcome::Issued("PEM".to_owned()));
        for kind in ["Denied", "Failed"] {
            assert!(matches!(of(json!({"conditions": condition(kind)})), Outcome::Refused(_, why) if why == "because"));
        }
    }
}
