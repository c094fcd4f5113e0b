//! One container's task: the only one that speaks with its shim.
//!
//! ```text
//!   orders (from the core) ──▶ ┌──────────────┐ ──▶ requests ──▶ shim
//!   facts  (to the core)   ◀── │ ContainerTask │ ◀── events  ◀── shim
//!                              └──────────────┘
//! ```
//!
//! When the connection ends, the core is told that the shim is lost, and orders an observation; that finds the shim again,
//! or starts another one, which takes over the process.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{AttemptKey, Input, Observation, PastEnd};
use barepod_linux::cgroup::CgroupError;
use barepod_linux::shim::{self, ShimClient, ShimError, Spawn};
use barepod_model::{Attempt, ContainerKey, ExitStatus, Pod, Reason};
use barepod_shim::layout;
use barepod_shim::wire::{self, event, request};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::launch::Draft;
use super::ledger::chain;
use super::oom::{self, OomWatch};
use super::{Host, confine, last_words, launch, renewal, translate};
use crate::hands::host::Process;
use crate::supervisor::Handle;

/// What a container's task is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Start {
        key: AttemptKey,
        pod: Arc<Pod>,
    },
    Observe,
    Signal {
        attempt: Attempt,
        signal: i32,
    },
    Kill {
        attempt: Attempt,
    },
    /// The ledger has the ends up to this attempt.
    Known {
        attempt: Attempt,
    },
    /// The last one: the container has ended for good.
    Dismiss {
        done: oneshot::Sender<Result<(), String>>,
    },
}

/// How long a container must have run, or rested, before its next start is worked out.
const SETTLED: Duration = Duration::from_secs(2);

/// Pause between tries to reach a shim that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct ContainerTask {
    key: ContainerKey,
    host: Arc<Host>,
    supervisor: Handle,
    orders: mpsc::UnboundedReceiver<Order>,
    shim: Option<ShimClient>,
    /// An order to start that is not answered yet.
    starting: Option<(AttemptKey, Arc<Pod>)>,
    held: Held,
    /// How the main process of the newest attempt ended.
    ended: Option<ExitStatus>,
    /// And, if the kernel killed it for memory, how much there was.
    starved: Option<String>,
    /// Of this attempt nothing is left, as the shim has said.
    emptied: Option<Attempt>,
    /// The newest attempt that ran here.
    newest: Option<Attempt>,
    next: NextStart,
    /// The shim was asked to become the installed binary, and has not introduced itself since.
    renewing: bool,
    /// Hears of kills for memory in the attempt that runs.
    oom: Option<OomWatch>,
    /// The newest that the service of an attempt has said.
    heard: Option<wire::Heard>,
    standing: Standing,
    /// The shim has been told that the ends up to this attempt are written down.
    known: Option<Attempt>,
    /// The ends of earlier attempts that it told of.
    past: Vec<PastEnd>,
}

/// Whether a process stands by in the group of the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    No,
    /// As the draft of the next start says, or the shim has said why not.
    Yes,
    /// The shim has been told to end what there is.
    Leaving,
}

/// How far the start after this one has been worked out.
#[derive(Debug)]
enum NextStart {
    None,
    /// At that time: a container that ends at once is not given even more to do.
    Waiting(Instant),
    Drafting(JoinHandle<Option<Box<Draft>>>),
    /// The shim makes its view meanwhile.
    Drafted(Box<Draft>),
}

/// What is to be done for the next start.
enum Due {
    Draft,
    Drafted(Option<Box<Draft>>),
}

impl NextStart {
    /// Begins anew.
    fn wait(&mut self) {
        if !matches!(self, NextStart::Drafting(_)) {
            *self = NextStart::Waiting(Instant::now() + SETTLED);
        }
    }

