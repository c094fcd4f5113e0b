//! What a container sees and may do, asked of real processes: names and network files, groups and owners of volumes, mount
//! rules, namespaces, the kernel's restrictions.

use barepod_tests::host::{Host, HostError};
use barepod_tests::pods;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs a line of shell in a pod's first container; what it prints.
fn asked(host: &Host, pod: &str, script: &str) -> std::result::Result<String, HostError> {
    let said = host.barepod(&["exec", pod, "--", "sh", "-c", script])?;
    Ok(said.trim_end().to_owned())
}

/// A host with one running pod of this spec beside its idle container.
fn running(config: &str, change: impl FnOnce(&mut Value)) -> Result<Host> {
    let host = Host::started(config)?;
    let mut pod = pods::idle("pod");
    change(&mut pod["spec"]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    Ok(host)
}

// ---- names and the network ----

#[test]
fn a_pod_has_the_names_and_the_resolver_it_asks_for() -> Result {
    let host = running("", |spec| {
        spec["hostname"] = json!("db");
        spec["subdomain"] = json!("peers");
        spec["hostAliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["one.example", "two"]}]);
        spec["dnsPolicy"] = json!("None");
        spec["dnsConfig"] = json!({"nameservers": ["127.0.0.53"], "searches": ["a.example", "b.example"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]});
    })?;
    assert_eq!(asked(&host, "pod", "hostname")?, "db");
    assert_eq!(asked(&host, "pod", "hostname --fqdn")?, "db.peers.default.svc.cluster.local");
    assert_eq!(asked(&host, "pod", "getent hosts two | tr -s ' ' | cut -d' ' -f1")?, "10.1.2.3");
    let wanted = "nameserver 127.0.0.53\nsearch a.example b.example\noptions ndots:2 edns0";
    assert_eq!(asked(&host, "pod", "cat /etc/resolv.conf")?, wanted);
    let hosts = asked(&host, "pod", "cat /etc/hosts")?;
    let own = std::fs::read_to_string("/etc/hosts")?;
    let (first, rest) = hosts.split_once('\n').ok_or("one line")?;
    assert_eq!(first, "# Kubernetes-managed hosts file.");
    assert!(rest.starts_with(own.trim_end()), "the host's network is the pod's: {hosts}");
    Ok(())
}

#[test]
fn a_host_name_is_the_full_one_where_that_is_asked_for_and_dns_is_added_to_the_hosts() -> Result {
    let host = running("", |spec| {
        spec["subdomain"] = json!("peers");
        spec["setHostnameAsFQDN"] = json!(true);
        spec["dnsPolicy"] = json!("ClusterFirst");
        spec["dnsConfig"] = json!({"searches": ["more.example"]});
    })?;
    assert_eq!(
        asked(&host, "pod", "uname -n; cat /etc/hostname")?,
        ["pod.peers.default.svc.cluster.local"; 2].join("\n")
    );
    let text = asked(&host, "pod", "cat /etc/resolv.conf")?;
    assert!(text.lines().any(|line| line.starts_with("search ") && line.ends_with("more.example")), "{text}");
    let own = std::fs::read_to_string("/etc/resolv.conf")?;
    for server in own.lines().filter(|line| line.starts_with("nameserver ")).take(3) {
        assert!(text.lines().any(|line| line == server), "{server} is missing: {text}");
    }
    let other = {
        let mut pod = pods::idle("other");
        pod["spec"]["hostnameOverride"] = json!("a.b.example");
        pod
    };
    host.apply_object(&other)?;
    host.ready("other")?;
    assert_eq!(asked(&host, "other", "uname -n")?, "a.b.example");
    Ok(())
}

// ---- groups and owners ----

/// Owner group and mode of a path, as `770 1234`.
fn mode_and_group(path: &std::path::Path) -> Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::symlink_metadata(path)?;
    Ok(format!("{:o} {}", metadata.mode() & 0o7777, metadata.gid()))
}

#[test]
fn volumes_are_given_to_the_fs_group_and_its_processes_belong_to_it_but_a_host_path_stays_the_hosts() -> Result {
    let host = Host::started("")?;
    let (given, kept) = (host.path("var/lib/barepod/volumes/default/data"), host.path("kept"));
    for directory in [given.join("deep"), kept.clone()] {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(given.join("deep/file"), "")?;
    std::os::unix::fs::symlink(&kept, given.join("link"))?;
    let before = mode_and_group(&kept)?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"runAsUser": 1234, "runAsGroup": 1234, "fsGroup": 4321});
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "own", "emptyDir": {}}, {"name": "kept", "hostPath": {"path": kept}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"},
        {"name": "own", "mountPath": "/own"}, {"name": "kept", "mountPath": "/kept"},
        {"name": "memory", "mountPath": "/memory", "subPath": "made"}]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let groups = asked(&host, "pod", "id -G")?;
    assert!(groups.split(' ').any(|group| group == "4321"), "{groups}");
    assert_eq!(
        asked(&host, "pod", "touch /own/new /data/deep/new && stat -c %g /own/new /data/deep/new")?,
        "4321\n4321"
    );
    assert_eq!(asked(&host, "pod", "stat -c '%a %g' /memory")?, "3777 4321", "a subPath is like its volume");
    assert_eq!(mode_and_group(&given.join("deep"))?, "2775 4321");
    assert_eq!(mode_and_group(&given.join("deep/file"))?, "664 4321");
    assert_eq!(mode_and_group(&given.join("link"))?, "777 4321");
    assert_eq!(mode_and_group(&kept)?, before);
    Ok(())
}

