//! Files that say where a cluster is, whom to trust there, and who asks: of kubectl's format, what is needed here.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, NoEndpoint};
use crate::files;
use crate::name::NodeName;
use crate::store::Identity;

/// Under this name a kubeconfig says which node it is for.
const NODE: &str = "barepod.dev/node";

/// A kubeconfig: one cluster and one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Where the API server is.
    pub server: Endpoint,
    /// The authority's certificates, as PEM; without it those of the host are trusted.
    pub authority: Option<String>,
    /// The name in the server's certificate, where it is another.
    pub server_name: Option<String>,
    /// Who asks.
    pub user: User,
    /// The node that it is for, where it says so.
    pub node: Option<NodeName>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum User {
    /// Who has a token.
    Token(String),
    /// Who has a certificate and its key, as PEM.
    Certificate(Identity),
    /// Who has what is in this file, which is replaced as certificates are renewed.
    File(PathBuf),
    /// Somebody without credentials.
    Nobody,
}

/// Why a file is no kubeconfig that could be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no YAML of this form.
    #[error("{place} is no kubeconfig: {reason}")]
    Malformed {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// It has no cluster for its present context.
    #[error("{0} has no cluster: its current-context must name a context whose cluster has a server")]
    NoCluster(String),
    /// Its server is none.
    #[error("{place} leads nowhere")]
    Server {
        /// Where.
        place: String,
        /// Why.
        source: NoEndpoint,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    current_context: Option<String>,
    contexts: Vec<Named>,
    clusters: Vec<Named>,
    users: Vec<Named>,
    extensions: Vec<Extension>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    context: Option<Context>,
    cluster: Option<Cluster>,
    user: Option<Credentials>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    tls_server_name: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Credentials {
    token: Option<String>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Extension {
    name: String,
    #[serde(default)]
    extension: Value,
}

impl Kubeconfig {
    /// From a file, if there is one.
    ///
    /// # Errors
    /// It cannot be read or used.
    pub fn read(path: &Path) -> Result<Option<Self>, KubeconfigError> {
        let directory = path.parent().unwrap_or(Path::new("/"));
        files::read(path)?.map(|text| Self::parse(&text, &path.display().to_string(), directory)).transpose()
    }

    /// From a text; relative paths in it begin at the directory.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) fn parse(text: &str, place: &str, directory: &Path) -> Result<Self, KubeconfigError> {
        let malformed = |reason: String| KubeconfigError::Malformed { place: place.to_owned(), reason };
        let file: File = serde_saphyr::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let no_cluster = || KubeconfigError::NoCluster(place.to_owned());
        let context = file.contexts.iter().find(|named| Some(&named.name) == file.current_context.as_ref());
        // That of cluster-info has no context: there is one cluster, and nobody who asks.
        let (cluster, user) = match context.and_then(|named| named.context.as_ref()) {
            Some(context) => (find(&file.clusters, &context.cluster), find(&file.users, &context.user)),
            None if file.contexts.is_empty() => (file.clusters.first(), None),
            None => return Err(no_cluster()),
        };
        let cluster = cluster.and_then(|named| named.cluster.as_ref()).ok_or_else(no_cluster)?;
        let server = cluster.server.as_deref().ok_or_else(no_cluster)?;
        let server = server_of(server).map_err(|source| KubeconfigError::Server { place: place.to_owned(), source })?;
        let node = file.extensions.iter().find(|extension| extension.name == NODE);
        let node = node.and_then(|node| node.extension["name"].as_str()?.parse().ok());
        let data = |data: &Option<String>, file: &Option<PathBuf>| text_of(data.as_deref(), file.as_deref(), directory);
        let authority = data(&cluster.certificate_authority_data, &cluster.certificate_authority);
        let user = match user.and_then(|named| named.user.as_ref()) {
            Some(user) => user_of(user, directory).map_err(malformed)?,
            None => User::Nobody,
        };
        Ok(Self {
            server,
            authority: authority.map_err(malformed)?,
            server_name: cluster.tls_server_name.clone(),
            user,
            node,
        })
    }

    /// As a file has it.
    ///
    /// # Errors
    /// It cannot be written down as YAML.
    pub(crate) fn render(&self) -> io::Result<String> {
        let mut cluster = json!({"server": self.server.to_string()});
        if let Some(authority) = &self.authority {
            cluster["certificate-authority-data"] = json!(BASE64_STANDARD.encode(authority));
        }
        if let Some(name) = &self.server_name {
            cluster["tls-server-name"] = json!(name);
        }
        let (name, user) = match &self.user {
            User::Token(token) => ("bootstrap", json!({"token": token})),
            User::File(path) => ("node", json!({"client-certificate": path, "client-key": path})),
            User::Certificate(identity) => {
                let data = BASE64_STANDARD.encode(identity.pem());
                ("node", json!({"client-certificate-data": data, "client-key-data": data}))
            }
            User::Nobody => ("nobody", json!({})),
        };
        let context = json!({"cluster": "kubernetes", "user": name});
        let mut file = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "contexts": [{"name": "kubernetes", "context": context}],
            "current-context": "kubernetes",
            "users": [{"name": name, "user": user}],
        });
        if let Some(node) = &self.node {
            file["extensions"] = json!([{"name": NODE, "extension": {"name": node.as_str()}}]);
        }
        serde_saphyr::to_string(&file).map_err(io::Error::other)
    }

    /// Writes it for its owner alone.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        self.write_for(path, None)
    }

    pub(crate) fn write_for(&self, path: &Path, owner: Option<files::Owner>) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            files::make_directory(directory, owner)?;
        }
        files::write(path, &self.render()?, owner)
    }

    /// Whether both lead to the same cluster.
    pub fn is_of_same_cluster(&self, other: &Self) -> bool {
        let authority = |one: &Self| one.authority.as_deref().map(|text| text.trim_end().to_owned());
        self.server == other.server && authority(self) == authority(other)
    }
}

