//! The daemon, as the driver knows it: one watch of all pods, taken up anew whenever it breaks.
//!
//! While the daemon is away nothing is known, and nothing follows from that.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_api::v1::barepod_client::BarepodClient;
use barepod_api::v1::{self, ListRequest, Pod, watch_response};
use barepod_api::{ActsFor, ConnectError, StreamClient};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::outcome::{Outcome, Shown};
use crate::service::Service;

/// Pods that have gone and may still be asked for.
const REMEMBERED: usize = 1024;
/// Pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a pod is looked for once more that is not shown: a daemon that has just begun may not show it yet.
const SECOND_LOOK: Duration = Duration::from_secs(2);

/// Whether the daemon is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// It has not been reached yet.
    #[default]
    Unknown,
    /// It is, and all its pods have been shown.
    Up(Facts),
    /// There is no socket: it is not installed, or has never run.
    Absent(String),
    /// It does not answer.
    Down(String),
}

/// What it says of itself and its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) cgroup: String,
    /// All CPU of the host, in thousandths of one.
    pub(crate) cpu: u64,
    pub(crate) presets: Vec<String>,
}

/// What has been seen of it.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) link: Link,
    pods: HashMap<String, Arc<Shown>>,
    /// How each ended, by its UID.
    gone: VecDeque<(String, Outcome)>,
}

impl From<Link> for Seen {
    /// Of a daemon that has no pods.
    fn from(link: Link) -> Self {
        Self { link, ..Self::default() }
    }
}

impl Seen {
    /// A pod that is there.
    pub(crate) fn pod(&self, uid: &str) -> Option<&Arc<Shown>> {
        self.pods.get(uid)
    }

    /// What stands on this host whatever becomes of a job of Nomad's.
    pub(crate) fn services(&self) -> BTreeMap<&str, &Service> {
        let services = self.pods.values().filter_map(|shown| shown.service.as_ref());
        services.map(|service| (service.name.as_str(), service)).collect()
    }

    fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    fn went(&self, uid: &str) -> Option<Outcome> {
        self.gone.iter().rev().find(|(gone, _)| gone == uid).map(|(_, last)| last.clone())
    }

    fn put(&mut self, pod: Pod) {
        self.pods.insert(pod.uid.clone(), Arc::new(Shown::of(pod)));
    }

    fn take(&mut self, pod: Pod) {
        self.pods.remove(&pod.uid);
        let Shown { pod, last, .. } = Shown::of(pod);
        self.gone.push_back((pod.uid, last));
        let surplus = self.gone.len().saturating_sub(REMEMBERED);
        drop(self.gone.drain(..surplus));
    }
}

/// The way to it.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    socket: PathBuf,
    client: BarepodClient<Channel>,
    seen: watch::Receiver<Seen>,
}

impl Daemon {
    /// Begins to watch it, until `stop`.
    pub(crate) fn new(socket: &Path, stop: CancellationToken) -> Self {
        let (tell, seen) = watch::channel(Seen::default());
        let path = socket.to_owned();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = watch_for_ever(&path, &tell) => {}
            }
        });
        Self { socket: socket.to_owned(), client: barepod_api::reach_for(socket, ActsFor::Nomad), seen }
    }

    pub(crate) fn client(&self) -> BarepodClient<Channel> {
        self.client.clone()
    }

    /// A connection of its own, for what may last.
    pub(crate) fn stream_client(&self) -> StreamClient {
        barepod_api::reach_for_stream_for(&self.socket, ActsFor::Nomad)
    }

    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }

    /// Whether it is there, once that is known, or after so long.
    pub(crate) async fn link(&self, limit: Duration) -> Link {
        let mut seen = self.seen();
        let known = seen.wait_for(|seen| seen.link != Link::Unknown);
        tokio::time::timeout(limit, known).await.ok();
        self.seen.borrow().link.clone()
    }

    /// How a pod ends that has been there: whenever that is.
    pub(crate) async fn outcome(&self, uid: &str) -> Outcome {
        let mut seen = self.seen();
        loop {
            let end = |seen: &Seen| match seen.pod(uid) {
                Some(shown) => shown.end.clone().map(Some),
                None => seen.went(uid).map(Some).or_else(|| seen.is_up().then_some(None)),
            };
            let Ok(found) = seen.wait_for(|seen| end(seen).is_some()).await.map(|seen| end(&seen).flatten()) else {
                // The plugin ends.
                return std::future::pending().await;
            };
            match found {
                Some(outcome) => return outcome,
                // In a place of its own: there is one of these for each task, and few ever come here.
                None if Box::pin(self.is_gone(uid)).await => {
                    return Outcome::unknown("the pod is gone, and nobody saw how it ended");
                }
                None => {}
            }
        }
    }

    /// Looks once more for a pod that is not shown.
    async fn is_gone(&self, uid: &str) -> bool {
        let mut seen = self.seen();
        let shown = seen.wait_for(|seen| seen.pod(uid).is_some());
        if tokio::time::timeout(SECOND_LOOK, shown).await.is_ok() {
            return false;
        }
        let request = ListRequest { uid: uid.to_owned(), ..ListRequest::default() };
        self.client().list(request).await.is_ok_and(|pods| pods.into_inner().pods.is_empty())
    }

    /// The pod of this name that lives.
    pub(crate) async fn find(&self, namespace: &str, name: &str) -> Result<Option<Pod>, Status> {
        let request = ListRequest { namespace: namespace.to_owned(), name: name.to_owned(), ..ListRequest::default() };
        let pods = self.client().list(request).await?.into_inner().pods;
        Ok(pods.into_iter().find(|pod| pod.deletion.is_none()))
    }

    /// Asks until the daemon answers: one that is away comes back, and what it is asked stays right.
    pub(crate) async fn insist<T, F>(&self, mut ask: impl FnMut(BarepodClient<Channel>) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match ask(self.client()).await {
                Err(status) if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled) => {
                    tracing::debug!("barepodd does not answer: {}", status.message());
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }
}

