//! What every plugin is asked beside its own services.

use std::pin::Pin;

use futures::stream::{self, Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::wire::grpc_broker_server::GrpcBroker;
use crate::wire::grpc_controller_server::GrpcController;
use crate::wire::grpc_stdio_server::GrpcStdio;
use crate::wire::{ConnInfo, Empty, StdioData};

type Idle<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers all of it.
#[derive(Debug, Clone)]
pub(crate) struct Standard {
    pub(crate) stop: CancellationToken,
}

impl Standard {
    /// Says nothing, and ends when the plugin does: a host would take an earlier end for a fault.
    fn idle<T: Send + 'static>(&self) -> Idle<T> {
        Box::pin(stream::pending().take_until(self.stop.clone().cancelled_owned()))
    }
}

#[tonic::async_trait]
impl GrpcController for Standard {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        tracing::debug!("the host wants the plugin no longer");
        self.stop.cancel();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Standard {
    type StreamStdioStream = Idle<StdioData>;

    /// Nothing is written to standard output, and standard error is the log.
    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(self.idle()))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Standard {
    type StartStreamStream = Idle<ConnInfo>;

    /// No plugin of this crate asks its host for a further connection, and none is offered.
    async fn start_stream(&self, _: Request<Streaming<ConnInfo>>) -> Result<Response<Self::StartStreamStream>, Status> {
        Ok(Response::new(self.idle()))
    }
}
