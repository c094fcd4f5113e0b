//! The packages as files: what is in them, what Debian's reviewer says, and what the scripts of the `.rpm` do.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use barepod_tests::{Scratch, packages, programs};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Where one distribution has a directory that another has elsewhere.
const ELSEWHERE: (&str, &str) = ("/usr/share/zsh/vendor-completions", "/usr/share/zsh/site-functions");
/// What only one of them wants.
const OWN: [&str; 4] = [
    "/usr/share/doc/barepod/copyright",
    "/usr/share/doc/barepod/changelog.Debian.gz",
    "/usr/share/lintian/overrides/barepod",
    "/usr/share/licenses/barepod/LICENSE",
];

fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output()?;
    let (said, errors) = (String::from_utf8(stdout)?, String::from_utf8(stderr)?);
    if status.success() { Ok(said) } else { Err(format!("{command:?}: {status}\n{said}{errors}").into()) }
}

/// A file as `-rwxr-xr-x /path`, with the place that both distributions share.
fn shared(mode: &str, path: &str) -> Option<String> {
    let moved = path.strip_prefix(ELSEWHERE.0).map(|rest| format!("{}{rest}", ELSEWHERE.1));
    let is_shared = mode.starts_with('-') && !OWN.iter().any(|own| path.starts_with(own));
    is_shared.then(|| format!("{mode} {}", moved.unwrap_or_else(|| path.to_owned())))
}

#[test]
fn the_deb_and_the_rpm_have_the_same_files() -> Result {
    let deb = output(Command::new("dpkg-deb").arg("--contents").arg(packages::debian()?))?;
    let rpm = output(
        Command::new("rpm").args(["-qp", "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]"]).arg(packages::rpm()?),
    )?;

    let of_deb: BTreeSet<_> = deb
        .lines()
        .filter_map(|line| {
            shared(line.split_whitespace().next()?, line.split_whitespace().nth(5)?.trim_start_matches('.'))
        })
        .collect();
    let of_rpm: BTreeSet<_> =
        rpm.lines().filter_map(|line| line.split_once(' ')).filter_map(|(mode, path)| shared(mode, path)).collect();

    assert_eq!(of_deb.symmetric_difference(&of_rpm).collect::<Vec<_>>(), Vec::<&String>::new());
    for file in [
        "-rwxr-xr-x /usr/sbin/barepodd",
        "-rwxr-xr-x /usr/libexec/barepod/barepod-shim",
        "-rw-r--r-- /usr/share/man/man8/barepodd.8.gz",
    ] {
        assert!(of_deb.contains(file), "{file} in {of_deb:#?}");
    }
    Ok(())
}

#[test]
fn lintian_has_nothing_to_say() -> Result {
    let mut lintian = Command::new("lintian");
    let said =
        output(lintian.args(["--allow-root", "--no-cfg", "--fail-on", "error,warning"]).arg(packages::debian()?))?;
    assert_eq!(said, "");
    Ok(())
}

#[test]
fn rpmlint_has_nothing_to_say() -> Result {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/rpm/rpmlint.toml");
    let said = output(Command::new("rpmlint").arg("-c").arg(config).arg(packages::rpm()?))?;
    assert!(said.contains("0 errors, 0 warnings"), "{said}");
    Ok(())
}

/// What `cargo xtask repo` makes, of the packages of this build, with a key of its own.
struct Published {
    scratch: Scratch,
}

impl Published {
    fn new() -> Result<Self> {
        let published = Self { scratch: Scratch::new()? };
        let keyring = published.path("keyring");
        fs_err::create_dir(&keyring)?;
        fs_err::set_permissions(&keyring, std::fs::Permissions::from_mode(0o700))?;
        let key = ["--quick-generate-key", "Test <test@example.com>", "ed25519", "sign"];
        output(published.with_keyring(Path::new("gpg")).args(["--batch", "--passphrase", ""]).args(key))?;
        published.publish(&[packages::debian()?, packages::rpm()?])?;
        Ok(published)
    }

    fn with_keyring(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", self.path("keyring"));
        command
    }

