//! What cannot be started says so with Kubernetes' reasons, and a corrected manifest is all it takes.

use barepod_tests::host::{Host, alive};
use barepod_tests::pods::{self, IDLE};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Applied, waits with `reason` and `message` in `get` and `describe`; then the sound one runs at once.
fn fails_then_runs(broken: &Value, reason: &str, message: &str) -> Result {
    let host = Host::started("")?;
    let name = broken["metadata"]["name"].as_str().ok_or("no name")?;
    host.apply_object(broken)?;
    host.until(format!("{name} to be {reason}"), barepod_tests::host::SOON, |host| {
        host.barepod(&["get", "pods"]).ok()?.contains(reason).then_some(())
    })?;
    let text = host.barepod(&["describe", name])?;
    assert!(text.contains(reason) && text.contains(message), "{text}");
    assert!(host.pid(name).is_none());
    let daemon = host.daemon_pid();

    host.apply_object(&pods::idle(name))?;
    host.running(name)?;
    assert_eq!(host.daemon_pid(), daemon);
    assert!(daemon.is_some_and(alive));
    Ok(())
}

fn with(field: &str, value: Value) -> Value {
    let mut pod = pods::idle("pod");
    pod["spec"]["containers"][0][field] = value;
    pod
}

#[test]
fn a_missing_executable_is_a_start_error() -> Result {
    fails_then_runs(&with("command", json!(["/no/such/program"])), "StartError", "executable file not found")
}

#[test]
fn a_file_that_may_not_be_executed_is_a_start_error() -> Result {
    fails_then_runs(&with("command", json!(["/etc/passwd"])), "StartError", "permission denied")
}

#[test]
fn a_missing_working_directory_is_a_start_error() -> Result {
    fails_then_runs(&with("workingDir", json!("/no/such/directory")), "StartError", "/no/such/directory")
}

#[test]
fn a_missing_host_directory_is_an_error_of_the_pod() -> Result {
    let pod = pods::with_directory(pods::idle("pod"), "/no/such/directory".as_ref(), "/dir");
    fails_then_runs(&pod, "CreatePodError", "/no/such/directory")
}

#[test]
fn a_host_directory_that_is_made_later_is_all_it_takes() -> Result {
    let host = Host::started("")?;
    let directory = host.path("later");
    host.apply_object(&pods::with_directory(pods::idle("pod"), &directory, "/dir"))?;
    host.reason("pod", "CreatePodError")?;
    std::fs::create_dir(&directory)?;
    host.running("pod")?;
    Ok(())
}

/// Refused before anything is accepted, by the command and, from a file, in the log; then the sound one runs.
fn refused_then_runs(image: &str, reason: &str, hint: &str) -> Result {
    let host = Host::started("")?;
    let broken = with("image", json!(image));
    let refused = host.apply_object(&broken).map_err(|error| error.to_string());
    assert!(refused.clone().is_err_and(|error| error.contains(reason) && error.contains(hint)), "{refused:?}");
    std::fs::write(host.manifest("pod"), broken.to_string())?;
    host.said(reason)?;
    assert_eq!(host.barepod(&["get", "pods", "-o", "name"])?, "");

    host.apply_object(&pods::idle("pod"))?;
    host.running("pod")?;
    Ok(())
}

#[test]
fn an_image_without_a_preset_is_refused() -> Result {
    refused_then_runs("no-such-image:1", "ImagePullBackOff", "no-such-image")
}

#[test]
fn a_version_that_is_not_installed_is_refused_with_the_package_to_install() -> Result {
    refused_then_runs("postgres:11", "VersionNotInstalled", "postgresql-11")
}

#[test]
fn a_user_needs_no_account() -> Result {
    let host = Host::started("")?;
    let mut pod = pods::shell("pod", &format!("id -u; {IDLE}"));
    pod["spec"]["securityContext"] = json!({"runAsUser": 54321});
    host.apply_object(&pod)?;
    host.running("pod")?;
    host.until("its words", barepod_tests::host::SOON, |host| {
        (host.barepod(&["logs", "pod"]).ok()? == "54321\n").then_some(())
    })?;
    Ok(())
}
