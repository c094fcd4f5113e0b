//! What containers and pods ask for and may use, and what follows from it: totals, quality of service, the place before
//! the kernel's OOM killer. The arithmetic is Kubernetes' 1.36 (`component-helpers/resource`, `core/v1/helper/qos`,
//! `kubelet/qos`), with pod-level resources.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Bytes, Container, ContainerKind, MilliCpu, Pod};

/// What a container, or a pod as a whole, asks for and what it may use. `None` means not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Resources {
    /// CPU it asks for: its weight against others.
    pub cpu_request: Option<MilliCpu>,
    /// CPU it may use at most.
    pub cpu_limit: Option<MilliCpu>,
    /// Memory it asks for.
    pub memory_request: Option<Bytes>,
    /// Memory it may use at most.
    pub memory_limit: Option<Bytes>,
    /// Processes and threads it may have at most.
    pub pids_limit: Option<u64>,
    /// Disk space it asks for, for its writable layer, its logs and its emptyDirs.
    #[serde(default)]
    pub storage_request: Option<Bytes>,
    /// Disk space it may use at most for them.
    #[serde(default)]
    pub storage_limit: Option<Bytes>,
    /// Huge pages of each size: request and limit are the same.
    #[serde(default)]
    pub huge_pages: HugePages,
}

/// Bytes in huge pages, by page size; `None` means not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct HugePages {
    /// `hugepages-2Mi`.
    pub two_mi: Option<Bytes>,
    /// `hugepages-1Gi`.
    pub one_gi: Option<Bytes>,
}

/// A size of huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HugePageSize {
    /// 2 MiB.
    TwoMi,
    /// 1 GiB.
    OneGi,
}

impl HugePageSize {
    /// All of them.
    pub const ALL: [HugePageSize; 2] = [HugePageSize::TwoMi, HugePageSize::OneGi];

    /// One page.
    #[must_use]
    pub fn bytes(self) -> Bytes {
        match self {
            HugePageSize::TwoMi => Bytes(2 << 20),
            HugePageSize::OneGi => Bytes(1 << 30),
        }
    }

    /// The name of the resource: `hugepages-2Mi`.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            HugePageSize::TwoMi => "hugepages-2Mi",
            HugePageSize::OneGi => "hugepages-1Gi",
        }
    }

    /// As the kernel names the files of its hugetlb controller: `2MB`.
    #[must_use]
    pub fn kernel_name(self) -> &'static str {
        match self {
            HugePageSize::TwoMi => "2MB",
            HugePageSize::OneGi => "1GB",
        }
    }
}

impl HugePages {
    /// Those of one size.
    #[must_use]
    pub fn of(&self, size: HugePageSize) -> Option<Bytes> {
        match size {
            HugePageSize::TwoMi => self.two_mi,
            HugePageSize::OneGi => self.one_gi,
        }
    }

    /// To be set.
    pub fn of_mut(&mut self, size: HugePageSize) -> &mut Option<Bytes> {
        match size {
            HugePageSize::TwoMi => &mut self.two_mi,
            HugePageSize::OneGi => &mut self.one_gi,
        }
    }

    /// Whether any are given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.two_mi.is_none() && self.one_gi.is_none()
    }
}

/// What happens to a container when one of its resources changes (`resizePolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum OnResize {
    /// The new value is put in force while it runs.
    #[default]
    NotRequired,
    /// It gets a new process.
    RestartContainer,
}

/// `resizePolicy` of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ResizePolicy {
    /// On another request or limit of CPU.
    pub cpu: OnResize,
    /// On another request or limit of memory.
    pub memory: OnResize,
}

impl ResizePolicy {
    /// Whether a process that has `before` must be replaced to get `after`.
    #[must_use]
    pub fn restarts(&self, before: &Resources, after: &Resources) -> bool {
        let cpu = (before.cpu_request, before.cpu_limit) != (after.cpu_request, after.cpu_limit);
        let memory = (before.memory_request, before.memory_limit) != (after.memory_request, after.memory_limit);
        (cpu && self.cpu == OnResize::RestartContainer) || (memory && self.memory == OnResize::RestartContainer)
    }
}

/// Kubernetes' quality-of-service class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QosClass {
    /// Limits of CPU and memory everywhere, and requests equal to them.
    Guaranteed,
    /// Something is asked for.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        })
    }
}

/// An amount of everything that is given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Amounts {
    /// CPU.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Disk space for what goes with pods.
    pub storage: Bytes,
    /// Memory in pages of 2 MiB.
    pub huge_two_mi: Bytes,
    /// Memory in pages of 1 GiB.
    pub huge_one_gi: Bytes,
}

