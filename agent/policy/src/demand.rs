//! What a pod demands.
//!
//! Every field of the model is named here, without `..`: a new one does not compile until somebody has decided whether it
//! means power.

use std::path::{Component as PathPart, Path, PathBuf};

use barepod_model::{
    AppArmor, Brought, Bytes, Confinement, Container, ContainerKind, Credentials, Hook, HostPathType, HostPort,
    HttpGet, Launch, Lifecycle, MilliCpu, MountPropagation, NamespaceUse, Pod, Probe, ProbeHandler, Resources, SeLinux,
    Seccomp, Volume, VolumeKind, VolumeMount,
};

use crate::host::Host;
use crate::policy::VolumeType;
use crate::power::Power;

/// A power, and where it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The field, from the root of the Pod.
    pub field: String,
    /// What it asks for.
    pub power: Power,
}

/// Where the host's programs and libraries lie. What is mounted there takes their place.
const PROGRAMS: &[&str] = &[
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/local/lib",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
];

/// All that a pod demands, in the order of its fields; each power once a field.
#[must_use]
pub fn demands(pod: &Pod, host: &dyn Host) -> Vec<Demand> {
    let Pod {
        uid: _,
        namespace,
        name: _,
        source: _,
        labels: _,
        annotations: _,
        restart_policy: _,
        // What a pod is worth decides between pods only.
        priority: _,
        bears_memory_pressure: _,
        grace: _,
        active_deadline: _,
        readiness_gates: _,
        depends_on,
        data_paths,
        fs_group,
        // Its part of the disks takes nothing from the host that is not shared out anyhow.
        resources: barepod_model::PodResources { level, io: _ },
        volumes,
        containers,
        manifest: _,
    } = pod;
    let mut list = List { host, found: Vec::new() };
    for other in depends_on.iter().filter(|other| other.namespace != *namespace) {
        list.add("metadata.annotations[barepod.dev/depends-on]", Power::DependsOn(other.namespace.clone()));
    }
    for (i, volume) in volumes.iter().enumerate() {
        list.volume(&format!("spec.volumes[{i}]"), volume, containers);
    }
    if let Some(barepod_model::FsGroup { gid, policy: _ }) = fs_group {
        let of_preset = containers.iter().any(|container| has_group(&container.brought, *gid));
        list.add("spec.securityContext.fsGroup", Power::Group { gid: *gid, of_preset });
    }
    // The others say where its volumes really lie; the volumes are judged.
    for port in data_paths.iter().filter_map(|path| HostPort::of(path)) {
        list.add("spec.containers[*].ports", Power::HostPort(port));
    }
    let (mut init, mut regular, mut ephemeral) = (0, 0, 0);
    for container in containers {
        let (list_name, number) = match container.kind {
            ContainerKind::Init | ContainerKind::Sidecar => ("initContainers", &mut init),
            ContainerKind::Regular => ("containers", &mut regular),
            ContainerKind::Ephemeral => ("ephemeralContainers", &mut ephemeral),
        };
        let path = format!("spec.{list_name}[{number}]");
        *number += 1;
        list.container(&path, container, fs_group.map(|group| group.gid));
    }
    list.sums(containers, level.as_ref());
    list.found
}

struct List<'a> {
    host: &'a dyn Host,
    found: Vec<Demand>,
}

