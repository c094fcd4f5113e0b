//! `grpc`: `grpc.health.v1.Health/Check` without TLS; `SERVING` is good (`pkg/probe/grpc`).
//!
//! As kubelet does, a refused connection is tried again until the timeout: a service that comes up within it is good.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::Verdict;
use crate::agent::PROBE;
use crate::dial::{DialError, dial};
use crate::target::authority;

/// The first wait before a connection is tried again; grpc's own base delay. It doubles.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// An answer is a few bytes; a service that sends more is none that speaks this protocol.
const MAX_ANSWER: usize = 64 << 10;

/// Asks for the health of `service`, which may be empty.
pub async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Verdict {
    let (name, deadline) = (authority(host, Some(port)), Instant::now() + timeout);
    let stream = match connect(host, port, deadline).await {
        Ok(stream) => stream,
        Err(error) if error.is_ours() => return Verdict::Undecided(error.to_string()),
        Err(error) => {
            let text = format!("timeout: failed to connect service \"{name}\" within {timeout:?}: {error}");
            return Verdict::Bad(text);
        }
    };
    let asked = async {
        let channel = channel(&name, stream).await.map_err(Failed::Connect)?;
        let mut client = HealthClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await.map_err(Failed::Call)?;
        Ok::<_, Failed>(answer.into_inner().status())
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(status)) => judge(status),
        Ok(Err(failed)) => Verdict::Bad(failed.text(&name, timeout)),
        Err(_) => Verdict::Bad(format!("timeout: health rpc did not complete within {timeout:?}")),
    }
}

/// Tries until the deadline; what the last try said.
async fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, DialError> {
    let mut wait = FIRST_WAIT;
    loop {
        match dial(host, port, Some(deadline)).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.is_ours() || Instant::now() >= deadline => return Err(error),
            Err(error) if Instant::now() + wait >= deadline => {
                tokio::time::sleep_until(deadline).await;
                return Err(error);
            }
            Err(_) => sleep(wait).await,
        }
        wait *= 2;
    }
}

/// A channel over this one connection.
async fn channel(name: &str, stream: TcpStream) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{name}"))?.user_agent(PROBE)?;
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        // A channel that has lost its connection asks for another; there is none.
        std::future::ready(stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)))
    });
    endpoint.connect_with_connector(connector).await
}

enum Failed {
    Connect(tonic::transport::Error),
    Call(Status),
}

impl Failed {
    fn text(&self, name: &str, timeout: Duration) -> String {
        match self {
            Self::Connect(error) => format!("error: failed to connect service at \"{name}\": {}", causes(error)),
            Self::Call(status) => match status.code() {
                Code::Unimplemented => format!(
                    "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {}",
                    status.message()
                ),
                Code::DeadlineExceeded => format!("timeout: health rpc did not complete within {timeout:?}"),
                code => {
                    let message = status.message();
                    format!("error: health rpc probe failed: rpc error: code = {code:?} desc = {message}")
                }
            },
        }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let inner = std::iter::successors(error.source(), |error| error.source());
    inner.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn judge(status: ServingStatus) -> Verdict {
    match status {
        ServingStatus::Serving => Verdict::Good,
        ServingStatus::Unknown | ServingStatus::NotServing | ServingStatus::ServiceUnknown => {
            Verdict::Bad(format!("service unhealthy (responded with \"{}\")", status.as_str_name()))
        }
    }
}
