//! What stands for the suite's images on the host: a directory tree each, and two presets that lead there.
//!
//! agnhost and nonewprivs are built of Kubernetes' own module. All else in the trees is a static busybox and a static bash,
//! where the images have Alpine's or Debian's tools, and curl and OpenBSD's nc for agnhost, as in its image.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use barepod_tests::bridge::put;
use barepod_tests::host::Host;
use barepod_tests::peers::CONFORMANCE_IMAGES;
use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";
/// The shell: as the suite's busybox 1.37, and unlike Debian's 1.35, it passes variables on whose names it has no use for itself.
const SHELL: &str = "/bin/bash-static";
const CURL: &str = "/usr/bin/curl";
const NC: &str = "/bin/nc.openbsd";
const HOSTNAME: &str = "/bin/hostname";

/// Images whose user is root, as that of most images: a preset has to say so.
const OF_ROOT: [&str; 6] = [
    "registry.k8s.io/e2e-test-images/agnhost",
    "registry.k8s.io/e2e-test-images/busybox",
    "registry.k8s.io/e2e-test-images/glibc-dns-testing",
    "registry.k8s.io/e2e-test-images/nginx",
    "registry.k8s.io/e2e-test-images/nonewprivs",
    "registry.k8s.io/pause",
];
/// Images that name a user of their own.
const OF_A_USER: [&str; 1] = ["registry.k8s.io/e2e-test-images/nonroot"];
/// What programs in them do as root. A container runtime gives more; without `DAC_OVERRIDE` a file's mode counts for root too, and
/// what the suite asks of volumes is asked in earnest.
const CAPABILITIES: [&str; 5] = ["CHOWN", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// Lays them out on a host whose daemon does not run yet.
pub(super) fn lay(host: &Host) -> anyhow::Result<()> {
    let trees = host.path("srv/images");
    let agnhost = CONFORMANCE_IMAGES.program("agnhost")?;
    let tree = tree(&trees, "agnhost", &json!({"Entrypoint": ["/agnhost"], "Cmd": ["pause"]}))?;
    put(&agnhost, tree.join("agnhost"))?;
    symlink("agnhost", tree.join("agnhost-2"))?;
    with_libraries(Path::new(CURL), &tree)?;
    with_libraries(Path::new(NC), &tree)?;
    fs_err::remove_file(tree.join("bin/nc"))?;
    symlink("nc.openbsd", tree.join("bin/nc"))?;
    fs_err::create_dir(tree.join("uploads"))?;
    let accounts =
        "root:x:0:0::/root:/bin/sh\nuser-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n";
    let groups = "root:x:0:\nuser-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n";
    fs_err::write(tree.join("etc/passwd"), accounts)?;
    fs_err::write(tree.join("etc/group"), groups)?;
    self::tree(&trees, "busybox", &json!({"Cmd": ["sh"]}))?;
    let tree = self::tree(&trees, "glibc-dns-testing", &json!({"Cmd": ["sh"]}))?;
    with_libraries(Path::new(HOSTNAME), &tree)?;
    // The specs that use it want a shell of it.
    self::tree(&trees, "nginx", &json!({"Cmd": ["sh"]}))?;
    self::tree(&trees, "nonroot", &json!({"Cmd": ["sh"], "User": "1234"}))?;
    let tree = self::tree(&trees, "nonewprivs", &json!({"Cmd": ["nnp"]}))?;
    let nnp = tree.join("usr/local/bin/nnp");
    fs_err::copy(CONFORMANCE_IMAGES.program("nnp")?, &nnp)?;
    fs_err::set_permissions(nnp, PermissionsExt::from_mode(0o6755))?;
    // The real one is a C program that does the same.
    let tree = self::tree(&trees, "pause", &json!({"Entrypoint": ["/agnhost", "pause"]}))?;
    put(&agnhost, tree.join("agnhost"))?;
    presets(host, &trees)
}

/// A tree with a busybox, its accounts and its image's configuration.
fn tree(trees: &Path, name: &str, config: &Value) -> anyhow::Result<std::path::PathBuf> {
    ensure!(Path::new(BUSYBOX).exists(), "there is no {BUSYBOX}: run `cargo xtask setup`");
    let tree = trees.join(name);
    for directory in ["bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr/local/bin", "var"] {
        fs_err::create_dir_all(tree.join(directory))?;
    }
    fs_err::set_permissions(tree.join("tmp"), PermissionsExt::from_mode(0o1777))?;
    fs_err::copy(BUSYBOX, tree.join("bin/busybox"))?;
    let list = Command::new(BUSYBOX).arg("--list").output().context(BUSYBOX)?;
    for applet in String::from_utf8(list.stdout)?.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", tree.join("bin").join(applet))?;
    }
    fs_err::remove_file(tree.join("bin/sh"))?;
    fs_err::copy(SHELL, tree.join("bin/sh"))?;
    // agnhost has it by this name.
    symlink("sh", tree.join("bin/bash"))?;
    fs_err::write(tree.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    fs_err::write(tree.join("etc/group"), "root:x:0:\n")?;
    fs_err::write(trees.join(format!("{name}.json")), json!({"config": config}).to_string())?;
    Ok(tree)
}

/// Puts a program of this machine into a tree, with what it is linked to.
fn with_libraries(program: &Path, tree: &Path) -> anyhow::Result<()> {
    ensure!(program.exists(), "there is no {}: run `cargo xtask setup`", program.display());
    let linked = Command::new("ldd").arg(program).output().context("ldd")?;
    let linked = String::from_utf8(linked.stdout)?;
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/')).map(Path::new);
    for file in libraries.chain([program]) {
        let place = tree.join(file.strip_prefix("/")?);
        fs_err::create_dir_all(place.parent().context("a file has a directory")?)?;
        // busybox, by this name.
        if place.is_symlink() {
            fs_err::remove_file(&place)?;
        }
        fs_err::copy(file, place)?;
    }
    Ok(())
}

fn presets(host: &Host, trees: &Path) -> anyhow::Result<()> {
    let directory = host.path("etc/barepod/presets");
    fs_err::create_dir_all(&directory)?;
    let preset = |name: &str, images: &[&str]| {
        json!({
            "apiVersion": "barepod.dev/v1alpha1", "kind": "Preset", "name": name, "images": images,
            "root": {"tree": format!("{}/{{name}}", trees.display())},
        })
    };
    let mut of_root = preset("e2e-root", &OF_ROOT);
    of_root["user"] = json!({"name": "root"});
    of_root["capabilities"] = json!(CAPABILITIES);
    for (name, preset) in [("e2e-root", of_root), ("e2e-user", preset("e2e-user", &OF_A_USER))] {
        fs_err::write(directory.join(format!("{name}.yaml")), preset.to_string())?;
    }
    Ok(())
}
