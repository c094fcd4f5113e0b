//! Certificate authorities and what they sign.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

use super::ClusterError;
use super::pem::pem;

const CERTIFICATE: &str = "CERTIFICATE";
const KEY: &str = "PRIVATE KEY";

/// An authority, whose certificate and key lie in files as well.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    files: Files,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Who a certificate is for.
pub(crate) struct Subject<'a> {
    /// The user, or the server's name.
    pub(crate) name: &'a str,
    /// The user's group.
    pub(crate) organization: Option<&'a str>,
    /// Names and addresses of a server; a client has none.
    pub(crate) hosts: &'a [String],
}

impl<'a> Subject<'a> {
    /// A user.
    pub(crate) fn client(name: &'a str, organization: Option<&'a str>) -> Self {
        Self { name, organization, hosts: &[] }
    }

    /// A server that is a client of its like as well.
    pub(crate) fn server(name: &'a str, hosts: &'a [String]) -> Self {
        Self { name, organization: None, hosts }
    }
}

impl Authority {
    /// A new one.
    pub(crate) fn new(directory: &Path, name: &str) -> Result<Self, ClusterError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let pair = Pair { certificate: pem(CERTIFICATE, issuer.der()), key: pem(KEY, issuer.key().serialized_der()) };
        let files = pair.write(directory, name)?;
        Ok(Self { issuer, files })
    }

    /// Where its own certificate and key are.
    pub(super) fn files(&self) -> &Files {
        &self.files
    }

    /// Its certificate, as PEM.
    pub(super) fn certificate(&self) -> String {
        pem(CERTIFICATE, self.issuer.der())
    }

    /// The same, as DER.
    pub(super) fn certificate_der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// `sha256:` and the digest of its public key, as `kubeadm join --discovery-token-ca-cert-hash` has it.
    pub(super) fn key_hash(&self) -> String {
        let digest = Sha256::digest(self.issuer.key().subject_public_key_info());
        format!("sha256:{}", hex(&digest))
    }

    /// A new key and a certificate for it.
    pub(crate) fn sign(&self, subject: &Subject<'_>) -> Result<Pair, ClusterError> {
        self.sign_with(subject, |_| {})
    }

    /// The same for the years 2020 and 2021: it is over.
    pub(super) fn sign_for_the_past(&self, subject: &Subject<'_>) -> Result<Pair, ClusterError> {
        self.sign_with(subject, |params| {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2022, 1, 1));
        })
    }

    fn sign_with(&self, subject: &Subject<'_>, change: impl Fn(&mut CertificateParams)) -> Result<Pair, ClusterError> {
        let mut params = CertificateParams::new(subject.hosts)?;
        params.distinguished_name = distinguished_name(subject.name, subject.organization);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !subject.hosts.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        change(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair { certificate: pem(CERTIFICATE, certificate.der()), key: pem(KEY, key.serialized_der()) })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").field(&self.files.certificate).finish()
    }
}

impl Pair {
    /// Into `NAME.crt` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> Result<Files, ClusterError> {
        let files =
            Files { certificate: directory.join(format!("{name}.crt")), key: directory.join(format!("{name}.key")) };
        fs_err::write(&files.certificate, &self.certificate)?;
        fs_err::write(&files.key, &self.key)?;
        Ok(files)
    }
}

/// A key without a certificate, with its public half: what ServiceAccounts' tokens are signed and checked with.
pub(super) fn key_pair(directory: &Path, name: &str) -> Result<Files, ClusterError> {
    let key = KeyPair::generate()?;
    let files =
        Files { certificate: directory.join(format!("{name}.pub")), key: directory.join(format!("{name}.key")) };
    fs_err::write(&files.certificate, pem("PUBLIC KEY", &key.subject_public_key_info()))?;
    fs_err::write(&files.key, pem(KEY, key.serialized_der()))?;
    Ok(files)
}

/// Lower case digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn distinguished_name(name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, name);
    subject
}
