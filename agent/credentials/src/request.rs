//! Requests for certificates, with the keys that they are for.

use std::net::IpAddr;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use ring::digest::{SHA256, digest};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer};

use crate::hash::hex;
use crate::name::NodeName;
use crate::requested::Requested;

/// The group of all nodes.
const GROUP: &str = "system:nodes";

/// What a node's certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Usage {
    /// It is the node's as a client of the API server.
    Client,
    /// It is the node's as a server, of the kubelet port.
    Serving,
}

impl Usage {
    /// Who signs it.
    pub fn signer(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    /// What its key may be used for: of an ECDSA key nothing else makes sense.
    pub fn key_usages(self) -> [&'static str; 2] {
        match self {
            Self::Client => ["digital signature", "client auth"],
            Self::Serving => ["digital signature", "server auth"],
        }
    }

    /// In words.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Client => "client certificate",
            Self::Serving => "serving certificate",
        }
    }

    /// What its files are called by.
    pub(crate) fn stem(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Serving => "serving",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Client => "node-csr",
            Self::Serving => "node-serving-csr",
        }
    }
}

/// A request with its key. As it is kept until it is granted, a bridge that begins anew asks for the same again.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningRequest {
    usage: Usage,
    key: String,
    request: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It cannot be made.
    #[error("cannot make a key and a request")]
    Make(#[from] rcgen::Error),
    /// A file does not hold one.
    #[error("this is no private key with a request: {0}")]
    Malformed(rustls::pki_types::pem::Error),
    /// A certificate that was just made cannot be read.
    #[error(transparent)]
    Certificate(#[from] crate::certificate::NoCertificate),
}

impl SigningRequest {
    /// A new key, and a request for a node's certificate. A client's has no names beside its user.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(usage: Usage, node: &NodeName, names: &[String], addresses: &[IpAddr]) -> Result<Self, RequestError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, GROUP);
        params.distinguished_name.push(DnType::CommonName, node.user());
        for name in names {
            params.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
        }
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        // ECDSA on P-256.
        let key = KeyPair::generate()?;
        let request = params.serialize_request(&key)?.pem()?;
        Ok(Self { usage, key: key.serialize_pem(), request })
    }

    /// As it was written.
    ///
    /// # Errors
    /// The text is of something else.
    pub(crate) fn read(usage: Usage, pem: &str) -> Result<Self, RequestError> {
        PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(RequestError::Malformed)?;
        CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(RequestError::Malformed)?;
        let begin = "-----BEGIN CERTIFICATE REQUEST-----";
        let missing = || RequestError::Malformed(rustls::pki_types::pem::Error::NoItemsFound);
        let at = pem.find(begin).ok_or_else(missing)?;
        let (key, request) = pem.split_at(at);
        Ok(Self { usage, key: key.to_owned(), request: request.to_owned() })
    }

    /// Key and request.
    pub(crate) fn to_pem(&self) -> String {
        format!("{}{}", self.key, self.request)
    }

    /// What the object is called: the same request has the same name.
    pub fn name(&self) -> String {
        let digest = digest(&SHA256, self.request.as_bytes());
        format!("{}-{}", self.usage.prefix(), hex(&digest.as_ref()[..12]))
    }

    /// How an administrator approves it.
    pub fn approval(&self) -> String {
        format!("kubectl certificate approve {}", self.name())
    }

    /// What it is for.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether it asks for these names and addresses, and no others.
    pub fn is_for(&self, names: &[String], addresses: &[IpAddr]) -> bool {
        let requested = Requested::read(self.request.as_bytes());
        requested.is_ok_and(|requested| requested.names == names && requested.addresses == addresses)
    }

    /// The request, as PEM.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// The key, as PEM.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

impl std::fmt::Debug for SigningRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningRequest").field(&self.name()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written_and_keeps_its_name() {
        let node = "host-1".parse().unwrap();
        let new = || SigningRequest::new(Usage::Client, &node, &[], &[]).unwrap();
        let (one, other) = (new(), new());
        assert_eq!(SigningRequest::read(Usage::Client, &one.to_pem()).unwrap(), one);
        assert_ne!(one.name(), other.name());
        assert!(one.name().starts_with("node-csr-"));
        assert!(!format!("{one:?}").contains("PRIVATE"));
        for wrong in ["", &one.key, &one.request] {
            assert!(SigningRequest::read(Usage::Client, wrong).is_err());
        }
    }
}
