//! runit, daemontools and s6: the service is a directory with a program `run`.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::{Service, Supervised, Supervisor, start, versioned};

/// One of them.
pub(super) struct OfDirectory {
    package: &'static str,
    program: &'static str,
}

/// All of them.
pub(super) fn all() -> [OfDirectory; 3] {
    [("runit", "runsv"), ("daemontools", "supervise"), ("s6", "s6-supervise")]
        .map(|(package, program)| OfDirectory { package, program })
}

impl Supervisor for OfDirectory {
    fn name(&self) -> String {
        versioned(self.program, self.package)
    }

    /// `run` is the program itself. Only where it has arguments it is a script, which execs it.
    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised> {
        let run = place.join("run");
        match service.argv.as_slice() {
            [program] => symlink(program, run)?,
            argv => {
                fs_err::write(&run, format!("#!/bin/sh\nexec {}\n", argv.join(" ")))?;
                fs_err::set_permissions(&run, std::fs::Permissions::from_mode(0o755))?;
            }
        }
        start(Command::new(self.program).arg(place), service)
    }
}
