//! What a container may use: set before its first attempt, changed while it runs.
//!
//! The values are written through the controllers of cgroups-rs. What is needed beyond a write is here: the order in which
//! a memory limit and its swap twin move, the check that keeps a lowered limit from becoming an OOM kill, and the way back
//! if one of several writes is refused.

use std::io;
use std::path::{Path, PathBuf};

use barepod_model::{Bytes, ContainerKey, PodUid, Resources};
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::{CgroupError, Controller, Cpu, Groups, cpu_weight, files};

/// A limit that this host cannot enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unenforced {
    /// The controller that is missing.
    pub controller: Controller,
    /// What was to be limited.
    pub what: &'static str,
}

impl std::fmt::Display for Unenforced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "the limit of {} is not enforced: this host has no {} controller for barepod's groups that can",
            self.what,
            self.controller.name()
        )
    }
}

/// The limits of a container as the kernel holds them; `None` is no limit, or a controller that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// CPU time in each period, in microseconds.
    pub cpu_quota_us: Option<u64>,
    /// `cpu.weight` on v2, `cpu.shares` on v1; `None` only where the controller is missing.
    pub cpu_weight: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// v1 shows no limit as the largest multiple of the page size.
const LEGACY_NO_LIMIT: u64 = 1 << 62;

impl Groups {
    /// Puts `resources` in force on a container's group, whether it runs or not.
    ///
    /// On a lowered memory limit the kernel first gives back cache. If what is left does not fit, nothing is changed and
    /// the error says so, instead of the kernel killing the service; what the service allocates in between can still make
    /// it so.
    ///
    /// # Errors
    /// `InUse`, `Write`, `Read`, `Parse`. After any of them the old limits hold.
    pub fn apply(&self, key: &ContainerKey, resources: &Resources) -> Result<Vec<Unenforced>, CgroupError> {
        let group = self.container_path(key);
        self.change(&group, &self.wanted(resources))?;
        Ok(self.unenforced(resources))
    }

    /// Puts limits in force on a group. If one of them is refused, the old ones hold.
    pub(super) fn change(&self, group: &Path, wanted: &InForce) -> Result<(), CgroupError> {
        let before = self.in_force_at(group)?;
        if *wanted == before {
            return Ok(());
        }
        self.set(group, wanted).inspect_err(|_| {
            // The old values were in force a moment ago, so the kernel takes them back.
            let _ = self.set(group, &before);
        })
    }

    /// The limits of a container as the kernel holds them.
    ///
    /// # Errors
    /// `Read`, `Parse`.
    pub fn in_force(&self, key: &ContainerKey) -> Result<InForce, CgroupError> {
        self.in_force_at(&self.container_path(key))
    }

    /// The limits of a pod as a whole, as the kernel holds them.
    ///
    /// # Errors
    /// `Read`, `Parse`.
    pub fn pod_in_force(&self, pod: &PodUid) -> Result<InForce, CgroupError> {
        self.in_force_at(&self.pod_path(pod))
    }

    pub(super) fn in_force_at(&self, group: &Path) -> Result<InForce, CgroupError> {
        let unified = self.hierarchy().is_unified();
        let mut found = InForce { memory: None, cpu_quota_us: None, cpu_weight: None, pids: None };
        if let Some(dir) = self.directory_at(group, Controller::Memory) {
            let file = if unified { "memory.max" } else { "memory.limit_in_bytes" };
            found.memory = files::read_limit(&dir.join(file))?.filter(|limit| *limit < LEGACY_NO_LIMIT);
        }
        if let Some(dir) = self.directory_at(group, Controller::Cpu) {
            let file = if unified { "cpu.weight" } else { "cpu.shares" };
            found.cpu_weight = files::read_number(&dir.join(file))?;
            found.cpu_quota_us = if unified { quota_unified(&dir, self.rules.period_us)? } else { quota_legacy(&dir)? };
        }
        if let Some(dir) = self.directory_at(group, Controller::Pids) {
            found.pids = files::read_limit(&dir.join("pids.max"))?;
        }
        Ok(found)
    }

    /// Where `controller` is set for a container; `None` if this host cannot limit it there.
    pub(super) fn directory(&self, key: &ContainerKey, controller: Controller) -> Option<PathBuf> {
        self.directory_at(&self.container_path(key), controller)
    }

