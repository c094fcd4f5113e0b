//! Run: a process in a container, and all that it wrote.

use barepod_api::v1::{self, exec_request, exec_response};
use hyper::StatusCode;
use tonic::Status;

use super::running;
use crate::answer::{Answer, of, text, whole};
use crate::port::Port;
use crate::query::Query;
use crate::route::Target;

/// Most bytes that it may write: they are kept until it has ended.
const MOST: usize = 1 << 20;

/// Answers with its output once it has ended well.
pub(crate) async fn run(port: &Port, target: Target, query: Query) -> Answer {
    let pod = match running(port, &target, |name, _| format!("container not found ({name:?})")).await {
        Ok(pod) => pod,
        Err(answer) => return *answer,
    };
    // Words as kubelet has always told them apart here.
    let command = query.first("cmd").unwrap_or_default().split(' ').map(str::to_owned).collect();
    let (namespace, name) = (pod.namespace, pod.name);
    let start = v1::ExecStart { namespace, name, container: target.container, command, ..v1::ExecStart::default() };
    match collect(port, start).await {
        Ok((0, output)) => of(StatusCode::OK, "application/json", whole(output)),
        Ok((code, output)) => {
            let output = String::from_utf8_lossy(&output);
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("command exited with {code}: {output}"))
        }
        Err(status) => text(StatusCode::INTERNAL_SERVER_ERROR, status.message().to_owned()),
    }
}

async fn collect(port: &Port, start: v1::ExecStart) -> Result<(i32, Vec<u8>), Status> {
    let start = v1::ExecRequest { request: Some(exec_request::Request::Start(start)) };
    // Requests that end would mean that the client has gone.
    let requests = futures::StreamExt::chain(futures::stream::iter([start]), futures::stream::pending());
    let mut daemon = port.daemon_for_stream();
    let mut answers = daemon.client.exec(requests).await?.into_inner();
    let mut output = Vec::new();
    while let Some(answer) = answers.message().await? {
        match answer.response {
            Some(exec_response::Response::Stdout(data) | exec_response::Response::Stderr(data)) => {
                output.extend(data);
                if output.len() > MOST {
                    return Err(Status::resource_exhausted(
                        "the command was ended: it wrote more than 1 MiB; use exec",
                    ));
                }
            }
            Some(exec_response::Response::ExitCode(code)) => return Ok((code, output)),
            None => {}
        }
    }
    Err(Status::unavailable("barepodd has gone, and the process with it"))
}