#[test]
fn on_root_mismatch_goes_through_a_volume_only_when_its_root_is_not_the_groups() -> Result {
    let host = Host::started("")?;
    let claim = |name: &str| host.path(&format!("var/lib/barepod/volumes/default/{name}"));
    for name in ["done", "new"] {
        std::fs::create_dir_all(claim(name))?;
        std::fs::write(claim(name).join("file"), "")?;
    }
    use std::os::unix::fs::PermissionsExt as _;
    std::os::unix::fs::chown(claim("done"), None, Some(4321))?;
    std::fs::set_permissions(claim("done"), std::fs::Permissions::from_mode(0o2770))?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"fsGroup": 4321, "fsGroupChangePolicy": "OnRootMismatch"});
    let volume = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    pod["spec"]["volumes"] = json!([volume("done"), volume("new")]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    assert_eq!(mode_and_group(&claim("done").join("file"))?, "644 0");
    assert_eq!(mode_and_group(&claim("new").join("file"))?, "664 4321");
    Ok(())
}

#[test]
fn groups_of_the_account_are_merged_unless_the_policy_is_strict() -> Result {
    let host = Host::started("")?;
    let account = std::fs::read_to_string("/etc/group")?;
    // An account of the host that is a member of a further group: made for this test alone if there is none.
    let member = account.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (_, _, gid, members) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let name = members.split(',').find(|name| !name.is_empty())?;
        Some((name.to_owned(), gid.to_owned()))
    });
    let Some((name, gid)) = member else { barepod_tests::skip!("no account of this host has a further group") };
    let uid = std::process::Command::new("id").args(["-u", &name]).output()?;
    let uid: u32 = String::from_utf8(uid.stdout)?.trim().parse()?;
    for (policy, merged) in [("Merge", true), ("Strict", false)] {
        let mut pod = pods::idle(&policy.to_lowercase());
        pod["spec"]["securityContext"] =
            json!({"runAsUser": uid, "supplementalGroups": [777], "supplementalGroupsPolicy": policy});
        host.apply_object(&pod)?;
        host.ready(&policy.to_lowercase())?;
        let groups = asked(&host, &policy.to_lowercase(), "id -G")?;
        let has = |wanted: &str| groups.split(' ').any(|group| group == wanted);
        assert!(has("777") && has(&gid) == merged, "{policy}: {groups}");
    }
    Ok(())
}

