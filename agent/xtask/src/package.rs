//! The packages that `apt install` and `dnf install` take.
//!
//! | what | made by |
//! |---|---|
//! | programs | [`build`] |
//! | manual pages of the command line, completion | the command line itself |
//! | `.deb` | cargo-deb, by `package.metadata.deb` of barepod-daemon |
//! | `.rpm` | cargo-generate-rpm, by `package.metadata.generate-rpm` there |
//!
//! Both take what is built from `target/release`. Ours is a stage that is laid out like that, so that the static shim, what is
//! generated, and programs of any profile lie there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use barepod_tests::packages::{LATER, VERSION, debian_name, directory, rpm_name};
use barepod_tests::programs::{Built, STATIC_PROFILE};

use crate::build::{self, Speed};
use crate::repository::Repository;
use crate::setup::{self, Purpose};

/// The package of the workspace whose manifest has the metadata.
const PACKAGE: &str = "barepod-daemon";
/// Programs of the host, and whether they are static.
const PROGRAMS: [(&str, bool); 6] = [
    ("barepod", false),
    ("barepodd", false),
    ("barepod-bridge", false),
    ("barepod-prober", false),
    ("barepod-nomad-driver", false),
    ("barepod-shim", true),
];
/// What else is in a package, from the checkout's root.
const OTHERS: [&str; 9] = [
    "agent/daemon/Cargo.toml",
    "agent/docs",
    "agent/decisions",
    "packaging",
    "systemd",
    "configs",
    "examples",
    "README.md",
    "CHANGELOG.md",
];
/// Shells, and the files in which they look for what completes `barepod`.
const COMPLETIONS: [(&str, &str); 3] = [("bash", "barepod.bash"), ("zsh", "_barepod"), ("fish", "barepod.fish")];

/// What is packaged.
#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// For which processor
    #[arg(long, value_enum, default_value_t = Arch::Amd64)]
    arch: Arch,
}

/// A processor, as Debian calls it.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    /// This machine's
    #[default]
    Amd64,
    /// Built by a cross compiler
    Arm64,
}

impl Arch {
    /// As rpm and the kernel call it.
    fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// What is built for; none where that is this machine.
    pub(crate) fn target(self) -> Option<&'static str> {
        (self == Self::Arm64).then_some("aarch64-unknown-linux-gnu")
    }

    /// The same for static programs.
    pub(crate) fn static_target(self) -> Option<&'static str> {
        (self == Self::Arm64).then_some("aarch64-unknown-linux-musl")
    }

    /// A tool of the compiler's that knows the processor.
    pub(crate) fn tool(self, name: &str) -> String {
        self.target().map_or_else(|| name.to_owned(), |_| format!("{}-linux-gnu-{name}", self.machine()))
    }
}

/// Builds what is shipped, and packages it.
pub(crate) fn run(repository: &Repository, options: &Options) -> anyhow::Result<()> {
    let arch = options.arch;
    setup::run(repository, Purpose::Package)?;
    setup::cross(repository, arch)?;
    build::for_arch(repository, arch)?;
    let stage = stage(repository, Speed::Release, arch)?;
    let packages = [
        debian(repository, &stage, &["--dbgsym"])?,
        symbols(repository, &stage)?,
        rpm(repository, &stage, VERSION, "zstd")?,
    ];
    for package in packages {
        println!("{}", package.display());
    }
    Ok(())
}

/// The packages of the programs as tests run them, if these or anything else in them has changed. Larger and faster made.
pub(crate) fn for_tests(repository: &Repository) -> anyhow::Result<()> {
    let made = directory(repository.target(), Speed::Debug.directory()).join(debian_name());
    if modified(&made).is_ok_and(|made| newest(repository, Speed::Debug).is_ok_and(|newest| newest < made)) {
        return Ok(());
    }
    let stage = stage(repository, Speed::Debug, Arch::Amd64)?;
    debian(repository, &stage, &["--fast"])?;
    for version in [VERSION, LATER] {
        rpm(repository, &stage, version, "none")?;
    }
    Ok(())
}

/// A target directory with what both tools look for.
struct Stage {
    target: PathBuf,
    arch: Arch,
}

impl Stage {
    fn release(&self) -> PathBuf {
        self.arch.target().map_or_else(|| self.target.clone(), |target| self.target.join(target)).join("release")
    }

    /// Both tools know it by this.
    fn options(&self) -> Vec<&'static str> {
        self.arch.target().map_or_else(Vec::new, |target| vec!["--target", target])
    }
}

