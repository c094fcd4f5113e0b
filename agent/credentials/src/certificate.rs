//! What a certificate says.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::hash::KeyHash;
use crate::name::NodeName;

/// A certificate, and what of it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
    /// The user's name.
    pub common_name: String,
    /// The user's groups.
    pub organizations: Vec<String>,
    /// Names that a server may be reached by.
    pub names: Vec<String>,
    /// Addresses that a server may be reached by.
    pub addresses: Vec<IpAddr>,
    /// It is valid from then.
    pub not_before: Timestamp,
    /// It is valid until then.
    pub not_after: Timestamp,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCertificate {
    /// There is no PEM block of one.
    #[error("there is no certificate in it: a block of PEM that begins with -----BEGIN CERTIFICATE-----")]
    Missing,
    /// What is there cannot be read.
    #[error("the certificate in it cannot be read: {0}")]
    Malformed(String),
}

impl Certificate {
    /// The first of a PEM text: of a chain, the one that is about its owner.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn first(pem: &str) -> Result<Self, NoCertificate> {
        Self::all(pem).map(|mut all| all.swap_remove(0))
    }

    /// All of a PEM text; at least one.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub fn all(pem: &str) -> Result<Vec<Self>, NoCertificate> {
        let blocks = CertificateDer::pem_slice_iter(pem.as_bytes());
        let read = |block: Result<CertificateDer<'_>, _>| match block {
            Ok(der) => Self::of(&der),
            Err(error) => Err(NoCertificate::Malformed(format!("{error}"))),
        };
        let all: Vec<_> = blocks.map(read).collect::<Result<_, _>>()?;
        if all.is_empty() { Err(NoCertificate::Missing) } else { Ok(all) }
    }

    /// From DER.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(der: &[u8]) -> Result<Self, NoCertificate> {
        let malformed = |error: &dyn std::fmt::Display| NoCertificate::Malformed(error.to_string());
        let (_, parsed) = X509Certificate::from_der(der).map_err(|error| malformed(&error))?;
        let subject = parsed.subject();
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let alternatives = parsed.subject_alternative_name().map_err(|error| malformed(&error))?;
        let alternatives = alternatives.iter().flat_map(|extension| &extension.value.general_names);
        let (names, addresses) = alternative_names(alternatives);
        Ok(Self {
            der: der.to_vec(),
            key: parsed.public_key().raw.to_vec(),
            common_name: subject.iter_common_name().find_map(text).unwrap_or_default(),
            organizations: subject.iter_organization().filter_map(text).collect(),
            names,
            addresses,
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
        })
    }

    /// The digest of its public key.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.key)
    }

    /// Its public key, as DER.
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// The certificate itself.
    pub(crate) fn der(&self) -> CertificateDer<'_> {
        CertificateDer::from(self.der.as_slice())
    }

    /// The node whose client it is for.
    pub fn node(&self) -> Option<NodeName> {
        NodeName::of_user(&self.common_name)
    }

    /// Whether it is over by this clock.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// When so much of its life is over.
    pub fn after(&self, part: f64) -> Timestamp {
        let life = self.not_after.duration_since(self.not_before);
        self.not_before.saturating_add(life.mul_f64(part)).unwrap_or(self.not_after)
    }
}

/// DNS names and addresses; other kinds of names are none of a server's.
pub(crate) fn alternative_names<'a>(names: impl Iterator<Item = &'a GeneralName<'a>>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut dns, mut addresses) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::DNSName(name) => dns.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
            _ => {}
        }
    }
    (dns, addresses)
}

/// Four bytes or sixteen.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn time(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    /// An authority that signs itself.
    pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A node's certificate, valid for the whole of the years 2026 to 2029.
    pub(crate) fn of_node() -> Certificate {
        let mut params = CertificateParams::new(["host-1".to_owned(), "10.1.2.3".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, "system:node:host-1");
        (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2030, 1, 1));
        let pem = params.signed_by(&KeyPair::generate().unwrap(), &authority()).unwrap().pem();
        Certificate::first(&pem).unwrap()
    }

    #[test]
    fn a_certificate_says_whose_it_is_and_how_long() {
        let certificate = of_node();
        assert_eq!(certificate.node(), Some("host-1".parse().unwrap()));
        assert_eq!(certificate.organizations, ["system:nodes"]);
        assert_eq!(certificate.names, ["host-1"]);
        assert_eq!(certificate.addresses, [IpAddr::from([10, 1, 2, 3])]);
        assert_eq!(certificate.after(0.5).to_string(), "2028-01-01T12:00:00Z");
        let at = |time: &str| certificate.is_expired(time.parse().unwrap());
        assert!(!at("2029-12-31T23:59:59Z") && at("2030-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        assert_eq!(Certificate::first("nothing"), Err(NoCertificate::Missing));
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Certificate::first(garbage), Err(NoCertificate::Malformed(_))));
    }
}