    /// When something is to be done. Cancel-safe: a draft that is made is kept by its handle.
    async fn ready(&mut self) -> Due {
        match self {
            NextStart::None | NextStart::Drafted(_) => std::future::pending().await,
            NextStart::Waiting(at) => {
                tokio::time::sleep_until(*at).await;
                Due::Draft
            }
            NextStart::Drafting(handle) => Due::Drafted(handle.await.ok().flatten()),
        }
    }

    /// The draft, if there is one or soon will be.
    async fn take(&mut self) -> Option<Box<Draft>> {
        match std::mem::replace(self, NextStart::None) {
            NextStart::None | NextStart::Waiting(_) => None,
            NextStart::Drafting(handle) => handle.await.ok().flatten(),
            NextStart::Drafted(draft) => Some(draft),
        }
    }
}

/// The reading ends of a running attempt's output, held and never read: should the shim die and then the service, what is
/// still in its pipes waits for the next shim instead of being lost.
#[derive(Debug, Default)]
struct Held {
    _pipes: Vec<std::fs::File>,
}

impl Held {
    fn of(directory: &Path, attempt: Attempt) -> Self {
        let open = |path: PathBuf| {
            let mut options = std::fs::OpenOptions::new();
            // A terminal has no FIFO, and one that cannot be opened is only not held.
            options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).ok()
        };
        let paths = [layout::stdout(directory, attempt.0), layout::stderr(directory, attempt.0)];
        Self { _pipes: paths.into_iter().filter_map(open).collect() }
    }
}

impl ContainerTask {
    pub(super) fn new(
        key: ContainerKey,
        host: Arc<Host>,
        supervisor: Handle,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        Self {
            key,
            host,
            supervisor,
            orders,
            shim: None,
            starting: None,
            held: Held::default(),
            ended: None,
            starved: None,
            emptied: None,
            newest: None,
            next: NextStart::None,
            renewing: false,
            oom: None,
            heard: None,
            standing: Standing::No,
            known: None,
            past: Vec::new(),
        }
    }

    /// Which main process runs.
    fn follow(&mut self, process: Option<Process>) {
        self.host.set_process(&self.key, process);
        self.oom = process.map(|process| OomWatch::new(&self.host, &self.key, process.attempt));
    }

    /// Runs until it is dismissed, or the daemon ends; the shim runs on.
    pub(super) async fn run(mut self) {
        loop {
            // Cancel-safe: `recv` loses nothing, and what the client has read of an event it keeps. News first: an order
            // may be about something that has ended meanwhile.
            let event = tokio::select! {
                biased;
                event = next(&mut self.shim) => event,
                due = self.next.ready() => {
                    self.go_on_with_next(due).await;
                    continue;
                }
                order = self.orders.recv() => match order {
                    Some(Order::Dismiss { done }) => {
                        done.send(self.dismiss().await).ok();
                        return;
                    }
                    Some(order) => {
                        self.carry_out(order).await;
                        continue;
                    }
                    None => return,
                },
            };
            match event {
                Ok(Some(event)) => self.report(event).await,
                Ok(None) => self.lose("it closed the connection").await,
                Err(error) => self.lose(&chain(&error)).await,
            }
        }
    }

    async fn carry_out(&mut self, order: Order) {
        match order {
            Order::Start { key, pod } => self.start(key, pod).await,
            Order::Observe => self.observe().await,
            Order::Signal { attempt, signal } => {
                self.send(request::Request::Signal(wire::Signal { attempt: attempt.0, signal })).await;
            }
            Order::Kill { attempt } => self.kill(attempt),
            Order::Known { attempt } => self.known(attempt).await,
            Order::Dismiss { .. } => unreachable!("the loop ends with it"),
        }
    }

    // ---- starting ----

