//! Where Nomad is, and what this host is known by there: a file that `barepod nomad setup` writes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use barepod_credentials::files;
use serde::{Deserialize, Serialize};

/// The file, below the administrator's configuration.
pub(crate) const FILE: &str = "nomad/registrar.yaml";
/// The token, beside it.
pub(crate) const TOKEN: &str = "nomad/token";
/// How long a round of the registrar is waited for: one request that is not answered takes half as long.
const LONGEST: Duration = Duration::from_secs(60);
/// Nomad's own port.
const PORT: u16 = 4646;

/// The keys of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// `http://` or `https://` and HOST:PORT of the agent on this host, which must be a client.
    #[serde(default = "address")]
    pub address: String,
    /// Where the pods' jobs are. Nobody else should have jobs there.
    #[serde(default = "namespace")]
    pub namespace: String,
    /// The cluster's region, if it is not the agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A file that holds the ACL token; it is read anew for each request. Without one, nobody is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM: who signs the agent's certificate. Needed with `https://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate that the agent asks its clients for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_file: Option<PathBuf>,
    /// PEM: its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The name in the agent's certificate, such as `client.global.nomad`, if it is not the address's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// Nomad collects what counted pods write: one more process of its own for each, of some 15 MB.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub collect_logs: bool,
}

/// Holds the file for who acts by it, so that [`end`] comes before or after what is being done. `None` where it is gone or about
/// to go.
pub(crate) fn held(path: &Path) -> Option<File> {
    let file = File::open(path).ok()?;
    file.try_lock_shared().ok()?;
    // It may have gone before it was held.
    path.exists().then_some(file)
}

/// Removes the file once nobody acts by it any more, or has for so long that it is no reason to wait. False where there is none.
pub(crate) async fn end(path: &Path) -> io::Result<bool> {
    let file = match fs_err::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let taken = async {
        while file.file().try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONGEST, taken).await.ok();
    files::remove(path)
}

fn address() -> String {
    format!("http://127.0.0.1:{PORT}")
}

fn namespace() -> String {
    "barepod".to_owned()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: address(),
            namespace: namespace(),
            region: None,
            token_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            tls_server_name: None,
            collect_logs: false,
        }
    }
}

/// Why they are of no use.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no such file.
    #[error("{}: {message}; `barepod nomad setup` writes this file", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The address is none.
    #[error("{0:?} is no address of a Nomad agent: write http://127.0.0.1:4646, or https:// and host and port")]
    Address(String),
    /// A name that Nomad does not take.
    #[error("{0:?} is no namespace: use up to 128 letters, digits and dashes")]
    Namespace(String),
    /// Nobody vouches for the server.
    #[error("an https:// address needs caFile: a PEM file with the authority that signs the cluster's certificates")]
    NoAuthority,
    /// One of a pair.
    #[error("certFile and keyFile come together")]
    HalfIdentity,
}

impl Settings {
    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn read(path: &Path) -> Result<Option<Self>, SettingsError> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let malformed = |message: String| SettingsError::Malformed { path: path.to_owned(), message };
        let settings: Self = serde_saphyr::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        settings.check()?;
        Ok(Some(settings))
    }

    /// Whether they make sense.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self) -> Result<(), SettingsError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if self.namespace.is_empty() || self.namespace.len() > 128 || !self.namespace.chars().all(is_plain) {
            return Err(SettingsError::Namespace(self.namespace.clone()));
        }
        if self.is_tls()? && self.ca_file.is_none() {
            return Err(SettingsError::NoAuthority);
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(SettingsError::HalfIdentity);
        }
        Ok(())
    }

    fn is_tls(&self) -> Result<bool, SettingsError> {
        let wrong = || SettingsError::Address(self.address.clone());
        let uri: hyper::Uri = self.address.parse().map_err(|_| wrong())?;
        let is_bare = uri.path().trim_end_matches('/').is_empty() && uri.query().is_none();
        match uri.scheme_str() {
            // A user and a password in it would be told to whoever sees the address.
            Some(scheme @ ("http" | "https")) if is_bare && !self.address.contains('@') => Ok(scheme == "https"),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registrar.yaml");
        std::fs::write(&path, text).unwrap();
        Settings::read(&path).map(Option::unwrap).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_of_nothing_means_the_agent_of_this_host() {
        assert_eq!(read("{}").unwrap(), Settings::default());
        assert!(Settings::read(Path::new("/nowhere")).unwrap().is_none());
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let settings = Settings { region: Some("eu".to_owned()), token_file: Some("/t".into()), ..Settings::default() };
        assert_eq!(read(&serde_saphyr::to_string(&settings).unwrap()).unwrap(), settings);
    }

    #[tokio::test]
    async fn the_file_goes_when_nobody_acts_by_it_and_then_nobody_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registrar.yaml");
        std::fs::write(&path, "{}").unwrap();
        let (one, other) = (held(&path).unwrap(), held(&path).unwrap());
        let ending = end(&path);
        tokio::pin!(ending);
        tokio::select! {
            biased;
            _ = &mut ending => panic!("somebody acts by it"),
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        drop((one, other));
        assert!(ending.await.unwrap());
        assert!(held(&path).is_none() && !end(&path).await.unwrap());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_likely_fix() {
        for (text, wanted) in [
            ("adress: x", "adress"),
            ("address: 127.0.0.1:4646", "http://127.0.0.1:4646"),
            ("address: http://me:secret@host:4646", "no address"),
            ("address: https://nomad:4646", "caFile"),
            ("certFile: /x", "come together"),
            ("namespace: a b", "no namespace"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(wanted), "{text}: {said}");
        }
    }
}
