//! kube-rs's own client of exec, attach, port-forward and logs, which shares no code with kubectl, against a node: through an
//! API server that passes its WebSocket on, and through one that translates it.

use barepod_tests::host::SOON;
use barepod_tests::joined::{Joined, shell};
use barepod_tests::wait_for;
use futures::AsyncBufReadExt as _;
use futures::stream::TryStreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams, AttachedProcess, LogParams, TerminalSize};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Echoes each line that it is given, and has a file server on port 8086.
const ECHO: &str = "python3 -m http.server --directory /usr/share/common-licenses 8086 >/dev/null 2>&1 &
    echo here; while read -r line; do echo \"got $line\"; done";
/// The port as the kernel's table has it.
const LISTENS: &str = ":1F96 ";
const MEGABYTES: usize = 16;

#[test]
fn kube_rs_is_served_as_kubectl_is_whether_the_api_server_translates_or_not() -> Result {
    for passed_on in [true, false] {
        let cluster = Joined::with_streams(passed_on)?;
        let mut pod = shell("db", ECHO);
        pod["spec"]["containers"][0]["stdin"] = true.into();
        cluster.apply(&pod)?;
        cluster.ready("db")?;
        let table = || std::fs::read_to_string("/proc/thread-self/net/tcp").ok();
        wait_for("its server to listen", SOON, || table().filter(|text| text.contains(LISTENS)))?;
        // One thread: another one would not be in the cluster's network.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let pods = pods(&cluster).await?;
            within("a command", a_command_is_run(&pods)).await?;
            within("a terminal", its_terminal_has_a_size(&pods)).await?;
            within("what is attached to", a_container_is_attached_to(&pods)).await?;
            within("a log", its_log_is_followed(&pods)).await?;
            within("a port", a_port_is_forwarded(&pods)).await
        })?;
    }
    Ok(())
}

async fn within(what: &str, it: impl Future<Output = Result>) -> Result {
    tokio::time::timeout(SOON, it)
        .await
        .map_err(|_| format!("{what} does not end"))?
        .map_err(|error| format!("{what}: {error}").into())
}

async fn pods(cluster: &Joined) -> Result<Api<Pod>> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let file = Kubeconfig::read_from(cluster.plane.admin())?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    Ok(Api::namespaced(Client::try_from(config)?, "default"))
}

async fn a_command_is_run(pods: &Api<Pod>) -> Result {
    let both = AttachParams::default().stdout(true).stderr(true);
    let mut ended = pods.exec("db", ["sh", "-c", "echo out; echo err >&2; exit 42"], &both).await?;
    let status = ended.take_status().ok_or("no status")?;
    let (mut out, mut err) = (ended.stdout().ok_or("no stdout")?, ended.stderr().ok_or("no stderr")?);
    let (mut said, mut failed) = (String::new(), String::new());
    tokio::try_join!(out.read_to_string(&mut said), err.read_to_string(&mut failed))?;
    assert_eq!((said.as_str(), failed.as_str()), ("out\n", "err\n"));
    let status = status.await.ok_or("no status")?;
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"));
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    assert_eq!(causes.first().and_then(|cause| cause.message.as_deref()), Some("42"));

    let sent: Vec<u8> =
        (0..MEGABYTES << 20).map(|n: usize| (n.wrapping_mul(2_654_435_761) >> 7).to_le_bytes()[0]).collect();
    let mut cat = pods.exec("db", ["cat"], &AttachParams::default().stdin(true).stdout(true).stderr(false)).await?;
    let (mut input, mut output) = (cat.stdin().ok_or("no stdin")?, cat.stdout().ok_or("no stdout")?);
    let mut back = vec![0; sent.len()];
    let write = async {
        input.write_all(&sent).await?;
        input.flush().await
    };
    tokio::try_join!(write, output.read_exact(&mut back))?;
    assert!(Sha256::digest(&back) == Sha256::digest(&sent), "what went through cat is not what came back");
    cat.abort();
    Ok(())
}

async fn its_terminal_has_a_size(pods: &Api<Pod>) -> Result {
    let mut shell = pods.exec("db", ["sh"], &AttachParams::interactive_tty()).await?;
    let mut sizes = shell.terminal_size().ok_or("no terminal")?;
    sizes.try_send(TerminalSize { width: 97, height: 31 })?;
    let mut input = shell.stdin().ok_or("no stdin")?;
    input.write_all(b"until test \"$(stty size)\" = '31 97'; do sleep 0.1; done; echo si$((1+1))ed; exit\n").await?;
    read_until(&mut shell, "si2ed").await
}

async fn a_container_is_attached_to(pods: &Api<Pod>) -> Result {
    let mut attached = pods.attach("db", &AttachParams::default().stdin(true).stdout(true).stderr(false)).await?;
    let mut input = attached.stdin().ok_or("no stdin")?;
    input.write_all(b"attached\n").await?;
    read_until(&mut attached, "got attached").await?;
    attached.abort();
    Ok(())
}

async fn its_log_is_followed(pods: &Api<Pod>) -> Result {
    let followed = LogParams { follow: true, ..LogParams::default() };
    let mut lines = pods.log_stream("db", &followed).await?.lines();
    assert_eq!(lines.try_next().await?.as_deref(), Some("here"));
    assert_eq!(lines.try_next().await?.as_deref(), Some("got attached"));
    Ok(())
}

async fn a_port_is_forwarded(pods: &Api<Pod>) -> Result {
    let mut forwarded = pods.portforward("db", &[8086]).await?;
    let mut stream = forwarded.take_stream(8086).ok_or("no stream")?;
    stream.write_all(b"GET /GPL-3 HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no body")?;
    assert!(body == std::fs::read_to_string("/usr/share/common-licenses/GPL-3")?, "{} bytes", body.len());
    Ok(())
}

/// Reads what it prints until this is among it.
async fn read_until(process: &mut AttachedProcess, wanted: &str) -> Result {
    let mut output = process.stdout().ok_or("no stdout")?;
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(wanted) {
        if output.read_buf(&mut said).await? == 0 {
            return Err(format!("it ended without {wanted:?}: {}", String::from_utf8_lossy(&said)).into());
        }
    }
    Ok(())
}