impl List<'_> {
    fn add(&mut self, field: impl Into<String>, power: Power) {
        let demand = Demand { field: field.into(), power };
        if !self.found.contains(&demand) {
            self.found.push(demand);
        }
    }

    fn volume(&mut self, field: &str, volume: &Volume, containers: &[Container]) {
        let Volume { name, claim: _, kind } = volume;
        match kind {
            VolumeKind::EmptyDir { memory: _, huge_pages: _, size_limit: _ } => {
                self.add(field, Power::Volume(VolumeType::EmptyDir));
            }
            VolumeKind::Projected(_) => self.add(field, Power::Volume(VolumeType::Projected)),
            VolumeKind::Claim { claim: _, read_only: _ } => {
                self.add(field, Power::Volume(VolumeType::PersistentVolumeClaim));
            }
            VolumeKind::HostPath { path, kind } => {
                let mounts = containers.iter().flat_map(|container| &container.launch.mounts);
                let written = mounts.filter(|mount| mount.volume == *name).any(|mount| !mount.read_only);
                let (makes, is_device) = match kind {
                    HostPathType::DirectoryOrCreate | HostPathType::FileOrCreate => (true, false),
                    HostPathType::CharDevice | HostPathType::BlockDevice => (false, true),
                    HostPathType::Unset | HostPathType::Directory | HostPathType::File | HostPathType::Socket => {
                        (false, false)
                    }
                };
                let path = path.clone();
                if is_device || self.host.real(&path).starts_with("/dev") {
                    self.add(field, Power::Device(path));
                } else {
                    self.add(field, Power::HostPath { path, write: written || makes });
                }
            }
        }
    }

    fn container(&mut self, field: &str, container: &Container, fs_group: Option<u32>) {
        let Container {
            name: _,
            kind: _,
            image,
            preset,
            brought,
            launch,
            // Summed up over the pod.
            resources: _,
            resize_policy: _,
            oom_group: _,
            stop: _,
            startup,
            readiness,
            liveness,
            lifecycle,
            restart: _,
            termination_message: _,
            // It sees processes of its own pod.
            ephemeral: _,
            missing,
        } = container;
        // What stands in for a container whose references do not exist yet is never started, and is judged again when
        // they do.
        if missing.is_none() || preset != image {
            let (name, version) = preset.split_once(' ').map_or((preset.as_str(), None), |(n, v)| (n, Some(v)));
            let version = version.map(str::to_owned);
            self.add(format!("{field}.image"), Power::Preset { name: name.to_owned(), version });
        }
        self.launch(field, launch, brought, fs_group);
        let probes = [("startupProbe", startup), ("readinessProbe", readiness), ("livenessProbe", liveness)];
        for (name, probe) in probes {
            probe.iter().for_each(|probe| self.probe(&format!("{field}.{name}"), probe, launch, brought));
        }
        let Lifecycle { post_start, pre_stop } = lifecycle;
        for (name, hook) in [("postStart", post_start), ("preStop", pre_stop)] {
            hook.iter().for_each(|hook| self.hook(&format!("{field}.lifecycle.{name}"), hook, launch));
        }
    }

    fn launch(&mut self, field: &str, launch: &Launch, brought: &Brought, fs_group: Option<u32>) {
        let Launch {
            argv,
            // What of program and environment the preset computes: part of both.
            follows_resources: _,
            // The preset's alone; so are its root, shared directories, files, their owners, limits and OOM score.
            init: _,
            env,
            env_files,
            cwd: _,
            user,
            root: _,
            read_only_root: _,
            mounts,
            shared: _,
            files: _,
            owned_dirs: _,
            shm_size: _,
            capabilities,
            no_new_privileges,
            rlimits: _,
            oom_score_adj: _,
            namespaces,
            tty: _,
            stdin: _,
            hostname: _,
            as_written: _,
            // Names and addresses in the container's own files.
            network: _,
            confinement,
            // What its own processes say of it.
            notify: _,
        } = launch;
        let security = format!("{field}.securityContext");
        if brought.service {
            let program = argv.first().map(Path::new).and_then(|program| in_volume(program, mounts));
            program.into_iter().for_each(|why| self.add(format!("{field}.volumeMounts"), Power::AnyCommand(why)));
        } else {
            self.command(&format!("{field}.command"), argv.first(), launch);
        }
        let names = env.0.keys().chain(env_files.iter().map(|file| &file.name));
        for name in names.filter(|name| name.starts_with("LD_") && !brought.variables.contains(*name)) {
            let why = format!("the variable {name} makes another program of any");
            self.add(format!("{field}.env[{name}]"), Power::AnyCommand(why));
        }
        self.user(&security, user, brought, fs_group);
        mounts.iter().for_each(|mount| self.mount(&format!("{field}.volumeMounts"), mount));
        let NamespaceUse { host_pid, host_ipc, shared_pid: _ } = namespaces;
        let flags = [("spec.hostPID", *host_pid, Power::HostPid), ("spec.hostIPC", *host_ipc, Power::HostIpc)];
        flags.into_iter().filter(|(_, on, _)| *on).for_each(|(field, _, power)| self.add(field, power));
        self.confinement(&security, confinement, brought, (capabilities, *no_new_privileges));
    }

    fn confinement(
        &mut self,
        security: &str,
        confinement: &Confinement,
        brought: &Brought,
        (capabilities, no_new_privileges): (&[u32], bool),
    ) {
        // Landlock is the preset's, and takes rights away.
        let Confinement { privileged, unmasked_proc, seccomp, app_armor, se_linux, landlock: _, sysctls } = confinement;
        for name in sysctls.keys() {
            self.add(format!("spec.securityContext.sysctls[{name}]"), Power::Sysctl(name.clone()));
        }
        // All of the rest is in it.
        if *privileged {
            return self.add(format!("{security}.privileged"), Power::Privileged);
        }
        for number in capabilities.iter().filter(|number| !brought.capabilities.contains(number)) {
            self.add(format!("{security}.capabilities.add"), Power::Capability(*number));
        }
        if !no_new_privileges {
            self.add(format!("{security}.allowPrivilegeEscalation"), Power::PrivilegeEscalation);
        }
        if *unmasked_proc {
            self.add(format!("{security}.procMount"), Power::UnmaskedProc);
        }
        match seccomp {
            // What the configuration says is the administrator's word already.
            Seccomp::Unset | Seccomp::RuntimeDefault => {}
            Seccomp::Unconfined => {
                self.add(format!("{security}.seccompProfile"), Power::Seccomp("Unconfined".to_owned()));
            }
            Seccomp::Localhost(path) => {
                let profile = format!("localhost/{}", path.display());
                self.add(format!("{security}.seccompProfile"), Power::Seccomp(profile));
            }
        }
        if se_linux.as_ref().is_some_and(is_of_another_kind) {
            self.add(format!("{security}.seLinuxOptions"), Power::Privileged);
        }
        match app_armor {
            AppArmor::Unset | AppArmor::RuntimeDefault => {}
            AppArmor::Unconfined => {
                self.add(format!("{security}.appArmorProfile"), Power::AppArmor("Unconfined".to_owned()));
            }
            AppArmor::Localhost(name) => {
                self.add(format!("{security}.appArmorProfile"), Power::AppArmor(format!("localhost/{name}")));
            }
        }
    }

    fn user(&mut self, security: &str, user: &Credentials, brought: &Brought, fs_group: Option<u32>) {
        let Credentials { uid, gid, groups } = user;
        let own = brought.user.as_ref();
        let of_preset = own.is_some_and(|own| own.uid == *uid);
        self.add(format!("{security}.runAsUser"), Power::User { uid: *uid, of_preset });
        // An account brings its groups; a number without an account has the group of that number.
        let account = self.host.account_of(*uid);
        let of_account = |group: u32| match &account {
            Some(account) => account.gid == group || account.groups.contains(&group),
            None => group == *uid,
        };
        let comes_along = |group: u32| group != 0 && (of_account(group) || of_preset && has_group(brought, group));
        let root_of_root = |group: u32| *uid == 0 && group == 0;
        for group in [gid].into_iter().chain(groups).copied() {
            if !comes_along(group) && !root_of_root(group) && Some(group) != fs_group {
                let field = if group == *gid { "runAsGroup" } else { "supplementalGroups" };
                self.add(
                    format!("{security}.{field}"),
                    Power::Group { gid: group, of_preset: has_group(brought, group) },
                );
            }
        }
    }

    fn mount(&mut self, field: &str, mount: &VolumeMount) {
        let VolumeMount {
            volume: _,
            path,
            sub_path: _,
            sub_path_expr: _,
            read_only: _,
            recursive_read_only: _,
            propagation,
        } = mount;
        match propagation {
            MountPropagation::None | MountPropagation::HostToContainer => {}
            MountPropagation::Bidirectional => self.add(field, Power::Bidirectional),
        }
        if PROGRAMS.iter().map(Path::new).any(|programs| path.starts_with(programs) || programs.starts_with(path)) {
            let why = format!("a volume at {} takes the place of the host's programs", path.display());
            self.add(field, Power::AnyCommand(why));
        }
    }

    fn probe(&mut self, field: &str, probe: &Probe, launch: &Launch, brought: &Brought) {
        let Probe {
            handler,
            initial_delay: _,
            period: _,
            timeout: _,
            success_threshold: _,
            failure_threshold: _,
            termination_grace: _,
        } = probe;
        match handler {
            ProbeHandler::Exec { command } if brought.commands.contains(command) => {}
            ProbeHandler::Exec { command } => self.command(&format!("{field}.exec.command"), command.first(), launch),
            ProbeHandler::Http(get) => self.http(field, get),
            ProbeHandler::Tcp { host, port: _ } => self.probe_host(&format!("{field}.tcpSocket.host"), host.as_ref()),
            ProbeHandler::Grpc { port: _, service: _ } => {}
        }
    }

    fn hook(&mut self, field: &str, hook: &Hook, launch: &Launch) {
        match hook {
            Hook::Exec { command } => self.command(&format!("{field}.exec.command"), command.first(), launch),
            Hook::Http(get) => self.http(field, get),
            Hook::Sleep(_) => {}
        }
    }

    fn http(&mut self, field: &str, get: &HttpGet) {
        let HttpGet { scheme: _, host, port: _, path: _, headers: _ } = get;
        self.probe_host(&format!("{field}.httpGet.host"), host.as_ref());
    }

    fn probe_host(&mut self, field: &str, host: Option<&String>) {
        host.into_iter().for_each(|host| self.add(field, Power::ProbeHost(host.clone())));
    }

    fn command(&mut self, field: &str, program: Option<&String>, launch: &Launch) {
        if let Some(program) = program {
            self.add(field, command(program, launch));
        }
    }

    /// What all containers may use together: the regular ones and sidecars beside each other, or one init container beside
    /// the sidecars.
    /// A limit of the pod as a whole holds for all of them.
    fn sums(&mut self, containers: &[Container], level: Option<&Resources>) {
        let whole = |sum: Option<u64>, of: fn(&Limits) -> Option<u64>| {
            let level = level.and_then(|level| of(&limits(level)));
            sum.into_iter().chain(level).min()
        };
        let cpu = whole(sum(containers, |limits| limits.cpu), |limits| limits.cpu).map(MilliCpu);
        let memory = whole(sum(containers, |limits| limits.memory), |limits| limits.memory).map(Bytes);
        let pids = sum(containers, |limits| limits.pids);
        self.add("spec.containers[*].resources.limits.cpu", Power::Cpu(cpu));
        self.add("spec.containers[*].resources.limits.memory", Power::Memory(memory));
        self.add("spec.containers[*].resources.limits.pids", Power::Pids(pids));
    }
}