    /// The same for any group, by its path below the mounts.
    pub(super) fn directory_at(&self, group: &Path, controller: Controller) -> Option<PathBuf> {
        let dir = self.hierarchy().mount_of(controller)?.join(group);
        let probe = match (controller, self.hierarchy().is_set_in_v2(controller)) {
            (Controller::Memory, true) => "memory.max",
            (Controller::Memory, false) => "memory.limit_in_bytes",
            (Controller::Cpu, true) => "cpu.weight",
            (Controller::Cpu, false) => "cpu.shares",
            (Controller::Pids, _) => "pids.max",
            (Controller::Cpuset, _) => "cpuset.cpus",
            (Controller::Io | Controller::Hugetlb, _) => "cgroup.procs",
        };
        dir.join(probe).exists().then_some(dir)
    }

    fn wanted(&self, resources: &Resources) -> InForce {
        let cpu = Cpu::of(resources, self.rules.period_us);
        InForce {
            memory: resources.memory_limit.map(|limit| limit.0),
            cpu_quota_us: cpu.quota_us,
            cpu_weight: Some(self.weight(cpu.shares)),
            pids: resources.pids_limit,
        }
    }

    /// What stands for so many shares here.
    pub(super) fn weight(&self, shares: u64) -> u64 {
        if self.hierarchy().is_unified() { cpu_weight(shares) } else { shares }
    }

    fn unenforced(&self, resources: &Resources) -> Vec<Unenforced> {
        let asked = [
            (Controller::Memory, "memory", resources.memory_limit.is_some()),
            (Controller::Cpu, "cpu", resources.cpu_limit.is_some()),
            (Controller::Pids, "pids", resources.pids_limit.is_some()),
        ];
        let missing = |mount: Option<&Path>| mount.is_none();
        asked
            .into_iter()
            .filter(|(controller, _, asked)| *asked && missing(self.hierarchy().mount_of(*controller)))
            .map(|(controller, what, _)| Unenforced { controller, what })
            .collect()
    }

    /// Memory first: it is the only one that is refused for a reason.
    fn set(&self, group: &Path, wanted: &InForce) -> Result<(), CgroupError> {
        let unified = self.hierarchy().is_unified();
        if let Some(dir) = self.directory_at(group, Controller::Memory) {
            if unified { set_memory_unified(&dir, wanted.memory)? } else { set_memory_legacy(&dir, wanted.memory)? }
        }
        if let Some(dir) = self.directory_at(group, Controller::Pids) {
            let value = wanted.pids.map_or(MaxValue::Max, |limit| MaxValue::Value(signed(limit)));
            let written = PidController::new(dir.clone(), dir.clone(), unified).set_pid_max(value);
            checked(&dir, "pids.max", value, written)?;
        }
        if let Some(dir) = self.directory_at(group, Controller::Cpu) {
            set_cpu(&dir, unified, self.rules.period_us, wanted)?;
        }
        Ok(())
    }
}

fn set_cpu(dir: &Path, unified: bool, period_us: u64, wanted: &InForce) -> Result<(), CgroupError> {
    let controller = cpu(dir, unified);
    let quota = wanted.cpu_quota_us.map_or(-1, signed);
    let file = if unified { "cpu.max" } else { "cpu.cfs_quota_us" };
    checked(dir, file, quota, controller.set_cfs_quota_and_period(Some(quota), Some(period_us)))?;
    match wanted.cpu_weight {
        None => Ok(()),
        Some(weight) => {
            let file = if unified { "cpu.weight" } else { "cpu.shares" };
            checked(dir, file, weight, controller.set_shares(weight))
        }
    }
}

fn set_memory_unified(dir: &Path, limit: Option<u64>) -> Result<(), CgroupError> {
    if let Some(limit) = limit {
        make_room(dir, limit)?;
    }
    let controller = memory(dir, true);
    checked(dir, "memory.max", limit.map_or(-1, signed), controller.set_limit(limit.map_or(-1, signed)))?;
    if dir.join("memory.swap.max").exists() {
        // As kubelet's NoSwap: a limit on memory is not to be met by swapping a database out.
        let swap = limit.map_or(-1, |_| 0);
        checked(dir, "memory.swap.max", swap, controller.set_memswap_limit(swap))?;
    }
    Ok(())
}