impl Amounts {
    /// Each amount with Kubernetes' name for it, in the units of its messages: thousandths of a core, and bytes.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("cpu", self.cpu.0),
            ("memory", self.memory.0),
            ("ephemeral-storage", self.storage.0),
            ("hugepages-2Mi", self.huge_two_mi.0),
            ("hugepages-1Gi", self.huge_one_gi.0),
        ]
    }

    fn map(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            cpu: MilliCpu(f(self.cpu.0, other.cpu.0)),
            memory: Bytes(f(self.memory.0, other.memory.0)),
            storage: Bytes(f(self.storage.0, other.storage.0)),
            huge_two_mi: Bytes(f(self.huge_two_mi.0, other.huge_two_mi.0)),
            huge_one_gi: Bytes(f(self.huge_one_gi.0, other.huge_one_gi.0)),
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.map(other, u64::saturating_add)
    }

    /// What is left of it; nothing where `other` is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        self.map(other, u64::saturating_sub)
    }

    /// The larger of both, one by one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.map(other, u64::max)
    }
}

impl Amounts {
    /// What a pod asks for whose containers ask for so much together: what it says itself goes before that.
    #[must_use]
    pub fn as_said_by(self, level: Option<&Resources>) -> Self {
        let Some(level) = level else { return self };
        Self {
            cpu: level.cpu_request.unwrap_or(self.cpu),
            memory: level.memory_request.unwrap_or(self.memory),
            huge_two_mi: level.huge_pages.two_mi.unwrap_or(self.huge_two_mi),
            huge_one_gi: level.huge_pages.one_gi.unwrap_or(self.huge_one_gi),
            storage: self.storage,
        }
    }
}

impl Resources {
    /// What is asked for.
    #[must_use]
    pub fn requests(&self) -> Amounts {
        Amounts {
            cpu: self.cpu_request.unwrap_or_default(),
            memory: self.memory_request.unwrap_or_default(),
            storage: self.storage_request.unwrap_or_default(),
            huge_two_mi: self.huge_pages.two_mi.unwrap_or_default(),
            huge_one_gi: self.huge_pages.one_gi.unwrap_or_default(),
        }
    }

    /// With limits that are not given taken from those of the pod, as kubelet sets a container's group up.
    #[must_use]
    pub fn within(self, pod: Option<&Resources>) -> Self {
        let Some(pod) = pod else { return self };
        Self {
            cpu_limit: given(self.cpu_limit).or(given(pod.cpu_limit)),
            memory_limit: given(self.memory_limit).or(given(pod.memory_limit)),
            ..self
        }
    }

    fn has_cpu_or_memory(&self) -> bool {
        let cpu = given(self.cpu_request).or(given(self.cpu_limit));
        cpu.is_some() || given(self.memory_request).or(given(self.memory_limit)).is_some()
    }

    fn is_guaranteed(&self) -> bool {
        let (cpu, memory) = (given(self.cpu_limit), given(self.memory_limit));
        cpu.is_some() && memory.is_some()
    }
}

/// What containers, in their order, need together: init containers run one after the other, each beside the sidecars before
/// it.
#[must_use]
pub fn total(containers: impl IntoIterator<Item = (ContainerKind, Amounts)>) -> Amounts {
    let (mut lasting, mut most) = (Amounts::default(), Amounts::default());
    for (kind, amounts) in containers {
        match kind {
            ContainerKind::Init => most = most.max(lasting.plus(amounts)),
            ContainerKind::Sidecar => {
                lasting = lasting.plus(amounts);
                most = most.max(lasting);
            }
            ContainerKind::Regular => lasting = lasting.plus(amounts),
            // It takes of what the pod has.
            ContainerKind::Ephemeral => {}
        }
    }
    lasting.max(most)
}

/// Zero says nothing, in Kubernetes.
fn given<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

/// What kubelet leaves to a guaranteed pod's processes of the 1000 at which the OOM killer begins.
const GUARANTEED: i64 = -997;
const BEST_EFFORT: i64 = 1000;

impl Pod {
    /// A container's resources as its group gets them: limits that it does not give itself are those of the pod.
    #[must_use]
    pub fn effective(&self, container: &Container) -> Resources {
        container.resources.within(self.resources.level.as_ref())
    }

