//! runc: starts a container from a bundle, and is gone. What supervises it afterwards would come on top.
//!
//! Not crun, which refuses hosts with cgroups of both versions.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use barepod_test_programs::stamp;
use serde_json::{Value, json};

use super::{BURST, Starter};
use crate::bench::supervisor::{Service, versioned};

/// As many bundles as are started at once, made beforehand.
pub(super) struct Runc {
    place: PathBuf,
    running: usize,
    /// Names of containers are not used twice.
    epoch: usize,
}

impl Runc {
    pub(super) fn new(place: &Path, service: &Service) -> anyhow::Result<Self> {
        let configuration = configuration(place, service)?.to_string();
        for number in 0..BURST {
            let bundle = place.join(number.to_string());
            fs_err::create_dir_all(bundle.join("rootfs"))?;
            fs_err::write(bundle.join("config.json"), &configuration)?;
        }
        Ok(Self { place: place.to_owned(), running: 0, epoch: 0 })
    }

    fn command(&self) -> Command {
        let mut runc = Command::new("runc");
        runc.arg("--root").arg(self.place.join("state"));
        runc.stdin(Stdio::null()).stdout(Stdio::null());
        runc
    }

    fn id(&self, number: usize) -> String {
        format!("bench-{}-{}-{number}", std::process::id(), self.epoch)
    }
}

/// What `runc spec` writes, with the service's program, its directories bound at their own paths, and the namespaces that
/// a pod of barepod has.
fn configuration(place: &Path, service: &Service) -> anyhow::Result<Value> {
    let status = Command::new("runc").arg("spec").current_dir(place).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "runc spec ended with {status}");
    let mut spec: Value = serde_json::from_str(&fs_err::read_to_string(place.join("config.json"))?)?;
    let program = Path::new(service.argv.first().context("a service without a program")?);
    let beside = |path: &Path| path.parent().map(Path::to_owned).context("a path without a directory");
    let bind = |path: &Path| json!({"destination": path, "source": path, "type": "bind", "options": ["bind"]});
    let kinds = ["pid", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(service.argv);
    spec["process"]["env"] = json!([format!("{}={}", stamp::SOCKET, service.socket.display())]);
    spec["linux"]["namespaces"] = json!(kinds);
    spec["root"] = json!({"path": "rootfs", "readonly": false});
    let mounts = spec["mounts"].as_array_mut().context("runc's spec has no mounts")?;
    mounts.retain(|mount| !mount["destination"].as_str().is_some_and(|path| path.starts_with("/sys")));
    mounts.extend([bind(&beside(program)?), bind(&beside(&service.socket)?)]);
    Ok(spec)
}

impl Starter for Runc {
    fn name(&self) -> String {
        versioned("runc", "runc")
    }

    fn start(&mut self, services: usize) -> anyhow::Result<()> {
        self.epoch += 1;
        self.running = services;
        let mut started = Vec::new();
        for number in 0..services {
            let mut runc = self.command();
            runc.args(["run", "--detach", "--bundle"]).arg(self.place.join(number.to_string())).arg(self.id(number));
            started.push(runc.spawn().context("cannot start runc")?);
        }
        for mut runc in started {
            let status = runc.wait()?;
            ensure!(status.success(), "runc ended with {status}");
        }
        Ok(())
    }

    fn end(&mut self) -> anyhow::Result<()> {
        for number in 0..std::mem::take(&mut self.running) {
            let status = self.command().args(["delete", "--force", &self.id(number)]).status()?;
            ensure!(status.success(), "runc delete ended with {status}");
        }
        Ok(())
    }
}

impl Drop for Runc {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("containers of runc are left: {error:#}");
        }
    }
}
