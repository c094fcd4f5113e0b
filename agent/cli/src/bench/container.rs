//! A task in a container as others make one: by an OCI runtime, crun or runc, which podman and Docker call too.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::ground::{Ground, INSIDE};
use super::process::Group;
use super::task::Task;
use super::tools::PATH;

/// How a container has its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// As a volume: a bind mount.
    Bind,
    /// In the upper layer of its overlay.
    Upper,
    /// In the lower layer of its overlay, as what an image brings along.
    Lower,
}

/// A runtime.
#[derive(Debug, Clone)]
pub(super) struct Runtime(pub(super) PathBuf);

impl Runtime {
    /// `runc`.
    pub(super) fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Runs a task to its end.
    pub(super) async fn run(&self, ground: &Ground, data: Data, task: &Task) -> Result<()> {
        let bundle = ground.fresh("bundle")?;
        let root = bundle.join("root");
        let mut mounts = root_directory(&root)?;
        mounts.extend(places(ground, data)?);
        let configuration = configuration(ground, task, &mounts);
        fs_err::write(bundle.join("config.json"), serde_json::to_vec(&configuration)?)?;
        let container = Container { runtime: &self.0, state: ground.path().join("state") };
        let said = bundle.join("said");
        let mut command = container.command(&["run", "--bundle"]);
        command.arg(&bundle).arg(container.id());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs_err::File::create(&said)?.into_parts().0);
        let status = Group::start(&mut command)?.ended().await?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name(), fs_err::read_to_string(said)?.trim());
        }
        Ok(())
    }
}

/// One that is gone with its owner, whatever became of it.
struct Container<'a> {
    runtime: &'a Path,
    state: PathBuf,
}

impl Container<'_> {
    fn id(&self) -> String {
        format!("barepod-bench-{}", std::process::id())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.runtime);
        command.arg("--root").arg(&self.state).args(arguments);
        command
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let mut delete = self.command(&["delete", "--force"]);
        delete.arg(self.id()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // After a run there is none any more, and that is said to nobody.
        let _ = delete.status();
    }
}

/// A root of its own that shows the host's programs; what has to be mounted there.
fn root_directory(root: &Path) -> Result<Vec<Value>> {
    fs_err::create_dir(root)?;
    for name in ["usr", "etc", "proc", "dev", "tmp", &INSIDE[1..]] {
        fs_err::create_dir(root.join(name))?;
    }
    // runc gives what is mounted there the mode of the directory below.
    fs_err::set_permissions(root.join("tmp"), std::fs::Permissions::from_mode(0o1777))?;
    let mut shown = vec![PathBuf::from("/usr"), PathBuf::from("/etc")];
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let path = Path::new("/").join(name);
        match fs_err::read_link(&path) {
            Ok(target) => symlink(target, root.join(name)).with_context(|| format!("a link {name}"))?,
            Err(_) if path.is_dir() => {
                fs_err::create_dir(root.join(name))?;
                shown.push(path);
            }
            Err(_) => {}
        }
    }
    let show = |path: PathBuf| json!({"destination": path, "source": path, "type": "bind", "options": ["rbind", "ro"]});
    let mut mounts: Vec<_> = shown.into_iter().map(show).collect();
    mounts.push(json!({"destination": "/proc", "source": "proc", "type": "proc"}));
    mounts.push(json!({"destination": "/dev", "source": "/dev", "type": "bind", "options": ["rbind"]}));
    mounts.push(json!({"destination": "/tmp", "source": "tmpfs", "type": "tmpfs", "options": ["mode=1777"]}));
    Ok(mounts)
}

/// The ground, and over its data directory what the container has there.
fn places(ground: &Ground, data: Data) -> Result<Vec<Value>> {
    let root = ground.path();
    let mut mounts = vec![json!({"destination": INSIDE, "source": root, "type": "bind", "options": ["rbind", "rw"]})];
    let layers = match data {
        Data::Bind => None,
        Data::Upper => Some((ground.fresh("empty")?, root.join("data"))),
        Data::Lower => Some((root.join("image"), ground.fresh("upper")?)),
    };
    if let Some((lower, upper)) = layers {
        let work = ground.fresh("overlay")?;
        let layer = |name: &str, path: &Path| format!("{name}={}", path.display());
        let options = [layer("lowerdir", &lower), layer("upperdir", &upper), layer("workdir", &work)];
        let destination = format!("{INSIDE}/data");
        mounts.push(json!({"destination": destination, "source": "overlay", "type": "overlay", "options": options}));
    }
    Ok(mounts)
}

fn configuration(ground: &Ground, task: &Task, mounts: &[Value]) -> Value {
    let user = ground.user();
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|name| json!({"type": name}));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": user.uid.as_raw(), "gid": user.gid.as_raw()},
            "args": ["/bin/sh", "-c", task.0],
            "env": [format!("PATH={PATH}"), format!("PLACE={INSIDE}")],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "root": {"path": "root", "readonly": true},
        "mounts": mounts,
        "linux": {"namespaces": namespaces},
    })
}