    /// These as well.
    fn publish(&self, packages: &[PathBuf]) -> Result {
        let mut xtask = self.with_keyring(&programs::host("xtask")?);
        xtask.args(["repo", "--key", "test@example.com", "--out"]).arg(self.path("repo")).args(packages);
        let made = output(&mut xtask);
        // gpg leaves it behind.
        output(self.with_keyring(Path::new("gpgconf")).args(["--kill", "all"]))?;
        made.map(drop)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// apt with an empty state of its own, which knows this repository alone.
    fn apt(&self, arguments: &[&str]) -> Result<String> {
        for directory in ["state/lists/partial", "cache/archives/partial"] {
            fs_err::create_dir_all(self.path(directory))?;
        }
        fs_err::write(self.path("status"), "")?;
        let (key, place) = (self.path("repo/key.asc"), self.path("repo/apt"));
        let source = format!("deb [signed-by={}] file:{} stable main\n", key.display(), place.display());
        fs_err::write(self.path("sources.list"), source)?;
        let mut apt = Command::new("apt-get");
        for (option, file) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::Etc::SourceParts", "nothing"),
            ("Dir::State", "state"),
            ("Dir::State::Status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            apt.args(["-o", &format!("{option}={}", self.path(file).display())]);
        }
        apt.args([
            "-o",
            "APT::Sandbox::User=root",
            "-o",
            "APT::Update::Error-Mode=any",
            "-o",
            "APT::Architecture=amd64",
        ]);
        output(apt.args(arguments).current_dir(self.path("")))
    }

    /// dnf, which knows this repository and one of a host's own packages, on a root; what scripts called there.
    fn dnf(&self, root: &Root, verb: &str) -> Result<Vec<String>> {
        let place = |name: &str| self.path(name).display().to_string();
        if !self.path("host").exists() {
            self.publish_host()?;
        }
        let main = ["cachedir", "logdir", "persistdir"].map(|name| format!("{name}={}\n", place(name))).concat();
        let configuration = format!(
            "[main]\nreposdir={}\n{main}[barepod]\nname=barepod\nbaseurl=file://{}\nrepo_gpgcheck=1\ngpgcheck=0\n\
             gpgkey=file://{}\n[host]\nname=host\nbaseurl=file://{}\ngpgcheck=0\n",
            place("nothing"),
            place("repo/rpm"),
            place("repo/key.asc"),
            place("host")
        );
        fs_err::write(self.path("dnf.conf"), configuration)?;
        root.calls(|| {
            let mut dnf = Command::new("dnf");
            dnf.arg("-c").arg(self.path("dnf.conf")).arg("--installroot").arg(root.path());
            output(dnf.args(["--releasever=1", "--refresh", "--assumeyes", verb, "barepod"]))
        })
    }

    /// One package that is all that barepod's requires of a host, without its files.
    fn publish_host(&self) -> Result {
        let required = output(Command::new("rpm").arg("-qpR").arg(packages::rpm()?))?;
        let of_host: BTreeSet<_> =
            required.lines().filter(|line| !line.starts_with("rpmlib(") && !line.starts_with("config(")).collect();
        let provides = of_host.iter().map(|what| format!("Provides: {}\n", what.replace(" >= ", " = ")));
        let spec = format!(
            "Name: host\nVersion: 1\nRelease: 1\nSummary: What a host has\nLicense: Apache-2.0\nBuildArch: noarch\n{}\
             %description\nNothing.\n%files\n",
            provides.collect::<String>()
        );
        let (file, top) = (self.path("host.spec"), self.path("rpmbuild"));
        fs_err::write(&file, spec)?;
        let mut rpmbuild = Command::new("rpmbuild");
        rpmbuild.args(["-bb", "--quiet", "--define", &format!("_rpmdir {}", self.path("host").display())]);
        output(rpmbuild.args(["--define", &format!("_topdir {}", top.display())]).arg(file))?;
        output(Command::new("createrepo_c").arg("--quiet").arg(self.path("host")))?;
        Ok(())
    }
}

#[test]
fn apt_takes_the_package_from_a_repository_whose_signature_it_has_checked_and_from_no_other() -> Result {
    let published = Published::new()?;

    published.apt(&["update"])?;
    published.apt(&["download", "barepod"])?;

    let taken = fs_err::read(published.path("barepod_0.1.0-1_amd64.deb"))?;
    assert!(taken == fs_err::read(packages::debian()?)?, "it is the package that was published");

    // Somebody else has changed the list.
    let inline = published.path("repo/apt/dists/stable/InRelease");
    let signed = fs_err::read_to_string(&inline)?;
    fs_err::write(&inline, signed.replacen("Origin: barepod", "Origin: barepoD", 1))?;
    let refused = published.apt(&["update"]).map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("signature")), "{refused:?}");

    // Or the package.
    fs_err::write(&inline, signed)?;
    published.apt(&["update"])?;
    fs_err::remove_file(published.path("barepod_0.1.0-1_amd64.deb"))?;
    let package = published.path("repo/apt/pool/main/barepod_0.1.0-1_amd64.deb");
    let mut other = fs_err::read(&package)?;
    *other.last_mut().ok_or("a package has bytes")? ^= 1;
    fs_err::write(package, other)?;
    let refused = published.apt(&["download", "barepod"]).map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("Hash Sum mismatch")), "{refused:?}");
    Ok(())
}

