//! Limits of a pod as a whole, and of a container beyond CPU, memory and processes.
//!
//! A pod's group is limited where the pod says so itself; limits of its containers hold by themselves. What is raised is
//! raised on the pod first, what is lowered is lowered on the containers first: v1 refuses a container more CPU than its
//! pod has.

use std::path::Path;

use barepod_model::{Bytes, Container, ContainerKey, HugePageSize, Pod, QosClass};

use super::limits::InForce;
use super::{CgroupError, Controller, Cpu, Groups, Unenforced, files, io};

impl Groups {
    /// Puts everything in force that is wanted of a container's group, whether it runs or not; its pod's group lets it.
    ///
    /// # Errors
    /// See [`Groups::apply`].
    pub fn apply_container(&self, pod: &Pod, container: &Container) -> Result<Vec<Unenforced>, CgroupError> {
        let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
        self.raise_pod(pod)?;
        let resources = pod.effective(container);
        let mut unenforced = self.apply(&key, &resources)?;
        let group = self.container_path(&key);
        let pages = |size| resources.huge_pages.of(size).unwrap_or_default();
        unenforced.extend(self.limit_huge_pages(&group, pages)?);
        if let Some(dir) = self.directory_at(&group, Controller::Memory).filter(|_| self.hierarchy().is_unified()) {
            write_if_there(&dir.join("memory.oom.group"), if container.oom_group { "1" } else { "0" })?;
        }
        self.reserve(&group, pod.qos(), resources.memory_request.unwrap_or_default())?;
        Ok(unenforced)
    }

    /// Lets the pod's group have what it may have, where that is more than now.
    fn raise_pod(&self, pod: &Pod) -> Result<(), CgroupError> {
        let group = self.pod_path(&pod.uid);
        let (now, wanted) = (self.in_force_at(&group)?, self.wanted_of(pod));
        let larger = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
        let raised = InForce {
            memory: larger(now.memory, wanted.memory),
            cpu_quota_us: larger(now.cpu_quota_us, wanted.cpu_quota_us),
            cpu_weight: now.cpu_weight,
            pids: larger(now.pids, wanted.pids),
        };
        self.change(&group, &raised)
    }

    /// Puts everything in force that is wanted of the pod as a whole. Its containers have got theirs.
    ///
    /// # Errors
    /// See [`Groups::apply`].
    pub fn apply_pod(&self, pod: &Pod) -> Result<Vec<Unenforced>, CgroupError> {
        let group = self.pod_path(&pod.uid);
        let mut wanted = self.wanted_of(pod);
        if !self.hierarchy().is_unified() {
            // One that could not be lowered yet keeps the whole from being lowered.
            for container in &pod.containers {
                let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
                let own = self.in_force(&key)?.cpu_quota_us;
                wanted.cpu_quota_us = wanted.cpu_quota_us.map(|quota| quota.max(own.unwrap_or(0)));
            }
        }
        self.change(&group, &wanted)?;
        let level = pod.resources.level.as_ref();
        let mut unenforced = Vec::new();
        for (controller, what, asked) in [
            (Controller::Memory, "memory of the pod", level.is_some_and(|level| level.memory_limit.is_some())),
            (Controller::Cpu, "cpu of the pod", level.is_some_and(|level| level.cpu_limit.is_some())),
            (Controller::Pids, "processes of the pod", self.rules.pod_pids.is_some()),
        ] {
            if asked && self.hierarchy().mount_of(controller).is_none() {
                unenforced.push(Unenforced { controller, what });
            }
        }
        let requests = pod.requests();
        let pages = |size| match size {
            HugePageSize::TwoMi => requests.huge_two_mi,
            HugePageSize::OneGi => requests.huge_one_gi,
        };
        unenforced.extend(self.limit_huge_pages(&group, pages)?);
        self.reserve(&group, pod.qos(), requests.memory)?;
        self.reserve_all()?;
        unenforced.extend(io::apply(self, &group, &pod.resources.io)?);
        let v1 = self.hierarchy().mount_of(Controller::Io).filter(|_| !self.hierarchy().is_set_in_v2(Controller::Io));
        if let Some(mount) = v1.filter(|mount| mount.join(&group).is_dir()) {
            // Where the next attempts are put.
            for container in &pod.containers {
                let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
                self.prepare_optional(mount, &self.container_path(&key))?;
            }
        }
        Ok(unenforced)
    }