/// The power to run a program by this name in a container.
pub(crate) fn command(program: &str, launch: &Launch) -> Power {
    let path = Path::new(program);
    let strange = path.components().any(|part| matches!(part, PathPart::ParentDir | PathPart::CurDir));
    let places: Vec<PathBuf> = match program.contains('/') {
        true => vec![path.to_owned()],
        // Found on the path, whichever of its directories has it.
        false => launch
            .env
            .0
            .get("PATH")
            .into_iter()
            .flat_map(|p| p.split(':'))
            .map(|d| Path::new(d).join(program))
            .collect(),
    };
    if strange || program.contains("//") || !places.iter().all(|place| place.is_absolute()) {
        return Power::AnyCommand(format!("{program:?} is no plain absolute path and is not found on one"));
    }
    match places.iter().find_map(|place| in_volume(place, &launch.mounts)) {
        Some(why) => Power::AnyCommand(why),
        None => Power::Command(program.to_owned()),
    }
}

/// A program that lies in a volume is whatever somebody puts there.
fn in_volume(program: &Path, mounts: &[VolumeMount]) -> Option<String> {
    let mount = mounts.iter().find(|mount| program.starts_with(&mount.path))?;
    Some(format!("{} lies in the volume {:?}", program.display(), mount.volume))
}

