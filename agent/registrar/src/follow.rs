//! What is followed: lists of Nomad's, each by a request that is answered when there is something new; and the daemon's pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_api::v1::{self, Pod, watch_response};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{Client, ClientError};

/// How long Nomad holds a request back when nothing happens. What it forgets (a purge, its garbage collection) is nothing to it: the
/// index of a node's allocations is the highest of those that are left. So all is looked at again so soon.
const WAIT: Duration = Duration::from_secs(20);
/// At most so often is a list asked for that changes all the time.
const PACE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Waits between tries, longer each time.
#[derive(Debug)]
pub(crate) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    pub(crate) async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_PAUSE);
    }
}

/// What is wrong, said once for as long as it is the same.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Option<String>);

impl Complaint {
    pub(crate) fn say(&mut self, what: &str, why: &impl std::fmt::Display) {
        let now = format!("{what}: {why}");
        if self.0.as_ref() != Some(&now) {
            tracing::warn!("{now}; services run on, and it is tried again");
            self.0 = Some(now);
        }
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn is_over(&mut self, what: &str) {
        if self.0.take().is_some() {
            tracing::info!("{what}: all is well again");
        }
    }
}

/// Follows one list for ever. What could not be asked for stays as it was.
pub(crate) async fn list<T: DeserializeOwned + PartialEq>(
    client: Arc<Client>,
    path: String,
    tell: watch::Sender<Option<T>>,
) {
    let (mut index, mut pauses, mut complaint) = (0, Pauses::default(), Complaint::default());
    let what = "what Nomad has is not heard";
    loop {
        match client.wait(&path, index, WAIT).await {
            Ok(answer) => {
                complaint.is_over(what);
                pauses = Pauses::default();
                // It may be a lower one: of servers that were set up anew, and of a list that has become shorter.
                index = answer.index;
                let now = Some(answer.value);
                tell.send_if_modified(|held| {
                    let is_new = *held != now;
                    *held = now;
                    is_new
                });
                tokio::time::sleep(PACE).await;
            }
            // An agent that begins is slow, and no worse for it.
            Err(error @ ClientError::Late(_)) => tracing::debug!("{error}"),
            Err(error) => {
                complaint.say(what, &error.with_remedy());
                index = 0;
                pauses.pause().await;
            }
        }
    }
}

/// All pods there are; nothing is known of them while the daemon is away.
pub(crate) type Pods = BTreeMap<String, Arc<Pod>>;

/// Follows the daemon's pods for ever.
pub(crate) async fn pods(socket: PathBuf, tell: watch::Sender<Option<Pods>>) {
    let mut complaint = Complaint::default();
    let what = "barepodd is not heard";
    let mut pauses = Pauses::default();
    loop {
        let lost = watch_pods(&socket, &tell, &mut complaint).await;
        if tell.borrow().is_some() {
            pauses = Pauses::default();
        }
        tell.send_replace(None);
        complaint.say(what, &lost);
        pauses.pause().await;
    }
}

async fn watch_pods(socket: &Path, tell: &watch::Sender<Option<Pods>>, complaint: &mut Complaint) -> String {
    let mut client = match barepod_api::connect(socket).await {
        Ok(client) => client,
        Err(error) => return error.to_string(),
    };
    let mut stream = match client.watch(v1::ListRequest::default()).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => return status.message().to_owned(),
    };
    let mut listed = Some(Pods::new());
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return "it has ended the connection".to_owned(),
            Err(status) => return status.message().to_owned(),
        };
        match (message.kind(), message.pod, &mut listed) {
            (watch_response::Kind::Synced, _, _) => {
                complaint.is_over("barepodd is not heard");
                tell.send_replace(listed.take());
            }
            (watch_response::Kind::Present, Some(pod), Some(listed)) => {
                listed.insert(pod.uid.clone(), Arc::new(pod));
            }
            (watch_response::Kind::Present, Some(pod), None) => tell.send_modify(|pods| {
                pods.get_or_insert_default().insert(pod.uid.clone(), Arc::new(pod));
            }),
            (watch_response::Kind::Gone, Some(pod), _) => tell.send_modify(|pods| {
                pods.get_or_insert_default().remove(&pod.uid);
            }),
            (watch_response::Kind::Present | watch_response::Kind::Gone, None, _) => {}
        }
    }
}
