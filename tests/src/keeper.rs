//! A service that must be alone in its directory: a preset for tests, and pods of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::host::{Host, HostError};
use crate::pods;

/// Runs the line of shell that its container's environment has, or idles until it is told to end.
const PRESET: &str = r#"
apiVersion: barepod.dev/v1alpha1
kind: Preset
name: keeper
images: [keeper]
user: {name: nobody}
env:
  PATH: /usr/bin:/bin
  SCRIPT: "trap 'exit 0' TERM INT; sleep 1000000 & wait"
service:
  argv: [sh, -c, 'eval "$SCRIPT"']
  dataPaths: [/dir]
"#;

/// Makes the preset known to a host whose daemon has not been started, with this at the end of its service.
///
/// # Errors
/// It cannot be written.
pub fn install(host: &Host, more: &str) -> Result<(), HostError> {
    let presets = host.path("etc/barepod/presets");
    std::fs::create_dir_all(&presets)?;
    Ok(std::fs::write(presets.join("keeper.yaml"), format!("{PRESET}{more}"))?)
}

/// A pod of it that idles with its data in this directory of the host.
pub fn pod(name: &str, directory: &Path) -> Value {
    pods::with_directory(pods::pod(name, [json!({"name": "main", "image": "keeper"})]), directory, "/dir")
}

/// The same that runs a line of shell.
pub fn running(name: &str, script: &str, directory: &Path) -> Value {
    let mut pod = pod(name, directory);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "SCRIPT", "value": script}]);
    pod
}
