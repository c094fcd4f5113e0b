//! `grpc` against real servers.

use std::time::Duration;

use crate::support::{closed, mute};
use barepod_prober::Verdict;
use barepod_prober::grpc::probe;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

async fn server() -> (u16, HealthReporter) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (reporter, service) = health_reporter();
    let serving = Server::builder().add_service(service);
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
    (port, reporter)
}

fn bad(verdict: Verdict) -> String {
    match verdict {
        Verdict::Bad(text) => text,
        other => panic!("it should be bad: {other:?}"),
    }
}

#[tokio::test]
async fn serving_is_good_and_anything_else_is_named() {
    let (port, reporter) = server().await;
    reporter.set_service_status("down", ServingStatus::NotServing).await;

    assert_eq!(probe("127.0.0.1", port, "", LONG).await, Verdict::Good);
    let text = bad(probe("127.0.0.1", port, "down", LONG).await);
    assert_eq!(text, "service unhealthy (responded with \"NOT_SERVING\")");
}

#[tokio::test]
async fn a_service_that_is_not_there_is_not_found() {
    let (port, _reporter) = server().await;

    let text = bad(probe("127.0.0.1", port, "nobody", LONG).await);

    assert!(text.starts_with("error: health rpc probe failed: rpc error: code = NotFound desc = "), "{text}");
}

#[tokio::test]
async fn a_server_without_the_protocol_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = Server::builder().add_routes(tonic::service::Routes::default());
    tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));

    let text = bad(probe("127.0.0.1", port, "", LONG).await);

    assert!(text.starts_with("error: this server does not implement the grpc health protocol"), "{text}");
}

#[tokio::test]
async fn nobody_there_is_tried_until_the_timeout() {
    let address = closed().await;

    let text = bad(probe("127.0.0.1", address.port(), "", SHORT).await);

    let within = format!("timeout: failed to connect service \"{address}\" within 200ms: ");
    assert!(text.starts_with(&within) && text.ends_with("connection refused"), "{text}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_a_timeout() {
    let address = mute().await;

    let text = bad(probe("127.0.0.1", address.port(), "", SHORT).await);

    assert_eq!(text, "timeout: health rpc did not complete within 200ms");
}
