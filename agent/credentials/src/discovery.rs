//! Which cluster is at an address, learned from somebody who is not trusted yet, as `kubeadm join` does it.
//!
//! The ConfigMap `cluster-info` says it to anybody. It is signed with each bootstrap token, so that who has one knows that it
//! was not made by somebody in between; and the hash of the authority's key, which an administrator hands over with the
//! token, tells it from a cluster of somebody else who knows the token. In the end the same must be said by the server that
//! the authority vouches for.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::StatusCode;
use ring::hmac;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::certificate::{Certificate, NoCertificate};
use crate::endpoint::Endpoint;
use crate::hash::KeyHash;
use crate::https::{Asker, HttpsError, Response, get};
use crate::kubeconfig::{Kubeconfig, KubeconfigError};
use crate::token::BootstrapToken;
use crate::trust::Believed;

const PATH: &str = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
/// For a token that was made just now, the signature comes a moment later.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);

/// Why a cluster is not known, or not believed.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// It was not answered.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// The server refuses.
    #[error(
        "{server} does not say which cluster it is of ({status}); `kubeadm init` makes the ConfigMap cluster-info in \
         kube-public, which anybody may read: without it, use --kubeconfig with a bootstrap kubeconfig"
    )]
    Refused {
        /// Which.
        server: Endpoint,
        /// How.
        status: StatusCode,
    },
    /// It is no API server.
    #[error("{0} answers, but not as an API server does: is it another port?")]
    NoApiServer(Endpoint),
    /// The cluster does not know the token.
    #[error(
        "the cluster does not know the token {id}: it has expired, was deleted, or is another cluster's; \
         `kubeadm token create --print-join-command` in the cluster makes a new one"
    )]
    NotSigned {
        /// The token's public half.
        id: String,
    },
    /// It knows one of the same id.
    #[error(
        "the secret half of the token {id} is wrong, or somebody between this host and the cluster has changed what it says"
    )]
    WrongSignature {
        /// The token's public half.
        id: String,
    },
    /// The authority is another.
    #[error(
        "the cluster's authority is another one: its key's hash is {found}, which is not what was given; \
         `kubeadm token create --print-join-command` in the right cluster prints the right one"
    )]
    WrongAuthority {
        /// Of the one that was found.
        found: KeyHash,
    },
    /// What it says is no kubeconfig.
    #[error("what the cluster says of itself cannot be used")]
    Kubeconfig(#[from] KubeconfigError),
    /// It names no authority.
    #[error("the cluster does not say who its authority is")]
    NoAuthority,
    /// Its authority's certificate cannot be read.
    #[error("the certificate of the cluster's authority cannot be used")]
    Authority(#[from] NoCertificate),
    /// The two answers differ.
    #[error("what is said of the cluster without proof is not what {0} says with proof: somebody stands in between")]
    Differs(Endpoint),
}

/// The cluster at an address: its own word for where it is, and whom to trust there. Without a hash, any cluster that knows the
/// token is believed.
pub(crate) async fn discover(
    server: &Endpoint,
    token: &BootstrapToken,
    hashes: &[KeyHash],
) -> Result<Kubeconfig, DiscoveryError> {
    let text = signed(server, token).await?;
    let kubeconfig = Kubeconfig::parse(&text, "cluster-info", Path::new("/"))?;
    let authorities = authorities(&kubeconfig)?;
    check(&authorities, hashes)?;
    let again = cluster_info(server, Believed::Signed(&authorities)).await?;
    if again.kubeconfig() != Some(text.as_str()) {
        return Err(DiscoveryError::Differs(server.clone()));
    }
    Ok(kubeconfig)
}

/// Whom a kubeconfig trusts.
pub(crate) fn authorities(kubeconfig: &Kubeconfig) -> Result<Vec<Certificate>, DiscoveryError> {
    Ok(Certificate::all(kubeconfig.authority.as_ref().ok_or(DiscoveryError::NoAuthority)?)?)
}

/// One of the authorities must be one of those that were named.
fn check(authorities: &[Certificate], hashes: &[KeyHash]) -> Result<(), DiscoveryError> {
    let mut found = authorities.iter().map(Certificate::key_hash);
    match found.clone().next() {
        _ if hashes.is_empty() || found.any(|hash| hashes.contains(&hash)) => Ok(()),
        Some(found) => Err(DiscoveryError::WrongAuthority { found }),
        None => Err(DiscoveryError::NoAuthority),
    }
}

/// The kubeconfig in `cluster-info`, once it is signed with the token.
async fn signed(server: &Endpoint, token: &BootstrapToken) -> Result<String, DiscoveryError> {
    let begin = Instant::now();
    loop {
        match cluster_info(server, Believed::Any).await?.verified(token) {
            Err(DiscoveryError::NotSigned { .. }) if begin.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            result => return result,
        }
    }
}

async fn cluster_info(server: &Endpoint, believed: Believed<'_>) -> Result<ClusterInfo, DiscoveryError> {
    let Response { status, body } = get(server, PATH, believed, Asker::default()).await?;
    let Ok(object) = serde_json::from_slice::<Value>(&body) else {
        return Err(DiscoveryError::NoApiServer(server.clone()));
    };
    match status {
        StatusCode::OK => serde_json::from_value(object).map_err(|_| DiscoveryError::NoApiServer(server.clone())),
        status if object["kind"] == "Status" => Err(DiscoveryError::Refused { server: server.clone(), status }),
        _ => Err(DiscoveryError::NoApiServer(server.clone())),
    }
}

/// The ConfigMap, of which this matters.
#[derive(Debug, Deserialize)]
struct ClusterInfo {
    #[serde(default)]
    data: std::collections::BTreeMap<String, String>,
}

impl ClusterInfo {
    fn kubeconfig(&self) -> Option<&str> {
        self.data.get("kubeconfig").map(String::as_str)
    }

    /// The kubeconfig in it, if it is signed with this token.
    fn verified(&self, token: &BootstrapToken) -> Result<String, DiscoveryError> {
        let id = || token.id().to_owned();
        let unsigned = || DiscoveryError::NotSigned { id: id() };
        let signature = self.data.get(&format!("jws-kubeconfig-{}", token.id())).ok_or_else(unsigned)?;
        let text = self.kubeconfig().ok_or_else(unsigned)?;
        if is_signature(signature, text, token) {
            return Ok(text.to_owned());
        }
        Err(DiscoveryError::WrongSignature { id: id() })
    }
}

/// A JWS (RFC 7515) whose payload stands elsewhere, `HEADER..SIGNATURE`, by HMAC with SHA-256.
fn is_signature(jws: &str, payload: &str, token: &BootstrapToken) -> bool {
    let Some((header, signature)) = jws.split_once("..") else { return false };
    let header_says = |header: &[u8]| serde_json::from_slice::<Value>(header).is_ok_and(|it| it["alg"] == "HS256");
    let Ok(signature) = BASE64_URL_SAFE_NO_PAD.decode(signature) else { return false };
    if !BASE64_URL_SAFE_NO_PAD.decode(header).is_ok_and(|header| header_says(&header)) {
        return false;
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret().as_bytes());
    let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(payload));
    hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::{authority, of_node};

    const TOKEN: &str = "abcdef.0123456789abcdef";

    fn sign(text: &str, secret: &str, algorithm: &str) -> String {
        let header = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{algorithm}","kid":"abcdef"}}"#));
        let signed = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(text));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        format!("{header}..{signature}")
    }

    fn verified(signature: Option<String>) -> Result<String, DiscoveryError> {
        let mut data = std::collections::BTreeMap::from([("kubeconfig".to_owned(), "text".to_owned())]);
        data.extend(signature.map(|signature| ("jws-kubeconfig-abcdef".to_owned(), signature)));
        ClusterInfo { data }.verified(&TOKEN.parse().unwrap())
    }

    #[test]
    fn only_what_is_signed_with_the_token_is_believed() {
        let secret = "0123456789abcdef";
        assert_eq!(verified(Some(sign("text", secret, "HS256"))).unwrap(), "text");
        assert!(matches!(verified(None), Err(DiscoveryError::NotSigned { .. })));
        for wrong in [
            sign("other text", secret, "HS256"),
            sign("text", "0123456789abcdee", "HS256"),
            sign("text", secret, "none"),
            "..".to_owned(),
            String::new(),
            sign("text", secret, "HS256").replace("..", "."),
        ] {
            let said = verified(Some(wrong.clone()));
            assert!(matches!(said, Err(DiscoveryError::WrongSignature { .. })), "{wrong}: {said:?}");
        }
    }

    #[test]
    fn an_authority_is_known_by_its_keys_hash() {
        let own = Certificate::first(&authority().pem()).unwrap();
        let other = of_node();
        let all = [own.clone(), other.clone()];
        assert!(check(&all, &[]).is_ok());
        assert!(check(&all, &[other.key_hash()]).is_ok());
        let error = check(std::slice::from_ref(&own), &[other.key_hash()]).unwrap_err();
        assert!(error.to_string().contains(&own.key_hash().to_string()), "{error}");
        assert!(check(&[], &[other.key_hash()]).is_err());
    }
}
