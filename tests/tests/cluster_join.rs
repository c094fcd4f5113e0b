//! A host is let into a cluster, and stays in it: discovery as kubeadm does it, certificates by request, renewed while
//! everything runs. What is wrong is said with what to do, and no pod comes to harm by any of it.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use barepod_tests::bridge::{Bridge, CONFIG, hand_over};
use barepod_tests::cluster::{ControlPlane, Recipe};
use barepod_tests::host::{Host, alive};
use barepod_tests::joined::{ADDRESS, Joined, NODE, has_condition, join, shell};
use barepod_tests::pods::IDLE;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A certificate that lives for a minute is renewed, or over, by then.
const LIFE: Duration = Duration::from_secs(150);

/// Certificates that live for a minute. Their signer dates them back by five: they are due almost at once.
fn short() -> Recipe {
    Recipe { controller_manager: vec!["--cluster-signing-duration=60s".to_owned()], ..Recipe::default() }
}

/// Waits as long as a certificate lives.
fn within_a_life(cluster: &Joined, what: &str, mut look: impl FnMut() -> Option<()>) -> Result {
    let waited = cluster.plane.until(what, LIFE, |_| look());
    waited.map_err(|error| format!("{error}\n--- the bridge:\n{}", cluster.bridge.log()).into())
}

fn run(host: &Host, arguments: &[String]) -> Result<Output> {
    Ok(host.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?)
}

/// `barepod kube VERB`: whether all is well, and what it says.
fn kube(host: &Host, verb: &str) -> Result<(bool, String)> {
    let output = host.run(&["kube", verb, "--root", &host.path("").display().to_string()])?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn client_certificate(host: &Host) -> PathBuf {
    host.path("var/lib/barepod-bridge/pki/client.pem")
}

fn mode(path: &Path) -> Result<u32> {
    Ok(path.metadata()?.permissions().mode() & 0o777)
}

#[test]
fn a_host_joins_by_a_token_and_is_a_ready_node() -> Result {
    let plane = ControlPlane::start(&Recipe::default())?;
    let host = Host::started(CONFIG)?;
    let (well, said) = kube(&host, "status")?;
    assert!(!well && said.contains("has not joined"), "{said}");

    let joined = run(&host, &join(&host, &plane, &plane.bootstrap_token(), &[]))?;
    let said = String::from_utf8_lossy(&joined.stdout).into_owned();
    assert!(joined.status.success() && said.contains("systemctl enable --now barepod-bridge"), "{joined:?}");
    let bootstrap = host.path("etc/barepod/kubernetes/bootstrap-kubeconfig");
    assert_eq!((mode(&bootstrap)?, mode(&host.path("etc/barepod/kubernetes"))?), (0o600, 0o700));
    let (well, said) = kube(&host, "status")?;
    assert!(!well && said.contains(NODE) && said.contains("not asked for yet"), "{said}");

    let again = run(&host, &join(&host, &plane, &plane.bootstrap_token(), &[]))?;
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && said.contains("--force") && said.contains("kube reset"), "{said}");

    let bridge = Bridge::of_joined(&host, IpAddr::from(Ipv4Addr::LOCALHOST), &["--rotate-server-certificates=false"])?;
    let cluster = Joined { bridge, host, plane };
    cluster.until("the node to be ready", |cluster| {
        cluster.get(&["node", NODE]).filter(|node| has_condition(node, "Ready", "True"))
    })?;
    let host = &cluster.host;
    assert_eq!(mode(&host.path("etc/barepod/kubernetes/kubeconfig"))?, 0o600);
    assert_eq!(mode(&client_certificate(host))?, 0o600);
    let (well, said) = kube(host, "status")?;
    assert!(
        well && said.contains("knows the node's certificate") && said.contains("system:node:host-1; until"),
        "{said}"
    );

    let (well, said) = kube(host, "reset")?;
    assert!(well && said.contains("kubectl delete node"), "{said}");
    assert!(!bootstrap.exists() && !client_certificate(host).exists());
    assert!(host.path("etc/barepod/barepod.yaml").exists());
    assert!(kube(host, "status")?.1.contains("has not joined"));
    Ok(())
}

