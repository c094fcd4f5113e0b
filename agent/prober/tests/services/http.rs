//! `httpGet` against real servers.

use std::convert::Infallible;
use std::time::Duration;

use barepod_prober::http::{hook, probe};
use barepod_prober::{Verdict, tcp};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{Script, closed, get, mute, with_header, with_tls};

const SECOND: Duration = Duration::from_secs(1);
/// More than any answer here takes on a loaded machine.
const LONG: Duration = Duration::from_secs(20);

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";
const MOVED: &str = "HTTP/1.1 302 Found\nContent-Length: 0\nLocation: ";

fn moved(to: &str) -> String {
    format!("{MOVED}{to}\n\n")
}

fn bad(verdict: Verdict) -> String {
    match verdict {
        Verdict::Bad(text) => text,
        other => panic!("it should be bad: {other:?}"),
    }
}

#[tokio::test]
async fn the_request_is_kubelets_with_our_name_behind() {
    let mut server = Script::plain(&[OK]).await;

    let verdict = probe(&server.get("/healthz?full#top"), LONG).await;

    assert_eq!(verdict, Verdict::Good);
    let (port, version) = (server.address.port(), env!("CARGO_PKG_VERSION"));
    let mut lines: Vec<_> = server.request().await.trim_end().lines().map(str::to_owned).collect();
    lines[1..].sort();
    assert_eq!(
        lines,
        [
            "GET /healthz?full HTTP/1.1",
            "Accept: */*",
            "Connection: close",
            &format!("Host: 127.0.0.1:{port}"),
            &format!("User-Agent: kube-probe/1.36 barepod/{version}"),
        ]
    );
}

#[tokio::test]
async fn the_manifests_headers_go_before_ours() {
    let mut server = Script::plain(&[OK]).await;
    let mut request = server.get("/");
    for (name, value) in [("Host", "example.org"), ("accept", ""), ("User-Agent", "me"), ("X-A", "1"), ("X-A", "2")] {
        request = with_header(request, name, value);
    }

    assert_eq!(probe(&request, LONG).await, Verdict::Good);

    let head = server.request().await;
    let mut lines: Vec<_> = head.trim_end().lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["Connection: close", "Host: example.org", "User-Agent: me", "X-A: 1", "X-A: 2"]);
}

