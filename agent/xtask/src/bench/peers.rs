//! The peers, each as its own manual says it keeps one service alive, without a shell in between.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use barepod_test_programs::stamp;
use barepod_tests::process::Owned;

use super::restart::{Service, Supervised, Supervisor};

/// All that are measured.
pub(super) fn supervisors() -> Vec<Box<dyn Supervisor>> {
    let directory = |package, program| Box::new(OfDirectory { package, program }) as Box<dyn Supervisor>;
    vec![
        directory("runit", "runsv"),
        directory("daemontools", "supervise"),
        directory("s6", "s6-supervise"),
        Box::new(Supervisord),
    ]
}

/// runit, daemontools and s6: the service is a directory with a program `run`.
struct OfDirectory {
    package: &'static str,
    program: &'static str,
}

impl Supervisor for OfDirectory {
    fn name(&self) -> String {
        format!("{} ({})", self.program, version(self.package))
    }

    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised> {
        symlink(&service.program, place.join("run"))?;
        start(Command::new(self.program).arg(place), service)
    }
}

/// supervisord: the service is a section of its configuration.
struct Supervisord;

impl Supervisor for Supervisord {
    fn name(&self) -> String {
        format!("supervisord ({})", version("supervisor"))
    }

    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised> {
        let configuration = place.join("supervisord.conf");
        let (place, program) = (place.display(), service.program.display());
        let text = format!(
            "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={place}/pid\n\n\
             [program:stamp]\ncommand={program}\nautorestart=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
        );
        fs_err::write(&configuration, text)?;
        start(Command::new("supervisord").arg("-c").arg(configuration), service)
    }
}

fn start(supervisor: &mut Command, service: &Service) -> anyhow::Result<Supervised> {
    let nothing = Stdio::null;
    supervisor.env(stamp::SOCKET, &service.socket).stdin(nothing()).stdout(nothing()).stderr(nothing());
    Ok(Supervised::By(Owned::spawn(supervisor)?))
}

/// The version of a package of Debian, `unknown` where it was installed in another way.
fn version(package: &str) -> String {
    let output = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        Ok(_) | Err(_) => "version unknown".to_owned(),
    }
}
