//! `kubectl logs` against a node: through the API server, by the kubelet port, from the daemon's logs, in kubelet's words.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use barepod_tests::cluster::{Credentials, Recipe};
use barepod_tests::host::SOON;
use barepod_tests::joined::{Joined, shell};
use barepod_tests::pods::IDLE;
use barepod_tests::process::Owned;
use barepod_tests::programs::Built;
use barepod_tests::{Scratch, wait_for};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A node whose serving certificate is the cluster's.
fn cluster() -> Result<Joined> {
    let cluster = Joined::start()?;
    cluster.approve_serving_certificate()?;
    Ok(cluster)
}

/// Waits until a log is so; the log.
fn log_until(cluster: &Joined, args: &[&str], what: &str, holds: impl Fn(&str) -> bool) -> Result<String> {
    let args = [&["logs"], args].concat();
    let mut last = None;
    let found = cluster.until(&format!("{args:?} to be {what}"), |cluster| {
        let log = cluster.kubectl(&args);
        let found = log.as_ref().ok().filter(|log| holds(log)).cloned();
        last = Some(log);
        found
    });
    found.map_err(|error| format!("{error}\n--- it is {last:?}").into())
}

/// What kubectl says against something.
fn refused(cluster: &Joined, args: &[&str]) -> String {
    match cluster.kubectl(args) {
        Ok(said) => format!("nothing, but {said:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn kubectl_shows_a_log_before_the_cluster_has_issued_a_serving_certificate() -> Result {
    // As with kubeadm's defaults: nobody looks at it.
    let unverified = || Recipe { api_server: vec!["--kubelet-certificate-authority=".to_owned()], ..Recipe::default() };
    let cluster = Joined::with(&unverified(), "")?;
    cluster.apply(&shell("hello", "echo one; echo two; exec sleep 1000"))?;
    log_until(&cluster, &["hello"], "whole", |log| log == "one\ntwo\n")?;
    let node = cluster.get(&["node", "host-1"]).ok_or("a node")?;
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], 10250);
    Ok(())
}

/// Two lines that are more than a second apart, and a third of another stream.
const LINES: &str = "echo one; sleep 2.5; echo two; echo three >&2; exec sleep 1000";

