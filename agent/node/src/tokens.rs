//! Service account tokens for pods: asked for, kept, and asked for anew in time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::call::{CallError, call};
use crate::due::Due;

/// A token that a pod shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Wanted {
    /// Empty: the API server.
    pub(crate) audience: String,
    pub(crate) expiration_seconds: i64,
}

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) pod: String,
    pub(crate) uid: String,
}

/// A token, and when it is time for another.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) renew: Due,
}

/// kubelet's `maxTTL`: no token is shown for longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The tokens of all pods.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issued: Mutex<HashMap<(Owner, Wanted), Token>>,
}

impl Tokens {
    /// A token that holds for a while yet.
    ///
    /// # Errors
    /// As the API server answers.
    pub(crate) async fn get(&self, client: &Client, owner: &Owner, wanted: &Wanted) -> Result<Token, CallError> {
        let key = (owner.clone(), wanted.clone());
        let known = self.issued.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(token) = known.filter(|token| !token.renew.left().is_zero()) {
            return Ok(token);
        }
        let token = ask(client, owner, wanted).await?;
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token.clone());
        Ok(token)
    }

    /// A pod is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).retain(|(owner, _), _| owner.uid != uid);
    }
}

async fn ask(client: &Client, owner: &Owner, wanted: &Wanted) -> Result<Token, CallError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), &owner.namespace);
    let audience = Some(wanted.audience.clone()).filter(|audience| !audience.is_empty());
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: audience.map(|audience| vec![audience]),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(owner.pod.clone()),
                uid: Some(owner.uid.clone()),
            }),
            expiration_seconds: Some(wanted.expiration_seconds),
        }),
        ..TokenRequest::default()
    };
    let answer = call(api.create_token_request(&owner.service_account, &PostParams::default(), &request)).await?;
    // As long as it was granted for: when it expires is said by the API server's clock, which may differ from this host's.
    let life = answer.spec.and_then(|spec| spec.expiration_seconds).unwrap_or(wanted.expiration_seconds);
    let text = answer.status.unwrap_or_default().token.unwrap_or_default();
    Ok(Token { text, renew: Due::after(renewal(Duration::from_secs(u64::try_from(life).unwrap_or_default()))) })
}

/// When four fifths of its life are over, and after a day at most (`requiresRefresh` in `pkg/kubelet/token`).
fn renewal(life: Duration) -> Duration {
    (life * 4 / 5).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_it_expires_and_daily() {
        let after = |seconds| renewal(Duration::from_secs(seconds)).as_secs();
        assert_eq!((after(3600), after(31_536_000)), (2880, 86_400));
    }
}
