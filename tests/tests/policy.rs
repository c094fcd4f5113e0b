//! The host administrator's policy: what it does not allow changes nothing, and what runs is none of its business.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use barepod_tests::host::{ALLOW_ALL, Host, SOON, alive};
use barepod_tests::pods;
use barepod_tests::programs;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A user who is not root, with a group of that number (Debian's `nobody` and `nogroup`).
const NOBODY: u32 = 65_534;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A pod that asks for a power which the built-in policy does not grant.
fn as_root(name: &str) -> Value {
    let mut pod = pods::idle(name);
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    pod
}

/// Writes a manifest and gives its path as an argument.
fn file(host: &Host, name: &str, manifest: &Value) -> Result<String> {
    let path = host.path(&format!("{name}.json"));
    std::fs::write(&path, manifest.to_string())?;
    Ok(path.display().to_string())
}

/// Applies what must be denied; what is said about it.
fn denied(host: &Host, manifest: &Value) -> Result<String> {
    let path = file(host, "denied", manifest)?;
    let output = host.run(&["apply", "-f", &path])?;
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("[Forbidden]"), "{said}");
    Ok(said)
}

fn entries(host: &Host, directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(host.path(directory)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The first YAML block of the README below this heading.
fn readme(heading: &str) -> Result<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))?;
    let section = text.split_once(heading).ok_or("no such heading")?.1;
    Ok(section.split("```").nth(1).and_then(|block| block.strip_prefix("yaml\n")).ok_or("no such block")?.to_owned())
}

#[test]
fn without_a_file_the_first_pod_of_the_readme_runs_and_root_does_not() -> Result {
    let mut host = Host::new("")?;
    host.set_policy(None)?;
    host.start()?;
    host.apply("hello", &readme("## A first pod")?)?;
    host.running("hello")?;
    let said = denied(&host, &as_root("root"))?;
    assert!(said.contains("allow.users: [root]") && said.contains("built-in policy"), "{said}");
    let said = denied(&host, &pods::with_directory(pods::idle("path"), &host.path("etc"), "/etc/x"))?;
    assert!(said.contains("allow.hostPaths"), "{said}");
    assert_eq!(host.barepod(&["policy", "show"])?, include_str!("../../configs/policy.yaml"));
    Ok(())
}

#[test]
fn a_denied_pod_leaves_no_trace() -> Result {
    let mut host = Host::new("")?;
    host.set_policy(None)?;
    host.start()?;
    denied(&host, &as_root("db"))?;
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "");
    for directory in ["etc/barepod/manifests", "var/lib/barepod/ledger", "var/lib/barepod/pods", "var/log/containers"] {
        assert_eq!(entries(&host, directory), Vec::<PathBuf>::new(), "{directory}");
    }
    let path = file(&host, "trial", &as_root("db"))?;
    let output = host.run(&["apply", "--dry-run", "-f", &path])?;
    assert!(!output.status.success() && stderr(&output).contains("[Forbidden]"), "a trial tells it too");
    Ok(())
}

#[test]
fn a_denied_change_leaves_pod_and_manifest_as_they_are() -> Result {
    let mut host = Host::new("")?;
    host.set_policy(None)?;
    host.start()?;
    host.apply_object(&pods::idle("db"))?;
    let pid = host.running("db")?;
    let before = (host.pod("db")?, std::fs::read_to_string(host.manifest("db"))?);
    denied(&host, &as_root("db"))?;
    assert_eq!((host.pod("db")?, std::fs::read_to_string(host.manifest("db"))?), before);
    assert_eq!(host.pid("db"), Some(pid));
    // The same by hand in the file: the pod runs on, and whoever looks at it is told.
    std::fs::write(host.manifest("db"), as_root("db").to_string())?;
    host.until("the pod's events to tell", SOON, |host| {
        host.barepod(&["describe", "db"]).ok()?.contains("Forbidden").then_some(())
    })?;
    assert_eq!(host.pid("db"), Some(pid));
    Ok(())
}

#[test]
fn another_policy_is_for_what_is_new_and_running_pods_are_left_alone() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&as_root("db"))?;
    let pid = host.running("db")?;
    host.set_policy(Some(include_str!("../../configs/policy.yaml")))?;
    host.said("a new policy is in force")?;
    denied(&host, &as_root("new"))?;
    assert_eq!(host.barepod(&["apply", "-f", &file(&host, "same", &as_root("db"))?])?, "pod/db unchanged\n");
    host.kill_daemon()?;
    host.start()?;
    assert_eq!(host.running("db")?, pid, "nor does the next daemon ask about it");
    assert!(alive(pid));
    host.set_policy(Some(ALLOW_ALL))?;
    host.until("the new pod to be allowed", SOON, |host| host.apply_object(&as_root("new")).ok())?;
    Ok(())
}