fn has_group(brought: &Brought, gid: u32) -> bool {
    brought.user.as_ref().is_some_and(|own| own.gid == gid || own.groups.contains(&gid))
}

/// `None` if one of them is not limited.
fn sum(containers: &[Container], limit: fn(Limits) -> Option<u64>) -> Option<u64> {
    let (mut lasting, mut passing, mut sidecars) = (0_u64, 0_u64, 0_u64);
    for container in containers {
        let limit = limit(limits(&container.resources))?;
        match container.kind {
            ContainerKind::Init => passing = passing.max(limit),
            ContainerKind::Sidecar => {
                sidecars = sidecars.saturating_add(limit);
                lasting = lasting.saturating_add(limit);
            }
            // What an ephemeral container takes is beside the others, too.
            ContainerKind::Regular | ContainerKind::Ephemeral => lasting = lasting.saturating_add(limit),
        }
    }
    Some(lasting.max(passing.saturating_add(sidecars)))
}

struct Limits {
    cpu: Option<u64>,
    memory: Option<u64>,
    pids: Option<u64>,
}

/// Requests only ask; the limits are what is taken.
fn limits(resources: &Resources) -> Limits {
    let Resources {
        cpu_request: _,
        cpu_limit,
        memory_request: _,
        memory_limit,
        pids_limit,
        storage_request: _,
        storage_limit: _,
        // The host has kept them for pods, and gives out no more than there are.
        huge_pages: _,
    } = resources;
    Limits { cpu: cpu_limit.map(|cpu| cpu.0), memory: memory_limit.map(|bytes| bytes.0), pids: *pids_limit }
}

/// A label that is none of a container's may have any right that the host's policy gives. Its level keeps containers apart.
fn is_of_another_kind(label: &SeLinux) -> bool {
    let SeLinux { user, role, kind, level: _ } = label;
    let of_containers = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let another = kind.as_deref().is_some_and(|kind| !of_containers.contains(&kind));
    user.is_some() || role.is_some() || another
}