/// Asks the kernel to give back cache until `limit` fits: writing `memory.max` below what is used kills instead.
fn make_room(dir: &Path, limit: u64) -> Result<(), CgroupError> {
    let current = dir.join("memory.current");
    let used = files::read_number(&current)?.unwrap_or(0);
    if used <= limit {
        return Ok(());
    }
    let reclaim = dir.join("memory.reclaim");
    let left = if reclaim.exists() {
        // EAGAIN says that not all of it could be reclaimed: what is left tells.
        let _ = files::write(&reclaim, &(used - limit).to_string());
        files::read_number(&current)?.unwrap_or(0)
    } else {
        used.saturating_sub(file_cache(dir)?)
    };
    if left > limit { Err(in_use(dir, limit, left)) } else { Ok(()) }
}

fn file_cache(dir: &Path) -> Result<u64, CgroupError> {
    let stat = dir.join("memory.stat");
    let lists = [files::read_key(&stat, "inactive_file")?, files::read_key(&stat, "active_file")?];
    Ok(lists.into_iter().flatten().sum())
}

/// The limit on memory and swap together must never be below the one on memory, so the order depends on the direction.
/// v1 reclaims by itself and refuses with EBUSY what does not fit.
fn set_memory_legacy(dir: &Path, limit: Option<u64>) -> Result<(), CgroupError> {
    let with_swap = files::read_number(&dir.join("memory.memsw.limit_in_bytes"))?;
    let value = limit.map_or(-1, signed);
    match with_swap {
        None => set_legacy_limit(dir, value),
        Some(old) if limit.is_none_or(|limit| limit > old) => {
            set_legacy_swap(dir, value)?;
            set_legacy_limit(dir, value)
        }
        Some(_) => {
            set_legacy_limit(dir, value)?;
            set_legacy_swap(dir, value)
        }
    }
}

fn set_legacy_limit(dir: &Path, value: i64) -> Result<(), CgroupError> {
    let written = checked(dir, "memory.limit_in_bytes", value, memory(dir, false).set_limit(value));
    busy_is_in_use(dir, value, written)
}

fn set_legacy_swap(dir: &Path, value: i64) -> Result<(), CgroupError> {
    let written = checked(dir, "memory.memsw.limit_in_bytes", value, memory(dir, false).set_memswap_limit(value));
    busy_is_in_use(dir, value, written)
}

fn busy_is_in_use(dir: &Path, value: i64, written: Result<(), CgroupError>) -> Result<(), CgroupError> {
    match written {
        Err(CgroupError::Write { source, .. }) if source.raw_os_error() == Some(nix::libc::EBUSY) => {
            let used = files::read_number(&dir.join("memory.usage_in_bytes"))?.unwrap_or(0);
            Err(in_use(dir, u64::try_from(value).unwrap_or(u64::MAX), used))
        }
        other => other,
    }
}

fn in_use(dir: &Path, limit: u64, used: u64) -> CgroupError {
    CgroupError::InUse { path: dir.to_owned(), limit: Bytes(limit), used: Bytes(used) }
}

/// `max 100000` or `50000 100000`, brought to barepod's period.
fn quota_unified(dir: &Path, period_us: u64) -> Result<Option<u64>, CgroupError> {
    let path = dir.join("cpu.max");
    let text = files::read(&path)?;
    let bad = || CgroupError::Parse { path: path.clone(), contents: text.clone() };
    let (quota, period) = text.split_once(' ').ok_or_else(bad)?;
    if quota == "max" {
        return Ok(None);
    }
    let quota: u64 = quota.parse().map_err(|_| bad())?;
    let period: u64 = period.parse().map_err(|_| bad())?;
    Ok(Some(quota.saturating_mul(period_us) / period.max(1)))
}

fn quota_legacy(dir: &Path) -> Result<Option<u64>, CgroupError> {
    let path = dir.join("cpu.cfs_quota_us");
    if files::read(&path)? == "-1" { Ok(None) } else { files::read_number(&path) }
}

fn memory(dir: &Path, unified: bool) -> MemController {
    MemController::new(dir.to_owned(), dir.to_owned(), unified)
}

fn cpu(dir: &Path, unified: bool) -> CpuController {
    CpuController::new(dir.to_owned(), dir.to_owned(), unified)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Turns an error of cgroups-rs into one that names the file and keeps the kernel's error number.
fn checked(
    dir: &Path,
    file: &str,
    value: impl ToString,
    written: Result<(), cgroups_rs::fs::error::Error>,
) -> Result<(), CgroupError> {
    written.map_err(|error| {
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<io::Error>());
        let source = match cause.and_then(io::Error::raw_os_error) {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::other(error.to_string()),
        };
        CgroupError::Write { path: dir.join(file), value: value.to_string(), source }
    })
}

#[cfg(test)]
mod tests;
