//! One power after the other: denied unless it is named, allowed when it is.

use std::time::Duration;

use barepod_model::*;

use crate::bench::{container, mount, pod, policy, probe, verdict, with_host_path};

/// A pod that demands something, lines of a rule that allow it, and lines that do not.
struct Case {
    what: &'static str,
    demand: fn(&mut Pod),
    allows: &'static [(&'static str, &'static str)],
    falls_short: &'static [(&'static str, &'static str)],
}

fn case(
    what: &'static str,
    demand: fn(&mut Pod),
    allows: &'static [(&'static str, &'static str)],
    falls_short: &'static [(&'static str, &'static str)],
) -> Case {
    Case { what, demand, allows, falls_short }
}

fn launch(pod: &mut Pod) -> &mut Launch {
    &mut pod.containers[0].launch
}

fn run(pod: &mut Pod, program: &str) {
    pod.containers[0].brought.service = false;
    launch(pod).argv = vec![program.to_owned()];
}

fn volume(pod: &mut Pod, kind: VolumeKind) {
    pod.volumes.push(Volume { name: "v".to_owned(), claim: None, kind });
}

fn get(host: &str) -> HttpGet {
    let (scheme, path) = (HttpScheme::Http, "/".to_owned());
    HttpGet { scheme, host: Some(host.to_owned()), port: 80, path, headers: Vec::new() }
}

fn programs() -> Vec<Case> {
    vec![
        case(
            "another preset",
            |pod| pod.containers[0].preset = "host".to_owned(),
            &[("presets", "host")],
            &[("presets", "hos")],
        ),
        case(
            "another version",
            |pod| pod.containers[0].preset = "other 15.2".to_owned(),
            &[("presets", "\"other 15.*\"")],
            &[("presets", "\"other 16.*\"")],
        ),
        case(
            "a command",
            |pod| run(pod, "/usr/bin/psql"),
            &[("commands", "/usr/bin/*")],
            &[("commands", "/usr/sbin/*"), ("commands", "psql")],
        ),
        case(
            "a command by its name",
            |pod| run(pod, "psql"),
            &[("commands", "psql")],
            &[("commands", "/usr/bin/*"), ("commands", "sh")],
        ),
        case(
            "a command in a volume",
            |pod| {
                launch(pod).mounts.push(mount("v", "/usr/bin", true));
                run(pod, "/usr/bin/psql");
            },
            &[("commands", "\"*\"")],
            &[("commands", "/usr/bin/psql"), ("commands", "/**")],
        ),
        case(
            "a name that may be found in a volume",
            |pod| {
                launch(pod).env.0.insert("PATH".to_owned(), "/data/bin:/usr/bin".to_owned());
                launch(pod).mounts.push(mount("v", "/data", true));
                run(pod, "psql");
            },
            &[("commands", "\"*\"")],
            &[("commands", "psql")],
        ),
        case(
            "a command by a crooked path",
            |pod| run(pod, "/usr/bin/../../data/x"),
            &[("commands", "\"*\"")],
            &[("commands", "/usr/**")],
        ),
        case(
            "a relative command",
            |pod| run(pod, "bin/x"),
            &[("commands", "\"*\"")],
            &[("commands", "/**"), ("commands", "x")],
        ),
        case(
            "a volume over the preset's program",
            |pod| launch(pod).mounts.push(mount("v", "/opt/service", false)),
            &[("commands", "\"*\"")],
            &[("commands", "/opt/**")],
        ),
        case(
            "a volume over the host's libraries",
            |pod| launch(pod).mounts.push(mount("v", "/usr/lib/x86_64-linux-gnu", false)),
            &[("commands", "\"*\"")],
            &[("commands", "/usr/**")],
        ),
        case(
            "a volume over all of /usr",
            |pod| launch(pod).mounts.push(mount("v", "/usr", false)),
            &[("commands", "\"*\"")],
            &[("commands", "/**")],
        ),
        case(
            "a variable of the loader",
            |pod| drop(launch(pod).env.0.insert("LD_PRELOAD".to_owned(), "/data/x.so".to_owned())),
            &[("commands", "\"*\"")],
            &[("commands", "/**")],
        ),
        case(
            "a probe's command",
            |pod| {
                let command = vec!["/usr/bin/psql".to_owned()];
                pod.containers[0].liveness = Some(probe(ProbeHandler::Exec { command }));
            },
            &[("commands", "/usr/bin/psql")],
            &[("commands", "/bin/check")],
        ),
        case(
            "a hook's command",
            |pod| {
                pod.containers[0].lifecycle.pre_stop = Some(Hook::Exec { command: vec!["/usr/bin/psql".to_owned()] });
            },
            &[("commands", "/usr/bin/psql")],
            &[("commands", "/bin/check")],
        ),
        case(
            "a probe of another host",
            |pod| pod.containers[0].liveness = Some(probe(ProbeHandler::Http(get("metadata")))),
            &[("probeHosts", "metadata")],
            &[("probeHosts", "other")],
        ),
        case(
            "a connection to another host",
            |pod| {
                let host = Some("10.0.0.1".to_owned());
                pod.containers[0].startup = Some(probe(ProbeHandler::Tcp { host, port: 1 }));
            },
            &[("probeHosts", "10.0.0.*")],
            &[("probeHosts", "10.0.1.*")],
        ),
        case(
            "a hook that asks another host",
            |pod| pod.containers[0].lifecycle.post_start = Some(Hook::Http(get("metadata"))),
            &[("probeHosts", "\"*\"")],
            &[],
        ),
    ]
}

