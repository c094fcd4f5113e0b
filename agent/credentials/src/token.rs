//! Bootstrap tokens: what a cluster's administrator hands to a host that is to join.

use std::fmt;
use std::str::FromStr;

/// A token by which a host is let in once: a public id and a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: String,
}

/// Why a text is no token. It does not repeat the text, which may be a secret that was mistyped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no bootstrap token: one is six characters, a dot and sixteen characters, small letters and digits only, \
     such as abcdef.0123456789abcdef; `kubeadm token create` in the cluster makes one"
)]
pub struct NoToken;

impl BootstrapToken {
    /// What signatures and Secrets are named by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What signatures are made with.
    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// As it is shown to an API server.
    pub fn expose(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl FromStr for BootstrapToken {
    type Err = NoToken;

    fn from_str(text: &str) -> Result<Self, NoToken> {
        let (id, secret) = text.split_once('.').ok_or(NoToken)?;
        let is_of = |part: &str, length| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if is_of(id, 6) && is_of(secret, 16) {
            return Ok(Self { id: id.to_owned(), secret: secret.to_owned() });
        }
        Err(NoToken)
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootstrapToken({}.…)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_kubeadms_form_and_hides_its_secret() {
        let token: BootstrapToken = "abcdef.0123456789abcdef".parse().unwrap();
        assert_eq!((token.id(), token.expose().as_str()), ("abcdef", "abcdef.0123456789abcdef"));
        assert!(!format!("{token:?}").contains("0123"));
        for wrong in ["", "abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcde.0123456789abcdef0"] {
            assert_eq!(wrong.parse::<BootstrapToken>(), Err(NoToken), "{wrong}");
        }
    }
}
