//! Each field of a volume, seen by a real process: what is in it, with which modes, of what kind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use barepod_tests::host::{Host, SOON};
use barepod_tests::pods;
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A host with a ConfigMap `map` and a Secret `secret` of two keys each.
fn host() -> Result<Host> {
    let host = Host::started("")?;
    for (kind, name, field) in [("ConfigMap", "map", "data"), ("Secret", "secret", "stringData")] {
        let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        object[field] = json!({"word": format!("of-{name}"), "other": "x"});
        host.apply(name, &object.to_string())?;
    }
    Ok(host)
}

/// An idle pod with these volumes, each mounted at its name.
fn with(name: &str, volumes: Value) -> Value {
    let mut pod = pods::idle(name);
    let mounts = volumes.as_array().into_iter().flatten().map(|volume| {
        json!({"name": volume["name"], "mountPath": format!("/{}", volume["name"].as_str().unwrap_or_default())})
    });
    pod["spec"]["containers"][0]["volumeMounts"] = mounts.collect();
    pod["spec"]["volumes"] = volumes;
    pod
}

fn running(host: &Host, pod: &Value) -> Result {
    host.apply_object(pod)?;
    host.ready(pod["metadata"]["name"].as_str().unwrap_or_default())?;
    Ok(())
}

/// Mode and contents of a file, as a process of the pod sees them.
fn seen(host: &Host, file: &str) -> Result<String> {
    Ok(host.asked("pod", "main", &format!("stat -L -c %a {file}; cat {file}"))?.replace('\n', " "))
}

/// Kilobytes of the file system at this path of the pod.
fn size(host: &Host, path: &str) -> Result<u64> {
    let said = host.asked("pod", "main", &format!("df -k -P {path} | tail -n 1"))?;
    Ok(said.split_whitespace().nth(1).unwrap_or_default().parse()?)
}

#[test]
fn a_volume_in_memory_is_no_larger_than_the_memory_of_its_pod() -> Result {
    let host = host()?;
    let volumes = json!([
        {"name": "all", "emptyDir": {"medium": "Memory"}},
        {"name": "more", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "less", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    ]);
    let mut pod = with("pod", volumes);
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}});
    running(&host, &pod)?;
    assert_eq!((size(&host, "/all")?, size(&host, "/more")?, size(&host, "/less")?), (65536, 65536, 8192));
    Ok(())
}

fn refused(host: &Host, pod: &Value) -> String {
    host.apply_object(pod).map_err(|error| error.to_string()).err().unwrap_or_default()
}

#[test]
fn config_maps_and_secrets_are_shown_key_by_key_with_their_modes() -> Result {
    let host = host()?;
    let items = json!([{"key": "word", "path": "deep/renamed", "mode": 0o440}]);
    running(
        &host,
        &with(
            "pod",
            json!([
                {"name": "map-all", "configMap": {"name": "map", "defaultMode": 0o444}},
                {"name": "map-one", "configMap": {"name": "map", "items": items}},
                {"name": "map-none", "configMap": {"name": "none", "optional": true}},
                {"name": "secret-all", "secret": {"secretName": "secret", "defaultMode": 0o444}},
                {"name": "secret-one", "secret": {"secretName": "secret", "items": items}},
                {"name": "secret-none", "secret": {"secretName": "none", "optional": true}},
            ]),
        ),
    )?;
    for name in ["map", "secret"] {
        assert_eq!(seen(&host, &format!("/{name}-all/word"))?, format!("444 of-{name}"));
        assert_eq!(host.asked("pod", "main", &format!("ls /{name}-all"))?, "other\nword");
        let modes = format!("stat -L -c %a /{name}-one/deep/renamed; ls /{name}-one /{name}-none");
        let wanted = format!("440\n/{name}-none:\n\n/{name}-one:\ndeep");
        assert_eq!(host.asked("pod", "main", &modes)?, wanted);
    }
    Ok(())
}

#[test]
fn the_downward_api_shows_fields_and_resources_with_their_modes() -> Result {
    let host = host()?;
    let field = json!({"apiVersion": "v1", "fieldPath": "metadata.labels"});
    let resource = json!({"containerName": "main", "resource": "limits.memory", "divisor": "1Mi"});
    let mut pod = with(
        "pod",
        json!([{"name": "info", "downwardAPI": {"defaultMode": 0o444, "items": [
        {"path": "labels", "fieldRef": field, "mode": 0o404}, {"path": "deep/limit", "resourceFieldRef": resource}]}}]),
    );
    pod["metadata"]["labels"] = json!({"colour": "red"});
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "80Mi"}});
    running(&host, &pod)?;
    assert_eq!(seen(&host, "/info/labels")?, "404 colour=\"red\"");
    assert_eq!(seen(&host, "/info/deep/limit")?, "444 80");
    Ok(())
}

#[test]
fn a_projected_volume_puts_its_sources_together() -> Result {
    let host = host()?;
    let items = |path: &str| json!([{"key": "word", "path": path, "mode": 0o404}]);
    let field = json!({"apiVersion": "v1", "fieldPath": "metadata.name"});
    let resource = json!({"containerName": "main", "resource": "requests.memory", "divisor": "1Mi"});
    let sources = json!([
        {"configMap": {"name": "map", "items": items("of/map")}},
        {"configMap": {"name": "none", "optional": true}},
        {"secret": {"name": "secret", "items": items("of/secret")}},
        {"secret": {"name": "none", "optional": true}},
        {"downwardAPI": {"items": [{"path": "name", "fieldRef": field, "mode": 0o404},
            {"path": "request", "resourceFieldRef": resource}]}}]);
    let mut pod = with("pod", json!([{"name": "all", "projected": {"defaultMode": 0o444, "sources": sources}}]));
    pod["spec"]["containers"][0]["resources"] = json!({"requests": {"memory": "48Mi"}});
    running(&host, &pod)?;
    assert_eq!(seen(&host, "/all/of/map")?, "404 of-map");
    assert_eq!(seen(&host, "/all/of/secret")?, "404 of-secret");
    assert_eq!(seen(&host, "/all/name")?, "404 pod");
    assert_eq!(seen(&host, "/all/request")?, "444 48");
    Ok(())
}

