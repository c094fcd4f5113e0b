//! The host's word in the environment, and the plugin's on standard output.

use std::path::Path;

/// The version of go-plugin's own protocol.
const CORE_PROTOCOL: u32 = 1;

/// What host and plugin agree on beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Handshake {
    /// The variable by which a host shows that it is one. No secret: it keeps people from starting a plugin by hand.
    pub cookie_key: &'static str,
    /// Its value.
    pub cookie_value: &'static str,
    /// The version of what plugin and host speak with each other.
    pub protocol: u32,
}

/// Why a plugin does not serve whoever has started it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no cookie.
    #[error(
        "this is a plugin: it is started by the program that it is a plugin of, not by hand ({0} is not set as that program \
         sets it)"
    )]
    ByHand(&'static str),
    /// The host speaks other versions.
    #[error(
        "the host speaks version {theirs} of the plugin's protocol (PLUGIN_PROTOCOL_VERSIONS), and this plugin {ours}"
    )]
    Version {
        /// As the host lists them.
        theirs: String,
        /// The plugin's.
        ours: u32,
    },
    /// The host wants TLS.
    #[error(
        "the host wants TLS (PLUGIN_CLIENT_CERT is set), and this plugin has a unix socket of its user's alone instead"
    )]
    Tls,
}

impl Handshake {
    /// Whether the process was started by a host that can be served, by the variables that `look` finds.
    ///
    /// # Errors
    /// It was not.
    pub fn check(&self, look: impl Fn(&str) -> Option<String>) -> Result<(), Refusal> {
        if look(self.cookie_key).as_deref() != Some(self.cookie_value) {
            return Err(Refusal::ByHand(self.cookie_key));
        }
        let versions = look("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
        let ours = self.protocol.to_string();
        // Hosts from before there were several versions say nothing.
        if !versions.is_empty() && !versions.split(',').any(|version| version.trim() == ours) {
            return Err(Refusal::Version { theirs: versions, ours: self.protocol });
        }
        match look("PLUGIN_CLIENT_CERT") {
            Some(certificate) if !certificate.is_empty() => Err(Refusal::Tls),
            Some(_) | None => Ok(()),
        }
    }

    /// The line that tells the host where the plugin listens. The last field would be a certificate.
    pub(crate) fn line(&self, socket: &Path) -> String {
        format!("{CORE_PROTOCOL}|{}|unix|{}|grpc|\n", self.protocol, socket.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: Handshake = Handshake { cookie_key: "COOKIE", cookie_value: "crumbs", protocol: 2 };

    fn check(variables: &[(&str, &str)]) -> Result<(), Refusal> {
        HANDSHAKE.check(|name| variables.iter().find(|(its, _)| *its == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_host_is_known_by_its_cookie_and_speaks_one_of_several_versions() {
        assert_eq!(check(&[("COOKIE", "crumbs")]), Ok(()));
        assert_eq!(check(&[("COOKIE", "crumbs"), ("PLUGIN_PROTOCOL_VERSIONS", "1,2")]), Ok(()));
        assert_eq!(check(&[("COOKIE", "bread")]), Err(Refusal::ByHand("COOKIE")));
    }

    #[test]
    fn whoever_starts_a_plugin_by_hand_is_told_what_it_is() {
        let refusal = check(&[]).unwrap_err().to_string();
        assert!(refusal.contains("not by hand") && refusal.contains("COOKIE"), "{refusal}");
    }

    #[test]
    fn what_the_plugin_cannot_speak_is_refused() {
        let version = check(&[("COOKIE", "crumbs"), ("PLUGIN_PROTOCOL_VERSIONS", "1,3")]);
        assert_eq!(version, Err(Refusal::Version { theirs: "1,3".to_owned(), ours: 2 }));
        assert_eq!(check(&[("COOKIE", "crumbs"), ("PLUGIN_CLIENT_CERT", "-----BEGIN")]), Err(Refusal::Tls));
    }

    #[test]
    fn the_line_has_six_fields_and_no_certificate() {
        assert_eq!(HANDSHAKE.line(Path::new("/tmp/plugin1/socket")), "1|2|unix|/tmp/plugin1/socket|grpc|\n");
    }
}
