//! How far it is with this host and Nomad: `barepod nomad status`. Asks, and changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use barepod_api::v1;
use jiff::Timestamp;
use serde::Deserialize;

use crate::booked::DRIVER;
use crate::decide::Present;
use crate::job::NODE;
use crate::jobs;
use crate::node::{Node, NodeError};
use crate::settings::FILE;
use crate::setup::configuration;
use crate::wanted::{Stance, Told, stance, told};
use crate::{Client, ClientError, Settings, SettingsError};

/// All of it.
#[derive(Debug)]
pub struct Status {
    /// Where Nomad is, if `barepod nomad setup` was run here.
    pub settings: Option<Settings>,
    /// Nomad's side, or why it is not known.
    pub nomad: Option<Result<Nomad, String>>,
    /// The daemon's side, or why it is not known.
    pub host: Result<Host, String>,
}

/// What Nomad says of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nomad {
    /// The client's identity.
    pub node: String,
    /// Its name.
    pub name: String,
    /// `ready`, `down`, ...
    pub status: String,
    /// Whether anything may be placed here: `eligible` or `ineligible`.
    pub eligibility: String,
    /// Whether the driver is well, and what it says.
    pub driver: Option<(bool, String)>,
    /// When the token of this host ends, if it ends.
    pub token_end: Option<Timestamp>,
    /// Jobs that count pods of this host.
    pub jobs: usize,
}

/// What the daemon says of Nomad.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Host {
    /// Pods that are to be counted, by namespace and name, and what is said of each.
    pub pods: BTreeMap<(String, String), Option<Told>>,
    /// What Nomad's own tasks have.
    pub booked: v1::Booking,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Seen {
    #[serde(flatten)]
    node: Node,
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    scheduling_eligibility: String,
    #[serde(default)]
    drivers: BTreeMap<String, Driver>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Driver {
    detected: bool,
    healthy: bool,
    #[serde(default)]
    health_description: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Token {
    expiration_time: Option<Timestamp>,
}

/// Asks both.
///
/// # Errors
/// The settings are there and cannot be read.
pub async fn status(root: &Path, socket: &Path) -> Result<Status, SettingsError> {
    let settings = Settings::read(&configuration(root).join(FILE))?;
    let nomad = match &settings {
        None => None,
        Some(settings) => Some(ask(settings).await),
    };
    Ok(Status { settings, nomad, host: host(socket).await.map_err(|status| status.message().to_owned()) })
}

async fn ask(settings: &Settings) -> Result<Nomad, String> {
    let client = Client::new(settings.clone()).map_err(|error| error.with_remedy())?;
    let seen = Node::find_as(&client).await.map_err(|error| match error {
        NodeError::Client(error) => error.with_remedy(),
        other => other.to_string(),
    })?;
    nomad(&client, seen).await.map_err(|error| error.with_remedy())
}

async fn nomad(client: &Client, seen: Seen) -> Result<Nomad, ClientError> {
    let Seen { node, name, status, scheduling_eligibility, drivers } = seen;
    let jobs: Vec<Present> = client.get(&jobs::listed(client, &node)).await?;
    let token_end = match client.settings().token_file {
        Some(_) => client.get::<Token>("/v1/acl/token/self").await?.expiration_time,
        None => None,
    };
    let driver = drivers.get(DRIVER).filter(|driver| driver.detected);
    Ok(Nomad {
        node: node.short().to_owned(),
        name,
        status,
        eligibility: scheduling_eligibility,
        driver: driver.map(|driver| (driver.healthy, driver.health_description.clone())),
        token_end,
        jobs: jobs.iter().filter(|job| !job.stop && job.says(NODE) == Some(&node.id)).count(),
    })
}

async fn host(socket: &Path) -> Result<Host, tonic::Status> {
    let mut daemon = barepod_api::reach(socket);
    let booked = daemon.host(v1::HostRequest {}).await?.into_inner().booked.unwrap_or_default();
    let request = v1::ListRequest::default();
    let pods = daemon.list(request).await?.into_inner().pods;
    let counted = pods.iter().filter(|pod| matches!(stance(pod), Stance::Counted(_)));
    let pods = counted.map(|pod| ((pod.namespace.clone(), pod.name.clone()), told(pod))).collect();
    Ok(Host { pods, booked })
}
