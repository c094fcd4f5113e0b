//! The calls of a task driver.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use crate::base::Configured;
use crate::config::Config;
use crate::daemon::Daemon;
use crate::meter::Meter;
use crate::start::Hands;
use crate::table::Table;
use crate::thrift::Thrift;
use crate::wire::base::base_plugin_server::BasePluginServer;
use crate::wire::driver::driver_server::{self, DriverServer};
use crate::wire::driver::network_isolation_spec::NetworkIsolationMode;
use crate::wire::driver::{
    CapabilitiesRequest, CapabilitiesResponse, CreateNetworkRequest, CreateNetworkResponse, DestroyNetworkRequest,
    DestroyNetworkResponse, DestroyTaskRequest, DestroyTaskResponse, DriverCapabilities, DriverTaskEvent,
    ExecTaskRequest, ExecTaskResponse, ExecTaskStreamingRequest, FingerprintRequest, FingerprintResponse,
    InspectTaskRequest, InspectTaskResponse, RecoverTaskRequest, RecoverTaskResponse, SignalTaskRequest,
    SignalTaskResponse, StartTaskRequest, StartTaskResponse, StopTaskRequest, StopTaskResponse,
    TaskConfigSchemaRequest, TaskConfigSchemaResponse, TaskDriverStatus, TaskEventsRequest, TaskState,
    TaskStatsRequest, TaskStatus, WaitTaskRequest, WaitTaskResponse,
};
use crate::{env, exec, fingerprint, start, stats, stop};

/// Largest message taken: a task with many templates.
const MAX_MESSAGE: usize = 64 << 20;

type Answer<T> = Result<Response<T>, Status>;

/// The task driver `barepod`.
#[derive(Debug, Clone)]
pub struct Driver {
    configured: Configured,
    hands: Arc<OnceLock<Hands>>,
    stop: CancellationToken,
}

impl Driver {
    /// Adds its services; they end with `stop`.
    pub fn add_to(routes: &mut RoutesBuilder, stop: CancellationToken) {
        let configured = Configured::default();
        let driver = Self { configured: configured.clone(), hands: Arc::default(), stop };
        routes
            .add_service(BasePluginServer::new(configured).max_decoding_message_size(MAX_MESSAGE))
            .add_service(DriverServer::new(driver).max_decoding_message_size(MAX_MESSAGE));
    }

    /// Nobody looks for the daemon before the driver is used: a plugin that is only asked what it is does nothing.
    fn hands(&self) -> &Hands {
        self.hands.get_or_init(|| {
            let settings = self.configured.settings();
            Hands {
                daemon: Daemon::new(&settings.socket, self.stop.clone()),
                table: Table::default(),
                meter: Meter::default(),
                thrift: Thrift::begin(self.stop.clone()),
                passes_logs: !settings.disable_log_collection,
            }
        })
    }
}

fn duration(given: Option<prost_types::Duration>) -> Option<Duration> {
    given.and_then(|given| Duration::try_from(given).ok()).filter(|given| !given.is_zero())
}

#[tonic::async_trait]
impl driver_server::Driver for Driver {
    type FingerprintStream = fingerprint::Answers<FingerprintResponse>;
    type TaskStatsStream = stats::Answers;
    type TaskEventsStream = fingerprint::Answers<DriverTaskEvent>;
    type ExecTaskStreamingStream = exec::Answers;

    async fn task_config_schema(&self, _: Request<TaskConfigSchemaRequest>) -> Answer<TaskConfigSchemaResponse> {
        Ok(Response::new(TaskConfigSchemaResponse { spec: Some(Config::schema()) }))
    }

    async fn capabilities(&self, _: Request<CapabilitiesRequest>) -> Answer<CapabilitiesResponse> {
        let capabilities = DriverCapabilities {
            send_signals: true,
            exec: true,
            network_isolation_modes: vec![NetworkIsolationMode::Host.into()],
            disable_log_collection: self.configured.settings().disable_log_collection,
            ..DriverCapabilities::default()
        };
        Ok(Response::new(CapabilitiesResponse { capabilities: Some(capabilities) }))
    }

    async fn fingerprint(&self, _: Request<FingerprintRequest>) -> Answer<Self::FingerprintStream> {
        Ok(Response::new(fingerprint::stream(self.hands().daemon.clone(), self.stop.clone())))
    }

    async fn task_events(&self, _: Request<TaskEventsRequest>) -> Answer<Self::TaskEventsStream> {
        let Hands { daemon, table, .. } = self.hands().clone();
        Ok(Response::new(fingerprint::events(daemon, table, self.stop.clone())))
    }

