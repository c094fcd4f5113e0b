//! What of the host is in a task's pod: the allocation's own directories, volumes of its job, what devices bring, and what its
//! `config` says. Each is a hostPath, which the host's policy is asked about.

use std::path::Path;

use serde_json::{Value, json};

use crate::config::Config;
use crate::wire::driver::TaskConfig;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bind {
    host: String,
    inside: String,
    read_only: bool,
    propagation: Option<&'static str>,
    /// `hostPath.type`.
    kind: &'static str,
}

/// A mount that cannot be made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("config.volumes has {0:?}: write HOST:INSIDE or HOST:INSIDE:ro, with absolute paths")]
    Written(String),
    #[error("the mount of {path} asks for the propagation {mode:?}: use private, host-to-task or bidirectional")]
    Propagation { path: String, mode: String },
}

/// All of a task's, parents first where one lies in another.
pub(crate) fn of_task(task: &TaskConfig, config: &Config) -> Result<Vec<Bind>, VolumeError> {
    let mut binds = if config.alloc_dirs { own(task) } else { Vec::new() };
    for mount in &task.mounts {
        binds.push(Bind {
            host: mount.host_path.clone(),
            inside: mount.task_path.clone(),
            read_only: mount.readonly,
            propagation: propagation(&mount.task_path, &mount.propagation_mode)?,
            kind: "",
        });
    }
    for device in &task.devices {
        binds.push(Bind {
            host: device.host_path.clone(),
            inside: device.task_path.clone(),
            read_only: false,
            propagation: None,
            kind: "CharDevice",
        });
    }
    for written in &config.volumes {
        binds.push(parse(written).ok_or_else(|| VolumeError::Written(written.clone()))?);
    }
    binds.sort_by(|one, other| one.inside.cmp(&other.inside));
    Ok(binds)
}

/// Where the task's variables say that they are: at the same paths as on the host.
fn own(task: &TaskConfig) -> Vec<Bind> {
    let allocation = Path::new(&task.alloc_dir);
    let shared = [allocation.join("alloc")];
    let private = ["local", "secrets"].map(|name| allocation.join(&task.name).join(name));
    let bind = |path: &std::path::PathBuf| Bind {
        host: path.display().to_string(),
        inside: path.display().to_string(),
        read_only: false,
        propagation: None,
        kind: "Directory",
    };
    shared.iter().chain(&private).map(bind).collect()
}

fn propagation(path: &str, mode: &str) -> Result<Option<&'static str>, VolumeError> {
    match mode {
        "" | "private" => Ok(None),
        "host-to-task" => Ok(Some("HostToContainer")),
        "bidirectional" => Ok(Some("Bidirectional")),
        _ => Err(VolumeError::Propagation { path: path.to_owned(), mode: mode.to_owned() }),
    }
}

fn parse(written: &str) -> Option<Bind> {
    let mut parts = written.split(':');
    let (host, inside) = (parts.next()?, parts.next()?);
    let read_only = match (parts.next(), parts.next()) {
        (None, None) => false,
        (Some("ro"), None) => true,
        (Some("rw"), None) => false,
        _ => return None,
    };
    let absolute = host.starts_with('/') && inside.starts_with('/');
    let bind = Bind { host: host.to_owned(), inside: inside.to_owned(), read_only, propagation: None, kind: "" };
    absolute.then_some(bind)
}

/// The number-th one as a volume and its mount.
pub(crate) fn as_manifest(number: usize, bind: &Bind) -> (Value, Value) {
    let name = format!("nomad-{number}");
    let volume = json!({"name": name, "hostPath": {"path": bind.host, "type": bind.kind}});
    let mut mount = json!({"name": name, "mountPath": bind.inside, "readOnly": bind.read_only});
    if let Some(propagation) = bind.propagation {
        mount["mountPropagation"] = json!(propagation);
    }
    (volume, mount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_two_absolute_paths_and_perhaps_a_word() {
        let bind = parse("/srv/pg:/data:ro").unwrap();
        assert_eq!((bind.host.as_str(), bind.inside.as_str(), bind.read_only), ("/srv/pg", "/data", true));
        assert!(!parse("/srv/pg:/data").unwrap().read_only);
        for wrong in ["/srv/pg", "srv:/data", "/srv:data", "/a:/b:maybe", "/a:/b:ro:ro"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
