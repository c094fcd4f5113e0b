//! What a request for a certificate asks for.

use std::net::IpAddr;

use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use crate::certificate::alternative_names;

/// What a request asks for, as far as it matters for a node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The user's name.
    pub common_name: String,
    /// The user's groups.
    pub organizations: Vec<String>,
    /// Names of a server.
    pub names: Vec<String>,
    /// Addresses of a server.
    pub addresses: Vec<IpAddr>,
    /// There are names of other kinds: of mail boxes, URIs and the like.
    pub has_other_names: bool,
}

/// A text is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no request for a certificate: {0}")]
pub struct NoRequest(String);

impl Requested {
    /// From PEM.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn read(pem: &[u8]) -> Result<Self, NoRequest> {
        let wrong = |error: &dyn std::fmt::Display| NoRequest(error.to_string());
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|error| wrong(&error))?;
        let (_, parsed) = X509CertificationRequest::from_der(&der).map_err(|error| wrong(&error))?;
        let subject = &parsed.certification_request_info.subject;
        let text = |value: &x509_parser::x509::AttributeTypeAndValue<'_>| value.as_str().ok().map(str::to_owned);
        let extensions = parsed.requested_extensions().into_iter().flatten();
        let alternatives: Vec<_> = extensions
            .filter_map(|extension| match extension {
                ParsedExtension::SubjectAlternativeName(alternatives) => Some(&alternatives.general_names),
                _ => None,
            })
            .flatten()
            .collect();
        let is_other = |name: &&GeneralName<'_>| !matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_));
        let has_other_names = alternatives.iter().any(is_other);
        let (names, addresses) = alternative_names(alternatives.into_iter());
        Ok(Self {
            common_name: subject.iter_common_name().find_map(text).unwrap_or_default(),
            organizations: subject.iter_organization().filter_map(text).collect(),
            names,
            addresses,
            has_other_names,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{SigningRequest, Usage};

    #[test]
    fn a_request_says_what_it_asks_for() {
        let (names, addresses) = (["host-1".to_owned()], ["10.1.2.3", "fd00::3"].map(|text| text.parse().unwrap()));
        let request = SigningRequest::new(Usage::Serving, &"host-1".parse().unwrap(), &names, &addresses).unwrap();
        let requested = Requested::read(request.request().as_bytes()).unwrap();
        assert_eq!(requested.common_name, "system:node:host-1");
        assert_eq!(requested.organizations, ["system:nodes"]);
        assert_eq!((&requested.names[..], &requested.addresses[..]), (&names[..], &addresses[..]));
        assert!(!requested.has_other_names);
        assert!(request.is_for(&names, &addresses) && !request.is_for(&names, &addresses[..1]));
    }

    #[test]
    fn names_of_other_kinds_are_seen() {
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names.push(rcgen::SanType::URI("spiffe://a".try_into().unwrap()));
        let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        assert!(Requested::read(pem.as_bytes()).unwrap().has_other_names);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        assert!(Requested::read(b"nothing").is_err());
        let garbage = b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        assert!(Requested::read(garbage).is_err());
    }
}
