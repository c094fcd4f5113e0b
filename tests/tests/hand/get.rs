//! `barepod get`, and what else takes selectors.

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods::{self, IDLE, sh};
use serde_json::{Value, json};

use crate::Result;

fn labelled(name: &str, labels: Value) -> Value {
    let mut pod = pods::shell(name, &format!("echo {name} begins; {IDLE}"));
    pod["metadata"]["labels"] = labels;
    pod
}

/// Three pods: a database, a web server, and one that says nothing of itself.
fn host() -> Result<Host> {
    let host = Host::started("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    for (name, labels) in [
        ("db", json!({"app": "db", "tier": "gold"})),
        ("web-10", json!({"app": "web"})),
        ("web-9", json!({"app": "web", "canary": ""})),
    ] {
        host.apply_object(&labelled(name, labels))?;
        host.ready(name)?;
    }
    Ok(host)
}

#[test]
fn pods_are_selected_sorted_and_shown_as_kubectl_does() -> Result {
    let host = host()?;
    let get = |args: &[&str]| host.barepod(&[&["get", "pods"], args].concat());
    for (args, names) in [
        (&["-l", "app=web"][..], "pod/web-10\npod/web-9\n"),
        (&["-l", "app in (db, x),tier"], "pod/db\n"),
        (&["-l", "!tier,canary!=yes"], "pod/web-10\npod/web-9\n"),
        (&["--selector=app notin (web)"], "pod/db\n"),
        (&["--field-selector", "metadata.name!=db,status.phase=Running"], "pod/web-10\npod/web-9\n"),
        (&["-l", "app=web", "--field-selector=metadata.name=web-9"], "pod/web-9\n"),
        (&["--sort-by", "{.metadata.name}"], "pod/db\npod/web-9\npod/web-10\n"),
        (&["web-9", "db"], "pod/db\npod/web-9\n"),
    ] {
        assert_eq!(get(&[args, &["-o", "name"]].concat())?, names, "{args:?}");
    }
    let template =
        r#"jsonpath={range .items[?(@.metadata.labels.app=="web")]}{.metadata.name}={.status.phase}{"\n"}{end}"#;
    assert_eq!(get(&["-o", template])?, "web-10=Running\nweb-9=Running\n");
    assert_eq!(get(&["db", "-o", "jsonpath={.metadata.labels.tier}"])?, "gold");
    let columns = ["-o", "custom-columns=NAME:.metadata.name,TIER:.metadata.labels.tier", "--sort-by=.metadata.name"];
    assert_eq!(get(&columns)?, "NAME     TIER\ndb       gold\nweb-9    <none>\nweb-10   <none>\n");
    let table = get(&["--no-headers", "--show-labels", "-l", "tier"])?;
    assert!(table.starts_with("db ") && table.ends_with("app=db,tier=gold\n"), "{table}");

    let none = host.run(&["get", "pods", "-l", "app=nothing"])?;
    assert_eq!((none.status.success(), none.stdout.len()), (true, 0));
    assert_eq!(String::from_utf8(none.stderr)?, "No such pods in namespace default.\n");
    let partly = host.run(&["get", "pods", "db", "nobody", "-o", "name"])?;
    assert_eq!((partly.status.code(), partly.stdout.as_slice()), (Some(1), &b"pod/db\n"[..]));
    assert!(String::from_utf8(partly.stderr)?.contains("there is no pod nobody"));
    let wrong = host.run(&["get", "pods", "--sort-by=.metadata.nmae"])?;
    assert!(String::from_utf8(wrong.stderr)?.contains("nothing of these has a field .metadata.nmae"));
    Ok(())
}

