//! A Nomad cluster and this host prepared for each other: `barepod nomad setup`. What is as it should be is left alone, so it
//! may be run again at any time.

mod cluster;
mod host;
mod reset;

use std::path::{Path, PathBuf};

use crate::node::{Agent, NodeError};
use crate::settings::{FILE, TOKEN};
use crate::{Client, ClientError, Settings, SettingsError};

pub use host::HostError;
pub use reset::{ResetError, Unwanted, reset};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The agent and the namespace; the token file is written here.
    pub settings: Settings,
    /// A token that may write namespaces, policies and tokens; needed where the cluster has ACLs.
    pub management_token: Option<String>,
    /// How long the host's own token is to live, as Nomad writes it: `24h`; else for ever.
    pub token_ttl: Option<String>,
    /// All files are below this directory, but for those of Nomad.
    pub root: PathBuf,
    /// The daemon's socket, for the driver.
    pub socket: PathBuf,
    /// The driver's program.
    pub driver: PathBuf,
    /// The directory of the agent's configuration files.
    pub nomad_config: PathBuf,
    /// The agent's plugin directory, if it is not as it says itself.
    pub plugin_dir: Option<PathBuf>,
}

/// One thing that was done or looked at, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whether something was changed.
    pub changed: bool,
    /// What.
    pub what: String,
}

impl Step {
    fn of(changed: bool, what: String) -> Self {
        Self { changed, what }
    }
}

/// Why it was not done; what was done before stays.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Nomad does not answer, or refuses.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The agent is not this host's.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file of this host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no token to begin with.
    #[error(
        "the cluster has ACLs, and this takes a management token: put it into NOMAD_TOKEN, or into a file for --management-token-file"
    )]
    NoToken,
    /// It is not good enough.
    #[error("the token in use may not {what}: {source}; use a management token")]
    Forbidden {
        /// Do what.
        what: String,
        /// What Nomad says.
        source: ClientError,
    },
}

/// Does all of it.
///
/// # Errors
/// What stands in the way.
pub async fn setup(wanted: &Wanted) -> Result<Vec<Step>, SetupError> {
    let mut settings = Settings { token_file: None, ..wanted.settings.clone() };
    settings.check()?;
    host::check(wanted)?;
    let client = Client::with_token(settings.clone(), wanted.management_token.clone())?;
    let agent = match Agent::ask(&client).await {
        Err(error) if error.is_forbidden() && wanted.management_token.is_none() => return Err(SetupError::NoToken),
        Err(source) if source.is_forbidden() => {
            return Err(SetupError::Forbidden { what: "ask the agent about itself".to_owned(), source });
        }
        other => other?,
    };
    if agent.node_id().is_none_or(str::is_empty) {
        return Err(NodeError::NoClient(settings.address).into());
    }
    let mut steps = vec![host::link(wanted, &plugin_dir(wanted, &agent))?, host::fragment(wanted)?];
    steps.push(cluster::namespace(&client, &settings.namespace).await?);
    if agent.has_acl() {
        if wanted.management_token.is_none() {
            return Err(SetupError::NoToken);
        }
        steps.push(cluster::policy(&client, &settings.namespace).await?);
        let file = configuration(&wanted.root).join(TOKEN);
        settings.token_file = Some(file.clone());
        steps.push(cluster::token(&client, &settings, wanted, &file).await?);
    }
    steps.push(host::registrar(wanted, &settings, &configuration(&wanted.root).join(FILE))?);
    Ok(steps)
}

pub(crate) fn configuration(root: &Path) -> PathBuf {
    root.join("etc/barepod")
}

/// Nomad's own rule.
fn plugin_dir(wanted: &Wanted, agent: &Agent) -> PathBuf {
    let said = || match agent.config.plugin_dir.as_str() {
        "" => Path::new(&agent.config.data_dir).join("plugins"),
        directory => PathBuf::from(directory),
    };
    wanted.plugin_dir.clone().unwrap_or_else(said)
}
