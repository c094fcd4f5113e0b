//! What the host, its pods and their containers use, measured when somebody asks. What lies on disks takes longer to find out:
//! that of a pod is looked at once a minute at most, as kubelet does, by a thread that is behind all others.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use barepod_api::v1;
use barepod_core::{ContainerState, ContainerView, PodView};
use barepod_linux::cgroup::{Measured, Pressure, Stalled};
use barepod_linux::host_usage::{HostUsage, Interface, host_usage};
use barepod_linux::view::{self, HostDirs as _};
use barepod_linux::volumes::{DiskUse, disk_usage};
use barepod_model::{Container, ContainerKey, Pod, PodUid, VolumeKind};
use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use tokio::sync::oneshot;

use super::convert::stamp;
use crate::hands::Host;

/// kubelet's `volumeStatsAggPeriod`.
const FRESH: Duration = Duration::from_secs(60);

/// Measures, and remembers what was found on disks.
#[derive(Debug)]
pub(crate) struct Gauge {
    host: Arc<Host>,
    disks: Mutex<HashMap<PodUid, (Instant, Arc<Disk>)>>,
}

/// What of a pod lies on disks.
#[derive(Debug, Default)]
struct Disk {
    /// Of each container: what it wrote into its root, and its log.
    containers: HashMap<String, (v1::FsUsage, v1::FsUsage)>,
    volumes: Vec<v1::VolumeStats>,
}

impl Gauge {
    pub(crate) fn new(host: Arc<Host>) -> Self {
        Self { host, disks: Mutex::default() }
    }

    pub(super) async fn measure(self: Arc<Self>, with_disk: bool) -> v1::StatsResponse {
        let views: Vec<_> = self.host.board.list().into_iter().filter(|view| runs(view)).collect();
        let disks = match with_disk {
            true => Arc::clone(&self).disks(&views).await,
            false => HashMap::new(),
        };
        let measured = tokio::task::spawn_blocking(move || {
            let pods = views.iter().map(|view| self.pod(view, disks.get(&view.uid).map(Arc::as_ref)));
            let pods = pods.collect();
            v1::StatsResponse { pods, ..node(&self.host.dirs.state) }
        });
        measured.await.unwrap_or_default()
    }

    fn pod(&self, view: &PodView, disk: Option<&Disk>) -> v1::PodStats {
        let (namespace, name) =
            view.name.as_ref().map(|(namespace, name)| (namespace.to_string(), name.to_string())).unwrap_or_default();
        v1::PodStats {
            uid: view.uid.to_string(),
            namespace,
            name,
            started: view.created.as_ref().map(stamp),
            usage: Some(usage(&self.host.groups.measured_pod(&view.uid))),
            containers: view.containers.iter().filter_map(|it| self.container(view, it, disk)).collect(),
            volumes: disk.map(|disk| disk.volumes.clone()).unwrap_or_default(),
            cgroup: self.host.groups.name_of(&view.uid, None),
        }
    }

    fn container(&self, view: &PodView, of: &ContainerView, disk: Option<&Disk>) -> Option<v1::ContainerStats> {
        let (ContainerState::Running { started, .. }, Some(attempt)) = (&of.state, of.attempt) else { return None };
        let key = ContainerKey { pod: view.uid.clone(), container: of.name.clone() };
        let wanted = view.pod.as_deref().and_then(|pod| pod.containers.iter().find(|it| it.name == of.name));
        let (rootfs, logs) = disk.and_then(|disk| disk.containers.get(of.name.as_str()).copied()).unzip();
        let measured = self.host.groups.measured_container(&key, attempt);
        Some(v1::ContainerStats {
            name: of.name.to_string(),
            started: Some(stamp(started)),
            usage: Some(usage(&measured)),
            cpu_quota_us: measured.cpu_quota_us,
            cpu_period_us: measured.cpu_period_us,
            probes: self.host.answers.of(&key),
            rootfs,
            logs,
            image: wanted.map(|container| container.image.clone()).unwrap_or_default(),
            cgroup: self.host.groups.name_of(&view.uid, Some(&key)),
        })
    }

