//! Who a client certificate says it is for.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use x509_parser::prelude::{FromDer as _, X509Certificate};

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-";

/// A user, as the API server reads it from a certificate: its common name, and its organizations as groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) user: String,
    groups: Vec<String>,
}

impl Identity {
    /// Of a certificate that has been verified. None where it names nobody.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().find_map(|name| name.as_str().ok())?.to_owned();
        let groups = subject.iter_organization().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        Some(Self { user, groups })
    }

    /// Says on whose behalf is asked. What the client itself said of that is dropped.
    pub(super) fn put(identity: Option<&Self>, headers: &mut HeaderMap) {
        let said: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(EXTRA)).cloned().collect();
        for name in said {
            headers.remove(name);
        }
        let Some(identity) = identity else { return };
        let value = |text: &str| HeaderValue::from_str(text).ok();
        headers.extend(value(&identity.user).map(|user| (USER, user)));
        for group in identity.groups.iter().filter_map(|group| value(group)) {
            headers.append(GROUP, group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    #[test]
    fn a_certificate_s_name_and_organization_are_user_and_group_and_what_a_client_claims_is_dropped() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, "system:node:a");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
        headers.insert("x-remote-extra-scopes", HeaderValue::from_static("all"));

        Identity::put(Identity::of(certificate.der()).as_ref(), &mut headers);

        assert_eq!(headers.get_all(GROUP).iter().collect::<Vec<_>>(), ["system:nodes"]);
        assert_eq!((headers.get(USER).unwrap(), headers.len()), (&"system:node:a".parse::<HeaderValue>().unwrap(), 2));
    }
}
