//! The loop: what has changed on either side leads to what should be, and that to a few requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use barepod_api::v1::barepod_client::BarepodClient;
use barepod_api::{ACCOUNTED, v1};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::booked::{Allocation, booked};
use crate::decide::{Action, Books, Present, decide};
use crate::follow::{self, Complaint, Pauses, Pods};
use crate::job::{Job, Place};
use crate::jobs;
use crate::node::{Node, NodeError, Scale};
use crate::settings::held;
use crate::token::TokenWatch;
use crate::verdict::{Plan, Verdict};
use crate::volumes::{self, Volumes};
use crate::wanted::{Told, told};
use crate::{Client, ClientError};

/// What comes together is looked at together.
const SETTLE: Duration = Duration::from_millis(300);
/// All is looked at so often, whether something has been heard or not.
const RESYNC: Duration = Duration::from_secs(60);
/// What has failed is tried again so soon.
const AGAIN: Duration = Duration::from_secs(3);

/// Keeps a host's pods in Nomad's books, and Nomad's own in the daemon's.
#[derive(Debug)]
pub struct Registrar {
    client: Arc<Client>,
    socket: PathBuf,
    daemon: BarepodClient<Channel>,
    /// The file of its settings.
    settings: PathBuf,
    /// When each job was last changed that was found to be as it should be.
    compared: BTreeMap<String, u64>,
    /// Jobs that were refused as they are made now, since something was last another one on Nomad's side.
    refused: BTreeMap<String, String>,
    /// What the daemon was last told.
    booked: Option<v1::Booking>,
    /// Told whenever that is something else.
    books: watch::Sender<()>,
    volumes: Volumes,
    /// That directories are not known as volumes.
    unshown: Complaint,
    token: TokenWatch,
    complaint: Complaint,
    /// That the settings are gone.
    unsettled: Complaint,
}