    async fn recover_task(&self, request: Request<RecoverTaskRequest>) -> Answer<RecoverTaskResponse> {
        let handle = request.into_inner().handle.ok_or_else(|| Status::invalid_argument("there is no handle"))?;
        start::recover(self.hands(), handle).await?;
        Ok(Response::new(RecoverTaskResponse {}))
    }

    async fn start_task(&self, request: Request<StartTaskRequest>) -> Answer<StartTaskResponse> {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|info| info.peer_cred?.pid());
        let task = request.into_inner().task.ok_or_else(|| Status::invalid_argument("there is no task"))?;
        let handle = start::start(self.hands(), task, &env::of_agent(peer)).await?;
        Ok(Response::new(StartTaskResponse { handle: Some(handle), ..StartTaskResponse::default() }))
    }

    async fn wait_task(&self, request: Request<WaitTaskRequest>) -> Answer<WaitTaskResponse> {
        let task = self.hands().table.find(&request.into_inner().task_id)?;
        let outcome = task.wait().await;
        task.drained().await;
        Ok(Response::new(outcome.into()))
    }

    async fn stop_task(&self, request: Request<StopTaskRequest>) -> Answer<StopTaskResponse> {
        let StopTaskRequest { task_id, timeout, signal } = request.into_inner();
        stop::stop(self.hands(), &task_id, duration(timeout).unwrap_or_default(), &signal).await?;
        Ok(Response::new(StopTaskResponse {}))
    }

    async fn destroy_task(&self, request: Request<DestroyTaskRequest>) -> Answer<DestroyTaskResponse> {
        stop::destroy(self.hands(), &request.into_inner().task_id).await;
        Ok(Response::new(DestroyTaskResponse {}))
    }

    async fn inspect_task(&self, request: Request<InspectTaskRequest>) -> Answer<InspectTaskResponse> {
        let task = self.hands().table.find(&request.into_inner().task_id)?;
        let ended = task.ended();
        let state = if ended.is_some() { TaskState::Exited } else { TaskState::Running };
        let (outcome, at) = ended.unwrap_or((crate::outcome::Outcome::default(), SystemTime::UNIX_EPOCH));
        let pod = &task.kept.pod;
        let attributes = [("pod", format!("{}/{}", pod.namespace, pod.name)), ("uid", pod.uid.clone())];
        Ok(Response::new(InspectTaskResponse {
            task: Some(TaskStatus {
                id: task.config.id.clone(),
                name: task.config.name.clone(),
                state: state.into(),
                started_at: Some(task.began.into()),
                completed_at: Some(at.into()),
                result: Some(outcome.result()),
            }),
            driver: Some(TaskDriverStatus {
                attributes: attributes.map(|(name, value)| (name.to_owned(), value)).into(),
            }),
            network_override: None,
        }))
    }

    async fn task_stats(&self, request: Request<TaskStatsRequest>) -> Answer<Self::TaskStatsStream> {
        let TaskStatsRequest { task_id, collection_interval } = request.into_inner();
        let task = self.hands().table.find(&task_id)?;
        let interval = duration(collection_interval).unwrap_or_default();
        Ok(Response::new(stats::stream(self.hands(), &task, interval)))
    }

    async fn signal_task(&self, request: Request<SignalTaskRequest>) -> Answer<SignalTaskResponse> {
        let SignalTaskRequest { task_id, signal } = request.into_inner();
        let task = self.hands().table.find(&task_id)?;
        stop::signal(&self.hands().daemon, &task, &signal).await?;
        Ok(Response::new(SignalTaskResponse {}))
    }

    async fn exec_task(&self, request: Request<ExecTaskRequest>) -> Answer<ExecTaskResponse> {
        let ExecTaskRequest { task_id, command, timeout } = request.into_inner();
        let task = self.hands().table.find(&task_id)?;
        exec::run(&self.hands().daemon, &task, command, duration(timeout)).await.map(Response::new)
    }

    async fn exec_task_streaming(
        &self,
        request: Request<Streaming<ExecTaskStreamingRequest>>,
    ) -> Answer<Self::ExecTaskStreamingStream> {
        let mut input = request.into_inner();
        let setup = input.message().await?.and_then(|first| first.setup);
        let setup = setup.ok_or_else(|| Status::invalid_argument("the first message of an exec must be `setup`"))?;
        let task = self.hands().table.find(&setup.task_id)?;
        exec::open(&self.hands().daemon, &task, setup, input).await.map(Response::new)
    }

    async fn create_network(&self, _: Request<CreateNetworkRequest>) -> Answer<CreateNetworkResponse> {
        Err(Status::unimplemented("pods are on the host's network"))
    }

    async fn destroy_network(&self, _: Request<DestroyNetworkRequest>) -> Answer<DestroyNetworkResponse> {
        Err(Status::unimplemented("pods are on the host's network"))
    }
}
