//! TLS as the settings say. Files are read anew when they have changed, so that certificates may be exchanged under way.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::Settings;

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Rustls(error)
    }
}

/// When each of the files was last changed.
pub(crate) type Stamp = Vec<Option<SystemTime>>;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It holds something else.
    #[error("{path} is no PEM file of the kind that is needed: {message}")]
    Pem {
        /// Which.
        path: String,
        /// Why.
        message: String,
    },
    /// They do not go together.
    #[error("the certificates cannot be used with the Nomad agent: {0}")]
    Rustls(rustls::Error),
    /// It cannot be in a certificate.
    #[error("tlsServerName: {0:?} is no name")]
    Name(String),
}

pub(crate) fn stamp(settings: &Settings) -> Stamp {
    let files = [&settings.ca_file, &settings.cert_file, &settings.key_file];
    let changed = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    files.into_iter().map(|path| path.as_deref().and_then(changed)).collect()
}

/// What connects by either scheme.
pub(crate) fn connector(settings: &Settings, http: HttpConnector) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(config(settings)?).https_or_http();
    if let Some(name) = &settings.tls_server_name {
        let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name.clone()))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(http))
}

fn config(settings: &Settings) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate)?;
        }
    }
    let builder = builder.with_root_certificates(roots);
    match (&settings.cert_file, &settings.key_file) {
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(&fs_err::read(key)?).map_err(|source| pem(key, source))?;
            Ok(builder.with_client_auth_cert(certificates(certificate)?, key)?)
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = fs_err::read(path)?;
    CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(|source| pem(path, source))
}

fn pem(path: &Path, source: rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Pem { path: path.display().to_string(), message: source.to_string() }
}