#[test]
fn a_broken_or_missing_policy_keeps_the_last_good_one_and_is_shown() -> Result {
    let host = Host::started("")?;
    host.apply_object(&as_root("db"))?;
    let pid = host.running("db")?;
    host.set_policy(Some("apiVersion: barepod.dev/v1alpha1\nkind: Policy\nrules:\n  - name: x\n    verb: [get]\n"))?;
    host.said("policy.yaml:5:5: unknown field `verb`")?;
    host.apply_object(&as_root("still-allowed"))?;
    let output = host.run(&["policy", "show"])?;
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ALLOW_ALL));
    assert!(stderr(&output).contains("policy.yaml:5:5"), "{}", stderr(&output));
    host.set_policy(None)?;
    host.said("is gone; the last good one holds")?;
    host.apply_object(&as_root("allowed-as-well"))?;
    host.set_policy(Some(ALLOW_ALL))?;
    host.said("the policy file is sound again")?;
    std::fs::set_permissions(host.path("etc/barepod/policy.yaml"), PermissionsExt::from_mode(0o666))?;
    host.said("may be written by others than root")?;
    assert_eq!(stdout(&host.run(&["policy", "show"])?), ALLOW_ALL);
    assert_eq!(host.pid("db"), Some(pid));
    Ok(())
}

#[test]
fn a_policy_that_is_broken_at_the_start_allows_nothing_new_and_stops_nothing() -> Result {
    let mut host = Host::started("")?;
    host.apply_object(&as_root("db"))?;
    let pid = host.running("db")?;
    host.kill_daemon()?;
    host.set_policy(Some("rules: [\n"))?;
    host.start()?;
    assert_eq!(host.running("db")?, pid);
    let said = denied(&host, &pods::idle("new"))?;
    assert!(said.contains("policy.yaml:1:8"), "{said}");
    host.set_policy(Some(ALLOW_ALL))?;
    host.until("the new pod to be allowed", SOON, |host| host.apply_object(&pods::idle("new")).ok())?;
    assert_eq!(host.pid("db"), Some(pid));
    Ok(())
}

#[test]
fn a_denied_file_is_tried_again_when_another_policy_allows_it() -> Result {
    let mut host = Host::new("")?;
    host.set_policy(None)?;
    host.start()?;
    std::fs::write(host.path("etc/barepod/manifests/db.yaml"), as_root("db").to_string())?;
    host.said("does not allow to apply pod default/db")?;
    assert!(host.pod("db").is_err());
    host.set_policy(Some(ALLOW_ALL))?;
    host.running("db")?;
    Ok(())
}

// ---- users ----

/// Rules for a user in the namespace `shop`.
fn shop(verbs: &str, commands: &str) -> String {
    let rule = format!(
        "  - name: shop\n    subjects: {{sources: [file], namespaces: [shop], users: [{NOBODY}]}}\n    verbs: {verbs}\n    \
         allow: {{presets: [host], commands: {commands}, users: [preset], seccompProfiles: [Unconfined]}}\n"
    );
    format!("{ALLOW_ALL}{rule}").replace("users: [\"*\"]}", "users: [root]}")
}

/// A host whose socket that user may use, and a copy of the command line that it can reach.
fn host_for_nobody(policy: &str) -> Result<Host> {
    let group = nix::unistd::Group::from_gid(NOBODY.into())?.ok_or("no group of that number")?;
    let mut host = Host::new(&format!("socketGroup: {}\n", group.name))?;
    host.set_policy(Some(policy))?;
    std::fs::copy(programs::host("barepod")?, host.path("barepod"))?;
    host.start()?;
    Ok(host)
}

fn as_nobody(host: &Host, args: &[&str]) -> Result<Output> {
    let mut command = Command::new(host.path("barepod"));
    command.arg("--socket").arg(host.path("run/barepod/barepod.sock")).args(args).stdin(Stdio::null());
    Ok(command.current_dir("/").uid(NOBODY).gid(NOBODY).output()?)
}

fn in_shop(mut pod: Value) -> Value {
    pod["metadata"]["namespace"] = json!("shop");
    pod
}

#[test]
fn a_user_does_at_the_socket_what_its_rules_say() -> Result {
    let host = host_for_nobody(&shop("[get, exec]", "[id]"))?;
    host.apply_object(&pods::idle("hidden"))?;
    host.apply_object(&in_shop(pods::idle("db")))?;
    host.until("the pod to be ready", SOON, |host| {
        host.barepod(&["-n", "shop", "get", "pod", "db"]).ok()?.contains("Running").then_some(())
    })?;
    let seen = as_nobody(&host, &["get", "pods", "-A", "-o", "name"])?;
    assert_eq!(stdout(&seen), "pod/db\n", "{}", stderr(&seen));
    let events = stdout(&as_nobody(&host, &["events", "-A"])?);
    assert!(events.contains("db") && !events.contains("hidden"), "{events}");
    let id = as_nobody(&host, &["-n", "shop", "exec", "db", "--", "id", "-u"])?;
    assert!(id.status.success(), "{}", stderr(&id));
    for refused in [
        &["-n", "shop", "exec", "db", "--", "sh", "-c", "id"][..],
        &["-n", "shop", "exec", "db", "--", "/usr/bin/id"],
        &["exec", "hidden", "--", "id"],
        &["-n", "shop", "logs", "db"],
        &["-n", "shop", "restart", "db"],
        &["-n", "shop", "delete", "db"],
        &["delete", "hidden"],
    ] {
        let output = as_nobody(&host, refused)?;
        assert!(!output.status.success() && stderr(&output).contains("[Forbidden]"), "{refused:?}: {output:?}");
    }
    host.barepod(&["exec", "hidden", "--", "sh", "-c", "true"])?;
    Ok(())
}

