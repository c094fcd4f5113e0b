//! Who asks: whoever has a certificate that the cluster's authority has signed, or a token that the API server knows. Nobody
//! is anonymous (kubelet's `--anonymous-auth=false`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use barepod_credentials::Certificate;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::api::{Api, PostParams};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{DistinguishedName, RootCertStore};
use tokio::sync::Semaphore;

use crate::cache::{Cache, Key};
use crate::tls::provider;
use crate::user::User;

/// kubelet's `authentication.webhook.cacheTTL`.
const LIFE: Duration = Duration::from_secs(120);
/// Answers that are kept.
const KEPT: usize = 1024;
/// So many questions at a time, and no more: strangers with made-up tokens must not keep the node from the API server.
pub(crate) const AT_ONCE: usize = 4;
/// How long an answer may take, with the wait for a turn.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Under this name the API server's own logs tell certificates apart.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// Why the authority's certificates cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the authority of clients cannot be used: {0}")]
pub(crate) struct NoAuthority(String);

/// Knows who asks.
pub(crate) struct Authentication {
    authority: RwLock<Option<Arc<dyn ClientCertVerifier>>>,
    client: kube::Client,
    known: Mutex<Cache<Option<User>>>,
    turns: Semaphore,
}

impl Authentication {
    /// # Errors
    /// The authority's certificates cannot be used.
    pub(crate) fn new(authority: Option<&str>, client: kube::Client) -> Result<Self, NoAuthority> {
        let authority = RwLock::new(authority.map(verifier).transpose()?);
        Ok(Self { authority, client, known: Mutex::new(Cache::new(KEPT)), turns: Semaphore::new(AT_ONCE) })
    }

    /// From now on others sign.
    ///
    /// # Errors
    /// Their certificates cannot be used: it stays as it was.
    pub(crate) fn put(&self, authority: Option<&str>) -> Result<(), NoAuthority> {
        let authority = authority.map(verifier).transpose()?;
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = authority;
        Ok(())
    }

    /// Whose certificates a client may show.
    pub(crate) fn hints(&self) -> Vec<DistinguishedName> {
        self.authority().map(|authority| authority.root_hint_subjects().to_vec()).unwrap_or_default()
    }

    fn authority(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.authority.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who has shown these certificates, or else has this token.
    pub(crate) async fn user(&self, shown: &[CertificateDer<'_>], token: Option<&str>) -> Option<User> {
        if let Some(user) = self.by_certificate(shown) {
            return Some(user.authenticated());
        }
        self.by_token(token?).await.map(User::authenticated)
    }

    fn by_certificate(&self, shown: &[CertificateDer<'_>]) -> Option<User> {
        let ([own, chain @ ..], Some(authority)) = (shown, self.authority()) else { return None };
        if let Err(error) = authority.verify_client_cert(own, chain, UnixTime::now()) {
            tracing::debug!("a client's certificate is worth nothing: {error}");
            return None;
        }
        let certificate = Certificate::of(own).ok()?;
        let digest = ring::digest::digest(&ring::digest::SHA256, own);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        (!certificate.common_name.is_empty()).then(|| User {
            name: certificate.common_name,
            uid: None,
            groups: certificate.organizations,
            extra: BTreeMap::from([(CREDENTIAL.to_owned(), vec![format!("X509SHA256={digest}")])]),
        })
    }

    async fn by_token(&self, token: &str) -> Option<User> {
        let key = Key::of(&token);
        if let Some(known) = self.known(&key) {
            return known;
        }
        let asked = tokio::time::timeout(LIMIT, async {
            let _turn = self.turns.acquire().await.ok()?;
            // Whoever had the turn before may have asked the same.
            match self.known(&key) {
                Some(known) => Some(known),
                None => self.review(token).await,
            }
        });
        let user = asked.await.ok().flatten()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.put(key, user.clone(), Instant::now(), LIFE);
        user
    }

    fn known(&self, key: &Key) -> Option<Option<User>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key, Instant::now())
    }

    /// Whose token it is; `None` where that is not known.
    async fn review(&self, token: &str) -> Option<Option<User>> {
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = match api.create(&PostParams::default(), &review).await {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(error) => {
                tracing::warn!("a client's token cannot be looked at: {error}");
                return None;
            }
        };
        match answer.authenticated {
            Some(true) => Some(answer.user.and_then(user)),
            Some(false) | None => Some(None),
        }
    }
}

fn user(info: UserInfo) -> Option<User> {
    let name = info.username.filter(|name| !name.is_empty())?;
    let (groups, extra) = (info.groups.unwrap_or_default(), info.extra.unwrap_or_default());
    Some(User { name, uid: info.uid.filter(|uid| !uid.is_empty()), groups, extra })
}

fn verifier(pem: &str) -> Result<Arc<dyn ClientCertVerifier>, NoAuthority> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| NoAuthority(error.to_string()))?;
        roots.add(certificate).map_err(|error| NoAuthority(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    verifier.map_err(|error| NoAuthority(error.to_string()))
}
