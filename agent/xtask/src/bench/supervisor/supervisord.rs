//! supervisord: the service is a section of its configuration.

use std::path::Path;
use std::process::Command;

use super::{Service, Supervised, Supervisor, start, versioned};

/// One for all services; here it has one.
pub(super) struct Supervisord;

impl Supervisor for Supervisord {
    fn name(&self) -> String {
        versioned("supervisord", "supervisor")
    }

    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised> {
        let configuration = place.join("supervisord.conf");
        let (place, command) = (place.display(), service.argv.join(" "));
        let text = format!(
            "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={place}/pid\n\n\
             [program:service]\ncommand={command}\nautorestart=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
        );
        fs_err::write(&configuration, text)?;
        start(Command::new("supervisord").arg("-c").arg(configuration), service)
    }
}