    /// Its quality-of-service class.
    #[must_use]
    pub fn qos(&self) -> QosClass {
        match &self.resources.level {
            Some(level) => qos_of(std::slice::from_ref(level)),
            None => qos_of(&self.counted().map(|container| container.resources).collect::<Vec<_>>()),
        }
    }

    /// What it asks for: of its containers together, or as it says itself. Init containers run one after the other beside
    /// the sidecars before them.
    #[must_use]
    pub fn requests(&self) -> Amounts {
        self.container_requests().as_said_by(self.resources.level.as_ref())
    }

    /// What its containers ask for, whatever it says itself.
    #[must_use]
    pub fn container_requests(&self) -> Amounts {
        self.total(|container| container.resources.requests())
    }

    /// Memory that it may use: as it says itself, or of its containers together if each of them has a limit.
    #[must_use]
    pub fn memory_limit(&self) -> Option<Bytes> {
        let limit = |container: &Container| given(container.resources.memory_limit);
        let own = self.resources.level.as_ref().and_then(|level| given(level.memory_limit));
        let together = || {
            let are_all_limited = self.counted().all(|container| limit(container).is_some());
            let memory =
                |container: &Container| Amounts { memory: limit(container).unwrap_or_default(), ..Amounts::default() };
            are_all_limited.then(|| self.total(memory).memory)
        };
        own.or_else(together)
    }

    /// Disk space that its containers may use together; `None` if none of them has a limit.
    #[must_use]
    pub fn storage_limit(&self) -> Option<Bytes> {
        let limit = |container: &Container| container.resources.storage_limit;
        self.containers.iter().find_map(limit)?;
        let storage =
            |container: &Container| Amounts { storage: limit(container).unwrap_or_default(), ..Amounts::default() };
        Some(self.total(storage).storage)
    }

    /// Its containers but ephemeral ones.
    fn counted(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| container.kind != ContainerKind::Ephemeral)
    }

    fn total(&self, of: impl Fn(&Container) -> Amounts) -> Amounts {
        total(self.containers.iter().map(|container| (container.kind, of(container))))
    }

    /// `oom_score_adj` of a container's processes on a host with so much memory.
    #[must_use]
    pub fn oom_score_adj(&self, container: &Container, memory: Bytes) -> i32 {
        let score = match self.qos() {
            QosClass::Guaranteed => GUARANTEED,
            QosClass::BestEffort => BEST_EFFORT,
            QosClass::Burstable => self.burstable_score(container, memory),
        };
        i32::try_from(score).unwrap_or(0)
    }

    /// The more it asks for, the later it is killed. A pod's request that no container has made is shared by all.
    fn burstable_score(&self, container: &Container, memory: Bytes) -> i64 {
        let request = |container: &Container| container.resources.memory_request.unwrap_or_default().0;
        let level = self.resources.level.as_ref().and_then(|level| level.memory_request).unwrap_or_default();
        let shared =
            level.0.saturating_sub(self.container_requests().memory.0) / (self.counted().count().max(1) as u64);
        let of = |request: u64| {
            let share = u128::from(request + shared) * 1000 / u128::from(memory.0.max(1));
            BEST_EFFORT - i64::try_from(share).unwrap_or(BEST_EFFORT)
        };
        let mut score = of(request(container));
        if container.kind == ContainerKind::Sidecar {
            let regular = self.containers.iter().filter(|container| container.kind == ContainerKind::Regular);
            score = score.min(regular.map(request).min().map_or(score, of));
        }
        score.clamp(BEST_EFFORT + GUARANTEED, BEST_EFFORT - 1)
    }
}

fn qos_of(all: &[Resources]) -> QosClass {
    if !all.iter().any(Resources::has_cpu_or_memory) {
        return QosClass::BestEffort;
    }
    // Totals are compared, as Kubernetes does: what one container asks below its limit no other can ask above its own.
    let sum = |of: fn(&Resources) -> u64| all.iter().map(of).sum::<u64>();
    let cpu = |r: &Resources| r.cpu_request.unwrap_or_default().0;
    let cpu_limit = |r: &Resources| r.cpu_limit.unwrap_or_default().0;
    let memory = |r: &Resources| r.memory_request.unwrap_or_default().0;
    let memory_limit = |r: &Resources| r.memory_limit.unwrap_or_default().0;
    let equal = sum(cpu) == sum(cpu_limit) && sum(memory) == sum(memory_limit);
    if equal && all.iter().all(Resources::is_guaranteed) { QosClass::Guaranteed } else { QosClass::Burstable }
}

#[cfg(test)]
mod tests;