    fn wanted_of(&self, pod: &Pod) -> InForce {
        let cpu = Cpu::of_pod(pod, self.rules.period_us);
        let level = pod.resources.level.as_ref();
        InForce {
            memory: level.and_then(|level| level.memory_limit).map(|limit| limit.0),
            cpu_quota_us: cpu.quota_us,
            cpu_weight: Some(self.weight(cpu.shares)),
            pids: self.rules.pod_pids,
        }
    }

    /// Whoever asks for no huge pages gets none, as with kubelet. A controller that is missing is missed by those who ask.
    fn limit_huge_pages(
        &self,
        group: &Path,
        pages: impl Fn(HugePageSize) -> Bytes,
    ) -> Result<Vec<Unenforced>, CgroupError> {
        let controller = Controller::Hugetlb;
        let asks = HugePageSize::ALL.into_iter().any(|size| pages(size) != Bytes(0));
        let v2 = self.hierarchy().is_set_in_v2(controller);
        if let (true, false, Some(mount)) = (asks, v2, self.hierarchy().mount_of(controller)) {
            self.prepare_optional(mount, group)?;
        }
        let mut limited = false;
        if let Some(dir) = self.directory_at(group, controller) {
            for size in HugePageSize::ALL {
                let (name, limit) = (size.kernel_name(), pages(size).0.to_string());
                let file = if v2 { "max" } else { "limit_in_bytes" };
                for file in [format!("hugetlb.{name}.{file}"), format!("hugetlb.{name}.rsvd.{file}")] {
                    limited |= write_if_there(&dir.join(file), &limit)?;
                }
            }
        }
        let missed = (asks && !limited).then_some(Unenforced { controller, what: "huge pages" });
        Ok(missed.into_iter().collect())
    }

    /// Keeps requested memory from reclaim, where the administrator wants that. v1 knows no such thing.
    fn reserve(&self, group: &Path, class: QosClass, request: Bytes) -> Result<(), CgroupError> {
        let dir = self.directory_at(group, Controller::Memory);
        let Some(dir) = dir.filter(|_| self.rules.reserve_memory && self.hierarchy().is_unified()) else {
            return Ok(());
        };
        let (min, low) = match class {
            QosClass::Guaranteed => (request.0, 0),
            QosClass::Burstable => (0, request.0),
            QosClass::BestEffort => (0, 0),
        };
        files::write(&dir.join("memory.min"), &min.to_string())?;
        files::write(&dir.join("memory.low"), &low.to_string())
    }

    /// The kernel protects a group only as far as those above it are protected: all pods' shares make barepod's.
    fn reserve_all(&self) -> Result<(), CgroupError> {
        let base = self.directory_at(&self.base, Controller::Memory);
        let Some(base) = base.filter(|_| self.rules.reserve_memory && self.hierarchy().is_unified()) else {
            return Ok(());
        };
        for file in ["memory.min", "memory.low"] {
            let mut sum = 0_u64;
            for pod in self.strays()? {
                let own = self.directory_at(&self.pod_path(&pod.pod), Controller::Memory);
                let reserved = own.map(|own| files::read_limit(&own.join(file))).transpose()?.flatten();
                sum = sum.saturating_add(reserved.unwrap_or(0));
            }
            files::write(&base.join(file), &sum.to_string())?;
        }
        Ok(())
    }
}

/// Whether it is there.
fn write_if_there(path: &Path, value: &str) -> Result<bool, CgroupError> {
    if !path.exists() {
        return Ok(false);
    }
    files::write(path, value).map(|()| true)
}

#[cfg(test)]
mod tests;