    async fn start(&mut self, key: AttemptKey, pod: Arc<Pod>) {
        self.emptied = None;
        self.newest = Some(key.attempt);
        let draft = self.next.take().await.filter(|draft| draft.serves(&self.host, &pod, &key));
        self.starting = Some((key, Arc::clone(&pod)));
        match (self.standing, draft) {
            (Standing::Yes, Some(draft)) if draft.stands_by() => self.go(draft, &pod).await,
            (Standing::Yes, _) => self.clear_standby().await,
            // The answer is waited for: until then something may be in the group that is to be made.
            (Standing::Leaving, _) => {}
            (Standing::No, draft) => self.start_as(draft).await,
        }
    }

    /// Lets the process that stands by go on.
    async fn go(&mut self, draft: Box<Draft>, pod: &Arc<Pod>) {
        let go = if draft.is_quick() { draft.go() } else { self.host.blocking(move |_| draft.go()).await };
        match go {
            Ok(Some(go)) => {
                let attempt = Attempt(go.attempt);
                self.standing = Standing::No;
                self.send(request::Request::Go(go)).await;
                self.publish_log(pod, attempt).await;
            }
            Ok(None) => self.clear_standby().await,
            Err(failure) => {
                self.clear_standby().await;
                if let Some((key, _)) = self.starting.clone() {
                    self.fail(key.attempt, failure).await;
                }
            }
        }
    }

    /// Nothing stands by any more: what was to be started is started anew.
    async fn cleared(&mut self) {
        self.standing = Standing::No;
        if self.starting.is_some() {
            self.start_as(None).await;
        }
    }

    /// Starts what is to be started, as the draft says if there is one.
    async fn start_as(&mut self, draft: Option<Box<Draft>>) {
        let Some((key, pod)) = self.starting.clone() else { return };
        let attempt = key.attempt;
        let wanted = Arc::clone(&pod);
        let plan = self.host.blocking(move |host| match draft {
            Some(draft) => draft.finish(host),
            None => Draft::make(host, &wanted, &key).and_then(|draft| draft.finish(host)),
        });
        let (plan, reached) = tokio::join!(plan, reach(&mut self.shim, &self.host, &self.key));
        let plan = plan.and_then(|start| self.in_its_words(start, &pod));
        let request = match (plan, reached) {
            (Err(failure), _) => return self.fail(attempt, failure).await,
            (Ok(_), Err(error)) => {
                return self.fail(attempt, launch::failure(Reason::CreateContainerError, chain(&error))).await;
            }
            (Ok(start), Ok(())) => request::Request::Start(start),
        };
        self.send(request).await;
        self.publish_log(&pod, attempt).await;
    }

    async fn publish_log(&self, pod: &Arc<Pod>, attempt: Attempt) {
        let (pod, key) = (Arc::clone(pod), self.key.clone());
        self.host.blocking(move |host| launch::publish_log(host, &pod, &key, attempt)).await;
    }

    /// The order in words that the shim knows: an older one would leave out what it does not know without a word.
    fn in_its_words(&self, mut start: wire::Start, pod: &Pod) -> Result<wire::Start, barepod_core::StartFailure> {
        let Some(protocol) = self.shim.as_ref().map(ShimClient::protocol) else { return Ok(start) };
        if protocol < wire::JOINED {
            launch::without_joined(&mut start)?;
        }
        if protocol < wire::NOTIFY && start.notify.is_some() {
            let message =
                "its shim is of an older release and cannot listen to a service; restart the daemon to renew it";
            return Err(launch::failure(Reason::CreateContainerError, message.to_owned()));
        }
        let shares = |view: &wire::View| view.mounts.iter().any(|mount| mount.shared);
        if protocol < wire::SHARED && start.view.as_ref().is_some_and(shares) {
            let message = "its shim is of an older release and cannot share a mount; restart the daemon to renew it";
            return Err(launch::failure(Reason::CreateContainerError, message.to_owned()));
        }
        if protocol < wire::CONFINEMENT {
            self.without_confinement(&mut start, pod)?;
        }
        Ok(start)
    }

