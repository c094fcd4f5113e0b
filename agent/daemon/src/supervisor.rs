//! The loop: wait for one input, let the core handle it, hand its effects out, publish the view.
//!
//! One task owns the [`Core`]. Requests and facts arrive by one channel; answers leave by `oneshot`, views by the
//! [`Board`], events by the [`Journal`]. Nothing here waits for anything but the channel and the core's next deadline, so a
//! stalled disk or a dead shim delays only what depends on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use barepod_core::{Accepted, ConditionChange, Core, Denied, Effect, Evidence, Input, RequestId, Restored, Verb};
use barepod_model::{ContainerName, Permit, Pod, PodUid, Reason, Source};
use barepod_policy::Subject;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::audit::{Asker, Audit};
use crate::board::Board;
use crate::clock;
use crate::hands::Hands;
use crate::journal::Journal;
use crate::policy::Rules;

/// What reaches the supervisor.
#[derive(Debug)]
pub(crate) enum Message {
    /// A fact: the answer to an effect, or news of the host.
    Fact(Input),
    /// A request, whose answer goes back.
    /// `permit` is the policy's word where one was asked for.
    Request { what: Request, permit: Option<Permit>, reply: oneshot::Sender<Result<Accepted, Denied>> },
    /// Is the loop alive? Answered when all that came before has been handled.
    Pulse { reply: oneshot::Sender<()> },
}

/// What can be asked.
#[derive(Debug)]
pub(crate) enum Request {
    /// A pod, and who wants it.
    Apply(Box<Pod>, Subject),
    Delete {
        pod: PodUid,
        grace: Option<Duration>,
        evidence: Evidence,
    },
    Restart {
        pod: PodUid,
        container: Option<ContainerName>,
    },
    Condition {
        pod: PodUid,
        change: ConditionChange,
    },
    Halt {
        pod: PodUid,
        halted: bool,
    },
}

impl Request {
    /// Who wants it, if it is a source: what users ask for at the socket is written down there, but for their pods.
    fn of_source(&self) -> Option<(Asker, &'static str, String)> {
        match self {
            Request::Apply(pod, subject) => {
                let asker = Asker::of(&subject.source.to_string(), subject.user.as_ref().map(|user| user.uid));
                Some((asker, "apply", format!("pod/{}/{}", pod.namespace, pod.name)))
            }
            Request::Delete { evidence: Evidence::Operator, .. } => None,
            Request::Delete { pod, evidence, .. } => {
                let source = match evidence {
                    Evidence::FileRemoved | Evidence::Operator => Source::File,
                    Evidence::DeletionTimestamp | Evidence::Deleted | Evidence::Replaced => Source::Kubernetes,
                    Evidence::TaskStopped => Source::Nomad,
                };
                Some((Asker::of(&source.to_string(), None), "delete", format!("pod {pod}")))
            }
            Request::Restart { .. } | Request::Condition { .. } | Request::Halt { .. } => None,
        }
    }

    fn into_input(self, request: RequestId, permit: Option<Permit>) -> Input {
        match self {
            Request::Apply(pod, _) => {
                let unasked = || Permit::Refused { message: "the policy was not asked".to_owned() };
                Input::Apply { request, pod, permit: permit.unwrap_or_else(unasked) }
            }
            Request::Delete { pod, grace, evidence } => Input::Delete { request, pod, grace, evidence },
            Request::Restart { pod, container } => Input::Restart { request, pod, container },
            Request::Condition { pod, change } => Input::Condition { request, pod, change },
            Request::Halt { pod, halted } => Input::Halt { request, pod, halted },
        }
    }
}

/// The way to the supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    messages: mpsc::Sender<Message>,
    rules: Rules,
    audit: Audit,
}

impl Handle {
    /// A handle, and the receiving end for [`Supervisor::new`].
    pub(crate) fn channel(rules: Rules, audit: Audit) -> (Self, mpsc::Receiver<Message>) {
        // Room for a burst of 200 pods with a few facts each; a full channel makes the askers wait, nothing is dropped.
        let (messages, inbox) = mpsc::channel(1024);
        (Self { messages, rules, audit }, inbox)
    }

    /// Asks, and waits until the answer is durable. Every pod of every source comes by here, so here the policy is asked, and
    /// what sources want is written down. An apply that changes nothing is not: each daemon reads all manifests at its start.
    pub(crate) async fn ask(&self, what: Request) -> Result<Accepted, Denied> {
        let by_source = what.of_source();
        let answer = self.hand_over(what).await;
        let is_news = !matches!(&answer, Ok(Accepted { verb: Verb::Unchanged, .. }));
        if let Some((asker, verb, object)) = by_source.filter(|_| is_news) {
            self.audit.told(&asker, verb, &object, answer.as_ref().err());
        }
        answer
    }

