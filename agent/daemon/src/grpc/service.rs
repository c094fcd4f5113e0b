//! The calls.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use barepod_api::v1::{self, barepod_server::Barepod, shutdown_request::Action};
use barepod_api::{ACCOUNTED, refusal};
use barepod_core::{Accepted, Denied, PodView, Verb};
use barepod_model::{BootId, ContainerName, Reason, Source};
use barepod_policy::Verb as Do;
use tonic::{Code, Request, Response, Status, Streaming};

use super::access::{acts_for, peer};
use super::gate::Gate;
use super::stream::{Answers, answer};
use super::{
    Access, Gauge, Machine, attach, cluster, condition, config, convert, exec, follow, listeners, logs, policy,
    shutdown, signal, volumes,
};
use crate::audit::{Audit, Note};
use crate::board::Board;
use crate::booking::Bookings;
use crate::hands::Host;
use crate::journal::Journal;
use crate::policy::Rules;
use crate::settings::Settings;
use crate::shutdown::Marker;
use crate::source::{ClusterSource, FileError, Files, ObjectOutcome, PodOutcome};
use crate::supervisor::{self, Handle};

/// What the calls need.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) supervisor: Handle,
    pub(crate) files: Files,
    pub(crate) cluster: ClusterSource,
    pub(crate) machine: Machine,
    pub(crate) bookings: Bookings,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) access: Access,
    pub(crate) audit: Audit,
    /// Where the configuration is read.
    pub(crate) config_file: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) rules: Rules,
    pub(crate) board: Arc<Board>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) host: Arc<Host>,
    pub(crate) boot_id: BootId,
    pub(crate) marker: Marker,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Barepod for Service {
    type WatchStream = Answers<v1::WatchResponse>;
    type LogsStream = Answers<v1::LogsResponse>;
    type ExecStream = Answers<v1::ExecResponse>;
    type AttachStream = Answers<v1::AttachResponse>;
    type EventsStream = Answers<v1::Event>;
    type ShutdownStream = Answers<v1::ShutdownResponse>;

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        let user = peer(&request);
        let v1::ApplyRequest { files, dry_run } = request.into_inner();
        let outcome = self.files.apply(texts(files), dry_run, user).await.ok_or_else(ending)?;
        Ok(Response::new(v1::ApplyResponse {
            diagnostics: outcome.diagnostics.0.into_iter().map(Into::into).collect(),
            results: outcome.objects.into_iter().map(object).chain(outcome.pods.into_iter().map(result)).collect(),
        }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let gate = self.gate(&request);
        let filter = request.into_inner();
        let shown = |view: &&Arc<PodView>| matches(&filter, view) && gate.sees(view);
        let pods = self.board.list().iter().filter(shown).map(|v| convert::pod(v)).collect();
        Ok(Response::new(v1::ListResponse { pods }))
    }

    async fn watch(&self, request: Request<v1::ListRequest>) -> Answer<Self::WatchStream> {
        let (gate, board) = (self.gate(&request), Arc::clone(&self.board));
        let filter = request.into_inner();
        Ok(Response::new(answer(move |sink| follow::watch(board, filter, gate, sink))))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        let note = self.note(&request, "delete", |it| named(&it.namespace, &it.name));
        note.over(async {
            let gate = self.gate(&request);
            let v1::DeleteRequest { namespace, name, uid, grace_seconds } = request.into_inner();
            let view = self.pod(&namespace, &name)?;
            gate.may(Do::Delete, &view)?;
            if !uid.is_empty() && view.uid.as_str() != uid {
                let message =
                    format!("pod {namespace}/{name} has the UID {}, not {uid}; nothing was deleted", view.uid);
                return Err(refusal(Code::FailedPrecondition, Reason::NotFound.as_str(), message));
            }
            owned_by_file(&view)?;
            let grace = grace_seconds.map(Duration::from_secs);
            let accepted = self.files.delete(view, grace).await.map_err(file_error)?;
            Ok(Response::new(v1::DeleteResponse { uid: accepted.pod.to_string() }))
        })
        .await
    }

    async fn restart(&self, request: Request<v1::RestartRequest>) -> Answer<v1::RestartResponse> {
        let note = self.note(&request, "restart", |it| named(&it.namespace, &it.name));
        note.over(async {
            let gate = self.gate(&request);
            let v1::RestartRequest { namespace, name, container } = request.into_inner();
            let view = self.pod(&namespace, &name)?;
            gate.may(Do::Restart, &view)?;
            let container = match container.as_str() {
                "" => None,
                name => Some(ContainerName::new(name).map_err(|e| Status::invalid_argument(e.to_string()))?),
            };
            let request = supervisor::Request::Restart { pod: view.uid.clone(), container };
            let accepted = self.supervisor.ask(request).await.map_err(denied)?;
            Ok(Response::new(v1::RestartResponse { uid: accepted.pod.to_string() }))
        })
        .await
    }

    async fn stop(&self, request: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        let note = self.note(&request, "stop", |it| named(&it.namespace, &it.name));
        note.over(async {
            let gate = self.gate(&request);
            let v1::StopRequest { namespace, name } = request.into_inner();
            let accepted = self.halt(&gate, &namespace, &name, true).await?;
            let verb = verb(accepted.verb).to_owned();
            Ok(Response::new(v1::StopResponse { uid: accepted.pod.to_string(), verb }))
        })
        .await
    }

    async fn start(&self, request: Request<v1::StartRequest>) -> Answer<v1::StartResponse> {
        let note = self.note(&request, "start", |it| named(&it.namespace, &it.name));
        note.over(async {
            let gate = self.gate(&request);
            let v1::StartRequest { namespace, name } = request.into_inner();
            let accepted = self.halt(&gate, &namespace, &name, false).await?;
            let verb = verb(accepted.verb).to_owned();
            Ok(Response::new(v1::StartResponse { uid: accepted.pod.to_string(), verb }))
        })
        .await
    }

    async fn set_condition(&self, request: Request<v1::SetConditionRequest>) -> Answer<v1::SetConditionResponse> {
        let note = self.note(&request, "condition", |it| named(&it.namespace, &it.name));
        note.over(async {
            let gate = self.gate(&request);
            let is_registrars = self.access.is_bridge(&request) && request.get_ref().r#type == ACCOUNTED;
            let request = request.into_inner();
            let view = self.pod(&request.namespace, &request.name)?;
            // Whether a pod is in Nomad's books is the bridge's to say, whosever the pod is.
            if !is_registrars {
                gate.may(Do::Condition, &view)?;
            }
            let change = condition::change(request)?;
            let told = condition::uncounted(&view, &change);
            let request = supervisor::Request::Condition { pod: view.uid.clone(), change };
            let accepted = self.supervisor.ask(request).await.map_err(denied)?;
            if let Some(event) = told {
                self.journal.add(event, Some(&view));
            }
            Ok(Response::new(v1::SetConditionResponse { uid: accepted.pod.to_string() }))
        })
        .await
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        let gate = self.gate(&request);
        let request = request.into_inner();
        let view = self.pod(&request.namespace, &request.name)?;
        gate.may(Do::Logs, &view)?;
        logs::stream(&self.host, &self.board, &view, request).map(Response::new)
    }

    async fn exec(&self, request: Request<Streaming<v1::ExecRequest>>) -> Answer<Self::ExecStream> {
        let (gate, peered) = (self.gate(&request), only_peer(&request));
        let mut input = request.into_inner();
        let first = input.message().await?.and_then(|message| message.request);
        let Some(v1::exec_request::Request::Start(start)) = first else {
            return Err(Status::invalid_argument("the first message of an exec must be `start`"));
        };
        let program = start.command.first().map_or("", String::as_str);
        let object = format!("{}: {program}", container_of(&start.namespace, &start.name, &start.container));
        let note = self.audit.asked(&peered, "exec", object);
        let answer = async {
            let view = self.pod(&start.namespace, &start.name)?;
            exec::stream(&self.host, &gate, &view, start, input).await.map(Response::new)
        };
        note.end(answer.await)
    }

    async fn attach(&self, request: Request<Streaming<v1::AttachRequest>>) -> Answer<Self::AttachStream> {
        let (gate, peered) = (self.gate(&request), only_peer(&request));
        let mut input = request.into_inner();
        let first = input.message().await?.and_then(|message| message.request);
        let Some(v1::attach_request::Request::Start(start)) = first else {
            return Err(Status::invalid_argument("the first message of an attach must be `start`"));
        };
        let object = container_of(&start.namespace, &start.name, &start.container);
        let note = self.audit.asked(&peered, "attach", object);
        let attached = || {
            let view = self.pod(&start.namespace, &start.name)?;
            gate.may(Do::Attach, &view)?;
            attach::stream(&self.host, &view, start, input).map(Response::new)
        };
        note.end(attached())
    }

    async fn signal(&self, request: Request<v1::SignalRequest>) -> Answer<v1::SignalResponse> {
        let note = self.note(&request, "signal", |it| named(&it.namespace, &it.name));
        note.over(async {
            let gate = self.gate(&request);
            let request = request.into_inner();
            let view = self.pod(&request.namespace, &request.name)?;
            // Among others it may end the process, whereupon there is a new one.
            gate.may(Do::Restart, &view)?;
            signal::send(&self.host, &view, &request).map(Response::new)
        })
        .await
    }

    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        let (gate, journal) = (self.gate(&request), Arc::clone(&self.journal));
        let filter = request.into_inner();
        Ok(Response::new(answer(move |sink| follow::events(journal, filter, gate, sink))))
    }

    async fn volumes(&self, request: Request<v1::VolumesRequest>) -> Answer<v1::VolumesResponse> {
        let gate = self.gate(&request);
        let found = volumes::list(&self.host, request.into_inner(), move |namespace| gate.sees_namespace(namespace));
        Ok(Response::new(v1::VolumesResponse { volumes: found.await }))
    }

    async fn policy(&self, _: Request<v1::PolicyRequest>) -> Answer<v1::PolicyResponse> {
        Ok(Response::new(policy::show(&self.rules.held())))
    }

    async fn check_policy(&self, request: Request<v1::CheckPolicyRequest>) -> Answer<v1::CheckPolicyResponse> {
        let user = peer(&request);
        let request = request.into_inner();
        let subject = policy::subject(&request, user)?;
        let rules = policy::policy(&request, &self.rules.held())?;
        let judged = self.files.judge(texts(request.files), subject, rules).await;
        let (verdicts, diagnostics) = judged.ok_or_else(ending)?;
        Ok(Response::new(v1::CheckPolicyResponse {
            diagnostics: diagnostics.0.into_iter().map(Into::into).collect(),
            verdicts: verdicts.into_iter().map(policy::verdict).collect(),
        }))
    }

    async fn may(&self, request: Request<v1::MayRequest>) -> Answer<v1::MayResponse> {
        let gate = self.gate(&request);
        let v1::MayRequest { verb, namespace, name } = request.into_inner();
        let verb = Do::ALL.into_iter().find(|known| known.as_str() == verb).ok_or_else(|| {
            let all = Do::ALL.map(Do::as_str).join(", ");
            refusal(
                Code::InvalidArgument,
                Reason::InvalidValue.as_str(),
                format!("there is no verb {verb:?}: use {all}"),
            )
        })?;
        gate.may(verb, &*self.pod(&namespace, &name)?)?;
        Ok(Response::new(v1::MayResponse {}))
    }

    async fn bind(&self, request: Request<v1::BindRequest>) -> Answer<v1::BindResponse> {
        self.access.binder(&request, request.get_ref().binder())?;
        cluster::bind(&self.cluster, request.into_inner()).await.map(Response::new)
    }

    async fn end(&self, request: Request<v1::EndRequest>) -> Answer<v1::EndResponse> {
        self.access.binder(&request, request.get_ref().binder())?;
        cluster::end(&self.cluster, request.into_inner()).await.map(Response::new)
    }

    async fn missing(&self, request: Request<v1::MissingRequest>) -> Answer<v1::MissingResponse> {
        self.access.binder(&request, request.get_ref().binder())?;
        cluster::missing(&self.cluster, request.into_inner()).await.map(Response::new)
    }

    async fn host(&self, request: Request<v1::HostRequest>) -> Answer<v1::HostResponse> {
        self.access.bridge(&request)?;
        Ok(Response::new(self.machine.describe().await))
    }

    async fn book(&self, request: Request<v1::BookRequest>) -> Answer<v1::BookResponse> {
        self.access.bridge(&request)?;
        self.bookings.book(request.into_inner().all.unwrap_or_default()).await?;
        Ok(Response::new(v1::BookResponse {}))
    }

    async fn shutdown(&self, request: Request<v1::ShutdownRequest>) -> Answer<Self::ShutdownStream> {
        let action = request.get_ref().action();
        match action {
            Action::Look => self.access.bridge(&request)?,
            Action::Begin => self.note(&request, "shutdown", |_| "host".to_owned()).end(self.access.root(&request))?,
            Action::CallOff => {
                self.note(&request, "shutdown", |_| "host: called off".to_owned()).end(self.access.root(&request))?;
            }
        }
        shutdown::begin(action, self.marker.clone(), &self.supervisor, &self.board).await.map(Response::new)
    }

    async fn listeners(&self, request: Request<v1::ListenersRequest>) -> Answer<v1::ListenersResponse> {
        self.access.bridge(&request)?;
        let gate = self.gate(&request);
        let request = request.into_inner();
        let view = self.pod(&request.namespace, &request.name)?;
        gate.may(Do::Exec, &view)?;
        listeners::find(&self.host, &view).await.map(Response::new)
    }

    async fn stats(&self, request: Request<v1::StatsRequest>) -> Answer<v1::StatsResponse> {
        let (all, gate) = (self.access.bridge(&request), self.gate(&request));
        let mut measured = Arc::clone(&self.gauge).measure(request.into_inner().disk).await;
        if all.is_err() {
            let view = |pod: &v1::PodStats| self.board.find(&pod.namespace, &pod.name);
            measured.pods.retain(|pod| view(pod).is_some_and(|view| gate.sees(&view)));
        }
        Ok(Response::new(measured))
    }

    async fn config(&self, request: Request<v1::ConfigRequest>) -> Answer<v1::ConfigResponse> {
        self.access.bridge(&request)?;
        Ok(Response::new(config::show(&self.config_file, &self.settings.now())))
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        Ok(Response::new(v1::VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cgroup: self.host.cgroup_mode().to_owned(),
            boot_id: self.boot_id.0.clone(),
        }))
    }
}

