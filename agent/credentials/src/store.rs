//! The node's certificates and keys, and the requests for those to come: a file each, written in one stroke.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificate::{Certificate, NoCertificate};
use crate::files;
use crate::request::{RequestError, SigningRequest, Usage};

/// A certificate with its chain and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    pem: String,
    certificate: Certificate,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read or written.
    #[error("cannot keep the node's certificates")]
    Io(#[from] io::Error),
    /// It holds no certificate.
    #[error("{} cannot be used; remove it, and the bridge asks for another", .path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: NoCertificate,
    },
    /// It holds no key.
    #[error("{} has no private key; remove it, and the bridge asks for another", .0.display())]
    Key(PathBuf),
    /// The cluster signed something else than it was asked for.
    #[error("the certificate that was issued is not for the key of {0}")]
    Foreign(String),
    /// What was issued is no certificate.
    #[error("what was issued for {request} is no certificate")]
    Issued {
        /// The request's name.
        request: String,
        /// Why.
        source: NoCertificate,
    },
}

impl Identity {
    /// From a text that has both. A chain may follow the certificate.
    pub(crate) fn new(pem: String) -> Result<Self, NoCertificate> {
        let certificate = Certificate::first(&pem)?;
        Ok(Self { pem, certificate })
    }

    /// The certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Certificate, chain and key, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Certificate and chain, as PEM.
    pub fn chain(&self) -> String {
        self.blocks(|label| label == "CERTIFICATE")
    }

    /// The key, as PEM.
    pub fn key(&self) -> String {
        self.blocks(|label| label.ends_with("PRIVATE KEY"))
    }

    fn blocks(&self, wanted: impl Fn(&str) -> bool) -> String {
        const BEGIN: &str = "-----BEGIN ";
        let blocks = self.pem.split(BEGIN).skip(1);
        let of_label = blocks.filter(|block| block.split_once("-----").is_some_and(|(label, _)| wanted(label)));
        of_label.map(|block| format!("{BEGIN}{block}")).collect()
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Identity").field(&self.certificate.common_name).field(&self.certificate.not_after).finish()
    }
}

/// The directory of them.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// In this directory, which need not be there yet.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where a certificate and its key are.
    pub fn path(&self, usage: Usage) -> PathBuf {
        self.directory.join(format!("{}.pem", usage.stem()))
    }

    fn pending_path(&self, usage: Usage) -> PathBuf {
        self.directory.join(format!("{}-pending.pem", usage.stem()))
    }

    /// All that it may have.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let both = |usage| [self.path(usage), self.pending_path(usage)];
        [Usage::Client, Usage::Serving].into_iter().flat_map(both).collect()
    }

    /// A certificate with its key, if there is one.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn identity(&self, usage: Usage) -> Result<Option<Identity>, StoreError> {
        let path = self.path(usage);
        files::read(&path)?.map(|pem| identity(&path, pem)).transpose()
    }

    /// The request that was not granted yet. One that cannot be used is as good as none: it stands for nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn pending(&self, usage: Usage) -> Result<Option<SigningRequest>, StoreError> {
        let text = files::read(&self.pending_path(usage))?;
        Ok(text.and_then(|text| SigningRequest::read(usage, &text).ok()))
    }

    /// Keeps a request, before anybody else knows of it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, request: &SigningRequest) -> Result<(), StoreError> {
        files::make_directory(&self.directory, None)?;
        Ok(files::write(&self.pending_path(request.usage()), &request.to_pem(), None)?)
    }

    /// Forgets a request that leads to nothing.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn abandon(&self, usage: Usage) -> Result<(), StoreError> {
        files::remove(&self.pending_path(usage))?;
        Ok(())
    }

    /// Keeps what was issued for a request, in the place of what was there before.
    ///
    /// # Errors
    /// It is no certificate for the request's key, or cannot be written.
    pub fn finish(&self, request: &SigningRequest, issued: &str) -> Result<Identity, StoreError> {
        let pem = format!("{}{}", with_newline(issued), request.key());
        let name = || request.name();
        let identity = Identity::new(pem).map_err(|source| StoreError::Issued { request: name(), source })?;
        if identity.certificate.key() != public_key(request.key())? {
            return Err(StoreError::Foreign(name()));
        }
        files::make_directory(&self.directory, None)?;
        files::write(&self.path(request.usage()), &identity.pem, None)?;
        self.abandon(request.usage())?;
        Ok(identity)
    }
}

fn identity(path: &Path, pem: String) -> Result<Identity, StoreError> {
    if PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_err() {
        return Err(StoreError::Key(path.to_owned()));
    }
    Identity::new(pem).map_err(|source| StoreError::Certificate { path: path.to_owned(), source })
}

fn public_key(key: &str) -> Result<Vec<u8>, StoreError> {
    use rcgen::PublicKeyData as _;
    let pair = rcgen::KeyPair::from_pem(key).map_err(|error| StoreError::Io(io::Error::other(error)))?;
    Ok(pair.subject_public_key_info())
}

fn with_newline(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

impl From<RequestError> for StoreError {
    fn from(error: RequestError) -> Self {
        Self::Io(io::Error::other(error))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::CertificateSigningRequestParams;

    use super::*;
    use crate::certificate::tests::authority;

    fn request() -> SigningRequest {
        SigningRequest::new(Usage::Client, &"host-1".parse().unwrap(), &[], &[]).unwrap()
    }

    /// As a cluster signs it.
    fn sign(request: &SigningRequest) -> String {
        let params = CertificateSigningRequestParams::from_pem(request.request()).unwrap();
        params.signed_by(&authority()).unwrap().pem()
    }

    #[test]
    fn a_request_is_kept_until_its_certificate_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("pki"));
        assert_eq!(store.identity(Usage::Client).unwrap(), None);
        let request = request();

        store.begin(&request).unwrap();
        assert_eq!(store.pending(Usage::Client).unwrap().as_ref(), Some(&request));
        let identity = store.finish(&request, &sign(&request)).unwrap();

        assert_eq!(identity.certificate().common_name, "system:node:host-1");
        assert_eq!(format!("{}{}", identity.chain(), identity.key()), identity.pem());
        assert!(identity.key().starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(store.identity(Usage::Client).unwrap(), Some(identity));
        assert_eq!(store.pending(Usage::Client).unwrap(), None);
        assert_eq!(store.identity(Usage::Serving).unwrap(), None);
    }

    #[test]
    fn a_certificate_for_another_key_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let error = store.finish(&request(), &sign(&request())).unwrap_err();
        assert!(matches!(error, StoreError::Foreign(_)), "{error}");
        assert!(store.finish(&request(), "nothing").is_err());
        assert_eq!(store.identity(Usage::Client).unwrap(), None);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        std::fs::write(store.path(Usage::Client), "rubbish").unwrap();
        assert!(store.identity(Usage::Client).unwrap_err().to_string().contains("client.pem"));
        std::fs::write(directory.path().join("client-pending.pem"), "rubbish").unwrap();
        assert_eq!(store.pending(Usage::Client).unwrap(), None);
    }
}
