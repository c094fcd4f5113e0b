//! What `barepod nomad setup` has done is taken back on this host: `barepod nomad reset`. Pods run on. What other hosts use as well
//! stays: the namespace and the policy.

use std::io;
use std::path::{Path, PathBuf};

use barepod_api::v1;
use barepod_credentials::files;

use super::{HostError, Step, configuration, host};
use crate::decide::Present;
use crate::job::NODE;
use crate::jobs;
use crate::node::{Node, NodeError};
use crate::settings::{FILE, TOKEN, end};
use crate::volumes;
use crate::{Client, Settings, SettingsError};

/// What is to be taken back.
#[derive(Debug, Clone)]
pub struct Unwanted {
    /// All files are below this directory, but for those of Nomad.
    pub root: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
    /// The directory of the agent's configuration files.
    pub nomad_config: PathBuf,
}

/// Why it was not done; what was done before stays.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// A file of this host.
    #[error(transparent)]
    Host(#[from] HostError),
    /// What is booked cannot be given back.
    #[error("barepodd does not give back what Nomad's tasks have booked: {0}; start it, and run this again")]
    Daemon(String),
}

/// Takes it back. Nomad need not answer: what is left there then is said.
///
/// # Errors
/// What stands in the way.
pub async fn reset(unwanted: &Unwanted) -> Result<Vec<Step>, ResetError> {
    let file = configuration(&unwanted.root).join(FILE);
    // Without them the registrar writes nothing more.
    let settings = Settings::read(&file);
    let ended = end(&file).await.map_err(|source| HostError::Write { path: file.clone(), source })?;
    let mut steps = vec![Step::of(ended, format!("{}: where barepod-bridge finds Nomad", file.display()))];
    if let Some(known) = settings.transpose() {
        steps.push(uncounted(known).await);
    }
    steps.push(removed(&configuration(&unwanted.root).join(TOKEN), "the token of this host")?);
    steps.push(host::remove_fragment(&unwanted.nomad_config)?);
    let all = Some(v1::Booking::default());
    match barepod_api::reach(&unwanted.socket).book(v1::BookRequest { all }).await {
        Ok(_) => steps.push(Step::of(true, "what Nomad's own tasks have is free for pods".to_owned())),
        Err(status) => return Err(ResetError::Daemon(status.message().to_owned())),
    }
    Ok(steps)
}

fn removed(path: &Path, what: &str) -> Result<Step, HostError> {
    let removed = files::remove(path).map_err(|source| HostError::Write { path: path.to_owned(), source })?;
    Ok(Step::of(removed, format!("{}: {what}", path.display())))
}

/// The jobs of this host's pods. Their pods run on.
async fn uncounted(settings: Result<Settings, SettingsError>) -> Step {
    let purged = async {
        let settings = settings.map_err(io::Error::other)?;
        let client = Client::new(settings).map_err(io::Error::other)?;
        purge(&client).await.map_err(io::Error::other)
    };
    match purged.await {
        Ok((jobs, volumes)) => {
            let what =
                format!("{jobs} jobs in Nomad that counted pods of this host, and {volumes} volumes of their data");
            Step::of(jobs + volumes > 0, what)
        }
        Err(why) => {
            let left = "jobs in Nomad that counted pods of this host may be left; `nomad job stop -purge` ends them, and no pod";
            Step::of(false, format!("{left} ({why})"))
        }
    }
}

async fn purge(client: &Client) -> Result<(usize, usize), NodeError> {
    let node = Node::find(client).await?;
    let present: Vec<Present> = client.get(&jobs::listed(client, &node)).await?;
    let mut number = 0;
    for job in present.iter().filter(|job| job.says(NODE) == Some(&node.id)) {
        number += usize::from(jobs::purge(client, &job.id).await?);
    }
    // Tokens that are older than this may not ask for volumes, and have made none.
    let volumes = match volumes::take_back(client, &node).await {
        Err(error) if error.is_forbidden() || error.is_not_found() => 0,
        other => other?,
    };
    Ok((number, volumes))
}