    /// Only for those who have a filter by default.
    fn without_confinement(&self, start: &mut wire::Start, pod: &Pod) -> Result<(), barepod_core::StartFailure> {
        let what = "its shim is older than the daemon and knows no seccomp filters";
        let container = pod.containers.iter().find(|container| container.name == self.key.container);
        if container.is_some_and(|container| confine::is_asked_for(&container.launch)) {
            let message = format!("{what}; install the shim of the daemon's version");
            return Err(launch::failure(Reason::CreateContainerError, message));
        }
        self.host.warn(&self.key, Reason::Degraded, &format!("{what}: the container runs without one"));
        start.confinement = None;
        Ok(())
    }

    // ---- the next start ----

    async fn go_on_with_next(&mut self, due: Due) {
        match due {
            // What an earlier daemon asked for is still leaving.
            Due::Draft if self.standing != Standing::No => self.next.wait(),
            Due::Draft => self.next = self.draft_next().map_or(NextStart::None, NextStart::Drafting),
            Due::Drafted(Some(mut draft)) => {
                let protocol = self.shim.as_ref().map_or(0, ShimClient::protocol);
                if let Some(asked) = draft.get_ready(protocol) {
                    self.standing = if draft.stands_by() { Standing::Yes } else { Standing::No };
                    self.send(request::Request::GetReady(asked)).await;
                }
                self.next = NextStart::Drafted(draft);
            }
            Due::Drafted(None) => self.next = NextStart::None,
        }
    }

    /// Has the shim end what stands by; [`Self::cleared`] goes on when it has.
    async fn clear_standby(&mut self) {
        self.standing = Standing::Leaving;
        self.send(request::Request::Dismiss(wire::Dismiss {})).await;
    }

    /// Works out how the attempt after the newest would be started, if there may be one.
    fn draft_next(&self) -> Option<JoinHandle<Option<Box<Draft>>>> {
        let view = self.host.board.get(&self.key.pod).filter(|view| view.deletion.is_none())?;
        let pod = view.pod.clone()?;
        let container = pod.containers.iter().find(|container| container.name == self.key.container)?;
        if !Draft::is_possible(container) || self.shim.is_none() {
            return None;
        }
        let key = self.attempt_key(self.newest?.next().0);
        let host = Arc::clone(&self.host);
        // What goes wrong goes wrong again when it counts, and is told then.
        Some(tokio::task::spawn_blocking(move || Draft::make(&host, &pod, &key).ok().map(Box::new)))
    }

    async fn fail(&mut self, attempt: Attempt, failure: barepod_core::StartFailure) {
        self.starting = None;
        let key = self.key.clone();
        self.host.blocking(move |host| host.groups.remove_leaf(&key, attempt)).await.ok();
        self.supervisor.tell(Input::StartFailed { key: self.attempt_key(attempt.0), failure }).await;
    }

    // ---- events ----

    async fn report(&mut self, event: event::Event) {
        match event {
            event::Event::Started(started) => self.started(&started).await,
            event::Event::StartFailed(failed) => {
                let failure = translate::start_failure(&failed);
                self.fail(Attempt(failed.attempt), failure).await;
            }
            event::Event::Exited(exited) => {
                self.starting = None;
                self.follow(None);
                let (status, oom, finished) = translate::exit(exited.exit.as_ref(), &self.host.boot_id);
                self.ended = Some(status);
                let key = self.attempt_key(exited.attempt);
                if oom && !status.is_success() {
                    self.starved(key.attempt);
                }
                self.supervisor.tell(Input::Exited { key, status, oom, finished }).await;
            }
            event::Event::Emptied(emptied) => self.emptied(Attempt(emptied.attempt)).await,
            event::Event::Heard(said) => self.heard(said).await,
            event::Event::Warning(warning) => {
                self.host.warn(&self.key, Reason::Degraded, &translate::warning(&warning));
            }
            event::Event::Refused(refused) => self.refused(&refused).await,
            // It has become another binary in place; nothing has changed but what it knows.
            event::Event::Welcome(welcome) => {
                // What stood by has not come over.
                self.standing = Standing::No;
                self.next = NextStart::Waiting(Instant::now() + SETTLED);
                tracing::info!(container = %self.key, version = welcome.shim_version, "the shim introduced itself anew");
                self.greet(welcome.protocol).await;
            }
            event::Event::Dismissed(_) => self.cleared().await,
            event::Event::LogStats(stats) => tracing::debug!(container = %self.key, ?stats, "log"),
        }
    }

