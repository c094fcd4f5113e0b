//! A certificate that a node signs itself, until a cluster has issued one: it proves nothing, and TLS wants one.

use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};

use crate::name::NodeName;
use crate::request::RequestError;
use crate::store::Identity;

impl Identity {
    /// Of a server by this name and these addresses, with a new key.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn self_signed(name: &NodeName, addresses: &[IpAddr]) -> Result<Self, RequestError> {
        let mut params = CertificateParams::new([name.as_str().to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self::new(format!("{}{}", certificate.pem(), key.serialize_pem()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_signs_a_certificate_for_its_own_name_and_addresses() {
        let address = IpAddr::from([10, 1, 2, 3]);
        let identity = Identity::self_signed(&"host-1".parse().unwrap(), &[address]).unwrap();
        let certificate = identity.certificate();
        assert_eq!((&certificate.names[..], &certificate.addresses[..]), (&["host-1".to_owned()][..], &[address][..]));
        assert!(!identity.key().is_empty());
    }
}
