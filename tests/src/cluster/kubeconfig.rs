//! Files that tell a client of Kubernetes where the API server is, whom to trust there, and who it is itself.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::certificates::Pair;

/// Who asks.
pub(super) enum User<'a> {
    /// Who has this certificate and its key.
    Certificate(&'a Pair),
    /// Who has this token.
    Token(&'a str),
    /// Somebody without credentials.
    Nobody,
}

/// A kubeconfig for one API server and one user.
pub(super) fn text(server: &str, authority: &str, user: &User<'_>) -> String {
    let authority = BASE64_STANDARD.encode(authority);
    let user = match user {
        User::Certificate(pair) => certificate(pair),
        User::Token(token) => format!("{{token: {token}}}"),
        User::Nobody => "{}".to_owned(),
    };
    format!(
        "apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters:
  - name: test
    cluster:
      server: {server}
      certificate-authority-data: {authority}
users:
  - name: test
    user: {user}
"
    )
}

fn certificate(pair: &Pair) -> String {
    let (certificate, key) = (BASE64_STANDARD.encode(&pair.certificate), BASE64_STANDARD.encode(&pair.key));
    format!("{{client-certificate-data: {certificate}, client-key-data: {key}}}")
}