fn identities() -> Vec<Case> {
    vec![
        case(
            "another user",
            |pod| launch(pod).user = Credentials { uid: 1000, gid: 1000, groups: vec![2000] },
            &[("users", "alice")],
            &[("users", "postgres"), ("users", "1001-2000")],
        ),
        case(
            "a number without an account",
            |pod| launch(pod).user = Credentials { uid: 5000, gid: 5000, groups: Vec::new() },
            &[("users", "5000-5999")],
            &[("users", "alice")],
        ),
        case(
            "root",
            |pod| launch(pod).user = Credentials { uid: 0, gid: 0, groups: Vec::new() },
            &[("users", "root")],
            &[("users", "\"*\""), ("users", "0-65535"), ("users", "alice")],
        ),
        case(
            "a preset's account that is root",
            |pod| {
                let root = Credentials { uid: 0, gid: 0, groups: Vec::new() };
                pod.containers[0].brought.user = Some(root.clone());
                launch(pod).user = root;
            },
            &[("users", "0")],
            &[("users", "\"*\"")],
        ),
        case(
            "a group",
            |pod| launch(pod).user.groups.push(6),
            &[("groups", "disk")],
            &[("groups", "developers"), ("users", "\"*\"")],
        ),
        case(
            "root's group",
            |pod| launch(pod).user.gid = 0,
            &[("groups", "root")],
            &[("groups", "\"*\""), ("groups", "0-9"), ("groups", "preset")],
        ),
        case(
            "a group for the volumes",
            |pod| pod.fs_group = Some(FsGroup { gid: 3000, policy: FsGroupChangePolicy::Always }),
            &[("groups", "3000")],
            &[("groups", "preset")],
        ),
        case(
            "the preset's group for the volumes",
            |pod| pod.fs_group = Some(FsGroup { gid: 120, policy: FsGroupChangePolicy::Always }),
            &[("groups", "preset")],
            &[("groups", "developers")],
        ),
        case(
            "a capability",
            |pod| launch(pod).capabilities.push(12),
            &[("capabilities", "NET_ADMIN")],
            &[("capabilities", "NET_RAW")],
        ),
        case(
            "privilege escalation",
            |pod| launch(pod).no_new_privileges = false,
            &[("allowPrivilegeEscalation", "true")],
            &[("capabilities", "\"*\"")],
        ),
    ]
}

