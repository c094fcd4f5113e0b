//! The tree of groups: made, listed, killed, removed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use barepod_model::{Attempt, ContainerKey, ContainerName, Namespace, PodName, PodUid};

use super::hierarchy::{Controller, controllers};
use super::{CgroupError, Hierarchy, Rules, files};

/// barepod's groups on this host.
#[derive(Debug)]
pub struct Groups {
    hierarchy: Hierarchy,
    pub(super) base: PathBuf,
    pub(super) rules: Rules,
    degraded: Vec<CgroupError>,
    /// What the groups of pods are called, as far as somebody has asked.
    names: Mutex<BTreeMap<PodUid, String>>,
}

/// The groups that a process is put into when it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// In the cgroup2 mount. The process is cloned into it.
    pub unified: PathBuf,
    /// In v1 hierarchies: the process writes `0` to their `tasks`. Empty on pure v2.
    pub legacy: Vec<PathBuf>,
    /// The one of `legacy` that counts memory.
    pub legacy_memory: Option<PathBuf>,
}

/// A group found on the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stray {
    /// Its pod.
    pub pod: PodUid,
    /// Its container and attempts; empty where only the pod's group is left.
    pub attempts: Vec<(ContainerName, Attempt)>,
}

const SHIM: &str = "shim";

/// Before a UID, in the names of earlier releases.
const UNNAMED: &str = "pod";

/// Bytes of a directory's name.
const LONGEST_NAME: usize = 255;

/// Longest wait for a process to leave that ends by itself.
const LAST_BREATH: Duration = Duration::from_millis(500);

impl Groups {
    /// Makes `base`, a relative path such as `barepod`, in every mount, and hands the controllers down to it.
    ///
    /// # Errors
    /// `Base`, `Make`. Controllers that cannot be handed down are in [`Groups::degraded`]: their limits will not hold.
    pub fn open(hierarchy: Hierarchy, base: impl Into<PathBuf>) -> Result<Self, CgroupError> {
        let base = base.into();
        let plain = base.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || base.as_os_str().is_empty() {
            return Err(CgroupError::Base { base });
        }
        let mut groups =
            Self { hierarchy, base, rules: Rules::default(), degraded: Vec::new(), names: Mutex::default() };
        groups.make_base()?;
        Ok(groups)
    }

    /// With other figures than kubelet's defaults.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// What the kernel has for groups.
    #[must_use]
    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Controllers that could not be handed down to barepod's base.
    #[must_use]
    pub fn degraded(&self) -> &[CgroupError] {
        &self.degraded
    }

    fn make_base(&mut self) -> Result<(), CgroupError> {
        for mount in self.hierarchy.mounts().into_iter().map(Path::to_owned).collect::<Vec<_>>() {
            let mut path = mount;
            self.hand_down_or_degrade(&path)?;
            for part in &self.base.clone() {
                path.push(part);
                make(&path)?;
                inherit_in_legacy(&self.hierarchy, &path)?;
                self.hand_down_or_degrade(&path)?;
            }
        }
        Ok(())
    }

    fn hand_down_or_degrade(&mut self, path: &Path) -> Result<(), CgroupError> {
        if !path.starts_with(self.hierarchy.unified()) {
            return Ok(());
        }
        let unified = self.hierarchy.is_unified();
        let there = match controllers(path) {
            Err(error) if unified => return Err(error),
            there => there.unwrap_or_default(),
        };
        for controller in there {
            // Beside v1 it is a gift: what cannot be handed down is missed only where somebody asks for it.
            if let (Err(error), true) = (hand_down(path, controller), unified) {
                self.degraded.push(error);
            }
        }
        Ok(())
    }

    /// Makes a pod's groups as far as they are missing. Those that an earlier release has made keep their name.
    ///
    /// # Errors
    /// `Make`, `Enable`.
    pub fn prepare_pod(&self, pod: &PodUid, namespace: &Namespace, name: &PodName) -> Result<(), CgroupError> {
        if self.known_name(pod).is_none() {
            self.names().insert(pod.clone(), name_of(pod, namespace, name));
        }
        let relative = self.pod_path(pod);
        for mount in self.hierarchy.mounts() {
            make(&mount.join(&relative))?;
        }
        match &self.hierarchy {
            Hierarchy::Unified { root, .. } => hand_down_all(&root.join(&relative))?,
            Hierarchy::Hybrid { unified, .. } => drop(hand_down_all(&unified.join(&relative))),
        }
        make(&self.hierarchy.unified().join(&relative).join(SHIM))?;
        if let (false, Some(mount)) = (self.hierarchy.is_unified(), self.hierarchy.mount_of(Controller::Memory)) {
            make(&mount.join(&relative).join(SHIM))?;
        }
        Ok(())
    }