impl Service {
    fn gate<T>(&self, request: &Request<T>) -> Gate {
        Gate::new(&self.rules, peer(request), self.access.is_bridge(request), acts_for(request))
    }

    /// Something is asked that changes something.
    fn note<T>(&self, request: &Request<T>, verb: &'static str, object: impl FnOnce(&T) -> String) -> Note {
        self.audit.asked(request, verb, object(request.get_ref()))
    }

    async fn halt(&self, gate: &Gate, namespace: &str, name: &str, halted: bool) -> Result<Accepted, Status> {
        let view = self.pod(namespace, name)?;
        gate.may(Do::Stop, &view)?;
        let request = supervisor::Request::Halt { pod: view.uid.clone(), halted };
        self.supervisor.ask(request).await.map_err(denied)
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<PodView>, Status> {
        self.board.find(namespace, name).ok_or_else(|| {
            let message = format!("there is no pod {name} in namespace {namespace}; see `barepod get pods -A`");
            refusal(Code::NotFound, Reason::NotFound.as_str(), message)
        })
    }
}

/// A pod as the audit log calls it.
fn named(namespace: &str, name: &str) -> String {
    format!("pod/{namespace}/{name}")
}

/// A container, for the audit log; the pod alone where nobody has named one.
fn container_of(namespace: &str, pod: &str, container: &str) -> String {
    let pod = named(namespace, pod);
    if container.is_empty() { pod } else { format!("{pod}/{container}") }
}

/// What is known of who asks, without what he asks.
fn only_peer<T>(request: &Request<T>) -> Request<()> {
    let mut peer = Request::new(());
    *peer.extensions_mut() = request.extensions().clone();
    peer
}

fn texts(files: Vec<v1::ManifestFile>) -> Vec<(String, String)> {
    files.into_iter().map(|file| (file.name, file.text)).collect()
}

/// A pod of another source is its source's to end, or it would only come back; but for one that its source has forgotten.
fn owned_by_file(view: &PodView) -> Result<(), Status> {
    match view.pod.as_ref().map(|pod| pod.source) {
        Some(Source::File) | None => Ok(()),
        Some(Source::Kubernetes | Source::Nomad) if view.reason == Some(Reason::Orphaned) => Ok(()),
        Some(source @ (Source::Kubernetes | Source::Nomad)) => {
            let message = format!("this pod is owned by {source}; delete it there");
            Err(refusal(Code::FailedPrecondition, Reason::NotOwner.as_str(), message))
        }
    }
}

pub(super) fn matches(filter: &v1::ListRequest, view: &PodView) -> bool {
    let (namespace, name) =
        view.name.as_ref().map_or(("", ""), |(namespace, name)| (namespace.as_str(), name.as_str()));
    let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
    fits(&filter.namespace, namespace) && fits(&filter.name, name) && fits(&filter.uid, view.uid.as_str())
}

fn object(outcome: ObjectOutcome) -> v1::PodResult {
    let ObjectOutcome { id, result } = outcome;
    let mut message =
        v1::PodResult { kind: id.kind.to_string(), namespace: id.namespace, name: id.name, ..v1::PodResult::default() };
    match result {
        Ok(done) => verb(done).clone_into(&mut message.verb),
        Err(Denied { reason, message: text }) => {
            message.denied_reason = reason.to_string();
            message.message = text;
        }
    }
    message
}

fn result(outcome: PodOutcome) -> v1::PodResult {
    let PodOutcome { namespace, name, result, warning } = outcome;
    let mut message = v1::PodResult { namespace, name, ..v1::PodResult::default() };
    match result {
        Ok(accepted) => {
            message.uid = accepted.pod.to_string();
            verb(accepted.verb).clone_into(&mut message.verb);
            message.message = warning.unwrap_or_default();
        }
        Err(Denied { reason, message: text }) => {
            message.denied_reason = reason.to_string();
            message.message = text;
        }
    }
    message
}

/// As kubectl says it.
pub(super) fn verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Created => "created",
        Verb::Configured => "configured",
        Verb::Unchanged => "unchanged",
        Verb::Deleted => "deleted",
        Verb::Restarted => "restarted",
        Verb::ConditionSet => "condition set",
        Verb::Stopped => "stopped",
        Verb::Started => "started",
    }
}

pub(super) fn denied(denied: Denied) -> Status {
    let code = match denied.reason {
        Reason::NotFound | Reason::ContainerNotFound => Code::NotFound,
        Reason::NotReady | Reason::LedgerUnavailable => Code::Unavailable,
        Reason::Forbidden => Code::PermissionDenied,
        _ => Code::FailedPrecondition,
    };
    refusal(code, denied.reason.as_str(), denied.message)
}

fn file_error(error: FileError) -> Status {
    match error {
        FileError::Denied(reason) => denied(reason),
        FileError::Remove { ref source, .. } => {
            refusal(Code::FailedPrecondition, Reason::UnreadableManifest.as_str(), format!("{error}: {source}"))
        }
    }
}

fn ending() -> Status {
    refusal(Code::Unavailable, Reason::NotReady.as_str(), "barepodd is ending; try again")
}
