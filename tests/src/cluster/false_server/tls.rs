//! TLS on both sides.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::cluster::certificates::{Files, Subject};
use crate::cluster::{ClusterError, ControlPlane};

/// Towards clients: with a certificate of the cluster's authority, which also judges theirs, where they have one.
pub(super) fn acceptor(plane: &ControlPlane) -> Result<TlsAcceptor, ClusterError> {
    let hosts = [plane.address().ip().to_string(), "localhost".to_owned()];
    let pair = plane.pki.cluster.sign(&Subject::server("false-api-server", &hosts))?;
    let (certificate, key) = (certificate(pair.certificate.as_bytes())?, key(pair.key.as_bytes())?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(plane)?, provider()).allow_unauthenticated();
    let verifier = verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
    let config = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = config.with_client_cert_verifier(verifier).with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Towards the API server, with this certificate or without any.
pub(super) fn connector(plane: &ControlPlane, files: Option<&Files>) -> Result<TlsConnector, ClusterError> {
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots(plane)?);
    let config = match files {
        Some(files) => {
            let (text, secret) = (fs_err::read(&files.certificate)?, fs_err::read(&files.key)?);
            config.with_client_auth_cert(vec![certificate(&text)?], key(&secret)?)?
        }
        None => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(plane: &ControlPlane) -> Result<Arc<RootCertStore>, ClusterError> {
    let mut roots = RootCertStore::empty();
    roots.add(plane.pki.cluster.certificate_der().clone())?;
    Ok(Arc::new(roots))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificate(pem: &[u8]) -> Result<CertificateDer<'static>, ClusterError> {
    CertificateDer::from_pem_slice(pem).map_err(not_pem)
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, ClusterError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(not_pem)
}

fn not_pem(error: rustls::pki_types::pem::Error) -> ClusterError {
    ClusterError::Tls(rustls::Error::General(error.to_string()))
}