    /// Makes a group in a v1 mount in which only some pods have one, with those above it.
    pub(super) fn prepare_optional(&self, mount: &Path, relative: &Path) -> Result<(), CgroupError> {
        let mut path = mount.to_owned();
        for part in relative {
            let above = path.clone();
            path.push(part);
            make(&path)?;
            // A new group of this kind is empty, and nothing can live on no CPU.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let inherited = files::read(&path.join(file)).is_ok_and(|own| own.is_empty());
                if inherited {
                    files::write(&path.join(file), &files::read(&above.join(file))?)?;
                }
            }
        }
        Ok(())
    }

    /// Makes a container's group as far as it is missing. Its pod's must be there.
    ///
    /// # Errors
    /// `Make`, `Enable`.
    pub fn prepare_container(&self, key: &ContainerKey) -> Result<(), CgroupError> {
        let relative = self.container_path(key);
        for mount in self.hierarchy.mounts() {
            make(&mount.join(&relative))?;
        }
        match &self.hierarchy {
            // Only memory is counted by attempt, so that an OOM kill is put down to the right one. Every further
            // controller would cost the scheduler or the allocator a level.
            Hierarchy::Unified { root, controllers } if controllers.contains(&Controller::Memory) => {
                hand_down(&root.join(&relative), Controller::Memory)
            }
            Hierarchy::Unified { .. } | Hierarchy::Hybrid { .. } => Ok(()),
        }
    }

    /// Makes the group of an attempt, always a new one: what an interrupted start has left is removed first. Its
    /// container's group must be there.
    ///
    /// # Errors
    /// `Used` if something lives in the one that is there; `Make`, `Remove`.
    pub fn make_leaf(&self, key: &ContainerKey, attempt: Attempt) -> Result<Leaf, CgroupError> {
        let leaf = self.leaf(key, attempt);
        make_new(&leaf.unified)?;
        if let Some(memory) = &leaf.legacy_memory {
            make_new(memory)?;
        }
        Ok(leaf)
    }

    /// Where else the processes of a container belong: in groups of v1 that its pod has and others do not.
    fn optional_groups(&self, container: &Path) -> Vec<PathBuf> {
        let groups = self.hierarchy.optional_mounts().into_iter().map(|mount| mount.join(container));
        groups.filter(|path| path.is_dir()).collect()
    }

    /// Where the group of an attempt is.
    #[must_use]
    pub fn leaf(&self, key: &ContainerKey, attempt: Attempt) -> Leaf {
        let container = self.container_path(key);
        let own = container.join(attempt.to_string());
        let unified = self.hierarchy.unified().join(&own);
        let Hierarchy::Hybrid { legacy, .. } = &self.hierarchy else {
            return Leaf { unified, legacy: Vec::new(), legacy_memory: None };
        };
        let place = |(controller, mount): &(Controller, PathBuf)| match controller {
            Controller::Memory => mount.join(&own),
            Controller::Cpu | Controller::Pids | Controller::Io | Controller::Cpuset | Controller::Hugetlb => {
                mount.join(&container)
            }
        };
        let memory = legacy.iter().find(|(controller, _)| *controller == Controller::Memory).map(place);
        let legacy = legacy.iter().map(place).chain(self.optional_groups(&container)).collect();
        Leaf { unified, legacy, legacy_memory: memory }
    }

    /// Where a pod's shims are. Their memory is not charged to the daemon.
    #[must_use]
    pub fn shim_leaf(&self, pod: &PodUid) -> Leaf {
        let relative = self.pod_path(pod).join(SHIM);
        let memory = match &self.hierarchy {
            Hierarchy::Unified { .. } => None,
            Hierarchy::Hybrid { .. } => self.hierarchy.mount_of(Controller::Memory).map(|mount| mount.join(&relative)),
        };
        Leaf {
            unified: self.hierarchy.unified().join(relative),
            legacy: memory.iter().cloned().collect(),
            legacy_memory: memory,
        }
    }

    /// Kills everything in an attempt's group, at once and without a race against fork. A group that is gone has nothing
    /// left to kill.
    ///
    /// # Errors
    /// `Write`.
    pub fn kill(&self, key: &ContainerKey, attempt: Attempt) -> Result<(), CgroupError> {
        match files::write(&self.leaf(key, attempt).unified.join("cgroup.kill"), "1") {
            Err(CgroupError::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Nothing lives in an attempt's group. True of a group that is gone.
    ///
    /// # Errors
    /// `Read`, `Parse`.
    pub fn is_empty(&self, key: &ContainerKey, attempt: Attempt) -> Result<bool, CgroupError> {
        let events = self.leaf(key, attempt).unified.join("cgroup.events");
        Ok(files::read_key(&events, "populated")?.unwrap_or(0) == 0)
    }

    /// Removes the group of an attempt. It must be empty.
    ///
    /// # Errors
    /// `Remove`.
    pub fn remove_leaf(&self, key: &ContainerKey, attempt: Attempt) -> Result<(), CgroupError> {
        self.remove_everywhere(&self.container_path(key).join(attempt.to_string()))
    }

    /// Removes the group of a container with all its attempts'. They must be empty.
    ///
    /// # Errors
    /// `Remove`.
    pub fn remove_container(&self, key: &ContainerKey) -> Result<(), CgroupError> {
        self.remove_everywhere(&self.container_path(key))
    }

    /// Removes the groups of a pod. They must be empty: its shims have ended, or do so in this moment. May wait for that.
    ///
    /// # Errors
    /// `Remove`.
    pub fn remove_pod(&self, pod: &PodUid) -> Result<(), CgroupError> {
        let path = self.pod_path(pod);
        self.everywhere().try_for_each(|mount| remove_when_empty(&mount.join(&path)))?;
        self.names().remove(pod);
        Ok(())
    }

    /// The cgroup2 mount goes first: if something lives there, nothing is touched.
    fn remove_everywhere(&self, relative: &Path) -> Result<(), CgroupError> {
        self.everywhere().try_for_each(|mount| remove(&mount.join(relative)))
    }

    fn everywhere(&self) -> impl Iterator<Item = &Path> {
        self.hierarchy.mounts().into_iter().chain(self.hierarchy.optional_mounts())
    }

    /// Every pod that has a group on this host, whoever made it, with the attempts that have one.
    ///
    /// # Errors
    /// `Read`.
    pub fn strays(&self) -> Result<Vec<Stray>, CgroupError> {
        let base = self.hierarchy.unified().join(&self.base);
        let mut found = Vec::new();
        for name in children(&base)? {
            let Some(pod) = pod_of(&name) else { continue };
            let attempts = attempts(&base.join(&name))?;
            found.push(Stray { pod, attempts });
        }
        found.sort();
        Ok(found)
    }

    /// The processes of a pod's containers, and of whatever groups they have made below theirs. One that has gone meanwhile may
    /// be among them.
    #[must_use]
    pub fn processes(&self, pod: &PodUid) -> Vec<u32> {
        let top = self.hierarchy.unified().join(self.pod_path(pod));
        let mut found = Vec::new();
        let mut below = vec![top.clone()];
        while let Some(path) = below.pop() {
            let pids = files::read(&path.join("cgroup.procs")).unwrap_or_default();
            found.extend(pids.lines().filter_map(|line| line.parse::<u32>().ok()));
            let groups = children(&path).unwrap_or_default().into_iter().map(|name| path.join(name));
            below.extend(groups.filter(|group| *group != top.join(SHIM)));
        }
        found
    }

    pub(super) fn pod_path(&self, pod: &PodUid) -> PathBuf {
        // Where there is none, any name says so.
        self.base.join(self.known_name(pod).unwrap_or_else(|| format!("{UNNAMED}{pod}")))
    }

    /// What a pod's group is called: the groups of this host tell, whoever made them.
    fn known_name(&self, pod: &PodUid) -> Option<String> {
        if let Some(name) = self.names().get(pod) {
            return Some(name.clone());
        }
        let there = children(&self.hierarchy.unified().join(&self.base)).ok()?;
        let name = there.into_iter().find(|name| pod_of(name).as_ref() == Some(pod))?;
        self.names().insert(pod.clone(), name.clone());
        Some(name)
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<PodUid, String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A container called `shim` must not meet the shims' group; container names cannot hold a dot.
    pub(super) fn container_path(&self, key: &ContainerKey) -> PathBuf {
        let name = key.container.as_str();
        let directory = if name == SHIM { "shim.container" } else { name };
        self.pod_path(&key.pod).join(directory)
    }
}

/// As the directory of the pod's logs is called, so that systemd-cgls and systemd-cgtop show whose it is.
fn name_of(pod: &PodUid, namespace: &Namespace, name: &PodName) -> String {
    let room = LONGEST_NAME - namespace.as_str().len() - pod.as_str().len() - 2;
    // Names are ASCII.
    format!("{namespace}_{}_{pod}", name.as_str().get(..room).unwrap_or(name.as_str()))
}

/// Whose group it is, by its name. No name of Kubernetes has an underscore in it.
fn pod_of(name: &str) -> Option<PodUid> {
    let uid = name.rsplit_once('_').map(|(_, uid)| uid).or_else(|| name.strip_prefix(UNNAMED))?;
    PodUid::new(uid).ok()
}

fn attempts(pod: &Path) -> Result<Vec<(ContainerName, Attempt)>, CgroupError> {
    let mut found = Vec::new();
    for directory in children(pod)?.into_iter().filter(|name| name != SHIM) {
        let name = directory.strip_suffix(".container").unwrap_or(&directory);
        let Ok(container) = ContainerName::new(name) else { continue };
        let numbers = children(&pod.join(&directory))?.into_iter().filter_map(|name| name.parse().ok());
        found.extend(numbers.map(|number| (container.clone(), Attempt(number))));
    }
    found.sort();
    Ok(found)
}

/// Names of the groups directly below `path`; none if it is gone.
fn children(path: &Path) -> Result<Vec<String>, CgroupError> {
    let failed = |source| CgroupError::Read { path: path.to_owned(), source };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

fn make(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(CgroupError::Make { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn make_new(path: &Path) -> Result<(), CgroupError> {
    remove_when_empty(path).map_err(|error| match error {
        CgroupError::Remove { path, source } if source.kind() == io::ErrorKind::ResourceBusy => {
            CgroupError::Used { path }
        }
        other => other,
    })?;
    fs::create_dir(path).map_err(|source| CgroupError::Make { path: path.to_owned(), source })
}

/// A shim that has said its last word, or what stood by for one that died, leaves its group in this moment.
fn remove_when_empty(path: &Path) -> Result<(), CgroupError> {
    let begin = Instant::now();
    loop {
        match remove(path) {
            Err(CgroupError::Remove { source, .. })
                if source.kind() == io::ErrorKind::ResourceBusy && begin.elapsed() < LAST_BREATH =>
            {
                std::thread::sleep(LAST_BREATH / 100);
            }
            done => return done,
        }
    }
}

fn remove(path: &Path) -> Result<(), CgroupError> {
    for child in children(path)? {
        remove(&path.join(child))?;
    }
    match fs::remove_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(CgroupError::Remove { path: path.to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn hand_down_all(path: &Path) -> Result<(), CgroupError> {
    controllers(path)?.into_iter().try_for_each(|controller| hand_down(path, controller))
}

fn hand_down(path: &Path, controller: Controller) -> Result<(), CgroupError> {
    let file = path.join("cgroup.subtree_control");
    if files::read(&file)?.split_whitespace().any(|name| name == controller.name()) {
        return Ok(());
    }
    files::write(&file, &format!("+{}", controller.name())).map_err(|error| match error {
        CgroupError::Write { path, source, .. } => CgroupError::Enable { controller: controller.name(), path, source },
        other => other,
    })
}

/// Before Linux 5.11 a v1 memory group counts its children only if it is told to while it has none.
fn inherit_in_legacy(hierarchy: &Hierarchy, path: &Path) -> Result<(), CgroupError> {
    let file = path.join("memory.use_hierarchy");
    if hierarchy.is_unified() || files::read_number(&file)? != Some(0) {
        return Ok(());
    }
    files::write(&file, "1")
}

#[cfg(test)]
mod tests;