/// Why a round was not finished.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{}", .0.with_remedy())]
    Client(#[from] ClientError),
    #[error("barepodd: {}", .0.message())]
    Daemon(#[from] Status),
}

impl RoundError {
    /// It is of one job or pod, and no reason to let the others wait. Servers without a leader let everybody wait.
    fn is_of_one(&self) -> bool {
        match self {
            Self::Client(error) if error.is_about_what_was_asked() || error.is_outrun() => true,
            Self::Daemon(status) => !matches!(status.code(), Code::Unavailable | Code::Unknown),
            Self::Client(_) | Self::Node(_) => false,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    job_modify_index: u64,
}

impl Registrar {
    /// Of the daemon behind this socket, with the cluster that this client asks, for as long as `settings` is there: a file
    /// that is gone ends nothing that is booked, but nothing is written any more. `books` is told when something else is booked.
    #[must_use]
    pub fn new(client: Client, socket: PathBuf, settings: PathBuf, books: watch::Sender<()>) -> Self {
        Self {
            client: Arc::new(client),
            settings,
            daemon: barepod_api::reach(&socket),
            socket,
            compared: BTreeMap::new(),
            refused: BTreeMap::new(),
            booked: None,
            books,
            volumes: Volumes::default(),
            unshown: Complaint::default(),
            token: TokenWatch::default(),
            complaint: Complaint::default(),
            unsettled: Complaint::default(),
        }
    }

    /// Until `stop`; everything stays as it is then.
    pub async fn run(mut self, stop: CancellationToken) {
        let (tell, pods) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(follow::pods(self.socket.clone(), tell));
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.go_on(pods) => {}
        }
    }

    async fn go_on(&mut self, pods: watch::Receiver<Option<Pods>>) {
        let mut pauses = Pauses::default();
        loop {
            match self.place().await {
                Ok(place) => {
                    tracing::info!(node = place.node.id, namespace = place.namespace, "pods are counted by Nomad");
                    pauses = Pauses::default();
                    self.compared.clear();
                    self.token.look(&self.client).await;
                    self.serve(place, pods.clone()).await;
                }
                Err(error) => self.complaint.say("pods are not counted by Nomad", &error),
            }
            pauses.pause().await;
        }
    }

    /// This host in the cluster, as it is now.
    async fn place(&mut self) -> Result<Place, RoundError> {
        let node = Node::find(&self.client).await?;
        let host = self.daemon.host(v1::HostRequest {}).await?.into_inner();
        let scale = Scale::of(&node, &host);
        let settings = self.client.settings();
        Ok(Place { node, namespace: settings.namespace.clone(), scale, collect_logs: settings.collect_logs })
    }

    /// Until this host is another node.
    async fn serve(&mut self, mut place: Place, mut pods: watch::Receiver<Option<Pods>>) {
        let mut tasks = JoinSet::new();
        let (tell, mut jobs) = watch::channel::<Option<Vec<Present>>>(None);
        let path = jobs::listed(&self.client, &place.node);
        tasks.spawn(follow::list(Arc::clone(&self.client), path, tell));
        let (tell, mut allocations) = watch::channel::<Option<Vec<Allocation>>>(None);
        let path = format!("/v1/node/{}/allocations", place.node.id);
        tasks.spawn(follow::list(Arc::clone(&self.client), path, tell));
        let mut looked = Instant::now();
        let mut wait = RESYNC;
        loop {
            tokio::select! {
                Ok(()) = pods.changed() => {}
                Ok(()) = jobs.changed() => self.refused.clear(),
                Ok(()) = allocations.changed() => self.refused.clear(),
                () = tokio::time::sleep(wait) => {}
            }
            tokio::time::sleep(SETTLE).await;
            if looked.elapsed() >= RESYNC {
                looked = Instant::now();
                self.refused.clear();
                self.booked = None;
                self.volumes.doubt();
                match self.place().await {
                    Ok(now) if now.node.id != place.node.id => return,
                    Ok(now) => place = now,
                    Err(error) => self.complaint.say("this host is not heard of", &error),
                }
                self.token.look(&self.client).await;
            }
            let seen = (pods.borrow_and_update().clone(), jobs.borrow_and_update().clone());
            let allocations = allocations.borrow_and_update().clone();
            let Some(_held) = self.hold() else {
                wait = RESYNC;
                continue;
            };
            let what = "the books are not as they should be";
            match self.round(&place, seen, allocations).await {
                Ok(()) => self.complaint.is_over(what),
                Err(error) => self.complaint.say(what, &error),
            }
            wait = if self.complaint.is_raised() { AGAIN } else { RESYNC.saturating_sub(looked.elapsed()) };
        }
    }

    /// Holds the settings for a round, if they are there still. `barepod nomad reset` takes them away, and a file system may.
    fn hold(&mut self) -> Option<File> {
        let what = "the books stay as they are";
        let held = held(&self.settings);
        match held {
            Some(_) => self.unsettled.is_over(what),
            None => self.unsettled.say(what, &format!("{} is gone", self.settings.display())),
        }
        held
    }

    async fn round(
        &mut self,
        place: &Place,
        (pods, jobs): (Option<Pods>, Option<Vec<Present>>),
        allocations: Option<Vec<Allocation>>,
    ) -> Result<(), RoundError> {
        // Where one side is not known, nothing follows.
        let Some(allocations) = allocations else { return Ok(()) };
        if pods.is_some() {
            self.book(booked(&allocations, place.scale)).await?;
        }
        let (Some(pods), Some(jobs)) = (pods, jobs) else { return Ok(()) };
        let placed = allocations.iter().filter(|it| it.is_wanted() && it.namespace == place.namespace);
        let placed: BTreeSet<_> = placed.map(|allocation| allocation.job_id.clone()).collect();
        let books = Books { jobs: &jobs, placed, compared: &self.compared };
        let actions = decide(pods.values().map(Arc::as_ref), place, &books);
        let Books { placed, .. } = books;
        let mut fault = None;
        for action in actions {
            let done = match action {
                Action::Purge(id) => self.purge(&id).await.map_err(RoundError::from),
                Action::Count(job) => self.tell(&pods, &job, &Told::counted(&job.id)).await.map_err(RoundError::from),
                // A pod that changes all the time is no reason to ask Nomad's servers all the time.
                Action::Place(job) if self.refused.get(&job.id) == Some(&job.generation) => Ok(()),
                Action::Place(job) => self.register(place, &pods, &job, placed.contains(&job.id)).await,
            };
            match done {
                Ok(()) => {}
                Err(error) if error.is_of_one() => drop(fault.get_or_insert(error)),
                Err(error) => return Err(error),
            }
        }
        self.show_volumes(place, &pods).await;
        fault.map_or(Ok(()), Err)
    }

    /// What is wrong with them is no reason not to count.
    async fn show_volumes(&mut self, place: &Place, pods: &Pods) {
        let what = "data directories are not known to Nomad as host volumes";
        let wanted = volumes::Wanted::of(pods.values().map(Arc::as_ref));
        match self.volumes.settle(&self.client, &place.node, &wanted).await {
            Ok(()) => self.unshown.is_over(what),
            Err(error) => self.unshown.say(what, &error.with_remedy()),
        }
    }

    async fn book(&mut self, all: v1::Booking) -> Result<(), Status> {
        if self.booked.as_ref() != Some(&all) {
            self.daemon.book(v1::BookRequest { all: Some(all.clone()) }).await?;
            self.booked = Some(all);
            self.books.send_replace(());
        }
        Ok(())
    }

    async fn purge(&mut self, id: &str) -> Result<(), ClientError> {
        if jobs::purge(&self.client, id).await? {
            tracing::info!(job = id, "its pod is gone, and it is purged");
        }
        self.compared.remove(id);
        Ok(())
    }

    /// Plans a job, and registers it where that takes nothing from anybody.
    async fn register(&mut self, place: &Place, pods: &Pods, job: &Job, is_placed: bool) -> Result<(), RoundError> {
        match self.planned(place, job).await {
            Ok(Ok(index)) => {
                self.compared.insert(job.id.clone(), index);
                // Where it has none, its allocation is on its way, and what becomes of that is heard.
                if is_placed {
                    self.tell(pods, job, &Told::counted(&job.id)).await?;
                }
            }
            Ok(Err(why)) => {
                self.refused.insert(job.id.clone(), job.generation.clone());
                self.tell(pods, job, &Told::uncounted(why)).await?;
            }
            Err(error) if error.is_about_what_was_asked() => {
                self.tell(pods, job, &Told::uncounted(error.to_string())).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// When the job was last changed that is now there; or why it must not be.
    async fn planned(&self, place: &Place, job: &Job) -> Result<Result<u64, String>, ClientError> {
        let namespace = &place.namespace;
        let path = format!("/v1/job/{}/plan?namespace={namespace}", job.id);
        let plan: Plan = self.client.put(&path, &json!({"Job": job.body, "Diff": true})).await?;
        match plan.verdict(&place.node) {
            Verdict::Refused(why) => return Ok(Err(why)),
            Verdict::Unchanged => return Ok(Ok(plan.job_modify_index)),
            Verdict::Fits => {}
        }
        let index = plan.job_modify_index;
        let request = json!({"Job": job.body, "EnforceIndex": true, "JobModifyIndex": index});
        let registered: Registered = self.client.put(&format!("/v1/jobs?namespace={namespace}"), &request).await?;
        tracing::info!(job = job.id, pod = job.pod.name, "registered");
        Ok(Ok(registered.job_modify_index))
    }

    /// Says of a pod whether it is counted, if that is news.
    async fn tell(&mut self, pods: &Pods, job: &Job, now: &Told) -> Result<(), Status> {
        if pods.get(&job.pod.uid).and_then(|pod| told(pod)).as_ref() == Some(now) {
            return Ok(());
        }
        if !now.is_counted {
            tracing::warn!(namespace = job.pod.namespace, pod = job.pod.name, "not counted: {}", now.message);
        }
        let request = v1::SetConditionRequest {
            namespace: job.pod.namespace.clone(),
            name: job.pod.name.clone(),
            r#type: ACCOUNTED.to_owned(),
            status: if now.is_counted { "True" } else { "False" }.to_owned(),
            reason: now.reason.clone(),
            message: now.message.clone(),
        };
        match self.daemon.set_condition(request).await {
            // It has gone meanwhile.
            Err(status) if status.code() == Code::NotFound => Ok(()),
            other => other.map(drop),
        }
    }
}