#[test]
fn an_empty_dir_is_on_disk_or_in_memory_of_this_size() -> Result {
    let host = host()?;
    running(
        &host,
        &with(
            "pod",
            json!([
                {"name": "disk", "emptyDir": {}},
                {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
            ]),
        ),
    )?;
    let kinds = host.asked("pod", "main", "stat -f -c %T /memory; stat -f -c %T /disk; stat -c %a /disk /memory")?;
    let kinds: Vec<_> = kinds.lines().collect();
    assert_eq!((kinds[0], kinds[1] == "tmpfs", kinds[2], kinds[3]), ("tmpfs", false, "777", "1777"));
    let fill = "head -c 9000000 /dev/zero > /memory/file; stat -c %s /memory/file";
    assert_eq!(host.asked("pod", "main", fill)?, (8 << 20).to_string(), "no more than its limit");
    let wrong = with("wrong", json!([{"name": "disk", "emptyDir": {"medium": "Tape"}}]));
    assert!(refused(&host, &wrong).contains("spec.volumes[0].emptyDir.medium"));
    Ok(())
}

#[test]
fn a_host_path_is_what_its_type_says_or_the_pod_waits() -> Result {
    let host = host()?;
    let at = |name: &str| host.path(&format!("host/{name}"));
    fs::create_dir_all(at("directory"))?;
    fs::write(at("file"), "x")?;
    let _socket = std::os::unix::net::UnixListener::bind(at("socket"))?;
    let volume = |name: &str, path: &Path, kind: &str| json!({"name": name, "hostPath": {"path": path, "type": kind}});
    running(
        &host,
        &with(
            "pod",
            json!([
                volume("unset", &at("directory"), ""),
                volume("directory", &at("directory"), "Directory"),
                volume("made-directory", &at("new/made-directory"), "DirectoryOrCreate"),
                volume("file", &at("file"), "File"),
                volume("made-file", &at("made-file"), "FileOrCreate"),
                volume("socket", &at("socket"), "Socket"),
                volume("device", Path::new("/dev/zero"), "CharDevice"),
            ]),
        ),
    )?;
    let kinds = "stat -c '%F' /unset /directory /made-directory /file /made-file /socket /device";
    let wanted = [
        "directory",
        "directory",
        "directory",
        "regular file",
        "regular empty file",
        "socket",
        "character special file",
    ];
    assert_eq!(host.asked("pod", "main", kinds)?, wanted.join("\n"));
    let mode = |name: &str| fs::metadata(at(name)).map(|found| found.permissions().mode() & 0o7777);
    assert_eq!((mode("new/made-directory")?, mode("made-file")?), (0o755, 0o644));
    for (name, path, kind) in [
        ("no-directory", at("file"), "Directory"),
        ("no-file", at("directory"), "File"),
        ("none", at("none"), "File"),
        ("no-socket", at("file"), "Socket"),
        ("no-device", PathBuf::from("/dev/shm"), "CharDevice"),
        ("no-block", PathBuf::from("/dev/null"), "BlockDevice"),
        ("in-the-way", at("file"), "DirectoryOrCreate"),
    ] {
        host.apply_object(&with(name, json!([volume("v", &path, kind)])))?;
        host.until(format!("{name} to say why it waits"), SOON, |host| {
            host.barepod(&["events", name]).ok().filter(|events| events.contains("hostPath type check failed"))
        })?;
    }
    let unknown = with("unknown", json!([volume("v", &at("file"), "Pipe")]));
    assert!(refused(&host, &unknown).contains("spec.volumes[0].hostPath.type"));
    Ok(())
}

#[test]
fn a_claim_keeps_what_is_written_and_is_one_pods_where_it_says_so() -> Result {
    let host = host()?;
    let claim = |name: &str, mode: &str| {
        let spec = json!({"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}});
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec})
            .to_string()
    };
    host.apply("one", &claim("one", "ReadWriteOncePod"))?;
    host.apply("many", &claim("many", "ReadWriteOnce"))?;
    let volume = |claim: &str, read_only: bool| json!({"name": claim, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}});
    running(&host, &with("pod", json!([volume("one", false), volume("many", false)])))?;
    host.asked("pod", "main", "echo kept > /one/file; echo kept > /many/file")?;
    assert_eq!(fs::read_to_string(host.path("var/lib/barepod/volumes/default/one/file"))?, "kept\n");
    host.apply_object(&with("reader", json!([volume("many", true)])))?;
    host.ready("reader")?;
    let tried = host.asked("reader", "main", "cat /many/file; touch /many/x 2>/dev/null || echo closed")?;
    assert_eq!(tried, "kept\nclosed");
    host.apply_object(&with("second", json!([volume("one", false)])))?;
    let waiting = host.reason("second", "DataPathInUse")?;
    assert!(waiting["status"]["message"].as_str().is_some_and(|text| text.contains("default/pod")), "{waiting}");
    host.barepod(&["delete", "pod"])?;
    host.ready("second")?;
    assert_eq!(host.asked("second", "main", "cat /one/file")?, "kept");
    Ok(())
}