    /// Those of all pods; of those that are gone nothing is remembered.
    async fn disks(self: Arc<Self>, views: &[Arc<PodView>]) -> HashMap<PodUid, Arc<Disk>> {
        let now = Instant::now();
        let mut known = HashMap::new();
        let mut stale = Vec::new();
        {
            let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
            disks.retain(|uid, (at, _)| now.duration_since(*at) < FRESH && views.iter().any(|view| view.uid == *uid));
            for pod in views.iter().filter_map(|view| view.pod.clone()) {
                match disks.get(&pod.uid) {
                    Some((_, disk)) => drop(known.insert(pod.uid.clone(), Arc::clone(disk))),
                    None => stale.push(pod),
                }
            }
        }
        if stale.is_empty() {
            return known;
        }
        let host = Arc::clone(&self.host);
        let found = in_the_background(move || {
            stale.iter().map(|pod| (pod.uid.clone(), Arc::new(on_disk(&host, pod)))).collect::<Vec<_>>()
        });
        let found = found.await.unwrap_or_default();
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disks.extend(found.iter().map(|(uid, disk)| (uid.clone(), (Instant::now(), Arc::clone(disk)))));
        known.extend(found);
        known
    }
}

/// Something of it runs.
fn runs(view: &PodView) -> bool {
    view.containers.iter().any(|container| matches!(container.state, ContainerState::Running { .. }))
}

/// A thread of its own, since it steps back for good.
pub(super) async fn in_the_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, measured) = oneshot::channel();
    let work = move || {
        if let Err(error) = barepod_sys::priority::step_back() {
            tracing::debug!(%error, "disk space is measured with the priority of all else");
        }
        done.send(work()).ok();
    };
    if let Err(error) = std::thread::Builder::new().name("stats".to_owned()).spawn(work) {
        tracing::warn!(%error, "disk space cannot be measured");
        return None;
    }
    measured.await.ok()
}

fn on_disk(host: &Host, pod: &Pod) -> Disk {
    let containers = pod.containers.iter().map(|container: &Container| {
        let key = ContainerKey { pod: pod.uid.clone(), container: container.name.clone() };
        let layer = fs(&host.dirs.state, taken(&host.dirs.overlay(&key)));
        let logs = fs(&host.dirs.log, taken(&host.dirs.log_of(pod, &key)));
        (container.name.to_string(), (layer, logs))
    });
    let mounts = view::Host.mounts().unwrap_or_default();
    let volumes = pod.volumes.iter().filter_map(|volume| {
        let (name, claim) = (volume.name.clone(), volume.claim.clone().unwrap_or_default());
        match &volume.kind {
            VolumeKind::EmptyDir { memory: false, huge_pages: None, .. } => {
                let used = taken(&host.dirs.empty_dir(&pod.uid, &volume.name));
                Some(v1::VolumeStats { name, fs: Some(fs(&host.dirs.state, used)), claim })
            }
            // Nobody counts the files of a database for this: what its file system says is enough, as for a local volume of
            // kubelet's.
            VolumeKind::Claim { claim: own, .. } => {
                let place = host.dirs.claim(&pod.namespace, own);
                Some(v1::VolumeStats { name, fs: Some(fs(&place, None)), claim })
            }
            // A disk that is a PersistentVolume. A path that the pod names itself is nobody's volume.
            VolumeKind::HostPath { path, .. } if volume.claim.is_some() && view::is_local(&mounts, path) => {
                Some(v1::VolumeStats { name, fs: Some(fs(path, None)), claim })
            }
            VolumeKind::EmptyDir { .. } | VolumeKind::HostPath { .. } | VolumeKind::Projected(_) => None,
        }
    });
    let volumes = volumes.collect();
    Disk { containers: containers.collect(), volumes }
}

