//! Small pods to be run by the tests: host programs, most of them a line of shell.

use serde_json::{Value, json};

/// Runs until SIGTERM, then ends with 0. (The first process of a PID namespace is not ended by a signal it does not
/// handle.)
pub const IDLE: &str = "trap 'exit 0' TERM; sleep 1000000 & wait";

/// A container that runs a line of shell.
pub fn sh(name: &str, script: &str) -> Value {
    json!({"name": name, "image": "host", "command": ["sh", "-c", script]})
}

/// A pod of these containers, with a grace that no test has to wait for.
pub fn pod(name: &str, containers: impl IntoIterator<Item = Value>) -> Value {
    let containers: Vec<Value> = containers.into_iter().collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 20, "containers": containers},
    })
}

/// A pod of one container, `main`, that runs a line of shell.
pub fn shell(name: &str, script: &str) -> Value {
    pod(name, [sh("main", script)])
}

/// A pod that runs until it is told to end.
pub fn idle(name: &str) -> Value {
    shell(name, IDLE)
}

/// The same pod with a directory of the host as a volume in every container.
#[must_use]
pub fn with_directory(mut pod: Value, host: &std::path::Path, inside: &str) -> Value {
    pod["spec"]["volumes"] = json!([{"name": "dir", "hostPath": {"path": host, "type": "Directory"}}]);
    for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
        container["volumeMounts"] = json!([{"name": "dir", "mountPath": inside}]);
    }
    pod
}