/// A URL without a port is one of HTTPS' own port, unlike on a command line.
fn server_of(url: &str) -> Result<Endpoint, NoEndpoint> {
    let rest = url.strip_prefix("https://").ok_or_else(|| NoEndpoint::NotTls(url.to_owned()))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let after_host = authority.rsplit(']').next().unwrap_or_default();
    match after_host.contains(':') {
        true => url.parse(),
        false => url.replacen(authority, &format!("{authority}:443"), 1).parse(),
    }
}

fn find<'a>(all: &'a [Named], name: &str) -> Option<&'a Named> {
    all.iter().find(|named| named.name == name)
}

/// What stands in the file itself counts before what it refers to.
fn text_of(data: Option<&str>, file: Option<&Path>, directory: &Path) -> Result<Option<String>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let bytes = BASE64_STANDARD.decode(data).map_err(|error| format!("what should be base64 is not: {error}"))?;
        return String::from_utf8(bytes).map(Some).map_err(|_| "what should be PEM is no text".to_owned());
    }
    let Some(file) = file else { return Ok(None) };
    fs_err::read_to_string(directory.join(file)).map(Some).map_err(|error| error.to_string())
}

fn user_of(user: &Credentials, directory: &Path) -> Result<User, String> {
    if let Some(token) = &user.token {
        return Ok(User::Token(token.clone()));
    }
    match (&user.client_certificate, &user.client_key) {
        (Some(certificate), Some(key)) if certificate == key => return Ok(User::File(directory.join(certificate))),
        _ => {}
    }
    let text = |data: &Option<String>, file: &Option<PathBuf>| text_of(data.as_deref(), file.as_deref(), directory);
    let certificate = text(&user.client_certificate_data, &user.client_certificate)?;
    let key = text(&user.client_key_data, &user.client_key)?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let pem = if certificate == key { key } else { format!("{}\n{key}", certificate.trim_end()) };
            Identity::new(pem).map(User::Certificate).map_err(|error| error.to_string())
        }
        (None, None) => Ok(User::Nobody),
        _ => Err("its user has a certificate without a key, or a key without a certificate".to_owned()),
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Certificate(identity) => identity.fmt(f),
            Self::File(path) => path.fmt(f),
            Self::Nobody => f.write_str("Nobody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(user: User) -> Kubeconfig {
        Kubeconfig {
            server: "https://10.0.0.1:6443".parse().unwrap(),
            authority: Some("PEM\n".to_owned()),
            server_name: None,
            user,
            node: Some("host-1".parse().unwrap()),
        }
    }

    #[test]
    fn a_kubeconfig_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/kubeconfig");
        assert_eq!(Kubeconfig::read(&path).unwrap(), None);
        for user in
            [User::Token("abcdef.0123456789abcdef".to_owned()), User::File("/a/client.pem".into()), User::Nobody]
        {
            let written = with(user);
            written.write(&path).unwrap();
            assert_eq!(Kubeconfig::read(&path).unwrap(), Some(written));
        }
    }

    #[test]
    fn what_leads_to_no_cluster_is_refused_with_its_place() {
        let wrong = |text: &str| Kubeconfig::parse(text, "the file", Path::new("/")).unwrap_err().to_string();
        for text in ["", "{}", "current-context: a\ncontexts: [{name: b, context: {cluster: c, user: u}}]"] {
            assert!(wrong(text).starts_with("the file has no cluster"), "{text}");
        }
        assert!(wrong("clusters: 7").starts_with("the file is no kubeconfig"));
        assert_eq!(wrong("clusters: [{name: a, cluster: {server: 'http://a'}}]"), "the file leads nowhere");
        let half = "clusters: [{name: a, cluster: {server: 'https://a'}}]\ncurrent-context: c\n\
                    contexts: [{name: c, context: {cluster: a, user: u}}]\n\
                    users: [{name: u, user: {client-key-data: AAAA}}]";
        assert!(wrong(half).contains("without a"), "{}", wrong(half));
    }

    #[test]
    fn a_url_without_a_port_is_at_443() {
        let at = |url: &str| server_of(url).unwrap().to_string();
        assert_eq!(at("https://api.example.com/a"), "https://api.example.com:443/a");
        assert_eq!(at("https://[fd00::1]"), "https://[fd00::1]:443");
        assert_eq!(at("https://a:6443"), "https://a:6443");
    }
}
