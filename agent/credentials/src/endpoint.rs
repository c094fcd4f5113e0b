//! Where an API server is.

use std::fmt;
use std::str::FromStr;

/// kube-apiserver's own.
const PORT: u16 = 6443;

/// Host and port of an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

/// Why a text is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoEndpoint {
    /// It says something else than HTTPS.
    #[error("{0:?} is no address of an API server: it is reached by TLS only; write https://HOST:6443")]
    NotTls(String),
    /// It has another form.
    #[error("{0:?} is no address of an API server; write https://HOST:6443")]
    Malformed(String),
}

impl Endpoint {
    /// Its name or address, without brackets.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What its paths begin with, where it is behind a proxy; else nothing.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// `HOST:PORT`, as it is looked up and as requests name it.
    pub(crate) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Takes `https://HOST:PORT`, and `HOST:PORT` as `kubeadm join` has it.
impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let malformed = || NoEndpoint::Malformed(text.to_owned());
        let rest = match text.split_once("://") {
            Some(("https", rest)) => rest,
            Some(_) => return Err(NoEndpoint::NotTls(text.to_owned())),
            None => text,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(malformed)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| malformed())?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")).ok_or_else(malformed)?)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let port = if port.is_empty() { PORT } else { port.parse().map_err(|_| malformed())? };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(malformed());
        }
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { host: host.to_owned(), port, path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_written_as_for_kubeadm_or_as_in_a_kubeconfig() {
        let same = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        for (text, endpoint) in [
            ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
            ("10.0.0.1:443", "https://10.0.0.1:443"),
            ("api.example.com", "https://api.example.com:6443"),
            ("https://[fd00::1]:6443/", "https://[fd00::1]:6443"),
            ("https://proxy/clusters/a", "https://proxy:6443/clusters/a"),
        ] {
            assert_eq!(same(text).as_deref(), Ok(endpoint));
        }
        assert_eq!(same("http://a:1"), Err(NoEndpoint::NotTls("http://a:1".to_owned())));
        for wrong in ["", "https://", "a:b", "a:70000", "[::1", "[x]:1", "a b:1"] {
            assert_eq!(same(wrong), Err(NoEndpoint::Malformed(wrong.to_owned())), "{wrong}");
        }
    }
}
