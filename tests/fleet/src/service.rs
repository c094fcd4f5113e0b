//! The calls that a bridge makes, answered by a [`Daemon`]; all others are refused.

use std::sync::Arc;

use barepod_api::v1::{self, barepod_server::Barepod};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::daemon::Daemon;

pub(crate) struct Service(pub(crate) Arc<Daemon>);

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = UnboundedReceiverStream<Result<T, Status>>;

fn not_simulated<T>() -> Answer<T> {
    Err(Status::unimplemented("this daemon is simulated: it answers what a bridge asks for its node"))
}

#[tonic::async_trait]
impl Barepod for Service {
    type WatchStream = Answers<v1::WatchResponse>;
    type LogsStream = Answers<v1::LogsResponse>;
    type ExecStream = Answers<v1::ExecResponse>;
    type AttachStream = Answers<v1::AttachResponse>;
    type EventsStream = Answers<v1::Event>;
    type ShutdownStream = Answers<v1::ShutdownResponse>;

    // ---- what a node's bridge asks ----

    async fn host(&self, _: Request<v1::HostRequest>) -> Answer<v1::HostResponse> {
        Ok(Response::new(self.0.describe()))
    }

    async fn watch(&self, _: Request<v1::ListRequest>) -> Answer<Self::WatchStream> {
        Ok(Response::new(self.0.watch().into()))
    }

    /// It remembers none.
    async fn events(&self, request: Request<v1::EventsRequest>) -> Answer<Self::EventsStream> {
        match request.get_ref().follow {
            true => Ok(Response::new(self.0.events().into())),
            false => Ok(Response::new(mpsc::unbounded_channel().1.into())),
        }
    }

    async fn bind(&self, request: Request<v1::BindRequest>) -> Answer<v1::BindResponse> {
        let verb = self.0.bind(&request.get_ref().pod).ok_or_else(|| Status::invalid_argument("no pod"))?;
        Ok(Response::new(v1::BindResponse { verb: verb.to_owned(), warnings: Vec::new() }))
    }

    async fn end(&self, request: Request<v1::EndRequest>) -> Answer<v1::EndResponse> {
        Ok(Response::new(v1::EndResponse { present: self.0.end(&request.get_ref().uid) }))
    }

    async fn missing(&self, _: Request<v1::MissingRequest>) -> Answer<v1::MissingResponse> {
        Ok(Response::new(v1::MissingResponse {}))
    }

    /// It never goes down.
    async fn shutdown(&self, _: Request<v1::ShutdownRequest>) -> Answer<Self::ShutdownStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(Ok(v1::ShutdownResponse::default())).ok();
        // For as long as somebody listens.
        tokio::spawn(async move { sender.closed().await });
        Ok(Response::new(receiver.into()))
    }

    // ---- what others ask ----

    async fn apply(&self, _: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        not_simulated()
    }

    async fn list(&self, _: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        not_simulated()
    }

    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        not_simulated()
    }

    async fn restart(&self, _: Request<v1::RestartRequest>) -> Answer<v1::RestartResponse> {
        not_simulated()
    }

    async fn stop(&self, _: Request<v1::StopRequest>) -> Answer<v1::StopResponse> {
        not_simulated()
    }

    async fn start(&self, _: Request<v1::StartRequest>) -> Answer<v1::StartResponse> {
        not_simulated()
    }

    async fn set_condition(&self, _: Request<v1::SetConditionRequest>) -> Answer<v1::SetConditionResponse> {
        not_simulated()
    }

    async fn logs(&self, _: Request<v1::LogsRequest>) -> Answer<Self::LogsStream> {
        not_simulated()
    }

    async fn exec(&self, _: Request<Streaming<v1::ExecRequest>>) -> Answer<Self::ExecStream> {
        not_simulated()
    }

    async fn attach(&self, _: Request<Streaming<v1::AttachRequest>>) -> Answer<Self::AttachStream> {
        not_simulated()
    }

    async fn signal(&self, _: Request<v1::SignalRequest>) -> Answer<v1::SignalResponse> {
        not_simulated()
    }

    async fn volumes(&self, _: Request<v1::VolumesRequest>) -> Answer<v1::VolumesResponse> {
        not_simulated()
    }

    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        not_simulated()
    }

    async fn config(&self, _: Request<v1::ConfigRequest>) -> Answer<v1::ConfigResponse> {
        not_simulated()
    }

    async fn policy(&self, _: Request<v1::PolicyRequest>) -> Answer<v1::PolicyResponse> {
        not_simulated()
    }

    async fn check_policy(&self, _: Request<v1::CheckPolicyRequest>) -> Answer<v1::CheckPolicyResponse> {
        not_simulated()
    }

    async fn may(&self, _: Request<v1::MayRequest>) -> Answer<v1::MayResponse> {
        not_simulated()
    }

    async fn book(&self, _: Request<v1::BookRequest>) -> Answer<v1::BookResponse> {
        not_simulated()
    }

    async fn listeners(&self, _: Request<v1::ListenersRequest>) -> Answer<v1::ListenersResponse> {
        not_simulated()
    }

    async fn stats(&self, _: Request<v1::StatsRequest>) -> Answer<v1::StatsResponse> {
        not_simulated()
    }
}