    /// The group is there until all of it has ended: then nobody knows any more what was in it.
    fn starved(&mut self, attempt: Attempt) {
        let words = oom::words(self.host.groups.memory_figures(&self.key, attempt));
        let message = format!("the kernel killed its main process for memory: {words}");
        self.host.warn(&self.key, Reason::OOMKilling, &message);
        self.starved = Some(words);
    }

    /// Asks what it speaks now, once.
    async fn greet(&mut self, protocol: u32) {
        if let Some(shim) = &mut self.shim {
            shim.agreed(protocol);
        }
        if std::mem::take(&mut self.renewing) {
            let daemon_version = env!("CARGO_PKG_VERSION").to_owned();
            self.send(request::Request::Hello(wire::Hello { protocol: wire::PROTOCOL, daemon_version })).await;
        }
    }

    async fn started(&mut self, started: &wire::Started) {
        self.starting = None;
        let process = Process { attempt: Attempt(started.attempt), pid: started.pid, start_ticks: started.start_ticks };
        self.follow(Some(process));
        self.next.wait();
        self.supervisor.tell(Input::Started { key: self.attempt_key(started.attempt), pid: started.pid }).await;
    }

    async fn heard(&mut self, said: wire::Heard) {
        let heard = Box::new(translate::heard(&said));
        self.supervisor.tell(Input::Heard { key: self.attempt_key(said.attempt), heard }).await;
        self.heard = Some(said);
    }

    /// A start must be answered, or the core waits for ever: by the attempt that runs if it is this one, else as failed.
    async fn refused(&mut self, refused: &wire::Refused) {
        tracing::warn!(container = %self.key, request = refused.request, "the shim refused: {}", refused.message);
        match refused.request.as_str() {
            "Start" => {}
            // It ended before it was told.
            "Go" => return self.cleared().await,
            _ => return,
        }
        self.starting = None;
        let attempt = Attempt(refused.attempt);
        match self.host.process(&self.key).filter(|process| process.attempt == attempt) {
            Some(process) => {
                self.supervisor.tell(Input::Started { key: self.attempt_key(attempt.0), pid: process.pid }).await;
                if let Some(said) = self.heard.take().filter(|said| said.attempt == attempt.0) {
                    self.heard(said).await;
                }
            }
            None => {
                let message = format!("the shim refused: {}", refused.message);
                self.fail(attempt, launch::failure(Reason::CreateContainerError, message)).await;
            }
        }
    }

    async fn emptied(&mut self, attempt: Attempt) {
        self.held = Held::default();
        self.emptied = Some(attempt);
        let status = self.ended.take();
        let starved = self.starved.take().unwrap_or_default();
        let message = Some(self.last_words(attempt, status).await).filter(|words| !words.is_empty()).unwrap_or(starved);
        self.supervisor.tell(Input::Emptied { key: self.attempt_key(attempt.0), message }).await;
        self.remove_leaf(attempt);
    }

    /// On the path of a restart: what is quick is done at once.
    async fn last_words(&self, attempt: Attempt, status: Option<ExitStatus>) -> String {
        if !last_words::may_take_long(&self.host, &self.key) {
            return last_words::of(&self.host, &self.key, attempt, status);
        }
        let key = self.key.clone();
        self.host.blocking(move |host| last_words::of(host, &key, attempt, status)).await
    }