#[test]
fn a_host_joins_by_a_kubeconfig_with_a_token() -> Result {
    let plane = ControlPlane::start(&Recipe::default())?;
    let host = Host::new("")?;
    let root = host.path("").display().to_string();
    let by = |file: &Path| {
        let file = file.display().to_string();
        host.run(&["kube", "join", "--kubeconfig", &file, "--node-name", "other-1", "--root", &root])
    };

    let without = by(plane.admin())?;
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(!without.status.success() && said.contains("has no bootstrap token"), "{said}");
    let wrong = by(&plane.kubeconfig_with_token("wrong", "abcdef.0123456789abcdef")?)?;
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && said.contains("refuses the token"), "{said}");
    assert!(kube(&host, "status")?.1.contains("has not joined"));

    let output = by(&plane.kubeconfig_of_token()?)?;
    assert!(output.status.success(), "{output:?}");
    assert!(kube(&host, "status")?.1.contains("other-1"));
    Ok(())
}

/// Somebody who answers everything in plain text.
fn plain_server() -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            if stream.read(&mut [0; 1024]).is_ok_and(|asked| asked == 0) {
                continue;
            }
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").ok();
        }
    });
    Ok(format!("https://{address}"))
}

#[test]
fn what_is_wrong_is_said_with_what_to_do_and_nothing_is_written() -> Result {
    let plane = ControlPlane::start(&Recipe::default())?;
    let host = Host::new("")?;
    let (token, server) = (plane.bootstrap_token(), plane.server());
    let (id, _) = token.split_once('.').ok_or("a token")?;
    let (other_secret, other_hash) = (format!("{id}.0123456789abcdef"), format!("sha256:{}", "0".repeat(64)));
    // Nobody listens there any more.
    let closed = format!("https://{}", TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?);
    let right = join(&host, &plane, &token, &[]);
    let with = |from: &str, to: &str| -> Vec<String> {
        right.iter().map(|argument| if argument == from { to.to_owned() } else { argument.clone() }).collect()
    };
    let hash = plane.ca_hash();
    for (arguments, said) in [
        (with(&token, "abc"), &["this is no bootstrap token", "kubeadm token create"][..]),
        (
            with(&token, "zzzzzz.0123456789abcdef"),
            &["does not know the token zzzzzz", "expired", "kubeadm token create"],
        ),
        (with(&token, &other_secret), &["secret half of the token"]),
        (with(&hash, &other_hash), &["authority is another one", &hash]),
        (with(&hash, "sha1:abc"), &["is no hash of an authority's key"]),
        (with(&server, &closed), &["cannot be reached", "is the address right"]),
        (with(&server, &plain_server()?), &["not in TLS"]),
        (with(&server, &server.replace("https", "http")), &["reached by TLS only"]),
        (with(NODE, "Host_1"), &["is no name of a node"]),
        (
            right.iter().filter(|it| !it.contains("hash") && **it != hash).cloned().collect(),
            &["discovery-token-ca-cert-hash"],
        ),
    ] {
        let output = run(&host, &arguments)?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(said.iter().all(|said| stderr.contains(said)), "{arguments:?}: {stderr}");
        assert!(!host.path("etc/barepod/kubernetes").exists(), "{arguments:?}");
    }

    let mut unsafely: Vec<_> = right.iter().filter(|it| !it.contains("hash") && **it != hash).cloned().collect();
    unsafely.push("--discovery-token-unsafe-skip-ca-verification".to_owned());
    assert!(run(&host, &unsafely)?.status.success());
    Ok(())
}

