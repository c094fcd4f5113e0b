//! The host as a node of a cluster.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use barepod_api::v1;
use barepod_core::Capacity;
use barepod_model::{Amounts, BootId};
use barepod_reader::Reader;
use nix::sys::statvfs::statvfs;
use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;

use crate::config::thresholds::{Threshold, Thresholds};
use crate::whole;

/// What is known of it, and where the rest is found.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) reader: Arc<Reader>,
    /// What pods may have of it.
    pub(crate) capacity: Capacity,
    /// Where barepod's state lies: the disk that counts.
    pub(crate) state: PathBuf,
    pub(crate) boot_id: BootId,
    /// With less than this it is short.
    pub(crate) thresholds: Thresholds,
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
        v1::HostResponse {
            architecture: facts.labels.get("kubernetes.io/arch").cloned().unwrap_or_default(),
            name: facts.name,
            addresses: facts.addresses.iter().map(ToString::to_string).collect(),
            labels: facts.labels.into_iter().collect(),
            capacity: Some(amounts(whole::amounts(&self.state))),
            allocatable: Some(amounts(self.capacity.amounts)),
            max_pods: self.capacity.pods.and_then(|pods| u32::try_from(pods).ok()).unwrap_or(0),
            presets: presets.collect(),
            boot_id: self.boot_id.0.clone(),
            machine_id: word("/etc/machine-id"),
            system_uuid: word("/sys/class/dmi/id/product_uuid"),
            kernel,
            os_image: os_image(&word("/etc/os-release")),
            pressure: Some(self.pressure()),
            swap: sysinfo().is_ok_and(|info| info.swap_total() > 0),
        }
    }

    fn pressure(&self) -> v1::Pressure {
        v1::Pressure {
            memory: memory(&word("/proc/meminfo"), self.thresholds.memory).unwrap_or_default(),
            disk: disk(&self.state, &self.thresholds).unwrap_or_default(),
            pid: pids(&word("/proc/loadavg"), &word("/proc/sys/kernel/pid_max"), self.thresholds.pids)
                .unwrap_or_default(),
        }
    }
}

fn word(path: &str) -> String {
    fs_err::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn amounts(amounts: Amounts) -> v1::Amounts {
    v1::Amounts {
        cpu_milli: amounts.cpu.0,
        memory: amounts.memory.0,
        ephemeral_storage: amounts.storage.0,
        huge_2mi: amounts.huge_two_mi.0,
        huge_1gi: amounts.huge_one_gi.0,
    }
}

/// `PRETTY_NAME` of os-release(5).
fn os_image(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("Linux", |name| name.trim_matches('"')).to_owned()
}

fn memory(table: &str, least: Threshold) -> Option<String> {
    let amount = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
    };
    let (available, all) = (amount("MemAvailable:")?, amount("MemTotal:")?);
    least.is_crossed(available, all).then(|| format!("{} MiB of memory are available", available >> 20))
}

fn disk(state: &Path, least: &Thresholds) -> Option<String> {
    let fs = statvfs(state).ok()?;
    let place = state.display();
    let (free, all) = (fs.blocks_available() * fs.fragment_size(), fs.blocks() * fs.fragment_size());
    if least.disk.is_crossed(free, all) {
        return Some(format!("{} MiB are left on the file system of {place}", free >> 20));
    }
    // Some file systems have as many as they have room.
    (fs.files() > 0 && least.inodes.is_crossed(fs.files_available(), fs.files()))
        .then(|| format!("{} inodes are left on the file system of {place}", fs.files_available()))
}

/// Threads there are, after the slash of the fourth field of loadavg, beside what the kernel gives out.
fn pids(load: &str, most: &str, least: Threshold) -> Option<String> {
    let all: u64 = most.parse().ok()?;
    let used: u64 = load.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    let left = all.saturating_sub(used);
    least.is_crossed(left, all).then(|| format!("{left} process ids are left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scarce_is_said_and_what_is_not_is_not() {
        let (amount, part) = (Threshold::Amount(100 << 20), Threshold::Percent(5));
        let said = memory("MemTotal: 9000000 kB\nMemAvailable:    2048 kB\n", amount);
        assert_eq!(said.as_deref(), Some("2 MiB of memory are available"));
        assert_eq!(memory("MemTotal: 9000000 kB\nMemAvailable:    204800 kB\n", amount), None);
        assert_eq!(pids("0.1 0.2 0.3 1/980 77", "1000", part).as_deref(), Some("20 process ids are left"));
        assert_eq!(pids("0.1 0.2 0.3 1/98 77", "1000", part), None);
        assert_eq!(pids("", "", part), None);
    }

    #[test]
    fn the_system_has_a_name() {
        assert_eq!(os_image("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(os_image(""), "Linux");
    }
}
