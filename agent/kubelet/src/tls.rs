//! TLS as the port speaks it: with the present serving certificate, and with whatever certificate a client shows.
//!
//! A client's certificate is taken as it is here, once it has proved that it has the key: whether it is one of the cluster's,
//! and has not ended, is asked with each request (see [`crate::authentication`]). So who comes with a wrong one is told so in
//! HTTP, and may still have a token.

use std::sync::{Arc, PoisonError, RwLock};

use barepod_credentials::Identity;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("the serving certificate cannot be used: {0}")]
    Identity(String),
    #[error("TLS cannot be set up")]
    Config(#[from] rustls::Error),
}

/// The certificate that is shown from now on.
#[derive(Debug, Clone)]
pub(crate) struct Shown(Arc<RwLock<Arc<CertifiedKey>>>);

impl Shown {
    /// # Errors
    /// It cannot be used.
    pub(crate) fn new(identity: &Identity) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(certified(identity)?))))
    }

    /// Another one, for connections to come.
    ///
    /// # Errors
    /// It cannot be used: the one before is shown.
    pub(crate) fn put(&self, identity: &Identity) -> Result<(), TlsError> {
        let key = certified(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn certified(identity: &Identity) -> Result<Arc<CertifiedKey>, TlsError> {
    let unusable = |error: &dyn std::fmt::Display| TlsError::Identity(error.to_string());
    let chain = identity.chain();
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key().as_bytes()).map_err(|error| unusable(&error))?;
    let chain = chain.map_err(|error| unusable(&error))?;
    let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| unusable(&error))?;
    Ok(Arc::new(certified))
}

/// The port's side of TLS. Clients are told whose certificates are worth showing.
///
/// # Errors
/// The cryptography does not fit together.
pub(crate) fn config(shown: Shown, hints: Vec<DistinguishedName>) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let verifier = AnyClient { algorithms: provider.signature_verification_algorithms, hints };
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_client_cert_verifier(Arc::new(verifier)).with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Takes any certificate whose key the client has, and none as well.
#[derive(Debug)]
struct AnyClient {
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
