//! conmon, which writes the log of the container whose parent it is.

use std::path::Path;

use barepod_test_programs::stamp::Stamp;

use super::{Logger, Logging};
use crate::bench::supervisor::{Conmon, Service, Supervised, Supervisor as _};

pub(super) struct ByConmon;

impl Logger for ByConmon {
    fn name(&self) -> String {
        Conmon.name()
    }

    fn start(&self, place: &Path, service: &Service) -> anyhow::Result<Box<dyn Logging>> {
        Ok(Box::new(Conmon.supervise(&place.join("logs"), service)?))
    }
}

impl Logging for Supervised {
    fn begun(&mut self, stamp: Stamp) {
        Supervised::begun(self, stamp);
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.supervisor()
    }
}
