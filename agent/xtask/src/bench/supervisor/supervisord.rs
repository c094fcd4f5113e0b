//! supervisord: the service is a section of its configuration.

use std::path::Path;
use std::process::Command;

use super::{Service, Supervised, Supervisor, start, versioned};

/// One for all services; here it has one.
pub(in crate::bench) struct Supervisord;

impl Supervisor for Supervisord {
    fn name(&self) -> String {
        versioned("supervisord", "supervisor")
    }

    fn supervise(&self, place: &Path, service: &Service) -> anyhow::Result<Supervised> {
        let file = place.join("supervisord.conf");
        fs_err::write(&file, configuration(place, service, 1))?;
        start(Command::new("supervisord").arg("-c").arg(file), service)
    }
}

/// So many processes of one service, each kept alive.
pub(in crate::bench) fn configuration(place: &Path, service: &Service, processes: usize) -> String {
    let (place, command) = (place.display(), service.argv.join(" "));
    let head = format!(
        "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={place}/pid\n"
    );
    if processes == 0 {
        return head;
    }
    format!(
        "{head}\n[program:service]\ncommand={command}\nnumprocs={processes}\n\
         process_name=%(program_name)s_%(process_num)d\nautorestart=true\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
}
