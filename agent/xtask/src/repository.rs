//! The checkout, its cache, and how cargo is called in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// This checkout and the cache outside it.
pub(crate) struct Repository {
    root: PathBuf,
    cache: PathBuf,
    target: PathBuf,
}

impl Repository {
    /// The checkout this program was built from. The target directory is `$CARGO_TARGET_DIR`, else `<cache>/target`.
    pub(crate) fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is two levels deep");
        let cache = barepod_tests::cache::directory();
        let chosen = std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty());
        let target = chosen.map_or_else(|| cache.join("target"), |target| root.join(target));
        Self { root: root.to_owned(), cache, target }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where `cargo install --root` puts this project's tools.
    pub(crate) fn tools(&self) -> PathBuf {
        self.cache.join("tools")
    }

    /// A program in the checkout's root, with this project's tools first on the path, and nothing to read.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target).stdin(Stdio::null());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::iter::once(self.tools().join("bin")).chain(std::env::split_paths(&path));
        if let Ok(joined) = std::env::join_paths(places) {
            command.env("PATH", joined);
        }
        command
    }

    /// cargo in the checkout's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = self.command("cargo");
        cargo.args(arguments);
        cargo
    }

    /// What a program prints, trimmed.
    pub(crate) fn ask(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output =
            self.command(program).args(arguments).output().with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            bail!("`{program} {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The commit that is checked out.
    pub(crate) fn commit(&self) -> anyhow::Result<String> {
        self.ask("git", &["rev-parse", "HEAD"])
    }

    /// Whether the checkout differs from its commit.
    pub(crate) fn is_dirty(&self) -> anyhow::Result<bool> {
        Ok(!self.ask("git", &["status", "--porcelain"])?.is_empty())
    }
}

/// Runs a command whose output the caller sees, and wants it to succeed.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot start {shown}"))?;
    if status.success() { Ok(()) } else { bail!("{shown} ended with {status}") }
}

/// A line that says which machine a figure or a result is from.
pub(crate) fn machine() -> String {
    let kernel = fs_err::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse().ok());
    let gib = kib.map_or_else(|| "?".to_owned(), |kib: u64| format!("{}", kib >> 20));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("Linux {}, {cores} cores, {gib} GiB", kernel.trim())
}