#[test]
fn a_client_certificate_is_renewed_while_the_same_bridge_and_the_same_pods_run() -> Result {
    let cluster = Joined::by_token(&short(), &["--rotate-server-certificates=false"])?;
    cluster.apply(&shell("calm", IDLE))?;
    let (pid, bridge) = (cluster.ready("calm")?, cluster.bridge.pid());
    let file = client_certificate(&cluster.host);
    let first = std::fs::read(&file)?;
    // A request by a certificate that was renewed itself.
    let twice = || (cluster.bridge.log().matches("the client certificate is renewed").count() >= 2).then_some(());
    within_a_life(&cluster, "the certificate to be renewed twice", twice)?;
    assert_ne!(std::fs::read(&file)?, first);

    // It is over by now, or soon; whatever is asked after that is asked with another.
    let first = String::from_utf8(first)?;
    let path = cluster.host.path("first.pem");
    std::fs::write(&path, first)?;
    within_a_life(&cluster, "the first certificate to be over", || expired(&path))?;
    cluster.apply(&shell("later", IDLE))?;
    cluster.ready("later")?;
    assert_eq!(cluster.ready("calm")?, pid);
    assert!(alive(pid));
    assert_eq!(cluster.bridge.pid(), bridge);
    assert!(!cluster.bridge.log().contains("has expired"), "{}", cluster.bridge.log());
    // Between two requests nothing is to be done.
    cluster.until("all to be well", |cluster| kube(&cluster.host, "status").ok().filter(|(well, _)| *well))?;
    Ok(())
}

/// Whether the certificate in a file is over.
fn expired(path: &Path) -> Option<()> {
    let output =
        std::process::Command::new("openssl").args(["x509", "-noout", "-checkend", "0", "-in"]).arg(path).output();
    output.is_ok_and(|output| output.status.code() == Some(1)).then_some(())
}

#[test]
fn a_client_certificate_that_has_expired_is_said_pods_run_on_and_a_new_token_helps() -> Result {
    let cluster = Joined::by_token(&short(), &["--rotate-server-certificates=false"])?;
    cluster.apply(&shell("calm", IDLE))?;
    let (pid, bridge) = (cluster.ready("calm")?, cluster.bridge.pid());
    let token = cluster.plane.bootstrap_token();
    let (id, _) = token.split_once('.').ok_or("a token")?;
    cluster.kubectl(&["delete", "secret", "-n", "kube-system", &format!("bootstrap-token-{id}")])?;
    cluster.kubectl(&["delete", "clusterrolebinding", "kubeadm:node-autoapprove-certificate-rotation"])?;

    let said = |what: &'static str| within_a_life(&cluster, what, || cluster.bridge.log().contains(what).then_some(()));
    said("kubectl certificate approve node-csr-")?;
    said("the node's client certificate has expired")?;
    said("barepod kube join --force")?;
    let (well, shown) = kube(&cluster.host, "status")?;
    assert!(!well && shown.contains("EXPIRED") && shown.contains("barepod kube join --force"), "{shown}");
    assert!(alive(pid));
    assert_eq!(cluster.host.pid("calm"), Some(pid));

    cluster.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-fedcba", "namespace": "kube-system"},
        "stringData": {
            "token-id": "fedcba", "token-secret": "fedcba9876543210",
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
        },
    }))?;
    let output = run(&cluster.host, &join(&cluster.host, &cluster.plane, "fedcba.fedcba9876543210", &["--force"]))?;
    assert!(output.status.success(), "{output:?}");
    cluster.apply(&shell("later", IDLE))?;
    cluster.ready("later")?;
    assert_eq!(cluster.host.pid("calm"), Some(pid));
    assert_eq!(cluster.bridge.pid(), bridge);
    Ok(())
}

/// The message of the node's condition about its serving certificate, once its status is this.
fn serving(cluster: &Joined, status: &'static str) -> Result<String> {
    let what = format!("the node's serving certificate to be {status}");
    let message = cluster.until(&what, |cluster| {
        let node = cluster.get(&["node", NODE])?;
        let conditions = node["status"]["conditions"].as_array()?.clone();
        let condition = conditions.into_iter().find(|condition| condition["type"] == "ServingCertificateReady")?;
        (condition["status"] == status).then(|| condition["message"].as_str().unwrap_or_default().to_owned())
    })?;
    Ok(message)
}

