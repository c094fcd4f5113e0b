//! What has to be there before the tests, the demo and the bench: installed where it is missing, quick where it is not.
//!
//! Debian's packages of services start them when they are installed. While barepod installs some, a `policy-rc.d` says no.
//! One thing needs more care. Debian's postgresql package makes and starts a cluster of its own when it is installed. Where
//! PostgreSQL is not there yet, `create_main_cluster = false` is written to `/etc/postgresql-common/createcluster.conf`
//! first; where it is, nothing is touched.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use barepod_tests::peers::{KUBEMARK, NOMAD_FLEET};

use crate::package::Arch;
use crate::peers;
use crate::repository::{Repository, succeed};

const CLUSTER_CONFIGURATION: &str = "/etc/postgresql-common/createcluster.conf";
const STATIC_TARGET: &str = barepod_tests::programs::STATIC_TARGET;

/// What the machine is prepared for, each more than the one before. The bench needs what the tests need, and its peers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// PostgreSQL, and what barepod is built with.
    Demo,
    /// What makes packages.
    Package,
    Test,
    Bench,
}

/// A package of Debian, known by one of its files: a name on the path or an absolute path.
struct Package {
    file: &'static str,
    name: &'static str,
    purpose: Purpose,
    reason: &'static str,
}

const POSTGRESQL: Package = Package {
    file: "/usr/lib/postgresql/15/bin/postgres",
    name: "postgresql-15",
    purpose: Purpose::Test,
    reason: "the service that is run, crashed and healed",
};

const PACKAGES: [Package; 29] = [
    Package {
        file: "dpkg-shlibdeps",
        name: "dpkg-dev",
        purpose: Purpose::Package,
        reason: "what a package depends on",
    },
    Package { file: "lintian", name: "lintian", purpose: Purpose::Test, reason: "reviews the .deb" },
    Package { file: "rpmlint", name: "rpmlint", purpose: Purpose::Test, reason: "reviews the .rpm" },
    Package { file: "apt-ftparchive", name: "apt-utils", purpose: Purpose::Test, reason: "makes a repository for apt" },
    Package {
        file: "createrepo_c",
        name: "createrepo-c",
        purpose: Purpose::Test,
        reason: "makes a repository for dnf",
    },
    Package { file: "dnf", name: "dnf", purpose: Purpose::Test, reason: "installs from a repository" },
    Package { file: "gpg", name: "gpg", purpose: Purpose::Test, reason: "signs both" },
    Package { file: "rpm", name: "rpm", purpose: Purpose::Test, reason: "installs the .rpm into a root of its own" },
    Package {
        file: "/bin/busybox",
        name: "busybox-static",
        purpose: Purpose::Test,
        reason: "a directory tree as root",
    },
    Package {
        file: "/usr/bin/redis-server",
        name: "redis-server",
        purpose: Purpose::Test,
        reason: "a service that is run",
    },
    Package {
        file: "/usr/bin/prometheus",
        name: "prometheus",
        purpose: Purpose::Test,
        reason: "a service that is run",
    },
    Package { file: "/usr/bin/curl", name: "curl", purpose: Purpose::Test, reason: "what Kubernetes' suite asks with" },
    Package {
        file: "/bin/nc.openbsd",
        name: "netcat-openbsd",
        purpose: Purpose::Test,
        reason: "what it asks with over UDP",
    },
    Package {
        file: "/bin/bash-static",
        name: "bash-static",
        purpose: Purpose::Test,
        reason: "the shell of its images",
    },
    Package { file: "qemu-system-x86_64", name: "qemu-system-x86", purpose: Purpose::Test, reason: "boots the guest" },
    Package { file: "qemu-img", name: "qemu-utils", purpose: Purpose::Test, reason: "makes the guest's disk" },
    Package { file: "mmdebstrap", name: "mmdebstrap", purpose: Purpose::Test, reason: "makes the guest's image" },
    Package { file: "mkfs.ext4", name: "e2fsprogs", purpose: Purpose::Test, reason: "makes the guest's file system" },
    Package { file: "nft", name: "nftables", purpose: Purpose::Test, reason: "what kube-proxy writes its rules with" },
    Package {
        file: "/usr/share/doc/libfaketime/copyright",
        name: "libfaketime",
        purpose: Purpose::Test,
        reason: "a clock that a test sets",
    },
    Package { file: "runsv", name: "runit", purpose: Purpose::Bench, reason: "a peer" },
    Package { file: "s6-supervise", name: "s6", purpose: Purpose::Bench, reason: "a peer" },
    Package { file: "supervise", name: "daemontools", purpose: Purpose::Bench, reason: "a peer" },
    Package { file: "supervisord", name: "supervisor", purpose: Purpose::Bench, reason: "a peer" },
    Package { file: "conmon", name: "conmon", purpose: Purpose::Bench, reason: "a peer" },
    Package { file: "runc", name: "runc", purpose: Purpose::Test, reason: "containers to compare with" },
    Package { file: "fio", name: "fio", purpose: Purpose::Test, reason: "measures disks" },
    Package { file: "socat", name: "socat", purpose: Purpose::Bench, reason: "a peer" },
    Package { file: "openssl", name: "openssl", purpose: Purpose::Bench, reason: "its certificate" },
];