    /// Nobody waits for it: a restart may be next. The group of the next attempt is another one.
    fn remove_leaf(&self, attempt: Attempt) {
        let (host, key) = (Arc::clone(&self.host), self.key.clone());
        tokio::spawn(async move {
            let container = key.clone();
            if let Err(error) = host.blocking(move |host| host.groups.remove_leaf(&key, attempt)).await {
                tracing::debug!(%container, %attempt, "a group stays until the pod goes: {}", chain(&error));
            }
        });
    }

    // ---- observing ----

    /// Finds out what there is; tries until it knows.
    async fn observe(&mut self) {
        self.shim = None;
        self.standing = Standing::No;
        let observation = loop {
            match self.look().await {
                Ok(observation) => break observation,
                Err(error) => {
                    let message = format!("the shim cannot be reached: {}; trying again", chain(&error));
                    self.host.warn(&self.key, Reason::Degraded, &message);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let empty = match &observation {
            Observation::Exited { attempt, empty: true, .. } => Some(*attempt),
            Observation::Exited { .. } | Observation::Running { .. } | Observation::Absent => None,
        };
        let newest = match &observation {
            Observation::Exited { attempt, .. } | Observation::Running { attempt, .. } => Some(*attempt),
            Observation::Absent => None,
        };
        self.newest = newest;
        self.next.wait();
        if !self.past.is_empty() {
            let (key, ends) = (self.key.clone(), std::mem::take(&mut self.past));
            self.supervisor.tell(Input::Recalled { key, ends }).await;
        }
        self.supervisor.tell(Input::Observed { key: self.key.clone(), observation }).await;
        if let Some(attempt) = empty {
            self.remove_leaf(attempt);
        }
        self.start_again(newest).await;
    }

    /// A shim that died before it had taken the order to start left no trace of that attempt: the order is given to the
    /// one in its place.
    async fn start_again(&mut self, newest: Option<Attempt>) {
        if let Some((key, pod)) = self.starting.take()
            && newest < Some(key.attempt)
        {
            self.start(key, pod).await;
        }
    }

    async fn look(&mut self) -> Result<Observation, ShimError> {
        if !self.has_record() {
            return Ok(Observation::Absent);
        }
        let (client, welcome) = shim::ensure(&spawn(&self.host, &self.key)).await?;
        self.shim = Some(client);
        if welcome.protocol >= wire::GO {
            // What an earlier daemon drafted is not known to be right.
            self.clear_standby().await;
        }
        if renewal::is_due(&welcome, &self.host.shim_binary, env!("CARGO_PKG_VERSION")) {
            let path = self.host.shim_binary.display().to_string();
            self.send(request::Request::Reexec(wire::Reexec { path })).await;
            self.renewing = true;
        }
        self.known = None;
        self.past = translate::past_ends(&welcome);
        let (mut observation, process) = translate::observation(&welcome, &self.host.boot_id);
        self.heard = welcome.current.and_then(|current| current.heard);
        if let Observation::Exited { attempt, status, empty, message, .. } = &mut observation {
            self.ended = Some(*status);
            if *empty {
                *message = self.last_words(*attempt, Some(*status)).await;
            }
        }
        self.follow(process);
        self.held = match process {
            Some(process) => Held::of(&self.host.dirs.shim(&self.key), process.attempt),
            None => Held::default(),
        };
        Ok(observation)
    }

    async fn lose(&mut self, why: &str) {
        self.shim = None;
        self.standing = Standing::No;
        self.host.warn(&self.key, Reason::ShimReplaced, &format!("the shim is lost: {why}; another one takes over"));
        self.supervisor.tell(Input::ShimLost { key: self.key.clone() }).await;
    }

    // ---- ending ----

    /// Nobody waits for it: the shim has done the same already if it could, and its news are to be heard.
    fn kill(&self, attempt: Attempt) {
        if self.emptied == Some(attempt) {
            return;
        }
        let (host, key, supervisor) = (Arc::clone(&self.host), self.attempt_key(attempt.0), self.supervisor.clone());
        let is_alone = self.shim.is_none() && !self.has_record();
        tokio::spawn(async move {
            let group = key.clone();
            let emptied = host.blocking(move |host| {
                let container = group.container_key();
                host.groups.kill(&container, group.attempt)?;
                // Where there is no shim, nobody else looks; what is not empty yet is killed again in a while.
                Ok(is_alone && host.groups.is_empty(&container, group.attempt)?)
            });
            match emptied.await {
                Ok(true) => supervisor.tell(Input::Emptied { key, message: String::new() }).await,
                Ok(false) => {}
                Err(error) => {
                    let error: CgroupError = error;
                    let message = format!("cannot kill the group: {}", chain(&error));
                    host.warn(&key.container_key(), Reason::Degraded, &message);
                }
            }
        });
    }

    /// Whether there is a shim's word of an attempt: without one there is nothing that another shim could take over.
    fn has_record(&self) -> bool {
        self.host.dirs.shim(&self.key).join(layout::ATTEMPT).exists()
    }

    /// The shim need not keep them any longer.
    async fn known(&mut self, attempt: Attempt) {
        let is_told = self.shim.as_ref().is_some_and(|shim| shim.protocol() >= wire::GO);
        if is_told && self.known < Some(attempt) {
            self.known = Some(attempt);
            self.send(request::Request::Known(wire::Known { attempt: attempt.0 })).await;
        }
    }

    async fn send(&mut self, request: request::Request) {
        let result = match &mut self.shim {
            Some(shim) => shim.send(request).await,
            // Lost a moment ago: the core has been told, and orders an observation.
            None => return,
        };
        if let Err(error) = result {
            self.lose(&chain(&error)).await;
        }
    }

    /// Ends the shim and removes its directory.
    pub(super) async fn dismiss(mut self) -> Result<(), String> {
        // It makes directories that are about to be removed.
        drop(self.next.take().await);
        let directory = self.host.dirs.shim(&self.key);
        if self.shim.is_none() {
            let socket = directory.join(layout::SOCKET);
            let connected = ShimClient::connect(&socket, env!("CARGO_PKG_VERSION")).await;
            self.shim = connected.ok().map(|(client, _)| client);
        }
        if let Some(mut shim) = self.shim.take() {
            quit(&mut shim).await?;
        }
        let removed = self.host.blocking(move |_| fs_err::remove_dir_all(&directory)).await;
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn attempt_key(&self, attempt: u32) -> AttemptKey {
        AttemptKey { pod: self.key.pod.clone(), container: self.key.container.clone(), attempt: Attempt(attempt) }
    }
}

/// Connects to the shim if that has not been done.
async fn reach(shim: &mut Option<ShimClient>, host: &Host, key: &ContainerKey) -> Result<(), ShimError> {
    if shim.is_none() {
        let (client, _) = shim::ensure(&spawn(host, key)).await?;
        *shim = Some(client);
    }
    Ok(())
}

fn spawn(host: &Host, key: &ContainerKey) -> Spawn {
    Spawn {
        program: host.shim_binary.clone(),
        directory: host.dirs.shim(key),
        key: key.clone(),
        group: host.groups.shim_leaf(&key.pod),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

async fn next(shim: &mut Option<ShimClient>) -> Result<Option<event::Event>, ShimError> {
    match shim {
        Some(shim) => shim.next().await,
        None => std::future::pending().await,
    }
}

/// Asks the shim to end, and waits until it has.
async fn quit(shim: &mut ShimClient) -> Result<(), String> {
    shim.send(request::Request::Quit(wire::Quit {})).await.map_err(|error| chain(&error))?;
    loop {
        match shim.next().await {
            Ok(Some(event::Event::Refused(refused))) => return Err(refused.message),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}