async fn watch_for_ever(socket: &Path, tell: &watch::Sender<Seen>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let lost = match follow(socket, tell, &mut pause).await {
            Ok(()) => Link::Down("barepodd has ended the connection".to_owned()),
            Err(link) => link,
        };
        tell.send_if_modified(|seen| {
            let is_new = seen.link != lost;
            if is_new {
                tracing::warn!("barepodd is away: {}; its services run on", words(&lost));
                seen.link = lost;
            }
            is_new
        });
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Why a daemon is not there.
pub(crate) fn words(link: &Link) -> &str {
    match link {
        Link::Unknown => "barepodd has not answered yet",
        Link::Up(_) => "barepodd answers",
        Link::Absent(why) | Link::Down(why) => why,
    }
}

/// Shows its pods until the connection breaks.
async fn follow(socket: &Path, tell: &watch::Sender<Seen>, pause: &mut Duration) -> Result<(), Link> {
    let mut client = barepod_api::connect(socket).await.map_err(|error| match error {
        ConnectError::Absent(_) => Link::Absent(error.to_string()),
        ConnectError::Dead(_) | ConnectError::Forbidden(_) | ConnectError::Io { .. } => Link::Down(error.to_string()),
    })?;
    let down = |status: Status| Link::Down(status.message().to_owned());
    let facts = facts(&mut client).await.map_err(down)?;
    let mut stream = client.watch(ListRequest::default()).await.map_err(down)?.into_inner();
    // Those of the daemon before that are not shown any more are gone, nobody knows how.
    let mut listed = Some(HashMap::new());
    while let Some(message) = stream.message().await.map_err(down)? {
        let kind = message.kind();
        match (kind, message.pod, &mut listed) {
            (watch_response::Kind::Synced, _, _) => {
                *pause = FIRST_PAUSE;
                let pods = listed.take().unwrap_or_default();
                let link = Link::Up(facts.clone());
                tell.send_modify(|seen| (seen.pods, seen.link) = (pods, link));
            }
            (watch_response::Kind::Present, Some(pod), Some(listed)) => {
                listed.insert(pod.uid.clone(), Arc::new(Shown::of(pod)));
            }
            (watch_response::Kind::Present, Some(pod), None) => tell.send_modify(|seen| seen.put(pod)),
            (watch_response::Kind::Gone, Some(pod), _) => tell.send_modify(|seen| seen.take(pod)),
            (watch_response::Kind::Present | watch_response::Kind::Gone, None, _) => {}
        }
    }
    Ok(())
}

async fn facts(client: &mut BarepodClient<Channel>) -> Result<Facts, Status> {
    let version = client.version(v1::VersionRequest {}).await?.into_inner();
    let host = client.host(v1::HostRequest {}).await?.into_inner();
    Ok(Facts {
        version: version.version,
        cgroup: version.cgroup,
        cpu: host.capacity.map(|amounts| amounts.cpu_milli).unwrap_or_default(),
        presets: host.presets.into_iter().map(|preset| preset.name).collect(),
    })
}
