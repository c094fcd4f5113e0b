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
use barepod_tests::programs::Built;

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

/// Builds what is shipped, and packages it.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    setup::run(repository, Purpose::Package)?;
    build::at(repository, Speed::Release)?;
    let stage = stage(repository, Speed::Release)?;
    for package in [debian(repository, &stage, &["--dbgsym"])?, rpm(repository, &stage, VERSION, "zstd")?] {
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
    let stage = stage(repository, Speed::Debug)?;
    debian(repository, &stage, &["--fast"])?;
    for version in [VERSION, LATER] {
        rpm(repository, &stage, version, "none")?;
    }
    Ok(())
}

/// A target directory with what both tools look for.
struct Stage {
    target: PathBuf,
}

impl Stage {
    fn release(&self) -> PathBuf {
        self.target.join("release")
    }
}

fn stage(repository: &Repository, speed: Speed) -> anyhow::Result<Stage> {
    let stage = Stage { target: directory(repository.target(), speed.directory()) };
    let release = stage.release();
    if stage.target.exists() {
        fs_err::remove_dir_all(&stage.target)?;
    }
    let (man, completion) = (release.join("man"), release.join("completion"));
    for directory in [&man, &completion] {
        fs_err::create_dir_all(directory)?;
    }
    for program in programs(repository, speed)? {
        let name = program.file_name().context("a program has a name")?;
        fs_err::copy(&program, release.join(name))?;
    }
    let barepod = release.join("barepod");
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

fn programs(repository: &Repository, speed: Speed) -> anyhow::Result<Vec<PathBuf>> {
    let built = Built::at(repository.target(), speed.directory());
    let place = |(name, fixed): (&str, bool)| if fixed { built.musl(name) } else { built.host(name) };
    Ok(PROGRAMS.map(place).into_iter().collect::<Result<_, _>>()?)
}

fn debian(repository: &Repository, stage: &Stage, options: &[&str]) -> anyhow::Result<PathBuf> {
    let mut cargo = repository.cargo(&["deb", "--package", PACKAGE, "--no-build", "--offline", "--quiet"]);
    let package = stage.target.join(debian_name());
    cargo.args(options).arg("--output").arg(&package).env("CARGO_TARGET_DIR", &stage.target);
    run_quietly(&mut cargo)?;
    Ok(package)
}

/// cargo-deb takes symbols out of its own copies; here they are taken out of the stage, which is done with.
fn rpm(repository: &Repository, stage: &Stage, version: &str, compression: &str) -> anyhow::Result<PathBuf> {
    let programs = PROGRAMS.map(|(name, _)| stage.release().join(name));
    run_quietly(repository.command("strip").args(programs))?;
    let mut cargo = repository.cargo(&["generate-rpm", "--package", "agent/daemon", "--target-dir"]);
    let package = stage.target.join(rpm_name(version));
    cargo.arg(&stage.target).arg("--output").arg(&package);
    cargo.args(["--payload-compress", compression, "--set-metadata", &format!("version = \"{version}\"")]);
    run_quietly(&mut cargo)?;
    Ok(package)
}

/// When anything that is in a package was changed last.
fn newest(repository: &Repository, speed: Speed) -> anyhow::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut left = programs(repository, speed)?;
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
fn run_quietly(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!("{shown} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
