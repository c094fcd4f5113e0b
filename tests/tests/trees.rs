//! Directory trees as root: containers of several images in one pod, each with its own files and accounts.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use barepod_tests::host::{Host, SOON, signal};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 12] =
    ["cat", "echo", "grep", "id", "ls", "mkdir", "mount", "sh", "sleep", "test", "touch", "true"];

/// A tree as an unpacked image has it: a static busybox, accounts of its own, and nothing that the kernel provides.
fn make_tree(tree: &Path, marker: &str, uid: u32) -> Result {
    for directory in ["bin", "etc", "scratch"] {
        std::fs::create_dir_all(tree.join(directory))?;
    }
    std::fs::set_permissions(tree.join("scratch"), std::fs::Permissions::from_mode(0o777))?;
    std::fs::copy(BUSYBOX, tree.join("bin/busybox"))?;
    for applet in APPLETS {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    std::fs::write(tree.join("etc/marker"), format!("{marker}\n"))?;
    std::fs::write(
        tree.join("etc/passwd"),
        format!("root:x:0:0::/root:/bin/sh\napp:x:{uid}:{uid}::/home/app:/bin/sh\n"),
    )?;
    std::fs::write(tree.join("etc/group"), format!("app:x:{uid}:\nextra:x:4711:app\n"))?;
    Ok(())
}

/// A host with the trees `busybox:1` and `busybox:2`, and a preset for them. That of 2 has an entry point.
fn host() -> Result<Host> {
    if !Path::new(BUSYBOX).exists() {
        return Err(format!("there is no {BUSYBOX}: run `cargo xtask setup`").into());
    }
    let mut host = Host::new("crashLoopBackOff: {initialSeconds: 0, maxSeconds: 0}\n")?;
    let trees = host.path("srv/trees");
    make_tree(&trees.join("busybox/1"), "one", 30_001)?;
    make_tree(&trees.join("busybox/2"), "two", 30_002)?;
    let config = json!({"config": {
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": ["echo by itself; sleep 1000000"], "User": "app", "Env": ["FROM=image"],
    }});
    std::fs::write(trees.join("busybox/2.json"), config.to_string())?;
    let presets = host.path("etc/barepod/presets");
    std::fs::create_dir_all(&presets)?;
    let preset = format!(
        "apiVersion: barepod.dev/v1alpha1\nkind: Preset\nname: trees\nimages: [busybox]\n\
         root: {{tree: '{}/{{name}}/{{tag}}'}}\n",
        trees.display()
    );
    std::fs::write(presets.join("trees.yaml"), preset)?;
    host.start()?;
    Ok(host)
}

fn pod(containers: &Value, init: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "initContainers": init,
            "containers": containers,
            "volumes": [{"name": "shared", "emptyDir": {}}],
        },
    })
}

fn exec(host: &Host, container: &str, script: &str) -> Result<String> {
    Ok(host.barepod(&["exec", "pod", "-c", container, "--", "sh", "-c", script])?.trim().to_owned())
}