// ---- how volumes are mounted ----

fn mount_on(source: &std::path::Path, flags: nix::mount::MsFlags, kind: Option<&str>) -> Result {
    Ok(nix::mount::mount(kind, source, kind, flags, None::<&str>)?)
}

/// A tree that is shared, as systemd has the whole of it, with another file system in it.
fn shared_tree(host: &Host) -> Result<std::path::PathBuf> {
    use nix::mount::MsFlags;
    let tree = host.path("tree");
    std::fs::create_dir(&tree)?;
    mount_on(&tree, MsFlags::empty(), Some("tmpfs"))?;
    mount_on(&tree, MsFlags::MS_SHARED, None)?;
    std::fs::create_dir(tree.join("below"))?;
    std::fs::create_dir(tree.join("later"))?;
    mount_on(&tree.join("below"), MsFlags::empty(), Some("tmpfs"))?;
    Ok(tree)
}

#[test]
fn read_only_is_the_mount_itself_unless_it_is_recursive_and_later_mounts_arrive_only_where_asked() -> Result {
    use nix::mount::MsFlags;
    let host = Host::started("")?;
    let tree = shared_tree(&host)?;
    let mut pod = pods::idle("pod");
    pod["spec"]["securityContext"] = json!({"runAsUser": 0});
    pod["spec"]["volumes"] = json!([{"name": "tree", "hostPath": {"path": tree}}]);
    pod["spec"]["containers"][0]["volumeMounts"] = json!([
        {"name": "tree", "mountPath": "/plain", "readOnly": true, "mountPropagation": "None"},
        {"name": "tree", "mountPath": "/whole", "readOnly": true, "recursiveReadOnly": "Enabled"},
        {"name": "tree", "mountPath": "/slave", "mountPropagation": "HostToContainer"}]);
    host.apply_object(&pod)?;
    host.ready("pod")?;
    let script = "for at in /plain /plain/below /whole /whole/below /slave; do \
        if touch $at/x 2>/dev/null; then echo $at; fi; done";
    assert_eq!(asked(&host, "pod", script)?, "/plain/below\n/slave", "these can be written to");
    mount_on(&tree.join("later"), MsFlags::empty(), Some("tmpfs"))?;
    std::fs::write(tree.join("later/seen"), "")?;
    assert_eq!(asked(&host, "pod", "ls /plain/later /slave/later")?, "/plain/later:\n\n/slave/later:\nseen");
    Ok(())
}

#[test]
fn a_sub_path_is_made_of_the_containers_variables() -> Result {
    let host = running("", |spec| {
        spec["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        spec["containers"][0]["env"] = json!([{"name": "SHARD", "value": "7"}]);
        spec["containers"][0]["volumeMounts"] =
            json!([{"name": "data", "mountPath": "/data", "subPathExpr": "shard-$(SHARD)/$$(x)"}]);
    })?;
    asked(&host, "pod", "touch /data/here")?;
    assert!(host.path("var/lib/barepod/volumes/default/data/shard-7/$(x)/here").exists());
    Ok(())
}

// ---- terminals ----

#[test]
fn a_terminal_has_a_name_in_the_container() -> Result {
    let host = running("", |_| {})?;
    // `script` gives the command line a terminal, as a person has one.
    let barepod = host.command(&["exec", "-it", "pod", "--", "tty"])?;
    let words = std::iter::once(barepod.get_program()).chain(barepod.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let output = std::process::Command::new("script").args(["-qec", &line.join(" "), "/dev/null"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // At the end of its own input `script` sends a zero byte, which is echoed where the command line has not come to it yet.
    assert!(said.trim_start_matches("^@").starts_with("/dev/pts/"), "{said}");
    Ok(())
}