fn taken(path: &Path) -> Option<DiskUse> {
    disk_usage(path).inspect_err(|error| tracing::debug!(%error, path = %path.display(), "not counted")).ok()
}

/// The file system of a place, and what is used: by one directory if that was counted, else of all.
fn fs(place: &Path, counted: Option<DiskUse>) -> v1::FsUsage {
    let mut fs = v1::FsUsage::default();
    if let Ok(all) = statvfs(place) {
        let unit = all.fragment_size();
        (fs.capacity, fs.available) = (Some(all.blocks() * unit), Some(all.blocks_available() * unit));
        fs.used = Some(all.blocks().saturating_sub(all.blocks_free()) * unit);
        // Some file systems have as many as they have room.
        if all.files() > 0 {
            (fs.inodes, fs.inodes_free) = (Some(all.files()), Some(all.files_free()));
            fs.inodes_used = Some(all.files().saturating_sub(all.files_free()));
        }
    }
    if let Some(counted) = counted {
        (fs.used, fs.inodes_used) = (Some(counted.bytes.0), Some(counted.inodes));
    }
    fs
}

fn node(state: &Path) -> v1::StatsResponse {
    let HostUsage { booted, measured, memory, swap_free, processes_max, interfaces } = host_usage(Path::new("/proc"));
    v1::StatsResponse {
        started: booted.map(|seconds| v1::Timestamp { seconds, nanos: 0 }),
        usage: Some(v1::Usage { swap_available: swap_free, ..usage(&measured) }),
        fs: Some(fs(state, None)),
        interfaces: interfaces.into_iter().map(interface).collect(),
        processes_max,
        cpus: std::thread::available_parallelism().map_or(0, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
        memory,
        pods: Vec::new(),
    }
}

fn interface(of: Interface) -> v1::Interface {
    let Interface { name, received, sent } = of;
    v1::Interface {
        name,
        received: received.bytes,
        received_packets: received.packets,
        receive_errors: received.errors,
        receive_dropped: received.dropped,
        sent: sent.bytes,
        sent_packets: sent.packets,
        send_errors: sent.errors,
        send_dropped: sent.dropped,
    }
}

fn usage(of: &Measured) -> v1::Usage {
    let now = Timestamp::now();
    v1::Usage {
        time: Some(v1::Timestamp { seconds: now.as_second(), nanos: now.subsec_nanosecond() }),
        cpu_ns: of.cpu_ns,
        cpu_user_ns: of.cpu_user_ns,
        cpu_system_ns: of.cpu_system_ns,
        cpu_periods: of.periods,
        cpu_throttled_periods: of.throttled_periods,
        cpu_throttled_ns: of.throttled_ns,
        memory: of.memory,
        memory_inactive_file: of.inactive_file,
        memory_rss: of.rss,
        memory_cache: of.cache,
        memory_mapped_file: of.mapped_file,
        memory_limit: of.memory_limit,
        page_faults: of.page_faults,
        major_page_faults: of.major_page_faults,
        swap: of.swap,
        swap_available: None,
        processes: of.processes,
        oom_kills: of.oom_kills,
        cpu_stall: of.cpu_stall.as_ref().map(stall),
        memory_stall: of.memory_stall.as_ref().map(stall),
        io_stall: of.io_stall.as_ref().map(stall),
        io_read: of.io_read,
        io_written: of.io_written,
        io_reads: of.io_reads,
        io_writes: of.io_writes,
    }
}

fn stall(pressure: &Pressure) -> v1::Stall {
    let stalled =
        |of: &Stalled| v1::Stalled { total_us: of.total_us, avg10: of.avg10, avg60: of.avg60, avg300: of.avg300 };
    v1::Stall { some: Some(stalled(&pressure.some)), full: Some(stalled(&pressure.full)) }
}
