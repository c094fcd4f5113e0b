//! The host as a node of a cluster.

use std::path::PathBuf;
use std::sync::Arc;

use barepod_api::v1;
use barepod_core::Pressure;
use barepod_model::BootId;
use barepod_reader::Reader;
use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;

use super::amounts;
use crate::board::Board;
use crate::settings::Settings;
use crate::whole;

/// What is known of it, and where the rest is found.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) reader: Arc<Reader>,
    /// What of it pods may have.
    pub(crate) settings: Settings,
    /// Where barepod's state lies: the disk that counts.
    pub(crate) state: PathBuf,
    pub(crate) boot_id: BootId,
    /// Where it is shown what it is short of.
    pub(crate) board: Arc<Board>,
}

impl Machine {
    pub(crate) async fn describe(&self) -> v1::HostResponse {
        let machine = self.clone();
        let described = tokio::task::spawn_blocking(move || machine.look()).await;
        described.unwrap_or_default()
    }

    fn look(&self) -> v1::HostResponse {
        let facts = self.reader.facts();
        let kernel = uname().ok().and_then(|uts| uts.release().to_str().map(str::to_owned)).unwrap_or_default();
        let presets = self.reader.presets().map(|(name, images)| v1::Preset { name: name.to_owned(), images });
        let others = self.board.others();
        let all = whole::amounts(&self.state);
        let capacity = self.settings.now().resources.capacity(all, Vec::new());
        v1::HostResponse {
            architecture: facts.labels.get("kubernetes.io/arch").cloned().unwrap_or_default(),
            name: facts.name,
            addresses: facts.addresses.iter().map(ToString::to_string).collect(),
            labels: facts.labels.into_iter().collect(),
            capacity: Some(amounts::to_message(all)),
            allocatable: Some(amounts::to_message(capacity.amounts.less(others.amounts))),
            booked: Some(v1::Booking {
                amounts: Some(amounts::to_message(others.amounts)),
                ports: others.ports.into_iter().map(u32::from).collect(),
                cpus: others.cpus.into_iter().collect(),
            }),
            max_pods: capacity.pods.and_then(|pods| u32::try_from(pods).ok()).unwrap_or(0),
            presets: presets.collect(),
            boot_id: self.boot_id.0.clone(),
            machine_id: word("/etc/machine-id"),
            system_uuid: word("/sys/class/dmi/id/product_uuid"),
            kernel,
            os_image: os_image(&word("/etc/os-release")),
            pressure: Some(self.pressure()),
            goes_down: self.board.shutdown().borrow().goes_down,
            swap: sysinfo().is_ok_and(|info| info.swap_total() > 0),
        }
    }

    fn pressure(&self) -> v1::Pressure {
        let mut held = self.board.pressure();
        let mut why = |of| held.remove(&of).unwrap_or_default();
        v1::Pressure { memory: why(Pressure::Memory), disk: why(Pressure::Disk), pid: why(Pressure::Pids) }
    }
}

fn word(path: &str) -> String {
    fs_err::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// `PRETTY_NAME` of os-release(5).
fn os_image(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("Linux", |name| name.trim_matches('"')).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_has_a_name() {
        assert_eq!(os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(os_image(""), "Linux");
    }
}