fn places() -> Vec<Case> {
    vec![
        case(
            "an emptyDir",
            |pod| volume(pod, VolumeKind::EmptyDir { memory: false, huge_pages: None, size_limit: None }),
            &[("volumes", "emptyDir")],
            &[("volumes", "projected")],
        ),
        case(
            "a claim",
            |pod| volume(pod, VolumeKind::Claim { claim: "c".to_owned(), read_only: false }),
            &[("volumes", "persistentVolumeClaim")],
            &[("volumes", "emptyDir")],
        ),
        case(
            "a made volume",
            |pod| volume(pod, VolumeKind::Projected(Projected { files: Vec::new(), in_memory: false, missing: None })),
            &[("volumes", "projected")],
            &[("volumes", "emptyDir")],
        ),
        case(
            "a path to write to",
            |pod| with_host_path(pod, "/srv/data/db", HostPathType::Directory, false),
            &[("hostPaths", "[{pathPrefix: /srv/data}]")],
            &[("hostPaths", "[{pathPrefix: /srv/data, readOnly: true}, {pathPrefix: /srv/dat}]")],
        ),
        case(
            "a path to read",
            |pod| with_host_path(pod, "/srv/data/db", HostPathType::Directory, true),
            &[("hostPaths", "[{pathPrefix: /srv/data, readOnly: true}]")],
            &[("hostPaths", "[{pathPrefix: /srv/data/db/below}]")],
        ),
        case(
            "a path that is made",
            |pod| with_host_path(pod, "/srv/data/db", HostPathType::DirectoryOrCreate, true),
            &[("hostPaths", "[{pathPrefix: /srv/data}]")],
            &[("hostPaths", "[{pathPrefix: /srv/data, readOnly: true}]")],
        ),
        case(
            "a path that a link leads out of",
            |pod| with_host_path(pod, "/srv/data/link/shadow", HostPathType::File, true),
            &[("hostPaths", "[{pathPrefix: /etc}]")],
            &[("hostPaths", "[{pathPrefix: /srv/data}]")],
        ),
        case(
            "a path below a prefix that is a link",
            |pod| with_host_path(pod, "/data/db", HostPathType::Directory, false),
            &[("hostPaths", "[{pathPrefix: /data}]")],
            &[("hostPaths", "[{pathPrefix: /mnt/2}]")],
        ),
        case(
            "a device",
            |pod| with_host_path(pod, "/dev/sdb", HostPathType::BlockDevice, false),
            &[("devices", "/dev/sd*")],
            &[("hostPaths", "[{pathPrefix: /}]")],
        ),
        case(
            "a device without a type",
            |pod| with_host_path(pod, "/dev/sdb", HostPathType::Unset, true),
            &[("devices", "/dev/sdb")],
            &[("hostPaths", "[{pathPrefix: /}]"), ("devices", "/dev/sda")],
        ),
        case(
            "mounts that appear on the host",
            |pod| {
                let propagation = MountPropagation::Bidirectional;
                launch(pod).mounts.push(VolumeMount { propagation, ..mount("v", "/data", false) });
            },
            &[("mountPropagation", "Bidirectional")],
            &[],
        ),
        case(
            "the host's processes",
            |pod| launch(pod).namespaces.host_pid = true,
            &[("hostPID", "true")],
            &[("hostIPC", "true")],
        ),
        case(
            "the host's IPC",
            |pod| launch(pod).namespaces.host_ipc = true,
            &[("hostIPC", "true")],
            &[("hostPID", "true")],
        ),
    ]
}

fn confinement() -> Vec<Case> {
    vec![
        case(
            "a privileged container",
            |pod| {
                launch(pod).confinement.privileged = true;
                launch(pod).capabilities = (0..=40).collect();
                launch(pod).no_new_privileges = false;
            },
            &[("privileged", "true")],
            &[("capabilities", "\"*\""), ("allowPrivilegeEscalation", "true")],
        ),
        case(
            "an unmasked /proc",
            |pod| launch(pod).confinement.unmasked_proc = true,
            &[("procMount", "Unmasked")],
            &[],
        ),
        case(
            "a seccomp profile of the host's",
            |pod| launch(pod).confinement.seccomp = Seccomp::Localhost("profiles/db.json".into()),
            &[("seccompProfiles", "localhost/profiles/*")],
            &[("seccompProfiles", "localhost/other/*")],
        ),
        case(
            "no AppArmor profile",
            |pod| launch(pod).confinement.app_armor = AppArmor::Unconfined,
            &[("appArmorProfiles", "Unconfined")],
            &[("appArmorProfiles", "localhost/*"), ("appArmorProfiles", "RuntimeDefault")],
        ),
        case(
            "an AppArmor profile of the host's",
            |pod| launch(pod).confinement.app_armor = AppArmor::Localhost("db".to_owned()),
            &[("appArmorProfiles", "localhost/db")],
            &[("appArmorProfiles", "Unconfined")],
        ),
        case(
            "a sysctl",
            |pod| drop(launch(pod).confinement.sysctls.insert("kernel.shmmax".to_owned(), "1".to_owned())),
            &[("sysctls", "kernel.shm*")],
            &[("sysctls", "net.*")],
        ),
        case(
            "a port of the host",
            |pod| {
                let port = HostPort { protocol: "TCP".to_owned(), number: 80, address: None };
                pod.data_paths.insert(port.path());
            },
            &[("hostPorts", "80")],
            &[("hostPorts", "81-90")],
        ),
        case(
            "to wait for pods of others",
            |pod| {
                let (namespace, name) = (Namespace::new("other").expect("a label"), PodName::new("a").expect("a name"));
                pod.depends_on.push(PodRef { namespace, name });
            },
            &[],
            &[],
        ),
    ]
}

#[test]
fn each_power_is_denied_unless_it_is_named() {
    for Case { what, demand, allows, falls_short } in
        programs().into_iter().chain(identities()).chain(places()).chain(confinement())
    {
        let mut pod = pod();
        demand(&mut pod);
        let denied = verdict(&policy(&[]), &pod);
        assert!(!denied.is_allowed(), "{what}: allowed although nobody named it");
        assert!(!verdict(&policy(falls_short), &pod).is_allowed(), "{what}: allowed by less than it needs");
        if !allows.is_empty() {
            let allowed = verdict(&policy(allows), &pod);
            assert!(allowed.is_allowed(), "{what}: {}", allowed.explain());
        }
    }
}