#[test]
fn kubectl_logs_has_all_its_options() -> Result {
    let cluster = cluster()?;
    let mut pod = shell("lines", LINES);
    pod["metadata"]["labels"] = json!({"app": "lines"});
    let side = json!({"name": "side", "image": "host", "command": ["/bin/sh", "-c", "echo beside; exec sleep 1000"]});
    pod["spec"]["containers"].as_array_mut().ok_or("containers")?.push(side);
    cluster.apply(&pod)?;
    let main = |more: &[&str]| cluster.kubectl(&[&["logs", "lines", "-c", "main"], more].concat());
    log_until(&cluster, &["lines", "-c", "main"], "whole", |log| log == "one\ntwo\nthree\n")?;

    assert_eq!(main(&["--tail=2"])?, "two\nthree\n");
    assert_eq!(main(&["--tail=0"])?, "");
    assert_eq!(main(&["--limit-bytes=5"])?, "one\nt");
    assert_eq!(main(&["--since=1h"])?, "one\ntwo\nthree\n");
    log_until(&cluster, &["lines", "-c", "main", "--since=1s"], "too old", str::is_empty)?;

    let timed = main(&["--timestamps"])?;
    let times: Vec<_> = timed.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(times.iter().map(|(_, line)| *line).collect::<Vec<_>>(), ["one", "two", "three"]);
    let [(one, _), (two, _), _] = times[..] else { return Err(timed.into()) };
    assert!(one.ends_with('Z') && one.len() >= "2026-01-02T03:04:05.6Z".len() && one < two, "{timed}");
    // The API hands on whole seconds.
    let second = format!("{}Z", two.split('.').next().unwrap_or_default());
    assert_eq!(main(&[&format!("--since-time={second}")])?, "two\nthree\n");

    let all = "[pod/lines/main] one\n[pod/lines/main] two\n[pod/lines/main] three\n[pod/lines/side] beside\n";
    for of in [&["lines"][..], &["-l", "app=lines", "--tail=-1"]] {
        // In any order of containers.
        let shown = cluster.kubectl(&[&["logs", "--all-containers", "--prefix"], of].concat())?;
        let (main, side): (Vec<_>, Vec<_>) = shown.split_inclusive('\n').partition(|line| line.contains("/main]"));
        assert_eq!([main, side].concat().concat(), all);
    }
    assert_eq!(cluster.kubectl(&["logs", "lines", "--tail=1"])?, "three\n", "the first container is the default one");

    // No kubectl asks for a stream yet.
    let admin = cluster.plane.credentials("kube-apiserver-kubelet-client", None)?;
    let ask = |query: &str| cluster.ask_port(&admin, ("GET", &format!("/containerLogs/default/lines/main?{query}")));
    assert_eq!(ask("stream=Stdout")?, (200, "one\ntwo\n".to_owned()));
    assert_eq!(ask("stream=Stderr")?, (200, "three\n".to_owned()));
    assert_eq!(ask("tail=1")?, (200, "three\n".to_owned()));
    assert_eq!(ask("limitBytes=9&timestamps=true")?.1, timed[..9]);
    assert_eq!(ask("tailLines=x")?, (400, r#"{"message": "Unable to decode query."}"#.to_owned()));
    assert_eq!(ask("limitBytes=-1")?, (422, r#"{"message": "Invalid request."}"#.to_owned()));
    Ok(())
}

/// A `kubectl logs -f` that runs, and the lines that it has shown.
fn follow(cluster: &Joined, pod: &str) -> Result<(Owned, impl Iterator<Item = std::io::Result<String>> + use<>)> {
    let mut command = cluster.plane.command(cluster.plane.admin(), &["logs", "-f", pod])?;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = Owned::spawn(&mut command)?;
    let lines = BufReader::new(process.stdout().ok_or("its output")?).lines();
    Ok((process, lines))
}

#[test]
fn a_log_is_followed_to_the_end_of_its_attempt_and_the_attempt_before_is_shown_too() -> Result {
    let cluster = cluster()?;
    let script = "echo x >> /runs/all; echo run $(wc -l < /runs/all); while ! [ -e /runs/go ]; do sleep 0.1; done; \
                  rm /runs/go; echo bye $(wc -l < /runs/all); exit 3";
    let mut pod = shell("runner", script);
    pod["spec"]["volumes"] = json!([{"name": "runs", "emptyDir": {}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "runs", "mountPath": "/runs"}]);
    cluster.apply(&pod)?;
    log_until(&cluster, &["runner"], "begun", |log| log == "run 1\n")?;
    let none = refused(&cluster, &["logs", "runner", "--previous"]);
    assert!(none.contains(r#"(BadRequest): previous terminated container "main" in pod "runner" not found"#), "{none}");

    let (mut process, mut lines) = follow(&cluster, "runner")?;
    assert_eq!(lines.next().transpose()?.as_deref(), Some("run 1"));
    cluster.host.asked("runner", "main", "touch /runs/go")?;
    assert_eq!(lines.next().transpose()?.as_deref(), Some("bye 1"));
    assert_eq!(lines.next().transpose()?, None, "the attempt is over");
    assert!(process.wait("kubectl", SOON)?.success());

    log_until(&cluster, &["runner"], "of the second attempt", |log| log == "run 2\n")?;
    assert_eq!(cluster.kubectl(&["logs", "runner", "--previous"])?, "run 1\nbye 1\n");
    let (_process, mut lines) = follow(&cluster, "runner")?;
    assert_eq!(lines.next().transpose()?.as_deref(), Some("run 2"));
    Ok(())
}

#[test]
fn what_has_no_log_is_said_in_kubelets_words() -> Result {
    let cluster = cluster()?;
    let mut pod = shell("waits", "echo never");
    let init = json!({"name": "first", "image": "host", "command": ["/bin/sh", "-c", "echo first; exec sleep 1000"]});
    pod["spec"]["initContainers"] = json!([init]);
    cluster.apply(&pod)?;
    log_until(&cluster, &["waits", "-c", "first"], "there", |log| log == "first\n")?;

    let said = refused(&cluster, &["logs", "waits", "-c", "main"]);
    assert!(
        said.contains(r#"(BadRequest): container "main" in pod "waits" is waiting to start: PodInitializing"#),
        "{said}"
    );
    let said = refused(&cluster, &["logs", "waits", "-c", "nobody"]);
    assert!(said.contains("container nobody is not valid for pod waits"), "{said}");
    let said = refused(&cluster, &["logs", "nothing"]);
    assert!(said.contains(r#"pods "nothing" not found"#), "{said}");

    let admin = cluster.plane.credentials("kube-apiserver-kubelet-client", None)?;
    let ask = |path: &str| cluster.ask_port(&admin, ("GET", &format!("/containerLogs/{path}")));
    assert_eq!(ask("default/nothing/main")?, (404, r#"pod "nothing" does not exist"#.to_owned()));
    assert_eq!(ask("default/waits/nobody")?, (404, r#"container "nobody" not found in pod "waits""#.to_owned()));
    assert_eq!(ask("other/waits/main")?.0, 404);
    Ok(())
}

/// A follower that nobody reads, then one that is killed: neither holds up a service or another follower.
#[test]
fn a_follower_that_reads_nothing_or_dies_holds_up_nobody() -> Result {
    let cluster = cluster()?;
    cluster.apply(&shell("loud", "yes $(printf %0999d 0) | head -c 20000000; echo done; exec sleep 1000"))?;
    cluster.ready("loud")?;
    let mut command = cluster.plane.command(cluster.plane.admin(), &["logs", "-f", "loud"])?;
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let unread = Owned::spawn(&mut command)?;
    log_until(&cluster, &["loud", "--tail=1"], "whole", |log| log == "done\n")?;
    let (mut other, mut lines) = follow(&cluster, "loud")?;
    assert_eq!(lines.next().transpose()?.map(|line| line.len()), Some(999));
    other.kill()?;
    let bridge = cluster.bridge.pid().ok_or("a bridge")?;
    wait_for("the bridge to be small", SOON, || (memory(bridge)? < 60 << 10).then_some(()))?;
    assert_eq!(cluster.kubectl(&["logs", "loud", "--tail=1"])?, "done\n");
    drop(unread);
    Ok(())
}

/// Resident memory, in KiB.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A role on nodes, and a user who has it.
fn role(user: &str, rules: &Value) -> String {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user}, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    format!("{role}\n---\n{binding}\n")
}

/// Each path with a method, what of a node it is, and what is answered to who may.
const TABLE: &[(&str, &str, &[&str], u16)] = &[
    ("GET", "/healthz", &["healthz", "proxy"], 200),
    ("GET", "/healthz/ping", &["healthz", "proxy"], 200),
    ("GET", "/healthz/log", &["healthz", "proxy"], 200),
    ("GET", "/healthz/syncloop", &["healthz", "proxy"], 200),
    ("GET", "/healthz/nothing", &["healthz", "proxy"], 404),
    ("GET", "/pods", &["pods", "proxy"], 200),
    ("GET", "/runningpods/", &["pods", "proxy"], 200),
    ("GET", "/configz", &["configz", "proxy"], 200),
    ("GET", "/stats/summary", &["stats"], 200),
    ("POST", "/stats/summary", &["stats"], 200),
    ("GET", "/stats/nothing", &["stats"], 404),
    ("GET", "/metrics", &["metrics"], 200),
    ("GET", "/metrics/cadvisor", &["metrics"], 200),
    ("GET", "/metrics/resource", &["metrics"], 200),
    ("GET", "/metrics/probes", &["metrics"], 200),
    ("GET", "/metrics/slis", &["metrics"], 200),
    ("POST", "/metrics", &["metrics"], 405),
    ("GET", "/flagz", &["configz"], 200),
    ("GET", "/statusz", &["statusz"], 200),
    ("GET", "/logs/", &["log"], 405),
    ("GET", "/logs/syslog", &["log"], 405),
    ("GET", "/containerLogs/default/calm/main", &["proxy"], 200),
    ("POST", "/containerLogs/default/calm/main", &["proxy"], 405),
    // No upgrade is asked for.
    ("GET", "/exec/default/calm/main?command=true&output=1", &["proxy"], 400),
    ("POST", "/exec/default/calm/main?command=true&output=1", &["proxy"], 400),
    ("GET", "/attach/default/calm/main?output=1", &["proxy"], 400),
    ("POST", "/attach/default/calm/main?output=1", &["proxy"], 400),
    ("GET", "/portForward/default/calm", &["proxy"], 400),
    ("POST", "/portForward/default/calm", &["proxy"], 400),
    ("GET", "/run/default/calm/main?cmd=true", &["proxy"], 405),
    ("POST", "/run/default/calm/main?cmd=true", &["proxy"], 200),
    ("POST", "/checkpoint/default/calm/main", &["checkpoint"], 500),
    ("POST", "/checkpoint/default/calm/nobody", &["checkpoint"], 404),
    ("GET", "/debug/pprof/profile", &["proxy"], 405),
    ("PUT", "/debug/flags/v", &["proxy"], 405),
    ("PUT", "/pods", &["pods", "proxy"], 405),
    ("DELETE", "/pods", &["pods", "proxy"], 405),
    ("GET", "/nothing", &["proxy"], 404),
    ("GET", "/", &["proxy"], 404),
    ("GET", "/healthz%2F..%2Fpods", &["healthz", "proxy"], 404),
];

/// As the authorizer has it. Where something is done, who may read may not.
fn verb(method: &str, path: &str) -> &'static str {
    let is_done = ["/exec/", "/attach/", "/portForward/", "/run/"].iter().any(|root| path.starts_with(root));
    match method {
        "GET" if !is_done => "get",
        "GET" => "create",
        "POST" => "create",
        "PUT" => "update",
        _ => "delete",
    }
}

#[test]
fn nobody_is_answered_but_who_is_known_and_may() -> Result {
    let cluster = cluster()?;
    cluster.apply(&shell("calm", IDLE))?;
    cluster.ready("calm")?;
    let plane = &cluster.plane;
    let admin = "kube-apiserver-kubelet-client";
    let fine = ["pods", "healthz", "configz", "statusz", "stats", "metrics", "log", "checkpoint", "proxy"];
    let resources = fine.map(|subresource| format!("nodes/{subresource}"));
    for (subresource, resource) in fine.iter().zip(&resources) {
        let rules = json!([{"apiGroups": [""], "resources": [resource], "verbs": ["*"]}]);
        plane.kubectl_apply(&role(&format!("only-{subresource}"), &rules))?;
    }
    plane.kubectl_apply(&role(
        "reader",
        &json!([{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}]),
    ))?;
    let other = json!([{"apiGroups": [""], "resources": resources, "resourceNames": ["host-2"], "verbs": ["*"]}]);
    plane.kubectl_apply(&role("others", &other))?;
    // What an API server is given has neither `statusz` nor `checkpoint`.
    plane.kubectl_apply(&role("everything", &json!([{"apiGroups": [""], "resources": resources, "verbs": ["*"]}])))?;
    let (own, nobody) = (plane.credentials("everything", None)?, Credentials::none());

    for &(method, path, subresources, answer) in TABLE {
        let ask = |who: &Credentials| cluster.ask_port(who, (method, path));
        for (who, what) in [
            (nobody.clone(), "nobody"),
            (plane.foreign_credentials(admin, None)?, "of another authority"),
            (plane.expired_credentials(admin, None)?, "expired"),
            (Credentials::token("made.up.token"), "a token that nobody knows"),
            (plane.foreign_credentials(admin, None)?.and_token("made.up.token"), "neither is worth anything"),
            (plane.credentials("", Some("system:masters"))?, "without a name"),
        ] {
            assert_eq!(ask(&who)?, (401, "Unauthorized".to_owned()), "{method} {path}: {what}");
        }
        let forbidden = |user: &str| {
            let (verb, all) = (verb(method, path), subresources.join(" "));
            format!("Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[{all}])\n")
        };
        for user in ["stranger", "others"] {
            let answer = ask(&plane.credentials(user, None)?)?;
            assert_eq!(answer, (403, forbidden(user)), "{method} {path}");
        }
        for only in fine {
            let user = format!("only-{only}");
            let wanted = if subresources.contains(&only) { answer } else { 403 };
            assert_eq!(ask(&plane.credentials(&user, None)?)?.0, wanted, "{method} {path} by {user}");
        }
        let wanted = if verb(method, path) == "get" && subresources.contains(&"proxy") { answer } else { 403 };
        assert_eq!(ask(&plane.credentials("reader", None)?)?.0, wanted, "{method} {path} by reader");
        assert_eq!(ask(&own)?.0, answer, "{method} {path}");
    }

    // A token does as well, beside a certificate that is worth nothing too.
    plane.kubectl(&["create", "serviceaccount", "measurer"])?;
    let token = plane.kubectl(&["create", "token", "measurer"])?;
    let (known, both) =
        (Credentials::token(token.trim()), plane.foreign_credentials(admin, None)?.and_token(token.trim()));
    for who in [&known, &both] {
        let (status, said) = cluster.ask_port(who, ("GET", "/statusz"))?;
        assert!(status == 403 && said.contains("user=system:serviceaccount:default:measurer"), "{said}");
    }
    plane.kubectl(&["create", "serviceaccount", "pods-reader"])?;
    plane.kubectl(&[
        "create",
        "clusterrolebinding",
        "pods-reader",
        "--clusterrole=only-pods",
        "--serviceaccount=default:pods-reader",
    ])?;
    let token = plane.kubectl(&["create", "token", "pods-reader"])?;
    let (status, pods) = cluster.ask_port(&Credentials::token(token.trim()), ("GET", "/pods"))?;
    let pods: Value = serde_json::from_str(&pods)?;
    assert_eq!(
        (status, &pods["kind"], &pods["items"][0]["metadata"]["name"]),
        (200, &json!("PodList"), &json!("calm"))
    );
    assert_eq!(pods["items"][0]["status"]["phase"], "Running");
    assert!(!cluster.bridge.log().contains(token.trim()), "no token is in a log");

    // By the API server's proxy as well.
    let configuration: Value =
        serde_json::from_str(&plane.kubectl(&["get", "--raw", "/api/v1/nodes/host-1/proxy/configz"])?)?;
    assert_eq!(configuration["kubeletconfig"]["authentication"]["anonymous"]["enabled"], false);
    assert_eq!(plane.kubectl(&["get", "--raw", "/api/v1/nodes/host-1/proxy/healthz"])?, "ok");

    // And by kubectl's.
    let mut proxy = plane.command(plane.admin(), &["proxy", "--port=0"])?;
    let mut proxy = Owned::spawn(proxy.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut said = String::new();
    BufReader::new(proxy.stdout().ok_or("no output")?).read_line(&mut said)?;
    let address = said.trim().strip_prefix("Starting to serve on ").ok_or_else(|| said.clone())?;
    let mut connection = TcpStream::connect(address)?;
    let question = "GET /api/v1/nodes/host-1/proxy/containerLogs/default/calm/main HTTP/1.0\r\nHost: localhost\r\n\r\n";
    connection.write_all(question.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    Ok(())
}

#[test]
fn another_authority_of_clients_is_taken_from_its_file_and_a_broken_one_is_not() -> Result {
    let scratch = Scratch::new()?;
    let file = scratch.join("clients.crt");
    std::fs::write(&file, rcgen::generate_simple_self_signed(["nobody".to_owned()])?.cert.pem())?;
    let option = format!("--client-ca-file={}", file.display());
    let cluster = Joined::of(Built::here()?, &Recipe::default(), "", &[&option])?;
    cluster.approve_serving_certificate()?;
    let plane = &cluster.plane;
    let (admin, health) = ("kube-apiserver-kubelet-client", ("GET", "/healthz"));
    let (own, foreign) = (plane.credentials(admin, None)?, plane.foreign_credentials(admin, None)?);
    let knows = |who: &Credentials| cluster.ask_port(who, health).is_ok_and(|(status, _)| status != 401);
    let until = |what: &str, holds: &dyn Fn() -> bool| cluster.until(what, |_| holds().then_some(()));
    assert!(!knows(&own) && !knows(&foreign), "the authority has signed neither");

    std::fs::write(&file, plane.ca())?;
    until("the cluster's clients to be known", &|| knows(&own) && !knows(&foreign))?;
    std::fs::write(&file, plane.foreign_ca())?;
    until("the others' clients to be known", &|| !knows(&own) && knows(&foreign))?;
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")?;
    until("the broken file to be said", &|| cluster.bridge.log().contains("the one before is asked"))?;
    assert!(!knows(&own) && knows(&foreign));
    std::fs::remove_file(&file)?;
    until("the missing file to be said", &|| cluster.bridge.log().contains("stays as it was"))?;
    assert!(!knows(&own) && knows(&foreign));
    Ok(())
}