#[tokio::test]
async fn a_status_of_400_and_more_is_bad() {
    let server = Script::plain(&["HTTP/1.1 503 Busy\nContent-Length: 6\n\nsecret"]).await;

    assert_eq!(bad(probe(&server.get("/"), LONG).await), "HTTP probe failed with statuscode: 503");
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_followed_with_referer_and_host() {
    let mut server = Script::plain(&[&moved("/next"), OK]).await;

    let verdict = probe(&with_header(server.get("/first"), "Host", "example.org"), LONG).await;

    assert_eq!(verdict, Verdict::Good);
    server.request().await;
    let second = server.request().await;
    let referer = format!("Referer: http://{}/first\n", server.address);
    assert!(second.starts_with("GET /next ") && second.contains(&referer), "{second}");
    assert!(second.contains("Host: example.org\n"), "{second}");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_a_warning_and_nobody_goes_there() {
    let mut server = Script::plain(&[&moved("http://localhost:PORT/next")]).await;

    let verdict = probe(&server.get("/"), LONG).await;

    assert!(matches!(verdict, Verdict::Warning(text) if text.starts_with("Probe terminated redirects")));
    server.request().await;
    assert_eq!(server.unseen(), 0);
}

#[tokio::test]
async fn ten_redirects_are_the_most() {
    let server = Script::plain(&[&moved("/again")]).await;

    let text = bad(probe(&server.get("/"), LONG).await);

    assert!(text.ends_with(": stopped after 10 redirects"), "{text}");
    assert_eq!(server.unseen(), 10);
}

#[tokio::test]
async fn a_refused_connection_is_named_as_kubelet_names_it() {
    let address = closed().await;

    let text = bad(probe(&get(address, "/ready"), LONG).await);

    assert_eq!(text, format!("Get \"http://{address}/ready\": dial tcp {address}: connect: connection refused"));
}

#[tokio::test]
async fn a_connection_that_closes_without_a_word_is_eof() {
    let server = Script::plain(&[""]).await;

    let text = bad(probe(&server.get("/"), LONG).await);

    assert_eq!(text, format!("Get \"http://{}/\": EOF", server.address));
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_timeout() {
    let address = mute().await;

    let text = bad(probe(&get(address, "/"), SECOND / 10).await);

    let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    assert_eq!(text, format!("Get \"http://{address}/\": {why}"));
}

#[tokio::test]
async fn a_body_that_breaks_off_decides_nothing_after_three_tries() {
    let server = Script::plain(&["HTTP/1.1 200 OK\nContent-Length: 100\n\nonly this"]).await;

    let verdict = probe(&server.get("/"), LONG).await;

    assert!(matches!(verdict, Verdict::Undecided(text) if text.contains("while reading body")));
    assert_eq!(server.unseen(), 3);
}

#[tokio::test]
async fn a_body_is_read_to_ten_kibibytes_and_no_further() {
    let whole = "x".repeat(10 << 10);
    let server = Script::plain(&[&format!("HTTP/1.1 200 OK\nContent-Length: 1000000000\n\n{whole}")]).await;

    assert_eq!(probe(&server.get("/"), LONG).await, Verdict::Good);
}

#[tokio::test]
async fn a_certificate_that_nobody_believes_is_good_enough() {
    let mut server = Script::tls(&[OK]).await;

    assert_eq!(probe(&with_tls(server.get("/")), LONG).await, Verdict::Good);
    assert!(server.request().await.starts_with("GET / HTTP/1.1"));
}

#[tokio::test]
async fn a_server_that_offers_http2_under_tls_is_asked_by_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(crate::support::tls(&[b"h2"]));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(stream).await.unwrap();
        let service = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
            let good = request.version() == Version::HTTP_2 && request.uri().host() == Some("127.0.0.1");
            let status = if good { 200 } else { 500 };
            Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::from("ok"))).unwrap())
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(TokioIo::new(stream), service).await.ok();
    });

    assert_eq!(probe(&with_tls(get(address, "/")), LONG).await, Verdict::Good);
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_named() {
    let server = Script::plain_hello().await;

    let text = bad(probe(&with_tls(server.get("/")), LONG).await);

    assert!(text.ends_with("http: server gave HTTP response to HTTPS client"), "{text}");
}

#[tokio::test]
async fn a_hook_has_gone_well_whatever_the_answer() {
    let mut server = Script::plain(&["HTTP/1.1 500 No\nContent-Length: 0\n\n"]).await;

    assert_eq!(hook(&server.get("/stop")).await, Verdict::Good);

    let agent = format!("User-Agent: kube-lifecycle/1.36 barepod/{}\n", env!("CARGO_PKG_VERSION"));
    assert!(server.request().await.contains(&agent));
}

#[tokio::test]
async fn a_hook_that_nobody_answers_has_failed() {
    let address = closed().await;

    assert!(bad(hook(&get(address, "/")).await).ends_with("connection refused"));
}

#[tokio::test]
async fn a_hook_by_https_is_asked_again_by_http_without_its_password() {
    // What comes first is no HTTP to it, and answered as such.
    let mut server = Script::plain_hello().await;
    let request = with_header(with_tls(server.get("/stop")), "Authorization", "Basic c2VjcmV0");

    let verdict = hook(&request).await;

    assert!(matches!(verdict, Verdict::Warning(text) if text.contains(&server.address.to_string())));
    let second = server.request().await;
    assert!(second.starts_with("GET /stop ") && !second.contains("Authorization"), "{second}");
}

#[tokio::test]
async fn a_connection_is_all_that_a_tcp_probe_wants() {
    let server = mute().await;

    assert_eq!(tcp::probe("127.0.0.1", server.port(), LONG).await, Verdict::Good);
    let address = closed().await;
    let text = bad(tcp::probe("127.0.0.1", address.port(), LONG).await);
    assert_eq!(text, format!("dial tcp {address}: connect: connection refused"));
}