/// A cargo tool: the version that is installed where there is none.
struct Tool {
    name: &'static str,
    version: &'static str,
    purpose: Purpose,
}

const TOOLS: [Tool; 4] = [
    Tool { name: "cargo-deb", version: "3.8.0", purpose: Purpose::Package },
    Tool { name: "cargo-generate-rpm", version: "0.21.1", purpose: Purpose::Package },
    Tool { name: "cargo-nextest", version: "0.9.151", purpose: Purpose::Test },
    Tool { name: "cargo-deny", version: "0.20.2", purpose: Purpose::Test },
];

/// Installs what is missing for the purpose, and says so.
pub(crate) fn run(repository: &Repository, purpose: Purpose) -> anyhow::Result<()> {
    packages(repository, purpose)?;
    static_target(repository)?;
    TOOLS.iter().filter(|tool| tool.purpose <= purpose).try_for_each(|tool| install(repository, tool))?;
    if purpose >= Purpose::Test {
        peers::run(repository)?;
    }
    if purpose >= Purpose::Bench {
        peers::build(repository, &[NOMAD_FLEET, KUBEMARK])?;
    }
    Ok(())
}

fn packages(repository: &Repository, purpose: Purpose) -> anyhow::Result<()> {
    let missing: Vec<_> =
        PACKAGES.iter().filter(|package| package.purpose <= purpose && find(package.file).is_none()).collect();
    let postgresql = find(POSTGRESQL.file).is_none();
    if missing.is_empty() && !postgresql {
        return Ok(());
    }
    for package in missing.iter().copied().chain(postgresql.then_some(&POSTGRESQL)) {
        println!("setup: installing {}: {}", package.name, package.reason);
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    may_install(&names, postgresql)?;
    apt_get(repository, &["update"])?;
    if !names.is_empty() {
        let _quiet = NoServices::new()?;
        apt_get(repository, &[&["install"][..], &names[..]].concat())?;
    }
    if postgresql { postgresql_without_cluster(repository) } else { Ok(()) }
}

/// As long as it lives, what is installed starts no service (policy-rc.d of invoke-rc.d(8)).
struct NoServices {
    /// None where the host has a policy of its own.
    policy: Option<&'static Path>,
}

impl NoServices {
    fn new() -> anyhow::Result<Self> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        if policy.exists() {
            return Ok(Self { policy: None });
        }
        fs_err::write(policy, "#!/bin/sh\n# Written by barepod's setup while it installs packages.\nexit 101\n")?;
        fs_err::set_permissions(policy, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(Self { policy: Some(policy) })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.policy.map(fs_err::remove_file) {
            eprintln!("setup: {error}; services do not start on this host until it is gone");
        }
    }
}

fn may_install(names: &[&str], postgresql: bool) -> anyhow::Result<()> {
    if find("apt-get").is_none() {
        bail!("no apt-get here: install what is named above, then run this again");
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let all = [names, if postgresql { &[POSTGRESQL.name] } else { &[] }].concat();
    bail!("only root may install packages: run `sudo apt-get install {}`, then this again", all.join(" "))
}

fn apt_get(repository: &Repository, arguments: &[&str]) -> anyhow::Result<()> {
    let mut apt_get = repository.command("apt-get");
    apt_get.args(["-q", "-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"]).args(arguments);
    succeed(apt_get.env("DEBIAN_FRONTEND", "noninteractive"))
}

fn postgresql_without_cluster(repository: &Repository) -> anyhow::Result<()> {
    apt_get(repository, &["install", "postgresql-common"])?;
    let text = fs_err::read_to_string(CLUSTER_CONFIGURATION)?;
    fs_err::write(CLUSTER_CONFIGURATION, without_cluster(&text))?;
    println!("setup: create_main_cluster = false in {CLUSTER_CONFIGURATION}: no cluster besides the tests' own");
    apt_get(repository, &["install", POSTGRESQL.name])
}

/// The configuration with the one setting; all else stays as it is.
fn without_cluster(text: &str) -> String {
    let others = text.lines().filter(|line| !line.trim_start().starts_with("create_main_cluster"));
    others.chain(["create_main_cluster = false", ""]).collect::<Vec<_>>().join("\n")
}

/// What builds for another processor. Nothing is installed for it unasked: it is large, and needed by few.
pub(crate) fn cross(repository: &Repository, arch: Arch) -> anyhow::Result<()> {
    let (Some(target), Some(fixed)) = (arch.target(), arch.static_target()) else { return Ok(()) };
    let compiler = arch.tool("gcc");
    if find(&compiler).is_none() {
        bail!("{compiler} is missing: `apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross`");
    }
    let sysroot = PathBuf::from(repository.ask("rustc", &["--print", "sysroot"])?);
    match [target, fixed].into_iter().find(|target| !sysroot.join("lib/rustlib").join(target).join("lib").is_dir()) {
        Some(missing) => bail!("the standard library for {missing} is missing: `rustup target add {missing}`"),
        None => Ok(()),
    }
}

fn static_target(repository: &Repository) -> anyhow::Result<()> {
    let sysroot = PathBuf::from(repository.ask("rustc", &["--print", "sysroot"])?);
    if sysroot.join("lib/rustlib").join(STATIC_TARGET).join("lib").is_dir() {
        return Ok(());
    }
    println!("setup: adding {STATIC_TARGET}: the shim is static");
    succeed(repository.command("rustup").args(["target", "add", STATIC_TARGET]))
        .with_context(|| format!("the standard library for {STATIC_TARGET} is missing"))
}

fn install(repository: &Repository, tool: &Tool) -> anyhow::Result<()> {
    let present = find(tool.name).is_some() || repository.tools().join("bin").join(tool.name).is_file();
    if present {
        return Ok(());
    }
    println!("setup: building {} {}", tool.name, tool.version);
    let mut cargo = repository.cargo(&["install", "--quiet", "--locked", tool.name, "--version", tool.version]);
    cargo.arg("--root").arg(repository.tools()).env("CARGO_TARGET_DIR", repository.cache().join("tools/target"));
    succeed(&mut cargo)?;
    // Some two gigabytes that nothing needs any more.
    Ok(fs_err::remove_dir_all(repository.cache().join("tools/target"))?)
}

/// A file by its absolute path, or a program by its name. `sbin` may be missing from a user's path.
pub(crate) fn find(file: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    if file.starts_with('/') {
        return Some(Path::new(file)).filter(|path| path.is_file()).map(Path::to_owned);
    }
    places.map(|place| place.join(file)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cluster_setting_of_a_configuration_changes() {
        let text = "# words\ncreate_main_cluster = true\nssl = on\n";

        assert_eq!(without_cluster(text), "# words\nssl = on\ncreate_main_cluster = false\n");
        assert_eq!(without_cluster(&without_cluster(text)), without_cluster(text));
    }

    #[test]
    fn programs_are_found_by_name_and_files_by_path() {
        assert!(find("sh").is_some());
        assert_eq!(find("/proc/version"), Some(PathBuf::from("/proc/version")));
        assert_eq!(find("no-such-program"), None);
    }
}