fn stage(repository: &Repository, speed: Speed, arch: Arch) -> anyhow::Result<Stage> {
    let place = directory(repository.target(), speed.directory());
    // The packages of the host's own processor lie where they always have.
    let target = if arch == Arch::Amd64 { place } else { place.with_extension(arch.debian()) };
    let stage = Stage { target, arch };
    let release = stage.release();
    if stage.target.exists() {
        fs_err::remove_dir_all(&stage.target)?;
    }
    let (man, completion) = (release.join("man"), release.join("completion"));
    for directory in [&man, &completion] {
        fs_err::create_dir_all(directory)?;
    }
    for program in programs(repository, speed, arch)? {
        let name = program.file_name().context("a program has a name")?;
        fs_err::copy(&program, release.join(name))?;
    }
    let barepod = match arch.target() {
        None => release.join("barepod"),
        Some(_) => Built::at(repository.target(), Speed::Debug.directory()).host("barepod")?,
    };
    run_quietly(repository.command(&text(&barepod)).arg("manual").arg(&man))?;
    for page in fs_err::read_dir(repository.root().join("packaging/man"))? {
        let page = page?;
        fs_err::copy(page.path(), man.join(page.file_name()))?;
    }
    compress(repository, &man, &release)?;
    for (shell, file) in COMPLETIONS {
        let script = run_quietly(repository.command(&text(&barepod)).args(["completion", shell]))?;
        fs_err::write(completion.join(file), script)?;
    }
    Ok(stage)
}

/// Manual pages and the list of changes, as both distributions want them.
fn compress(repository: &Repository, man: &Path, release: &Path) -> anyhow::Result<()> {
    let changelog = release.join("changelog");
    fs_err::copy(repository.root().join("CHANGELOG.md"), &changelog)?;
    let pages = fs_err::read_dir(man)?.map(|page| Ok(page?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    run_quietly(repository.command("gzip").args(["-9", "-n"]).args(pages).arg(changelog))?;
    Ok(())
}

fn programs(repository: &Repository, speed: Speed, arch: Arch) -> anyhow::Result<Vec<PathBuf>> {
    if let (Some(target), Some(fixed)) = (arch.target(), arch.static_target()) {
        let of = |target: &str, profile: &str| repository.target().join(target).join(profile);
        let (host, musl) = (of(target, speed.directory()), of(fixed, STATIC_PROFILE));
        return Ok(PROGRAMS.map(|(name, fixed)| if fixed { musl.join(name) } else { host.join(name) }).to_vec());
    }
    let built = Built::at(repository.target(), speed.directory());
    let place = |(name, fixed): (&str, bool)| if fixed { built.musl(name) } else { built.host(name) };
    Ok(PROGRAMS.map(place).into_iter().collect::<Result<_, _>>()?)
}

fn debian(repository: &Repository, stage: &Stage, options: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = repository.cargo(&["deb", "--package", PACKAGE, "--no-build", "--offline", "--quiet"]);
    let package = stage.target.join(debian_name().replace("amd64", stage.arch.debian()));
    cargo.args(stage.options()).args(options).arg("--output").arg(&package).env("CARGO_TARGET_DIR", &stage.target);
    run_quietly(&mut cargo)?;
    Ok(package)
}

/// An `.rpm` with the programs' symbols, where debuggers look for them by build id. They must still have them.
fn symbols(repository: &Repository, stage: &Stage) -> anyhow::Result<PathBuf> {
    for (name, _) in PROGRAMS {
        let program = stage.release().join(name);
        let notes = run_quietly(repository.command("readelf").arg("--notes").arg(&program))?;
        let notes = String::from_utf8_lossy(&notes).into_owned();
        let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ")).context("a build id")?;
        let (first, rest) = id.split_at_checked(2).context("a build id has many digits")?;
        let place = stage.release().join("debug/.build-id").join(first);
        fs_err::create_dir_all(&place)?;
        let mut objcopy = repository.command(&stage.arch.tool("objcopy"));
        objcopy.arg("--only-keep-debug").arg(&program).arg(place.join(format!("{rest}.debug")));
        run_quietly(&mut objcopy)?;
    }
    generate_rpm(repository, stage, "barepod-debuginfo", VERSION, &["--variant", "debuginfo"])
}

/// cargo-deb takes symbols out of its own copies; here they are taken out of the stage, which is done with.
fn rpm(repository: &Repository, stage: &Stage, version: &str, compression: &str) -> anyhow::Result<PathBuf> {
    run_quietly(
        repository.command(&stage.arch.tool("strip")).args(PROGRAMS.map(|(name, _)| stage.release().join(name))),
    )?;
    generate_rpm(repository, stage, "barepod", version, &["--payload-compress", compression])
}

fn generate_rpm(
    repository: &Repository,
    stage: &Stage,
    name: &str,
    version: &str,
    options: &[&str],
) -> anyhow::Result<PathBuf> {
    let mut cargo = repository.cargo(&["generate-rpm", "--package", "agent/daemon", "--target-dir"]);
    let file = rpm_name(version).replacen("barepod", name, 1).replace("x86_64", stage.arch.machine());
    let package = stage.target.join(file);
    cargo.arg(&stage.target).args(stage.options()).arg("--output").arg(&package);
    cargo.args(options).args(["--set-metadata", &format!("version = \"{version}\"")]);
    run_quietly(&mut cargo)?;
    Ok(package)
}

/// When anything that is in a package was changed last.
fn newest(repository: &Repository, speed: Speed) -> anyhow::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut left = programs(repository, speed, Arch::Amd64)?;
    left.extend(OTHERS.map(|path| repository.root().join(path)));
    while let Some(path) = left.pop() {
        newest = newest.max(modified(&path)?);
        if path.is_dir() {
            for entry in fs_err::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(newest)
}

fn modified(path: &Path) -> std::io::Result<SystemTime> {
    fs_err::metadata(path)?.modified()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What a command prints; what it has to say is shown only if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