#[test]
fn a_serving_certificate_waits_for_the_command_that_the_node_says() -> Result {
    let cluster = Joined::by_token(&Recipe::default(), &[])?;
    let message = serving(&cluster, "False")?;
    let (_, command) = message.split_once("kubectl ").ok_or("a command")?;
    assert!(cluster.bridge.log().contains(command), "{}", cluster.bridge.log());
    cluster.until("an event that says so", |cluster| {
        let events = cluster.get(&["events", "--field-selector", "reason=ServingCertificateWaits"])?;
        events["items"]
            .as_array()?
            .iter()
            .any(|event| event["message"].as_str().is_some_and(|it| it.contains(command)))
            .then_some(())
    })?;
    let (well, said) = kube(&cluster.host, "status")?;
    assert!(!well && said.contains(command), "{said}");

    cluster.kubectl(&command.split(' ').collect::<Vec<_>>())?;

    assert!(serving(&cluster, "True")?.contains("valid until"));
    let (well, said) = kube(&cluster.host, "status")?;
    assert!(well && said.contains("Serving certificate:") && said.contains(&format!("{ADDRESS}; until")), "{said}");
    Ok(())
}

/// As a node asks for a serving certificate with this address.
fn serving_request(name: &str, address: IpAddr) -> Result<Value> {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{NODE}"));
    params.subject_alt_names.push(rcgen::SanType::IpAddress(address));
    let pem = params.serialize_request(&rcgen::KeyPair::generate()?)?.pem()?;
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {
            "request": BASE64_STANDARD.encode(pem),
            "signerName": "kubernetes.io/kubelet-serving",
            "usages": ["digital signature", "server auth"],
        },
    }))
}

#[test]
fn the_approver_approves_what_is_the_nodes_and_leaves_what_is_not() -> Result {
    let mut cluster = Joined::by_token(&Recipe::default(), &[])?;
    let controllers = hand_over(&cluster.host, &cluster.plane.kubeconfig_of_controllers()?, "controllers")?;
    cluster.bridge.kill()?;
    let with = ["--controllers-kubeconfig", &controllers.display().to_string()];
    cluster.bridge = Bridge::of_joined(&cluster.host, ADDRESS.into(), &with)?;

    assert!(serving(&cluster, "True")?.contains("valid until"));

    let node = cluster.host.path("etc/barepod/kubernetes/kubeconfig");
    let foreign = serving_request("foreign", IpAddr::from([10, 9, 8, 7]))?;
    cluster.plane.kubectl_create_as(&node, &foreign.to_string())?;
    let said = cluster.until("the approver to say why it leaves a request alone", |cluster| {
        let events = cluster.get(&["events", "--field-selector", "reason=NotApproved"])?;
        events["items"].as_array()?.iter().find_map(|event| event["message"].as_str().map(str::to_owned))
    })?;
    assert!(said.contains("10.9.8.7 is not among the addresses of Node host-1"), "{said}");
    assert_eq!(cluster.plane.get(&["csr", "foreign"])?["status"], json!({}));
    let own = serving_request("own", ADDRESS.into())?;
    cluster.plane.kubectl_create_as(&node, &own.to_string())?;
    cluster.until("one of its own to be approved", |cluster| {
        cluster.get(&["csr", "own"]).filter(|request| has_condition(request, "Approved", "True"))
    })?;

    // The RuntimeClass leads pods to the node.
    cluster.apply(&shell("led", IDLE))?;
    cluster.ready("led")?;
    let pod = cluster.plane.get(&["pod", "led"])?;
    assert_eq!(pod["spec"]["nodeSelector"], json!({"barepod.dev/node": "true"}));
    Ok(())
}
