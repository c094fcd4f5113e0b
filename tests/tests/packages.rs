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
        let with_keyring = |program: &Path| {
            let mut command = Command::new(program);
            command.env("GNUPGHOME", &keyring);
            command
        };
        let user = "Test <test@example.com>";
        output(with_keyring(Path::new("gpg")).args([
            "--batch",
            "--passphrase",
            "",
            "--quick-generate-key",
            user,
            "ed25519",
            "sign",
        ]))?;
        let made = output(
            with_keyring(&programs::host("xtask")?)
                .args(["repo", "--key", "test@example.com", "--out"])
                .arg(published.path("repo"))
                .args([packages::debian()?, packages::rpm()?]),
        );
        // gpg leaves it behind.
        output(with_keyring(Path::new("gpgconf")).args(["--kill", "all"]))?;
        made.map(|_| published)
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
fn the_list_of_the_repository_for_dnf_has_the_package_and_is_signed() -> Result {
    let published = Published::new()?;
    let list = published.path("repo/rpm/repodata/repomd.xml");

    let (key, ring) = (published.path("repo/key.asc"), published.path("ring.gpg"));
    output(Command::new("gpg").args(["--dearmor", "--output"]).arg(&ring).arg(key))?;
    output(Command::new("gpgv").arg("--keyring").arg(ring).arg(list.with_extension("xml.asc")).arg(&list))?;

    let entries = fs_err::read_dir(published.path("repo/rpm/repodata"))?;
    let primary =
        entries.flatten().map(|entry| entry.path()).find(|path| path.to_string_lossy().ends_with("primary.xml.gz"));
    let primary = output(Command::new("zcat").arg(primary.ok_or("a list of packages")?))?;
    assert!(primary.contains("<location href=\"barepod-0.1.0-1.x86_64.rpm\"/>"), "{primary}");
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
        let calls = self.path().join("calls");
        fs_err::write(&calls, "")?;
        let mut rpm = Command::new("rpm");
        // The root has no libc that could be there, and no systemd.
        rpm.arg("--root").arg(self.path()).args(arguments).args(["--nodeps"]).arg(package);
        output(&mut rpm)?;
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