#[test]
fn dnf_installs_and_upgrades_from_a_repository_whose_signature_it_has_checked_and_from_no_other() -> Result {
    let (published, root) = (Published::new()?, Root::new()?);

    let installed = published.dnf(&root, "install")?;

    assert!(root.path().join("usr/sbin/barepodd").exists());
    assert!(installed.iter().any(|call| call == "systemd-sysusers barepod.conf"), "{installed:?}");

    published.publish(&[packages::later_rpm()?])?;
    let upgraded = published.dnf(&root, "upgrade")?;
    assert!(
        upgraded.contains(&"systemctl try-restart barepod.service barepod-bridge.service".to_owned()),
        "{upgraded:?}"
    );
    let there = output(Command::new("rpm").arg("--root").arg(root.path()).args(["-q", "barepod"]))?;
    assert_eq!(there.trim(), "barepod-99.0.0-1.x86_64");

    // Somebody else has changed the list.
    let list = published.path("repo/rpm/repodata/repomd.xml");
    fs_err::write(&list, fs_err::read_to_string(&list)?.replacen("<revision>", "<revision>1", 1))?;
    let refused = published.dnf(&Root::new()?, "install").map_err(|error| error.to_string());
    assert!(
        refused.as_ref().is_err_and(|error| error.contains("repomd.xml GPG signature verification error")),
        "{refused:?}"
    );
    Ok(())
}

/// A root with a shell and nothing else, in which what scripts call writes down that it was called.
struct Root {
    scratch: Scratch,
}

impl Root {
    fn new() -> Result<Self> {
        let root = Self { scratch: Scratch::new()? };
        for directory in ["bin", "usr/bin", "run/systemd/system", "var/lib/rpm", "tmp", "dev"] {
            fs_err::create_dir_all(root.path().join(directory))?;
        }
        fs_err::copy("/bin/busybox", root.path().join("bin/busybox"))?;
        for applet in ["sh", "echo"] {
            std::os::unix::fs::symlink("busybox", root.path().join("bin").join(applet))?;
        }
        for program in ["systemctl", "systemd-sysusers", "systemd-tmpfiles"] {
            let path = root.path().join("usr/bin").join(program);
            fs_err::write(&path, format!("#!/bin/sh\necho {program} \"$@\" >>/calls\n"))?;
            fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(root)
    }

    fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs rpm on this root; what its scripts called.
    fn rpm(&self, arguments: &[&str], package: &Path) -> Result<Vec<String>> {
        self.calls(|| {
            let mut rpm = Command::new("rpm");
            // The root has no libc that could be there, and no systemd.
            rpm.arg("--root").arg(self.path()).args(arguments).args(["--nodeps"]).arg(package);
            output(&mut rpm)
        })
    }

    /// What scripts call meanwhile.
    fn calls(&self, work: impl FnOnce() -> Result<String>) -> Result<Vec<String>> {
        let calls = self.path().join("calls");
        fs_err::write(&calls, "")?;
        work()?;
        Ok(fs_err::read_to_string(&calls)?.lines().map(str::to_owned).collect())
    }
}

#[test]
fn the_rpm_is_installed_upgraded_and_erased_in_a_root_of_its_own_and_its_scripts_stop_nothing_before_its_end() -> Result
{
    let root = Root::new()?;
    let stops = |calls: &[String]| calls.iter().filter(|call| call.contains(" stop ")).cloned().collect::<Vec<_>>();

    let installed = root.rpm(&["--install"], &packages::rpm()?)?;
    let conffile = root.path().join("etc/barepod/barepod.yaml");
    let edited = format!("{}# Mine.\n", fs_err::read_to_string(&conffile)?);
    fs_err::write(&conffile, &edited)?;
    let upgraded = root.rpm(&["--upgrade"], &packages::later_rpm()?)?;
    let after_upgrade = fs_err::read_to_string(&conffile)?;
    let erased = root.rpm(&["--erase"], Path::new("barepod"))?;

    assert!(installed.iter().any(|call| call == "systemd-sysusers barepod.conf"), "{installed:?}");
    assert!(
        installed.iter().any(|call| call.starts_with("systemctl --no-reload preset barepod.service")),
        "{installed:?}"
    );
    assert_eq!(stops(&installed), Vec::<String>::new());
    assert!(
        upgraded.contains(&"systemctl try-restart barepod.service barepod-bridge.service".to_owned()),
        "{upgraded:?}"
    );
    assert_eq!(stops(&upgraded), Vec::<String>::new());
    assert_eq!(after_upgrade, edited, "an edited configuration file stays");
    assert_eq!(stops(&erased), ["systemctl stop barepod-bridge.service barepod.service"]);
    assert!(!root.path().join("usr/sbin/barepodd").exists());
    Ok(())
}