    /// An object beside pods was put in force, or was not.
    pub(crate) fn note_object(&self, user: u32, object: &str, denied: Option<&Denied>) {
        self.audit.told(&Asker::of(&Source::File.to_string(), Some(user)), "apply", object, denied);
    }

    async fn hand_over(&self, what: Request) -> Result<Accepted, Denied> {
        let (reply, answer) = oneshot::channel();
        let gone = || Denied { reason: Reason::NotReady, message: "barepodd is ending; try again".to_owned() };
        let permit = match &what {
            Request::Apply(pod, subject) => Some(self.rules.permit(pod, subject).await),
            Request::Delete { .. } | Request::Restart { .. } | Request::Condition { .. } | Request::Halt { .. } => None,
        };
        self.messages.send(Message::Request { what, permit, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Returns when the supervisor has handled all that came before.
    pub(crate) async fn pulse(&self) {
        let (reply, answer) = oneshot::channel();
        // An ended supervisor has handled all it ever will.
        if self.messages.send(Message::Pulse { reply }).await.is_ok() {
            answer.await.ok();
        }
    }

    /// Tells. A fact that comes when the supervisor has ended is lost on purpose: the next daemon looks for itself.
    pub(crate) async fn tell(&self, input: Input) {
        if self.messages.send(Message::Fact(input)).await.is_err() {
            tracing::debug!("a fact came after the supervisor had ended");
        }
    }
}

/// The task that owns the core.
#[derive(Debug)]
pub(crate) struct Supervisor {
    core: Core,
    hands: Hands,
    inbox: mpsc::Receiver<Message>,
    asked: HashMap<RequestId, oneshot::Sender<Result<Accepted, Denied>>>,
    next_request: u64,
    board: Arc<Board>,
    journal: Arc<Journal>,
    fuse: Fuse,
}

impl Supervisor {
    pub(crate) fn new(
        core: Core,
        hands: Hands,
        inbox: mpsc::Receiver<Message>,
        board: Arc<Board>,
        journal: Arc<Journal>,
        fuse: Fuse,
    ) -> Self {
        Self { core, hands, inbox, asked: HashMap::new(), next_request: 0, board, journal, fuse }
    }

    /// Runs until `stop`; services run on.
    pub(crate) async fn run(mut self, pods: Vec<Restored>, stop: CancellationToken) {
        self.core.restore(clock::now(), pods);
        self.settle();
        loop {
            let wake = self.core.poll_deadline().map(|(at, _)| clock::until(at));
            // Each branch is cancel-safe: `recv` loses nothing when dropped, the other two hold nothing.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                () = sleep(wake) => self.core.handle(clock::now(), Input::Wake),
            }
            // What has piled up is handled before anything is shown.
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message);
                self.carry_out();
            }
            self.settle();
        }
    }

    fn take(&mut self, message: Message) {
        let input = match message {
            Message::Fact(input) => input,
            Message::Request { what, permit, reply } => {
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.asked.insert(request, reply);
                what.into_input(request, permit)
            }
            Message::Pulse { reply } => {
                reply.send(()).ok();
                return;
            }
        };
        tracing::trace!(?input, "handle");
        self.core.handle(clock::now(), input);
    }

    fn settle(&mut self) {
        self.carry_out();
        self.board.put_pressure(self.core.pressure());
        for uid in self.core.take_changed() {
            let view = self.core.pod_view(&uid).map(Arc::new);
            self.board.put(uid, view);
        }
        self.board.put_shutdown(self.core.remaining());
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            tracing::trace!(?effect, "carry out");
            self.fuse.burn();
            match effect {
                Effect::Reply { request, result } => self.answer(request, result),
                Effect::Emit(event) => {
                    // The board still shows a pod that has just gone; the core knows one that has just come.
                    let shown = self.board.get(&event.pod);
                    let view = shown.or_else(|| self.core.pod_view(&event.pod).map(Arc::new));
                    self.journal.add(event, view.as_deref());
                }
                other => self.hands.carry_out(other),
            }
        }
    }

    fn answer(&mut self, request: RequestId, result: Result<Accepted, Denied>) {
        // The asker may have gone away; what it asked is done all the same.
        if let Some(reply) = self.asked.remove(&request) {
            reply.send(result).ok();
        }
    }
}

/// Kills the daemon at a chosen effect, so that tests can die at every boundary there is.
#[derive(Debug)]
pub(crate) struct Fuse {
    left: Option<u64>,
}

impl Fuse {
    pub(crate) fn new(effects: Option<u64>) -> Self {
        Self { left: effects }
    }

    fn burn(&mut self) {
        match &mut self.left {
            None => {}
            Some(0 | 1) => drop(nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)),
            Some(left) => *left -= 1,
        }
    }
}

/// Sleeps so long, or for ever.
async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}