#[test]
fn who_applied_a_pod_is_asked_about_whenever_its_file_is_read() -> Result {
    let mut host = host_for_nobody(&shop("[get, apply]", "[\"*\"]"))?;
    let (mine, foreign) =
        (file(&host, "mine", &in_shop(pods::idle("db")))?, file(&host, "foreign", &pods::idle("db"))?);
    let output = as_nobody(&host, &["apply", "-f", &foreign])?;
    assert!(stderr(&output).contains("[Forbidden]"), "another namespace: {output:?}");
    let output = as_nobody(&host, &["apply", "-f", &mine])?;
    assert!(output.status.success(), "{}", stderr(&output));
    let saved = host.path("etc/barepod/manifests/shop_db.yaml");
    assert_eq!(std::fs::metadata(&saved)?.uid(), NOBODY);
    // Root could do this; the file's owner may not.
    host.stop_daemon()?;
    let mut more = in_shop(pods::idle("other"));
    more["spec"]["securityContext"] = json!({"runAsUser": 0});
    let bold = host.path("etc/barepod/manifests/bold.yaml");
    std::fs::write(&bold, more.to_string())?;
    std::os::unix::fs::chown(&bold, Some(NOBODY), None)?;
    host.start()?;
    host.said("does not allow to apply pod shop/other")?;
    Ok(())
}

#[test]
fn objects_need_a_rule_about_their_namespace() -> Result {
    let host = host_for_nobody(&shop("[get, apply]", "[\"*\"]"))?;
    let map = |namespace: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": namespace}, "data": {"a": "b"}});
    let (mine, foreign) = (file(&host, "mine", &map("shop"))?, file(&host, "foreign", &map("default"))?);
    let output = as_nobody(&host, &["apply", "-f", &mine])?;
    assert!(output.status.success(), "{}", stderr(&output));
    let output = as_nobody(&host, &["apply", "-f", &foreign])?;
    assert!(stderr(&output).contains("[Forbidden]"), "{output:?}");
    let names: Vec<_> = entries(&host, "etc/barepod/manifests");
    assert_eq!(names.len(), 1, "{names:?}");
    Ok(())
}

// ---- barepod policy check ----

#[test]
fn a_check_explains_rule_by_rule_with_and_without_the_daemon() -> Result {
    let mut host = Host::new("")?;
    host.set_policy(None)?;
    host.start()?;
    let policy = host.path("other.yaml").display().to_string();
    std::fs::write(&policy, ALLOW_ALL)?;
    let (good, bad) = (file(&host, "good", &pods::idle("good"))?, file(&host, "bad", &as_root("bad"))?);
    let broken = file(&host, "broken", &json!({"kind": "Pod"}))?;
    let check = |args: &[&str]| -> Result<(Option<i32>, String)> {
        let output = host.run(&[&["policy", "check"], args].concat())?;
        Ok((output.status.code(), stdout(&output) + &stderr(&output)))
    };
    for offline in [&[][..], &["--offline", "--as-user", "root", "--policy", "configs.yaml"]] {
        // Offline the host's own policy would be another one: this is the built-in one as a file.
        std::fs::write(host.path("configs.yaml"), include_str!("../../configs/policy.yaml"))?;
        let path = host.path("configs.yaml").display().to_string();
        let offline: Vec<&str> = offline.iter().map(|arg| if *arg == "configs.yaml" { &path } else { *arg }).collect();
        let with = |file: &str| check(&[&offline[..], &[file]].concat());
        let (code, text) = with(&good)?;
        assert!(code == Some(0) && text.contains("allowed by rule \"presets\""), "{code:?}: {text}");
        let (code, text) = with(&bad)?;
        assert!(
            code == Some(1) && text.contains("- spec.containers[0].securityContext.runAsUser: user root"),
            "{text}"
        );
        let (code, text) = with(&broken)?;
        assert_eq!(code, Some(3), "{text}");
    }
    assert_eq!(check(&["--policy", &policy, &bad])?.0, Some(0));
    assert_eq!(check(&["--policy", &bad])?.0, Some(3), "a manifest is no policy");
    assert_eq!(check(&["--as-user", "nobody", &good])?.0, Some(1));
    assert_eq!(check(&["--as-source", "kubernetes", &good])?.0, Some(1));
    assert_eq!(check(&["--as-source", "elsewhere", &good])?.0, Some(2));
    let json: Value = serde_json::from_str(&stdout(&host.run(&["policy", "check", "-o", "json", &bad])?))?;
    assert_eq!(json[0]["allowedBy"], Value::Null);
    assert_eq!(json[0]["rules"][0]["rule"], "presets");
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "", "a check changes nothing");
    Ok(())
}