#[test]
fn what_a_denial_proposes_to_add_is_enough() {
    for Case { what, demand, allows, .. } in
        programs().into_iter().chain(identities()).chain(places()).chain(confinement())
    {
        let mut pod = pod();
        demand(&mut pod);
        let denied = verdict(&policy(&[]), &pod);
        let lacks: Vec<&str> = denied.rules[0].lacks().filter_map(|lack| lack.lacks.as_deref()).collect();
        let lines = lacks.iter().filter_map(|lack| lack.strip_prefix("allow.")?.split_once(": "));
        let lines: Vec<(&str, &str)> = lines
            .map(|(key, value)| match value.contains('{') {
                true => (key, value),
                false => (key, value.trim_start_matches('[').trim_end_matches(']')),
            })
            .collect();
        if allows.is_empty() {
            assert_eq!(lacks, ["subjects.namespaces: [other]"], "{what}");
            continue;
        }
        assert!(verdict(&policy(&lines), &pod).is_allowed(), "{what}: {lines:?}");
        assert!(denied.denial().is_some_and(|said| lacks.iter().all(|lack| said.contains(lack))), "{what}");
    }
}

#[test]
fn a_pod_of_its_preset_alone_demands_nothing_more() {
    let verdict = verdict(&policy(&[]), &pod());
    assert!(verdict.is_allowed(), "{}", verdict.explain());
}

#[test]
fn what_takes_powers_away_need_not_be_named() {
    let mut pod = pod();
    launch(&mut pod).confinement.seccomp = Seccomp::RuntimeDefault;
    launch(&mut pod).confinement.app_armor = AppArmor::RuntimeDefault;
    launch(&mut pod).capabilities.clear();
    launch(&mut pod).read_only_root = true;
    pod.containers[0].lifecycle.pre_stop = Some(Hook::Sleep(Duration::from_secs(1)));
    assert!(verdict(&policy(&[]), &pod).is_allowed());
}

#[test]
fn a_container_whose_references_are_missing_is_judged_when_it_can_be_started() {
    let mut pod = pod();
    pod.containers[0].preset = pod.containers[0].image.clone();
    assert!(!verdict(&policy(&[]), &pod).is_allowed());
    pod.containers[0].missing = Some("secret db".to_owned());
    assert!(verdict(&policy(&[]), &pod).is_allowed());
}

#[test]
fn every_container_is_looked_at() {
    for kind in [ContainerKind::Init, ContainerKind::Sidecar, ContainerKind::Regular] {
        let (mut pod, mut other) = (pod(), container());
        other.kind = kind;
        other.launch.capabilities.push(21);
        pod.containers.push(other);
        let verdict = verdict(&policy(&[]), &pod);
        let field = if kind == ContainerKind::Regular { "spec.containers[1]" } else { "spec.initContainers[0]" };
        assert!(verdict.explain().contains(&format!("{field}.securityContext.capabilities.add")), "{verdict:?}");
    }
}

#[test]
fn limits_bound_what_all_containers_may_use_together() {
    let limited = |kinds: &[(ContainerKind, u64)]| {
        let mut pod = pod();
        pod.containers = Vec::new();
        for (kind, cpu) in kinds {
            let resources = Resources { cpu_limit: Some(MilliCpu(*cpu)), ..Resources::default() };
            pod.containers.push(Container { kind: *kind, resources, ..container() });
        }
        verdict(&policy(&[("limits", "{cpu: 2}")]), &pod).is_allowed()
    };
    use ContainerKind::{Init, Regular, Sidecar};
    assert!(limited(&[(Regular, 2000)]));
    assert!(!limited(&[(Regular, 1000), (Regular, 1001)]));
    assert!(limited(&[(Init, 2000), (Regular, 2000)]), "one after the other");
    assert!(!limited(&[(Sidecar, 1000), (Init, 1500), (Regular, 500)]), "beside each other");
    let unlimited = verdict(&policy(&[("limits", "{memory: 1Gi}")]), &pod());
    assert!(!unlimited.is_allowed(), "without a limit it is all there is");
    let mut whole = pod();
    whole.resources.level = Some(Resources { cpu_limit: Some(MilliCpu(2000)), ..Resources::default() });
    assert!(verdict(&policy(&[("limits", "{cpu: 2}")]), &whole).is_allowed(), "the pod limits itself as a whole");
    let pids = |pids_limit| {
        let mut pod = pod();
        pod.containers[0].resources.pids_limit = pids_limit;
        verdict(&policy(&[("limits", "{pids: 100}")]), &pod).is_allowed()
    };
    assert!(pids(Some(100)) && !pids(Some(101)) && !pids(None));
}
