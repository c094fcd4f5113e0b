//! conmon: the parent of a container and the writer of its log in CRI format.
//!
//! Its OCI runtime is a stub that starts a plain process, so that conmon is measured and not the runtime.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Service, Supervised, Supervisor, start, versioned};

/// One for each service.
pub(in crate::bench) struct Conmon;

impl Conmon {
    /// The log of the service in this place, named as the reader of logs expects it.
    pub(in crate::bench) fn log(place: &Path) -> PathBuf {
        barepod_logs::files::current(place, 0)
    }

    /// The stub lies beside the service's program: both are static.
    fn runtime(service: &Service) -> anyhow::Result<PathBuf> {
        let beside = service.argv.first().map(|program| Path::new(program).with_file_name("oci-stub"));
        beside.filter(|path| path.is_file()).ok_or_else(|| anyhow::anyhow!("oci-stub is not built"))
    }
}

impl Supervisor for Conmon {
    fn name(&self) -> String {
        versioned("conmon", "conmon")
    }

    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised> {
        let exits = place.join("exits");
        fs_err::create_dir(&exits)?;
        fs_err::write(place.join("argv"), service.argv.join("\n"))?;
        let mut conmon = Command::new("conmon");
        conmon
            .args(["--api-version", "1", "--sync", "--full-attach", "--cid", "service", "--cuuid", "service"])
            .arg("--runtime")
            .arg(Self::runtime(service)?)
            .arg("--bundle")
            .arg(place)
            .arg("--container-pidfile")
            .arg(place.join("pid"))
            .arg("--log-path")
            .arg(format!("k8s-file:{}", Self::log(place).display()))
            .arg("--exit-dir")
            .arg(exits);
        start(&mut conmon, service)
    }
}