#[test]
fn containers_of_different_trees_share_a_pod_and_nothing_of_the_host() -> Result {
    let host = host()?;
    let shared = json!([{"name": "shared", "mountPath": "/var/shared"}]);
    let init = json!([{
        "name": "init", "image": "busybox:1", "command": ["sh", "-c", "echo made by $(cat /etc/marker) > /var/shared/file"],
        "volumeMounts": shared,
    }]);
    let probe = json!({"exec": {"command": ["sh", "-c", "test -e /scratch/ready"]}, "periodSeconds": 1});
    let containers = json!([
        {"name": "one", "image": "docker.io/library/busybox:1", "volumeMounts": shared, "readinessProbe": probe,
            "securityContext": {"runAsUser": 30_001},
            "command": ["sh", "-c"], "args": ["cat /var/shared/file; touch /scratch/ready; sleep 1000000"]},
        {"name": "two", "image": "busybox:2", "volumeMounts": shared},
    ]);
    host.apply_object(&pod(&containers, &init))?;
    host.ready("pod")?;

    assert_eq!(exec(&host, "one", "cat /etc/marker; id -u; echo $HOME")?, "one\n30001\n/home/app");
    assert_eq!(exec(&host, "two", "cat /etc/marker; id -u; id -G; echo $FROM")?, "two\n30002\n30002 4711\nimage");
    assert_eq!(
        host.barepod(&["logs", "pod", "-c", "one"])?,
        "made by one\n",
        "a mount point that the tree lacks is made"
    );
    assert_eq!(host.barepod(&["logs", "pod", "-c", "two"])?, "by itself\n", "the image's own entry point and cmd");
    assert_eq!(
        exec(&host, "two", "ls /")?.split_whitespace().collect::<Vec<_>>().join(" "),
        "bin dev etc proc scratch sys var"
    );
    assert_eq!(exec(&host, "two", "cat /var/shared/file")?, "made by one");
    assert!(
        exec(&host, "two", "grep -c postgres /etc/passwd || true")?.starts_with('0'),
        "the tree's own accounts alone"
    );
    assert!(!host.path("srv/trees/busybox/1/var").exists(), "nothing appears in the tree itself");
    Ok(())
}

#[test]
fn a_restarted_container_begins_with_a_fresh_layer_and_the_layer_goes_with_the_pod() -> Result {
    let host = host()?;
    let script = "test -e /scratch/was-here && echo seen before; touch /scratch/was-here; echo up; sleep 1000000";
    let containers = json!([{"name": "main", "image": "busybox:1", "command": ["sh", "-c", script]}]);
    host.apply_object(&pod(&containers, &json!([])))?;
    let first = host.running("pod")?;
    host.until("the first attempt to write", SOON, |host| exec(host, "main", "test -e /scratch/was-here").ok())?;
    signal(first, "KILL")?;
    host.until("another attempt", SOON, |host| host.pid("pod").filter(|pid| *pid != first))?;
    host.until("it to speak", SOON, |host| host.barepod(&["logs", "pod"]).ok().filter(|log| log.contains("up")))?;
    assert_eq!(host.barepod(&["logs", "pod"])?, "up\n", "what the first attempt wrote is gone");
    assert!(!host.path("srv/trees/busybox/1/scratch/was-here").exists(), "the tree is as it was");
    let overlays = || glob_dirs(&host.path("var/lib/barepod/pods"), "overlays");
    assert_eq!(overlays().len(), 1);
    host.barepod(&["delete", "pod"])?;
    host.gone("pod")?;
    host.until("the layer to go", SOON, |_| overlays().is_empty().then_some(()))?;
    Ok(())
}

#[test]
fn a_read_only_tree_cannot_be_written_but_its_volumes_can() -> Result {
    let host = host()?;
    let containers = json!([{
        "name": "main", "image": "busybox:1", "command": ["sleep", "1000000"],
        "securityContext": {"readOnlyRootFilesystem": true},
        "volumeMounts": [{"name": "shared", "mountPath": "/var/deep/er"}],
    }]);
    host.apply_object(&pod(&containers, &json!([])))?;
    host.running("pod")?;
    let touch = |path: &str| exec(&host, "main", &format!("touch {path} 2>&1 || true"));
    assert!(touch("/scratch/x")?.contains("Read-only file system"), "{}", touch("/scratch/x")?);
    assert_eq!(touch("/var/deep/er/x")?, "");
    Ok(())
}

#[test]
fn a_tree_that_is_not_there_is_refused_with_the_tags_that_are() -> Result {
    let host = host()?;
    let containers = json!([{"name": "main", "image": "busybox:3", "command": ["sleep", "1"]}]);
    let error = host.apply_object(&pod(&containers, &json!([]))).err().ok_or("accepted")?.to_string();
    assert!(error.contains("there is no directory tree") && error.contains("VersionNotInstalled"), "{error}");
    Ok(())
}

/// Directories called `name` one level below.
fn glob_dirs(base: &Path, name: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join(name)).filter(|path| path.is_dir()).collect()
}