#[test]
fn what_is_done_to_one_pod_is_done_to_those_that_are_selected() -> Result {
    let host = host()?;
    let described = host.barepod(&["describe", "pods", "-l", "app=web"])?;
    assert_eq!(described.lines().filter(|line| line.starts_with("Name:")).count(), 2, "{described}");
    let mut logs = host.barepod(&["logs", "-l", "app=web", "--prefix"])?.lines().map(str::to_owned).collect::<Vec<_>>();
    logs.sort();
    assert_eq!(logs, ["[pod/web-10/main] web-10 begins", "[pod/web-9/main] web-9 begins"]);
    let top = host.barepod(&["top", "--once", "--interval", "0.1", "-l", "app=db"])?;
    assert!(top.contains("db ") && !top.contains("web-"), "{top}");
    let before = [host.pid("web-9"), host.pid("db")];
    assert_eq!(host.barepod(&["restart", "-l", "canary"])?, "pod/web-9 restarted\n");
    host.until("another process", SOON, |host| host.pid("web-9").filter(|now| Some(*now) != before[0]))?;
    assert_eq!(host.pid("db"), before[1]);
    assert_eq!(host.barepod(&["stop", "-l", "app=web"])?, "pod/web-10 stopped\npod/web-9 stopped\n");
    let started = host.barepod(&["start", "--field-selector=metadata.name=web-9"])?;
    assert_eq!(started, "pod/web-9 started\npod/web-9 ready\n");
    assert_eq!(host.barepod(&["delete", "pods", "-l", "app in (web)"])?, "pod/web-10 deleted\npod/web-9 deleted\n");
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "pod/db\n");
    assert_eq!(host.barepod(&["delete", "pods", "--all"])?, "pod/db deleted\n");
    Ok(())
}

#[test]
fn the_logs_of_all_containers_come_with_whose_they_are() -> Result {
    let host = Host::started("")?;
    let lasting = sh("a", &format!("echo a one; echo a two; {IDLE}"));
    let mut pod = pods::pod("pod", [lasting, sh("b", "echo b one; printf 'b two'")]);
    pod["spec"]["restartPolicy"] = json!("Never");
    host.apply_object(&pod)?;
    let all = "[pod/pod/a] a one\n[pod/pod/a] a two\n[pod/pod/b] b one\n[pod/pod/b] b two\n";
    host.until("all lines", SOON, |host| {
        (host.barepod(&["logs", "pod", "--all-containers", "--prefix"]).ok()? == all).then_some(())
    })?;
    let last = host.barepod(&["logs", "pod", "--all-containers", "--tail=1"])?;
    assert_eq!(last, "a two\nb two\n", "a line without an end is a line");
    Ok(())
}

#[test]
fn events_volumes_and_presets_are_shown_as_pods_are() -> Result {
    let mut host = Host::new("")?;
    let presets = host.path("etc/barepod/presets");
    std::fs::create_dir_all(&presets)?;
    host.start()?;
    let mut pod = pods::idle("db");
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "db-data"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    host.apply_object(&pod)?;
    host.ready("db")?;

    let get = |args: &[&str]| host.barepod(&[&["get"], args].concat());
    let events = get(&["events", "--field-selector", "involvedObject.name=db,reason=Started"])?;
    let words: Vec<_> = events.lines().nth(1).unwrap_or_default().split_whitespace().skip(1).take(3).collect();
    assert!(events.starts_with("LAST SEEN   TYPE") && words == ["Normal", "Started", "pod/db"], "{events}");
    let reasons = get(&["events", "-o", "jsonpath={.items[*].reason}"])?;
    assert!(reasons.contains("Started"), "{reasons}");
    let warnings = host.barepod(&["events", "--types", "warning"])?;
    assert!(!warnings.contains("Started"), "{warnings}");

    assert_eq!(get(&["pvc", "-o", "name"])?, "volume/db-data\n");
    let path = host.path("var/lib/barepod/volumes/default/db-data").display().to_string();
    assert_eq!(get(&["volume", "db-data", "-o", "jsonpath={.path} {.pods[*]}"])?, format!("{path} db"));
    let wide = get(&["volumes", "-A", "-o", "wide"])?;
    assert!(wide.starts_with("NAMESPACE   NAME") && wide.contains("USED") && wide.contains(&path), "{wide}");
    host.barepod(&["delete", "db"])?;
    let left = get(&["volumes", "--no-headers"])?;
    assert!(left.contains("db-data") && left.contains("<none>"), "what a pod leaves is shown: {left}");

    let config = host.path("etc/barepod").display().to_string();
    host.barepod(&["preset", "new", "my-db", "--config", &config])?;
    host.barepod(&["preset", "validate", "--config", &config])?;
    let again = host.run(&["preset", "new", "my-db", "--config", &config])?;
    assert!(!again.status.success() && String::from_utf8(again.stderr)?.contains("already"));
    host.kill_daemon()?;
    let shown = host.barepod(&["get", "presets", "my-db", "postgresql", "--config", &config, "-o", "name"])?;
    assert_eq!(shown, "preset/my-db\npreset/postgresql\n");
    Ok(())
}
